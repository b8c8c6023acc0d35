/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * ICMP and ICMPv6 errors for the data path tests. What an error about the TCP form of a packet looks like
 * is not computed from the error about its UDP form: it is built anew, from the TCP packet.
 *
 * Room: libc only, nothing of bpf/.
 */

#include "frame.h"

enum {
        FRAME_ICMP_HEADER_LENGTH = 8,
        FRAME_ICMP_UNREACHABLE = 3,
        FRAME_ICMP_TIME_EXCEEDED = 11,
        FRAME_ICMP_PARAMETER = 12,
        FRAME_ICMP_NEEDS_FRAGMENTATION = 4, /* code of unreachable */
        FRAME_ICMP_PORT = 3,                /* code of unreachable */
        FRAME_ICMP_PROHIBITED = 13,         /* code of unreachable */
        FRAME_ICMPV6_UNREACHABLE = 1,
        FRAME_ICMPV6_TOO_BIG = 2,
        FRAME_ICMPV6_TIME_EXCEEDED = 3,
        FRAME_ICMPV6_PARAMETER = 4,
        FRAME_ICMPV6_PORT = 4,              /* code of unreachable */
        FRAME_ICMPV6_PROHIBITED = 1,        /* code of unreachable */
};

struct frame_icmp_spec {
        uint8_t type;
        uint8_t code;
        uint32_t rest;          /* second word of the header: the MTU, if any */
        uint16_t quoted;        /* bytes quoted after the IP header; more than there are: all */
        uint8_t ipv4_options;   /* of the outer header: bytes, a multiple of 4 */
        uint16_t fragment;      /* of the outer IPv4 header */
        bool jumbled_check;     /* a wrong ICMP checksum */
        bool from_destination;  /* of the packet that it is about, and not from a router */
};

/*
 * An error about a packet of one side, sent to it by a router on the way. layer4 of the frame is then
 * where the ICMP header begins.
 */
void frame_icmp_build(const struct frame *about, const struct frame_icmp_spec *spec, struct frame *ret);

/*
 * The same about the TCP form of the packet. Of a quote of less than 20 bytes only ports and sequence
 * number are in TCP form, the bytes behind them are those of udp.
 */
void frame_icmp_build_tcp(const struct frame *tcp, const struct frame *udp,
                          const struct frame_icmp_spec *spec, struct frame *ret);

/* The sum of the ICMP message, with its pseudo header for ICMPv6; 0xffff when its checksum holds. */
uint16_t frame_icmp_sum(const struct frame *frame);

/* The sum of the quoted IPv4 header. */
uint16_t frame_icmp_quoted_sum(const struct frame *frame);
