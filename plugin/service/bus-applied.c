/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What org.underpass1.Link says of what was done to a link: values in force, programs, the way of received
 * packets.
 */

#include <arpa/inet.h>
#include <stdio.h>

#include "service/bus-applied.h"

static int append_number(sd_bus_message *reply, const char *key, uint32_t value) {
        char text[16];

        snprintf(text, sizeof(text), "%u", value);
        return sd_bus_message_append(reply, "(ss)", key, text);
}

/* "bridge (underpass-br)" */
static int append_segment(sd_bus_message *reply, const SegmentationDevice *device) {
        char text[64];

        snprintf(text, sizeof(text), "%s (%s)", segment_kind_name(device->kind), device->name);
        return sd_bus_message_append(reply, "(ss)", "segmentation-device", text);
}

static const char *receive_name(enum underpass_receive mode) {
        return key_word(key_get(KEY_ID_RECEIVE), mode);
}

GETTER_OF(bus_link_receive_mode) {
        const Link *link = userdata;

        if (!link->applied.attached)
                return sd_bus_message_append(reply, "(ss)", "", "");
        return sd_bus_message_append(reply, "(ss)", receive_name(link->receive), link_receive_reason(link));
}

/* As the sysctl is called, for it belongs to the host, not to the link. */
static int append_sctp(sd_bus_message *reply, const Link *link, SctpPort port) {
        char name[32], original_name[48];
        uint16_t original;
        int r;

        if (!manager_sctp_applied(link->manager, link, port, &original))
                return 0;
        snprintf(name, sizeof(name), "net.sctp.%s", sctp_sysctl(port));
        snprintf(original_name, sizeof(original_name), "%s-original", name);
        r = append_number(reply, name, link->sctp_ports[port]);
        return r < 0 ? r : append_number(reply, original_name, original);
}

GETTER_OF(bus_link_applied) {
        const Link *link = userdata;
        const Applied *applied = &link->applied;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ss)");
        if (r >= 0 && applied->attached)
                r = sd_bus_message_append(reply, "(ss)", "attach-point",
                                          attach_point_name(tunnel_attach_point(link->manager->tunnel)));
        if (r >= 0 && applied->attached && link->device.ifindex != 0)
                r = append_segment(reply, &link->device);
        if (r >= 0 && applied->attached)
                r = sd_bus_message_append(reply, "(ss)", "receive", receive_name(link->receive));
        if (r >= 0 && applied->attached)
                r = append_number(reply, "mss-ipv4", applied->link.mss_ipv4);
        if (r >= 0 && applied->attached)
                r = append_number(reply, "mss-ipv6", applied->link.mss_ipv6);
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
                r = append_sctp(reply, link, port);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER_OF(bus_link_programs) {
        const Link *link = userdata;
        const char *attach_point = attach_point_name(tunnel_attach_point(link->manager->tunnel));
        const char *variant = link->applied.raw_ip ? "raw" : "ethernet";
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ss)");
        for (size_t i = 0; r >= 0 && link->applied.attached && i < 2; i++) {
                const char *direction = i == 0 ? "ingress" : "egress";
                char point[32], program[64];

                snprintf(point, sizeof(point), "%s %s", attach_point, direction);
                snprintf(program, sizeof(program), "underpass_%s_%s", direction, variant);
                r = sd_bus_message_append(reply, "(ss)", point, program);
        }
        if (r >= 0 && link->applied.attached && link->receive == UNDERPASS_RECEIVE_XDP)
                r = sd_bus_message_append(reply, "(ss)", "xdp", "underpass_xdp");
        return r < 0 ? r : sd_bus_message_close_container(reply);
}
