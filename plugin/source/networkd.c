/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The networkd source: links, the questions about them, and the signals. What an answer contains is read in
 * source-networkd-json.c, what the files say in source-networkd-files.c.
 */

#include <systemd/sd-event.h>

#include "base/i18n.h"
#include "source/networkd-files.h"
#include "source/networkd.h"

#define NETWORKD_NAME "org.freedesktop.network1"
#define NETWORKD_PATH "/org/freedesktop/network1"
#define NETWORKD_MANAGER "org.freedesktop.network1.Manager"
#define NETWORKD_LINK "org.freedesktop.network1.Link"

enum {
        CALL_TIMEOUT_US = 1000 * 1000,
        AGAIN_FIRST_US = 2 * 1000 * 1000,
        AGAIN_LAST_US = 64 * 1000 * 1000,
};

typedef struct NetworkdLink {
        struct NetworkdLink *next;
        struct SourceNetworkd *owner;
        uint32_t ifindex;
        bool answered;             /* networkd has decided about this link */
        char *network_file;        /* by which it manages the link; NULL: it does not */
        NetworkdSections sections;
        char *complaint;           /* why the latest answer does not count */
        sd_bus_slot *call;         /* question under way */
        SourceDone done;           /* somebody waits for the answer */
        void *done_userdata;
        sd_event_source *again;    /* the latest question was not answered: it is put once more */
        uint64_t again_us;
} NetworkdLink;

typedef struct SourceNetworkd {
        Source source;
        SourceNetworkdChanged changed;
        void *userdata;
        sd_bus *bus;
        sd_bus_slot *properties_slot, *owner_slot;
        sd_bus_slot *presence_call;    /* whether networkd is there is being asked */
        bool present;                  /* networkd is on the bus */
        NetworkdLink *links;
} SourceNetworkd;

static void message_unrefp(sd_bus_message **message) {
        sd_bus_message_unref(*message);
}

/* An asynchronous method call whose one argument has this type; never starts who is called. */
static int call(sd_bus *bus, sd_bus_slot **ret_slot, const char *destination, const char *path,
                const char *interface, const char *member, sd_bus_message_handler_t handler, void *userdata,
                const char *type, ...) {
        _cleanup_(message_unrefp) sd_bus_message *message = NULL;
        va_list arguments;
        int r;

        r = sd_bus_message_new_method_call(bus, &message, destination, path, interface, member);
        if (r < 0)
                return r;
        r = sd_bus_message_set_auto_start(message, false);
        if (r < 0)
                return r;
        va_start(arguments, type);
        r = sd_bus_message_appendv(message, type, arguments);
        va_end(arguments);
        if (r < 0)
                return r;
        return sd_bus_call_async(bus, ret_slot, message, handler, userdata, CALL_TIMEOUT_US);
}

static NetworkdLink *link_find(const SourceNetworkd *networkd, uint32_t ifindex) {
        for (NetworkdLink *link = networkd->links; link; link = link->next)
                if (link->ifindex == ifindex)
                        return link;
        return NULL;
}

static NetworkdLink *link_get(SourceNetworkd *networkd, uint32_t ifindex) {
        NetworkdLink *link = link_find(networkd, ifindex);

        if (link)
                return link;
        link = calloc(1, sizeof(*link));
        if (!link)
                return NULL;
        *link = (NetworkdLink) { .next = networkd->links, .owner = networkd, .ifindex = ifindex };
        networkd->links = link;
        return link;
}

/* No question is under way any more: who waits for an answer goes on with what is known. */
static void link_finish(NetworkdLink *link) {
        SourceDone done = link->done;

        link->call = sd_bus_slot_unref(link->call);
        link->done = NULL;
        if (done)
                done(link->done_userdata);
}

static void link_free(NetworkdLink *link) {
        link_finish(link);
        sd_event_source_disable_unref(link->again);
        networkd_sections_done(&link->sections);
        free(link->network_file);
        free(link->complaint);
        free(link);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        NetworkdLink *link = userdata;

        link->again = sd_event_source_disable_unref(link->again);
        link->owner->changed(link->ifindex, link->owner->userdata);
        return 0;
}

/* A networkd that was too busy to answer in time may have no reason for a signal later. The longer it is
 * silent, the less often it is asked. */
static void ask_again_later(NetworkdLink *link) {
        if (link->again)
                return;
        link->again_us = link->again_us == 0 ? AGAIN_FIRST_US : MIN_OF(2 * link->again_us, AGAIN_LAST_US);
        (void) sd_event_add_time_relative(sd_bus_get_event(link->owner->bus), &link->again, CLOCK_MONOTONIC,
                                          link->again_us, 0, on_again, link);
}

