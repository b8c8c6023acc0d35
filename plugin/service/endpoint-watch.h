/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Tells when the MPTCP endpoints of the network namespace have changed. The kernel announces no such
 * change, so they are compared now and then, while somebody wants to know.
 */

#include <systemd/sd-event.h>

#include "kernel/mptcp-pm.h"

typedef struct EndpointWatch EndpointWatch;

/* Something has changed. The return value says whether somebody still wants to know. */
typedef bool (*EndpointsCompared)(bool changed, void *userdata);

/* pm: NULL without MPTCP; then nothing ever changes. */
int endpoint_watch_new(EndpointWatch **ret, sd_event *event, MptcpPm *pm, EndpointsCompared compared,
                       void *userdata);
EndpointWatch *endpoint_watch_free(EndpointWatch *watch);
DEFINE_CLEANUP(EndpointWatch *, endpoint_watch_free);

/* Somebody wants to know from now on. */
void endpoint_watch_start(EndpointWatch *watch);
