/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Ends the service when there is nothing to do: the bus starts it again when it is called.
 */

#include "service/bus.h"
#include "service/manager.h"

typedef struct Idle Idle;

/* after_us: leave after so long without work, microseconds; 0: never. */
int idle_new(Idle **ret, Manager *manager, Bus *bus, uint64_t after_us);
Idle *idle_free(Idle *idle);
DEFINE_CLEANUP(Idle *, idle_free);
