/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Where "underpassctl monitor" has its data from: one list of the service a look, its signals, counters of
 * the links, and sock_diag. Needs no privileges.
 */

#include "ctl/ctl.h"
#include "ctl/monitor-view.h"

typedef struct MonitorFeed MonitorFeed;

/* What happened, as for programs: kind ("link", "connection", "destination", "service"), and a sentence. */
typedef void (*MonitorEventHandler)(const char *kind, const char *sentence, void *userdata);

/* NULL with an error: there is no bus. */
MonitorFeed *monitor_feed_new(Ctl *ctl, MonitorEventHandler handler, void *userdata, GError **error);
void monitor_feed_free(MonitorFeed *feed);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MonitorFeed, monitor_feed_free)

/* One look, with at most so many tunnelled flows. A service that does not run is not started. */
MonitorView *monitor_feed_look(MonitorFeed *feed, unsigned flows);
