/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * org.underpass1.Manager. The members are documented in data/org.underpass1.xml, which a test compares with
 * this vtable. See bus-manager.h.
 */

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/i18n.h"
#include "base/log.h"
#include "config.h"
#include "plan/counters.h"
#include "service/bus-deactivate.h"
#include "service/bus-files.h"
#include "service/bus-flows.h"
#include "service/bus-manager.h"
#include "service/bus-reply.h"
#include "service/bus-text.h"
#include "service/destination-states.h"
#include "service/probe-message.h"
#include "service/tunnel-profile.h"

enum { MANAGED_OBJECT_US = 60 }; /* that a link takes in GetManagedObjects, about */

/* Finds the link of a name. Positive: there is none, and the call has been answered with an error. */
static int find_link(const BusManager *self, sd_bus_message *message, const char *name, Link **ret) {
        Link *link = manager_link_by_name(self->manager, name);

        if (!link) {
                _cleanup_(freep) char *excerpt = value_excerpt(name);

                return told_error(self->told, message, BUS_ERROR_NO_SUCH_LINK,
                                  N_("There is no interface named \"%s\"."), excerpt ?: "?");
        }
        *ret = link;
        return 0;
}

/* Reads an interface name and finds its link, as find_link() does. */
static int read_link(const BusManager *self, sd_bus_message *message, Link **ret) {
        const char *name;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        return r < 0 ? r : find_link(self, message, name, ret);
}

/* Of a link with an object; there is none only when memory was short. */
static const char *path_of(const BusManager *self, const Link *link) {
        return bus_links_path(self->links, link) ?: BUS_LINK_PREFIX;
}

static int method_get_link(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const BusManager *self = userdata;
        Link *link = NULL;
        int r;

        manager_reset_idle(self->manager);
        r = read_link(self, message, &link);
        return r != 0 ? r : sd_bus_reply_method_return(message, "o", path_of(self, link));
}

static int method_list_links(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const BusManager *self = userdata;
        int r;

        manager_reset_idle(self->manager);
        r = bus_list_begin(message, "(usso)", &reply);
        for (size_t i = 0; r >= 0 && i < manager_links_count(self->manager); i++) {
                const Link *link = manager_link_at(self->manager, i);

                r = sd_bus_message_append(reply, "(usso)", link_ifindex(link), link_name(link),
                                          link_state_name(link_state(link)), path_of(self, link));
        }
        return r < 0 ? r : bus_list_send(reply);
}

/* Lists have cost too much of late. */
static int refuse_expensive(const BusManager *self, sd_bus_message *message) {
        return told_error(self->told, message, BUS_ERROR_LIMITS_EXCEEDED,
                          N_("Lists were requested too often; call again in a second."));
}

/* What everybody may ask for and what costs time. Positive: it has cost too much of late, and the call has
 * been answered with an error. */
static int begin_expensive(BusManager *self, sd_bus_message *message, uint64_t *ret_begin_us) {
        const uint64_t now_us = clock_monotonic_ns() / 1000;

        manager_reset_idle(self->manager);
        if (!call_budget_allows(&self->budget, sd_bus_message_get_sender(message) ?: "", now_us))
                return refuse_expensive(self, message);
        *ret_begin_us = now_us;
        return 0;
}

static void end_expensive(BusManager *self, sd_bus_message *message, uint64_t begin_us) {
        call_budget_charge(&self->budget, sd_bus_message_get_sender(message) ?: "",
                           clock_monotonic_ns() / 1000 - begin_us);
}

/* A list of flows that everybody may ask for. */
static int answer_flows(BusManager *self, sd_bus_message *message, sd_bus_error *error,
                        int (*answer)(sd_bus_message *message, FlowList *flows, sd_bus_error *error)) {
        uint64_t begin_us = 0;
        int r;

        r = begin_expensive(self, message, &begin_us);
        if (r != 0)
                return r;
        r = answer(message, self->flows, error);
        end_expensive(self, message, begin_us);
        return r;
}

