/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The veth pair: GRO for received packets, and the kind of segmentation device that works on every kernel.
 * Packets that leave by the sending end are segmented and checksummed first, because that end offers
 * neither, and arrive on the receiving end one by one.
 */

#include <linux/ethtool.h>
#include <stdio.h>

#include "segment/device.h"
#include "segment/offload.h"

#define PAIR_KIND "veth"

static const char *const pair_names[2] = { SEGMENT_NAME_SEND, SEGMENT_NAME_RECEIVE };

/* Segmentation and checksums first: while they are on, the kernel may refuse what they depend on. */
static const Offload send_features[] = {
        { ETHTOOL_GTSO, ETHTOOL_STSO, 0, false },       /* the kernel segments … */
        { ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, 0, false }, /* … and sums, in front of the program */
        { ETHTOOL_GSG, ETHTOOL_SSG, 1, false },         /* segments share the payload's pages */
        { ETHTOOL_GGSO, ETHTOOL_SGSO, 1, false },
        { ETHTOOL_GGRO, ETHTOOL_SGRO, 1, false },       /* merges what was received … */
};

static const Offload receive_features[] = {
        { ETHTOOL_GTSO, ETHTOOL_STSO, 0, false },       /* … which it does only when this end has no TSO */
        { ETHTOOL_GGRO, ETHTOOL_SGRO, 0, false },       /* or segments to be sent would be merged again */
};

int gro_pair_ensure(GroPair *ret) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        Device ends[2];
        bool created;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r < 0)
                return r;
        r = device_ensure_pair(netlink, PAIR_KIND, pair_names, ends, &created);
        if (r < 0)
                return r;

        r = offload_set(SEGMENT_NAME_SEND, send_features, ELEMENTS(send_features));
        if (r >= 0)
                r = offload_cut_datagrams(SEGMENT_NAME_SEND);
        if (r >= 0)
                r = offload_set(SEGMENT_NAME_RECEIVE, receive_features, ELEMENTS(receive_features));
        if (r < 0) {
                if (created)
                        (void) device_delete(netlink, ends[0].ifindex);
                return r;
        }
        *ret = (GroPair) { .send_ifindex = ends[0].ifindex, .receive_ifindex = ends[1].ifindex };
        return 0;
}

int gro_pair_up(const GroPair *pair) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r >= 0)
                r = device_up(netlink, pair->receive_ifindex);
        return r < 0 ? r : device_up(netlink, pair->send_ifindex);
}

int gro_pair_remove(void) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        return r < 0 ? r : device_remove_pair(netlink, PAIR_KIND, pair_names);
}

/* The pair is there already, up or about to be so, and stays. */
static int veth_ensure(Netlink *netlink, const GroPair *pair, uint32_t link_ifindex, SegmentationDevice *ret,
                       char **ret_reason) {
        *ret = (SegmentationDevice) {
                .kind = SEGMENT_VETH,
                .ifindex = pair->send_ifindex,
                .program_ifindex = pair->receive_ifindex,
                .place = SEGMENT_PLACE_INGRESS,
                .name = SEGMENT_NAME_SEND,
        };
        return 0;
}

static int veth_up(Netlink *netlink, const SegmentationDevice *segment) {
        return 0;
}

static int veth_remove(Netlink *netlink, uint32_t link_ifindex) {
        return 0;
}

const SegmentType segment_type_veth = { veth_ensure, veth_up, veth_remove };
