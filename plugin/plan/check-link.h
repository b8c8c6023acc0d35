/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The same for one link: see check-host.h. */

#include "bpf/abi.h"
#include "plan/check-host.h"
#include "profile/settings.h"

/* What UDP does to destinations of a link. */
typedef struct CheckBlocked {
        size_t refused;      /* by themselves */
        size_t filtered;     /* by a firewall */
        size_t silent;
        size_t throttled;
        const char *first;   /* "198.51.100.7:443", of the worst of these; "" */
} CheckBlocked;

/* A process with a UDP socket where receive=socket asks for one. */
typedef struct CheckHolder {
        uint16_t port;   /* 0: there is none, or it may not be looked into */
        int process;
        char name[16];
} CheckHolder;

/* Facts of a link. Strings are never NULL, lists may be. */
typedef struct CheckLink {
        const char *name;
        uint32_t mtu;                /* 0: not known */
        bool down;                   /* administratively */
        char upper[IF_NAMESIZE];     /* bridge or bond that it is a port of, which has the addresses; "" */
        bool leads_far;              /* it leads to the rest of the world */
        bool drops_answers;          /* the kernel does: rp_filter is strict, and another link is better */
        bool addresses_known;
        const Address *addresses;
        size_t addresses_count;
        const char *state;           /* as on D-Bus; "" when the service does not answer */
        const char *reason;
        const char *last_error;
        const char *last_stage;
        char *const *warnings;
        const char *connection;      /* id of NetworkManager's active connection; "" */
        const char *connection_uuid;
        const char *network_file;    /* of systemd-networkd; "" */
        bool managed;                /* by NetworkManager */
        bool registers_endpoints;    /* the connection does, when it is activated, … */
        bool flags_fall_short;       /* … but none of this link that builds subflows */
        char *const *profiles;       /* ids of its connections for this link that ask for a tunnel */
        CheckProfile candidate;      /* the first of them, or the one that is asked for */
        bool asked;                  /* the candidate is asked for by its name, and is not active */
        bool absent;                 /* no such link is there now */
        bool spare;                  /* others have tunnels, and nobody has asked for this one */
        Settings settings;           /* defaults when the service does not answer */
        const char *tunnel_origin;   /* where the key tunnel is from: id of a profile, or file and line */
        struct underpass_counters counters;
        CheckBlocked blocked;
        CheckHolder holder;
} CheckLink;

/* Adds lines. 0 or -ENOMEM. */
int check_link(const CheckHost *host, const CheckLink *link, CheckLines *lines);
