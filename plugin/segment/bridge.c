/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The segmentation device as a bridge with one port, the sending end of the pair. The bridge can neither
 * segment nor checksum, so the kernel does both first. The bridge then floods each segment to its port at
 * once, and the program runs at the egress of that port. No packet is queued, and every kernel has bridges.
 */

#include <linux/ethtool.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>

#include "segment/device.h"
#include "segment/offload.h"

#define BRIDGE_KIND "bridge"

enum { FORWARD_TRIES = 64 }; /* a millisecond at most */

static const Offload bridge_features[] = {
        { ETHTOOL_GTSO, ETHTOOL_STSO, 0, false },
        { ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, 0, false },
        { ETHTOOL_GSG, ETHTOOL_SSG, 1, true },
        { ETHTOOL_GGSO, ETHTOOL_SGSO, 1, true },
};

/* All off: frames pass unchanged and at once. A kernel without one of them rejects a request that switches
 * it off, so only what is on is switched off. */
static const struct {
        uint16_t attribute;
        uint8_t size;
} bridge_options[] = {
        { IFLA_BR_STP_STATE, sizeof(uint32_t) },
        { IFLA_BR_VLAN_FILTERING, sizeof(uint8_t) },
        { IFLA_BR_MCAST_SNOOPING, sizeof(uint8_t) },
        { IFLA_BR_NF_CALL_IPTABLES, sizeof(uint8_t) },
        { IFLA_BR_NF_CALL_IP6TABLES, sizeof(uint8_t) },
        { IFLA_BR_NF_CALL_ARPTABLES, sizeof(uint8_t) },
};

/* What only a bridge and its port have. */
typedef struct BridgeState {
        uint32_t on;     /* a bit for each option of the table above */
        uint8_t port;    /* BR_STATE_*; of a port */
} BridgeState;

static void read_options(const struct nlattr *data, BridgeState *state) {
        const struct nlattr *attribute;

        mnl_attr_for_each_nested(attribute, data)
                for (size_t i = 0; i < ELEMENTS(bridge_options); i++) {
                        uint32_t value = 0;

                        if (mnl_attr_get_type(attribute) != bridge_options[i].attribute ||
                            mnl_attr_get_payload_len(attribute) != bridge_options[i].size)
                                continue;
                        memcpy(&value, mnl_attr_get_payload(attribute), bridge_options[i].size);
                        if (value != 0)
                                state->on |= 1U << i;
                }
}

static int read_state(const struct nlmsghdr *message, void *userdata) {
        const struct nlattr *attribute, *nested, *data;
        BridgeState *state = userdata;

        if (message->nlmsg_type != RTM_NEWLINK)
                return MNL_CB_OK;
        mnl_attr_for_each(attribute, message, sizeof(struct ifinfomsg)) {
                if (mnl_attr_get_type(attribute) != IFLA_LINKINFO)
                        continue;
                mnl_attr_for_each_nested(nested, attribute) {
                        if (mnl_attr_get_type(nested) == IFLA_INFO_DATA)
                                read_options(nested, state);
                        if (mnl_attr_get_type(nested) != IFLA_INFO_SLAVE_DATA)
                                continue;
                        mnl_attr_for_each_nested(data, nested)
                                if (mnl_attr_get_type(data) == IFLA_BRPORT_STATE &&
                                    mnl_attr_validate(data, MNL_TYPE_U8) >= 0)
                                        state->port = mnl_attr_get_u8(data);
                }
        }
        return MNL_CB_OK;
}

static int bridge_state(Netlink *netlink, uint32_t ifindex, BridgeState *ret) {
        DEVICE_REQUEST(buffer);

        return netlink_call(netlink, device_request(buffer, RTM_GETLINK, 0, ifindex), read_state, ret);
}

