/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The signals SubflowChanged and SubflowsLeftOut of the links. The kernel tells only those who may configure
 * networks of subflows, so the service passes it on; and it is asked only while somebody wants to know.
 */

#include "service/bus-link.h"

typedef struct BusSubflows BusSubflows;

int bus_subflows_new(BusSubflows **ret, Manager *manager, const BusLinks *links);
BusSubflows *bus_subflows_free(BusSubflows *subflows);
DEFINE_CLEANUP(BusSubflows *, bus_subflows_free);

/* From now on the signals are sent on this connection; it stays with the caller. */
void bus_subflows_start(BusSubflows *subflows, sd_bus *bus);
void bus_subflows_stop(BusSubflows *subflows);
