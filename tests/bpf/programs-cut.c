/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Datagrams that the stack had merged, one by one behind the device that cuts them; and which single ones
 * take the same way, so that they overtake none. What goes there merged: programs-ingress.c.
 *
 * Room: bench.h.
 */

#include <string.h>

#include "programs.h"

enum {
        /* Before and after UNDERPASS_CUT_LINGER_MS; the programs' clock lags by a jiffy, 10 ms at most. */
        RECENT_NS = 12 * 1000000,
        LATER_NS = 33 * 1000000,
        SLACK_NS = UNDERPASS_CUT_LINGER_MS * 1000000 - RECENT_NS, /* so soon, what was recent still is */
};

struct cut_case {
        const char *name;
        struct frame_spec spec;
        enum underpass_flow_state state; /* 0: no flow */
        void (*mangle)(uint8_t *layer4);
        struct bench_count counts[BENCH_COUNTS_MAX];
        size_t mss_at; /* where in the layer 4 header an MSS must have been lowered; 0: nowhere */
        bool converted;
        bool dropped;
};

enum { MSS = 1300 };

#define PEER .from = FRAME_REMOTE, .udp = true, .source_port = 50000, .dest_port = 443
#define DATAGRAM PEER, .flags = FRAME_ACK, .payload = 1000, .options = FRAME_OPTIONS_TIMESTAMP
#define ESTABLISHED .state = UNDERPASS_FLOW_TUNNELLED
#define HALF_OPEN .state = UNDERPASS_FLOW_HALF_OPEN
#define CONVERTED .converted = true, .counts = { { UNDERPASS_COUNTER_RECEIVED, 1 } }
#define CONVERTED_LOWERED                                                                                   \
        .converted = true, .mss_at = 22,                                                                    \
        .counts = { { UNDERPASS_COUNTER_RECEIVED, 1 }, { UNDERPASS_COUNTER_MSS_CLAMPED, 1 } }

static void no_check(uint8_t *layer4) {
        frame_put16(layer4 + 6, 0);
}

static void longer(uint8_t *layer4) {
        frame_put16(layer4 + 4, (uint16_t) (frame_get16(layer4 + 4) + 1));
}

static void urgent(uint8_t *layer4) {
        layer4[9] |= FRAME_URG;
}

static void offset_four(uint8_t *layer4) {
        layer4[8] = 0x4f;
}

static const struct cut_case cases[] = {
        { "data", { DATAGRAM }, ESTABLISHED, CONVERTED },
        { "data, half-open", { DATAGRAM }, HALF_OPEN, CONVERTED },
        { "acknowledgment", { PEER, .flags = FRAME_ACK }, ESTABLISHED, CONVERTED },
        { "data, wrong checksum", { DATAGRAM, .jumbled_check = true }, ESTABLISHED, CONVERTED },
        { "SYN",
          { PEER, .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP },
          HALF_OPEN,
          CONVERTED_LOWERED },
        { "data, IPv4 options", { DATAGRAM, .ipv4_options = 8 }, ESTABLISHED, CONVERTED },
        { "no flow", { DATAGRAM } },
        { "SYN, no flow", { PEER, .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP } },
        { "a flow that is plain by now", { DATAGRAM }, .state = UNDERPASS_FLOW_WATCHED },
        { "no checksum", { DATAGRAM }, ESTABLISHED, .mangle = no_check },
        { "length too long", { DATAGRAM }, ESTABLISHED, .mangle = longer },
        { "URG", { DATAGRAM }, ESTABLISHED, .mangle = urgent },
        { "others' datagram", { DATAGRAM }, ESTABLISHED, .mangle = offset_four },
        { "fragment",
          { DATAGRAM, .fragment = FRAME_MORE_FRAGMENTS },
          ESTABLISHED,
          .dropped = true,
          .counts = { { UNDERPASS_COUNTER_DROP_HEADER, 1 } } },
};

static int map_of(const struct bench *bench, unsigned state) {
        return state == UNDERPASS_FLOW_TUNNELLED ? bench->flows : bench->half_open;
}

static bool put_flow(struct bench *bench, const struct frame *frame, struct underpass_flow *flow) {
        struct underpass_flow_key key;

        bench_flow_key(frame, false, &key);
        return bench_put_flow(map_of(bench, flow->state), &key, flow) == 0;
}

static bool prepare(struct bench *bench, const struct cut_case *test, const struct frame *frame) {
        struct underpass_slot slot = {
                .ifindex = BENCH_IFINDEX,
                .device_ifindex = BENCH_SEGMENT_IFINDEX,
                .gro_ifindex = BENCH_GRO_IFINDEX,
        };
        struct underpass_flow flow;
        struct underpass_link link;

        EXPECT(bench_reset(bench) == 0);
        EXPECT(bench_set_slot(bench, &slot) == 0);
        bench_default_link(&link);
        link.mss_ipv4 = link.mss_ipv6 = MSS;
        EXPECT(bench_set_link(bench, &link) == 0);
        bench_tunnelled(&flow);
        flow.state = (__u8) test->state;
        EXPECT(test->state == 0 || put_flow(bench, frame, &flow));
        return true;
}

