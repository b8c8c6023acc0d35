/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See live-flows.h. */

#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/live-flows.h"

#define LIVE_TYPE "a(sqsqsbuuutttttt)"
#define LIVE_FORMAT "(&sq&sq&sbuuutttttt)"
#define BUSY_FORMAT "(&sq&sq&sbuuutttttttt)"

enum {
        PAGE_FLOWS = 1000,
        STRING_BLOCK = 4096,
};

static LiveFlows *live_flows_new(void) {
        LiveFlows *list = g_new0(LiveFlows, 1);

        list->strings = g_string_chunk_new(STRING_BLOCK);
        list->flows = g_array_new(FALSE, TRUE, sizeof(LiveFlow));
        list->when_us = g_get_monotonic_time();
        return list;
}

void live_flows_free(LiveFlows *list) {
        if (!list)
                return;
        g_array_unref(list->flows);
        g_string_chunk_free(list->strings);
        g_free(list);
}

/* A row as the bus brings it is many times as large as what is kept of it. */
static void add_rows(LiveFlows *list, GVariant *rows, const char *format) {
        GVariantIter iterator;
        GVariant *row;

        g_variant_iter_init(&iterator, rows);
        while ((row = g_variant_iter_next_value(&iterator))) {
                LiveFlow flow = { .attempts = 1 };

                g_variant_get(row, format, &flow.local, &flow.local_port, &flow.remote, &flow.remote_port,
                              &flow.state, &flow.opened_here, &flow.ifindex, &flow.syns, &flow.has_socket,
                              &flow.age_ms, &flow.idle_ms, &flow.segments_sent, &flow.segments_received,
                              &flow.bytes_sent, &flow.bytes_received, &flow.sent_rate, &flow.received_rate);
                flow.local = g_string_chunk_insert_const(list->strings, flow.local);
                flow.remote = g_string_chunk_insert_const(list->strings, flow.remote);
                flow.state = g_string_chunk_insert_const(list->strings, flow.state);
                g_array_append_val(list->flows, flow);
                g_variant_unref(row);
        }
}

LiveFlows *live_flows_of_busy(GVariant *rows) {
        LiveFlows *list = live_flows_new();

        add_rows(list, rows, BUSY_FORMAT);
        return list;
}

LiveFlows *live_flows_list(Ctl *ctl, GError **error) {
        g_autoptr(LiveFlows) list = live_flows_new();
        g_autofree char *cursor = g_strdup("");

        do {
                g_autoptr(GVariant) reply =
                        bus_call(ctl, "ListLiveFlows", g_variant_new("(su)", cursor, PAGE_FLOWS),
                                 "(" LIVE_TYPE "s)", BUS_READ_TIMEOUT_MS, NULL, error);
                if (!reply)
                        return NULL;

                g_autoptr(GVariant) page = g_variant_get_child_value(reply, 0);
                add_rows(list, page, LIVE_FORMAT);
                g_clear_pointer(&cursor, g_free);
                g_variant_get_child(reply, 1, "s", &cursor);
        } while (cursor[0]);

        list->when_us = g_get_monotonic_time();
        return g_steal_pointer(&list);
}

static bool is_attempt(const LiveFlow *flow) {
        return flow->opened_here && !streq(flow->state, "tunnelled");
}

/* What a row stands for: an attempt for all to the same destination, anything else for itself. */
static char *key_of(const LiveFlow *flow, bool attempts_alike) {
        const bool alike = attempts_alike && is_attempt(flow);

        return g_strdup_printf("%u %s %u %s %u %s", flow->ifindex, flow->local,
                               alike ? 0 : flow->local_port, flow->remote, flow->remote_port,
                               alike ? flow->state : "");
}

static void merge(LiveFlow *into, const LiveFlow *other) {
        into->syns += other->syns;
        into->attempts += other->attempts;
        into->age_ms = MAX_OF(into->age_ms, other->age_ms);
        if (other->idle_ms < into->idle_ms) {
                into->idle_ms = other->idle_ms;
                into->local_port = other->local_port;
        }
        into->segments_sent += other->segments_sent;
        into->segments_received += other->segments_received;
        into->bytes_sent += other->bytes_sent;
        into->bytes_received += other->bytes_received;
}

void live_flows_merge_attempts(LiveFlows *list) {
        g_autoptr(GHashTable) known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        guint kept = 0;

        for (guint i = 0; i < list->flows->len; i++) {
                const LiveFlow flow = g_array_index(list->flows, LiveFlow, i);
                gpointer index;

                if (is_attempt(&flow)) {
                        g_autofree char *key = key_of(&flow, true);
                        if (g_hash_table_lookup_extended(known, key, NULL, &index)) {
                                merge(&g_array_index(list->flows, LiveFlow, GPOINTER_TO_UINT(index)), &flow);
                                continue;
                        }
                        g_hash_table_insert(known, g_steal_pointer(&key), GUINT_TO_POINTER(kept));
                }
                g_array_index(list->flows, LiveFlow, kept++) = flow;
        }
        g_array_set_size(list->flows, kept);
}

static guint64 rate(guint64 before, guint64 now, gint64 took_us) {
        return now > before && took_us > 0 ? (now - before) * G_USEC_PER_SEC / (guint64) took_us : 0;
}

void live_flows_measure(LiveFlows *list, const LiveFlows *before) {
        g_autoptr(GHashTable) known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

        if (!before)
                return;
        for (guint i = 0; i < before->flows->len; i++) {
                LiveFlow *flow = &g_array_index(before->flows, LiveFlow, i);
                g_hash_table_insert(known, key_of(flow, false), flow);
        }
        for (guint i = 0; i < list->flows->len; i++) {
                LiveFlow *flow = &g_array_index(list->flows, LiveFlow, i);
                g_autofree char *key = key_of(flow, false);
                const LiveFlow *was = g_hash_table_lookup(known, key);
                const gint64 took_us = list->when_us - before->when_us;

                flow->sent_rate = was ? rate(was->bytes_sent, flow->bytes_sent, took_us) : 0;
                flow->received_rate = was ? rate(was->bytes_received, flow->bytes_received, took_us) : 0;
        }
}