static int bridge_create(Netlink *netlink) {
        DEVICE_REQUEST(buffer);
        struct nlmsghdr *message = device_request(buffer, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
        struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
        struct nlattr *information;

        header->ifi_flags = header->ifi_change = IFF_NOARP;
        mnl_attr_put_strz(message, IFLA_IFNAME, SEGMENT_NAME_BRIDGE);
        device_mark(message);
        information = mnl_attr_nest_start(message, IFLA_LINKINFO);
        mnl_attr_put_strz(message, IFLA_INFO_KIND, BRIDGE_KIND);
        mnl_attr_nest_end(message, information);
        return netlink_call(netlink, message, NULL, NULL);
}

static int clear_options(Netlink *netlink, uint32_t ifindex, uint32_t on) {
        const uint32_t zero = 0;
        DEVICE_REQUEST(buffer);
        struct nlmsghdr *message = device_request(buffer, RTM_NEWLINK, 0, ifindex);
        struct nlattr *information, *data;

        information = mnl_attr_nest_start(message, IFLA_LINKINFO);
        mnl_attr_put_strz(message, IFLA_INFO_KIND, BRIDGE_KIND);
        data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
        for (size_t i = 0; i < ELEMENTS(bridge_options); i++)
                if (on & (1U << i))
                        mnl_attr_put(message, bridge_options[i].attribute, bridge_options[i].size, &zero);
        mnl_attr_nest_end(message, data);
        mnl_attr_nest_end(message, information);
        return netlink_call(netlink, message, NULL, NULL);
}

static int enslave(Netlink *netlink, uint32_t port, uint32_t master) {
        DEVICE_REQUEST(buffer);
        struct nlmsghdr *message = device_request(buffer, RTM_SETLINK, 0, port);

        mnl_attr_put_u32(message, IFLA_MASTER, master);
        return netlink_call(netlink, message, NULL, NULL);
}

static bool bridge_is_ours(const Device *bridge, const Device *port) {
        return streq(bridge->kind, BRIDGE_KIND) && (bridge->ours || port->master == bridge->ifindex);
}

static int bridge_find_or_create(Netlink *netlink, const Device *port, Device *ret) {
        int r;

        r = device_find(netlink, SEGMENT_NAME_BRIDGE, ret);
        if (r < 0)
                return r;
        if (ret->ifindex == 0) {
                r = bridge_create(netlink);
                return r < 0 ? r : device_find_made(netlink, SEGMENT_NAME_BRIDGE, ret);
        }
        return bridge_is_ours(ret, port) ? 0 : -EEXIST;
}

/* The port first, because the bridge takes over its MTU and features. */
static int bridge_repair(Netlink *netlink, const Device *port, Device *bridge) {
        BridgeState state = {};
        int r;

        r = bridge_state(netlink, bridge->ifindex, &state);
        if (r >= 0 && state.on != 0)
                r = clear_options(netlink, bridge->ifindex, state.on);
        if (r < 0)
                return r;
        if (port->master != bridge->ifindex) {
                r = enslave(netlink, port->ifindex, bridge->ifindex);
                if (r >= 0)
                        r = device_find(netlink, SEGMENT_NAME_BRIDGE, bridge);
                if (r < 0)
                        return r;
        }
        r = device_repair(netlink, bridge, DEVICE_MTU);
        if (r < 0)
                return r;
        r = offload_set(SEGMENT_NAME_BRIDGE, bridge_features, ELEMENTS(bridge_features));
        return r < 0 ? r : offload_cut_datagrams(SEGMENT_NAME_BRIDGE);
}

static int bridge_ensure(Netlink *netlink, const GroPair *pair, uint32_t link_ifindex,
                         SegmentationDevice *ret, char **ret_reason) {
        Device port = {}, bridge = {};
        int r;

        r = device_find(netlink, SEGMENT_NAME_SEND, &port);
        if (r >= 0)
                r = bridge_find_or_create(netlink, &port, &bridge);
        if (r < 0)
                return r;
        r = bridge_repair(netlink, &port, &bridge);
        if (r < 0) {
                *ret_reason = device_reason(netlink, r);
                (void) device_delete(netlink, bridge.ifindex);
                return r;
        }
        *ret = (SegmentationDevice) {
                .kind = SEGMENT_BRIDGE,
                .ifindex = bridge.ifindex,
                .program_ifindex = pair->send_ifindex,
                .place = SEGMENT_PLACE_EGRESS,
                .name = SEGMENT_NAME_BRIDGE,
        };
        return 0;
}

static int set_forwarding(Netlink *netlink, uint32_t port) {
        DEVICE_REQUEST(buffer);
        struct nlmsghdr *message = device_request(buffer, RTM_SETLINK, 0, port);
        struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
        struct nlattr *data;

        header->ifi_family = AF_BRIDGE;
        data = mnl_attr_nest_start(message, IFLA_PROTINFO);
        mnl_attr_put_u8(message, IFLA_BRPORT_STATE, BR_STATE_FORWARDING);
        mnl_attr_nest_end(message, data);
        return netlink_call(netlink, message, NULL, NULL);
}

/* Lets the port forward unless it does already. -ENETDOWN: the kernel does not know of its carrier. */
static int repair_port(Netlink *netlink, uint32_t port) {
        BridgeState state = {};
        int r;

        r = bridge_state(netlink, port, &state);
        return r < 0 || state.port == BR_STATE_FORWARDING ? r : set_forwarding(netlink, port);
}

/*
 * The port forwards once the kernel knows that it has a carrier; before that all packets are lost. Since 6.8
 * the kernel looks at the carrier when it is asked about the link. Older kernels leave it to a work queue,
 * which needs the same lock as these requests and so comes between the first few of them, as long as a
 * processor is free for it.
 */
static int bridge_up(Netlink *netlink, const SegmentationDevice *segment) {
        int r;

        r = device_up(netlink, segment->ifindex);
        if (r < 0)
                return r;
        r = -ENETDOWN;
        for (size_t i = 0; r == -ENETDOWN && i < FORWARD_TRIES; i++)
                r = repair_port(netlink, segment->program_ifindex);
        return r == -ENETDOWN ? -EAGAIN : r;
}

static int bridge_remove(Netlink *netlink, uint32_t link_ifindex) {
        Device port = {}, bridge = {};
        int r;

        r = device_find(netlink, SEGMENT_NAME_SEND, &port);
        if (r >= 0)
                r = device_find(netlink, SEGMENT_NAME_BRIDGE, &bridge);
        if (r < 0 || bridge.ifindex == 0 || !bridge_is_ours(&bridge, &port))
                return r;
        return device_delete(netlink, bridge.ifindex);
}

const SegmentType segment_type_bridge = { bridge_ensure, bridge_up, bridge_remove };
