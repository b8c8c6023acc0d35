/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What is known about destinations and has an effect now.
 */

#include "service/manager.h"

/* One state of a destination; a destination in several states has several. */
typedef struct DestinationState {
        uint32_t ifindex;
        Address remote;
        uint16_t remote_port;   /* network order */
        const char *name;       /* as ListDestinations has it; static string */
        uint32_t seconds;       /* until it is forgotten */
} DestinationState;

typedef int (*DestinationStateHandler)(const DestinationState *state, void *userdata);

/* Calls handler for each; a negative return ends the walk and is returned. */
int destination_states(Manager *manager, DestinationStateHandler handler, void *userdata);
