/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The attach points of one device: tcx, or clsact where there is no tcx, and those of netkit and XDP. Other
 * programs there are left alone.
 */

#include "tunnel/state.h"

/* Finds out what the kernel has. Negative errno when not even a trivial program can be loaded. */
int attach_point_probe(bool *ret_tcx, bool *ret_netkit);

/*
 * Attaches a program at the head of the tcx list, pinned, or as a filter of our own priority and handle in
 * the clsact qdisc, which must be there. A program of ours that is there already is replaced without a gap;
 * one that an earlier service attached at the other attach point is taken off.
 */
int attach_point_attach(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, TunnelProgram program,
                       const char *pin);

/* Takes it off both attach points. 0 also when it is not there or the link is gone. */
int attach_point_detach(const Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, const char *pin);

/* Attaches an ingress program behind the ingress filters of others, too, while there are such in a qdisc of
 * whomever: tcx and our own priority come before them. What is right is not touched. */
int attach_point_follow(Tunnel *tunnel, uint32_t ifindex, TunnelProgram program);

/* Attaches a program to the primary end of a netkit pair, or in front of the driver (native XDP), pinned. It
 * is taken off by attach_point_unpin(). */
int attach_point_attach_netkit(Tunnel *tunnel, uint32_t ifindex, TunnelProgram program, const char *pin);
int attach_point_attach_xdp(Tunnel *tunnel, uint32_t ifindex, TunnelProgram program, const char *pin);

/* Takes off what is pinned there. 0 also when nothing is. */
int attach_point_unpin(const Tunnel *tunnel, uint32_t ifindex, const char *pin);

bool attach_point_attached(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, const char *pin);

/* Makes the clsact qdisc of a link. -EEXIST: there is one; -EBUSY: another qdisc is in its place. */
int attach_point_make_clsact(uint32_t ifindex);

/* The same for a link with a record, which then says whether the qdisc is ours. 0 also when there is one
 * already. */
int attach_point_own_clsact(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *saved);

/* Position of our program in the tcx list, from 0; 0 also when it cannot be told. */
unsigned attach_point_position(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, const char *pin);

/* Removes the clsact qdisc if the record says that it is ours, unless other programs have filters in it by
 * now. */
int attach_point_disown_clsact(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *saved);