static int method_list_flows(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return answer_flows(userdata, message, error, bus_flows_list);
}

static int method_list_live_flows(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return answer_flows(userdata, message, error, bus_flows_list_live);
}

static int method_list_busy_flows(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return answer_flows(userdata, message, error, bus_flows_list_busy);
}

static int method_subscribe(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const BusManager *self = userdata;
        int r;

        manager_reset_idle(self->manager);
        r = bus_watch_subscribe(self->watch, message);
        if (r == -EUSERS)
                return told_error(self->told, message, BUS_ERROR_LIMITS_EXCEEDED,
                                  N_("There are too many subscribers; call again when one has left."));
        return r < 0 ? r : sd_bus_reply_method_return(message, "");
}

static int append_state(const DestinationState *state, void *userdata) {
        char remote[INET6_ADDRSTRLEN];

        return sd_bus_message_append(userdata, "(usqsu)", state->ifindex,
                                     address_text(&state->remote, remote), ntohs(state->remote_port),
                                     state->name, state->seconds);
}

static int method_list_destinations(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        BusManager *self = userdata;
        uint64_t begin_us = 0;
        int r;

        r = begin_expensive(self, message, &begin_us);
        if (r != 0)
                return r;
        r = bus_list_begin(message, "(usqsu)", &reply);
        if (r >= 0)
                r = destination_states(self->manager, append_state, reply);
        end_expensive(self, message, begin_us);
        return r < 0 ? r : bus_list_send(reply);
}

/* "" is any address. */
static int read_address(const char *text, Address *ret, bool *ret_any) {
        *ret_any = !*text;
        return *text ? address_from_text(text, ret) : 0;
}

static int method_forget(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const BusManager *self = userdata;
        const char *name, *address_word;
        TunnelDestinations which = {};
        Link *link = NULL;
        Address address;
        uint16_t port;
        bool any;
        int r;

        manager_reset_idle(self->manager);
        r = sd_bus_message_read(message, "ssq", &name, &address_word, &port);
        if (r < 0)
                return r;
        if (*name) {
                r = find_link(self, message, name, &link);
                if (r != 0)
                        return r;
                which.ifindex = link_ifindex(link);
        }
        if (read_address(address_word, &address, &any) < 0) {
                _cleanup_(freep) char *excerpt = value_excerpt(address_word);

                return told_error(self->told, message, SD_BUS_ERROR_INVALID_ARGS,
                                  N_("\"%s\" is not an IP address."), excerpt ?: "?");
        }
        which.remote = any ? NULL : address.word;
        which.remote_port = htons(port);
        r = tunnel_forget(manager_tunnel(self->manager), &which);
        if (r < 0)
                return r;
        log_line(LOG_INFO, *name ? name : NULL, NULL, "Destinations forgotten on request: %d.", r);
        return sd_bus_reply_method_return(message, "u", (uint32_t) r);
}

static int method_describe_tunnel_profile(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const BusManager *self = userdata;
        _cleanup_(freep) char *text = NULL, *english = NULL;
        const char *uuid;
        int r;

        manager_reset_idle(self->manager);
        r = sd_bus_message_read(message, "s", &uuid);
        if (r < 0)
                return r;
        text = tunnel_profile_describe(self->manager, uuid);
        english = text ? message_english(text) : NULL;
        return english ? sd_bus_reply_method_return(message, "s", english) : -ENOMEM;
}

