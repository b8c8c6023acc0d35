/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Judges what the programs made of a packet, see fuzz.h.
 *
 * Room: libc only, nothing of bpf/.
 */

#include <string.h>

#include "fuzz.h"

enum {
        PROTOCOL_IPV4 = 0x0800,
        PROTOCOL_IPV6 = 0x86dd,
        IPV4_HEADER_LENGTH = 20,
        IPV6_HEADER_LENGTH = 40,
        EXTENSIONS_MAX = 4,
        FRAGMENT_HEADER = 44,
};

static bool locate_ipv4(struct frame *frame, uint8_t protocol) {
        const uint8_t *ip = frame->data + frame->layer3;

        if (frame->length < frame->layer3 + IPV4_HEADER_LENGTH + FRAME_HEADER_LENGTH)
                return false;
        if (ip[0] >> 4 != 4 || (ip[0] & 0x0f) < 5 || ip[9] != protocol ||
            (frame_get16(ip + 6) & 0x3fff) != 0)
                return false;
        frame->protocol = frame->layer3 + 9;
        frame->layer4 = frame->layer3 + (size_t) (ip[0] & 0x0f) * 4;
        return true;
}

/* ret_fragment: whether there is a fragment header; NULL: then it is not found. */
static bool locate_ipv6(struct frame *frame, uint8_t protocol, bool *ret_fragment) {
        const uint8_t *ip = frame->data + frame->layer3;
        size_t left = frame_get16(ip + 4);
        bool jumbo = left == 0; /* more than 64 KiB, RFC 2675 */

        if (frame->length < frame->layer3 + IPV6_HEADER_LENGTH + FRAME_HEADER_LENGTH || ip[0] >> 4 != 6)
                return false;
        frame->protocol = frame->layer3 + 6;
        frame->layer4 = frame->layer3 + IPV6_HEADER_LENGTH;
        for (int i = 0; i < EXTENSIONS_MAX && frame->data[frame->protocol] != protocol; i++) {
                uint8_t kind = frame->data[frame->protocol];
                size_t length;

                if ((kind != 0 && kind != 43 && kind != 60 && (kind != FRAGMENT_HEADER || !ret_fragment)) ||
                    frame->layer4 + 2 > frame->length)
                        return false;
                if (kind == FRAGMENT_HEADER)
                        *ret_fragment = true;
                length = kind == FRAGMENT_HEADER ? 8 : (size_t) frame->data[frame->layer4 + 1] * 8 + 8;
                if (!jumbo && length > left)
                        return false;
                left -= jumbo ? 0 : length;
                frame->protocol = frame->layer4;
                frame->layer4 += length;
        }
        return frame->data[frame->protocol] == protocol;
}

bool judge_locate(struct frame *frame, size_t layer3, uint16_t ethertype, uint8_t protocol) {
        bool found = false;

        frame->layer3 = layer3;
        if (ethertype == PROTOCOL_IPV4)
                found = locate_ipv4(frame, protocol);
        else if (ethertype == PROTOCOL_IPV6)
                found = locate_ipv6(frame, protocol, NULL);
        return found && frame->layer4 + FRAME_HEADER_LENGTH <= frame->length;
}

static bool locate_fragment_ipv4(struct frame *frame) {
        const uint8_t *ip = frame->data + frame->layer3;

        if (frame->length < frame->layer3 + IPV4_HEADER_LENGTH + FRAME_HEADER_LENGTH || ip[0] >> 4 != 4 ||
            (ip[0] & 0x0f) < 5 || ip[9] != FRAME_UDP ||
            (frame_get16(ip + 6) & 0x3fff) != FRAME_MORE_FRAGMENTS)
                return false;
        frame->layer4 = frame->layer3 + (size_t) (ip[0] & 0x0f) * 4;
        return frame->layer4 + FRAME_HEADER_LENGTH <= frame->length;
}

bool judge_locate_fragment(struct frame *frame, size_t layer3, uint16_t ethertype) {
        bool fragment = false;

        frame->layer3 = layer3;
        if (ethertype == PROTOCOL_IPV4)
                return locate_fragment_ipv4(frame);
        return ethertype == PROTOCOL_IPV6 && locate_ipv6(frame, FRAME_UDP, &fragment) && fragment &&
               frame->layer4 + FRAME_HEADER_LENGTH <= frame->length;
}

static bool is_ipv6(const struct frame *frame) {
        return frame->data[frame->layer3] >> 4 == 6;
}

uint16_t judge_length(const struct frame *frame) {
        if (frame_get16(frame->data + frame->layer3 + (is_ipv6(frame) ? 4 : 2)) == 0)
                return 0; /* jumbo: no length at all */
        return (uint16_t) frame_layer4_length(frame);
}

