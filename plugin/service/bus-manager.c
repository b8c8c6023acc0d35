/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * org.underpass1.Manager. The members are documented in data/org.underpass1.xml, which a test compares with
 * this vtable.
 */

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/i18n.h"
#include "base/log.h"
#include "config.h"
#include "plan/counters.h"
#include "service/bus-util.h"
#include "service/manager.h"
#include "source/nm.h"

static int method_get_link(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;
        Link *link;
        int r;

        manager_reset_idle(manager);
        r = bus_read_link(manager, message, &link, error);
        return r < 0 ? r : sd_bus_reply_method_return(message, "o", link->path);
}

static int method_list_links(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        Manager *manager = userdata;
        int r;

        manager_reset_idle(manager);
        r = bus_list_begin(message, "(usso)", &reply);
        for (Link *link = manager->links; r >= 0 && link; link = link->next)
                if (link->facts)
                        r = sd_bus_message_append(reply, "(usso)", link->ifindex, link->facts->name,
                                                  link_state_name(link->state), link->path);
        return r < 0 ? r : bus_list_send(reply);
}

static const char *format_address(const uint32_t words[4], char buffer[INET6_ADDRSTRLEN]) {
        Address address;

        memcpy(address.word, words, sizeof(address.word));
        return address_text(&address, buffer);
}

static const char *flow_state_name(uint8_t state) {
        static const char *const names[] = {
                [UNDERPASS_FLOW_HALF_OPEN] = "half-open",
                [UNDERPASS_FLOW_TUNNELLED] = "tunnelled",
                [UNDERPASS_FLOW_WATCHED] = "plain",
        };

        return state < ELEMENTS(names) && names[state] ? names[state] : "?";
}

static uint64_t monotonic_ns(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

static int append_flow(const struct underpass_flow_key *key, const struct underpass_flow *flow,
                       void *userdata) {
        char local[INET6_ADDRSTRLEN], remote[INET6_ADDRSTRLEN];
        sd_bus_message *reply = userdata;
        uint64_t now_ns = monotonic_ns();
        int r;

        r = sd_bus_message_append(
                reply, "(sqsqsbutttt)", format_address(key->local, local), ntohs(key->local_port),
                format_address(key->remote, remote), ntohs(key->remote_port), flow_state_name(flow->state),
                (flow->flags & UNDERPASS_FLOW_OPENED_HERE) != 0, flow->ifindex,
                now_ns > flow->opened_ns ? (now_ns - flow->opened_ns) / 1000000 : 0,
                now_ns > flow->seen_ns ? (now_ns - flow->seen_ns) / 1000000 : 0, flow->sent, flow->received);
        return r < 0 ? r : 0;
}

static int method_list_flows(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        Manager *manager = userdata;
        int r;

        manager_reset_idle(manager);
        r = bus_list_begin(message, "(sqsqsbutttt)", &reply);
        if (r >= 0)
                r = tunnel_flows(manager->tunnel, append_flow, reply);
        return r < 0 ? r : bus_list_send(reply);
}

typedef struct DestinationsReply {
        Manager *manager;
        sd_bus_message *message;
} DestinationsReply;

static int append_destination(const struct underpass_destination_key *key,
                              const struct underpass_destination *verdict, void *userdata) {
        const DestinationsReply *reply = userdata;
        const Link *link = manager_link(reply->manager, key->ifindex);
        const uint32_t flags = link && link->applied.attached ? link->applied.link.flags : 0;
        const uint64_t now_ns = monotonic_ns();
        const struct {
                const char *name;
                uint64_t until_ns;
                uint32_t flag; /* of the link: without it the verdict has no effect */
        } verdicts[] = {
                { "blocked", verdict->blocked_until_ns, UNDERPASS_LINK_FALLBACK },
                { "stripped", verdict->stripped_until_ns, UNDERPASS_LINK_ON_DEMAND },
        };
        char remote[INET6_ADDRSTRLEN];
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTS(verdicts); i++)
                if ((flags & verdicts[i].flag) && verdicts[i].until_ns > now_ns)
                        r = sd_bus_message_append(reply->message, "(usqsu)", key->ifindex,
                                                  format_address(key->remote, remote),
                                                  ntohs(key->remote_port), verdicts[i].name,
                                                  (uint32_t) ((verdicts[i].until_ns - now_ns) / 1000000000));
        return r < 0 ? r : 0;
}

