/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Judges datagrams in the bulk form, see fuzz.h.
 *
 * Room: libc only, nothing of bpf/.
 */

#include <string.h>

#include "fuzz.h"

enum {
        UDP_HEADER_LENGTH = 8,
        IPV4_HEADER_LENGTH = 20,
        IPV6_HEADER_LENGTH = 40,
};

static bool is_ipv6(const struct frame *frame) {
        return frame->data[frame->layer3] >> 4 == 6;
}

static size_t ip_length(const struct frame *frame) {
        return is_ipv6(frame) ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
}

uint16_t fuzz_inner_length(const struct frame *frame) {
        const uint8_t *inner = frame->data + frame->layer4 + UDP_HEADER_LENGTH;

        if (is_ipv6(frame))
                return (uint16_t) (frame_get16(inner + 4) + IPV6_HEADER_LENGTH);
        return frame_get16(inner + 2);
}

/* By what lies where the classic form has its data offset, and over IPv6 its sequence number. */
static bool begins(const struct frame *frame) {
        const uint8_t *inner = frame->data + frame->layer4 + UDP_HEADER_LENGTH;

        if (!is_ipv6(frame))
                return inner[0] == 0x45;
        return inner[0] >> 4 == 6 && inner[6] == FRAME_TCP;
}

/* Whether the inner headers are those of a TCP segment of an established flow. */
static bool is_segment(const struct frame *frame, bool early) {
        const uint8_t *inner = frame->data + frame->layer4 + UDP_HEADER_LENGTH;
        const uint8_t *tcp = inner + ip_length(frame);
        size_t length = fuzz_inner_length(frame), header = (size_t) (tcp[12] >> 4) * 4;

        if (!is_ipv6(frame) &&
            (inner[9] != FRAME_TCP || (frame_get16(inner + 6) & 0x3fff) ||
             (!early && frame_fold(frame_sum(0, inner, IPV4_HEADER_LENGTH)) != 0xffff)))
                return false;
        return header >= FRAME_HEADER_LENGTH && ip_length(frame) + header <= length &&
               (tcp[13] & (FRAME_SYN | FRAME_RST | FRAME_ACK)) == FRAME_ACK;
}

enum judge_bulk judge_bulk(const struct frame *frame, uint32_t gso_size, bool early) {
        const uint8_t *ip = frame->data + frame->layer3, *udp = frame->data + frame->layer4;
        size_t headers = UDP_HEADER_LENGTH + ip_length(frame) + FRAME_HEADER_LENGTH;
        size_t length = frame_get16(udp + 4), of_ip = frame_layer4_length(frame), inner;

        if (!is_ipv6(frame) && frame_get16(ip + 2) == 0)
                of_ip = 0; /* more than 64 KiB */
        if (!begins(frame))
                return JUDGE_BULK_NONE;
        /* Headers elsewhere than usual, too short, or longer than the IP header says. */
        if (frame->layer4 != frame->layer3 + ip_length(frame) || length < headers || length > of_ip ||
            frame->length < frame->layer4 + headers)
                return JUDGE_BULK_MALFORMED;
        if ((is_ipv6(frame) && frame_get16(udp + 6) == 0) || !is_segment(frame, early) ||
            (early && length != of_ip))
                return JUDGE_BULK_MALFORMED;
        inner = fuzz_inner_length(frame);
        if (length - UDP_HEADER_LENGTH == inner)
                return JUDGE_BULK_UNPACKED;
        return gso_size != 0 && inner == gso_size ? JUDGE_BULK_MERGED : JUDGE_BULK_MALFORMED;
}

/*
 * The sum of pseudo header and TCP segment, as far as the bytes are there: what is missing is missing inside
 * and outside.
 */
static uint16_t segment_sum(const struct frame *frame, size_t layer3) {
        const uint8_t *ip = frame->data + layer3;
        bool ipv6 = ip[0] >> 4 == 6;
        size_t header = ipv6 ? IPV6_HEADER_LENGTH : IPV4_HEADER_LENGTH;
        size_t there = frame->length - layer3 - header;
        size_t length = ipv6 ? frame_get16(ip + 4) : frame_get16(ip + 2) - header;
        uint32_t sum = FRAME_TCP + (uint32_t) length;

        sum = ipv6 ? frame_sum(sum, ip + 8, 32) : frame_sum(sum, ip + 12, 8);
        return frame_fold(frame_sum(sum, ip + header, length < there ? length : there));
}

bool judge_unpacked(const struct frame *before, const struct frame *after) {
        const size_t header = ip_length(before), room = header + UDP_HEADER_LENGTH, layer4 = before->layer4;
        const size_t length_at = before->layer3 + (is_ipv6(before) ? 4 : 2);
        const uint8_t *tcp = after->data + layer4, *inner = before->data + layer4 + room;
        const uint8_t *length = before->data + UDP_HEADER_LENGTH + header + length_at;

        EXPECT_EQUAL(after->length, before->length - room);
        for (size_t i = 0; i < layer4; i++) {
                bool sum = !is_ipv6(before) && (i == before->layer3 + 10 || i == before->layer3 + 11);

                if (i != before->protocol && i != length_at && i != length_at + 1 && !sum)
                        EXPECT_EQUAL(after->data[i], before->data[i]);
        }
        EXPECT_EQUAL(after->data[before->protocol], FRAME_TCP);
        EXPECT(memcmp(after->data + length_at, length, 2) == 0);
        EXPECT_EQUAL(frame_layer3_sum(after), frame_layer3_sum(before));
        EXPECT(memcmp(tcp, before->data + layer4, 4) == 0);
        EXPECT(memcmp(tcp + 4, inner + 4, 12) == 0);
        EXPECT(memcmp(tcp + 18, inner + 18, after->length - layer4 - 18) == 0);
        EXPECT_EQUAL(segment_sum(after, before->layer3), segment_sum(before, before->layer3 + room));
        return true;
}
