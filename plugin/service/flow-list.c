/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See flow-list.h. */

#include <ctype.h>
#include <stdio.h>

#include "base/util.h"
#include "service/flow-list.h"

enum {
        FRESH_US = 1000 * 1000,        /* so long what was read serves everybody */
        FORGET_US = 10 * 1000 * 1000,  /* after so long without a caller its memory is given back */
};

struct FlowList {
        sd_event *event;
        Tunnel *tunnel;
        sd_event_source *forget;
        FlowEntry *entries;   /* ascending by key */
        size_t count;
        size_t room;
        bool read;
        uint64_t read_us;
};

int flow_list_new(FlowList **ret, sd_event *event, Tunnel *tunnel) {
        FlowList *list = calloc(1, sizeof(*list));

        if (!list)
                return -ENOMEM;
        list->event = event;
        list->tunnel = tunnel;
        *ret = list;
        return 0;
}

static void drop_entries(FlowList *list) {
        free(TAKE_PTR(list->entries));
        list->count = 0;
        list->room = 0;
        list->read = false;
}

FlowList *flow_list_free(FlowList *list) {
        if (!list)
                return NULL;
        sd_event_source_disable_unref(list->forget);
        drop_entries(list);
        free(list);
        return NULL;
}

static int on_forget(sd_event_source *source, uint64_t usec, void *userdata) {
        FlowList *list = userdata;

        list->forget = sd_event_source_disable_unref(list->forget);
        drop_entries(list);
        return 0;
}

static int add_entry(const struct underpass_flow_key *key, const struct underpass_flow *flow,
                     void *userdata) {
        FlowList *list = userdata;

        if (list->count == list->room) {
                const size_t room = MAX_OF(2 * list->room, (size_t) 64);
                FlowEntry *larger = reallocarray(list->entries, room, sizeof(*larger));

                if (!larger)
                        return -ENOMEM;
                list->entries = larger;
                list->room = room;
        }
        list->entries[list->count++] = (FlowEntry) { .key = *key, .flow = *flow };
        return 0;
}

static int compare_keys(const void *a, const void *b) {
        return memcmp(a, b, sizeof(struct underpass_flow_key));
}

/* Reads the maps unless that was done a moment ago. */
static int refresh(FlowList *list) {
        uint64_t now_us = 0;
        int r;

        r = sd_event_now(list->event, CLOCK_MONOTONIC, &now_us);
        if (r < 0)
                return r;
        if (list->read && now_us - list->read_us < FRESH_US)
                return 0;
        list->count = 0;
        r = tunnel_flows(list->tunnel, add_entry, list);
        if (r < 0) {
                drop_entries(list);
                return r;
        }
        if (list->count > 0)
                qsort(list->entries, list->count, sizeof(*list->entries), compare_keys);
        list->read = true;
        list->read_us = now_us;
        list->forget = sd_event_source_disable_unref(list->forget);
        (void) sd_event_add_time_relative(list->event, &list->forget, CLOCK_MONOTONIC, FORGET_US, 0,
                                          on_forget, list);
        return 0;
}

static int parse_cursor(const char *cursor, struct underpass_flow_key *ret) {
        uint8_t *bytes = (uint8_t *) ret;

        if (strlen(cursor) != FLOW_LIST_CURSOR_LENGTH)
                return -EINVAL;
        for (size_t i = 0; i < sizeof(*ret); i++) {
                unsigned value;

                if (!isxdigit((unsigned char) cursor[2 * i]) ||
                    !isxdigit((unsigned char) cursor[2 * i + 1]) ||
                    sscanf(cursor + 2 * i, "%2x", &value) != 1)
                        return -EINVAL;
                bytes[i] = (uint8_t) value;
        }
        return 0;
}

/* How many entries have a key that is not greater. */
static size_t skip_to(const FlowList *list, const struct underpass_flow_key *key) {
        size_t first = 0, end = list->count;

        while (first < end) {
                const size_t middle = first + (end - first) / 2;

                if (compare_keys(&list->entries[middle].key, key) <= 0)
                        first = middle + 1;
                else
                        end = middle;
        }
        return first;
}

int flow_list_page(FlowList *list, const char *cursor, size_t limit, FlowPage *ret) {
        struct underpass_flow_key key;
        size_t first = 0;
        int r = 0;

        if (!streq(cursor, ""))
                r = parse_cursor(cursor, &key);
        if (r >= 0)
                r = refresh(list);
        if (r < 0)
                return r;
        if (!streq(cursor, ""))
                first = skip_to(list, &key);
        limit = MIN_OF(limit, (size_t) FLOW_LIST_PAGE_MAX);
        *ret = (FlowPage) {
                .entries = list->entries ? list->entries + first : NULL,
                .count = MIN_OF(limit, list->count - first),
                .more = limit < list->count - first,
        };
        return 0;
}

void flow_list_cursor(const FlowEntry *entry, char ret[static FLOW_LIST_CURSOR_LENGTH + 1]) {
        const uint8_t *bytes = (const uint8_t *) &entry->key;

        for (size_t i = 0; i < sizeof(entry->key); i++)
                snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}
