/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * ICMP errors of the data path tests, see frame-icmp.h.
 *
 * Room: libc only, nothing of bpf/.
 */

#include <string.h>

#include "frame-icmp.h"

enum {
        IPV4_HEADER_LENGTH = 20,
        IPV6_HEADER_LENGTH = 40,
        SHORT_QUOTE = 8, /* ports and, in TCP form, sequence number */
};

static bool is_ipv6(const struct frame *frame) {
        return frame->data[frame->layer3] >> 4 == 6;
}

static size_t least(size_t a, size_t b) {
        return a < b ? a : b;
}

/* The message ends where the IP header says. */
static size_t message_length(const struct frame *frame) {
        const uint8_t *ip = frame->data + frame->layer3;

        if (is_ipv6(frame))
                return frame_get16(ip + 4);
        return frame_get16(ip + 2) - (size_t) (ip[0] & 0x0f) * 4;
}

uint16_t frame_icmp_sum(const struct frame *frame) {
        const uint8_t *ip = frame->data + frame->layer3;
        size_t length = message_length(frame);
        uint32_t sum = 0;

        if (is_ipv6(frame))
                sum = frame_sum(FRAME_ICMPV6 + (uint32_t) length, ip + 8, 32);
        return frame_fold(
                frame_sum(sum, frame->data + frame->layer4, least(length, frame->length - frame->layer4)));
}

uint16_t frame_icmp_quoted_sum(const struct frame *frame) {
        const uint8_t *ip = frame->data + frame->layer4 + FRAME_ICMP_HEADER_LENGTH;

        return frame_fold(frame_sum(0, ip, (size_t) (ip[0] & 0x0f) * 4));
}

static void put_check(struct frame *frame, bool jumbled) {
        uint8_t *check = frame->data + frame->layer4 + 2;

        frame_put16(check, 0);
        frame_put16(check, (uint16_t) ~frame_icmp_sum(frame));
        if (jumbled)
                check[0] ^= 0x55;
}

/* The router has the address of the far side, but for its last byte; frame.c says why not any one. */
static void build_ipv4(const struct frame *about, const struct frame_icmp_spec *spec, size_t length,
                       struct frame *frame) {
        const uint8_t *inner = about->data + about->layer3;
        uint8_t *ip = frame->data + frame->layer3;
        size_t header = IPV4_HEADER_LENGTH + (size_t) spec->ipv4_options;

        ip[0] = (uint8_t) (0x40 | header / 4);
        frame_put16(ip + 2, (uint16_t) (header + length));
        frame_put16(ip + 6, spec->fragment);
        ip[8] = 61;
        ip[9] = FRAME_ICMP;
        memcpy(ip + 12, inner + 16, 4);
        ip[15] ^= spec->from_destination ? 0 : 0x40;
        memcpy(ip + 16, inner + 12, 4);
        memset(ip + IPV4_HEADER_LENGTH, 1, spec->ipv4_options);
        frame->protocol = frame->layer3 + 9;
        frame->layer4 = frame->layer3 + header;
        frame_put16(ip + 10, (uint16_t) ~frame_layer3_sum(frame));
}

static void build_ipv6(const struct frame *about, const struct frame_icmp_spec *spec, size_t length,
                       struct frame *frame) {
        const uint8_t *inner = about->data + about->layer3;
        uint8_t *ip = frame->data + frame->layer3;

        frame_put32(ip, 0x60000000);
        frame_put16(ip + 4, (uint16_t) length);
        ip[6] = FRAME_ICMPV6;
        ip[7] = 61;
        memcpy(ip + 8, inner + 24, 16);
        ip[23] ^= spec->from_destination ? 0 : 0x40;
        memcpy(ip + 24, inner + 8, 16);
        frame->protocol = frame->layer3 + 6;
        frame->layer4 = frame->layer3 + IPV6_HEADER_LENGTH;
}

void frame_icmp_build(const struct frame *about, const struct frame_icmp_spec *spec, struct frame *ret) {
        size_t headers = about->layer4 - about->layer3;
        size_t quoted = headers + least(spec->quoted, about->length - about->layer4);
        uint8_t *icmp;

        memset(ret, 0, sizeof(*ret));
        memcpy(ret->data, about->data, about->layer3);
        ret->layer3 = about->layer3;
        if (is_ipv6(about))
                build_ipv6(about, spec, FRAME_ICMP_HEADER_LENGTH + quoted, ret);
        else
                build_ipv4(about, spec, FRAME_ICMP_HEADER_LENGTH + quoted, ret);
        icmp = ret->data + ret->layer4;
        icmp[0] = spec->type;
        icmp[1] = spec->code;
        frame_put32(icmp + 4, spec->rest);
        memcpy(icmp + FRAME_ICMP_HEADER_LENGTH, about->data + about->layer3, quoted);
        ret->length = ret->layer4 + FRAME_ICMP_HEADER_LENGTH + quoted;
        put_check(ret, spec->jumbled_check);
}

void frame_icmp_build_tcp(const struct frame *tcp, const struct frame *udp,
                          const struct frame_icmp_spec *spec, struct frame *ret) {
        size_t behind = udp->layer4 + SHORT_QUOTE;
        struct frame mixed = *tcp;

        if (spec->quoted < FRAME_HEADER_LENGTH)
                memcpy(mixed.data + behind, udp->data + behind, udp->length - behind);
        frame_icmp_build(&mixed, spec, ret);
}
