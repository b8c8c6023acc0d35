/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * bpf/rewrite.h on the host: the conversion against the reference of frame-check.c, on random segments and
 * on a fixed vector; all values of the checksums. What a datagram must look like to be taken is in
 * test-shape.c.
 *
 * Room: no privileges, no descriptor.
 */

#include <string.h>

#include "bpf/rewrite.h"
#include "frame.h"

enum {
        RANDOM_ROUNDS = 24000,
        RANDOM_SEED = 0x5eed0001,
};

static void convert(struct frame *frame, bool to_udp, int *ret_urgent) {
        union underpass_header header;
        uint8_t *layer4 = frame->data + frame->layer4, *check = frame->data + frame->layer3 + 10;
        uint16_t ipv4_check;
        int urgent = 0;

        memcpy(&header, layer4, sizeof(header));
        if (to_udp)
                urgent = underpass_tcp_to_udp(&header, (uint16_t) frame_layer4_length(frame));
        else
                underpass_udp_to_tcp(&header);
        memcpy(layer4, &header, sizeof(header));
        if (frame->data[frame->layer3] >> 4 == 4) {
                memcpy(&ipv4_check, check, sizeof(ipv4_check));
                ipv4_check = to_udp ? underpass_ipv4_check_to_udp(ipv4_check) :
                                      underpass_ipv4_check_to_tcp(ipv4_check);
                memcpy(check, &ipv4_check, sizeof(ipv4_check));
        }
        frame->data[frame->protocol] = to_udp ? FRAME_UDP : FRAME_TCP;
        *ret_urgent = urgent;
}

static bool same(const struct frame *actual, const struct frame *expected) {
        if (frame_equal(actual, expected))
                return true;
        frame_dump("came out", actual);
        frame_dump("expected", expected);
        return false;
}

/* There and back again; both forms must equal the reference. */
static bool check_both_ways(const struct frame *tcp) {
        const uint8_t *flags = tcp->data + tcp->layer4 + 13, *pointer = tcp->data + tcp->layer4 + 18;
        struct frame converted = *tcp, expected = *tcp, back;
        int urgent;

        convert(&converted, true, &urgent);
        frame_to_udp(&expected);
        EXPECT(same(&converted, &expected));
        EXPECT_EQUAL(frame_layer4_sum(&converted), 0xffff);
        EXPECT_EQUAL(frame_layer3_sum(&converted), 0xffff);
        EXPECT(frame_get16(converted.data + converted.layer4 + 6) != 0);
        EXPECT_EQUAL((unsigned) urgent, !!(*flags & FRAME_URG));

        back = converted;
        convert(&back, false, &urgent);
        EXPECT_EQUAL(frame_layer4_sum(&back), 0xffff);
        EXPECT_EQUAL(frame_layer3_sum(&back), 0xffff);
        frame_to_tcp(&expected);
        EXPECT(same(&back, &expected));
        EXPECT_EQUAL(back.data[back.layer4 + 13], *flags & ~FRAME_URG);
        if (!(*flags & FRAME_URG) && frame_get16(pointer) == 0)
                EXPECT(same(&back, tcp));
        return true;
}

static bool test_random_segments(void *context) {
        unsigned urgent = 0, restored = 0, ipv6 = 0;
        uint64_t random = RANDOM_SEED;
        struct frame_spec spec;
        struct frame frame;

        for (int i = 0; i < RANDOM_ROUNDS; i++) {
                frame_random_spec(&random, &spec);
                frame_build(&spec, &frame);
                EXPECT_EQUAL(frame_layer4_sum(&frame), 0xffff);
                if (!check_both_ways(&frame)) {
                        fprintf(stderr, "in round %d\n", i);
                        return false;
                }
                urgent += !!(spec.flags & FRAME_URG);
                restored += spec.urgent == 0;
                ipv6 += spec.ipv6;
        }
        /* The mix must hold enough of everything, or the rounds above prove little. */
        EXPECT(urgent > RANDOM_ROUNDS / 20 && restored > RANDOM_ROUNDS / 2);
        EXPECT(ipv6 > RANDOM_ROUNDS / 3 && ipv6 < RANDOM_ROUNDS * 2 / 3);
        return true;
}

/* The window takes every value, so both checksums do: the one that would be 0 in UDP is met for sure. */
static bool test_every_checksum(void *context) {
        unsigned would_be_zero = 0;
        struct frame_spec spec = { .flags = FRAME_ACK, .sequence = 7, .acknowledgment = 9 };
        struct frame frame;

        for (unsigned window = 0; window <= 0xffff; window++) {
                struct frame udp;

                spec.window = (uint16_t) window;
                spec.ipv6 = window & 1;
                frame_build(&spec, &frame);
                EXPECT(check_both_ways(&frame));
                udp = frame;
                frame_to_udp(&udp);
                would_be_zero += frame_get16(udp.data + udp.layer4 + 6) == 0xffff;
        }
        EXPECT(would_be_zero > 0);
        return true;
}

/* The identification takes every value, so the checksum of the IPv4 header does. */
static bool test_every_ipv4_checksum(void *context) {
        struct frame_spec spec = { .flags = FRAME_ACK };
        struct frame frame;

        for (unsigned identification = 0; identification <= 0xffff; identification++) {
                spec.sequence = identification;
                frame_build(&spec, &frame);
                EXPECT_EQUAL(frame_get16(frame.data + frame.layer3 + 4), identification);
                EXPECT(check_both_ways(&frame));
        }
        return true;
}

