/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Short waits for programs that are attached to links or taken off them. At tcx and netkit the kernel waits
 * for a grace period each time (synchronize_rcu()), often 10 to 20 ms. It holds RTNL meanwhile, the lock
 * without which nobody can change a link. Its own network code asks for an expedited grace period where it
 * waits under that lock (synchronize_net()); that takes less than a millisecond. /sys/kernel/rcu_expedited
 * makes all others expedited, too, on the whole host: it is on here during a few calls, and then off again.
 *
 * The kernel takes any number but 0 for "on". Ours is one that nobody else writes. It tells what a service
 * has left that was killed, even in another network namespace, from what a person has set meanwhile.
 *
 * A host where the switch is on already keeps it. So does one that forbids expedited grace periods by
 * /sys/kernel/rcu_normal, as those do that may not be interrupted (Linux 4.5; kernels for real time forbid
 * them by themselves).
 *
 * The kernel waits likewise for each tunnel socket that is removed, with all those of the network namespace
 * locked: tunnel_make_haste(), in tunnel.h.
 */

#include "tunnel/tunnel.h"

/* tunnel_make_haste() where the attach point is tcx and programs are loaded; elsewhere nothing begins. Until
 * tunnel_haste_endp(). */
TunnelHaste expedite_begin(const Tunnel *tunnel);

/* Undoes what a service has left that was killed. One of another network namespace may be at work and then
 * waits longer, once. */
void expedite_recover(void);
