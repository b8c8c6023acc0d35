/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the tunnels remember about destinations, for "flows" and "explain". */

#include <json-glib/json-glib.h>
#include <stdint.h>

#include "ctl/ctl.h"

/* One row of ListDestinations; the strings belong to the reply. */
typedef struct Destination {
        uint32_t ifindex;
        const char *remote;
        uint16_t remote_port;
        const char *state;     /* "silent", "refused", "filtered", "stripped", "no-mptcp", "throttled" */
        uint32_t seconds_left; /* until the state is forgotten */
} Destination;

/* All rows, or NULL with an error. */
GVariant *destinations_list(Ctl *ctl, GError **error);

/* Row number row, which must exist. */
void destinations_read(GVariant *destinations, size_t row, Destination *ret);

/* How many destinations of a link are in this state. */
unsigned destinations_count(GVariant *destinations, uint32_t ifindex, const char *state);

/* "UDP gets no answer, plain TCP for 9 min". Caller frees. */
char *destinations_describe(const Destination *destination);

/* Adds one object; interface is the name of the link. */
void destinations_add_json(JsonBuilder *builder, const Destination *destination, const char *interface);