static int method_probe(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const BusManager *self = userdata;
        const char *name, *address_word;
        Link *link = NULL;
        Address address;
        uint16_t port;
        int r;

        manager_reset_idle(self->manager);
        r = sd_bus_message_read(message, "ssq", &name, &address_word, &port);
        if (r >= 0)
                r = find_link(self, message, name, &link);
        if (r != 0)
                return r;
        if (port == 0 || address_from_text(address_word, &address) < 0) {
                _cleanup_(freep) char *excerpt = value_excerpt(address_word);

                return told_error(self->told, message, SD_BUS_ERROR_INVALID_ARGS,
                                  N_("\"%s\" is not an IP address, or %u is not a port."), excerpt ?: "?",
                                  port);
        }
        r = probing_ask(self->probing, link, &address, port, message);
        if (r == -EBUSY || r == -EDQUOT)
                return told_error(self->told, message, BUS_ERROR_LIMITS_EXCEEDED,
                                  N_("A probe by %s is under way, or there were too many; call again in a "
                                     "minute."),
                                  link_name(link));
        if (r == -ENOENT)
                return told_error(self->told, message, SD_BUS_ERROR_FAILED,
                                  N_("%s has no tunnel, so nothing would be learnt."), link_name(link));
        return r < 0 ? r : 1;
}

static int method_list_counters(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = bus_list_begin(message, "(ss)", &reply);
        for (int i = 0; r >= 0 && i < UNDERPASS_COUNTER_COUNT; i++) {
                const CounterInfo *info = counter_info((enum underpass_counter) i);

                r = sd_bus_message_append(reply, "(ss)", info->name, info->help);
        }
        return r < 0 ? r : bus_list_send(reply);
}

static int method_activate(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const BusManager *self = userdata;
        Link *link = NULL;
        int r;

        r = read_link(self, message, &link);
        return r != 0 ? r : bus_activate(self->manager, link, message, path_of(self, link));
}

static int method_deactivate(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const BusManager *self = userdata;
        Link *link = NULL;
        int r;

        r = read_link(self, message, &link);
        return r != 0 ? r : bus_deactivate(self->manager, link, message);
}

static int method_deactivate_all(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const BusManager *self = userdata;

        return bus_deactivate_all(self->manager, self->told, message);
}

static int method_reload(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const BusManager *self = userdata;
        PendingReply *reply;

        manager_reset_idle(self->manager);
        manager_retry_bpf(self->manager);
        reply = pending_reply_new(message);
        if (!reply)
                return -ENOMEM;
        pending_reply_set_answer(reply, bus_files_answer, self->manager);
        for (size_t i = 0; i < manager_links_count(self->manager); i++)
                pending_reply_add(reply, manager_link_at(self->manager, i), false);
        return pending_reply_start(reply);
}

static int method_list_files(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        BusManager *self = userdata;
        uint64_t begin_us = 0;
        int r;

        r = begin_expensive(self, message, &begin_us);
        if (r != 0)
                return r;
        r = bus_files_answer(self->manager, message);
        end_expensive(self, message, begin_us);
        return r;
}

static int method_dispatch(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *interface, *action, *uuid;
        const BusManager *self = userdata;
        PendingReply *reply;
        Link *link;
        int r;

        manager_reset_idle(self->manager);
        r = sd_bus_message_read(message, "sss", &interface, &action, &uuid);
        if (r < 0)
                return r;
        link = manager_link_by_name(self->manager, interface);
        if (!link)
                return sd_bus_reply_method_return(message, "");
        log_line(LOG_DEBUG, interface, NULL, "Dispatcher script: %s.", action);
        manager_dispatch(self->manager, link, action);
        /* NetworkManager waits for the answer to pre-up. */
        if (!streq(action, "pre-up"))
                return sd_bus_reply_method_return(message, "");
        reply = pending_reply_new(message);
        if (!reply)
                return -ENOMEM;
        pending_reply_add(reply, link, true);
        return pending_reply_start(reply);
}

#define GETTER(name)                                                                                 \
        static int name(sd_bus *bus, const char *path, const char *interface, const char *property,  \
                        sd_bus_message *reply, void *userdata, sd_bus_error *error)

GETTER(property_version) {
        return sd_bus_message_append(reply, "s", PACKAGE_VERSION);
}

