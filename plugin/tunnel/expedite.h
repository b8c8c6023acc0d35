/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Short waits for programs that are attached to links or taken off them. At tcx and netkit the kernel waits
 * for a grace period each time (synchronize_rcu()), often 10 to 20 ms, and nobody else can change a link
 * meanwhile: it holds the lock for that (RTNL). Where its own network code waits under that lock, it asks
 * for an expedited grace period (synchronize_net()), which takes less than one. For these there is
 * /sys/kernel/rcu_expedited, for the whole host: it is 1 here during a few calls, and then 0 again.
 *
 * A host that has 1 there already keeps it. So does one that has forbidden it by /sys/kernel/rcu_normal, as
 * those do that may not be interrupted (Linux 4.5; kernels for real time forbid it by themselves).
 */

#include "tunnel/tunnel.h"

/* Expedited grace periods until expedite_endp(). */
typedef struct Expedite {
        char *mark; /* tells the next service, should this one be killed meanwhile; NULL: nothing to undo */
} Expedite;

/* Begins with it where the attach point is tcx and programs are loaded. Where the host does not allow it,
 * the waits are long; nothing else changes. May be nested. */
Expedite expedite_begin(const Tunnel *tunnel);

void expedite_endp(Expedite *expedite);

/* Undoes what a service has left that was killed. */
void expedite_recover(const Tunnel *tunnel);
