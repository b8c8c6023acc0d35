/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A libFuzzer target over bpf/rewrite.h: any 20 bytes as a header, any bytes as payload, in both directions.
 * By hand, with clang:
 *
 *   clang -fsanitize=fuzzer,address,undefined -g -O1 -D_GNU_SOURCE -Ibpf \
 *           tests/bpf/fuzz-rewrite.c tests/bpf/frame.c tests/bpf/frame-check.c -o fuzz-rewrite
 *   ./fuzz-rewrite -max_len=1500 -max_total_time=600
 *
 * Under meson it is built together with fuzz-main.c instead, which replays files or makes inputs of its own.
 *
 * Room: no privileges, no descriptor.
 */

#include <stdlib.h>
#include <string.h>

#include "bpf/rewrite.h"
#include "fuzz.h"

enum {
        PAYLOAD_MAX = 1460,
        CHOICES = 3, /* bytes before the packet: IP version, where a value is replaced, by what */
};

static void require(bool condition, const char *what, const struct frame *frame) {
        if (condition)
                return;
        frame_dump(what, frame);
        abort();
}

/* A packet of this protocol around the bytes; checksums are what the bytes say. */
static void wrap(struct frame *frame, bool ipv6, uint8_t protocol, const uint8_t *data, size_t length) {
        struct frame_spec spec = { .raw = true,
                                   .ipv6 = ipv6,
                                   .payload = (uint16_t) (length - FRAME_HEADER_LENGTH) };

        frame_build(&spec, frame);
        frame->data[frame->protocol] = protocol;
        memcpy(frame->data + frame->layer4, data, length);
}

static void get_header(const struct frame *frame, union underpass_header *ret) {
        memcpy(ret, frame->data + frame->layer4, sizeof(*ret));
}

static void put_header(struct frame *frame, uint8_t protocol, const union underpass_header *header) {
        memcpy(frame->data + frame->layer4, header, sizeof(*header));
        frame->data[frame->protocol] = protocol;
}

/*
 * To UDP: sums stay as right or wrong as they were; and back: the same bytes, unless there was something
 * urgent.
 */
static void try_tcp(const struct frame *original) {
        uint16_t length = (uint16_t) frame_layer4_length(original), check;
        union underpass_header before, header;
        struct frame frame = *original;

        get_header(&frame, &before);
        header = before;
        require(underpass_tcp_to_udp(&header, length) == !!(before.tcp.flags & UNDERPASS_TCP_URG), "URG",
                original);
        put_header(&frame, FRAME_UDP, &header);
        require(frame_layer4_sum(&frame) == frame_layer4_sum(original), "sum as UDP", original);
        require(header.udp.check != 0, "checksum 0", original);
        require(header.udp.length == UNDERPASS_NET16(length), "length", original);
        if (underpass_tcp_shape(&before, length))
                require(underpass_udp_shape(&header, length), "not taken for our own", original);

        underpass_udp_to_tcp(&header);
        put_header(&frame, FRAME_TCP, &header);
        require(frame_layer4_sum(&frame) == frame_layer4_sum(original), "sum as TCP", original);
        check = before.tcp.check;
        if ((before.tcp.flags & UNDERPASS_TCP_URG) || before.tcp.urgent != 0 || check == 0xffff)
                return; /* ffff is another way to write 0, and comes back as that */
        require(frame_equal(&frame, original), "not restored", original);
}

/* To TCP, if the shape is right, and back: the same bytes. */
static void try_udp(const struct frame *original) {
        uint16_t length = (uint16_t) frame_layer4_length(original);
        struct frame frame = *original;
        union underpass_header header;

        get_header(&frame, &header);
        if (underpass_udp_is_syn(&header, length))
                require((header.udp.flags & ~(UNDERPASS_TCP_ECE | UNDERPASS_TCP_CWR)) == UNDERPASS_TCP_SYN &&
                                underpass_udp_shape(&header, length), "a strange SYN", original);
        if (!underpass_udp_shape(&header, length) || header.udp.check == 0)
                return;
        underpass_udp_to_tcp(&header);
        put_header(&frame, FRAME_TCP, &header);
        require(underpass_tcp_shape(&header, length), "shape as TCP", original);
        require(header.tcp.urgent == 0, "urgent pointer", original);
        require(frame_layer4_sum(&frame) == frame_layer4_sum(original), "sum as TCP", original);
        require(underpass_tcp_to_udp(&header, length) == 0, "URG", original);
        put_header(&frame, FRAME_UDP, &header);
        require(frame_equal(&frame, original), "not restored", original);
}

/* Two bytes behind the header replaced: the sum stays what it was. */
static void try_replace(const struct frame *original, size_t distance, uint16_t new) {
        struct frame frame = *original;
        union underpass_header header;
        uint16_t old;

        if (distance + 2 > frame_layer4_length(original))
                return;
        get_header(&frame, &header);
        memcpy(&old, frame.data + frame.layer4 + distance, sizeof(old));
        header.tcp.check = underpass_check_replace16(header.tcp.check, old, new, (uint32_t) distance);
        put_header(&frame, FRAME_TCP, &header);
        memcpy(frame.data + frame.layer4 + distance, &new, sizeof(new));
        require(frame_layer4_sum(&frame) == frame_layer4_sum(original), "sum with another value", original);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        bool ipv6;
        size_t distance;
        uint16_t new;
        struct frame frame;

        if (size < CHOICES + FRAME_HEADER_LENGTH || size > CHOICES + FRAME_HEADER_LENGTH + PAYLOAD_MAX)
                return 0;
        ipv6 = data[0] & 1;
        distance = FRAME_HEADER_LENGTH + (size_t) (data[0] >> 1);
        new = frame_get16(data + 1);
        data += CHOICES;
        size -= CHOICES;
        wrap(&frame, ipv6, FRAME_TCP, data, size);
        try_tcp(&frame);
        try_replace(&frame, distance, new);
        wrap(&frame, ipv6, FRAME_UDP, data, size);
        try_udp(&frame);
        /* The same with the one field that random bytes rarely get right. */
        frame_put16(frame.data + frame.layer4 + 4, (uint16_t) size);
        try_udp(&frame);
        return 0;
}
