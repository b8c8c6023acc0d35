/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The service's connection to the bus: made at the start, made again whenever the bus has been away.
 * Tunnels do not depend on it.
 */

#include "service/manager.h"

#define BUS_NAME "org.underpass1"

typedef struct Bus Bus;

int bus_new(Bus **ret, Manager *manager);

/* Sends what has not been sent yet. */
Bus *bus_free(Bus *bus);
DEFINE_CLEANUP(Bus *, bus_free);

/* Connects, exports, requests the name; a bus that is not there yet is waited for. 0 or negative errno. */
int bus_start(Bus *bus);

/* Serves the calls that have come in already, those for which the bus has started the service among them:
 * so the first look begins with the links they are about. Waits only for the bus to say who has called. */
void bus_hear(Bus *bus);

/* Whether a call waits until it is known who has made it, or whether polkit allows it, or a probe is under
 * way. */
bool bus_is_busy(const Bus *bus);

/* Gives the name back, so that the next call starts another service, and asks polkit nothing more.
 * -ENOTCONN: there is no bus. */
int bus_release_name(Bus *bus);

/* Has the bus start another service. */
void bus_start_successor(Bus *bus);
