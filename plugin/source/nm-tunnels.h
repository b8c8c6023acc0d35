/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * NetworkManager's tunnel profiles (profile/nm-tunnel.h): all of them are read before any link is asked
 * about, and signals keep them up to date. Only NetworkManager's word that there is no such profile ends
 * one: while it is silent the last ones stand, and it is asked again.
 */

#include "plan/facts.h"
#include "profile/nm-tunnel.h"
#include "source/bus-peer.h"
#include "source/nm-connection.h"

typedef struct NmTunnel {
        struct NmTunnel *next;
        char *path;            /* of the object of Settings.Connection; "": not told of since NetworkManager
                                * came */
        NmConnection profile;
} NmTunnel;

typedef struct NmTunnelCall NmTunnelCall;

typedef struct NmTunnels {
        BusPeer *peer;
        NmTunnel *known;
        NmTunnelCall *calls;   /* profiles that are being asked for, or will be once more */
        sd_bus_slot *listing;  /* which profiles there are is being asked */
        BusPeerRetry retry;
        bool loading;          /* read() is still to be called */
        bool listed;           /* NetworkManager has said which profiles there are, since it came */
        bool loaded;           /* and what all of them say */

        /* All are read, or some cannot be read now. */
        void (*read)(struct NmTunnels *tunnels);

        /* Since then, one has come, gone or changed. */
        void (*changed)(struct NmTunnels *tunnels);
} NmTunnels;

/* Reads all profiles. False: NetworkManager cannot be asked, and read() is not called. */
bool nm_tunnels_load(NmTunnels *tunnels);

/* Whoever was asked does not answer any more: NetworkManager, or the bus, is gone. What is known stays. */
void nm_tunnels_stop(NmTunnels *tunnels);

/* Stops, and forgets all. */
void nm_tunnels_done(NmTunnels *tunnels);

/* Signals of NetworkManager: of its Settings (NewConnection, ConnectionRemoved); Updated of a profile. */
void nm_tunnels_on_settings(NmTunnels *tunnels, sd_bus_message *message);
void nm_tunnels_on_updated(NmTunnels *tunnels, sd_bus_message *message);

/* The tunnel profile for a base, active on this interface, or NULL: the one that names it most exactly, and
 * among equals the one with the least UUID. */
const NmTunnel *nm_tunnels_find(const NmTunnels *tunnels, const char *interface, const NmConnection *base);

/* Its settings, and in warnings what is odd about them, about the base, and about other tunnel profiles for
 * it. tunnel may be NULL. 0 or -ENOMEM. */
int nm_tunnels_apply(const NmTunnels *tunnels, const NmTunnel *tunnel, const char *interface,
                     const NmConnection *base, Profile *profile);
