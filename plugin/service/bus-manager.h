/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The service as a D-Bus object with the interface org.underpass1.Manager.
 */

#include "service/bus-link.h"
#include "service/bus-watch.h"
#include "service/call-budget.h"
#include "service/flow-list.h"
#include "service/manager.h"
#include "service/probing.h"
#include "service/told.h"

#define BUS_PATH "/org/underpass1"

/* What its members work with; written by bus.c. */
typedef struct BusManager {
        Manager *manager;
        BusLinks *links;
        FlowList *flows;
        BusWatch *watch;
        Probing *probing;
        Told *told;
        CallBudget budget;   /* written by bus-manager.c */
} BusManager;

/* self has to stay as long as the connection. */
int bus_manager_export(BusManager *self, sd_bus *bus);

/* Tells everybody that BPF can be used now, and what the kernel has. */
void bus_manager_announce_bpf(sd_bus *bus);
