/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Packets of the data path tests: checksums summed in full, and the reference conversion, see frame.h.
 *
 * Room: libc only, nothing of bpf/. The layout of the wire format is written down here a second time, byte
 * by byte.
 */

#include <string.h>

#include "frame.h"

uint32_t frame_sum(uint32_t sum, const uint8_t *bytes, size_t length) {
        for (size_t i = 0; i + 1 < length; i += 2)
                sum += frame_get16(bytes + i);
        if (length & 1)
                sum += (uint32_t) bytes[length - 1] << 8;
        return sum;
}

uint16_t frame_fold(uint32_t sum) {
        while (sum > 0xffff)
                sum = (sum >> 16) + (sum & 0xffff);
        return (uint16_t) sum;
}

static bool is_ipv6(const struct frame *frame) {
        return frame->data[frame->layer3] >> 4 == 6;
}

static size_t ipv4_header_length(const struct frame *frame) {
        return (size_t) (frame->data[frame->layer3] & 0x0f) * 4;
}

size_t frame_layer4_length(const struct frame *frame) {
        const uint8_t *ip = frame->data + frame->layer3;

        if (is_ipv6(frame))
                return frame_get16(ip + 4) - (frame->layer4 - frame->layer3 - 40);
        return frame_get16(ip + 2) - ipv4_header_length(frame);
}

uint16_t frame_layer4_sum(const struct frame *frame) {
        const uint8_t *ip = frame->data + frame->layer3;
        size_t length = frame_layer4_length(frame);
        uint32_t sum = frame->data[frame->protocol] + (uint32_t) length;

        sum = is_ipv6(frame) ? frame_sum(sum, ip + 8, 32) : frame_sum(sum, ip + 12, 8);
        return frame_fold(frame_sum(sum, frame->data + frame->layer4, length));
}

uint16_t frame_layer3_sum(const struct frame *frame) {
        if (is_ipv6(frame))
                return 0xffff;
        return frame_fold(frame_sum(0, frame->data + frame->layer3, ipv4_header_length(frame)));
}

void frame_put_checks(struct frame *frame) {
        bool udp = frame->data[frame->protocol] == FRAME_UDP;
        uint8_t *ip = frame->data + frame->layer3, *check = frame->data + frame->layer4 + (udp ? 6 : 16);
        uint16_t sum;

        if (!is_ipv6(frame)) {
                frame_put16(ip + 10, 0);
                frame_put16(ip + 10, (uint16_t) ~frame_layer3_sum(frame));
        }
        frame_put16(check, 0);
        sum = (uint16_t) ~frame_layer4_sum(frame);
        frame_put16(check, udp && sum == 0 ? 0xffff : sum);
}

void frame_to_udp(struct frame *frame) {
        uint8_t tcp[FRAME_HEADER_LENGTH], *udp = frame->data + frame->layer4;

        memcpy(tcp, udp, sizeof(tcp));
        /* ports stay; length takes 4, 5; check 6, 7 */
        frame_put16(udp + 4, (uint16_t) frame_layer4_length(frame));
        memcpy(udp + 8, tcp + 12, 4);  /* data offset, flags, window */
        memcpy(udp + 12, tcp + 4, 4);  /* sequence number */
        memcpy(udp + 16, tcp + 8, 4);  /* acknowledgment number */
        udp[9] &= (uint8_t) ~FRAME_URG;
        frame->data[frame->protocol] = FRAME_UDP;
        frame_put_checks(frame);
}

void frame_to_tcp(struct frame *frame) {
        uint8_t udp[FRAME_HEADER_LENGTH], *tcp = frame->data + frame->layer4;

        memcpy(udp, tcp, sizeof(udp));
        memcpy(tcp + 4, udp + 12, 8);
        memcpy(tcp + 12, udp + 8, 4);
        frame_put16(tcp + 18, 0);
        frame->data[frame->protocol] = FRAME_TCP;
        frame_put_checks(frame);
}

void frame_wrap(struct frame *frame, const struct frame *outer) {
        const size_t header = frame->layer4 - frame->layer3, room = header + 8;
        uint8_t *ip = frame->data + frame->layer3, *udp = ip + header;

        memmove(ip + room, ip, frame->length - frame->layer3);
        frame->length += room;
        memcpy(ip, outer->data + outer->layer3, header);
        memcpy(udp, outer->data + outer->layer4, 4);
        frame_put16(udp + 4, (uint16_t) (frame->length - frame->layer4));
        if (is_ipv6(frame))
                frame_put16(ip + 4, (uint16_t) (frame->length - frame->layer4));
        else
                frame_put16(ip + 2, (uint16_t) (frame->length - frame->layer3));
        frame->data[frame->protocol] = FRAME_UDP;
        frame_put_checks(frame);
}

bool frame_equal(const struct frame *a, const struct frame *b) {
        return a->length == b->length && memcmp(a->data, b->data, a->length) == 0;
}

void frame_dump(const char *title, const struct frame *frame) {
        fprintf(stderr, "%s, %zu bytes:", title, frame->length);
        for (size_t i = 0; i < frame->length && i < 128; i++)
                fprintf(stderr, "%s%02x", i % 32 == 0 ? "\n  " : " ", frame->data[i]);
        fputc('\n', stderr);
}
