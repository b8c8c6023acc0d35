/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A path MTU that ICMP tells of lowers the MSS of later SYNs, if the MSS is automatic: which errors are
 * believed, and for how long.
 *
 * Room: bench.h, frame-icmp.h.
 */

#include <arpa/inet.h>

#include "frame-icmp.h"
#include "programs.h"

enum {
        WHOLE = 0xffff, /* of the packet is quoted */
        SEQUENCE = 0x00001000,
        PAYLOAD = 1400,
        MSS_AT = 22,    /* in a SYN with the usual options, whose MSS is 1460 */
        MSS_SENT = 1460,
};

/* One error and what it makes of the MSS of the SYN after it. */
struct mtu_case {
        const char *name;
        bool ipv6;
        uint32_t mtu;
        uint32_t sequence;   /* that the error quotes */
        uint16_t quoted;
        uint16_t link_mss;   /* 0: not clamped at all */
        bool fixed;          /* the MSS of the profile is not automatic */
        uint16_t mss;        /* of the SYN that leaves */
        bool known;
};

static const struct mtu_case cases[] = {
        { "a smaller path MTU", false, 1400, SEQUENCE, WHOLE, 1440, false, 1360, true },
        { "IPv6", true, 1400, SEQUENCE, WHOLE, 1440, false, 1340, true },
        { "larger than that of the link", false, 1490, SEQUENCE, WHOLE, 1440, false, 1440, true },
        { "the MSS is fixed", false, 1400, SEQUENCE, WHOLE, 1440, true, 1440, true },
        { "the MSS is left alone", false, 1400, SEQUENCE, WHOLE, 0, false, MSS_SENT, true },
        { "the smallest that is believed", false, 576, SEQUENCE, WHOLE, 1440, false, 536, true },
        { "too small", false, 575, SEQUENCE, WHOLE, 1440, false, 1440, false },
        { "none, as old routers say", false, 0, SEQUENCE, WHOLE, 1440, false, 1440, false },
        { "the smallest of IPv6", true, 1280, SEQUENCE, WHOLE, 1440, false, 1220, true },
        { "too small for IPv6", true, 1279, SEQUENCE, WHOLE, 1440, false, 1440, false },
        { "only the lower half is one", false, 0x10000 + 1400, SEQUENCE, WHOLE, 1440, false, 1360, true },
        { "about the newest byte", true, 1400, SEQUENCE + PAYLOAD, WHOLE, 1440, false, 1340, true },
        { "16 bytes quoted", true, 1400, SEQUENCE, 16, 1440, false, 1340, true },
        { "without a number to prove it", false, 1400, SEQUENCE, 15, 1440, false, 1440, false },
};

static bool prepare(struct bench *bench, const struct mtu_case *test, struct underpass_flow_key *ret_key) {
        struct frame_spec spec = { .ipv6 = test->ipv6 };
        struct underpass_link link;
        struct underpass_flow flow;
        struct frame frame;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        link.flags |= test->fixed ? 0 : UNDERPASS_LINK_MSS_AUTO;
        link.mss_ipv4 = link.mss_ipv6 = test->link_mss;
        EXPECT(bench_set_link(bench, &link) == 0);
        bench_tunnelled(&flow);
        flow.sequence = htonl(SEQUENCE);
        flow.expected = SEQUENCE;
        flow.next = SEQUENCE + PAYLOAD;
        frame_build(&spec, &frame);
        bench_flow_key(&frame, true, ret_key);
        EXPECT(bench_put_flow(bench->flows, ret_key, &flow) == 0);
        return true;
}

/* The error, as our stack hears it. */
static bool tell(struct bench *bench, const struct mtu_case *test, struct frame *ret) {
        struct frame_spec about = { .ipv6 = test->ipv6, .udp = true, .flags = FRAME_ACK, .payload = PAYLOAD,
                                    .sequence = test->sequence };
        struct frame_icmp_spec error = {
                .type = test->ipv6 ? FRAME_ICMPV6_TOO_BIG : FRAME_ICMP_UNREACHABLE,
                .code = test->ipv6 ? 0 : FRAME_ICMP_NEEDS_FRAGMENTATION,
                .rest = test->mtu,
                .quoted = test->quoted,
        };
        struct frame frame;
        __u32 verdict;

        frame_build(&about, &frame);
        frame_icmp_build(&frame, &error, ret);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, ret, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        /* Our stack hears of it in any case, and judges for itself. */
        EXPECT_EQUAL(ret->data[ret->layer4 + FRAME_ICMP_HEADER_LENGTH + (test->ipv6 ? 6 : 9)], FRAME_TCP);
        return true;
}

