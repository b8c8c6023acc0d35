/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The Tunnel itself, as the files of this room share it: descriptors, the names of pins, the error text.
 * The other modules stand on this one; outside of the room nobody includes it.
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
        MAP_SOURCES,
        MAP_UNCERTAIN,
        MAP_SOCKETS,
        MAP_SOCKET_PORTS,
        MAP_UNANSWERED,
        MAP_UNMERGED,
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

/* What is pinned besides maps, programs and the attachments of links. */
typedef enum TunnelPin {
        PIN_SEGMENT_INGRESS, /* attachments of the rewriting program to a segmentation device … */
        PIN_SEGMENT_EGRESS,
        PIN_SEGMENT_NETKIT,
        PIN_MERGED,          /* … and of the one that gives merged packets back to their link */
        PIN_KEEPALIVE,
        PIN_CONSTANTS,       /* the map with the constants of the programs */
        PIN_SCTP,            /* the map that outlives tunnels: saved.c */
        _TUNNEL_PIN_MAX,
} TunnelPin;

struct Tunnel {
        char *root;      /* "/sys/fs/bpf/underpass" */
        char *folder;    /* root and the cookie of the network namespace */
        AttachPoint wanted;       /* as tunnel_open() was told */
        AttachPoint attach_point; /* never ATTACH_POINT_AUTO, once BPF can be used */
        int refused;     /* why BPF cannot be used, a negative errno; 0: it can */
        bool loaded;     /* all descriptors below are valid */
        bool pinned;
        int maps[_TUNNEL_MAP_MAX];
        size_t saved_size; /* of a value of "saved", which may be a newer service's */
        int programs[_TUNNEL_PROGRAM_MAX];
        int constants;   /* the map that the compiler has made of them */
        uint64_t cookie; /* of the network namespace */
        char *error;     /* for tunnel_error(); NULL: none */
};

/* Names in the BPF object, which are those of the pins, too. */
const char *tunnel_map_name(TunnelMap map);
const char *tunnel_program_name(TunnelProgram program);
const char *tunnel_pin_name(TunnelPin pin);

/* Path of a pin: "FOLDER/NAME". Caller frees; NULL when out of memory. */
char *tunnel_pin_path(const Tunnel *tunnel, const char *name);

/* The same for the attachment of a program to a link: "FOLDER/IFINDEX-egress". */
char *tunnel_link_pin_path(const Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction);

/* Makes the folder of the pins unless it is there. 0 or negative errno. */
int tunnel_make_folder(const Tunnel *tunnel);

/* Removes it. 0 also when it is not there, or not empty. */
int tunnel_remove_folder(const Tunnel *tunnel);

/* Pins under a name of ours, in place of what is pinned there: a service that is killed meanwhile leaves the
 * one or the other. 0 or negative errno. */
int tunnel_pin_again(const Tunnel *tunnel, const char *name, int fd);

/* Keeps the reason of a failure, a message, for tunnel_error(). */
void tunnel_set_error(Tunnel *tunnel, const char *msgid, ...) _printf_(2, 3);
void tunnel_clear_error(Tunnel *tunnel);
