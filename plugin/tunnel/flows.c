/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The flows that the programs remember. See tunnel.h. */

#include <bpf/bpf.h>

#include "tunnel/state.h"

enum { BATCH_FLOWS = 1024 }; /* more than share a bucket of the hash */

typedef struct Batch {
        struct underpass_flow_key keys[BATCH_FLOWS];
        struct underpass_flow flows[BATCH_FLOWS];
} Batch;

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

int tunnel_flows(Tunnel *tunnel, TunnelFlowHandler handler, void *userdata) {
        int r;

        if (!tunnel->loaded)
                return 0;
        r = walk_flows(tunnel->maps[MAP_FLOWS], handler, userdata);
        return r != 0 ? r : walk_flows(tunnel->maps[MAP_HALF_OPEN], handler, userdata);
}

int tunnel_flow(Tunnel *tunnel, const struct underpass_flow_key *key, struct underpass_flow *ret) {
        return tunnel->loaded ? bpf_map_lookup_elem(tunnel->maps[MAP_FLOWS], key, ret) : -ENOENT;
}
