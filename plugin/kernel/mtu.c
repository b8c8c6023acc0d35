/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See mtu.h. */

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdalign.h>

#include "base/netlink.h"
#include "kernel/mtu.h"

enum { REQUEST_SIZE = 128 };

int mtu_set(uint32_t ifindex, uint32_t mtu) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct ifinfomsg *link;
        int r;

        /* The kernel calls a request for no link at all invalid. */
        if (ifindex == 0 || ifindex > INT32_MAX)
                return -ENODEV;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r < 0)
                return r;

        message->nlmsg_type = RTM_SETLINK;
        link = mnl_nlmsg_put_extra_header(message, sizeof(*link));
        link->ifi_index = (int) ifindex;
        mnl_attr_put_u32(message, IFLA_MTU, mtu);
        return netlink_call(netlink, message, NULL, NULL);
}
