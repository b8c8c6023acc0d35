/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the files of the tunnel room share: the Tunnel itself, its pins (tunnel-pins.c), its hooks
 * (tunnel-hook.c) and its helper devices (tunnel-segmentation device.c). Included by tunnel-*.c only.
 */

#include "tunnel/tunnel.h"

typedef enum TunnelMap {
        MAP_LINKS,
        MAP_SLOTS,
        MAP_LOADER,
        MAP_FLOWS,
        MAP_HALF_OPEN,
        MAP_COUNTERS,
        MAP_SAVED,
        MAP_DESTINATIONS,
        _TUNNEL_MAP_MAX,
} TunnelMap;

typedef enum TunnelProgram {
        PROGRAM_EGRESS_ETHERNET,
        PROGRAM_EGRESS_RAW,
        PROGRAM_INGRESS_ETHERNET,
        PROGRAM_INGRESS_RAW,
        PROGRAM_SEGMENT,
        PROGRAM_MERGED,
        PROGRAM_XDP,
        PROGRAM_KEEPALIVE,
        _TUNNEL_PROGRAM_MAX,
} TunnelProgram;

typedef enum TunnelDirection {
        DIRECTION_INGRESS,
        DIRECTION_EGRESS,
        _TUNNEL_DIRECTION_MAX,
} TunnelDirection;

struct Tunnel {
        char *root;      /* "/sys/fs/bpf/underpass" */
        char *folder;    /* root and the cookie of the network namespace */
        AttachPoint attach_point; /* never ATTACH_POINT_AUTO */
        bool loaded;     /* all descriptors below are valid */
        bool pinned;
        int maps[_TUNNEL_MAP_MAX];
        int programs[_TUNNEL_PROGRAM_MAX];
        uint64_t cookie; /* of the network namespace */
        char *complaint;
};

/* The pin that outlives tunnels: tunnel-saved.c. */
#define TUNNEL_PIN_SCTP "sctp"

/* tunnel-pins.c */

/* Attaches the keepalive program to the root of the cgroup tree, pinned, or replaces the one there.
 * -ENOENT: no cgroup2 mounted. */
int tunnel_pins_keepalive(Tunnel *tunnel);

/* Adopts what lies in the folder. 0: adopted or nothing there; what cannot be adopted has been removed. */
int tunnel_pins_adopt(Tunnel *tunnel);

/* Loads the programs unless they are, and pins everything unless it is. */
int tunnel_pins_ensure(Tunnel *tunnel);

/* Unpins maps and programs and removes the folder. */
int tunnel_pins_remove(Tunnel *tunnel);

/* Path of the pin of a link: "FOLDER/IFINDEX-egress". NULL when out of memory. */
char *tunnel_pins_path(const Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction);

/* The same for any name. */
char *tunnel_pins_named(const Tunnel *tunnel, const char *name);

/* Keeps the reason of a failure for tunnel_error(). */
void tunnel_set_error(Tunnel *tunnel, const char *format, ...) _printf_(2, 3);

/* tunnel-hook.c */

/* Finds out what the kernel has. Negative errno when not even a trivial program can be loaded. */
int attach_point_probe(bool *ret_tcx, bool *ret_netkit);

/*
 * Attaches a program at the head of the hook, pinned (tcx), or as a filter of our own priority and handle
 * (clsact, the qdisc must be there); a program of ours that is there already is replaced without a gap, one
 * that an earlier service attached to the other hook is taken off.
 */
int attach_point_attach(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, TunnelProgram program,
                       const char *pin);

/* Takes it off, from whichever hook. 0 also when it is not there or the link is gone. */
int attach_point_detach(uint32_t ifindex, TunnelDirection direction, const char *pin);

/* The same for a netkit device (egress), and for the native XDP attach point of a link (ingress), which
 * have no other hook. */
int attach_point_attach_netkit(Tunnel *tunnel, uint32_t ifindex, TunnelProgram program, const char *pin);
int attach_point_attach_xdp(Tunnel *tunnel, uint32_t ifindex, TunnelProgram program, const char *pin);

/* Takes off what is pinned there. */
int attach_point_unpin(uint32_t ifindex, const char *pin);

bool attach_point_attached(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, const char *pin);

/* Makes the clsact qdisc of a link. -EEXIST: there is one; -EBUSY: another qdisc is in its place. */
int attach_point_make_clsact(uint32_t ifindex);

/* The same for a link with a record, which then says whether the qdisc is ours. 0 also when there is one. */
int attach_point_own_clsact(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *saved);

/* Position of our program in the list of the hook, from 0; 0 also when it cannot be told. */
unsigned attach_point_position(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, const char *pin);

/* Removes the clsact qdisc if the record says that it is ours, unless filters of others are in it by now. */
int attach_point_disown_clsact(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *saved);

/* tunnel-segmentation device.c */

/* Takes the programs off the helper devices; what is no link there may be gone already. */
void tunnel_devices_remove(Tunnel *tunnel);

/* Fills the slot of a link. */
int tunnel_devices_fill_slot(Tunnel *tunnel, uint32_t slot, uint32_t ifindex, const TunnelPath *path);
