/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which received datagrams go through the GRO pair, what becomes of what comes back from it, that kinds of
 * segmentation device which lose the note in cb find the slot all the same, and whose notes are believed.
 *
 * Room: bench.h.
 */

#include <string.h>

#include "programs.h"

enum {
        /* Before and after UNDERPASS_GRO_LINGER_MS. */
        RECENT_NS = 12 * 1000000,
        LATER_NS = 33 * 1000000,
        SLACK_NS = UNDERPASS_GRO_LINGER_MS * 1000000 - RECENT_NS, /* so soon, what was recent still is */
        GUESSED = 0x12345678, /* in place of our note */
};

struct merge_case {
        const char *name;
        struct frame_spec spec;
        uint32_t slot_flags;
        uint64_t merged_ago;  /* 0: never */
        bool half_open;
        bool no_pair;
        bool merged;          /* expected */
};

#define PEER .from = FRAME_REMOTE, .udp = true, .source_port = 50000, .dest_port = 443
#define DATAGRAM(length)                                                                                    \
        { PEER, .flags = FRAME_ACK, .payload = (length), .options = FRAME_OPTIONS_TIMESTAMP }
#define WITH(flag) { PEER, .flags = (flag) }

static const struct merge_case cases[] = {
        { "bulk", DATAGRAM(1400), .merged = true },
        { "from 512 bytes on", DATAGRAM(512 - 32), .merged = true },
        { "a byte less", DATAGRAM(511 - 32) },
        { "small", DATAGRAM(1) },
        { "acknowledgment", WITH(FRAME_ACK) },
        { "small right after bulk", DATAGRAM(1), .merged_ago = RECENT_NS, .merged = true },
        { "FIN right after bulk", WITH(FRAME_ACK | FRAME_FIN), .merged_ago = RECENT_NS, .merged = true },
        { "RST right after bulk", WITH(FRAME_RST), .merged_ago = RECENT_NS, .merged = true },
        { "small some time after bulk", DATAGRAM(1), .merged_ago = LATER_NS },
        { "small, all are merged", DATAGRAM(1), .slot_flags = UNDERPASS_SLOT_GRO_ALL, .merged = true },
        { "SYN, all are merged", WITH(FRAME_SYN), .slot_flags = UNDERPASS_SLOT_GRO_ALL },
        { "bulk of a half-open flow", DATAGRAM(1400), .half_open = true },
        { "bulk without merge pair", DATAGRAM(1400), .no_pair = true },
};

static const struct bench_count received[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_RECEIVED, 1 } };

static bool prepare(struct bench *bench, const struct merge_case *test, const struct frame *frame) {
        struct underpass_slot slot = {
                .ifindex = BENCH_IFINDEX,
                .device_ifindex = BENCH_SEGMENT_IFINDEX,
                .gro_ifindex = test->no_pair ? 0 : BENCH_GRO_IFINDEX,
                .flags = test->slot_flags,
        };
        struct underpass_flow_key key;
        struct underpass_flow flow;

        EXPECT(bench_reset(bench) == 0);
        EXPECT(bench_set_slot(bench, &slot) == 0);
        bench_tunnelled(&flow);
        if (test->half_open)
                flow.state = UNDERPASS_FLOW_HALF_OPEN;
        if (test->merged_ago)
                flow.merged_ns = bench_now() - test->merged_ago;
        bench_flow_key(frame, false, &key);
        EXPECT(bench_put_flow(test->half_open ? bench->half_open : bench->flows, &key, &flow) == 0);
        return true;
}

/* A datagram comes in. On a busy machine this program may be kept waiting for longer than bulk counts as
 * recent: then another one comes. */
