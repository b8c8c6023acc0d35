/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Shared by the two files of org.underpass1.Link: the getters in bus-applied.c, of what was done to a link.
 */

#include "service/bus-util.h"

#define GETTER_OF(name)                                                                                     \
        int name(sd_bus *bus, const char *path, const char *interface, const char *property,                \
                 sd_bus_message *reply, void *userdata, sd_bus_error *error)

/* Where datagrams become TCP, which need not be what was asked for, and why there. */
GETTER_OF(bus_link_receive_mode);

GETTER_OF(bus_link_applied);
GETTER_OF(bus_link_programs);
