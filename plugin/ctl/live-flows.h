/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The connections that live, as the service lists them.
 */

#include "ctl/ctl.h"

/* One row of ListLiveFlows, or of ListBusyFlows. The strings belong to the list. */
typedef struct LiveFlow {
        const char *local;
        guint16 local_port;
        const char *remote;
        guint16 remote_port;
        const char *state;
        gboolean opened_here;
        guint32 ifindex;
        guint32 syns;          /* of this host, over UDP */
        guint32 has_socket;    /* 0: it is forwarded, or that is not known */
        guint64 age_ms;
        guint64 idle_ms;
        guint64 segments_sent;
        guint64 segments_received;
        guint64 bytes_sent;
        guint64 bytes_received;
        guint64 sent_rate;     /* bytes per second; of ListLiveFlows: filled in by live_flows_measure() */
        guint64 received_rate;
        guint32 attempts;      /* connections that this row stands for: more than one while none is open */
} LiveFlow;

typedef struct LiveFlows {
        GStringChunk *strings; /* each one once */
        GArray *flows;         /* of LiveFlow */
        gint64 when_us;        /* g_get_monotonic_time() */
} LiveFlows;

/* Asks the service for all of them. NULL with an error. */
LiveFlows *live_flows_list(Ctl *ctl, GError **error);

/* The rows of ListBusyFlows. */
LiveFlows *live_flows_of_busy(GVariant *rows);

void live_flows_free(LiveFlows *list);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LiveFlows, live_flows_free)

/* Attempts of this host to reach the same destination by the same link become one row: the last one tells
 * its port and its silence, the first one its age. */
void live_flows_merge_attempts(LiveFlows *list);

/* Fills in the rates since the list before; NULL: there is none, and all are 0. */
void live_flows_measure(LiveFlows *list, const LiveFlows *before);
