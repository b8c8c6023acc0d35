/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Helper devices that packets of tunnelled flows pass.
 *
 * The segmentation device: packets to be sent are redirected to it because it can neither segment nor
 * checksum in hardware. So the kernel does both in software before the rewriting program sees the packets.
 * Received datagrams that the stack had merged before are cut there in the same way.
 *
 * The GRO pair: a veth pair through which received packets pass GRO once more, as TCP. What enters its
 * receiving end comes out of its sending end. In the other direction it is part of two kinds of segmentation
 * device.
 *
 * All devices are NOARP, have no IPv6 addresses, and carry an alias that says who made them. They are found
 * by name, so that the next service adopts them; those that are half made it knows by their group.
 *
 * Twins: segment.c and what it stands on (the kernel), fake.c (no devices, for tests without privileges).
 */

#include <net/if.h>

#include "base/util.h"

/* Network managers leave interfaces with such names alone: data/10-underpass-devices.conf and
 * data/05-underpass-devices.network. */
#define SEGMENT_NAME_PREFIX "underpass-"
#define SEGMENT_NAME_SEND "underpass-tx"
#define SEGMENT_NAME_RECEIVE "underpass-rx"
#define SEGMENT_NAME_BRIDGE "underpass-br"
#define SEGMENT_NAME_NETKIT "underpass-nk"
#define SEGMENT_NAME_NETKIT_PEER "underpass-np"
#define SEGMENT_NAME_VLAN "underpass-v" /* and the ifindex of the link */

/*
 * Kinds of segmentation device, the best first: a line makes the value of the enum, the name, and the row of
 * the functions, segment_type_NAME.
 *
 * netkit  runs the program in its transmit routine; kernel 6.7 and newer
 * vlan    an 8021q device on top of the link, whose own program rewrites; one per link
 * bridge  a bridge with the sending end of the pair as its port, where the program sits
 * veth    the pair alone; its queue can drop and reorder, so it is the last resort
 */
#define SEGMENT_KINDS(KIND)     \
        KIND(NETKIT, netkit)    \
        KIND(VLAN, vlan)        \
        KIND(BRIDGE, bridge)    \
        KIND(VETH, veth)

#define SEGMENT_KIND_VALUE(id, name) SEGMENT_##id,

typedef enum SegmentKind {
        SEGMENT_AUTO,           /* none of them: the caller takes the best one there is */
        SEGMENT_KINDS(SEGMENT_KIND_VALUE)
        _SEGMENT_KIND_MAX,
        _SEGMENT_KIND_FIRST = SEGMENT_AUTO + 1,
} SegmentKind;

/* "auto" for SEGMENT_AUTO, which has a name but is not found by it: -EINVAL. */
const char *segment_kind_name(SegmentKind kind);
int segment_kind_from_name(const char *name, SegmentKind *ret);

/* Where the rewriting program has to sit. */
typedef enum SegmentPlace {
        SEGMENT_PLACE_NONE,    /* nowhere: the program of the link does it */
        SEGMENT_PLACE_INGRESS,
        SEGMENT_PLACE_EGRESS,
        SEGMENT_PLACE_NETKIT,
} SegmentPlace;

typedef struct GroPair {
        uint32_t send_ifindex;
        uint32_t receive_ifindex;
} GroPair;

typedef struct SegmentationDevice {
        SegmentKind kind;
        uint32_t ifindex;         /* tunnelled packets are redirected here; 0: no segmentation device */
        uint32_t program_ifindex; /* the rewriting program sits here … */
        SegmentPlace place;       /* … in this place */
        char name[IF_NAMESIZE];   /* of the device with ifindex */
} SegmentationDevice;

/*
 * Finds the pair or makes it, and repairs what somebody changed. -EEXIST: a device of that name exists that
 * is not ours. Both ends stay as they are, up or down.
 */
int gro_pair_ensure(GroPair *ret);

/* Brings both ends up; called after the programs are attached. */
int gro_pair_up(const GroPair *pair);

/* Removes the pair. 0 also when there is none. */
int gro_pair_remove(void);

/*
 * The same for the segmentation device of one kind (never SEGMENT_AUTO); SEGMENT_VLAN: the one of this link.
 * On failure nothing is left behind, and *ret_reason says why this kind is not available, as a message or in
 * the kernel's own words (caller frees; NULL when out of memory). -EOPNOTSUPP: this kernel does not have it.
 * Other errors may concern only this link, or pass.
 */
int segment_ensure(SegmentKind kind, const GroPair *pair, uint32_t link_ifindex, SegmentationDevice *ret,
                   char **ret_reason);

/*
 * Brings its devices up, after gro_pair_up(); never sleeps. -EAGAIN: packets would be lost, because the pair
 * is not up, or because the kernel has not noticed that it is, which happens rarely and only before 6.8. The
 * caller then uses another kind, or sets a timer of some milliseconds and calls again.
 */
int segment_up(const SegmentationDevice *segment);

/* Removes the devices of a kind; SEGMENT_VLAN: the one of this link. 0 also when there are none. */
int segment_remove(SegmentKind kind, uint32_t link_ifindex);

/* Removes the devices of single links (SEGMENT_VLAN) that are not among these. */
int segment_remove_unowned(const uint32_t *owners, size_t count);

/* True for names of helper devices: such links are never tunnelled themselves. */
bool segment_is_name(const char *name);

/* Whether a helper device is among the links that rtnetlink lists. */
bool segment_is_among(uint32_t ifindex, const uint32_t *ifindexes, size_t count);