static bool come_in(struct bench *bench, const struct merge_case *test, const struct frame_spec *spec,
                    struct frame *ret, __u32 *ret_verdict) {
        __u64 begin;

        do {
                begin = bench_now();
                frame_build(spec, ret);
                EXPECT(prepare(bench, test, ret));
                EXPECT(bench_run(bench, spec->raw ? BENCH_INGRESS_RAW : BENCH_INGRESS, false, ret, NULL,
                                 ret_verdict) == 0);
        } while (test->merged_ago == RECENT_NS && bench_now() - begin > SLACK_NS);
        return true;
}

static bool run_case(struct bench *bench, const struct merge_case *test, bool ipv6, bool raw) {
        struct frame_spec spec = test->spec;
        struct frame frame, expected;
        __u32 verdict;

        spec.ipv6 = ipv6;
        spec.raw = raw;
        frame_build(&spec, &expected);
        frame_to_tcp(&expected);
        EXPECT(come_in(bench, test, &spec, &frame, &verdict));
        EXPECT_EQUAL(verdict, test->merged && !raw ? BENCH_REDIRECT : BENCH_NEXT);
        EXPECT(frame_equal(&frame, &expected));
        return bench_counted(bench, received);
}

static bool test_cases(void *context) {
        for (size_t i = 0; i < 4 * sizeof(cases) / sizeof(cases[0]); i++) {
                if (run_case(context, &cases[i / 4], i & 1, i & 2))
                        continue;
                fprintf(stderr, "merge: %s\n", cases[i / 4].name);
                return false;
        }
        return true;
}

/* What has gone through the GRO pair comes to its link again, as TCP: there is nothing to learn from it. */
static bool run_again(struct bench *bench, const struct merge_case *test, bool ipv6) {
        struct __sk_buff skb = { .tc_index = BENCH_SLOT };
        struct frame_spec spec = test->spec;
        struct underpass_flow flow, known;
        struct underpass_flow_key key;
        struct frame frame, tcp;
        __u32 verdict;

        spec.ipv6 = ipv6;
        EXPECT(come_in(bench, test, &spec, &frame, &verdict));
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        bench_flow_key(&frame, false, &key);
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        tcp = frame;
        EXPECT(bench_run(bench, BENCH_MERGED, false, &frame, &skb, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT_EQUAL(skb.tc_index, 0);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, &skb, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT(frame_equal(&frame, &tcp));
        EXPECT(bench_get_flow(bench->flows, &key, &known) == 0);
        EXPECT(memcmp(&flow, &known, sizeof(flow)) == 0);
        EXPECT_EQUAL(bench_flows_count(bench->half_open), 0);
        return bench_counted(bench, received);
}

static bool test_again(void *context) {
        for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
                if (!cases[i / 2].merged || run_again(context, &cases[i / 2], i & 1))
                        continue;
                fprintf(stderr, "merge, again: %s\n", cases[i / 2].name);
                return false;
        }
        return true;
}

/* A SYN that a program of ours has converted, at the other attach point, is none that came as plain TCP.
 * What somebody writes into a packet does not make a plain one look so. */
static bool test_twice(void *context) {
        static const struct __sk_buff forged[] = {
                {}, { .tc_index = BENCH_SLOT }, { .tc_index = BENCH_SLOT, .cb = { 0, GUESSED, BENCH_SLOT } },
        };
        struct frame_spec spec = { PEER, .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP };
        struct bench *bench = context;

        for (size_t i = 0; i < 1 + sizeof(forged) / sizeof(forged[0]); i++) {
                struct underpass_flow_key key;
                struct underpass_flow flow;
                struct frame frame, before;
                struct __sk_buff skb = {};
                __u32 verdict;

                EXPECT(bench_reset(bench) == 0);
                frame_build(&spec, &frame);
                bench_flow_key(&frame, false, &key);
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, &skb, &verdict) == 0);
                EXPECT_EQUAL(verdict, BENCH_NEXT);
                EXPECT_EQUAL(frame.data[frame.protocol], FRAME_TCP);
                if (i > 0)
                        skb = forged[i - 1];
                before = frame;
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, &skb, &verdict) == 0);
                EXPECT_EQUAL(verdict, BENCH_NEXT);
                EXPECT(frame_equal(&frame, &before));
                EXPECT(bench_get_flow(bench->half_open, &key, &flow) == 0);
                EXPECT_EQUAL(flow.flags, i == 0 ? 0 : UNDERPASS_FLOW_PLAIN_SYN);
        }
        return true;
}

