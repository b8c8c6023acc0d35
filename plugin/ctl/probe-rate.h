/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl probe --rate": how fast plain TCP and the UDP form are, on one link after the other. */

#include <json-glib/json-glib.h>

#include "ctl/ctl.h"
#include "plan/probe.h"
#include "plan/rate.h"

/* What is to be measured on one link. */
typedef struct ProbeRate {
        const char *link;
        const Address *address;
        const char *host;         /* as it was typed */
        uint16_t port;
        const char *path;         /* to be downloaded by HTTP; "": zeros are sent */
        const ProbeReport *found; /* by the probe before: only what passes is measured */
        bool plain_tunnelled;     /* the tunnel of the link would carry plain TCP as well */
} ProbeRate;

/* Whether it can be a path of HTTP, or is empty. */
bool probe_rate_path_fits(const char *path, GError **error);

/* Says on standard error how much data this may take. */
void probe_rate_announce(const Ctl *ctl, size_t links);

/* Measures. False with an error when that cannot be; *ret_signal: the signal that ended it early, 0: none
 * did. signals: a signalfd. */
bool probe_rate_run(const ProbeRate *what, int signals, RateReport *ret, int *ret_signal, GError **error);

/* Sentences about one link: the figures, and what follows. Caller frees the strings and the array. */
char **probe_rate_describe(const RateReport *report, bool download);

/* The member "rate" of the open object. */
void probe_rate_json(JsonBuilder *builder, const RateReport *report, bool download);
