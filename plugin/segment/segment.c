/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The kinds of hop in one table. See hop.h. */

#include <ctype.h>

#include "segment/device.h"

static const HopType *const types[_HOP_KIND_MAX] = {
        [HOP_NETKIT] = &hop_type_netkit,
        [HOP_VLAN] = &hop_type_vlan,
        [HOP_BRIDGE] = &hop_type_bridge,
        [HOP_VETH] = &hop_type_veth,
};

const char *hop_kind_name(HopKind kind) {
        return types[kind]->name;
}

int hop_kind_from_name(const char *name, HopKind *ret) {
        for (HopKind kind = 0; kind < _HOP_KIND_MAX; kind++)
                if (streq(types[kind]->name, name)) {
                        *ret = kind;
                        return 0;
                }
        return -EINVAL;
}

static bool all_digits(const char *text) {
        size_t count = 0;

        while (isdigit((unsigned char) text[count]))
                count++;
        return count > 0 && text[count] == '\0';
}

bool hop_is_name(const char *name) {
        static const char *const names[] = {
                HOP_NAME_SEND, HOP_NAME_RECEIVE, HOP_NAME_BRIDGE, HOP_NAME_NETKIT, HOP_NAME_NETKIT_PEER,
        };
        const size_t prefix = strlen(HOP_NAME_VLAN);

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (streq(names[i], name))
                        return true;
        return strncmp(name, HOP_NAME_VLAN, prefix) == 0 && all_digits(name + prefix);
}

/* Some kernels and modules are not there at all. */
static bool kernel_has_none(const Netlink *netlink, int error) {
        return error == -EOPNOTSUPP && streq(netlink_error(netlink), "Unknown device type");
}

/* In fewer words than the kernel's. */
static char *explain(const Netlink *netlink, int error) {
        if (error == -EEXIST)
                return strdup("a device of its name, or of its VLAN id, is not ours");
        if (kernel_has_none(netlink, error))
                return strdup("the kernel has none");
        return hop_link_reason(netlink, error);
}

int hop_ensure(HopKind kind, const HopPair *pair, uint32_t link_ifindex, Hop *ret, char **ret_reason) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        _cleanup_(freep) char *reason = NULL;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r < 0) {
                *ret_reason = strdup(strerror(-r));
                return r;
        }
        r = types[kind]->ensure(netlink, pair, link_ifindex, ret, &reason);
        if (r >= 0)
                return 0;
        *ret_reason = reason ? TAKE_PTR(reason) : explain(netlink, r);
        /* Otherwise it may be of this link. */
        return r == -EOPNOTSUPP && !kernel_has_none(netlink, r) ? -EINVAL : r;
}

int hop_up(const Hop *hop) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        return r < 0 ? r : types[hop->kind]->up(netlink, hop);
}

int hop_remove(HopKind kind, uint32_t link_ifindex) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        return r < 0 ? r : types[kind]->remove(netlink, link_ifindex);
}
