/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The flows that the programs remember. See tunnel.h. */

#include <bpf/bpf.h>

#include "tunnel/state.h"

static int walk_flows(int map, TunnelFlowHandler handler, void *userdata) {
        struct underpass_flow_key key = {};
        struct underpass_flow flow;

        /* Flows come and go meanwhile: the bound ends a walk that the map restarts. */
        int r = bpf_map_get_next_key(map, NULL, &key);

        for (size_t i = 0; r == 0 && i < 2 * UNDERPASS_FLOWS_MAX; i++) {
                if (bpf_map_lookup_elem(map, &key, &flow) == 0) {
                        r = handler(&key, &flow, userdata);
                        if (r != 0)
                                return r;
                }
                r = bpf_map_get_next_key(map, &key, &key);
        }
        return 0;
}

int tunnel_flows(Tunnel *tunnel, TunnelFlowHandler handler, void *userdata) {
        int r;

        if (!tunnel->loaded)
                return 0;
        r = walk_flows(tunnel->maps[MAP_FLOWS], handler, userdata);
        return r != 0 ? r : walk_flows(tunnel->maps[MAP_HALF_OPEN], handler, userdata);
}
