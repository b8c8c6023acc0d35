/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the kinds of segmentation device share: one helper device as the kernel describes it, and how it is
 * made, repaired and removed. Outside of the room nobody includes it.
 */

#include <linux/rtnetlink.h>
#include <stdalign.h>

#include "base/netlink.h"
#include "segment/segment.h"

enum {
        DEVICE_REQUEST_SIZE = 512,
        DEVICE_MTU = 65535, /* the largest there is; a super-packet of IPv4 is not larger */
};

/* A zeroed buffer for device_request(). */
#define DEVICE_REQUEST(name) alignas(struct nlmsghdr) uint8_t name[DEVICE_REQUEST_SIZE] = {}

typedef struct Device {
        uint32_t ifindex;    /* 0: no such device */
        uint32_t other;      /* ifindex of the other end, or of the device below; 0: in another namespace */
        uint32_t master;     /* ifindex of the bridge that it is a port of */
        uint32_t flags;
        uint32_t mtu;
        uint16_t vlan;       /* id of an 8021q device */
        char kind[IF_NAMESIZE];
        bool has_alias;
        bool ours;           /* by its alias, or by its group when it is half made */
        bool has_ipv6;
        uint8_t address_mode;
} Device;

/* One kind of segmentation device: its functions of segment.h. *ret_reason may stay NULL when the errno says
 * it all. */
typedef struct SegmentType {
        int (*ensure)(Netlink *netlink, const GroPair *pair, uint32_t link_ifindex, SegmentationDevice *ret,
                      char **ret_reason);
        int (*up)(Netlink *netlink, const SegmentationDevice *segment);
        int (*remove)(Netlink *netlink, uint32_t link_ifindex);
} SegmentType;

#define SEGMENT_KIND_TYPE(id, name) extern const SegmentType segment_type_##name;

SEGMENT_KINDS(SEGMENT_KIND_TYPE)

/* Begins a request about a device of this number; 0: named by an attribute. */
struct nlmsghdr *device_request(void *buffer, uint16_t type, uint16_t flags, uint32_t ifindex);

/* Marks the device of a request to make one as ours: the kernel takes no alias there, but a group. A service
 * that is killed before it has given the alias leaves a device that the next one knows all the same. */
void device_mark(struct nlmsghdr *message);

/* Finds a device by name; 0 also when there is none. */
int device_find(Netlink *netlink, const char *name, Device *ret);

/* The same for one that has just been made, which goes again when it cannot be looked at. */
int device_find_made(Netlink *netlink, const char *name, Device *ret);

/* Removes it. 0 also when it is gone. */
int device_delete(Netlink *netlink, uint32_t ifindex);

/* NOARP, alias, no IPv6 addresses, and the MTU unless it is 0: what is right is not touched. */
int device_repair(Netlink *netlink, const Device *link, uint32_t mtu);

int device_up(Netlink *netlink, uint32_t ifindex);

/* A pair of devices of a kind whose only attribute is the peer, which has the number 1 (veth, netkit):
 * found, or made after the remains of an earlier one were cleared away, and repaired. -EEXIST: a name is
 * taken. */
int device_ensure_pair(Netlink *netlink, const char *kind, const char *const names[2], Device ret[2],
                         bool *ret_created);
int device_remove_pair(Netlink *netlink, const char *kind, const char *const names[2]);

/* Why a request failed: the kernel's own words, or those of the errno. Caller frees. */
char *device_reason(const Netlink *netlink, int error);
