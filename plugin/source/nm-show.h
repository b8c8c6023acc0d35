/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Has NetworkManager show the tunnel profile of a device as active while its base is. That is all that
 * this activation does: settings count without it. What a person does with it by hand is a wish.
 */

#include "source/nm-actives.h"
#include "source/nm-tunnels.h"

typedef enum NmWish {
        NM_WISH_NONE,
        NM_WISH_ON,            /* somebody has activated the tunnel profile */
        NM_WISH_OFF,           /* … deactivated it */
} NmWish;

typedef struct NmShow {
        BusPeerLink *link;
        sd_bus_slot *call;
        char *base;            /* active connection of the device, for which activation was asked */
        char *tunnel;          /* object path of the tunnel profile to activate */
        char *error;           /* why it is not shown: a sentence; NULL: nothing is wrong */
        bool wanted;           /* the tunnel profile is to be shown for this device */
        bool asked;            /* the next activation is ours */
        bool ending;           /* the next deactivation is */
        bool again;            /* ask once more for the same base */
        unsigned ended;        /* how often the activation has ended by itself on this base */
        NmWish wish;
} NmShow;

void nm_show_done(NmShow *show);

/* Activates the tunnel profile if it is not active: device is the object path of the device, which is
 * active. */
void nm_show_begin(NmShow *show, const NmActives *actives, const NmTunnel *tunnel, const char *device);

/* Deactivates it if it is active; the next nm_show_begin() activates it again. tunnel: NULL without one, or
 * where it stays active for another device. */
void nm_show_end(NmShow *show, const NmActives *actives, const NmTunnel *tunnel);

/* Whether an event of the tunnel profile of this device is what was asked for here. */
bool nm_show_is_ours(const NmShow *show, NmActiveEvent event);

/* Something has happened to the activation of the tunnel profile of this device. ours: it was asked for
 * here, or for another device of the profile, so it is nobody's wish. Whether the device has to be looked
 * at. */
bool nm_show_event(NmShow *show, NmActiveEvent event, bool ours);
