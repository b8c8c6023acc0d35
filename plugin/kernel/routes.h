/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Routes: a monitor that tells that something about them has changed, and the kernel's own answer to where a
 * packet leaves.
 */

#include "base/util.h"
#include "plan/facts.h"

typedef struct Routes Routes;

/* Opens the request socket and the monitor of routes, rules and next hops. */
int routes_open(Routes **ret);
Routes *routes_free(Routes *routes);
DEFINE_CLEANUP(Routes *, routes_free);

/* Descriptor of the monitor, to be polled for reading. What it has lost (ENOBUFS) does not matter: there was
 * a change. */
int routes_monitor_fd(Routes *routes);

/* Throws away what the monitor has to tell, up to a bound. Returns whether there was anything. */
bool routes_drain(Routes *routes);

/* A packet of TCP that looks for its way. */
typedef struct RouteQuery {
        Address local;        /* its source; all 0: any */
        Address remote;
        uint16_t local_port;  /* network order */
        uint16_t remote_port;
        uint32_t mark;        /* of its socket; 0: none */
        uint32_t user;        /* likewise */
        uint32_t bound;       /* link that its socket is bound to; 0: none */
        uint32_t from;        /* link that it came by, of a packet that is forwarded; 0: it is our own */
} RouteQuery;

/* The link that it leaves by; *ret_here: the remote address is one of this host. -ENETUNREACH, -EINVAL (our
 * own packet with a source that this host has not) and others: it does not leave. */
int routes_find(Routes *routes, const RouteQuery *query, uint32_t *ret_ifindex, bool *ret_here);

/* Whether a route leads there by the link that its socket is bound to. routes_find() says so of an IPv4
 * address in any case: the kernel takes it for a neighbour where there is no route. */
bool routes_lead(Routes *routes, const RouteQuery *query);
