/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Links and addresses by rtnetlink: a monitor that tells which link changed, a snapshot of one link, the
 * list of all links.
 */

#include "base/util.h"
#include "plan/facts.h"

typedef struct Rtnl Rtnl;

/* Opens the request socket and the monitor of links, addresses, default routes and filters (RTNLGRP_LINK,
 * RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE and those of IPv6, RTNLGRP_TC). */
int rtnl_open(Rtnl **ret);
Rtnl *rtnl_free(Rtnl *rtnl);
DEFINE_CLEANUP(Rtnl *, rtnl_free);

/* Descriptor of the monitor, to be polled for reading. */
int rtnl_monitor_fd(Rtnl *rtnl);

typedef enum RtnlChange {
        RTNL_LINK,      /* new or changed */
        RTNL_LINK_GONE,
        RTNL_ADDRESS,   /* added, changed or removed */
        RTNL_ROUTE,     /* a default route of the link, likewise */
        RTNL_QDISC,     /* a queueing discipline of the link, likewise */
        RTNL_FILTER,    /* a filter in one of them, likewise */
        RTNL_LOST,      /* messages were lost (ENOBUFS): everything may have changed, ifindex is 0 */
} RtnlChange;

typedef void (*RtnlHandler)(RtnlChange change, uint32_t ifindex, void *userdata);

/* Reads all that is pending without blocking. 0 or negative errno. */
int rtnl_process(Rtnl *rtnl, RtnlHandler handler, void *userdata);

/* Tells what one datagram of the monitor says; its beginning is aligned as struct nlmsghdr is. Apart, so
 * that tests can say what the kernel says. */
void rtnl_notify(const void *datagram, size_t length, RtnlHandler handler, void *userdata);

/* Facts of one link, addresses and gateways included. -ENODEV when it is gone. */
int rtnl_link(Rtnl *rtnl, uint32_t ifindex, LinkFacts **ret);
LinkFacts *rtnl_facts_free(LinkFacts *facts);
DEFINE_CLEANUP(LinkFacts *, rtnl_facts_free);

/* ifindex of all links, ascending. Caller frees. */
int rtnl_links(Rtnl *rtnl, uint32_t **ret_ifindexes, size_t *ret_count);

/* ARPHRD_* and kind as a word for [Match] Type= and for output: "ether", "wwan" (rawip), "ppp", "tun",
 * "wireguard", "loopback", "other". Static string. */
const char *rtnl_type_name(const LinkFacts *facts);
