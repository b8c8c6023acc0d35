/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Tunnel sockets of the kernel (receive=socket): by them the GRO of drivers knows bulk, and merges it. A
 * link has one for each port of local-ports and each IP version, bound to it; and with remote-ports some for
 * single flows, each connected to its peer (flow-sockets.h).
 *
 * They are removed when a service starts, and made anew as its links are looked at: what an earlier one has
 * left is not worth adopting, for bulk goes on without.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "tunnel/tunnel.h"

typedef struct Sockets Sockets;

enum {
        SOCKETS_PORTS_MAX = 64, /* of local-ports, that a link can have */
        SOCKETS_FLOWS_MAX = 64, /* sockets of flows, likewise */
};

/* The kernel has got what it takes, or will not get it: links that have asked in vain shall look again. */
typedef void (*SocketsChanged)(void *userdata);

int sockets_new(Sockets **ret, sd_event *event, Tunnel *tunnel, SocketsChanged changed, void *userdata);

/* The bus by which systemd is asked to load the module fou; NULL: there is none. */
void sockets_set_bus(Sockets *sockets, sd_bus *bus);

/* The sockets stay. */
Sockets *sockets_free(Sockets *sockets);
DEFINE_CLEANUP(Sockets *, sockets_free);

/* Removes what an earlier service has left in this network namespace, before any link is looked at. */
void sockets_sweep_up(Sockets *sockets);

/*
 * Brings the sockets of a link in line with its local ports, all of them or none. name: of the link.
 * Negative errno with a message that says what stands in the way; then it has none. Sockets of flows stay
 * if it has remote ports, but for those at its local ports, which make room.
 */
int sockets_serve(Sockets *sockets, uint32_t ifindex, const char *name, const struct underpass_link *link,
                  char **ret_error);

/* Removes the sockets of a link. */
void sockets_leave(Sockets *sockets, uint32_t ifindex);

/*
 * Makes the socket of a flow, on a link that sockets_serve() was good for. 1: it is there now; 0: it was, or
 * that of its port is. -EBUSY: the link has SOCKETS_FLOWS_MAX; -EADDRINUSE: another program has the port.
 */
int sockets_add_flow(Sockets *sockets, const struct underpass_socket_key *key);

/* Whether the socket of a flow is needed any longer. */
typedef bool (*SocketsFlowTest)(const struct underpass_socket_key *key, void *userdata);

/* Removes sockets of flows that are not needed, at most *gone of them, and puts there how many it were.
 * Returns how many sockets of flows are left. */
size_t sockets_sift_flows(Sockets *sockets, SocketsFlowTest is_needed, void *userdata, size_t *gone);

/* How many sockets of flows a link has. */
size_t sockets_count_flows(const Sockets *sockets, uint32_t ifindex);
