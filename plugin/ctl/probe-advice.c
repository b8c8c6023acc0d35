/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See probe-advice.h. */

#include "base/i18n.h"
#include "config.h"
#include "ctl/probe-advice.h"
#include "ctl/properties.h"
#include "ctl/text.h"
#include "profile/profile.h"

/* What the settings of a link lack. */
typedef struct Lack {
        bool port;
        bool address;
} Lack;

static Lack lack_of(const ProbeView *view, uint16_t port) {
        Address address = {};
        Settings settings;

        property_settings(view->properties, &settings);
        (void) address_from_text(view->address, &address);
        /* Without prefixes all addresses count. That is more than was asked for where there was no port. */
        return (Lack) {
                .port = !port_set_contains(&settings.remote_ports, port),
                .address = settings.remote_addresses.count > 0 ?
                                   !prefix_set_contains(&settings.remote_addresses, address.word) :
                                   settings.remote_ports.count == 0,
        };
}

bool probe_advice_has_tunnel(const ProbeView *view) {
        return view->properties && streq(property_string(view->properties, "State"), "active");
}

bool probe_advice_carries(const ProbeView *view, uint16_t port) {
        Address address = {};
        Settings settings;

        if (!probe_advice_has_tunnel(view) || address_from_text(view->address, &address) < 0)
                return false;
        property_settings(view->properties, &settings);
        return settings_cover(&settings, address.word, port);
}

/* Whether files say something of the link, which has to be changed where it stands. */
static bool is_in_files(const ProbeView *view) {
        g_autoptr(GVariant) rows = property_array(view->properties, "Settings", "a(ssss)");

        for (size_t i = 0; i < g_variant_n_children(rows); i++) {
                const char *source;

                g_variant_get_child(rows, i, "(&s&s&s&s)", NULL, NULL, &source, NULL);
                if (streq(source, profile_source_name(PROFILE_SOURCE_FILE)) ||
                    streq(source, profile_source_name(PROFILE_SOURCE_NETWORKD)))
                        return true;
        }
        return false;
}

/* The profile of NetworkManager that is active on the link, and takes settings; "": there is none. */
static const char *uuid_of(const ProbeView *view) {
        const char *id, *uuid = "";

        if (view->properties && !view->mirrored)
                g_variant_lookup(view->properties, "Connection", "(&s&s)", &id, &uuid);
        return uuid;
}

/* Whether somebody has said what is to be tunnelled on the link, or would lose other settings in a file. The
 * state of a link tells if its settings are wrong. */
static bool has_settings(const ProbeView *view) {
        Settings settings;

        if (!view->properties)
                return false;
        property_settings(view->properties, &settings);
        return settings.tunnel != TUNNEL_NO || settings.remote_ports.count > 0 ||
               settings.local_ports.count > 0 || settings.remote_addresses.count > 0 ||
               !streq(property_string(view->properties, "State"), "off") ||
               (!uuid_of(view)[0] && is_in_files(view));
}

ProbeNeed probe_advice_need(const ProbeView *view, uint16_t port) {
        if (probe_judge(&view->report) != PROBE_HELPS || probe_advice_carries(view, port))
                return PROBE_NEED_NOTHING;
        if (probe_advice_has_tunnel(view))
                return PROBE_NEED_KEYS;
        return has_settings(view) ? PROBE_NEED_REASON : PROBE_NEED_TUNNEL;
}

char *probe_advice_sentence(const ProbeView *view, uint16_t port) {
        g_autofree char *endpoint = text_endpoint(view->address, port);

        const ProbeNeed need = probe_advice_need(view, port);
        if (need == PROBE_NEED_REASON)
                return g_strdup_printf(_("%s has settings already, but no tunnel. Find out why:"),
                                       view->link);
        if (need != PROBE_NEED_KEYS)
                return NULL;
        const Lack lack = lack_of(view, port);
        if (lack.port && lack.address)
                return g_strdup_printf(_("The tunnel of %s leaves %s out: add port %u to its key "
                                         "remote-ports, and this address to its key remote-addresses."),
                                       view->link, endpoint, port);
        if (lack.port)
                return g_strdup_printf(_("The tunnel of %s leaves %s out: add port %u to its key "
                                         "remote-ports."),
                                       view->link, endpoint, port);
        return g_strdup_printf(_("The tunnel of %s leaves %s out: add this address to its key "
                                 "remote-addresses."),
                               view->link, endpoint);
}

