/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a message takes in memory. */

#include <stddef.h>
#include <systemd/sd-bus.h>

/* Adds what a message takes beyond its header to *size, in bytes; reading ends above limit. Whoever reads
 * its arguments afterwards has to rewind it. 0 or negative errno. */
int message_size_add(sd_bus_message *message, size_t limit, size_t *size);
