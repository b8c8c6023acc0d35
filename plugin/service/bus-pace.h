/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Keeps those who call very often waiting. A refusal that comes at once only leads to the next call: the bus
 * has a queue for the service, and whoever keeps it full keeps everybody else waiting in it. A call without
 * an answer counts against its caller on the bus, which lets no more than 128 of each connection pass. So
 * calls beyond a pace are taken out of the queue, and served later, or never when there are too many.
 *
 * Callers who have made few calls are served without further ado. Of the others the bus is asked who they
 * are, so all connections of a user count as one; their calls wait for that answer, and are never dropped
 * before it. Root waits for nothing else.
 */

#include <systemd/sd-bus.h>

#include "service/authority.h"

enum {
        BUS_PACE_FREE = 16,           /* calls of a connection before anybody asks whose it is */
        BUS_PACE_CALLERS = 2048,      /* connections that are known */
        BUS_PACE_KEPT_MAX = 8192,     /* calls that wait, … */
        BUS_PACE_KEPT_USER_MAX = 4096, /* … and of one user */
        BUS_PACE_KEPT_BYTES = 4096,   /* of the arguments of a call that waits for its turn */
        BUS_PACE_BYTES_MAX = 16 * 1024 * 1024, /* of the arguments of all that wait, also to be known */
        BUS_PACE_TICK_US = 50 * 1000, /* between two looks at what waits */
};

typedef struct BusPace BusPace;

/* authority: whose calls have waited already when they are read once more. */
int bus_pace_new(BusPace **ret, sd_event *event, const Authority *authority);
BusPace *bus_pace_free(BusPace *pace);
DEFINE_CLEANUP(BusPace *, bus_pace_free);

/* Sees the calls on this connection before all filters that are there already; NULL: the bus is gone, and
 * what waits is forgotten. */
int bus_pace_set_bus(BusPace *pace, sd_bus *bus);

/* Whether calls wait. */
bool bus_pace_is_keeping(const BusPace *pace);