static int method_list_destinations(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        DestinationsReply destinations = { .manager = userdata };
        int r;

        manager_reset_idle(destinations.manager);
        r = bus_list_begin(message, "(usqsu)", &reply);
        destinations.message = reply;
        if (r >= 0)
                r = tunnel_destinations(destinations.manager->tunnel, append_destination, &destinations);
        return r < 0 ? r : bus_list_send(reply);
}

static int method_list_counters(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = bus_list_begin(message, "(ss)", &reply);
        for (int i = 0; r >= 0 && i < UNDERPASS_COUNTER_COUNT; i++) {
                const CounterInfo *info = counter_info((enum underpass_counter) i);

                r = sd_bus_message_append(reply, "(ss)", info->name, _(info->help));
        }
        return r < 0 ? r : bus_list_send(reply);
}

static int method_activate(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;
        Link *link;
        int r;

        r = bus_read_link(manager, message, &link, error);
        return r < 0 ? r : bus_activate(link, message, true);
}

static int method_deactivate(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;
        Link *link;
        int r;

        r = bus_read_link(manager, message, &link, error);
        return r < 0 ? r : bus_deactivate(link, message);
}

static int method_deactivate_all(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;
        uint32_t count = 0;
        PendingReply *round;

        manager_reset_idle(manager);
        for (Link *link = manager->links; link; link = link->next)
                count += link->applied.attached;
        round = pending_reply_new(message, count);
        if (!round)
                return -ENOMEM;
        for (Link *link = manager->links; link; link = link->next) {
                if (!link->applied.attached && !manager_sctp_asked(link) &&
                    (!link->profile || link->profile->settings.tunnel == TUNNEL_NO))
                        continue;
                link->held_off = true;
                pending_reply_add(round, link);
        }
        return pending_reply_start(round);
}

static int method_reload(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;
        PendingReply *round;

        manager_reset_idle(manager);
        round = pending_reply_new(message, 0);
        if (!round)
                return -ENOMEM;
        for (Link *link = manager->links; link; link = link->next)
                pending_reply_add(round, link);
        return pending_reply_start(round);
}

static int method_dispatch(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *interface, *action, *uuid;
        Manager *manager = userdata;
        PendingReply *round;
        Link *link;
        int r;

        manager_reset_idle(manager);
        r = sd_bus_message_read(message, "sss", &interface, &action, &uuid);
        if (r < 0)
                return r;
        link = manager_link_by_name(manager, interface);
        if (!link)
                return sd_bus_reply_method_return(message, "");
        log_line(LOG_DEBUG, interface, NULL, "Hook: %s.", action);
        source_nm_dispatched(manager->sources[SOURCE_NETWORK_MANAGER], link->ifindex, action);
        /* An activation of the connection ends what "deactivate" said before it. */
        if (streq(action, "pre-up"))
                link->held_off = false;
        if (!streq(action, "pre-up")) {
                if (!streq(action, "pre-down"))
                        manager_mark(manager, link->ifindex);
                return sd_bus_reply_method_return(message, "");
        }
        round = pending_reply_new(message, 0);
        if (!round)
                return -ENOMEM;
        pending_reply_add(round, link);
        return pending_reply_start(round);
}

static int property_version(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", PACKAGE_VERSION);
}

static int property_kernel(sd_bus *bus, const char *path, const char *interface, const char *property,
                           sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        struct utsname name;

        if (uname(&name) < 0)
                return -errno;
        return sd_bus_message_append(reply, "s", name.release);
}

static int property_features(sd_bus *bus, const char *path, const char *interface, const char *property,
                             sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Manager *manager = userdata;

        return sd_bus_message_append(reply, "a{sb}", 5, "bpf", manager->features.bpf, "btf",
                                     manager->features.btf, "tcx", manager->features.tcx, "netkit",
                                     manager->features.netkit, "mptcp", manager->mptcp_pm != NULL);
}

