/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Slots of links: numbers into the maps "slots" and "counters", noted in packets and in flows. Those of a
 * link that was detached are still about, so its slot rests: no other link gets it while flows name it.
 */

#include "tunnel/state.h"

/*
 * A slot for a new link, its counters 0: one that no link has had yet; else one whose flows are all
 * forgotten; else the one that has been silent longest, whose flows are forgotten here. -ENOSPC:
 * UNDERPASS_LINKS_MAX links have one.
 */
int slots_choose(Tunnel *tunnel, uint32_t *ret);

/* The link of this slot is detached: its slot rests. */
int slots_rest(Tunnel *tunnel, uint32_t slot);

/* All links that redirect to one device redirect to another one. */
int slots_move(Tunnel *tunnel, uint32_t from, uint32_t to);

/* A map "slots" that is new, while flows may be older: all slots rest that no link has. */
int slots_rest_all(Tunnel *tunnel);
