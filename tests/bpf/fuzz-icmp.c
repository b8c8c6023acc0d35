/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Judges what the programs made of an ICMP error, see fuzz.h.
 *
 * Room: libc only, nothing of bpf/.
 */

#include <string.h>

#include "frame-icmp.h"
#include "fuzz.h"

enum {
        PROTOCOL_IPV4 = 0x0800,
        PROTOCOL_IPV6 = 0x86dd,
        IPV4_HEADER_LENGTH = 20,
        IPV6_HEADER_LENGTH = 40,
        FRAGMENT_MASK = 0x3fff,
        LEAST_MTU = 576, /* of IPv4 */
        TCP_OPTIONS_MAX = 40,
};

static bool find_message(const struct frame *frame, size_t layer3, uint16_t ethertype,
                         struct judge_quote *quote) {
        const uint8_t *ip = frame->data + layer3;

        quote->ipv6 = ethertype == PROTOCOL_IPV6;
        if (quote->ipv6) {
                quote->icmp = layer3 + IPV6_HEADER_LENGTH;
                return frame->length >= quote->icmp && ip[0] >> 4 == 6 && ip[6] == FRAME_ICMPV6;
        }
        if (ethertype != PROTOCOL_IPV4 || frame->length < layer3 + IPV4_HEADER_LENGTH)
                return false;
        quote->icmp = layer3 + (size_t) (ip[0] & 0x0f) * 4;
        return ip[0] >> 4 == 4 && (ip[0] & 0x0f) >= 5 && ip[9] == FRAME_ICMP &&
               (frame_get16(ip + 6) & FRAGMENT_MASK) == 0;
}

static bool is_error(const uint8_t *icmp, struct judge_quote *quote) {
        if (quote->ipv6) {
                quote->refusal = icmp[0] == FRAME_ICMPV6_UNREACHABLE;
                quote->port = quote->refusal && icmp[1] == FRAME_ICMPV6_PORT;
                quote->too_big = icmp[0] == FRAME_ICMPV6_TOO_BIG;
                quote->mtu = frame_get32(icmp + 4);
                return icmp[0] >= FRAME_ICMPV6_UNREACHABLE && icmp[0] <= FRAME_ICMPV6_PARAMETER;
        }
        quote->refusal = icmp[0] == FRAME_ICMP_UNREACHABLE && icmp[1] != FRAME_ICMP_NEEDS_FRAGMENTATION;
        quote->port = quote->refusal && icmp[1] == FRAME_ICMP_PORT;
        quote->too_big = icmp[0] == FRAME_ICMP_UNREACHABLE && !quote->refusal;
        quote->mtu = frame_get16(icmp + 6);
        return icmp[0] == FRAME_ICMP_UNREACHABLE || icmp[0] == FRAME_ICMP_TIME_EXCEEDED ||
               icmp[0] == FRAME_ICMP_PARAMETER;
}

static bool find_inner(const struct frame *frame, struct judge_quote *quote) {
        const uint8_t *ip = frame->data + quote->inner;

        if (quote->ipv6) {
                quote->layer4 = quote->inner + IPV6_HEADER_LENGTH;
                return frame->length >= quote->layer4 && ip[0] >> 4 == 6 && ip[6] == FRAME_UDP;
        }
        if (frame->length < quote->inner + IPV4_HEADER_LENGTH)
                return false;
        quote->layer4 = quote->inner + (size_t) (ip[0] & 0x0f) * 4;
        return ip[0] >> 4 == 4 && (ip[0] & 0x0f) >= 5 && ip[9] == FRAME_UDP &&
               (frame_get16(ip + 6) & FRAGMENT_MASK) == 0;
}

/* Of a datagram in the bulk form, the numbers of TCP are behind another IP header, and not quoted here. */
static bool begins_bulk(const struct frame *frame, const struct judge_quote *quote, size_t there) {
        const uint8_t *udp = frame->data + quote->layer4;
        size_t inner = 8 + (quote->ipv6 ? 40 : 20);

        if (there < 16 || there >= inner + FRAME_HEADER_LENGTH)
                return false;
        return quote->ipv6 ? udp[8] >> 4 == 6 && udp[14] == FRAME_TCP : udp[8] == 0x45;
}

bool judge_find_quote(const struct frame *frame, size_t layer3, uint16_t ethertype,
                      struct judge_quote *ret) {
        struct judge_quote quote = {};
        size_t there;

        if (!find_message(frame, layer3, ethertype, &quote))
                return false;
        quote.inner = quote.icmp + FRAME_ICMP_HEADER_LENGTH;
        if (frame->length < quote.inner || !is_error(frame->data + quote.icmp, &quote))
                return false;
        if (!find_inner(frame, &quote) || frame->length < quote.layer4)
                return false;
        there = frame->length - quote.layer4;
        quote.length = there >= FRAME_HEADER_LENGTH ? FRAME_HEADER_LENGTH : there >= 16 ? 16 : 8;
        if (begins_bulk(frame, &quote, there))
                quote.length = 8;
        *ret = quote;
        return there >= 8;
}

