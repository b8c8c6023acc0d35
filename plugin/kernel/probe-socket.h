/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The sockets of a probe: ordinary ones, bound to the link, so that no privilege is needed (kernel 5.7 and
 * newer). The kernel makes and judges the packets; only the payload of datagrams is ours.
 */

#include "base/util.h"
#include "plan/facts.h"
#include "plan/probe.h"

typedef struct ProbeTarget {
        char link[IF_NAMESIZE];
        Address remote;
        uint16_t port;       /* host order */
        bool only_udp;       /* neither TCP nor sizes: a SYN or three, and a reset */
} ProbeTarget;

/* A UDP socket that leads to the target by the link, does not fragment, and hears of ICMP errors. ret_local
 * may be NULL. A descriptor or a negative errno, -ENETUNREACH and others: the link does not lead there. */
int probe_socket_udp(const ProbeTarget *target, Address *ret_local);

/* A socket that connects from this address: under way when this returns. A descriptor or a negative errno,
 * -ENOPROTOOPT and others: the kernel has no MPTCP. */
int probe_socket_connect(const ProbeTarget *target, const Address *local, bool mptcp);

/* A socket for ICMP echoes. -EACCES when this user may have none (net.ipv4.ping_group_range). */
int probe_socket_echo(const ProbeTarget *target);

/* Bytes; 0: not known. */
uint32_t probe_socket_link_mtu(int fd, const char *link);

/* What the kernel tells of a connection. */
typedef struct ProbeStream {
        uint32_t mss;        /* bytes of data in a segment */
        uint32_t resent;     /* SYNs that went again */
} ProbeStream;

/* What a connection has come to: false while it is under way. mptcp: it was to be one. */
bool probe_socket_connected(int fd, const ProbeTarget *target, bool mptcp, ProbeAnswer *answer,
                            ProbeStream *ret_stream);

/* Ends a connection at once, by a reset. Closes the descriptor; returns -EBADF. */
int probe_socket_abort(int fd);

/* An ICMP error about what a socket has sent. */
typedef struct ProbeError {
        ProbeOutcome outcome; /* PROBE_REFUSED, PROBE_FILTERED; PROBE_SILENCE: it tells an MTU only */
        uint32_t mtu;        /* 0: none is told */
        Address from;        /* all 0: the kernel of this host */
} ProbeError;

/* The next error in the queue of a socket; false: there is none. */
bool probe_socket_error(int fd, const ProbeTarget *target, ProbeError *ret);

/* What came with a datagram. */
typedef struct ProbeNote {
        uint32_t part;       /* the largest fragment that it came in, with its IP header; 0: it came whole */
        uint64_t arrived_ns; /* CLOCK_REALTIME; 0: not known */
} ProbeNote;

/* Reads one datagram; bytes, or a negative errno (-EAGAIN: there is none). */
ssize_t probe_socket_receive(int fd, uint8_t *buffer, size_t size, ProbeNote *ret_note);
