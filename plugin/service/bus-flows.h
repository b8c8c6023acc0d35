/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The answers of the methods that list flows. data/org.underpass1.xml tells what their members are.
 */

#include <systemd/sd-bus.h>

#include "service/flow-list.h"

#define BUS_LIVE_FLOW "(sqsqsbuuutttttt)"
#define BUS_BUSY_FLOW "(sqsqsbuuutttttttt)"

/* Each reads the arguments of its method, and answers. */
int bus_flows_list(sd_bus_message *message, FlowList *flows, sd_bus_error *error);
int bus_flows_list_live(sd_bus_message *message, FlowList *flows, sd_bus_error *error);
int bus_flows_list_busy(sd_bus_message *message, FlowList *flows, sd_bus_error *error);

/* The name of a state (enum underpass_flow_state); "" for 0. */
const char *bus_flows_state_name(uint8_t state);
