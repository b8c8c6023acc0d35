/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
#pragma once

/*
 * The wire format: a TCP header re-arranged in place so that it begins as a UDP header, and back.
 *
 * Also compiles for the host, where unit tests and fuzzers run it. Everything is read before
 * anything is written: the words change places.
 *
 * Interoperates byte for byte with multipath-tcp/tcp-in-udp; layout after draft-cheshire-tcp-over-udp-00:
 *
 * TCP   source dest | sequence | acknowledgment | offset flags window | checksum urgent-pointer
 * UDP   source dest | length checksum | offset flags window | sequence | acknowledgment
 *
 * The length takes the place of the urgent pointer, so no byte is added. All fields are in network order.
 */

#include <linux/types.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define UNDERPASS_NET16(value)                                                                              \
        ((__u16) (((((__u32) (value)) & 0xff) << 8) | ((((__u32) (value)) >> 8) & 0xff)))
#define UNDERPASS_NET32(value) __builtin_bswap32(value)
#else
#define UNDERPASS_NET16(value) ((__u16) (value))
#define UNDERPASS_NET32(value) ((__u32) (value))
#endif

#define UNDERPASS_INLINE static inline __attribute__((always_inline))
#define UNDERPASS_GLOBAL __attribute__((noinline)) /* BPF only: why, says packet.h */

enum {
        UNDERPASS_PROTOCOL_TCP = 6,
        UNDERPASS_PROTOCOL_UDP = 17,
        UNDERPASS_PROTOCOL_DELTA = UNDERPASS_PROTOCOL_UDP - UNDERPASS_PROTOCOL_TCP,
        UNDERPASS_HEADER_LENGTH = 20,

        UNDERPASS_TCP_FIN = 0x01,
        UNDERPASS_TCP_SYN = 0x02,
        UNDERPASS_TCP_RST = 0x04,
        UNDERPASS_TCP_ACK = 0x10,
        UNDERPASS_TCP_URG = 0x20,
        UNDERPASS_TCP_ECE = 0x40,
        UNDERPASS_TCP_CWR = 0x80,
        UNDERPASS_TCP_AE = 0x01, /* in the byte of the data offset: accurate ECN (RFC 9768) */

        /* In the same byte of classic datagrams of an established flow. TCP has these two bits reserved and
         * ignores them (RFC 9293, 3.1); it does not get to see them between two hosts that know them. */
        UNDERPASS_BULK_OFFER = 0x08,   /* the sender takes datagrams of this flow in the bulk form */
        UNDERPASS_BULK_ARRIVED = 0x04, /* one has arrived in the last 150 ms */
        UNDERPASS_BULK_BITS = UNDERPASS_BULK_OFFER | UNDERPASS_BULK_ARRIVED,
};

struct underpass_tcp_header {
        __u16 source;
        __u16 dest;
        __u32 sequence;
        __u32 acknowledgment;
        __u8 offset;   /* data offset in the high four bits */
        __u8 flags;
        __u16 window;
        __u16 check;
        __u16 urgent;
};

struct underpass_udp_header {
        __u16 source;
        __u16 dest;
        __u16 length;
        __u16 check;
        __u8 offset;
        __u8 flags;
        __u16 window;
        __u32 sequence;
        __u32 acknowledgment;
};

/* The first 20 bytes after the IP header, in either form. */
union underpass_header {
        struct underpass_tcp_header tcp;
        struct underpass_udp_header udp;
        __u32 word[5];
};

_Static_assert(sizeof(union underpass_header) == UNDERPASS_HEADER_LENGTH, "layout");

/* Folds a sum of 16-bit words (RFC 1071). Byte order does not matter to it. */
UNDERPASS_INLINE __u16 underpass_fold(__u32 sum) {
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        return (__u16) sum;
}

/* The checksum after adding to and taking away from the sum it covers; both are sums of network-order
 * words, folded. */
UNDERPASS_INLINE __u16 underpass_check_adjust(__u16 check, __u16 plus, __u16 minus) {
        return (__u16) ~underpass_fold((__u32) (__u16) ~check + plus + (__u16) ~minus);
}

/* IPv4 header checksum when the protocol changes from TCP to UDP, and back. */
UNDERPASS_INLINE __u16 underpass_ipv4_check_to_udp(__u16 check) {
        return underpass_check_adjust(check, UNDERPASS_NET16(UNDERPASS_PROTOCOL_DELTA), 0);
}

UNDERPASS_INLINE __u16 underpass_ipv4_check_to_tcp(__u16 check) {
        return underpass_check_adjust(check, 0, UNDERPASS_NET16(UNDERPASS_PROTOCOL_DELTA));
}

/*
 * TCP to UDP. header must hold a complete TCP checksum (not CHECKSUM_PARTIAL); length is header and payload
 * in bytes, host order. URG has no place in the UDP form: flag and pointer are taken out of the checksum,
 * and 1 is returned so that the caller can count it; else 0. The receiver then treats the urgent byte as
 * ordinary data, as RFC 6093 advises all to do.
 */
