/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * systemd-networkd as a source: the sections [X-Underpass] of the .network file, and of its drop-ins, by
 * which networkd manages a link. Which files these are is asked over sd-bus, and its signals tell when to
 * ask again.
 *
 * Never blocks: every call is asynchronous and gives up after a second. While networkd is away or silent,
 * its last answer stands.
 */

#include <systemd/sd-bus.h>

#include "source/source.h"

/* Something may have changed for the link; ifindex 0: for any. */
typedef void (*SourceNetworkdChanged)(uint32_t ifindex, void *userdata);

int source_networkd_new(Source **ret, SourceNetworkdChanged changed, void *userdata);

/* Hands over a connection to the bus and subscribes there; NULL: the bus is gone. What was learnt stays. */
int source_networkd_set_bus(Source *source, sd_bus *bus);
