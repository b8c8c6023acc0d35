/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The MPTCP endpoints of a link: those that Underpass owns, and those of others that have to be registered
 * again so that the kernel builds their subflows through the tunnel.
 */

#include "service/subflow-watch.h"
#include "service/target.h"

/* Takes over the endpoints of a record, with the flags that they have in the kernel: registering one
 * again would cost its subflows. */
void endpoints_adopt(Target *target, const struct underpass_saved *saved);

/*
 * Removes the endpoints of ours that are not among the wanted ones. Negative errno: those that were removed
 * have been registered again where that was possible, and target->applied says what is there.
 */
int endpoints_remove_others(Target *target, const Address *wanted, size_t count);

/*
 * Registers those that are missing; addresses that somebody else has registered on this link are left to
 * them. Each is recorded before it is registered. On failure those that were added are removed again.
 * -EOPNOTSUPP: the kernel has no MPTCP; -ENOSPC: too many for a record, or for the kernel, whose limit is
 * eight.
 */
int endpoints_add_missing(Target *target, const Address *wanted, size_t count, uint32_t flags);

/* Makes the endpoints what they were: before is an earlier state of target->applied. Negative errno:
 * some could not be registered again, or not be removed. */
int endpoints_put_back(Target *target, const Applied *before);

/* Removes all endpoints of ours, as well as it goes: the kernel keeps them when address or link go. */
void endpoints_remove_all(Target *target);

/*
 * STEP_REANNOUNCE: registers endpoints of others again. Called after whoever waits has been answered,
 * because the kernel takes its time for it. young: the link is coming up, so its subflows have another link
 * to fall back on; without it, endpoints that have subflows stay, and a line in the journal says so.
 */
void endpoints_reannounce(Target *target, bool young);

/* Whether the link has an endpoint of anybody that subflows are built from, or to. */
bool endpoints_bring_subflows(const Target *target, const MptcpEndpoint *endpoints, size_t count);

/*
 * Registers the endpoints again that have no subflow, because kernels try each endpoint only once for a
 * connection. One that subflows are built from: while there is an MPTCP connection of the same family from
 * one of the other addresses, those of all other links. One that is announced: while a connection has lost a
 * subflow (missed), as nobody knows which peers want one at all. An endpoint that has subflows stays: they
 * would end.
 */
SubflowLook endpoints_retry_subflows(Target *target, const Address *others, size_t others_count,
                                     bool missed);
