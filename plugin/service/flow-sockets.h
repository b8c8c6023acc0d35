/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Tunnel sockets for single flows (receive=socket on links that open connections). The programs tell of a
 * flow of this host that bulk comes for, and it gets a socket at the port that its connection has, connected
 * to its peer. The socket goes soon after the flow, or when no bulk has come for a while; the programs tell
 * again when some does. Those that find no socket are merged by the GRO pair.
 */

#include "service/sockets.h"

typedef struct FlowSockets FlowSockets;

enum {
        FLOW_SOCKETS_QUIET_MS = 10 * 1000, /* without bulk for so long, a flow needs none */
        FLOW_SOCKETS_TRIES_MAX = 64,       /* to make one, in a second */
};

/* Whether the flows of a link get sockets. */
typedef bool (*FlowSocketsWanted)(uint32_t ifindex, void *userdata);

/* Some have come or gone. */
typedef void (*FlowSocketsChanged)(void *userdata);

int flow_sockets_new(FlowSockets **ret, sd_event *event, Tunnel *tunnel, Sockets *sockets,
                     FlowSocketsWanted wanted, FlowSocketsChanged changed, void *userdata);

/* The sockets go, too: nobody would notice the end of their flows. */
FlowSockets *flow_sockets_free(FlowSockets *flow_sockets);
DEFINE_CLEANUP(FlowSockets *, flow_sockets_free);

/* Listens to the programs from now on, once they are loaded. */
void flow_sockets_listen(FlowSockets *flow_sockets);
