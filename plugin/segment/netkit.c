/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The segmentation device as a netkit pair: the transmit routine of its primary end runs the program on
 * each segment and does what it returns, so no packet is queued. The other end only has to exist and be
 * up.
 */

#include <linux/ethtool.h>

#include "base/message.h"
#include "segment/device.h"
#include "segment/offload.h"

#define NETKIT_KIND "netkit"

static const char *const netkit_names[2] = { SEGMENT_NAME_NETKIT, SEGMENT_NAME_NETKIT_PEER };

static const Offload netkit_features[] = {
        { ETHTOOL_GTSO, ETHTOOL_STSO, 0, false },
        { ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, 0, false },
        { ETHTOOL_GSG, ETHTOOL_SSG, 1, true },
        { ETHTOOL_GGSO, ETHTOOL_SGSO, 1, true },
};

/* The kernel's defaults are right: the peer attribute has the same number as that of veth, and a packet that
 * no program decides on goes to the other end, where nobody listens. */
static int netkit_ensure(Netlink *netlink, const GroPair *pair, uint32_t link_ifindex,
                         SegmentationDevice *ret, char **ret_reason) {
        Device ends[2];
        bool created;
        int r;

        r = device_ensure_pair(netlink, NETKIT_KIND, netkit_names, ends, &created);
        if (r < 0)
                return r;
        r = offload_set(SEGMENT_NAME_NETKIT, netkit_features, ELEMENTS(netkit_features));
        if (r >= 0)
                r = offload_cut_datagrams(SEGMENT_NAME_NETKIT);
        if (r < 0) {
                if (created)
                        (void) device_delete(netlink, ends[0].ifindex);
                *ret_reason = strdup(M_("segmentation or checksums cannot be switched off"));
                return r;
        }
        *ret = (SegmentationDevice) {
                .kind = SEGMENT_NETKIT,
                .ifindex = ends[0].ifindex,
                .program_ifindex = ends[0].ifindex,
                .place = SEGMENT_PLACE_NETKIT,
                .name = SEGMENT_NAME_NETKIT,
        };
        return 0;
}

/* The other end first: without it the primary one drops. */
static int netkit_up(Netlink *netlink, const SegmentationDevice *segment) {
        Device peer;
        int r;

        r = device_find(netlink, SEGMENT_NAME_NETKIT_PEER, &peer);
        if (r >= 0)
                r = device_up(netlink, peer.ifindex);
        return r < 0 ? r : device_up(netlink, segment->ifindex);
}

static int netkit_remove(Netlink *netlink, uint32_t link_ifindex) {
        return device_remove_pair(netlink, NETKIT_KIND, netkit_names);
}

const SegmentType segment_type_netkit = { netkit_ensure, netkit_up, netkit_remove };
