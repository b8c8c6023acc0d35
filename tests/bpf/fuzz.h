/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What libFuzzer calls; and of fuzz-packets.c its packets and its judges.
 *
 * Room: libc only, nothing of bpf/.
 */

#include "frame.h"

/* libFuzzer's entry: aborts when a property does not hold. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
        FUZZ_MTU = 1500,
        FUZZ_PORT = FRAME_PORT_LOCAL, /* our port of the first known flow; the others follow */
        FUZZ_FLOWS = 6,
        FUZZ_SEQUENCE = 0x00abcdef,   /* of the SYNs that are known */
        FUZZ_IN_FLIGHT = 1000,        /* bytes behind them */
};

/* What a packet is to be like. */
struct fuzz_wish {
        bool incoming;
        bool raw;      /* without Ethernet header */
        bool bulk;     /* in the bulk form */
        bool may_be_error;
};

/*
 * SYNs, segments of known flows, ICMP errors, fragments and noise, in the form that the program looks at or
 * (sometimes) in the other one.
 */
void fuzz_make(uint64_t *random, const struct fuzz_wish *wish, struct frame *ret);

/* The length that the first packet inside of a datagram in the bulk form gives itself, in bytes. */
uint16_t fuzz_inner_length(const struct frame *frame);

/* What the programs ran with: limits of the MSS, 0: none; bits beside a data offset that are taken out. */
struct judge_limits {
        uint16_t mss_ipv4;
        uint16_t mss_ipv6;
        uint8_t bits;
};

/*
 * Finds the layer 4 header of this protocol in a packet of any shape and sets the offsets of the frame.
 * The rules are those that bpf/packet.h promises: IPv4 with options, up to four IPv6 extension headers,
 * no fragments, 20 bytes of header there. layer3 is where the IP header begins, ethertype what the kernel
 * takes for the EtherType.
 */
bool judge_locate(struct frame *frame, size_t layer3, uint16_t ethertype, uint8_t protocol);

/* Whether the packet is the first fragment of an IPv4 datagram, or any of IPv6: what a later one has in the
 * place of the ports, nobody minds. */
bool judge_locate_fragment(struct frame *frame, size_t layer3, uint16_t ethertype);

/* Layer 4 length as the IP header says, which may be a lie. The frame must have been located. */
uint16_t judge_length(const struct frame *frame);

/*
 * Whether the header of a located packet, TCP or UDP form, ends behind its 20 bytes and before the packet
 * does.
 */
bool judge_offset_sound(const struct frame *frame);

/* Whether a located UDP datagram of a known flow has to become TCP. */
bool judge_convertible(const struct frame *frame);

/*
 * Expects that after is what before (located) becomes: every field at its place, everything else untouched
 * but for a lowered MSS in a SYN, and all sums as right or as wrong as they were.
 */
bool judge_conversion(const struct frame *before, const struct frame *after, bool to_udp,
                      const struct judge_limits *limits);

/* What has to become of a datagram in the bulk form. */
enum judge_bulk {
        JUDGE_BULK_NONE,      /* it does not begin as one */
        JUDGE_BULK_UNPACKED,
        JUDGE_BULK_MERGED,    /* several in one, each of the size that the packet gives: they are cut */
        JUDGE_BULK_MALFORMED,
};

/*
 * A located datagram of a known flow. gso_size: of the packet. early: in front of GRO, where all lengths
 * have to agree, and the checksum of the inner IPv4 header does not count.
 */
enum judge_bulk judge_bulk(const struct frame *frame, uint32_t gso_size, bool early);

/*
 * Expects that after is the TCP segment inside of before, with the outer addresses and ports, and its sums
 * as right or as wrong as they were.
 */
bool judge_unpacked(const struct frame *before, const struct frame *after);

/* An ICMP error about a UDP datagram. */
struct judge_quote {
        size_t icmp;
        size_t inner;    /* the quoted IP header */
        size_t layer4;   /* the quoted UDP header */
        size_t length;   /* bytes of it that count: 8, 16 or 20 */
        bool ipv6;
        bool refusal;    /* says that UDP does not get there */
        bool port;       /* likewise, and that nothing takes it at the port */
        bool too_big;    /* tells of a path MTU */
        uint32_t mtu;
};

/* Finds the quote in a packet of any shape; false when it is no such error, or not to be touched. */
bool judge_find_quote(const struct frame *frame, size_t layer3, uint16_t ethertype,
                      struct judge_quote *ret);

/* Sequence number in the quote; there must be 16 bytes of it. */
uint32_t judge_quoted_sequence(const struct frame *frame, const struct judge_quote *quote);

/* Whether the quote can be one of a flow that has so many bytes in flight, from this sequence number on. */
bool judge_in_flight(const struct frame *frame, const struct judge_quote *quote, uint32_t first,
                     uint32_t flight);

/* Whether it can be one of a SYN with so much data. */
bool judge_about_syn(const struct frame *frame, const struct judge_quote *quote, uint32_t sequence,
                     uint32_t data);

/*
 * Expects that after is the error about the TCP form: the quote as far as it reaches, everything else
 * untouched, all sums as right or as wrong as they were. sequence is for a quote of less than 16 bytes.
 */
bool judge_error(const struct frame *before, const struct frame *after, const struct judge_quote *quote,
                 uint32_t sequence);
