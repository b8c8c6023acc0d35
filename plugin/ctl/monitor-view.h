/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What "underpassctl monitor" shows, as lines of text for a screen of so many columns and rows. Pure: it
 * asks nobody.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A link. Rates are of all its traffic, bytes per second. */
typedef struct MonitorLink {
        char *name;
        char *state;
        uint32_t ifindex;
        uint32_t flows;           /* that live in its tunnel */
        uint64_t not_mptcp;       /* connections that the tunnel left alone: their programs have no MPTCP */
        uint64_t sent_rate;
        uint64_t received_rate;
} MonitorLink;

/* A connection, or a subflow of one. Rates in bytes of data per second. */
typedef struct MonitorSubflow {
        char *link;               /* "": not known */
        char *form;               /* "UDP", "plain", "half-open", as for programs */
        char *local_address;
        char *remote_address;
        uint16_t local_port;
        uint16_t remote_port;
        uint64_t sent_rate;
        uint64_t received_rate;
        bool measured;            /* the rest is known: it has a socket of this host */
        uint32_t rtt_us;
        uint32_t retransmissions;
} MonitorSubflow;

/* A destination that UDP does not reach, or whose state has another effect. */
typedef struct MonitorDestination {
        char *link;
        char *remote;             /* address and port */
        char *sentence;
} MonitorDestination;

typedef struct MonitorView {
        char *trouble;            /* why there is no answer; NULL: the service answers */
        GArray *links;            /* of MonitorLink */
        GArray *subflows;         /* of MonitorSubflow, the busiest first */
        GArray *destinations;     /* of MonitorDestination */
} MonitorView;

MonitorView *monitor_view_new(void);
void monitor_view_free(MonitorView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MonitorView, monitor_view_free)

/* A bar of at most width columns for a share between 0 and 1: eighths of blocks, or "#". Caller frees. */
char *monitor_view_bar(double share, size_t width, bool blocks);

/* At most rows lines, none wider than columns (0: as wide as needed; then all subflows have a line). events:
 * the latest last. blocks: the terminal shows block characters. Ends in NULL; caller frees. */
char **monitor_view_lines(const MonitorView *view, const GPtrArray *events, size_t columns, size_t rows,
                          bool blocks);
