/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The segmentation hop: a device that tunnelled packets are redirected to because it can neither segment nor
 * checksum in hardware, so the kernel does both in software, packet by packet, before the rewriting program
 * sees them. Implementations: hop-veth.c. Room L3 (world): netlink and the ethtool ioctl; does not log.
 */

#include "util.h"

#define HOP_NAME_SEND "underpass-tx"     /* tunnelled packets are redirected here */
#define HOP_NAME_RECEIVE "underpass-rx"  /* the rewriting program sits on this one's ingress */

typedef struct Hop {
        uint32_t send_ifindex;
        uint32_t receive_ifindex;
} Hop;

/*
 * Finds the pair or makes it: NOARP, no IPv6 address generation, MTU 65535, alias that says whose it is, on
 * the sending end no TSO, no checksum offload (GSO and scatter-gather stay). Idempotent; repairs a pair that
 * others changed. -EEXIST when a device of that name exists that is no veth pair.
 */
int hop_ensure(Hop *ret);

/* Brings both ends up; called after the rewriting program is attached. */
int hop_up(const Hop *hop);

/* Removes the pair. 0 also when there is none. */
int hop_remove(void);

/* True for the names above: such links are never tunnelled themselves. */
bool hop_is_name(const char *name);
