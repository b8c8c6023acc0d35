/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How "underpassctl probe" shows what it has found: a picture of each link, and what to do. */

#include "ctl/ctl.h"
#include "plan/probe.h"
#include "plan/rate.h"

/* What was found on one link. */
typedef struct ProbeView {
        char link[IF_NAMESIZE];
        char *address;       /* that was asked */
        ProbeReport report;
        const RateReport *rate; /* NULL: not measured */
        bool download;       /* of rate: to here */
        GVariant *properties; /* of the link, a{sv}; NULL: the service does not run */
        bool drops_answers;  /* this host does, for where they come from (rp_filter) */
        bool mirrored;       /* NetworkManager stores no settings for the connection of the link */
} ProbeView;

/* Of all links; ends with one sentence and the commands that follow from it. */
void probe_view_print(const Ctl *ctl, const char *host, uint16_t port, const ProbeView *views, size_t count);

void probe_view_json(const char *host, uint16_t port, const ProbeView *views, size_t count);