/* Gives the link a tunnel on demand. A file may be there that says nothing of the link, so the shell is told
 * not to overwrite any (set -C). */
static char *set_tunnel(const ProbeView *view, uint16_t port) {
        const char *uuid = uuid_of(view), *file = "";

        if (uuid[0]) {
                g_autofree char *words = text_profile_words(NULL, uuid);

                return g_strdup_printf("underpassctl profile set %s tunnel=on-demand remote-ports=%u "
                                       "remote-addresses=%s --reapply",
                                       words, port, view->address);
        }
        if (view->properties)
                file = property_row(view->properties, "ConnectionSettings", "a(ss)", "network-file");

        g_autofree char *lines = g_strdup_printf("'[X-Underpass]' Tunnel=on-demand RemotePorts=%u "
                                                 "RemoteAddresses=%s",
                                                 port, view->address);
        if (file[0]) {
                g_autofree char *base = g_path_get_basename(file);
                g_autofree char *folder = g_strdup_printf("/etc/systemd/network/%s.d", base);
                g_autofree char *quoted = text_shell_word(folder);

                return g_strdup_printf("mkdir -p %s && (set -C && printf '%%s\\n' %s >%s/underpass.conf) && "
                                       "networkctl reload",
                                       quoted, lines, quoted);
        }
        g_autofree char *match = g_strdup_printf("Name=%s", view->link);
        g_autofree char *name = g_strdup_printf(PROFILES_FOLDER "/%s.conf", view->link);
        g_autofree char *quoted_match = text_shell_word(match);
        g_autofree char *quoted_name = text_shell_word(name);
        return g_strdup_printf("(set -C && printf '%%s\\n' '[Match]' %s %s >%s) && underpassctl reload",
                               quoted_match, lines, quoted_name);
}

/* The setting of a key with one more value; NULL: there is no room for it. A shell takes what a valid list
 * is made of, but for spaces, which may stand in place of commas. */
static char *with_one_more(const ProbeView *view, KeyId id, const char *value) {
        const Key *key = key_get(id);
        const char *before = property_setting(view->properties, key->name);
        g_autofree char *list = before[0] ? g_strdup_printf("%s,%s", before, value) : g_strdup(value);
        _cleanup_(freep) char *error = NULL;
        Settings settings;

        settings_init(&settings);
        g_strdelimit(list, " ", ',');
        if (key_parse(key, list, &settings, &error) < 0)
                return NULL;
        return g_strdup_printf("%s=%s", key->name, list);
}

/* Adds the destination to the settings of the link. */
static char *add_destination(const ProbeView *view, uint16_t port) {
        g_autofree char *number = g_strdup_printf("%u", port), *ports = NULL, *addresses = NULL;
        const char *uuid = uuid_of(view);
        const Lack lack = lack_of(view, port);

        if (!uuid[0] || is_in_files(view))
                return NULL;
        if (lack.port)
                ports = with_one_more(view, KEY_ID_REMOTE_PORTS, number);
        if (lack.address)
                addresses = with_one_more(view, KEY_ID_REMOTE_ADDRESSES, view->address);
        if ((lack.port && !ports) || (lack.address && !addresses))
                return NULL;

        g_autofree char *words = text_profile_words(NULL, uuid);
        return g_strdup_printf("underpassctl profile set %s %s%s%s --reapply", words, ports ?: "",
                               ports && addresses ? " " : "", addresses ?: "");
}

char *probe_advice_command(const ProbeView *view, uint16_t port) {
        switch (probe_advice_need(view, port)) {
        case PROBE_NEED_TUNNEL:
                return set_tunnel(view, port);
        case PROBE_NEED_KEYS:
                return add_destination(view, port);
        case PROBE_NEED_NOTHING:
        case PROBE_NEED_REASON:
                break;
        }
        return NULL;
}
