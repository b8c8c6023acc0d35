/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Sockets of this network namespace by NETLINK_SOCK_DIAG (linux/inet_diag.h).
 */

#include "base/netlink.h"
#include "base/util.h"
#include "plan/facts.h"

/* Local ports of all bound UDP sockets, IPv4 and IPv6, ascending, each once, host order. Caller frees. */
int sock_diag_udp_ports(uint16_t **ret_ports, size_t *ret_count);

/* A UDP socket of this network namespace. */
typedef struct UdpSocket {
        uint16_t port;     /* local, host order */
        uint32_t bound;    /* link that it is bound to; 0: none */
        uint32_t user;
        uint32_t inode;    /* 0: no program has it, but the kernel itself */
} UdpSocket;

/* All that have a port, IPv4 and IPv6. Caller frees. */
int sock_diag_udp_sockets(UdpSocket **ret, size_t *ret_count);

/* Like sock_diag_udp_ports() for ports at which TCP sockets listen; mptcp: only those that listen for MPTCP
 * (INET_MPTCP_DIAG). -EOPNOTSUPP, -ENOENT: the kernel does not tell of these. */
int sock_diag_listeners(bool mptcp, uint16_t **ret_ports, size_t *ret_count);

/* Number of established TCP sockets with this local address that are MPTCP subflows. */
int sock_diag_mptcp_subflows(const Address *local, size_t *ret_count);

/* A TCP connection of this host, ports in network order. */
typedef struct TcpConnection {
        Address local;
        Address remote;
        uint16_t local_port;
        uint16_t remote_port;
        uint32_t bound;    /* link that its socket is bound to, as far as it is known; 0: none */
        uint32_t mark;     /* filled in by sock_diag_find_tcp(), like bound */
        uint32_t user;
        uint8_t state;     /* TCP_ESTABLISHED and so on (netinet/tcp.h); filled in, too */
} TcpConnection;

/* Whether a connection has a socket, which may be one that waits for late packets. netlink: a socket of
 * NETLINK_SOCK_DIAG, for many questions. bound: where to look for it besides sockets that are not bound.
 * -ENOENT: it has none. */
int sock_diag_find_tcp(Netlink *netlink, TcpConnection *connection);

/* Ends it as a reset of the peer would, and tells the peer by one (CONFIG_INET_DIAG_DESTROY). -EOPNOTSUPP:
 * the kernel cannot do that. */
int sock_diag_end_tcp(Netlink *netlink, const TcpConnection *connection);

/* What TCP says of a connection (struct tcp_info). */
typedef struct TcpMeasures {
        TcpConnection connection;   /* addresses and ports; IPv4-mapped ones are IPv4 */
        uint32_t inode;             /* of its socket; subflows of one MPTCP connection share it; 0: none */
        uint32_t rtt_us;
        uint32_t retransmissions;   /* segments that were sent again so far */
        uint64_t bytes_sent;        /* that the peer has acknowledged */
        uint64_t bytes_received;
} TcpMeasures;

/* Fills in the measures of one connection, which is looked for as by sock_diag_find_tcp(). Every user may
 * ask. -ENOENT: it has no socket. */
int sock_diag_measure_tcp(Netlink *netlink, TcpMeasures *measures);

typedef void (*TcpMeasuresHandler)(const TcpMeasures *measures, void *userdata);

/*
 * Calls handler for each subflow of MPTCP connections that is established. Every user may ask: subflows are
 * known by their connection's inode, since the kernel tells only root of their protocol. So those whose
 * connection has been closed by its program are missing.
 */
int sock_diag_measure_subflows(Netlink *netlink, TcpMeasuresHandler handler, void *userdata);
