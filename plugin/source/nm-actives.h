/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What NetworkManager has activated: objects of Connection.Active, by the profile that each of them
 * activates. Known only to tell which tunnel profiles are active, and whether somebody has activated or
 * deactivated one by hand.
 */

#include "source/bus-peer.h"

typedef struct NmActive {
        struct NmActive *next;
        char *path;
        char *uuid;            /* of the profile; NULL: being asked for */
        sd_bus_slot *call;
        struct NmActives *actives;
        bool listed;           /* in the last list */
} NmActive;

typedef enum NmActiveEvent {
        NM_ACTIVE_FOUND,       /* in the first list since NetworkManager came */
        NM_ACTIVE_BEGUN,
        NM_ACTIVE_ENDED_BY_HAND,
        NM_ACTIVE_ENDED,       /* with the device that it was active on, or because its service failed */
} NmActiveEvent;

typedef struct NmActives {
        BusPeer *peer;
        NmActive *known;
        sd_bus_slot *listing;
        BusPeerRetry retry;
        bool again;            /* the list has changed since it was asked for */
        bool loaded;           /* all of the first list are known */

        /* Not called for what has begun and ended before it could be asked about. */
        void (*event)(struct NmActives *actives, const char *uuid, NmActiveEvent event);

        /* The first list is known. */
        void (*ready)(struct NmActives *actives);
} NmActives;

/* Asks for the list, again if that is being done. */
void nm_actives_refresh(NmActives *actives);

/* Forgets all: NetworkManager or the bus is gone. */
void nm_actives_done(NmActives *actives);

/* The signal StateChanged of an object of Connection.Active. */
void nm_actives_on_state(NmActives *actives, sd_bus_message *message);

/* Path of the object by which a profile is active or becomes so; NULL: there is none. */
const char *nm_actives_path(const NmActives *actives, const char *uuid);