UNDERPASS_INLINE int underpass_tcp_to_udp(union underpass_header *header, __u16 length) {
        __u32 sequence = header->word[1], acknowledgment = header->word[2], control = header->word[3];
        __u32 sum = (__u16) ~header->tcp.check;
        int urgent = header->tcp.flags & UNDERPASS_TCP_URG;

        sum += UNDERPASS_NET16(UNDERPASS_PROTOCOL_DELTA);
        sum += UNDERPASS_NET16(length);
        sum += (__u16) ~header->tcp.urgent;
        if (urgent) {
                sum += (__u16) ~UNDERPASS_NET16(UNDERPASS_TCP_URG);
                control &= ~UNDERPASS_NET32((__u32) UNDERPASS_TCP_URG << 16);
        }
        sum = (__u16) ~underpass_fold(sum);

        header->udp.length = UNDERPASS_NET16(length);
        header->udp.check = sum ? (__u16) sum : 0xffff; /* 0 would mean "no checksum" (RFC 768) */
        header->word[2] = control;
        header->word[3] = sequence;
        header->word[4] = acknowledgment;
        return urgent != 0;
}

/* UDP to TCP. The caller has checked the shape and that there is a checksum. */
UNDERPASS_INLINE void underpass_udp_to_tcp(union underpass_header *header) {
        __u32 control = header->word[2], sequence = header->word[3], acknowledgment = header->word[4];
        __u32 sum = (__u16) ~header->udp.check;

        sum += (__u16) ~UNDERPASS_NET16(UNDERPASS_PROTOCOL_DELTA);
        sum += (__u16) ~header->udp.length;

        header->word[1] = sequence;
        header->word[2] = acknowledgment;
        header->word[3] = control;
        header->tcp.check = (__u16) ~underpass_fold(sum);
        header->tcp.urgent = 0;
}

/* Makes these the two bits of the bulk form in a datagram, checksum included. */
UNDERPASS_INLINE void underpass_set_bulk_bits(union underpass_header *udp, __u8 bits) {
        __u8 old = udp->udp.offset & UNDERPASS_BULK_BITS;
        __u16 check = underpass_check_adjust(udp->udp.check, UNDERPASS_NET16((__u32) bits << 8),
                                             UNDERPASS_NET16((__u32) old << 8));

        udp->udp.offset = (__u8) ((udp->udp.offset & ~UNDERPASS_BULK_BITS) | bits);
        udp->udp.check = check ? check : 0xffff;
}

/*
 * Whether the data offset of a segment is sound: what our TCP and a forwarded one send, but not every raw
 * socket. length is header and payload in bytes, host order.
 */
UNDERPASS_INLINE int underpass_tcp_shape(const union underpass_header *header, __u16 length) {
        __u32 offset = (__u32) (header->tcp.offset >> 4) * 4;

        return offset >= UNDERPASS_HEADER_LENGTH && offset <= length;
}

/*
 * Whether a datagram can be one of ours: data offset at least 5 (tells it from STUN, whose first two bits
 * are 00) and within the datagram, URG clear, and the UDP length agreeing with what the IP header says
 * (length, bytes, host order).
 */
UNDERPASS_INLINE int underpass_udp_shape(const union underpass_header *header, __u16 length) {
        __u32 offset = (__u32) (header->udp.offset >> 4) * 4;

        return header->udp.length == UNDERPASS_NET16(length) && offset >= UNDERPASS_HEADER_LENGTH &&
               offset <= length && !(header->udp.flags & UNDERPASS_TCP_URG);
}

/*
 * Whether it has exactly the shape of a first SYN: SYN alone, or with ECE and CWR (RFC 3168), or with AE,
 * ECE and CWR (RFC 9768). A QUIC version 1 long header has 0x00 where the flags are. The acknowledgment
 * number of a first SYN means nothing and every system sends 0: 32 bits that a QUIC short header, whose
 * flags byte is whatever connection ID the server chose, has by chance only.
 */
UNDERPASS_INLINE int underpass_udp_is_syn(const union underpass_header *header, __u16 length) {
        __u8 flags = header->udp.flags;
        __u8 reserved = header->udp.offset & 0x0f;

        if (!underpass_udp_shape(header, length) || header->udp.acknowledgment != 0)
                return 0;
        if (flags == UNDERPASS_TCP_SYN)
                return reserved == 0;
        return flags == (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ECE | UNDERPASS_TCP_CWR) &&
               (reserved & ~UNDERPASS_TCP_AE) == 0;
}

/* Whether an acknowledgment answers what we sent: at expected, or beyond it as far as data went with the SYN
 * (RFC 7413), so up to the next byte to be sent. */
UNDERPASS_INLINE int underpass_answers(__u32 acknowledgment, __u32 expected, __u32 next) {
        return acknowledgment - expected <= next - expected;
}

/*
 * Checksum when a 16-bit value inside the segment changes, at an odd or even distance from the layer 4
 * header. Options are not aligned: at an odd distance the bytes of the value belong to two words of the sum.
 */
UNDERPASS_INLINE __u16 underpass_check_replace16(__u16 check, __u16 old, __u16 new, __u32 distance) {
        if (distance & 1) {
                old = (__u16) ((old << 8) | (old >> 8));
                new = (__u16) ((new << 8) | (new >> 8));
        }
        return underpass_check_adjust(check, new, old);
}