/* Our SYN at the segment, and the peer's SYN-ACK. */
static bool syns_say(struct bench *bench, bool ipv6, uint16_t mss) {
        struct frame_spec ours = { .ipv6 = ipv6, .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP };
        struct frame_spec theirs = { .ipv6 = ipv6, .udp = true, .from = FRAME_REMOTE,
                                     .flags = FRAME_SYN | FRAME_ACK, .options = FRAME_OPTIONS_MPTCP };
        struct __sk_buff context = {};
        struct frame frame;
        __u32 verdict;

        frame_build(&ours, &frame);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, &context, &verdict) == 0);
        EXPECT(bench_run(bench, BENCH_SEGMENT, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT_EQUAL(frame_get16(frame.data + frame.layer4 + MSS_AT), mss);
        EXPECT_EQUAL(frame_layer4_sum(&frame), 0xffff);
        frame_build(&theirs, &frame);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(frame.data[frame.protocol], FRAME_TCP);
        EXPECT_EQUAL(frame_get16(frame.data + frame.layer4 + MSS_AT), mss);
        EXPECT_EQUAL(frame_layer4_sum(&frame), 0xffff);
        return true;
}

static bool run_case(struct bench *bench, const struct mtu_case *test) {
        struct underpass_flow_key key;
        struct underpass_destination known;
        struct frame icmp;

        EXPECT(prepare(bench, test, &key));
        EXPECT(tell(bench, test, &icmp));
        bench_get_destination(bench, &key, BENCH_IFINDEX, &known);
        EXPECT_EQUAL(known.mtu, test->known ? test->mtu & (test->ipv6 ? ~0U : 0xffff) : 0);
        EXPECT_EQUAL(known.mtu_until_ns > bench_now(), test->known);
        EXPECT(known.mtu_until_ns <= bench_now() + UNDERPASS_PATH_MTU_SECONDS * 1000000000ULL);
        EXPECT_EQUAL(known.blocks[UNDERPASS_BLOCK_SILENCE].until + known.stripped_until_ns, 0);
        EXPECT(syns_say(bench, test->ipv6, test->mss));
        return true;
}

static bool test_cases(void *context) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                if (run_case(context, &cases[i]))
                        continue;
                fprintf(stderr, "mtu: %s\n", cases[i].name);
                return false;
        }
        return true;
}

/* A newer one replaces what was known, and after its time nothing is known. */
static bool test_time(void *context) {
        struct mtu_case test = { NULL, false, 1400, SEQUENCE, WHOLE, 1440, false, 1360, true };
        struct bench *bench = context;
        struct underpass_flow_key key;
        struct underpass_destination known;
        struct frame icmp;

        EXPECT(prepare(bench, &test, &key));
        EXPECT(tell(bench, &test, &icmp));
        test.mtu = 1300;
        EXPECT(tell(bench, &test, &icmp));
        EXPECT(syns_say(bench, false, 1260));

        EXPECT(prepare(bench, &test, &key));
        EXPECT(tell(bench, &test, &icmp));
        bench_get_destination(bench, &key, BENCH_IFINDEX, &known);
        known.mtu_until_ns = bench_now() - 1000000000;
        EXPECT(bench_put_destination(bench, &key, BENCH_IFINDEX, &known) == 0);
        EXPECT(syns_say(bench, false, 1440));
        return true;
}

/* What our stack hears of a path MTU: of IPv6, room for the outer headers of a flow in the bulk form is
 * taken off, but for less than every path takes. */
static bool test_room(void *context) {
        enum { BULK = UNDERPASS_BULK_PROVEN };
        static const struct {
                bool ipv6;
                uint32_t mtu;
                uint8_t bulk;
                uint32_t heard;
        } rooms[] = {
                { true, 1400, BULK, 1352 },        { true, 1329, BULK, 1281 },
                { true, 1328, BULK, 1280 },        { true, 1327, BULK, 1280 },
                { true, 1280, BULK, 1280 },        { true, 1400, 0, 1400 },
                { true, 65535, BULK, 65535 - 48 }, { true, 0x10000 + 1400, BULK, 0x10000 + 1400 },
                { true, 1400, BULK | UNDERPASS_BULK_NARROW, 1400 },
                { false, 1400, BULK, 1400 },
        };
        struct bench *bench = context;

        for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
                const struct mtu_case test = { NULL, rooms[i].ipv6, rooms[i].mtu, SEQUENCE, WHOLE };
                struct underpass_flow_key key;
                struct underpass_flow flow;
                struct frame icmp;

                EXPECT(prepare(bench, &test, &key));
                EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
                flow.bulk = rooms[i].bulk;
                EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
                EXPECT(tell(bench, &test, &icmp));
                EXPECT_EQUAL(frame_get32(icmp.data + icmp.layer4 + 4), rooms[i].heard);
                EXPECT_EQUAL(frame_icmp_sum(&icmp), 0xffff);
        }
        return true;
}

int programs_mtu(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "mtu: what is believed, and what becomes of the MSS", test_cases },
                { "mtu: for how long", test_time },
                { "mtu: room for the bulk form", test_room },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
