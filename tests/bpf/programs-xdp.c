/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The program in front of the driver's GRO: established flows become TCP, everything else passes as it came.
 * Bulk: programs-bulk.c.
 *
 * Room: bench.h.
 */

#include "programs.h"

struct early_case {
        const char *name;
        struct frame_spec spec;
        void (*mangle)(struct frame *frame);
        enum { ESTABLISHED, HALF_OPEN, SILENT, NO_FLOW, ELSEWHERE } flow;
        bool converted;
        bool bulk;        /* the link takes the bulk form */
        bool made_up;     /* it acknowledges what nobody has sent */
        uint8_t heard;    /* of that by the flow, enum underpass_bulk_flag */
};

static void no_checksum(struct frame *frame) {
        frame_put16(frame->data + frame->layer4 + 6, 0);
}

static void longer(struct frame *frame) {
        uint8_t *length = frame->data + frame->layer4 + 4;

        frame_put16(length, (uint16_t) (frame_get16(length) + 1));
}

static void cut(struct frame *frame) {
        frame->length = frame->layer4 + FRAME_HEADER_LENGTH - 1;
}

static void other_version(struct frame *frame) {
        frame->data[frame->layer3] ^= 0x10;
}

static void offset_four(struct frame *frame) {
        frame->data[frame->layer4 + 8] = 0x40;
}

enum {
        OFFER = 0x08, /* beside the data offset: the peer takes the bulk form, … */
        ARRIVED = 0x04, /* … and has got ours */
        ACKNOWLEDGMENT = 42,
        FLIGHT = 10,
        BEFORE_NS = 1000000000, /* the last datagram came so long ago */
        LOOKS = 720 << 16 | 0x1234, /* as a sequence number: length and checksum */
        ALIKE = 0x50100000,         /* as an acknowledgment: data offset and flags */
};

#define DATA(...)                                                                                           \
        { .from = FRAME_REMOTE, .udp = true, .source_port = 50000, .dest_port = 443, .payload = 700,        \
          .sequence = 77, .acknowledgment = ACKNOWLEDGMENT, __VA_ARGS__ }
#define BARE(...)                                                                                           \
        { .from = FRAME_REMOTE, .udp = true, .source_port = 50000, .dest_port = 443, .flags = FRAME_ACK,    \
          .acknowledgment = ACKNOWLEDGMENT, __VA_ARGS__ }
#define TCP(...)                                                                                            \
        { .from = FRAME_REMOTE, .source_port = 50000, .dest_port = 443, .flags = FRAME_ACK, .payload = 700, \
          .sequence = LOOKS, .acknowledgment = ALIKE, __VA_ARGS__ }

static const struct early_case cases[] = {
        { "data", DATA(.flags = FRAME_ACK), .converted = true },
        { "data, IPv6", DATA(.flags = FRAME_ACK, .ipv6 = true), .converted = true },
        { "options", DATA(.flags = FRAME_ACK | FRAME_PSH, .options = FRAME_OPTIONS_TIMESTAMP),
          .converted = true },
        { "FIN", DATA(.flags = FRAME_ACK | FRAME_FIN), .converted = true },
        { "wrong checksum", DATA(.flags = FRAME_ACK, .jumbled_check = true), .converted = true },
        { "a flow that another link sends", DATA(.flags = FRAME_ACK), .flow = ELSEWHERE, .converted = true },
        { "no data", BARE(.ipv6 = false), .converted = true },
        { "no data, IPv6", BARE(.ipv6 = true), .converted = true },
        { "cut off", BARE(.ipv6 = false), .mangle = cut },
        { "cut off, IPv6", BARE(.ipv6 = true), .mangle = cut },
        { "bulk is offered, where nobody wants it", DATA(.flags = FRAME_ACK, .reserved = OFFER),
          .converted = true },
        { "bulk is offered", DATA(.flags = FRAME_ACK, .reserved = OFFER), .converted = true, .bulk = true,
          .heard = UNDERPASS_BULK_TAKEN },
        { "bulk is offered, IPv6", DATA(.flags = FRAME_ACK, .reserved = OFFER, .ipv6 = true),
          .converted = true, .bulk = true, .heard = UNDERPASS_BULK_TAKEN },
        { "bulk has arrived", DATA(.flags = FRAME_ACK, .reserved = OFFER | ARRIVED), .converted = true,
          .bulk = true, .heard = UNDERPASS_BULK_TAKEN | UNDERPASS_BULK_PROVEN },
        { "bulk is offered, made up", DATA(.flags = FRAME_ACK, .reserved = OFFER), .converted = true,
          .bulk = true, .made_up = true },
        { "TCP that looks like it", TCP(.ipv6 = false) },
        { "TCP that looks like it, IPv6", TCP(.ipv6 = true) },
        { "another version, IPv6", DATA(.flags = FRAME_ACK, .ipv6 = true), .mangle = other_version },
        { "SYN", DATA(.flags = FRAME_SYN) },
        { "RST", DATA(.flags = FRAME_RST, .ipv6 = true) },
        { "half-open flow", DATA(.flags = FRAME_ACK), .flow = HALF_OPEN },
        { "silent flow", DATA(.flags = FRAME_ACK), .flow = SILENT },
        { "no flow", DATA(.flags = FRAME_ACK), .flow = NO_FLOW },
        { "TCP", { .from = FRAME_REMOTE, .source_port = 50000, .dest_port = 443, .flags = FRAME_ACK } },
        { "no checksum", DATA(.flags = FRAME_ACK), .mangle = no_checksum },
        { "wrong length", DATA(.flags = FRAME_ACK), .mangle = longer },
        { "data offset 4", DATA(.flags = FRAME_ACK, .ipv6 = true), .mangle = offset_four },
        { "IPv4 options", DATA(.flags = FRAME_ACK, .ipv4_options = 8) },
        { "extension header",
          DATA(.flags = FRAME_ACK, .ipv6 = true, .extensions = { 60 }, .extensions_count = 1) },
        { "fragment", DATA(.flags = FRAME_ACK, .fragment = FRAME_MORE_FRAGMENTS) },
        { "VLAN tag", DATA(.flags = FRAME_ACK, .vlan = true) },
};

