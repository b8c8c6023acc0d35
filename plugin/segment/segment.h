/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Helper devices that packets of tunnelled flows pass.
 *
 * The segmentation device: a device that packets to be sent are redirected to because it can neither
 * segment nor checksum in hardware, so the kernel does both in software before the rewriting program sees
 * them. Its kinds, the best first: see SegmentKind.
 *
 * The GRO pair: a veth pair by which what was received goes through GRO once more, as TCP. What enters its
 * receiving end comes out of its sending one. The other way it is part of two kinds of segmentation device.
 *
 * All devices: NOARP, no IPv6 addresses, an alias that says whose they are. They are found by name, so that
 * the next service adopts them.
 *
 * Files: segment.c (table of the kinds), segmentation device-veth.c (the pair, too), segmentation
 * device-bridge.c, segmentation device-netkit.c, segmentation device-vlan.c, and segmentation device-link.c
 * with what they share.
 */

#include <net/if.h>

#include "base/util.h"

#define SEGMENT_NAME_SEND "underpass-tx"
#define SEGMENT_NAME_RECEIVE "underpass-rx"
#define SEGMENT_NAME_BRIDGE "underpass-br"
#define SEGMENT_NAME_NETKIT "underpass-nk"
#define SEGMENT_NAME_NETKIT_PEER "underpass-np"
#define SEGMENT_NAME_VLAN "underpass-v" /* and the ifindex of the link */

typedef enum SegmentKind {
        SEGMENT_NETKIT, /* runs the program in its transmit routine; kernel 6.7 and newer */
        SEGMENT_VLAN, /* an 8021q device on top of the link itself, whose own program rewrites; one a link */
        SEGMENT_BRIDGE, /* a bridge with the sending end of the pair as its port, where the program sits */
        SEGMENT_VETH, /* the pair alone; its queue can drop and reorder, so it is the last resort */
        _SEGMENT_KIND_MAX,
} SegmentKind;

const char *segment_kind_name(SegmentKind kind);
int segment_kind_from_name(const char *name, SegmentKind *ret);

/* Where the rewriting program has to sit. */
typedef enum SegmentPlace {
        SEGMENT_PLACE_NONE,    /* nowhere: that of the link does it */
        SEGMENT_PLACE_INGRESS,
        SEGMENT_PLACE_EGRESS,
        SEGMENT_PLACE_NETKIT,
} SegmentPlace;

typedef struct GroPair {
        uint32_t send_ifindex;
        uint32_t receive_ifindex;
} GroPair;

typedef struct Segment {
        SegmentKind kind;
        uint32_t ifindex;         /* tunnelled packets are redirected here; 0: no segmentation device */
        uint32_t program_ifindex; /* the rewriting program sits here … */
        SegmentPlace place;           /* … in this place */
        char name[IF_NAMESIZE];   /* of the first */
} SegmentationDevice;

/*
 * Finds the pair or makes it; repairs one that others changed. -EEXIST when a device of that name exists
 * that is not ours. Both ends stay as they are, up or down.
 */
int gro_pair_ensure(GroPair *ret);

/* Brings both ends up; called after the programs are attached. */
int gro_pair_up(const GroPair *pair);

/* Removes the pair. 0 also when there is none. */
int gro_pair_remove(void);

/*
 * The same for the segmentation device of one kind, which for SEGMENT_VLAN is that of the link. On failure
 * *ret_reason is why this kind cannot be had, in English for the journal or in the kernel's own words
 * (caller frees; NULL: no memory), and nothing is left behind. -EOPNOTSUPP: never on this kernel; anything
 * else may be of this link, or of now.
 */
int segment_ensure(SegmentKind kind, const GroPair *pair, uint32_t link_ifindex, SegmentationDevice *ret,
                   char **ret_reason);

/*
 * Brings its devices up, after gro_pair_up(); never sleeps. -EAGAIN, which only kernels before 6.8 give and
 * hardly ever: the kernel has not noticed yet that the pair is up, so packets would be lost. The caller then
 * uses another kind, or sets a timer of some milliseconds and calls again.
 */
int segment_up(const SegmentationDevice *segment);

/* Removes the devices of a kind, for SEGMENT_VLAN that of the link. 0 also when there are none. */
int segment_remove(SegmentKind kind, uint32_t link_ifindex);

/* True for the names above: such links are never tunnelled themselves. */
bool segment_is_name(const char *name);

/* Whether a helper device is among the links that rtnetlink lists. */
bool segment_is_among(uint32_t ifindex, const uint32_t *ifindexes, size_t count);
