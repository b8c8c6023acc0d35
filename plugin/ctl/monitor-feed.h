/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Where "underpassctl monitor" has its data from: one list of the service a look, its signals, counters of
 * the links, and sock_diag. Needs no privileges.
 */

#include "ctl/ctl.h"
#include "ctl/monitor-view.h"

typedef struct MonitorFeed MonitorFeed;

/* What happened. kind, for programs: "link", "connection", "destination", "service", "subflow"; only the
 * last one has more than kind and sentence, the rest is 0 or NULL. */
typedef struct MonitorEvent {
        const char *kind;
        const char *sentence;
        const char *interface;
        const char *change;      /* "established" or "closed"; NULL: events that have been left out */
        const char *local_address, *remote_address;
        uint16_t local_port, remote_port;
        uint32_t error;          /* errno that ended it; 0: none is known */
        uint32_t left_out;
} MonitorEvent;

typedef void (*MonitorEventHandler)(const MonitorEvent *event, void *userdata);

/* NULL with an error: there is no bus. */
MonitorFeed *monitor_feed_new(Ctl *ctl, MonitorEventHandler handler, void *userdata, GError **error);
void monitor_feed_free(MonitorFeed *feed);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MonitorFeed, monitor_feed_free)

/* One look, with at most so many tunnelled flows. A service that does not run is not started. */
MonitorView *monitor_feed_look(MonitorFeed *feed, unsigned flows);