/* Takes an answer over. Those that do not tell whose the link is leave the last one in force. */
static int take_answer(NetworkdLink *link, const char *text) {
        _cleanup_(networkd_answer_done) NetworkdAnswer answer = {};
        NetworkdSections sections = {};
        int r;

        r = networkd_answer_parse(text, link->ifindex, &answer);
        if (r < 0)
                return r;
        if (answer.claim == NETWORKD_UNDECIDED) {
                ask_again_later(link);
                return 0;
        }
        r = networkd_sections_read(networkd_folders, &answer, &sections);
        if (r < 0)
                return r;
        networkd_sections_done(&link->sections);
        link->sections = sections;
        free(link->network_file);
        link->network_file = TAKE_PTR(answer.network_file);
        link->answered = true;
        link->again = sd_event_source_disable_unref(link->again);
        link->again_us = 0;
        return 0;
}

static int on_description(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        NetworkdLink *link = userdata;
        const char *text;
        int r = 0;

        /* An error says nothing about the link: networkd knows all there are, sooner or later. */
        if (sd_bus_message_is_method_error(reply, NULL))
                ask_again_later(link);
        else {
                r = sd_bus_message_read(reply, "s", &text);
                if (r >= 0)
                        r = take_answer(link, text);
                free(link->complaint);
                link->complaint = NULL;
        }
        if (r < 0)
                link->complaint = string_format(_("What systemd-networkd answers about this link cannot be "
                                                  "read (%s); its last answer counts."),
                                                strerror(-r));
        link_finish(link);
        return 0;
}

/* Puts the question for which somebody waits already, or answers it without asking. */
static void link_ask(SourceNetworkd *networkd, NetworkdLink *link) {
        if (!networkd->present || !networkd->bus ||
            call(networkd->bus, &link->call, NETWORKD_NAME, NETWORKD_PATH, NETWORKD_MANAGER, "DescribeLink",
                 on_description, link, "i", (int) link->ifindex) < 0)
                link_finish(link);
}

static void networkd_ask(Source *source, const LinkFacts *facts, SourceDone done, void *userdata) {
        SourceNetworkd *networkd = (SourceNetworkd *) source;
        NetworkdLink *link = link_get(networkd, facts->ifindex);

        if (!link || link->done) {
                done(userdata);
                return;
        }
        link->done = done;
        link->done_userdata = userdata;
        /* Whether networkd is there at all is being asked right now: the answer puts the question. */
        if (!networkd->presence_call)
                link_ask(networkd, link);
}

static int networkd_identify(Source *source, const LinkFacts *facts, Profile *profile) {
        const NetworkdLink *link = link_find((SourceNetworkd *) source, facts->ifindex);

        if (!link || !link->network_file)
                return 0;
        profile->network_section = link->sections.keys || link->sections.error;
        profile->network_down = profile->network_section && !(facts->flags & IFF_UP);
        return string_replace(&profile->network_file, link->network_file);
}

static int networkd_apply(Source *source, const LinkFacts *facts, Profile *profile) {
        const NetworkdLink *link = link_find((SourceNetworkd *) source, facts->ifindex);
        int r = 0;

        if (link && link->complaint)
                r = strings_add(&profile->warnings, link->complaint);
        if (r < 0 || !link || !profile->network_section)
                return r;
        if (profile->connection_id) {
                profile->network_section = profile->network_down = false;
                return strings_addf(&profile->warnings,
                                    _("NetworkManager and systemd-networkd both manage this link, by the "
                                      "profile \"%s\" and by %s. The keys of the first count; take the link "
                                      "from one of them."),
                                    profile->connection_id, link->network_file);
        }
        return networkd_sections_apply(&link->sections, profile);
}

static bool networkd_available(Source *source) {
        return ((SourceNetworkd *) source)->present;
}

static bool networkd_uncertain(Source *source, uint32_t ifindex) {
        const NetworkdLink *link = link_find((SourceNetworkd *) source, ifindex);

        return !link || !link->answered;
}

/* networkd runs no hooks, so nobody would start the service again when a file, or a link, gets a profile. */
static bool networkd_standing(Source *source) {
        return ((SourceNetworkd *) source)->present || networkd_any_section(networkd_folders);
}