/* Behind the device: TCP, or just as it came and without our number. */
static bool run_case(struct bench *bench, const struct cut_case *test, bool ipv6) {
        struct __sk_buff skb = { .tc_index = BENCH_SLOT };
        struct frame_spec spec = test->spec;
        struct frame frame, expected;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        __u32 verdict;

        spec.ipv6 = ipv6;
        frame_build(&spec, &frame);
        if (test->mangle)
                test->mangle(frame.data + frame.layer4);
        EXPECT(prepare(bench, test, &frame));
        expected = frame;
        if (test->mss_at)
                frame_put16(expected.data + expected.layer4 + test->mss_at, MSS);
        if (test->converted)
                frame_to_tcp(&expected);
        EXPECT(bench_run(bench, BENCH_SEGMENT, false, &frame, &skb, &verdict) == 0);
        EXPECT_EQUAL(verdict, test->dropped ? BENCH_DROP : BENCH_REDIRECT);
        EXPECT(bench_counted(bench, test->counts));
        if (!test->spec.jumbled_check)
                EXPECT(frame_equal(&frame, &expected));
        if (!test->converted)
                return true;
        EXPECT_EQUAL(frame_layer4_sum(&frame) == 0xffff, !test->spec.jumbled_check);
        bench_flow_key(&frame, false, &key);
        EXPECT(bench_get_flow(map_of(bench, test->state), &key, &flow) == 0);
        EXPECT_EQUAL(flow.received, 1);
        return true;
}

static bool test_cases(void *context) {
        for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
                const struct cut_case *test = &cases[i / 2];

                if (i % 2 == 1 && (test->spec.ipv4_options || test->spec.fragment))
                        continue;
                if (run_case(context, test, i & 1))
                        continue;
                fprintf(stderr, "cut: %s\n", test->name);
                return false;
        }
        return true;
}

/* Without a GRO pair the link itself gets them. */
static bool test_no_pair(void *context) {
        static const struct bench_count received[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_RECEIVED, 1 } };
        struct underpass_slot slot = { .ifindex = BENCH_IFINDEX, .device_ifindex = BENCH_SEGMENT_IFINDEX };
        struct __sk_buff skb = { .tc_index = BENCH_SLOT };
        struct frame_spec spec = { DATAGRAM };
        struct bench *bench = context;
        struct frame frame, expected;
        __u32 verdict;

        frame_build(&spec, &frame);
        EXPECT(prepare(bench, &cases[0], &frame));
        EXPECT(bench_set_slot(bench, &slot) == 0);
        expected = frame;
        frame_to_tcp(&expected);
        EXPECT(bench_run(bench, BENCH_SEGMENT, false, &frame, &skb, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT(frame_equal(&frame, &expected));
        return bench_counted(bench, received);
}

/* A SYN that is TCP now comes to its link once more: it is none that the peer has sent as such. */
static bool test_syn_comes_back(void *context) {
        static const struct cut_case syn = {
                "SYN", { PEER, .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP }, HALF_OPEN,
        };
        struct __sk_buff skb = { .tc_index = BENCH_SLOT };
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct bench *bench = context;
        struct frame frame;
        __u32 verdict;

        frame_build(&syn.spec, &frame);
        EXPECT(prepare(bench, &syn, &frame));
        bench_flow_key(&frame, false, &key);
        EXPECT(bench_run(bench, BENCH_SEGMENT, false, &frame, &skb, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, &skb, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT(bench_get_flow(bench->half_open, &key, &flow) == 0);
        EXPECT_EQUAL(flow.flags, 0);
        /* One that has: */
        skb = (struct __sk_buff) {};
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, &skb, &verdict) == 0);
        EXPECT(bench_get_flow(bench->half_open, &key, &flow) == 0);
        EXPECT_EQUAL(flow.flags, UNDERPASS_FLOW_PLAIN_SYN);
        return true;
}

/* A single datagram so long after a merged one of its flow; 0: there was none. */
static bool single(struct bench *bench, __u64 ago, bool raw, bool ipv6, bool follows) {
        static const struct bench_count received[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_RECEIVED, 1 } };
        static const struct bench_count none[BENCH_COUNTS_MAX] = {};
        struct frame_spec spec = { PEER, .flags = FRAME_ACK, .ipv6 = ipv6, .raw = raw };
        size_t added = follows && raw ? 14 : 0;
        struct underpass_flow flow;
        struct frame frame, before;
        __u32 verdict;

        frame_build(&spec, &frame);
        before = frame;
        EXPECT(prepare(bench, &cases[0], &frame));
        bench_tunnelled(&flow);
        flow.cut_ns = ago ? bench_now() - ago : 0;
        EXPECT(put_flow(bench, &frame, &flow));
        EXPECT(bench_run(bench, raw ? BENCH_INGRESS_RAW : BENCH_INGRESS, false, &frame, NULL, &verdict) ==
               0);
        EXPECT_EQUAL(verdict, follows ? BENCH_REDIRECT : BENCH_NEXT);
        EXPECT(bench_counted(bench, follows ? none : received));
        EXPECT_EQUAL(frame.length, before.length + added);
        if (follows)
                EXPECT(memcmp(frame.data + added, before.data, before.length) == 0);
        return true;
}

