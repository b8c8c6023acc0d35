/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See flow-life.h. */

#include <netinet/tcp.h>

#include "kernel/sock-diag.h"
#include "service/flow-life.h"

#define SECOND_NS UINT64_C(1000000000)

enum {
        QUIET_SECONDS = 2,       /* a connection that said something a moment ago need not be asked */
        AGAIN_SECONDS = 10,      /* between two questions about a connection that lives */
        HALF_OPEN_SECONDS = 64,  /* between the last two SYNs that Linux sends */
        FORWARDED_SECONDS = 7440, /* RFC 5382: a NAT keeps a silent connection for 2 h 4 min */
};

struct FlowLife {
        Netlink *sockets;        /* while a round is under way; NULL: it could not be opened */
        uint64_t now_ns;
        size_t questions;
};

int flow_life_new(FlowLife **ret) {
        FlowLife *life = calloc(1, sizeof(*life));

        if (!life)
                return -ENOMEM;
        *ret = life;
        return 0;
}

FlowLife *flow_life_free(FlowLife *life) {
        if (!life)
                return NULL;
        netlink_free(life->sockets);
        free(life);
        return NULL;
}

bool flow_life_has_ended(const struct underpass_flow *flow) {
        const uint8_t fins = UNDERPASS_FLOW_OUR_FIN | UNDERPASS_FLOW_PEER_FIN;

        return (flow->ends & (UNDERPASS_FLOW_OUR_RST | UNDERPASS_FLOW_PEER_RST)) ||
               (flow->ends & fins) == fins;
}

FlowVerdict flow_life_verdict(const struct underpass_flow *flow, uint64_t now_ns) {
        const uint64_t idle_s = now_ns > flow->seen_ns ? (now_ns - flow->seen_ns) / SECOND_NS : 0;
        const bool open = flow->state == UNDERPASS_FLOW_TUNNELLED;
        const bool ended = flow_life_has_ended(flow);

        /* Anybody can send what makes such a record. */
        if (flow->state == UNDERPASS_FLOW_CLAIMED)
                return FLOW_IS_OVER;
        if (!flow->socket)
                return ended || idle_s >= (open ? FORWARDED_SECONDS : HALF_OPEN_SECONDS) ? FLOW_IS_OVER :
                                                                                           FLOW_LIVES;
        /* Anybody can send a reset, too. */
        return !open || ended || idle_s >= QUIET_SECONDS ? FLOW_HAS_TO_BE_ASKED : FLOW_LIVES;
}

void flow_life_begin(FlowLife *life, uint64_t now_ns) {
        life->now_ns = now_ns;
        life->questions = 0;
}

void flow_life_end(FlowLife *life) {
        life->sockets = netlink_free(life->sockets);
}

/* The state of a connection's socket; 0: it has none; negative errno. */
static int ask(FlowLife *life, const struct underpass_flow_key *key, uint32_t ifindex) {
        TcpConnection connection = {
                .local_port = key->local_port,
                .remote_port = key->remote_port,
                .bound = ifindex,
        };
        int r = 0;

        if (++life->questions > FLOW_LIFE_QUESTIONS_MAX)
                return -EBUSY;
        memcpy(connection.local.word, key->local, sizeof(connection.local.word));
        memcpy(connection.remote.word, key->remote, sizeof(connection.remote.word));
        if (!life->sockets)
                r = netlink_open(&life->sockets, NETLINK_SOCK_DIAG);
        if (r >= 0)
                r = sock_diag_find_tcp(life->sockets, &connection);
        return r == -ENOENT ? 0 : r < 0 ? r : connection.state;
}

/* A socket that only waits for what is late is no connection that lives, nor is a half-open flow whose
 * socket has gone on as plain TCP. */
static bool state_lives(int state, bool open) {
        switch (state) {
        case TCP_SYN_SENT:
        case TCP_SYN_RECV:
                return true;
        case TCP_ESTABLISHED:
        case TCP_FIN_WAIT1:
        case TCP_FIN_WAIT2:
        case TCP_CLOSE_WAIT:
                return open;
        default:
                return false;
        }
}

/* Whether the last answer still holds. That a connection is over holds until a packet is seen. */
static bool is_known(const FlowLife *life, const struct underpass_flow *flow, const FlowAsked *asked) {
        if (asked->when_ns == 0)
                return false;
        if (!asked->lives)
                return flow->seen_ns < asked->when_ns;
        return flow->state == UNDERPASS_FLOW_TUNNELLED && !flow_life_has_ended(flow) &&
               life->now_ns < asked->when_ns + AGAIN_SECONDS * SECOND_NS;
}

bool flow_life_lives(FlowLife *life, const struct underpass_flow_key *key, const struct underpass_flow *flow,
                     FlowAsked *asked) {
        const FlowVerdict verdict = flow_life_verdict(flow, life->now_ns);
        int state;

        if (verdict != FLOW_HAS_TO_BE_ASKED)
                return verdict == FLOW_LIVES;
        if (is_known(life, flow, asked))
                return asked->lives;
        state = ask(life, key, flow->ifindex);
        if (state < 0)
                return !flow_life_has_ended(flow);
        asked->when_ns = life->now_ns;
        asked->lives = state_lives(state, flow->state == UNDERPASS_FLOW_TUNNELLED);
        return asked->lives;
}

bool flow_life_is_open(FlowLife *life, const struct underpass_flow_key *key, uint32_t ifindex) {
        return ask(life, key, ifindex) == TCP_ESTABLISHED;
}
