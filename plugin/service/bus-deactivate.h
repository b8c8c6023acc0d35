/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Deactivate of both D-Bus interfaces, and DeactivateAll: answered when the links have been looked at, with
 * an error where something of a tunnel is left.
 */

#include "service/bus-reply.h"
#include "service/told.h"

/* Deactivate: the error is that of the link. 1: the call is or will be answered; negative errno: it is
 * not. */
int bus_deactivate(Manager *manager, Link *link, sd_bus_message *message);

/* DeactivateAll: the answer is the number of tunnels that have gone. told has to outlive the links. The same
 * results. */
int bus_deactivate_all(Manager *manager, Told *told, sd_bus_message *message);