static int property_attach_point(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Manager *manager = userdata;

        return sd_bus_message_append(reply, "s", attach_point_name(tunnel_attach_point(manager->tunnel)));
}

static int property_segmentation_device(sd_bus *bus, const char *path, const char *interface,
                                        const char *property, sd_bus_message *reply, void *userdata,
                                        sd_bus_error *error) {
        const Manager *manager = userdata;

        for (SegmentKind kind = 0; kind < _SEGMENT_KIND_MAX; kind++)
                if (manager->devices[kind].ifindex != 0)
                        return sd_bus_message_append(reply, "(ss)", segment_kind_name(kind),
                                                     manager->devices[kind].name);
        return sd_bus_message_append(reply, "(ss)", "", "");
}

static int property_segmentation_devices_skipped(sd_bus *bus, const char *path, const char *interface,
                                                 const char *property, sd_bus_message *reply, void *userdata,
                                                 sd_bus_error *error) {
        const Manager *manager = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ss)");
        for (SegmentKind kind = 0; r >= 0 && kind < _SEGMENT_KIND_MAX; kind++)
                if (manager->segment_refused[kind])
                        r = sd_bus_message_append(reply, "(ss)", segment_kind_name(kind),
                                                  manager->segment_refused[kind]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int property_sources(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sb)");
        for (size_t i = 0; r >= 0 && i < _MANAGER_SOURCE_MAX; i++) {
                Source *source = manager->sources[i];

                r = sd_bus_message_append(reply, "(sb)", source->ops->name, source->ops->available(source));
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int property_counters(sd_bus *bus, const char *path, const char *interface, const char *property,
                             sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Manager *manager = userdata;

        return bus_append_counters(reply, manager->tunnel, 0);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("GetLink", SD_BUS_ARGS("s", interface), SD_BUS_RESULT("o", link),
                                method_get_link, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListLinks", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(usso)", links),
                                method_list_links, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListFlows", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sqsqsbutttt)", flows),
                                method_list_flows, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListDestinations", SD_BUS_NO_ARGS,
                                SD_BUS_RESULT("a(usqsu)", destinations),
                                method_list_destinations, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListCounters", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ss)", counters),
                                method_list_counters, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Activate", SD_BUS_ARGS("s", interface), SD_BUS_RESULT("o", link),
                                method_activate, 0),
        SD_BUS_METHOD_WITH_ARGS("Deactivate", SD_BUS_ARGS("s", interface), SD_BUS_NO_RESULT,
                                method_deactivate, 0),
        SD_BUS_METHOD_WITH_ARGS("DeactivateAll", SD_BUS_NO_ARGS, SD_BUS_RESULT("u", links),
                                method_deactivate_all, 0),
        SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload, 0),
        /* Hooks do not wait for an answer and are gone when sd-bus would ask who they were. The bus
         * policy lets only root call this. */
        SD_BUS_METHOD_WITH_ARGS("Dispatch", SD_BUS_ARGS("s", interface, "s", action, "s", uuid),
                                SD_BUS_NO_RESULT, method_dispatch, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Version", "s", property_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("KernelVersion", "s", property_kernel, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Features", "a{sb}", property_features, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("AttachPoint", "s", property_attach_point, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("SegmentationDevice", "(ss)", property_segmentation_device, 0, 0),
        SD_BUS_PROPERTY("SegmentationDevicesSkipped", "a(ss)", property_segmentation_devices_skipped, 0, 0),
        SD_BUS_PROPERTY("Sources", "a(sb)", property_sources, 0, 0),
        SD_BUS_PROPERTY("Counters", "a{st}", property_counters, 0, 0),
        SD_BUS_VTABLE_END,
};

int bus_manager_export(Manager *manager) {
        int r;

        r = sd_bus_add_object_manager(manager->bus, NULL, BUS_PATH);
        if (r < 0)
                return r;
        return sd_bus_add_object_vtable(manager->bus, NULL, BUS_PATH, "org.underpass1.Manager", vtable,
                                        manager);
}