uint32_t judge_quoted_sequence(const struct frame *frame, const struct judge_quote *quote) {
        return frame_get32(frame->data + quote->layer4 + 12);
}

bool judge_in_flight(const struct frame *frame, const struct judge_quote *quote, uint32_t first,
                     uint32_t flight) {
        uint32_t length = frame_get16(frame->data + quote->layer4 + 4);

        if (quote->length >= 16)
                return judge_quoted_sequence(frame, quote) - first <= flight;
        if (quote->too_big && quote->mtu >= length + (quote->layer4 - quote->inner))
                return false;
        return flight > 0 && length >= FRAME_HEADER_LENGTH &&
               length <= FRAME_HEADER_LENGTH + TCP_OPTIONS_MAX + flight;
}

bool judge_about_syn(const struct frame *frame, const struct judge_quote *quote, uint32_t sequence,
                     uint32_t data) {
        uint32_t length = frame_get16(frame->data + quote->layer4 + 4);

        if (quote->length >= 16)
                return judge_quoted_sequence(frame, quote) == sequence;
        return length >= FRAME_HEADER_LENGTH + data &&
               length <= FRAME_HEADER_LENGTH + TCP_OPTIONS_MAX + data;
}

/* A path MTU that is raised. */
static bool is_raised(const struct judge_quote *quote) {
        return !quote->ipv6 && quote->too_big && quote->mtu < LEAST_MTU;
}

/* Which bytes may differ at all. */
static bool may_change(const struct judge_quote *quote, size_t at) {
        if (at == quote->icmp + 2 || at == quote->icmp + 3)
                return true;
        if (is_raised(quote) && (at == quote->icmp + 6 || at == quote->icmp + 7))
                return true;
        if (at == quote->inner + (quote->ipv6 ? 6 : 9))
                return true;
        if (!quote->ipv6 && (at == quote->inner + 10 || at == quote->inner + 11))
                return true;
        if (quote->length < FRAME_HEADER_LENGTH)
                return at >= quote->layer4 + 4 && at < quote->layer4 + 8;
        return at >= quote->layer4 && at < quote->layer4 + FRAME_HEADER_LENGTH;
}

/* Fields of a header that is quoted whole, and its checksum. */
static bool judge_whole(const uint8_t *udp, const uint8_t *tcp) {
        EXPECT(memcmp(tcp, udp, 4) == 0);
        EXPECT(memcmp(tcp + 4, udp + 12, 8) == 0);
        EXPECT(memcmp(tcp + 12, udp + 8, 4) == 0);
        EXPECT_EQUAL(frame_get16(tcp + 18), 0);
        /* Payload, addresses and length are the same in both: what else is summed must come out alike. */
        EXPECT_EQUAL(frame_fold(frame_sum(FRAME_TCP, tcp, FRAME_HEADER_LENGTH)),
                     frame_fold(frame_sum(FRAME_UDP, udp, FRAME_HEADER_LENGTH)));
        return true;
}

bool judge_error(const struct frame *before, const struct frame *after, const struct judge_quote *quote,
                 uint32_t sequence) {
        const uint8_t *udp = before->data + quote->layer4, *tcp = after->data + quote->layer4;
        size_t message = before->length - quote->icmp, header = quote->layer4 - quote->inner;

        EXPECT_EQUAL(after->length, before->length);
        for (size_t i = 0; i < before->length; i++)
                EXPECT(before->data[i] == after->data[i] || may_change(quote, i));
        EXPECT_EQUAL(after->data[quote->inner + (quote->ipv6 ? 6 : 9)], FRAME_TCP);
        EXPECT_EQUAL(frame_fold(frame_sum(0, after->data + quote->icmp, message)),
                     frame_fold(frame_sum(0, before->data + quote->icmp, message)));
        if (is_raised(quote))
                EXPECT_EQUAL(frame_get16(after->data + quote->icmp + 6), LEAST_MTU);
        if (!quote->ipv6)
                EXPECT_EQUAL(frame_fold(frame_sum(0, after->data + quote->inner, header)),
                             frame_fold(frame_sum(0, before->data + quote->inner, header)));
        if (quote->length == FRAME_HEADER_LENGTH)
                return judge_whole(udp, tcp);
        EXPECT_EQUAL(frame_get32(tcp + 4),
                     quote->length == 16 ? judge_quoted_sequence(before, quote) : sequence);
        return true;
}
