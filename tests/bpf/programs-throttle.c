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
        LEAST = 16384,     /* bytes that a stream sends again */
        SHARE = 25,
        SECOND_SHIFT = 30,
        SECONDS = 600,     /* for which it is remembered */
        DATA = 1400,
        TRIES_MAX = 10,    /* a second ends in few of them */
};

#define NANOSECONDS 1000000000ULL

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
        bool bare;            /* the segment has no data */
        bool half_open;       /* the peer has not acknowledged our SYN-ACK yet */
        bool wraps;           /* what is sent next has a number behind 0, and it one before */
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
        { "an acknowledgment without data", 1, MUCH, PROGRESS, 2, .bare = true, .then = 2 },
        { "before the handshake is done", 1, MUCH, PROGRESS, 2, .half_open = true, .then = 2 },
        { "numbers begin anew", 1, MUCH, PROGRESS, 2, .wraps = true, .throttled = true },
        { "just no stream", 1, LEAST - 1, 20000, 2, .then = 0 },
        { "just a stream", 1, LEAST, 20000, 2, .throttled = true },
        { "just too little of it", 1, MUCH, MUCH * SHARE, 2, .then = 0 },
        { "just enough of it", 1, MUCH, MUCH * SHARE - SHARE, 2, .throttled = true },
};

/* The new second has begun with this segment, or the old one goes on. */
static bool is_noted(const struct throttle_case *test, const struct underpass_flow *before,
                     const struct underpass_flow *flow) {
        const bool counts = !test->fresh && !test->bare && !test->half_open;
        const bool begins = counts && test->ago != 0;

        EXPECT_EQUAL((uint16_t) (flow->resent_second - before->resent_second), begins ? test->ago : 0);
        EXPECT_EQUAL(flow->resent_bytes, (begins ? 0 : before->resent_bytes) + (counts ? DATA : 0));
        EXPECT_EQUAL(flow->resent_next, begins ? before->next : before->resent_next);
        return true;
}

static bool run_case(struct bench *bench, const struct throttle_case *test, bool ipv6, bool known_before) {
        const uint32_t sequence = test->wraps ? (uint32_t) -DATA - 100 : SEQUENCE;
        struct frame_spec spec = { .ipv6 = ipv6, .flags = FRAME_ACK, .sequence = sequence,
                                   .payload = test->bare ? 0 : DATA };
        struct underpass_destination known = { .stripped_until_ns = bench_now() + 1000000000 };
        const uint64_t stripped = known.stripped_until_ns;
        struct underpass_flow_key key;
        struct underpass_flow flow, before;
        struct frame frame;
        struct __sk_buff context = {};
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        bench_tunnelled(&flow);
        flow.expected = sequence - DATA; /* not what the peer waits for: that is another matter */
        flow.next = test->fresh || test->bare ? sequence : sequence + 20000;
        flow.resent_next = flow.next - test->progress;
        flow.resent_second = (uint16_t) ((bench_now() >> SECOND_SHIFT) - test->ago);
        flow.resent_bytes = test->bytes;
        flow.bad_seconds = test->bad;
        if (test->half_open) {
                flow.state = UNDERPASS_FLOW_HALF_OPEN;
                flow.flags = UNDERPASS_FLOW_ANSWERED;
        }
        before = flow;
        frame_build(&spec, &frame);
        bench_flow_key(&frame, true, &key);
        EXPECT(bench_put_flow(test->half_open ? bench->half_open : bench->flows, &key, &flow) == 0);
        if (known_before)
                EXPECT(bench_put_destination(bench, &key, BENCH_IFINDEX, &known) == 0);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT(bench_get_flow(test->half_open ? bench->half_open : bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.bad_seconds, test->then);
        EXPECT(is_noted(test, &before, &flow));
        bench_get_destination(bench, &key, BENCH_IFINDEX, &known);
        EXPECT_EQUAL(known.throttled_until_ns > bench_now() + (SECONDS - 10) * NANOSECONDS, test->throttled);
        EXPECT(known.throttled_until_ns <= bench_now() + SECONDS * NANOSECONDS);
        /* An on-demand link looks anew whether it needs the tunnel. */
        EXPECT_EQUAL(known.stripped_until_ns, test->throttled || !known_before ? 0 : stripped);
        return bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {
                                            { UNDERPASS_COUNTER_THROTTLED, test->throttled }, {} });
}

static bool test_cases(void *context) {
        for (size_t i = 0; i < 4 * sizeof(cases) / sizeof(cases[0]); i++) {
                uint64_t second = bench_now() >> SECOND_SHIFT;

                if (run_case(context, &cases[i / 4], i & 1, i & 2))
                        continue;
                /* A second that ended meanwhile was another case. */
                if (bench_now() >> SECOND_SHIFT != second && run_case(context, &cases[i / 4], i & 1, i & 2))
                        continue;
                fprintf(stderr, "throttle: %s\n", cases[i / 4].name);
                return false;
        }
        return true;
}

/* Another flow to there has found out before: the tunnel that has been wanted since stays. */
static bool test_known(void *context) {
        const struct throttle_case *test = &cases[2];
        const uint64_t soon = bench_now() + 1000000000;
        const struct underpass_destination known = { .throttled_until_ns = soon, .stripped_until_ns = soon };
        const struct frame_spec spec = { .flags = FRAME_ACK, .sequence = SEQUENCE, .payload = DATA };
        struct bench *bench = context;
        struct underpass_destination then;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;
        unsigned tries = 0;
        __u32 verdict;

        frame_build(&spec, &frame);
        bench_flow_key(&frame, true, &key);
        do {
                EXPECT(tries++ < TRIES_MAX);
                EXPECT(bench_reset(bench) == 0);
                bench_tunnelled(&flow);
                flow.expected = SEQUENCE - DATA;
                flow.next = SEQUENCE + 20000;
                flow.resent_next = flow.next - test->progress;
                flow.resent_second = (uint16_t) ((bench_now() >> SECOND_SHIFT) - test->ago);
                flow.resent_bytes = test->bytes;
                flow.bad_seconds = test->bad;
                EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
                EXPECT(bench_put_destination(bench, &key, BENCH_IFINDEX, &known) == 0);
                frame_build(&spec, &frame);
                EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, NULL, &verdict) == 0);
                EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        } while (flow.bad_seconds != test->then); /* a second ended meanwhile */
        bench_get_destination(bench, &key, BENCH_IFINDEX, &then);
        EXPECT(then.throttled_until_ns > soon);
        EXPECT_EQUAL(then.stripped_until_ns, soon);
        return true;
}

int programs_throttle(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "throttle: destinations to which much gets lost", test_cases },
                { "throttle: one of which that is known", test_known },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
