/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The veth pair: GRO for what was received, and the kind of hop that works on every kernel. What leaves by
 * the sending end is cut into segments and summed on the way, because that end says it can do neither, and
 * arrives on the receiving end packet by packet.
 */

#include <linux/ethtool.h>
#include <stdio.h>

#include "segment/device.h"

#define PAIR_KIND "veth"

static const char *const pair_names[2] = { HOP_NAME_SEND, HOP_NAME_RECEIVE };

/* Segmentation and checksums first: while they are on, the kernel may refuse what they depend on. */
static const HopFeature send_features[] = {
        { ETHTOOL_GTSO, ETHTOOL_STSO, 0, false },       /* the kernel segments … */
        { ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, 0, false }, /* … and sums, in front of the program */
        { ETHTOOL_GSG, ETHTOOL_SSG, 1, false },         /* segments share the payload's pages */
        { ETHTOOL_GGSO, ETHTOOL_SGSO, 1, false },
        { ETHTOOL_GGRO, ETHTOOL_SGRO, 1, false },       /* merges what was received … */
};

static const HopFeature receive_features[] = {
        { ETHTOOL_GTSO, ETHTOOL_STSO, 0, false },       /* … which it does only when this end has no TSO */
        { ETHTOOL_GGRO, ETHTOOL_SGRO, 0, false },       /* or segments to be sent would be merged again */
};

int hop_pair_ensure(HopPair *ret) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        HopLink ends[2];
        bool created;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r < 0)
                return r;
        r = hop_link_ensure_pair(netlink, PAIR_KIND, pair_names, ends, &created);
        if (r < 0)
                return r;

        r = hop_link_features(HOP_NAME_SEND, send_features, ELEMENTS(send_features));
        if (r >= 0)
                r = hop_link_features(HOP_NAME_RECEIVE, receive_features, ELEMENTS(receive_features));
        if (r < 0) {
                if (created)
                        (void) hop_link_delete(netlink, ends[0].ifindex);
                return r;
        }
        *ret = (HopPair) { .send_ifindex = ends[0].ifindex, .receive_ifindex = ends[1].ifindex };
        return 0;
}

int hop_pair_up(const HopPair *pair) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r >= 0)
                r = hop_link_up(netlink, pair->receive_ifindex);
        return r < 0 ? r : hop_link_up(netlink, pair->send_ifindex);
}

int hop_pair_remove(void) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        return r < 0 ? r : hop_link_remove_pair(netlink, PAIR_KIND, pair_names);
}

/* The pair is there already, up or about to be so, and stays. */
static int veth_ensure(Netlink *netlink, const HopPair *pair, uint32_t link_ifindex, Hop *ret,
                       char **ret_reason) {
        *ret = (Hop) {
                .kind = HOP_VETH,
                .ifindex = pair->send_ifindex,
                .program_ifindex = pair->receive_ifindex,
                .place = HOP_PLACE_INGRESS,
                .name = HOP_NAME_SEND,
        };
        return 0;
}

static int veth_up(Netlink *netlink, const Hop *hop) {
        return 0;
}

static int veth_remove(Netlink *netlink, uint32_t link_ifindex) {
        return 0;
}

const HopType hop_type_veth = { "veth", veth_ensure, veth_up, veth_remove };
