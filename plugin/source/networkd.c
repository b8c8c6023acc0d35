/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The networkd source: links, the questions about them, and the signals. Answers are read in
 * networkd-answer.c, the files that they name in networkd-files.c.
 */

#include "base/config.h"
#include "base/message.h"
#include "source/bus-peer.h"
#include "source/networkd-files.h"

#define NETWORKD_PATH "/org/freedesktop/network1"
#define NETWORKD_MANAGER "org.freedesktop.network1.Manager"
#define NETWORKD_LINK "org.freedesktop.network1.Link"

typedef struct NetworkdLink {
        BusPeerLink link;          /* answered: networkd has decided about this link */
        char *network_file;        /* by which it manages the link; NULL: it does not */
        Section section;
        char *error;               /* why the latest answer does not count */
        BusPeerRetry retry;
} NetworkdLink;

static NetworkdLink *networkd_link_find(Source *source, uint32_t ifindex) {
        return (NetworkdLink *) bus_peer_find((BusPeer *) source, ifindex);
}

static void networkd_link_done(BusPeerLink *peer_link) {
        NetworkdLink *link = (NetworkdLink *) peer_link;

        bus_peer_retry_done(&link->retry);
        section_done(&link->section);
        free(link->network_file);
        free(link->error);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        NetworkdLink *link = userdata;
        const BusPeer *peer = link->link.peer;

        bus_peer_retry_over(&link->retry);
        peer->changed(link->link.ifindex, peer->userdata);
        return 0;
}

static void networkd_link_retry_later(NetworkdLink *link) {
        bus_peer_retry_later(link->link.peer, &link->retry, on_retry, link);
}

/* Puts an answer into force. One that does not tell who manages the link leaves the last one in force. */
static int networkd_link_take_answer(NetworkdLink *link, const char *text) {
        _cleanup_(networkd_answer_done) NetworkdAnswer answer = {};
        Section section = {};
        const char *lack;
        int r;

        r = networkd_answer_parse(text, link->link.ifindex, &answer);
        if (r < 0)
                return r;
        if (answer.claim == NETWORKD_UNDECIDED) {
                networkd_link_retry_later(link);
                return 0;
        }
        r = networkd_section_read(config_network_folders, &answer, &section);
        if (r < 0)
                return r;
        /* What was read before stands while some of it cannot be read; the link is left as it is. */
        lack = section_lacks(&section, &link->section);
        if (lack) {
                r = string_replace(&link->section.error, lack);
                section_done(&section);
        } else {
                section_done(&link->section);
                link->section = section;
        }
        if (r < 0)
                return r;
        free(link->network_file);
        link->network_file = TAKE_PTR(answer.network_file);
        link->link.answered = true;
        bus_peer_retry_done(&link->retry);
        return 0;
}

static int on_description(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        NetworkdLink *link = userdata;
        const char *text;
        int r = 0;

        /* An error says nothing about the link: networkd gets to know every link sooner or later. */
        if (sd_bus_message_is_method_error(reply, NULL))
                networkd_link_retry_later(link);
        else {
                r = sd_bus_message_read(reply, "s", &text);
                if (r >= 0)
                        r = networkd_link_take_answer(link, text);
                (void) string_replace(&link->error, NULL);
        }
        if (r < 0)
                link->error = message_format(N_("Cannot parse systemd-networkd's reply about this link "
                                                "(%s); using the previous one."),
                                             MESSAGE_ERRNO(r));
        bus_peer_finish(&link->link);
        return 0;
}

static bool networkd_link_ask(BusPeerLink *link) {
        return bus_peer_call(link->peer, &link->call, NETWORKD_PATH, NETWORKD_MANAGER, "DescribeLink",
                             on_description, link, "i", (int) link->ifindex) >= 0;
}

static int networkd_identify(Source *source, const LinkFacts *facts, Profile *profile) {
        const NetworkdLink *link = networkd_link_find(source, facts->ifindex);

        if (!link || !link->network_file)
                return 0;
        profile->network_section = link->section.keys || link->section.error;
        profile->network_down = profile->network_section && !(facts->flags & IFF_UP);
        return string_replace(&profile->network_file, link->network_file);
}

static int networkd_apply(Source *source, const LinkFacts *facts, Profile *profile) {
        const NetworkdLink *link = networkd_link_find(source, facts->ifindex);
        int r = 0;

        if (link && link->error)
                r = strings_add(&profile->warnings, link->error);
        if (r < 0 || !link)
                return r;
        if (profile->network_section && profile->connection_id) {
                _cleanup_(freep) char *shown = config_path_shown(link->network_file);

                profile->network_section = profile->network_down = false;
                if (!shown)
                        return -ENOMEM;
                return message_add(&profile->warnings,
                                   N_("NetworkManager and systemd-networkd both manage this link, by the "
                                      "profile \"%s\" and by %s. Underpass uses the keys of the former; let "
                                      "only one of them manage the link."),
                                   profile->connection_id, shown);
        }
        /* Without a section there are no keys, but perhaps warnings of files that are not used. */
        return networkd_section_apply(&link->section, profile);
}

static bool networkd_uncertain(Source *source, uint32_t ifindex) {
        const NetworkdLink *link = networkd_link_find(source, ifindex);

        return bus_peer_uncertain(source, ifindex) || (link && link->section.unread);
}

/* networkd runs no dispatcher scripts, so nobody would start the service again when a link, or the file of
 * one, gets a profile. */
static bool networkd_standing(Source *source) {
        return bus_peer_available(source) || networkd_any_section(config_network_folders);
}

/* A property of a link has changed; its path ends in the number of the link. */
static void on_properties_changed(BusPeer *peer, sd_bus_message *message) {
        _cleanup_(freep) char *number = NULL;
        const char *path = sd_bus_message_get_path(message);
        unsigned long ifindex;
        char *end;

        if (!path || sd_bus_path_decode(path, NETWORKD_PATH "/link", &number) <= 0)
                return;
        errno = 0;
        ifindex = strtoul(number, &end, 10);
        if (errno == 0 && *end == '\0' && ifindex > 0 && ifindex <= INT32_MAX)
                peer->changed((uint32_t) ifindex, peer->userdata);
}

int source_networkd_new(Source **ret, SourceChanged changed, void *userdata) {
        static const SourceOps source_ops = {
                .source = PROFILE_SOURCE_NETWORKD,
                .available = bus_peer_available,
                .ask = bus_peer_ask,
                .identify = networkd_identify,
                .apply = networkd_apply,
                .uncertain = networkd_uncertain,
                .standing = networkd_standing,
                .forget = bus_peer_forget,
                .set_bus = bus_peer_set_bus,
                .free = bus_peer_free,
        };
        static const BusPeerOps ops = {
                .name = "org.freedesktop.network1",
                .link_size = sizeof(NetworkdLink),
                .signals = {
                        { "path_namespace='" NETWORKD_PATH "/link',"
                          "interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',"
                          "arg0='" NETWORKD_LINK "'",
                          on_properties_changed },
                },
                .ask = networkd_link_ask,
                .link_done = networkd_link_done,
        };
        BusPeer *peer = NULL;
        int r;

        r = bus_peer_new(&peer, sizeof(BusPeer), &source_ops, &ops, changed, userdata);
        if (r >= 0)
                *ret = &peer->source;
        return r;
}
