/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Probes by links that have a tunnel: on request, and where an on-demand link is in doubt. A process of its
 * own sends the packets (prober.c). What is found goes to the programs.
 *
 * Nobody can make this host a source of much: one probe at a time by each link, a bounded number of them a
 * minute, and of those that nobody has asked for one for each destination in ten minutes.
 */

#include "service/manager.h"
#include "service/told.h"

enum {
        PROBING_MINUTE_MAX = 30,     /* on request, all links together */
        PROBING_DOUBTS_HOUR_MAX = 60,
        PROBING_PAUSE_SECONDS = 600, /* between two for doubts about the same destination */
        PROBING_REMEMBERED = 64,     /* destinations */
};

typedef struct Probing Probing;

/* told outlives it. 0 or -ENOMEM. */
int probing_new(Probing **ret, Manager *manager, Told *told);
Probing *probing_free(Probing *probing);
DEFINE_CLEANUP(Probing *, probing_free);

/* NULL: the bus is gone, and who waits for an answer with it. */
void probing_set_bus(Probing *probing, sd_bus *bus);

/* Something has changed about links: listens for doubts once there are programs. */
void probing_follow(Probing *probing);

/* Whether a probe is under way. */
bool probing_is_busy(const Probing *probing);

/* Probes a destination (port in host order) by a link, and answers the call later. Ends it when the caller
 * leaves the bus. -EBUSY: one is under way by this link; -EDQUOT: too many; -ENOENT: the link has no
 * tunnel. */
int probing_ask(Probing *probing, Link *link, const Address *remote, uint16_t port, sd_bus_message *call);
