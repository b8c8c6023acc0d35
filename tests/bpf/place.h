/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A network namespace of the tests' own, with real sockets at the addresses of frame.h: both sides are on
 * its lo.
 *
 * Room: libc and sockets. Functions return negative errno, or a descriptor.
 */

#include <linux/types.h>
#include <stdint.h>
#include <sys/socket.h>

#include "frame.h"

/* Leaves the network namespace of the machine for a new one, for good. Needs CAP_SYS_ADMIN. */
int place_enter(void);

/* Whether the kernel knows IPv6. */
bool place_has_ipv6(void);

/* The cookie of the network namespace. */
int place_cookie(__u64 *ret);

/* The address of a side as sockets take it; its length. */
socklen_t place_address(enum frame_side side, bool ipv6, uint16_t port, struct sockaddr_storage *ret);

/* A TCP socket that listens, or a UDP socket, at the address of a side. */
int place_listen(enum frame_side side, bool ipv6, uint16_t port);
/* The same for a socket of IPv6 that takes IPv4, as most servers have. */
int place_listen_mapped(enum frame_side side, uint16_t port);
int place_udp(enum frame_side side, bool ipv6, uint16_t port);

/*
 * A TCP connection from FRAME_LOCAL, this port, to a socket that listens at FRAME_REMOTE, that port.
 * Before the connection is made, *socket is handed to prepare, if that is not NULL.
 */
int place_connect(bool ipv6, uint16_t from, uint16_t to, void (*prepare)(int socket), int *ret_socket);

/* The same for one that need not come up: *ret_socket is there also when connect() fails. */
int place_open(bool ipv6, uint16_t from, uint16_t to, void (*prepare)(int socket), int *ret_socket);

/* A handshake that stands still: the server has answered, and its client does not hear of it. */
struct place_handshake {
        int client;
        uint32_t client_number; /* sequence number of the SYN */
        uint32_t server_number; /* of the SYN-ACK */
};

/* Begins one, from FRAME_LOCAL to FRAME_REMOTE as place_connect(). place_abort() the client after it. */
int place_begin(bool ipv6, uint16_t from, uint16_t to, struct place_handshake *ret);

/* When servers answer by SYN cookies, keeping nothing of the handshake: 0 never, 1 when they have too many,
 * 2 always. */
int place_set_cookies(int mode);

/* Whether what comes by lo and is for another host is forwarded, for want of a better way by lo again. */
int place_set_forwarding(bool on);

/* Closes a connection, or a socket that is none, without a trace: nothing of it waits for late packets. */
void place_abort(int socket);

/* What the kernel takes for the state of a connection: the next number it expects, and the next it sends. */
int place_numbers(int socket, uint32_t *ret_expected, uint32_t *ret_next);
