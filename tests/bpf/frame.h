/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Packets for the data path tests: built from a description, converted and checked by code of their own,
 * which shares nothing with bpf/ so that a mistake there cannot hide itself. Checksums are always summed in
 * full here.
 *
 * Room: libc only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "expect.h"

enum {
        FRAME_MAX = 4096,
        FRAME_HEADER_LENGTH = 20, /* layer 4 header, either form */
        FRAME_ICMP = 1,
        FRAME_TCP = 6,
        FRAME_UDP = 17,
        FRAME_ICMPV6 = 58,
        FRAME_FIN = 0x01,
        FRAME_SYN = 0x02,
        FRAME_RST = 0x04,
        FRAME_PSH = 0x08,
        FRAME_ACK = 0x10,
        FRAME_URG = 0x20,
        FRAME_ECE = 0x40,
        FRAME_CWR = 0x80,
        FRAME_AE = 0x01, /* low half of the byte of the data offset */
        FRAME_MORE_FRAGMENTS = 0x2000,
        FRAME_DONT_FRAGMENT = 0x4000,
};

/* TCP options that cases ask for. */
enum frame_options {
        FRAME_OPTIONS_NONE,
        FRAME_OPTIONS_PLAIN, /* a usual SYN: MSS 1460 first, SACK permitted, timestamps, window scale */
        FRAME_OPTIONS_MPTCP, /* the same and MP_CAPABLE */
        FRAME_OPTIONS_JOIN, /* the same and MP_JOIN */
        FRAME_OPTIONS_MSS_ODD, /* NOP first: the MSS lies at an odd distance; MP_CAPABLE follows */
        FRAME_OPTIONS_MSS_TWICE, /* two MSS options, MP_CAPABLE */
        FRAME_OPTIONS_TIMESTAMP, /* as in a segment with data */
        FRAME_OPTIONS_BEHIND_END, /* MP_CAPABLE behind the end of the list: does not count */
        FRAME_OPTIONS_LENGTH_ZERO, /* an option of length 0, then MP_CAPABLE: the walk ends before it */
        FRAME_OPTIONS_LENGTH_LONG, /* MP_CAPABLE that reaches beyond the header: does not count */
        FRAME_OPTIONS_LAST_BYTE, /* kind in the very last byte, without a length */
        FRAME_OPTIONS_MD5, /* MP_CAPABLE and a signature of TCP-MD5 (RFC 2385) */
        FRAME_OPTIONS_AO, /* MP_CAPABLE and a signature of TCP-AO (RFC 5925) */
        FRAME_OPTIONS_OVERWRITTEN, /* MP_CAPABLE of a SYN-ACK, overwritten by NOPs */
        FRAME_OPTIONS_TWELVE_NOPS, /* the same, and no window scale, which has a NOP of its own */
        FRAME_OPTIONS_ELEVEN_NOPS, /* one less, then the end of the list */
        FRAME_OPTIONS_COUNT,
};

enum frame_side {
        FRAME_LOCAL,
        FRAME_REMOTE,
};

/*
 * What a packet is made of. All numbers in host order. Zeroed: IPv4, TCP, from the local side, no payload.
 */
struct frame_spec {
        bool ipv6;
        bool udp;                   /* UDP form */
        bool raw;                   /* no Ethernet header */
        bool vlan;                  /* an 802.1Q tag */
        bool jumbled_check;         /* a wrong layer 4 checksum */
        enum frame_side from;
        uint16_t source_port;       /* 0: the port of that side, FRAME_PORT_… */
        uint16_t dest_port;
        bool to_port_zero;
        uint32_t sequence;
        uint32_t acknowledgment;
        uint8_t flags;
        uint8_t reserved;           /* low half of the byte of the data offset */
        uint16_t window;
        uint16_t urgent;
        enum frame_options options;
        uint16_t payload;           /* bytes */
        uint8_t ipv4_options;       /* bytes, a multiple of 4 */
        uint8_t extensions[6];      /* IPv6 extension headers, by number, in their order */
        uint8_t extensions_count;
        uint16_t fragment;          /* flags and offset of IPv4, or of the fragment header of IPv6 */
};

enum {
        FRAME_PORT_LOCAL = 40000,
        FRAME_PORT_REMOTE = 443,
};

struct frame {
        size_t length;
        size_t layer3;
        size_t layer4;
        size_t protocol; /* offset of the byte that names the layer 4 protocol */
        uint8_t data[FRAME_MAX];
};

/* Addresses of the two sides as the maps have them: 16 bytes, IPv4 mapped. */
void frame_address(enum frame_side side, bool ipv6, uint8_t ret_address[16]);

/* Builds the packet. The payload is the same for the same sequence number. */
void frame_build(const struct frame_spec *spec, struct frame *ret);

/* Reads and writes 16 and 32 bits in network order. */
uint16_t frame_get16(const uint8_t *bytes);
uint32_t frame_get32(const uint8_t *bytes);
void frame_put16(uint8_t *bytes, uint16_t value);
void frame_put32(uint8_t *bytes, uint32_t value);

/* One's complement sum of 16-bit words, an odd last byte padded by 0 (RFC 1071); sum is what came before. */
uint32_t frame_sum(uint32_t sum, const uint8_t *bytes, size_t length);
uint16_t frame_fold(uint32_t sum);

/*
 * The sum of pseudo header and segment, 0xffff when the layer 4 checksum holds. Length and protocol as the
 * IP header says.
 */
uint16_t frame_layer4_sum(const struct frame *frame);

/* The sum of the IPv4 header, 0xffff when its checksum holds; IPv6 has none: always 0xffff. */
uint16_t frame_layer3_sum(const struct frame *frame);

/* Layer 4 header and payload by the IP header, in bytes. */
size_t frame_layer4_length(const struct frame *frame);

/* Puts in both checksums, summed in full. */
void frame_put_checks(struct frame *frame);

/*
 * Puts TCP into UDP form and back, checksums summed in full. to_udp clears URG; the urgent pointer is 0
 * afterwards.
 */
void frame_to_udp(struct frame *frame);
void frame_to_tcp(struct frame *frame);

/*
 * Puts a TCP segment into the bulk form: it goes on behind the outer headers as it is. Addresses and ports
 * of the outer ones are those of another packet, which a NAT has changed; hop limit and so on, too.
 */
void frame_wrap(struct frame *frame, const struct frame *outer);

/* Whether both have the same length and the same bytes. */
bool frame_equal(const struct frame *a, const struct frame *b);

/* Prints the bytes on standard error, for a failed expectation. */
void frame_dump(const char *title, const struct frame *frame);

/* A random valid TCP segment, described: no SYN, never longer than 1500 bytes of IP, URG now and then. */
void frame_random_spec(uint64_t *state, struct frame_spec *ret);
