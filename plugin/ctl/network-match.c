/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See network-match.h. */

#include <ifaddrs.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <sys/socket.h>

#include "base/util.h"
#include "ctl/network-match.h"
#include "ctl/text.h"
#include "kernel/rtnl.h"
#include "profile/ini.h"

#define OWN_DEVICES "underpass-" /* helper devices of the tunnel, which a file of ours keeps from networkd */
#define MAC_SEPARATORS ":-."

/* A list that is given again adds to the one before; an empty value ends it. */
static void add_value(char **target, const char *value) {
        char *joined = *target && *value ? g_strconcat(*target, " ", value, NULL) : g_strdup(value);

        g_free(*target);
        *target = joined;
}

static int on_assignment(const char *section, const char *key, const char *value, unsigned line,
                         void *userdata) {
        NetworkMatch *match = userdata;
        const struct {
                const char *key;
                char **target;
        } conditions[] = {
                { "Name", &match->name },
                { "Type", &match->type },
                { "MACAddress", &match->mac },
                { "PermanentMACAddress", &match->permanent_mac },
        };

        if (!streq(section, "Match"))
                return 0;
        for (size_t i = 0; i < ELEMENTS(conditions); i++)
                if (streq(key, conditions[i].key)) {
                        add_value(conditions[i].target, value);
                        return 0;
                }
        if (!match->others || !g_strv_contains((const char *const *) match->others, key))
                text_append(&match->others, g_strdup(key));
        return 0;
}

void network_match_read(NetworkMatch *match, const char *text, size_t length) {
        *match = (NetworkMatch) {};
        (void) ini_parse(text, length, on_assignment, NULL, match);
        /* Where it is set, the kernel tells the permanent address by ethtool only. */
        if (match->permanent_mac && match->permanent_mac[0])
                text_append(&match->others, g_strdup("PermanentMACAddress"));
}

void network_match_done(NetworkMatch *match) {
        g_free(match->name);
        g_free(match->type);
        g_free(match->mac);
        g_free(match->permanent_mac);
        g_strfreev(match->others);
        *match = (NetworkMatch) {};
}

/* Digits only, in lower case: an address can be written with colons, dashes or dots. */
static char *simple_mac(const char *text) {
        GString *simple = g_string_new(NULL);

        for (; *text; text++)
                if (!strchr(MAC_SEPARATORS, *text))
                        g_string_append_c(simple, g_ascii_tolower(*text));
        return g_string_free(simple, FALSE);
}

/* Digits of the link-layer address; "": it has none. */
static char *mac_of(const struct ifaddrs *list, const char *name) {
        GString *digits = g_string_new(NULL);

        for (; list; list = list->ifa_next) {
                const struct sockaddr_ll *address =
                        (const struct sockaddr_ll *) (const void *) list->ifa_addr;

                if (!address || list->ifa_addr->sa_family != AF_PACKET || !streq(list->ifa_name, name))
                        continue;
                for (size_t i = 0; i < MIN_OF(address->sll_halen, sizeof(address->sll_addr)); i++)
                        g_string_append_printf(digits, "%02x", address->sll_addr[i]);
                break;
        }
        return g_string_free(digits, FALSE);
}

static bool mac_matches(const char *wanted, const struct ifaddrs *list, const char *name) {
        g_autofree char *own = mac_of(list, name);
        g_auto(GStrv) words = g_strsplit_set(wanted, " \t", -1);

        for (char **word = words; *word; word++) {
                g_autofree char *simple = simple_mac(*word);

                if (*own && streq(simple, own))
                        return true;
        }
        return false;
}

void network_match_links(const NetworkMatch *match, GPtrArray *names) {
        const IniMatch conditions = { .name = match->name, .type = match->type };
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;
        g_autofree uint32_t *indexes = NULL;
        struct ifaddrs *list = NULL;
        size_t count = 0;

        if (rtnl_open(&rtnl) < 0 || rtnl_links(rtnl, &indexes, &count) < 0 || getifaddrs(&list) < 0)
                return;
        for (size_t i = 0; i < count; i++) {
                _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;

                if (rtnl_link(rtnl, indexes[i], &facts) < 0 || g_str_has_prefix(facts->name, OWN_DEVICES) ||
                    ((match->name || match->type) &&
                     ini_match(&conditions, facts->name, facts->type_name, NULL, NULL) <= 0) ||
                    (match->mac && match->mac[0] && !mac_matches(match->mac, list, facts->name)))
                        continue;
                g_ptr_array_add(names, g_strdup(facts->name));
        }
        freeifaddrs(list);
}
