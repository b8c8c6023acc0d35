/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which process owns a well-known name on the bus, and so whose signals can be believed: anybody can send a
 * signal straight to us, and a match rule with the well-known name does not stop it.
 */

#include <systemd/sd-bus.h>

#include "base/util.h"

typedef struct BusOwner BusOwner;

struct BusOwner {
        char *unique;      /* name of the process; NULL: nobody owns the name, or nobody knows yet */
        sd_bus_slot *call; /* who owns the name is being asked */
        sd_bus_slot *slot;

        /* Somebody else owns the name, or nobody. Also called for the first answer. NULL: nobody cares. */
        void (*changed)(BusOwner *owner);
};

/* Whether the sender is this one, by its unique name or, for the bus itself and for what the library makes
 * up, by a name that nobody else can have. NULL is nobody. */
bool bus_message_is_from(sd_bus_message *message, const char *sender);

/* Subscribes and asks. On failure call bus_owner_stop(). Negative errno. */
int bus_owner_watch(BusOwner *owner, sd_bus *bus, const char *name);

/* Forgets everything but changed(), which is not called. */
void bus_owner_stop(BusOwner *owner);
