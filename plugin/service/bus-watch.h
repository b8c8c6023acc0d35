/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The signals FlowsChanged and DestinationsChanged of the manager. The programs tell of nothing by
 * themselves, so their maps are read once a second, and only while somebody has subscribed. The signals of
 * subflows are sent for as long.
 */

#include "service/bus-subflows.h"
#include "service/flow-list.h"

#define BUS_FLOW_CHANGES "a(usqsqbss)"
#define BUS_DESTINATION_CHANGES "a(usqsu)"

typedef struct BusWatch BusWatch;

int bus_watch_new(BusWatch **ret, Manager *manager, FlowList *flows, const BusLinks *links);
BusWatch *bus_watch_free(BusWatch *watch);
DEFINE_CLEANUP(BusWatch *, bus_watch_free);

/* The sender of the message wants the signals, until it leaves the bus. -EUSERS: too many do. */
int bus_watch_subscribe(BusWatch *watch, sd_bus_message *message);

/* The bus is gone, and with it everybody who has subscribed. */
void bus_watch_stop(BusWatch *watch);