static void networkd_forget(Source *source, uint32_t ifindex) {
        SourceNetworkd *networkd = (SourceNetworkd *) source;

        for (NetworkdLink **position = &networkd->links; *position; position = &(*position)->next)
                if ((*position)->ifindex == ifindex) {
                        NetworkdLink *link = *position;

                        *position = link->next;
                        link_free(link);
                        return;
                }
}

/* A property of a link has changed; its path ends in the number of the link. */
static int on_properties_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(freep) char *number = NULL;
        SourceNetworkd *networkd = userdata;
        const char *path = sd_bus_message_get_path(message);
        unsigned long ifindex;
        char *end;

        if (!path || sd_bus_path_decode(path, NETWORKD_PATH "/link", &number) <= 0)
                return 0;
        errno = 0;
        ifindex = strtoul(number, &end, 10);
        if (errno == 0 && *end == '\0' && ifindex > 0 && ifindex <= INT32_MAX)
                networkd->changed((uint32_t) ifindex, networkd->userdata);
        return 0;
}

static void set_present(SourceNetworkd *networkd, bool present) {
        networkd->present = present;
        /* Those who asked while nobody knew whether there is somebody to ask, or whom nobody answers now. */
        for (NetworkdLink *link = networkd->links, *next; link; link = next) {
                next = link->next;
                if (link->done && (!link->call || !present))
                        link_ask(networkd, link);
        }
        /* What happened before it was on the bus was not told by signals. */
        if (present)
                networkd->changed(0, networkd->userdata);
}

static int on_name_owner(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        SourceNetworkd *networkd = userdata;

        networkd->presence_call = sd_bus_slot_unref(networkd->presence_call);
        set_present(networkd, !sd_bus_message_is_method_error(reply, NULL));
        return 0;
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *name, *before, *after;
        SourceNetworkd *networkd = userdata;

        if (sd_bus_message_read(message, "sss", &name, &before, &after) < 0)
                return 0;
        networkd->presence_call = sd_bus_slot_unref(networkd->presence_call);
        set_present(networkd, after[0] != '\0');
        return 0;
}

static int subscribe(SourceNetworkd *networkd) {
        int r;

        r = sd_bus_add_match_async(
                networkd->bus, &networkd->properties_slot,
                "type='signal',sender='" NETWORKD_NAME "',path_namespace='" NETWORKD_PATH "/link',"
                "interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',"
                "arg0='" NETWORKD_LINK "'",
                on_properties_changed, NULL, networkd);
        if (r < 0)
                return r;
        r = sd_bus_add_match_async(
                networkd->bus, &networkd->owner_slot,
                "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" NETWORKD_NAME "'",
                on_owner_changed, NULL, networkd);
        if (r < 0)
                return r;
        return call(networkd->bus, &networkd->presence_call, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                    "org.freedesktop.DBus", "GetNameOwner", on_name_owner, networkd, "s", NETWORKD_NAME);
}

int source_networkd_set_bus(Source *source, sd_bus *bus) {
        SourceNetworkd *networkd = (SourceNetworkd *) source;

        networkd->properties_slot = sd_bus_slot_unref(networkd->properties_slot);
        networkd->owner_slot = sd_bus_slot_unref(networkd->owner_slot);
        networkd->presence_call = sd_bus_slot_unref(networkd->presence_call);
        for (NetworkdLink *link = networkd->links; link; link = link->next)
                link_finish(link);
        networkd->bus = sd_bus_unref(networkd->bus);
        networkd->present = false;
        if (!bus)
                return 0;
        networkd->bus = sd_bus_ref(bus);
        return subscribe(networkd);
}

static void networkd_free(Source *source) {
        SourceNetworkd *networkd = (SourceNetworkd *) source;

        (void) source_networkd_set_bus(source, NULL);
        while (networkd->links)
                networkd_forget(source, networkd->links->ifindex);
        free(networkd);
}

int source_networkd_new(Source **ret, SourceNetworkdChanged changed, void *userdata) {
        static const SourceOps ops = {
                .source = PROFILE_SOURCE_NETWORKD,
                .available = networkd_available,
                .ask = networkd_ask,
                .identify = networkd_identify,
                .apply = networkd_apply,
                .uncertain = networkd_uncertain,
                .standing = networkd_standing,
                .forget = networkd_forget,
                .free = networkd_free,
        };
        SourceNetworkd *networkd = calloc(1, sizeof(*networkd));

        if (!networkd)
                return -ENOMEM;
        networkd->source.ops = &ops;
        networkd->changed = changed;
        networkd->userdata = userdata;
        *ret = &networkd->source;
        return 0;
}
