/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus-applied.h. */

#include <arpa/inet.h>
#include <stdio.h>

#include "base/message.h"
#include "service/bus-applied.h"

static int append_number(sd_bus_message *reply, const char *key, uint32_t value) {
        char text[16];

        snprintf(text, sizeof(text), "%u", value);
        return sd_bus_message_append(reply, "(ss)", key, text);
}

/* "bridge (underpass-br)" */
static int append_device(sd_bus_message *reply, const SegmentationDevice *device) {
        char text[64];

        snprintf(text, sizeof(text), "%s (%s)", segment_kind_name(device->kind), device->name);
        return sd_bus_message_append(reply, "(ss)", "segmentation-device", text);
}

static const char *receive_name(const Link *link) {
        return key_word(key_get(KEY_ID_RECEIVE), link_receive_mode(link));
}

static const char *attach_point(const BusLink *bus_link) {
        return attach_point_name(tunnel_attach_point(manager_tunnel(bus_link->manager)));
}

BUS_GETTER(bus_applied_receive_mode) {
        const Link *link = ((const BusLink *) userdata)->link;

        if (!link_is_attached(link))
                return sd_bus_message_append(reply, "(ss)", "", "");

        _cleanup_(freep) char *reason = message_english(link_receive_reason(link));
        return reason ? sd_bus_message_append(reply, "(ss)", receive_name(link), reason) : -ENOMEM;
}

/* As the sysctl is called, for it belongs to the host, not to the link. */
static int append_sctp(sd_bus_message *reply, const BusLink *bus_link, SctpPort port) {
        char name[32], original_name[48];
        uint16_t value, original;
        int r;

        if (!sctp_applied(manager_sctp(bus_link->manager), link_ifindex(bus_link->link), port, &value,
                          &original))
                return 0;
        snprintf(name, sizeof(name), "net.sctp.%s", sctp_sysctl(port));
        snprintf(original_name, sizeof(original_name), "%s-original", name);
        r = append_number(reply, name, value);
        return r < 0 ? r : append_number(reply, original_name, original);
}

/* What an attached link has in any case. */
static int append_attachment(sd_bus_message *reply, const BusLink *bus_link) {
        const Applied *applied = link_applied(bus_link->link);
        const SegmentationDevice *device = link_device(bus_link->link);
        int r;

        r = sd_bus_message_append(reply, "(ss)", "attach-point", attach_point(bus_link));
        if (r >= 0 && device->ifindex != 0)
                r = append_device(reply, device);
        if (r >= 0)
                r = sd_bus_message_append(reply, "(ss)", "receive", receive_name(bus_link->link));
        if (r >= 0)
                r = append_number(reply, "mss-ipv4", applied->link.mss_ipv4);
        return r < 0 ? r : append_number(reply, "mss-ipv6", applied->link.mss_ipv6);
}

BUS_GETTER(bus_applied) {
        const BusLink *bus_link = userdata;
        const Applied *applied = link_applied(bus_link->link);
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ss)");
        if (r >= 0 && applied->attached)
                r = append_attachment(reply, bus_link);
        if (r >= 0 && applied->mtu_original != 0)
                r = append_number(reply, "mtu", applied->mtu_set);
        if (r >= 0 && applied->mtu_original != 0)
                r = append_number(reply, "mtu-original", applied->mtu_original);
        for (size_t i = 0; r >= 0 && i < applied->endpoints_count; i++) {
                char text[INET6_ADDRSTRLEN];

                r = sd_bus_message_append(reply, "(ss)", "endpoint",
                                          address_text(&applied->endpoints[i], text));
        }
        for (SctpPort port = 0; r >= 0 && port < _SCTP_PORT_MAX; port++)
                r = append_sctp(reply, bus_link, port);
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

                snprintf(point, sizeof(point), "%s %s", attach_point(bus_link), directions[i]);
                snprintf(program, sizeof(program), "underpass_%s_%s", directions[i], variant);
                r = sd_bus_message_append(reply, "(ss)", point, program);
        }
        if (r >= 0 && applied->attached && link_receive_mode(bus_link->link) == UNDERPASS_RECEIVE_XDP)
                r = sd_bus_message_append(reply, "(ss)", "xdp", "underpass_xdp");
        return r < 0 ? r : sd_bus_message_close_container(reply);
}