/* A busy machine may keep this program waiting until what was recent no longer is: then once more. */
static bool single_in_time(struct bench *bench, bool raw, bool ipv6) {
        __u64 begin;
        bool passed;

        do {
                begin = bench_now();
                passed = single(bench, RECENT_NS, raw, ipv6, true);
        } while (!passed && bench_now() - begin > SLACK_NS);
        return passed;
}

static bool test_singles(void *context) {
        for (unsigned i = 0; i < 4; i++) {
                EXPECT(single(context, 0, i & 1, i & 2, false));
                EXPECT(single_in_time(context, i & 1, i & 2));
                EXPECT(single(context, LATER_NS, i & 1, i & 2, false));
        }
        return true;
}

/* What cannot become TCP does not go there again, or it would come back for ever. */
static bool test_no_circle(void *context) {
        static const struct bench_count malformed[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_DROP_MALFORMED, 1 },
        };
        struct frame_spec spec = { DATAGRAM };
        struct bench *bench = context;
        struct underpass_flow flow;
        struct frame frame;
        __u32 verdict;

        frame_build(&spec, &frame);
        no_check(frame.data + frame.layer4);
        EXPECT(prepare(bench, &cases[0], &frame));
        bench_tunnelled(&flow);
        flow.cut_ns = bench_now();
        EXPECT(put_flow(bench, &frame, &flow));
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_DROP);
        return bench_counted(bench, malformed);
}

/*
 * Neither does what looks like bulk over IPv6 and is none: it is sent to be cut, where it is dropped. A
 * classic segment that only looks so is one.
 */
static bool run_no_circle_of_bulk(struct bench *bench, void (*mangle)(uint8_t *layer4)) {
        struct frame_spec spec = { PEER, .flags = FRAME_ACK, .payload = 1000, .ipv6 = true,
                                   .sequence = FRAME_TCP << 8 };
        struct underpass_slot slot = { .ifindex = BENCH_IFINDEX, .device_ifindex = BENCH_SEGMENT_IFINDEX,
                                       .flags = UNDERPASS_SLOT_BULK };
        struct __sk_buff skb = { .tc_index = BENCH_SLOT };
        struct underpass_flow flow;
        struct frame frame;
        __u32 verdict;

        frame_build(&spec, &frame);
        frame.data[frame.layer4 + 8] = 6 << 4; /* with four bytes of options */
        if (mangle)
                mangle(frame.data + frame.layer4);
        EXPECT(prepare(bench, &cases[0], &frame));
        EXPECT(bench_set_slot(bench, &slot) == 0);
        bench_tunnelled(&flow);
        flow.cut_ns = bench_now() + 1000000000; /* it has not been so long, however busy the machine is */
        EXPECT(put_flow(bench, &frame, &flow));
        EXPECT(bench_run(bench, BENCH_SEGMENT, false, &frame, &skb, &verdict) == 0);
        EXPECT_EQUAL(verdict, mangle ? BENCH_DROP : BENCH_REDIRECT);
        return bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {
                                            { mangle ? UNDERPASS_COUNTER_DROP_MALFORMED :
                                                       UNDERPASS_COUNTER_RECEIVED, 1 }, {} });
}

static bool test_no_circle_of_bulk(void *context) {
        EXPECT(run_no_circle_of_bulk(context, NULL));
        EXPECT(run_no_circle_of_bulk(context, no_check));
        EXPECT(run_no_circle_of_bulk(context, longer));
        EXPECT(run_no_circle_of_bulk(context, urgent));
        return true;
}

int programs_cut(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "cut: one of merged datagrams", test_cases },
                { "cut: no GRO pair", test_no_pair },
                { "cut: a SYN comes back to its link", test_syn_comes_back },
                { "cut: single ones behind merged ones", test_singles },
                { "cut: no circle", test_no_circle },
                { "cut: no circle of bulk", test_no_circle_of_bulk },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
