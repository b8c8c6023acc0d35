/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See flow-sockets.h. */

#include <arpa/inet.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "service/flow-life.h"
#include "service/flow-sockets.h"

enum {
        LOOK_US = 1000 * 1000,     /* from one look at the flows to the next, … */
        LOOK_MAX_US = 4 * LOOK_US, /* … twice as long each time that nothing has changed */
        GONE_MAX = 8,              /* removed at a time: for each the kernel waits some milliseconds */
        GONE_APART_US = 100 * 1000,
};

struct FlowSockets {
        sd_event *event;
        Tunnel *tunnel;
        Sockets *sockets;
        FlowSocketsWanted wanted;
        FlowSocketsChanged changed;
        void *userdata;
        TunnelDoubts *unmerged;
        sd_event_source *told;
        sd_event_source *look;   /* NULL: there are no sockets */
        uint64_t pause_us;       /* to the next look */
        uint64_t second;         /* in which … */
        unsigned tries;          /* … so many were tried */
        bool made;               /* by what is being read */
};

static uint64_t now_us(const FlowSockets *flow_sockets) {
        uint64_t now = 0;

        (void) sd_event_now(flow_sockets->event, CLOCK_MONOTONIC, &now);
        return now;
}

/* Whether it is a flow whose bulk has come by this link of late. */
static bool needs_socket(const FlowSockets *flow_sockets, const struct underpass_flow *flow,
                         uint32_t ifindex) {
        const uint32_t now_ms = (uint32_t) (now_us(flow_sockets) / 1000);

        return flow->state == UNDERPASS_FLOW_TUNNELLED && flow->socket &&
               (flow->flags & UNDERPASS_FLOW_OPENED_HERE) && flow->ifindex == ifindex &&
               !flow_life_has_ended(flow) && flow->bulk_arrived_ms != 0 &&
               (int32_t) (now_ms - flow->bulk_arrived_ms) < FLOW_SOCKETS_QUIET_MS;
}

static bool is_needed(const struct underpass_socket_key *key, void *userdata) {
        const FlowSockets *flow_sockets = userdata;
        struct underpass_flow flow;

        return tunnel_flow(flow_sockets->tunnel, &key->flow, &flow) >= 0 &&
               needs_socket(flow_sockets, &flow, key->ifindex);
}

static bool is_unneeded(const struct underpass_socket_key *key, void *userdata) {
        return false;
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata);

static void schedule(FlowSockets *flow_sockets, uint64_t pause_us) {
        flow_sockets->look = sd_event_source_disable_unref(flow_sockets->look);
        flow_sockets->pause_us = pause_us;
        (void) sd_event_add_time_relative(flow_sockets->event, &flow_sockets->look, CLOCK_MONOTONIC,
                                          pause_us, 0, on_look, flow_sockets);
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
        FlowSockets *flow_sockets = userdata;
        size_t gone = GONE_MAX;
        const size_t left = sockets_sift_flows(flow_sockets->sockets, is_needed, flow_sockets, &gone);

        if (left == 0)
                flow_sockets->look = sd_event_source_disable_unref(flow_sockets->look);
        else if (gone == GONE_MAX)
                schedule(flow_sockets, GONE_APART_US);
        else
                schedule(flow_sockets,
                         gone > 0 ? (uint64_t) LOOK_US :
                                    MIN_OF(2 * flow_sockets->pause_us, (uint64_t) LOOK_MAX_US));
        if (gone > 0)
                flow_sockets->changed(flow_sockets->userdata);
        return 0;
}

/* Whoever opens and ends connections does not decide what this service is busy with. */
static bool may_try(FlowSockets *flow_sockets) {
        const uint64_t second = now_us(flow_sockets) / 1000000;

        if (flow_sockets->second != second)
                flow_sockets->tries = 0;
        flow_sockets->second = second;
        return flow_sockets->tries++ < FLOW_SOCKETS_TRIES_MAX;
}

static void on_unmerged(const struct underpass_flow_key *key, void *userdata) {
        FlowSockets *flow_sockets = userdata;
        struct underpass_socket_key socket = { .flow = *key };
        struct underpass_flow flow;
        int r;

        if (tunnel_flow(flow_sockets->tunnel, key, &flow) < 0 ||
            !needs_socket(flow_sockets, &flow, flow.ifindex) ||
            !flow_sockets->wanted(flow.ifindex, flow_sockets->userdata) || !may_try(flow_sockets))
                return;
        socket.ifindex = flow.ifindex;
        r = sockets_add_flow(flow_sockets->sockets, &socket);
        if (r < 0)
                log_debug("No tunnel socket for a connection at port %u, its bulk goes on through the GRO "
                          "pair: %s.",
                          ntohs(key->local_port), strerror(-r));
        else if (r > 0)
                flow_sockets->made = true;
}

static int on_told(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        FlowSockets *flow_sockets = userdata;

        flow_sockets->made = false;
        tunnel_doubts_read(flow_sockets->unmerged);
        if (!flow_sockets->made)
                return 0;
        if (!flow_sockets->look || flow_sockets->pause_us > LOOK_US)
                schedule(flow_sockets, LOOK_US);
        flow_sockets->changed(flow_sockets->userdata);
        return 0;
}

void flow_sockets_listen(FlowSockets *flow_sockets) {
        if (flow_sockets->unmerged ||
            tunnel_unmerged_open(flow_sockets->tunnel, &flow_sockets->unmerged, on_unmerged, flow_sockets) <
                    0)
                return;
        if (sd_event_add_io(flow_sockets->event, &flow_sockets->told,
                            tunnel_doubts_fd(flow_sockets->unmerged), EPOLLIN, on_told, flow_sockets) < 0)
                flow_sockets->unmerged = tunnel_doubts_free(flow_sockets->unmerged);
}

int flow_sockets_new(FlowSockets **ret, sd_event *event, Tunnel *tunnel, Sockets *sockets,
                     FlowSocketsWanted wanted, FlowSocketsChanged changed, void *userdata) {
        FlowSockets *flow_sockets = calloc(1, sizeof(*flow_sockets));

        if (!flow_sockets)
                return -ENOMEM;
        *flow_sockets = (FlowSockets) {
                .event = event,
                .tunnel = tunnel,
                .sockets = sockets,
                .wanted = wanted,
                .changed = changed,
                .userdata = userdata,
        };
        *ret = flow_sockets;
        return 0;
}

FlowSockets *flow_sockets_free(FlowSockets *flow_sockets) {
        size_t all = SIZE_MAX;

        if (!flow_sockets)
                return NULL;
        (void) sockets_sift_flows(flow_sockets->sockets, is_unneeded, NULL, &all);
        sd_event_source_disable_unref(flow_sockets->told);
        sd_event_source_disable_unref(flow_sockets->look);
        tunnel_doubts_free(flow_sockets->unmerged);
        free(flow_sockets);
        return NULL;
}
