/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * NetworkManager as a source: what the applied connection of a device says, asked over sd-bus, and the
 * signals that tell when to ask again.
 *
 * Never blocks: every call is asynchronous and gives up after a second, for NetworkManager waits for hooks,
 * which wait for the service.
 */

#include <systemd/sd-bus.h>

#include "source/source.h"

/* Something may have changed for the link; ifindex 0: for any. */
typedef void (*SourceNmChanged)(uint32_t ifindex, void *userdata);

int source_nm_new(Source **ret, SourceNmChanged changed, void *userdata);

/* Hands over a connection to the bus and subscribes there; NULL: the bus is gone. What was learnt stays. */
int source_nm_set_bus(Source *source, sd_bus *bus);

/*
 * What a dispatcher script reports. "down" takes the profile away unless NetworkManager's own signals say
 * that the device is being activated again already; everything that comes up means: ask. Never calls
 * NetworkManager.
 */
void source_nm_dispatched(Source *source, uint32_t ifindex, const char *action);

/* True while the device is on its way up: endpoints that exist now have been made a moment ago. */
bool source_nm_activating(Source *source, uint32_t ifindex);