static bool put_flow(struct bench *bench, const struct early_case *test, const struct frame *frame) {
        const struct underpass_slot slot = {
                .ifindex = BENCH_IFINDEX, .flags = test->bulk ? UNDERPASS_SLOT_BULK : 0,
        };
        struct underpass_flow_key key;
        struct underpass_flow flow;

        EXPECT(bench_reset(bench) == 0);
        EXPECT(bench_set_slot(bench, &slot) == 0);
        if (test->flow == NO_FLOW)
                return true;
        if (test->flow == SILENT)
                bench_silent(&flow);
        else
                bench_tunnelled(&flow);
        if (test->flow == HALF_OPEN)
                flow.state = UNDERPASS_FLOW_HALF_OPEN;
        if (test->flow == ELSEWHERE) {
                flow.ifindex = BENCH_IFINDEX + 1;
                flow.slot = BENCH_SLOT + 1;
        }
        flow.next = ACKNOWLEDGMENT - test->made_up;
        flow.expected = ACKNOWLEDGMENT - FLIGHT;
        flow.seen_ns -= test->flow == SILENT ? 0 : BEFORE_NS;
        bench_flow_key(frame, false, &key);
        EXPECT(bench_put_flow(test->flow == HALF_OPEN ? bench->half_open : bench->flows, &key, &flow) == 0);
        return true;
}

/* What the flow remembers of it. */
static bool remembers(struct bench *bench, const struct early_case *test, const struct frame *frame) {
        struct underpass_flow_key key;
        struct underpass_flow flow;

        bench_flow_key(frame, false, &key);
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.received, 1);
        EXPECT(flow.seen_ns + BEFORE_NS / 2 > bench_now());
        EXPECT_EQUAL(flow.expected, test->made_up ? ACKNOWLEDGMENT - FLIGHT : ACKNOWLEDGMENT);
        EXPECT_EQUAL(flow.ends, test->spec.flags & FRAME_FIN ? UNDERPASS_FLOW_PEER_FIN : 0);
        EXPECT_EQUAL(flow.bulk, test->heard);
        return true;
}

static bool run_case(struct bench *bench, const struct early_case *test) {
        const struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_RECEIVED, test->converted },
        };
        struct frame before, expected, after;
        __u32 verdict;

        frame_build(&test->spec, &before);
        EXPECT(put_flow(bench, test, &before));
        if (test->mangle)
                test->mangle(&before);
        after = expected = before;
        if (test->converted) {
                struct frame_spec spec = test->spec;
                uint16_t wrong = frame_layer4_sum(&before);
                uint8_t *check = expected.data + expected.layer4 + 16;

                if (test->bulk) {
                        spec.reserved = 0;
                        frame_build(&spec, &expected);
                }
                frame_to_tcp(&expected);
                if (wrong != 0xffff)
                        frame_put16(check, (uint16_t) ~frame_fold((uint32_t) (uint16_t) ~frame_get16(check) +
                                                                  (uint16_t) ~wrong));
        }
        EXPECT(bench_run_early(bench, &after, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_EARLY_PASS);
        EXPECT(frame_equal(&after, &expected));
        EXPECT(bench_counted(bench, counts));
        return !test->converted || remembers(bench, test, &before);
}

static bool test_cases(void *context) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                if (run_case(context, &cases[i]))
                        continue;
                fprintf(stderr, "early: %s\n", cases[i].name);
                return false;
        }
        return true;
}

int programs_xdp(struct bench *bench) {
        static const struct expect_test tests[] = { { "early: what becomes TCP before GRO", test_cases } };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
