/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus-applied.h. */

#include <arpa/inet.h>
#include <stdio.h>

#include "base/message.h"
#include "service/bus-applied.h"

/* Where the pairs go. */
typedef struct Rows {
        BusAppliedHandler handler;
        void *userdata;
} Rows;

static int add_number(const Rows *rows, const char *key, uint32_t value) {
        char text[16];

        snprintf(text, sizeof(text), "%u", value);
        return rows->handler(key, text, rows->userdata);
}

/* "bridge (underpass-br)" */
static int add_device(const Rows *rows, const SegmentationDevice *device) {
        char text[64];

        snprintf(text, sizeof(text), "%s (%s)", segment_kind_name(device->kind), device->name);
        return rows->handler("segmentation-device", text, rows->userdata);
}

static const char *receive_name(const Link *link) {
        return key_word(key_get(KEY_ID_RECEIVE), link_receive_mode(link));
}

static const char *attach_point(const Manager *manager) {
        return attach_point_name(tunnel_attach_point(manager_tunnel(manager)));
}

BUS_GETTER(bus_applied_receive_mode) {
        const Link *link = ((const BusLink *) userdata)->link;

        if (!link_is_attached(link))
                return sd_bus_message_append(reply, "(ss)", "", "");

        _cleanup_(freep) char *reason = message_english(link_receive_reason(link));
        return reason ? sd_bus_message_append(reply, "(ss)", receive_name(link), reason) : -ENOMEM;
}

/* As the sysctl is called, for it belongs to the host, not to the link. */
static int add_sctp(const Rows *rows, const Manager *manager, const Link *link, SctpPort port) {
        char name[32], original_name[48];
        uint16_t value, original;
        int r;

        if (!sctp_applied(manager_sctp(manager), link_ifindex(link), port, &value, &original))
                return 0;
        snprintf(name, sizeof(name), "net.sctp.%s", sctp_sysctl(port));
        snprintf(original_name, sizeof(original_name), "%s-original", name);
        r = add_number(rows, name, value);
        return r < 0 ? r : add_number(rows, original_name, original);
}

/* What an attached link has in any case. */
static int add_attachment(const Rows *rows, const Manager *manager, const Link *link) {
        const Applied *applied = link_applied(link);
        const SegmentationDevice *device = link_device(link);
        int r;

        r = rows->handler("attach-point", attach_point(manager), rows->userdata);
        if (r >= 0 && device->ifindex != 0)
                r = add_device(rows, device);
        if (r >= 0)
                r = rows->handler("receive", receive_name(link), rows->userdata);
        if (r >= 0 && link_gives_flows_sockets(link))
                r = add_number(rows, "flow-sockets",
                               (unsigned) sockets_count_flows(manager_sockets(manager), link_ifindex(link)));
        if (r >= 0)
                r = add_number(rows, "mss-ipv4", applied->link.mss_ipv4);
        return r < 0 ? r : add_number(rows, "mss-ipv6", applied->link.mss_ipv6);
}

int bus_applied_each(const Manager *manager, const Link *link, BusAppliedHandler handler, void *userdata) {
        const Rows rows = { handler, userdata };
        const Applied *applied = link_applied(link);
        int r = 0;

        if (applied->attached)
                r = add_attachment(&rows, manager, link);
        if (r >= 0 && applied->mtu_original != 0)
                r = add_number(&rows, "mtu", applied->mtu_set);
        if (r >= 0 && applied->mtu_original != 0)
                r = add_number(&rows, "mtu-original", applied->mtu_original);
        for (size_t i = 0; r >= 0 && i < applied->endpoints_count; i++) {
                char text[INET6_ADDRSTRLEN];

                r = handler("endpoint", address_text(&applied->endpoints[i], text), userdata);
        }
        for (SctpPort port = 0; r >= 0 && port < _SCTP_PORT_MAX; port++)
                r = add_sctp(&rows, manager, link, port);
        return r;
}

static int append_row(const char *key, const char *value, void *userdata) {
        return sd_bus_message_append(userdata, "(ss)", key, value);
}

BUS_GETTER(bus_applied) {
        const BusLink *bus_link = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ss)");
        if (r >= 0)
                r = bus_applied_each(bus_link->manager, bus_link->link, append_row, reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

BUS_GETTER(bus_applied_programs) {
        static const char *const directions[] = { "ingress", "egress" };
        const BusLink *bus_link = userdata;
        const Applied *applied = link_applied(bus_link->link);
        const char *variant = applied->raw_ip ? "raw" : "ethernet";
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ss)");
        for (size_t i = 0; r >= 0 && applied->attached && i < ELEMENTS(directions); i++) {
                char point[32], program[64];

                snprintf(point, sizeof(point), "%s %s", attach_point(bus_link->manager), directions[i]);
                snprintf(program, sizeof(program), "underpass_%s_%s", directions[i], variant);
                r = sd_bus_message_append(reply, "(ss)", point, program);
        }
        if (r >= 0 && applied->attached && link_receive_mode(bus_link->link) == UNDERPASS_RECEIVE_XDP)
                r = sd_bus_message_append(reply, "(ss)", "xdp", "underpass_xdp");
        return r < 0 ? r : sd_bus_message_close_container(reply);
}