GETTER(property_kernel) {
        struct utsname name;

        if (uname(&name) < 0)
                return -errno;
        return sd_bus_message_append(reply, "s", name.release);
}

GETTER(property_features) {
        const BusManager *self = userdata;
        const TunnelFeatures *features = manager_features(self->manager);

        return sd_bus_message_append(reply, "a{sb}", 5, "bpf", features->bpf, "btf", features->btf, "tcx",
                                     features->tcx, "netkit", features->netkit, "mptcp",
                                     manager_has_mptcp(self->manager));
}

GETTER(property_attach_point) {
        const BusManager *self = userdata;

        if (*manager_bpf_error(self->manager))
                return sd_bus_message_append(reply, "s", "");
        return sd_bus_message_append(reply, "s",
                                     attach_point_name(tunnel_attach_point(manager_tunnel(self->manager))));
}

GETTER(property_bpf_error) {
        const BusManager *self = userdata;

        return bus_append_text(reply, manager_bpf_error(self->manager));
}

GETTER(property_segmentation_device) {
        const BusManager *self = userdata;
        const SegmentationDevice *device = segmentation_device(manager_segmentation(self->manager));

        return sd_bus_message_append(reply, "(ss)", device ? segment_kind_name(device->kind) : "",
                                     device ? device->name : "");
}

