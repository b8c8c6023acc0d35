/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What org.underpass1.Link says of what was done to a link: values in force, programs, the receive mode.
 */

#include <systemd/sd-bus.h>

#include "service/bus-fingerprint.h"
#include "service/manager.h"

/* A link on the bus: what getters and methods of its interface get as userdata. Written by bus-link.c. */
typedef struct BusLink {
        struct BusLink *next;
        Manager *manager;
        Link *link;
        char *path;
        BusFingerprints *fingerprints;
} BusLink;

/* A getter of sd-bus; userdata is a BusLink. */
#define BUS_GETTER(name)                                                                       \
        int name(sd_bus *bus, const char *path, const char *interface, const char *property,   \
                 sd_bus_message *reply, void *userdata, sd_bus_error *error)

/* Takes one thing that is in force; a negative return ends the walk and is returned. */
typedef int (*BusAppliedHandler)(const char *key, const char *value, void *userdata);

/* What is in force for a link, as the property Applied has it. */
int bus_applied_each(const Manager *manager, const Link *link, BusAppliedHandler handler, void *userdata);

BUS_GETTER(bus_applied);
BUS_GETTER(bus_applied_programs);
BUS_GETTER(bus_applied_receive_mode);