/* The sender of a packet can write what he likes into tc_index and cb, also in another network namespace:
 * what belongs to the flow is converted all the same, and reaches no UDP socket. */
static bool test_forged(void *context) {
        static const __u32 indexes[] = { BENCH_SLOT, BENCH_SLOT + 1, UNDERPASS_LINKS_MAX + 1, 0xffff };
        struct bench *bench = context;

        for (size_t i = 0; i < 2 * sizeof(indexes) / sizeof(indexes[0]); i++) {
                struct __sk_buff skb = {
                        .tc_index = indexes[i / 2], .cb = { 0, i & 1 ? GUESSED : 0, BENCH_SLOT }
                };
                struct frame frame, expected;
                __u32 verdict;

                frame_build(&cases[0].spec, &frame);
                expected = frame;
                frame_to_tcp(&expected);
                EXPECT(prepare(bench, &cases[0], &frame));
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, &skb, &verdict) == 0);
                EXPECT_EQUAL(verdict, BENCH_REDIRECT);
                EXPECT(frame_equal(&frame, &expected));
                EXPECT(bench_counted(bench, received));
        }
        return true;
}

/* The far end of the GRO pair: back to the link of the slot, and nobody else's packets. */
static bool test_back(void *context) {
        static const struct bench_count none[BENCH_COUNTS_MAX] = {};
        static const struct bench_count foreign[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_DROP_FOREIGN, 1, true },
        };
        static const __u32 indexes[] = { 0, BENCH_SLOT, BENCH_SLOT + 1, 0xffff };
        struct bench *bench = context;

        for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
                struct frame_spec spec = { .from = FRAME_REMOTE, .flags = FRAME_ACK, .payload = 1000 };
                struct __sk_buff skb = { .tc_index = indexes[i] };
                bool ours = indexes[i] == BENCH_SLOT;
                struct frame frame, before;
                __u32 verdict;

                EXPECT(bench_reset(bench) == 0);
                frame_build(&spec, &frame);
                before = frame;
                EXPECT(bench_run(bench, BENCH_MERGED, false, &frame, &skb, &verdict) == 0);
                EXPECT_EQUAL(verdict, ours ? BENCH_REDIRECT : BENCH_DROP);
                EXPECT(frame_equal(&frame, &before));
                EXPECT(bench_counted(bench, ours ? none : foreign));
        }
        return true;
}

/* A bridge writes over cb; the slot in tc_index brings the segment to its link, with its priority. */
static bool test_segment_by_index(void *context) {
        static const struct bench_count sent[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_SENT, 1 } };
        struct frame_spec spec = { .flags = FRAME_ACK, .payload = 1000 };
        struct __sk_buff skb = { .tc_index = BENCH_SLOT, .priority = 5, .cb = { 1, 2, 3 } };
        struct bench *bench = context;
        struct frame frame, expected;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        frame_build(&spec, &frame);
        expected = frame;
        frame_to_udp(&expected);
        EXPECT(bench_run(bench, BENCH_SEGMENT, false, &frame, &skb, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT_EQUAL(skb.priority, 5);
        EXPECT(frame_equal(&frame, &expected));
        return bench_counted(bench, sent);
}

int programs_gro(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "merge: what goes through the merge pair", test_cases },
                { "merge: what has come back from it", test_again },
                { "merge: a SYN that meets two programs", test_twice },
                { "merge: notes that others have written", test_forged },
                { "merge: back to the link", test_back },
                { "merge: a hop that loses the note", test_segment_by_index },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
