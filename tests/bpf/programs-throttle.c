/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Destinations to which much of UDP gets lost: which seconds of a flow are bad, and what is remembered.
 *
 * Room: bench.h.
 */

#include "programs.h"

enum {
        SEQUENCE = 0x00001000,
        PROGRESS = 500000, /* bytes in a second */
        MUCH = PROGRESS / 20,
        LITTLE = PROGRESS / 30,
        SECOND_SHIFT = 30,
};

/* The last second in which something was sent again, and the segment that opens the next one. */
struct throttle_case {
        const char *name;
        uint32_t ago;         /* seconds */
        uint32_t bytes;       /* sent again in it */
        uint32_t progress;
        uint8_t bad;          /* seconds in a row before it */
        bool fresh;           /* the segment is sent for the first time */
        uint8_t then;         /* bad seconds afterwards */
        bool throttled;
};

static const struct throttle_case cases[] = {
        { "the first bad second", 1, MUCH, PROGRESS, 0, false, 1, false },
        { "the second one", 1, MUCH, PROGRESS, 1, false, 2, false },
        { "the third one", 1, MUCH, PROGRESS, 2, false, 0, true },
        { "a good one between", 1, LITTLE, PROGRESS, 2, false, 0, false },
        { "a second without any loss between", 2, MUCH, PROGRESS, 2, false, 0, false },
        { "a second is not over", 0, MUCH, PROGRESS, 2, false, 2, false },
        { "hardly a stream", 1, 9000, 20000, 2, false, 0, false },
        { "nothing gets through", 1, MUCH, 0, 2, false, 0, true },
        { "sent for the first time", 1, MUCH, PROGRESS, 2, true, 2, false },
};

static bool run_case(struct bench *bench, const struct throttle_case *test, bool ipv6) {
        struct frame_spec spec = { .ipv6 = ipv6, .flags = FRAME_ACK, .sequence = SEQUENCE, .payload = 1400 };
        struct underpass_destination known = { .stripped_until_ns = bench_now() + 1000000000 };
        const uint64_t stripped = known.stripped_until_ns;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;
        struct __sk_buff context = {};
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        bench_tunnelled(&flow);
        flow.expected = SEQUENCE - 1400; /* not what the peer waits for: that is another matter */
        flow.next = test->fresh ? SEQUENCE : SEQUENCE + 20000;
        flow.resent_next = flow.next - test->progress;
        flow.resent_second = (uint16_t) ((bench_now() >> SECOND_SHIFT) - test->ago);
        flow.resent_bytes = test->bytes;
        flow.bad_seconds = test->bad;
        frame_build(&spec, &frame);
        bench_flow_key(&frame, true, &key);
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        EXPECT(bench_put_destination(bench, &key, BENCH_IFINDEX, &known) == 0);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.bad_seconds, test->then);
        bench_get_destination(bench, &key, BENCH_IFINDEX, &known);
        EXPECT_EQUAL(known.throttled_until_ns > bench_now(), test->throttled);
        /* An on-demand link looks anew whether it needs the tunnel. */
        EXPECT_EQUAL(known.stripped_until_ns, test->throttled ? 0 : stripped);
        return bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {
                                            { UNDERPASS_COUNTER_THROTTLED, test->throttled }, {} });
}

static bool test_cases(void *context) {
        for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
                uint64_t second = bench_now() >> SECOND_SHIFT;

                if (run_case(context, &cases[i / 2], i % 2))
                        continue;
                /* A second that ended meanwhile was another case. */
                if (bench_now() >> SECOND_SHIFT != second && run_case(context, &cases[i / 2], i % 2))
                        continue;
                fprintf(stderr, "throttle: %s\n", cases[i / 2].name);
                return false;
        }
        return true;
}

int programs_throttle(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "throttle: destinations to which much gets lost", test_cases },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