GETTER(property_segmentation_devices_skipped) {
        const BusManager *self = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ss)");
        for (SegmentKind kind = _SEGMENT_KIND_FIRST; r >= 0 && kind < _SEGMENT_KIND_MAX; kind++) {
                const char *reason = segmentation_skipped(manager_segmentation(self->manager), kind);
                _cleanup_(freep) char *english = reason ? message_english(reason) : NULL;

                if (reason)
                        r = english ? sd_bus_message_append(reply, "(ss)", segment_kind_name(kind), english)
                                    : -ENOMEM;
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(property_messages) {
        const BusManager *self = userdata;
        const char *caller = sd_bus_message_get_sender(sd_bus_get_current_message(bus)) ?: "";
        const char *texts[_SEGMENT_KIND_MAX + 1 + TOLD_MAX] = {};
        size_t count = _SEGMENT_KIND_MAX + 1;

        for (SegmentKind kind = _SEGMENT_KIND_FIRST; kind < _SEGMENT_KIND_MAX; kind++)
                texts[kind] = segmentation_skipped(manager_segmentation(self->manager), kind);
        texts[_SEGMENT_KIND_MAX] = manager_bpf_error(self->manager);
        told_collect(self->told, caller, texts, &count);
        return bus_append_messages(reply, texts, count);
}

static int append_source(const char *name, bool available, void *userdata) {
        return sd_bus_message_append(userdata, "(sb)", name, available);
}

GETTER(property_sources) {
        const BusManager *self = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sb)");
        if (r >= 0)
                r = sources_each(manager_sources(self->manager), append_source, reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(property_counters) {
        const BusManager *self = userdata;

        return bus_append_counters(reply, manager_tunnel(self->manager), 0);
}

/* Who may call what is in authority.c, which sees every call before. */
static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("GetLink", SD_BUS_ARGS("s", interface), SD_BUS_RESULT("o", link),
                                method_get_link, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListLinks", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(usso)", links),
                                method_list_links, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListFlows", SD_BUS_ARGS("s", cursor, "u", limit),
                                SD_BUS_RESULT("a(sqsqsbutttt)", flows, "s", next), method_list_flows,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListLiveFlows", SD_BUS_ARGS("s", cursor, "u", limit),
                                SD_BUS_RESULT("a" BUS_LIVE_FLOW, flows, "s", next), method_list_live_flows,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListBusyFlows", SD_BUS_ARGS("u", limit),
                                SD_BUS_RESULT("a" BUS_BUSY_FLOW, flows, "a(uutt)", links),
                                method_list_busy_flows, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Subscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_subscribe,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("FlowsChanged", SD_BUS_ARGS(BUS_FLOW_CHANGES, flows, "u", more), 0),
        SD_BUS_SIGNAL_WITH_ARGS("DestinationsChanged",
                                SD_BUS_ARGS(BUS_DESTINATION_CHANGES, destinations), 0),
        SD_BUS_METHOD_WITH_ARGS("ListDestinations", SD_BUS_NO_ARGS,
                                SD_BUS_RESULT("a(usqsu)", destinations),
                                method_list_destinations, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListCounters", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ss)", counters),
                                method_list_counters, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DescribeTunnelProfile", SD_BUS_ARGS("s", uuid), SD_BUS_RESULT("s", text),
                                method_describe_tunnel_profile, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Activate", SD_BUS_ARGS("s", interface), SD_BUS_RESULT("o", link),
                                method_activate, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Deactivate", SD_BUS_ARGS("s", interface), SD_BUS_NO_RESULT,
                                method_deactivate, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DeactivateAll", SD_BUS_NO_ARGS, SD_BUS_RESULT("u", links),
                                method_deactivate_all, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Forget", SD_BUS_ARGS("s", interface, "s", address, "q", port),
                                SD_BUS_RESULT("u", destinations), method_forget,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Probe", SD_BUS_ARGS("s", interface, "s", address, "q", port),
                                SD_BUS_RESULT("a(ssusu)", answers, "a{su}", figures), method_probe,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS,
                                SD_BUS_RESULT(BUS_FILES, files, "a{s(sas)}", messages), method_reload,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListFiles", SD_BUS_NO_ARGS,
                                SD_BUS_RESULT(BUS_FILES, files, "a{s(sas)}", messages), method_list_files,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Dispatch", SD_BUS_ARGS("s", interface, "s", action, "s", uuid),
                                SD_BUS_NO_RESULT, method_dispatch, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Version", "s", property_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("KernelVersion", "s", property_kernel, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Features", "a{sb}", property_features, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("AttachPoint", "s", property_attach_point, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("BpfError", "s", property_bpf_error, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("SegmentationDevice", "(ss)", property_segmentation_device, 0, 0),
        SD_BUS_PROPERTY("SegmentationDevicesSkipped", "a(ss)", property_segmentation_devices_skipped, 0, 0),
        SD_BUS_PROPERTY("Messages", "a{s(sas)}", property_messages, 0, 0),
        SD_BUS_PROPERTY("Sources", "a(sb)", property_sources, 0, 0),
        SD_BUS_PROPERTY("Counters", "a{st}", property_counters, 0, 0),
        SD_BUS_VTABLE_END,
};

/* The object manager's answer comes from sd-bus itself, and from a thousand links it takes long. */
static int on_call(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        BusManager *self = userdata;
        const char *caller = sd_bus_message_get_sender(message) ?: "";

        if (!sd_bus_message_is_method_call(message, "org.freedesktop.DBus.ObjectManager",
                                           "GetManagedObjects"))
                return 0;
        if (!call_budget_allows(&self->budget, caller, clock_monotonic_ns() / 1000))
                return refuse_expensive(self, message);
        call_budget_charge(&self->budget, caller, MANAGED_OBJECT_US * manager_links_count(self->manager));
        return 0;
}

void bus_manager_announce_bpf(sd_bus *bus) {
        (void) sd_bus_emit_properties_changed(bus, BUS_PATH, "org.underpass1.Manager", "BpfError",
                                              "Features", "AttachPoint", NULL);
}

int bus_manager_export(BusManager *self, sd_bus *bus) {
        int r;

        r = sd_bus_add_filter(bus, NULL, on_call, self);
        if (r >= 0)
                r = sd_bus_add_object_manager(bus, NULL, BUS_PATH);
        if (r < 0)
                return r;
        return sd_bus_add_object_vtable(bus, NULL, BUS_PATH, "org.underpass1.Manager", vtable, self);
}