bool judge_offset_sound(const struct frame *frame) {
        size_t at = frame->data[frame->protocol] == FRAME_TCP ? 12 : 8;
        size_t offset = (size_t) (frame->data[frame->layer4 + at] >> 4) * 4;

        return offset >= FRAME_HEADER_LENGTH && offset <= judge_length(frame);
}

bool judge_convertible(const struct frame *frame) {
        const uint8_t *udp = frame->data + frame->layer4;

        return frame_get16(udp + 4) == judge_length(frame) && judge_offset_sound(frame) &&
               !(udp[9] & FRAME_URG) && frame_get16(udp + 6) != 0;
}

/*
 * The sum of pseudo header and segment, as far as the bytes are there: what is missing is missing before
 * and after.
 */
static uint16_t layer4_sum(const struct frame *frame) {
        const uint8_t *ip = frame->data + frame->layer3;
        size_t length = judge_length(frame), there = frame->length - frame->layer4;
        uint32_t sum = frame->data[frame->protocol] + (uint32_t) length;

        sum = is_ipv6(frame) ? frame_sum(sum, ip + 8, 32) : frame_sum(sum, ip + 12, 8);
        return frame_fold(frame_sum(sum, frame->data + frame->layer4, length < there ? length : there));
}

static bool judge_header(const struct frame *before, const struct frame *after, bool to_udp, uint8_t bits) {
        const struct frame *tcp_form = to_udp ? before : after, *udp_form = to_udp ? after : before;
        const uint8_t *tcp = tcp_form->data + tcp_form->layer4, *udp = udp_form->data + udp_form->layer4;

        EXPECT_EQUAL(tcp_form->data[before->protocol], FRAME_TCP);
        EXPECT_EQUAL(udp_form->data[before->protocol], FRAME_UDP);
        EXPECT(memcmp(tcp, udp, 4) == 0);
        EXPECT(memcmp(tcp + 4, udp + 12, 8) == 0);
        EXPECT_EQUAL(tcp[12], udp[8] & ~bits);
        EXPECT_EQUAL(tcp[13] & ~FRAME_URG, udp[9]);
        EXPECT(memcmp(tcp + 14, udp + 10, 2) == 0);
        EXPECT_EQUAL(frame_get16(udp + 4), judge_length(before));
        EXPECT(frame_get16(udp + 6) != 0);
        if (!to_udp)
                EXPECT_EQUAL(frame_get16(tcp + 18), 0);
        return true;
}

/* Bytes outside the header that changed must be the two of an MSS that was above its limit. */
static bool judge_rest(const struct frame *before, const struct frame *after,
                       const struct judge_limits *limits) {
        size_t flags_at = before->data[before->protocol] == FRAME_TCP ? 13 : 9, header = before->layer4;
        uint16_t limit = is_ipv6(before) ? limits->mss_ipv6 : limits->mss_ipv4;
        size_t options_end = header + (size_t) (before->data[header + flags_at - 1] >> 4) * 4, lowered = 0;

        for (size_t i = 0; i < before->length; i++) {
                if (before->data[i] == after->data[i] || i == before->protocol)
                        continue;
                if (i >= header && i < header + FRAME_HEADER_LENGTH)
                        continue;
                if (!is_ipv6(before) && (i == before->layer3 + 10 || i == before->layer3 + 11))
                        continue;
                EXPECT(before->data[header + flags_at] & FRAME_SYN);
                EXPECT(limit != 0 && i >= header + FRAME_HEADER_LENGTH + 2 && i < options_end);
                if (lowered == 0) {
                        /* Either byte may be the first that differs. */
                        lowered = frame_get16(before->data + i - 2) == 0x0204 &&
                                                  frame_get16(after->data + i) == limit ?
                                          i :
                                          i - 1;
                        EXPECT_EQUAL(frame_get16(after->data + lowered - 2), 0x0204);
                        EXPECT_EQUAL(frame_get16(after->data + lowered), limit);
                        EXPECT(frame_get16(before->data + lowered) > limit);
                }
                EXPECT(i == lowered || i == lowered + 1);
        }
        return true;
}

bool judge_conversion(const struct frame *before, const struct frame *after, bool to_udp,
                      const struct judge_limits *limits) {
        EXPECT_EQUAL(after->length, before->length);
        EXPECT(judge_header(before, after, to_udp, limits->bits));
        EXPECT(judge_rest(before, after, limits));
        EXPECT_EQUAL(layer4_sum(after), layer4_sum(before));
        EXPECT_EQUAL(frame_layer3_sum(after), frame_layer3_sum(before));
        return true;
}
