/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the flow maps hold, as pages. Everybody may ask, as everybody may call ss, so the work is bounded:
 * the maps are read at most once a second for all callers together, a page has a limit, and who asks for
 * more than a few pages at a time is turned down.
 */

#include <systemd/sd-event.h>

#include "service/flow-life.h"
#include "tunnel/tunnel.h"

typedef struct FlowList FlowList;

enum {
        FLOW_LIST_PAGE_MAX = 1000,
        FLOW_LIST_CURSOR_LENGTH = 2 * sizeof(struct underpass_flow_key),
        FLOW_LIST_CHANGES_MAX = 64,
};

/* One flow, as it was when the maps were read. */
typedef struct FlowEntry {
        struct underpass_flow_key key;
        struct underpass_flow flow;
        bool lives;
        FlowAsked asked;
        uint64_t sent_rate;      /* bytes per second, since the maps were read before that */
        uint64_t received_rate;
} FlowEntry;

typedef struct FlowPage {
        const FlowEntry *entries;   /* of the list, until it is read again */
        size_t count;
        bool more;                  /* there are flows behind the last one */
} FlowPage;

/* The same of flows that live. */
typedef struct FlowLivePage {
        const FlowEntry *const *entries;
        size_t count;
        bool more;
} FlowLivePage;

/* What the flows of a link that live have in common. */
typedef struct FlowSum {
        uint32_t ifindex;
        uint32_t count;
        uint64_t sent_rate;         /* bytes per second */
        uint64_t received_rate;
} FlowSum;

/* A flow that is another one than when the maps were read before. */
typedef struct FlowChange {
        struct underpass_flow_key key;
        uint32_t ifindex;
        bool opened_here;
        uint8_t before, now;        /* enum underpass_flow_state; 0: no connection that lives */
} FlowChange;

typedef struct FlowChanges {
        FlowChange changes[FLOW_LIST_CHANGES_MAX];
        size_t count;
        size_t more;                /* for which there was no room */
} FlowChanges;

int flow_list_new(FlowList **ret, sd_event *event, Tunnel *tunnel);
FlowList *flow_list_free(FlowList *list);
DEFINE_CLEANUP(FlowList *, flow_list_free);

/*
 * At most limit flows behind a cursor, in an order that does not depend on when the maps were read; cursor
 * "": from the first one. -EINVAL: the cursor is not one of flow_list_cursor(); -ENOMEM.
 */
int flow_list_page(FlowList *list, const char *cursor, size_t limit, FlowPage *ret);

/* The same of those that live. */
int flow_list_live_page(FlowList *list, const char *cursor, size_t limit, FlowLivePage *ret);

/* At most limit flows that live, those with the most data of late first; and sums over all that live, one
 * for each link. Both belong to the list, until it is read again. */
int flow_list_busy(FlowList *list, size_t limit, FlowLivePage *ret, const FlowSum **ret_sums,
                   size_t *ret_sums_count);

/* Reads the maps unless that was done a moment ago, and tells what has changed since flow_list_watch(); what
 * was told is not told again. What was read is kept for the next call, however late it comes. */
int flow_list_watch(FlowList *list, FlowChanges *ret);

/* There will be no such call. */
void flow_list_unwatch(FlowList *list);

/* The cursor that leads behind this entry. */
void flow_list_cursor(const FlowEntry *entry, char ret[static FLOW_LIST_CURSOR_LENGTH + 1]);

/* Segments, and bytes of data that were not sent before, in each direction. */
uint64_t flow_list_segments_sent(const struct underpass_flow *flow);
uint64_t flow_list_bytes_sent(const struct underpass_flow *flow);
uint64_t flow_list_bytes_received(const struct underpass_flow *flow);
