/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Helper devices that packets of tunnelled flows pass.
 *
 * The segmentation hop: a device that packets to be sent are redirected to because it can neither segment
 * nor checksum in hardware, so the kernel does both in software before the rewriting program sees them. Its
 * kinds, the best first: see HopKind.
 *
 * The merge pair: a veth pair by which what was received goes through GRO once more, as TCP. What enters its
 * receiving end comes out of its sending one. The other way it is part of two kinds of hop.
 *
 * All devices: NOARP, no IPv6 addresses, an alias that says whose they are. They are found by name, so that
 * the next service adopts them.
 *
 * Files: hop.c (table of the kinds), hop-veth.c (the pair, too), hop-bridge.c, hop-netkit.c, hop-vlan.c, and
 * hop-link.c with what they share.
 */

#include <net/if.h>

#include "base/util.h"

#define HOP_NAME_SEND "underpass-tx"
#define HOP_NAME_RECEIVE "underpass-rx"
#define HOP_NAME_BRIDGE "underpass-br"
#define HOP_NAME_NETKIT "underpass-nk"
#define HOP_NAME_NETKIT_PEER "underpass-np"
#define HOP_NAME_VLAN "underpass-v" /* and the ifindex of the link */

typedef enum HopKind {
        HOP_NETKIT, /* runs the program in its transmit routine; kernel 6.7 and newer */
        HOP_VLAN,   /* an 8021q device on top of the link itself, whose own program rewrites; one a link */
        HOP_BRIDGE, /* a bridge with the sending end of the pair as its port, where the program sits */
        HOP_VETH,   /* the pair alone; its queue can drop and reorder, so it is the last resort */
        _HOP_KIND_MAX,
} HopKind;

const char *hop_kind_name(HopKind kind);
int hop_kind_from_name(const char *name, HopKind *ret);

/* Where the rewriting program has to sit. */
typedef enum HopPlace {
        HOP_PLACE_NONE,    /* nowhere: that of the link does it */
        HOP_PLACE_INGRESS,
        HOP_PLACE_EGRESS,
        HOP_PLACE_NETKIT,
} HopPlace;

typedef struct HopPair {
        uint32_t send_ifindex;
        uint32_t receive_ifindex;
} HopPair;

typedef struct Hop {
        HopKind kind;
        uint32_t ifindex;         /* tunnelled packets are redirected here; 0: no hop */
        uint32_t program_ifindex; /* the rewriting program sits here … */
        HopPlace place;           /* … in this place */
        char name[IF_NAMESIZE];   /* of the first */
} Hop;

/*
 * Finds the pair or makes it; repairs one that others changed. -EEXIST when a device of that name exists
 * that is not ours. Both ends stay as they are, up or down.
 */
int hop_pair_ensure(HopPair *ret);

/* Brings both ends up; called after the programs are attached. */
int hop_pair_up(const HopPair *pair);

/* Removes the pair. 0 also when there is none. */
int hop_pair_remove(void);

/*
 * The same for the hop of one kind, which for HOP_VLAN is that of the link. On failure *ret_reason is why
 * this kind cannot be had, in English for the journal or in the kernel's own words (caller frees; NULL: no
 * memory), and nothing is left behind. -EOPNOTSUPP: never on this kernel; anything else may be of this
 * link, or of now.
 */
int hop_ensure(HopKind kind, const HopPair *pair, uint32_t link_ifindex, Hop *ret, char **ret_reason);

/* Brings its devices up; called after the program is attached. */
int hop_up(const Hop *hop);

/* Removes the devices of a kind, for HOP_VLAN that of the link. 0 also when there are none. */
int hop_remove(HopKind kind, uint32_t link_ifindex);

/* True for the names above: such links are never tunnelled themselves. */
bool hop_is_name(const char *name);
