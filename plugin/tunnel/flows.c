/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The flows that the programs remember. See tunnel.h. */

#include <bpf/bpf.h>

#include "tunnel/flows.h"
#include "tunnel/state.h"

enum { BATCH_FLOWS = 1024 }; /* more than share a bucket of the hash */

typedef struct Batch {
        struct underpass_flow_key keys[BATCH_FLOWS];
        struct underpass_flow flows[BATCH_FLOWS];
} Batch;

/* One of "half_open". */
typedef struct HalfOpen {
        struct underpass_flow_key key; /* first: compare_keys() */
        struct underpass_flow flow;
        bool established; /* it was found in "flows", too */
} HalfOpen;

typedef struct Reading {
        TunnelFlowHandler handler;
        void *userdata;
        HalfOpen *half_open; /* ascending by key, once all are there */
        size_t count, room;
} Reading;

static void end_reading(Reading *reading) {
        free(reading->half_open);
}

/* Bucket by bucket, so no flow is seen twice. The map never starts anew, so the walk ends. */
static int walk_flows(int map, TunnelFlowHandler handler, void *userdata) {
        _cleanup_(freep) Batch *batch = malloc(sizeof(*batch));
        uint32_t position = 0, count;
        bool first = true;
        int r;

        if (!batch)
                return -ENOMEM;
        do {
                count = BATCH_FLOWS;
                r = bpf_map_lookup_batch(map, first ? NULL : &position, &position, batch->keys, batch->flows,
                                         &count, NULL);
                if (r < 0 && r != -ENOENT) /* that is the end, with the last flows */
                        return r;
                for (uint32_t i = 0; i < count; i++) {
                        const int handled = handler(&batch->keys[i], &batch->flows[i], userdata);

                        if (handled != 0)
                                return handled;
                }
                first = false;
        } while (r == 0);
        return 0;
}

static int compare_keys(const void *a, const void *b) {
        return memcmp(a, b, sizeof(struct underpass_flow_key));
}

static int keep_half_open(const struct underpass_flow_key *key, const struct underpass_flow *flow,
                          void *userdata) {
        Reading *reading = userdata;

        if (ROOM_FOR_ONE(reading->half_open, reading->count, reading->room) < 0)
                return -ENOMEM;
        reading->half_open[reading->count++] = (HalfOpen) { .key = *key, .flow = *flow };
        return 0;
}

/* When there are both, the record in "flows" is what the programs go by, too, but for SYNs and what answers
 * them: a SYN beside a connection that may live leaves its record alone until the peer has answered. */
static int hand_over(const struct underpass_flow_key *key, const struct underpass_flow *flow,
                     void *userdata) {
        Reading *reading = userdata;
        HalfOpen *same = NULL;

        if (reading->count > 0)
                same = bsearch(key, reading->half_open, reading->count, sizeof(*same), compare_keys);
        if (same)
                same->established = true;
        return reading->handler(key, flow, reading->userdata);
}

/* A flow whose handshake is finished meanwhile goes from "half_open" to "flows". They are read in this order
 * because it might be found in neither otherwise. */
int tunnel_flows(Tunnel *tunnel, TunnelFlowHandler handler, void *userdata) {
        _cleanup_(end_reading) Reading reading = { .handler = handler, .userdata = userdata };
        int r;

        if (!tunnel->loaded)
                return 0;
        r = walk_flows(tunnel->maps[MAP_HALF_OPEN], keep_half_open, &reading);
        if (r == 0 && reading.count > 0)
                qsort(reading.half_open, reading.count, sizeof(*reading.half_open), compare_keys);
        if (r == 0)
                r = walk_flows(tunnel->maps[MAP_FLOWS], hand_over, &reading);
        for (size_t i = 0; r == 0 && i < reading.count; i++)
                if (!reading.half_open[i].established)
                        r = handler(&reading.half_open[i].key, &reading.half_open[i].flow, userdata);
        return r;
}

int flows_each_record(Tunnel *tunnel, TunnelFlowHandler handler, void *userdata) {
        int r;

        if (!tunnel->loaded)
                return 0;
        r = walk_flows(tunnel->maps[MAP_HALF_OPEN], handler, userdata);
        return r == 0 ? walk_flows(tunnel->maps[MAP_FLOWS], handler, userdata) : r;
}

int tunnel_flow(Tunnel *tunnel, const struct underpass_flow_key *key, struct underpass_flow *ret) {
        return tunnel->loaded ? bpf_map_lookup_elem(tunnel->maps[MAP_FLOWS], key, ret) : -ENOENT;
}