/*
 * One packet, by hand, in the layout that multipath-tcp/tcp-in-udp speaks: whoever changes this breaks the
 * wire format. 192.0.2.1:40000 → 198.51.100.2:443, PSH and ACK, sequence 11223344, acknowledgment 55667788,
 * window 200, "Hi!?".
 *
 *   addresses     c000 + 0201 + c633 + 6402                                             = 1ec36
 *   segment       9c40 + 01bb + 1122 + 3344 + 5566 + 7788 + 5018 + 0200 + 4869 + 213f    = 26b0f
 *   TCP           protocol 6, length 18 in the pseudo header; all in all 45763, folded 5767, check a898
 *   UDP           protocol 11, length 18 there and once more in the header; 45786, folded 578a, check a875
 *   IPv4 header   check 3c61 with protocol 06, 3c56 with protocol 11
 */
static const uint8_t vector_tcp[] = {
        0x45, 0x00, 0x00, 0x2c, 0x12, 0x34, 0x40, 0x00, 0x40, 0x06, 0x3c, 0x61,
        192,  0,    2,    1,    198,  51,   100,  2,    0x9c, 0x40, 0x01, 0xbb, /* ports */
        0x11, 0x22, 0x33, 0x44, /* sequence number */
        0x55, 0x66, 0x77, 0x88, /* acknowledgment number */
        0x50, 0x18, 0x02, 0x00, /* data offset, flags, window */
        0xa8, 0x98, 0x00, 0x00, /* checksum, urgent pointer */
        'H',  'i',  '!',  '?',
};

static const uint8_t vector_udp[] = {
        0x45, 0x00, 0x00, 0x2c, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11, 0x3c, 0x56,
        192,  0,    2,    1,    198,  51,   100,  2,    0x9c, 0x40, 0x01, 0xbb, /* ports */
        0x00, 0x18, 0xa8, 0x75, /* length, checksum */
        0x50, 0x18, 0x02, 0x00, /* data offset, flags, window */
        0x11, 0x22, 0x33, 0x44, /* sequence number */
        0x55, 0x66, 0x77, 0x88, /* acknowledgment number */
        'H',  'i',  '!',  '?',
};

static bool test_wire_vector(void *context) {
        struct frame frame = { .length = sizeof(vector_tcp), .layer4 = 20, .protocol = 9 };
        int urgent;

        memcpy(frame.data, vector_tcp, sizeof(vector_tcp));
        EXPECT_EQUAL(frame_layer4_sum(&frame), 0xffff);
        convert(&frame, true, &urgent);
        EXPECT_EQUAL((unsigned) urgent, 0);
        EXPECT(memcmp(frame.data, vector_udp, sizeof(vector_udp)) == 0);
        convert(&frame, false, &urgent);
        EXPECT(memcmp(frame.data, vector_tcp, sizeof(vector_tcp)) == 0);
        return true;
}

/*
 * Every pair of bytes of a segment replaced in turn, at even and odd distances, by values that carry and
 * that do not.
 */
static bool test_replace(void *context) {
        static const uint16_t values[] = { 0, 1, 0x00ff, 0xff00, 0xfffe, 0xffff, 0x0528, 0x2805 };
        struct frame_spec spec = { .flags = FRAME_SYN, .options = FRAME_OPTIONS_JOIN, .payload = 5 };
        struct frame original;

        frame_build(&spec, &original);
        for (size_t distance = FRAME_HEADER_LENGTH; distance + 2 <= frame_layer4_length(&original);
             distance++) {
                for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
                        struct frame frame = original;
                        uint8_t *layer4 = frame.data + frame.layer4;
                        uint16_t check, old, new = UNDERPASS_NET16(values[i]);

                        memcpy(&check, layer4 + 16, sizeof(check));
                        memcpy(&old, layer4 + distance, sizeof(old));
                        check = underpass_check_replace16(check, old, new, (uint32_t) distance);
                        memcpy(layer4 + 16, &check, sizeof(check));
                        memcpy(layer4 + distance, &new, sizeof(new));
                        EXPECT_EQUAL(frame_layer4_sum(&frame), 0xffff);
                }
        }
        return true;
}

/* A sum of many words folds as the reference does; the largest that 32 bits hold too. */
static bool test_fold(void *context) {
        static const uint32_t sums[] = { 0,       1,          0xffff,     0x10000,   0x1fffe,
                                         0x1ffff, 0xfffeffff, 0xffff0000, 0xffffffff };
        uint64_t random = RANDOM_SEED;

        for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
                EXPECT_EQUAL(underpass_fold(sums[i]), frame_fold(sums[i]));
        for (int i = 0; i < RANDOM_ROUNDS; i++) {
                uint32_t sum = expect_random(&random);

                EXPECT_EQUAL(underpass_fold(sum), frame_fold(sum));
        }
        return true;
}

int main(void) {
        static const struct expect_test tests[] = {
                { "wire-vector", test_wire_vector },
                { "random-segments", test_random_segments },
                { "every-checksum", test_every_checksum },
                { "every-ipv4-checksum", test_every_ipv4_checksum },
                { "replace", test_replace },
                { "fold", test_fold },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), NULL) == 0 ? EXIT_PASSED : EXIT_FAILED;
}
