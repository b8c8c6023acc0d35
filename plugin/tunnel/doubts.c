/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The rings by which programs tell, and what is taught about destinations. See tunnel.h. */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/clock.h"
#include "tunnel/state.h"

struct TunnelDoubts {
        struct ring_buffer *ring;
        TunnelDoubtHandler on_destination;
        TunnelToldHandler on_flow;
        void *userdata;
};

static int on_doubt(void *userdata, void *data, size_t size) {
        const TunnelDoubts *doubts = userdata;

        if (doubts->on_destination && size == sizeof(struct underpass_destination_key))
                doubts->on_destination(data, doubts->userdata);
        else if (doubts->on_flow && size == sizeof(struct underpass_flow_key))
                doubts->on_flow(data, doubts->userdata);
        return 0;
}

static int open_ring(const Tunnel *tunnel, TunnelMap map, const TunnelDoubts *handlers, TunnelDoubts **ret) {
        _cleanup_(tunnel_doubts_freep) TunnelDoubts *doubts = NULL;

        if (!tunnel->loaded)
                return -ENOENT;
        doubts = calloc(1, sizeof(*doubts));
        if (!doubts)
                return -ENOMEM;
        *doubts = *handlers;
        doubts->ring = ring_buffer__new(tunnel->maps[map], on_doubt, doubts, NULL);
        if (!doubts->ring)
                return -errno;
        *ret = TAKE_PTR(doubts);
        return 0;
}

int tunnel_doubts_open(Tunnel *tunnel, TunnelDoubts **ret, TunnelDoubtHandler handler, void *userdata) {
        const TunnelDoubts handlers = { .on_destination = handler, .userdata = userdata };

        return open_ring(tunnel, MAP_UNCERTAIN, &handlers, ret);
}

int tunnel_unanswered_open(Tunnel *tunnel, TunnelDoubts **ret, TunnelToldHandler handler, void *userdata) {
        const TunnelDoubts handlers = { .on_flow = handler, .userdata = userdata };

        return open_ring(tunnel, MAP_UNANSWERED, &handlers, ret);
}

int tunnel_unmerged_open(Tunnel *tunnel, TunnelDoubts **ret, TunnelToldHandler handler, void *userdata) {
        const TunnelDoubts handlers = { .on_flow = handler, .userdata = userdata };

        return open_ring(tunnel, MAP_UNMERGED, &handlers, ret);
}

TunnelDoubts *tunnel_doubts_free(TunnelDoubts *doubts) {
        if (!doubts)
                return NULL;
        ring_buffer__free(doubts->ring);
        free(doubts);
        return NULL;
}

int tunnel_doubts_fd(const TunnelDoubts *doubts) {
        return ring_buffer__epoll_fd(doubts->ring);
}

void tunnel_doubts_read(TunnelDoubts *doubts) {
        (void) ring_buffer__consume(doubts->ring);
}

int tunnel_teach(Tunnel *tunnel, const struct underpass_destination_key *key, const ProbeReport *report) {
        const uint64_t now_ns = clock_monotonic_ns();
        struct underpass_destination_key server_key = *key;
        struct underpass_destination way = {}, server = {};
        int map = tunnel->maps[MAP_DESTINATIONS], r;

        if (!tunnel->loaded)
                return -ENOENT;
        server_key.ifindex = 0;
        (void) bpf_map_lookup_elem(map, key, &way);
        (void) bpf_map_lookup_elem(map, &server_key, &server);
        probe_teach(report, now_ns, &way, &server);
        r = bpf_map_update_elem(map, key, &way, BPF_ANY);
        return r < 0 ? r : bpf_map_update_elem(map, &server_key, &server, BPF_ANY);
}
