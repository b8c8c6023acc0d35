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

/* One reading of the maps. */
typedef struct Reading {
        FlowEntry *entries;   /* ascending by key */
        size_t count;
        size_t room;
        uint64_t when_us;
} Reading;

struct FlowList {
        sd_event *event;
        Tunnel *tunnel;
        FlowLife *life;
        sd_event_source *forget;
        Reading now;
        bool read;
        const FlowEntry **live; /* of now, ascending by key */
        size_t live_count;
        const FlowEntry **busy; /* the same, the busiest first; made when it is asked for */
        FlowSum *sums;
        size_t sums_count;
        FlowChanges *changes;   /* since they were told; NULL: nobody watches */
};

int flow_list_new(FlowList **ret, sd_event *event, Tunnel *tunnel) {
        _cleanup_(flow_list_freep) FlowList *list = calloc(1, sizeof(*list));
        int r;

        if (!list)
                return -ENOMEM;
        list->event = event;
        list->tunnel = tunnel;
        r = flow_life_new(&list->life);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

static void drop_reading(Reading *reading) {
        free(reading->entries);
        *reading = (Reading) {};
}

static void drop_views(FlowList *list) {
        free(TAKE_PTR(list->live));
        free(TAKE_PTR(list->busy));
        free(TAKE_PTR(list->sums));
        list->live_count = list->sums_count = 0;
}

static void drop_all(FlowList *list) {
        drop_views(list);
        drop_reading(&list->now);
        free(TAKE_PTR(list->changes));
        list->read = false;
}

FlowList *flow_list_free(FlowList *list) {
        if (!list)
                return NULL;
        sd_event_source_disable_unref(list->forget);
        drop_all(list);
        flow_life_free(list->life);
        free(list);
        return NULL;
}

static int on_forget(sd_event_source *source, uint64_t usec, void *userdata) {
        FlowList *list = userdata;

        list->forget = sd_event_source_disable_unref(list->forget);
        /* Who watches comes again, but nobody says when: after a long look, it rests for long. */
        if (!list->changes)
                drop_all(list);
        return 0;
}

static int add_entry(const struct underpass_flow_key *key, const struct underpass_flow *flow,
                     void *userdata) {
        Reading *reading = userdata;

        if (ROOM_FOR_ONE(reading->entries, reading->count, reading->room) < 0)
                return -ENOMEM;
        reading->entries[reading->count++] = (FlowEntry) { .key = *key, .flow = *flow };
        return 0;
}

static int compare_keys(const void *a, const void *b) {
        return memcmp(a, b, sizeof(struct underpass_flow_key));
}

/* One of the numbers of TCP is where data begins, the other where it ends. The numbers begin anew every
 * 4 GiB. A FIN has a number, too. */
static uint64_t distance(uint32_t begin, uint32_t end, uint16_t begun_anew, bool fin) {
        const uint64_t bytes = ((uint64_t) begun_anew << 32) + end - begin;

        return fin && bytes > 0 ? bytes - 1 : bytes;
}

uint64_t flow_list_bytes_sent(const struct underpass_flow *flow) {
        return flow->begin == 0 ? 0 : distance(flow->begin, flow->next, flow->begun_anew,
                                               flow->ends & UNDERPASS_FLOW_OUR_FIN);
}

uint64_t flow_list_bytes_received(const struct underpass_flow *flow) {
        return flow->peer_begin == 0 ? 0 : distance(flow->peer_begin, flow->acknowledged,
                                                    flow->peer_begun_anew,
                                                    flow->ends & UNDERPASS_FLOW_PEER_FIN);
}

uint64_t flow_list_segments_sent(const struct underpass_flow *flow) {
        return flow->sent + flow->more_sent;
}

static uint64_t rate_of(uint64_t before, uint64_t now, uint64_t took_us) {
        return now > before && took_us > 0 ? (now - before) * 1000000 / took_us : 0;
}

static void note_change(FlowList *list, const FlowEntry *entry, uint8_t before, uint8_t now) {
        FlowChanges *changes = list->changes;

        if (before == now)
                return;
        if (changes->count == FLOW_LIST_CHANGES_MAX) {
                changes->more++;
                return;
        }
        changes->changes[changes->count++] = (FlowChange) {
                .key = entry->key,
                .ifindex = entry->flow.ifindex,
                .opened_here = entry->flow.flags & UNDERPASS_FLOW_OPENED_HERE,
                .before = before,
                .now = now,
        };
}

/* A handshake that the peer has begun is news only once it is finished: anybody can begin some. */
static uint8_t state_told(const FlowEntry *entry) {
        const bool told = entry && entry->lives &&
                          (entry->flow.state == UNDERPASS_FLOW_TUNNELLED ||
                           (entry->flow.flags & UNDERPASS_FLOW_OPENED_HERE));

        return told ? entry->flow.state : 0;
}

/* A flow that is in the maps no more, or does not live. A handshake of ours that went on as plain TCP has
 * left no record. */
static void note_end(FlowList *list, const FlowEntry *was) {
        const uint8_t before = state_told(was);
        uint8_t now = 0;

        if (before == UNDERPASS_FLOW_HALF_OPEN &&
            flow_life_is_open(list->life, &was->key, was->flow.ifindex))
                now = UNDERPASS_FLOW_WATCHED;
        note_change(list, was, before, now);
}

/* What is known of a flow from the reading before; was is NULL if it is new. */
static void look_at(FlowList *list, FlowEntry *entry, const FlowEntry *was, uint64_t took_us) {
        const bool same = was && was->flow.opened_ns == entry->flow.opened_ns;

        if (same) {
                entry->asked = was->asked;
                entry->sent_rate = rate_of(flow_list_bytes_sent(&was->flow),
                                           flow_list_bytes_sent(&entry->flow), took_us);
                entry->received_rate = rate_of(flow_list_bytes_received(&was->flow),
                                               flow_list_bytes_received(&entry->flow), took_us);
        }
        entry->lives = flow_life_lives(list->life, &entry->key, &entry->flow, &entry->asked);
        if (!list->changes)
                return;
        if (was && (!same || !entry->lives))
                note_end(list, was);
        if (!same || entry->lives)
                note_change(list, entry, same ? state_told(was) : 0, state_told(entry));
}

/* Two readings, both ascending by key. */
static void compare(FlowList *list, Reading *now, const Reading *before) {
        const uint64_t took_us = now->when_us - before->when_us;
        size_t old = 0;

        for (size_t i = 0; i < now->count; i++) {
                int order = 1;

                while (old < before->count &&
                       (order = compare_keys(&before->entries[old].key, &now->entries[i].key)) < 0) {
                        if (list->changes)
                                note_end(list, &before->entries[old]);
                        old++;
                }
                look_at(list, &now->entries[i],
                        old < before->count && order == 0 ? &before->entries[old++] : NULL, took_us);
        }
        for (; old < before->count && list->changes; old++)
                note_end(list, &before->entries[old]);
}

static int view_live(FlowList *list) {
        drop_views(list);
        list->live = calloc(MAX_OF(list->now.count, (size_t) 1), sizeof(FlowEntry *));
        if (!list->live)
                return -ENOMEM;
        for (size_t i = 0; i < list->now.count; i++)
                if (list->now.entries[i].lives)
                        list->live[list->live_count++] = &list->now.entries[i];
        return 0;
}

/* Reads the maps unless that was done a moment ago. */
static int refresh(FlowList *list) {
        Reading reading = {}, before;
        int r;

        r = sd_event_now(list->event, CLOCK_MONOTONIC, &reading.when_us);
        if (r < 0)
                return r;
        if (list->read && reading.when_us - list->now.when_us < FRESH_US)
                return 0;
        r = tunnel_flows(list->tunnel, add_entry, &reading);
        if (r < 0) {
                drop_reading(&reading);
                drop_all(list);
                return r;
        }
        if (reading.count > 0)
                qsort(reading.entries, reading.count, sizeof(*reading.entries), compare_keys);
        before = list->now;
        flow_life_begin(list->life, reading.when_us * 1000);
        compare(list, &reading, &before);
        flow_life_end(list->life);
        drop_reading(&before);
        list->now = reading;
        list->read = true;
        list->forget = sd_event_source_disable_unref(list->forget);
        (void) sd_event_add_time_relative(list->event, &list->forget, CLOCK_MONOTONIC, FORGET_US, 0,
                                          on_forget, list);
        r = view_live(list);
        if (r < 0)
                drop_all(list);
        return r;
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

static const FlowEntry *entry_at(const FlowList *list, bool live, size_t i) {
        return live ? list->live[i] : &list->now.entries[i];
}

/* How many entries have a key that is not greater. */
static size_t skip_to(const FlowList *list, bool live, const struct underpass_flow_key *key) {
        size_t first = 0, end = live ? list->live_count : list->now.count;

        while (first < end) {
                const size_t middle = first + (end - first) / 2;

                if (compare_keys(&entry_at(list, live, middle)->key, key) <= 0)
                        first = middle + 1;
                else
                        end = middle;
        }
        return first;
}

/* Where the page begins. */
static int begin_page(FlowList *list, bool live, const char *cursor, size_t *ret_first) {
        struct underpass_flow_key key;
        int r = 0;

        if (!streq(cursor, ""))
                r = parse_cursor(cursor, &key);
        if (r >= 0)
                r = refresh(list);
        if (r < 0)
                return r;
        *ret_first = streq(cursor, "") ? 0 : skip_to(list, live, &key);
        return 0;
}

int flow_list_page(FlowList *list, const char *cursor, size_t limit, FlowPage *ret) {
        size_t first;
        int r;

        r = begin_page(list, false, cursor, &first);
        if (r < 0)
                return r;
        limit = MIN_OF(limit, (size_t) FLOW_LIST_PAGE_MAX);
        *ret = (FlowPage) {
                .entries = list->now.entries ? list->now.entries + first : NULL,
                .count = MIN_OF(limit, list->now.count - first),
                .more = limit < list->now.count - first,
        };
        return 0;
}

int flow_list_live_page(FlowList *list, const char *cursor, size_t limit, FlowLivePage *ret) {
        size_t first;
        int r;

        r = begin_page(list, true, cursor, &first);
        if (r < 0)
                return r;
        limit = MIN_OF(limit, (size_t) FLOW_LIST_PAGE_MAX);
        *ret = (FlowLivePage) {
                .entries = list->live + first,
                .count = MIN_OF(limit, list->live_count - first),
                .more = limit < list->live_count - first,
        };
        return 0;
}

static int compare_rates(const void *a, const void *b) {
        const FlowEntry *first = *(const FlowEntry *const *) a, *second = *(const FlowEntry *const *) b;
        const uint64_t one = first->sent_rate + first->received_rate;
        const uint64_t other = second->sent_rate + second->received_rate;

        if (one != other)
                return one > other ? -1 : 1;
        if (first->flow.seen_ns != second->flow.seen_ns)
                return first->flow.seen_ns > second->flow.seen_ns ? -1 : 1;
        return compare_keys(&first->key, &second->key);
}

static int compare_links(const void *a, const void *b) {
        const FlowSum *first = a, *second = b;

        return first->ifindex < second->ifindex ? -1 : first->ifindex > second->ifindex;
}

/* Adds up what is of the same link. */
static int sum_up(FlowList *list) {
        FlowSum *sums = calloc(MAX_OF(list->live_count, (size_t) 1), sizeof(*sums));
        size_t count = 0;

        if (!sums)
                return -ENOMEM;
        for (size_t i = 0; i < list->live_count; i++)
                sums[i] = (FlowSum) {
                        .ifindex = list->live[i]->flow.ifindex,
                        .count = 1,
                        .sent_rate = list->live[i]->sent_rate,
                        .received_rate = list->live[i]->received_rate,
                };
        qsort(sums, list->live_count, sizeof(*sums), compare_links);
        for (size_t i = 0; i < list->live_count; i++) {
                if (count > 0 && sums[count - 1].ifindex == sums[i].ifindex) {
                        sums[count - 1].count++;
                        sums[count - 1].sent_rate += sums[i].sent_rate;
                        sums[count - 1].received_rate += sums[i].received_rate;
                } else {
                        sums[count++] = sums[i];
                }
        }
        list->sums = sums;
        list->sums_count = count;
        return 0;
}

int flow_list_busy(FlowList *list, size_t limit, FlowLivePage *ret, const FlowSum **ret_sums,
                   size_t *ret_sums_count) {
        int r;

        r = refresh(list);
        if (r >= 0 && !list->sums)
                r = sum_up(list);
        if (r < 0)
                return r;
        if (!list->busy) {
                list->busy = calloc(MAX_OF(list->live_count, (size_t) 1), sizeof(FlowEntry *));
                if (!list->busy)
                        return -ENOMEM;
                if (list->live_count > 0)
                        memcpy(list->busy, list->live, list->live_count * sizeof(FlowEntry *));
                qsort(list->busy, list->live_count, sizeof(FlowEntry *), compare_rates);
        }
        limit = MIN_OF(limit, (size_t) FLOW_LIST_PAGE_MAX);
        *ret = (FlowLivePage) {
                .entries = list->busy,
                .count = MIN_OF(limit, list->live_count),
                .more = limit < list->live_count,
        };
        *ret_sums = list->sums;
        *ret_sums_count = list->sums_count;
        return 0;
}

int flow_list_watch(FlowList *list, FlowChanges *ret) {
        int r;

        *ret = (FlowChanges) {};
        r = refresh(list);
        if (r < 0)
                return r;
        if (list->changes)
                *ret = *list->changes;
        else
                list->changes = malloc(sizeof(*list->changes));
        if (!list->changes)
                return -ENOMEM;
        *list->changes = (FlowChanges) {};
        return 0;
}

void flow_list_unwatch(FlowList *list) {
        free(TAKE_PTR(list->changes));
        if (!list->forget)
                drop_all(list);
}

void flow_list_cursor(const FlowEntry *entry, char ret[static FLOW_LIST_CURSOR_LENGTH + 1]) {
        const uint8_t *bytes = (const uint8_t *) &entry->key;

        for (size_t i = 0; i < sizeof(entry->key); i++)
                snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}
