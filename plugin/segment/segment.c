/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The kinds of segmentation device in one table. See segment.h. */

#include "base/message.h"
#include "segment/device.h"
#include "segment/vlan.h"

#define KIND_TYPE(id, name) [SEGMENT_##id] = &segment_type_##name,

static const SegmentType *const types[] = { SEGMENT_KINDS(KIND_TYPE) };

/* Some kernels and modules are not there at all. */
static bool kernel_has_none(const Netlink *netlink, int error) {
        return error == -EOPNOTSUPP && streq(netlink_error(netlink), "Unknown device type");
}

/* In fewer words than the kernel's. */
static char *explain(const Netlink *netlink, int error) {
        if (error == -EEXIST)
                return strdup(M_("a device of its name, or of its VLAN id, is not ours"));
        if (kernel_has_none(netlink, error))
                return strdup(M_("the kernel has none"));
        return device_reason(netlink, error);
}

int segment_ensure(SegmentKind kind, const GroPair *pair, uint32_t link_ifindex, SegmentationDevice *ret,
                   char **ret_reason) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        _cleanup_(freep) char *reason = NULL;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r < 0) {
                *ret_reason = strdup(MESSAGE_ERRNO(r));
                return r;
        }
        r = types[kind]->ensure(netlink, pair, link_ifindex, ret, &reason);
        if (r >= 0)
                return 0;
        *ret_reason = reason ? TAKE_PTR(reason) : explain(netlink, r);
        /* Otherwise it may be of this link. */
        return r == -EOPNOTSUPP && !kernel_has_none(netlink, r) ? -EINVAL : r;
}

int segment_up(const SegmentationDevice *segment) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        return r < 0 ? r : types[segment->kind]->up(netlink, segment);
}

int segment_remove(SegmentKind kind, uint32_t link_ifindex) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        return r < 0 ? r : types[kind]->remove(netlink, link_ifindex);
}

int segment_remove_unowned(const uint32_t *owners, size_t count) {
        _cleanup_(strings_freep) char **names = NULL;
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r >= 0)
                r = vlan_list(netlink, &names);
        for (size_t i = 0; r >= 0 && i < strings_count(names); i++)
                if (!segment_is_among(vlan_owner(names[i]), owners, count))
                        r = types[SEGMENT_VLAN]->remove(netlink, vlan_owner(names[i]));
        return r;
}

bool segment_is_among(uint32_t ifindex, const uint32_t *ifindexes, size_t count) {
        for (size_t i = 0; i < count; i++)
                if (ifindexes[i] == ifindex)
                        return true;
        return false;
}
