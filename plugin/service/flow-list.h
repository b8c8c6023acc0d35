/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the flow maps hold, as pages. Everybody may ask, as everybody may call ss, so the work is bounded:
 * the maps are read at most once a second for all callers together, a page has a limit, and who asks for
 * more than a few pages at a time is turned down.
 */

#include <systemd/sd-event.h>

#include "tunnel/tunnel.h"

typedef struct FlowList FlowList;

enum {
        FLOW_LIST_PAGE_MAX = 1000,
        FLOW_LIST_CURSOR_LENGTH = 2 * sizeof(struct underpass_flow_key),
};

/* One flow, as it was when the maps were read. */
typedef struct FlowEntry {
        struct underpass_flow_key key;
        struct underpass_flow flow;
} FlowEntry;

typedef struct FlowPage {
        const FlowEntry *entries;   /* of the list, until it is read again */
        size_t count;
        bool more;                  /* there are flows behind the last one */
} FlowPage;

int flow_list_new(FlowList **ret, sd_event *event, Tunnel *tunnel);
FlowList *flow_list_free(FlowList *list);
DEFINE_CLEANUP(FlowList *, flow_list_free);

/*
 * At most limit flows behind a cursor, in an order that does not depend on when the maps were read; cursor
 * "": from the first one. -EINVAL: the cursor is not one of flow_list_cursor(); -ENOMEM.
 */
int flow_list_page(FlowList *list, const char *cursor, size_t limit, FlowPage *ret);

/* The cursor that leads behind this entry. */
void flow_list_cursor(const FlowEntry *entry, char ret[static FLOW_LIST_CURSOR_LENGTH + 1]);
