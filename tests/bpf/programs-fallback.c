/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What becomes of SYNs that get no answer over UDP, or an ICMP error for an answer: how many of them,
 * what is remembered, and for how long.
 *
 * Room: bench.h, story.h.
 */

#include "programs.h"
#include "story.h"

enum {
        AGAIN = 41000, /* our port in a connection after the first one */
        THIRD = 42000,
        OTHER_PORT = 8000,
};

#define HALF_OPEN UNDERPASS_FLOW_HALF_OPEN
#define WATCHED UNDERPASS_FLOW_WATCHED
#define TUNNELLED UNDERPASS_FLOW_TUNNELLED
#define NOWHERE STORY_NOWHERE
#define NEXT_SEQUENCE STORY_NEXT_SEQUENCE
#define MPTCP FRAME_OPTIONS_MPTCP
#define TRIED STORY_OUR_SYN(HALF_OPEN)
#define PLAIN_NOW STORY_OUR_SYN(NOWHERE)
#define TRIED_FROM(port) STORY_SYN(MPTCP, HALF_OPEN, .our_port = (port))
#define PLAIN_FROM(port) STORY_SYN(MPTCP, NOWHERE, .our_port = (port))
#define FELL_BACK STORY_OUR_SYN(WATCHED)
#define FELL_BACK_FROM(port) STORY_SYN(MPTCP, WATCHED, .our_port = (port))
#define PLAIN_ANSWER STORY_PLAIN(STORY_SYN_ACK, NEXT_SEQUENCE, MPTCP, NOWHERE)
#define PLAIN_ANSWER_TO(port)                                                                               \
        {                                                                                                   \
                .incoming = true, .plain = true, .flags = STORY_SYN_ACK, .sequence = STORY_PEER_SEQUENCE,   \
                .acknowledgment = NEXT_SEQUENCE, .options = MPTCP, .our_port = (port), .state = NOWHERE     \
        }
#define FAILED_BEFORE .failed_ms = -2000, .destination = STORY_BLOCKED
#define ANSWERED STORY_PEER(STORY_SYN_ACK, NEXT_SEQUENCE, TUNNELLED)
#define OPENED(number) { UNDERPASS_COUNTER_FLOWS_OPENED, (number) }
#define ESTABLISHED(number) { UNDERPASS_COUNTER_FLOWS_ESTABLISHED, (number) }
#define RECEIVED(number) { UNDERPASS_COUNTER_RECEIVED, (number) }
#define SILENCE(number) { UNDERPASS_COUNTER_FALLBACK_SILENCE, (number) }
#define REFUSED(number) { UNDERPASS_COUNTER_FALLBACK_REFUSED, (number) }
#define BLOCKED(number) { UNDERPASS_COUNTER_PLAIN_BLOCKED, (number) }
#define CONVERTED(number) { UNDERPASS_COUNTER_ICMP_CONVERTED, (number) }
#define DROPPED(number) { UNDERPASS_COUNTER_DROP_ICMP, (number) }
#define UNPROVEN(number) { UNDERPASS_COUNTER_DROP_UNPROVEN, (number) }

static void after(struct underpass_link *link, uint16_t syns) {
        link->flags |= UNDERPASS_LINK_FALLBACK;
        link->fallback_after = syns;
}

static void after_one(struct underpass_link *link) {
        after(link, 1);
}

static void after_two(struct underpass_link *link) {
        after(link, 2);
}

static void after_ten(struct underpass_link *link) {
        after(link, 10);
}

static void never(struct underpass_link *link) {
        link->fallback_after = 2;
}

static void any_tcp(struct underpass_link *link) {
        after(link, 2);
        link->flags &= ~(__u32) UNDERPASS_LINK_MPTCP_ONLY;
}

static const struct story silence[] = {
        { "after one SYN", false, { TRIED, FELL_BACK, FELL_BACK },
          { OPENED(1), SILENCE(1) }, after_one },
        { "after two SYNs", false, { TRIED, TRIED, FELL_BACK },
          { OPENED(2), SILENCE(1) }, after_two },
        { "after ten SYNs", false,
          { TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, FELL_BACK, FELL_BACK },
          { OPENED(10), SILENCE(1) }, after_ten },
        { "never", false,
          { TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED },
          { OPENED(12) }, never },
        { "answered at the last SYN", false, { TRIED, TRIED, ANSWERED },
          { OPENED(2), ESTABLISHED(1), RECEIVED(1) }, after_two },
        { "a retransmission without MPTCP option keeps the form", false,
          { TRIED, STORY_SYN(FRAME_OPTIONS_PLAIN, HALF_OPEN, .incoming = false), ANSWERED },
          { OPENED(2), ESTABLISHED(1), RECEIVED(1) }, after_two },
        { "it counts as one of them", false,
          { TRIED, STORY_SYN(FRAME_OPTIONS_PLAIN, HALF_OPEN, .incoming = false),
            STORY_SYN(FRAME_OPTIONS_PLAIN, WATCHED, .incoming = false) },
          { OPENED(2), SILENCE(1) }, after_two },
        { "a new SYN starts anew", false,
          { TRIED, TRIED, { .flags = FRAME_SYN, .sequence = 5, .options = MPTCP, .state = HALF_OPEN },
            { .flags = FRAME_SYN, .sequence = 5, .options = MPTCP, .state = HALF_OPEN },
            { .flags = FRAME_SYN, .sequence = 5, .options = MPTCP, .state = WATCHED } },
          { OPENED(4), SILENCE(1) }, after_two },
        { "the answer over UDP comes too late", false,
          { TRIED, FELL_BACK, STORY_PEER(STORY_SYN_ACK, NEXT_SEQUENCE, WATCHED) },
          { OPENED(1), SILENCE(1) }, after_one },
        { "the flow goes on as it is now", false,
          { TRIED, FELL_BACK, PLAIN_ANSWER,
            { .flags = FRAME_ACK, .sequence = NEXT_SEQUENCE },
            STORY_PLAIN(FRAME_ACK, NEXT_SEQUENCE, FRAME_OPTIONS_NONE, NOWHERE),
            STORY_PEER(FRAME_ACK, NEXT_SEQUENCE, NOWHERE) },
          { OPENED(1), SILENCE(1) }, after_one },
        { "without MPTCP option, any TCP", false,
          { STORY_SYN(FRAME_OPTIONS_PLAIN, HALF_OPEN, .incoming = false),
            STORY_SYN(FRAME_OPTIONS_PLAIN, HALF_OPEN, .incoming = false),
            STORY_SYN(FRAME_OPTIONS_PLAIN, WATCHED, .incoming = false) },
          { OPENED(2), SILENCE(1) }, any_tcp },
        { "switched off meanwhile", false,
          { TRIED, TRIED, STORY_SYN(MPTCP, HALF_OPEN, .tweak = never) }, { OPENED(3) }, after_two },
};

static const struct story remembered[] = {
        { "the second time: the next connection is plain at once", false,
          { TRIED, FELL_BACK, PLAIN_ANSWER, PLAIN_FROM(AGAIN) },
          { OPENED(1), SILENCE(1), BLOCKED(1) }, after_one, FAILED_BEFORE },
        { "the first time: the next connection is tried", false,
          { TRIED, FELL_BACK, PLAIN_ANSWER, TRIED_FROM(AGAIN) }, { OPENED(2), SILENCE(1) }, after_one },
        { "the same connection has failed before", false,
          { TRIED, FELL_BACK, PLAIN_ANSWER, TRIED, FELL_BACK, PLAIN_ANSWER, TRIED_FROM(AGAIN) },
          { OPENED(3), SILENCE(2) }, after_one },
        { "the same port has failed a while before", false,
          { TRIED, FELL_BACK, PLAIN_ANSWER, TRIED_FROM(AGAIN) },
          { OPENED(2), SILENCE(1) }, after_one, .failed_ms = -2000, .failed_port = FRAME_PORT_LOCAL },
        { "another one has failed just now", false, { TRIED, FELL_BACK, PLAIN_ANSWER, TRIED_FROM(AGAIN) },
          { OPENED(2), SILENCE(1) }, after_one, .failed_ms = -1 },
        { "another one has failed long ago", false, { TRIED, FELL_BACK, PLAIN_ANSWER, TRIED_FROM(AGAIN) },
          { OPENED(2), SILENCE(1) }, after_one, .failed_ms = -1000 * (UNDERPASS_BLOCKED_SECONDS_MAX + 1) },
        { "plain TCP gets no answer either", false, { TRIED, FELL_BACK, FELL_BACK, TRIED_FROM(AGAIN) },
          { OPENED(2), SILENCE(1) }, after_one, .failed_ms = -2000 },
        { "plain TCP is refused", false,
          { TRIED, FELL_BACK,
            STORY_PLAIN(FRAME_RST | FRAME_ACK, NEXT_SEQUENCE, FRAME_OPTIONS_NONE, NOWHERE),
            TRIED_FROM(AGAIN) },
          { OPENED(2), SILENCE(1) }, after_one, .failed_ms = -2000 },
        { "a forged answer to the plain SYN", false,
          { TRIED, FELL_BACK, STORY_PLAIN(STORY_SYN_ACK, STORY_OUR_SEQUENCE, MPTCP, WATCHED),
            TRIED_FROM(AGAIN) },
          { OPENED(2), SILENCE(1) }, after_one, .failed_ms = -2000 },
        { "another port of that host is another destination", false,
          { TRIED, FELL_BACK, PLAIN_ANSWER, STORY_SYN(MPTCP, HALF_OPEN, .their_port = OTHER_PORT) },
          { OPENED(2), SILENCE(1) }, after_one, FAILED_BEFORE },
        { "known from before", false, { PLAIN_NOW, PLAIN_NOW }, { BLOCKED(2) }, after_two,
          .blocked_seconds = 60, .destination = STORY_BLOCKED },
        { "known of another interface", false, { TRIED, TRIED }, { OPENED(2) }, after_two,
          .blocked_seconds = 60, .elsewhere = true },
        { "known, but no longer true", false, { TRIED, TRIED }, { OPENED(2) }, after_two,
          .blocked_seconds = -1 },
        { "no longer true, and found out again", false,
          { TRIED, TRIED, FELL_BACK, PLAIN_ANSWER, PLAIN_FROM(AGAIN) },
          { OPENED(2), SILENCE(1), BLOCKED(1) }, after_two, .blocked_seconds = -1, FAILED_BEFORE },
        { "known, but plain TCP is not allowed", false, { TRIED, TRIED, TRIED }, { OPENED(3) }, never,
          .blocked_seconds = 60, .destination = STORY_BLOCKED },
        { "a success of another connection clears it", false,
          { TRIED, TRIED_FROM(AGAIN), FELL_BACK_FROM(AGAIN), PLAIN_ANSWER_TO(AGAIN), PLAIN_FROM(THIRD),
            ANSWERED, TRIED_FROM(THIRD) },
          { OPENED(3), SILENCE(1), BLOCKED(1), ESTABLISHED(1), RECEIVED(1) }, after_one,
          .failed_ms = -2000 },
        { "a success clears a failure, too", false,
          { TRIED, ANSWERED, TRIED_FROM(AGAIN), FELL_BACK_FROM(AGAIN), PLAIN_ANSWER_TO(AGAIN),
            TRIED_FROM(THIRD) },
          { OPENED(3), SILENCE(1), ESTABLISHED(1), RECEIVED(1) }, after_one, .failed_ms = -2000 },
        { "an incoming connection says nothing about the way there", true,
          { STORY_PEER_SYN, STORY_OUR_SYN_ACK(HALF_OPEN), STORY_PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { { UNDERPASS_COUNTER_FLOWS_ACCEPTED, 1 }, ESTABLISHED(1), RECEIVED(2) }, after_two,
          .blocked_seconds = 60, .destination = STORY_BLOCKED },
};

/* How long a destination is left in peace: story_run() compares the pause. */
#define FAILS { TRIED, FELL_BACK, PLAIN_ANSWER }, { OPENED(1), SILENCE(1) }, after_one
#define BLOCKED_FOR(seconds) .pause_after = (seconds), .destination = STORY_BLOCKED
static const struct story pauses[] = {
        { "two failures: the first pause", false, FAILS, .failed_ms = -2000,
          BLOCKED_FOR(UNDERPASS_BLOCKED_SECONDS) },
        { "one more after it: twice as long", false, FAILS, .blocked_seconds = -1, .pause = 10,
          BLOCKED_FOR(20) },
        { "and again", false, FAILS, .blocked_seconds = -2, .pause = 80, BLOCKED_FOR(160) },
        { "never longer than the longest", false, FAILS, .blocked_seconds = -1, .pause = 320,
          BLOCKED_FOR(600) },
        { "the longest stays", false, FAILS, .blocked_seconds = -1, .pause = 600, BLOCKED_FOR(600) },
        { "a long time later it begins anew", false, FAILS,
          .blocked_seconds = -UNDERPASS_BLOCKED_SECONDS_MAX - 1, .pause = 600 },
        { "a refusal doubles its own pause", false,
          { TRIED, STORY_ERROR(STORY_REFUSED, STORY_DROPPED, HALF_OPEN), FELL_BACK, PLAIN_ANSWER },
          { OPENED(1), DROPPED(1), REFUSED(1) }, after_two, .blocked_seconds = -1, .pause = 40,
          .reason = UNDERPASS_BLOCK_FILTERED, BLOCKED_FOR(80) },
        { "a refusal leaves the pause of another reason", false,
          { TRIED, STORY_ERROR(STORY_REFUSED, STORY_DROPPED, HALF_OPEN), FELL_BACK, PLAIN_ANSWER },
          { OPENED(1), DROPPED(1), REFUSED(1) }, after_two, .blocked_seconds = -1, .pause = 40 },
        { "one success clears it: two failures again, and the first pause", false,
          { TRIED, ANSWERED, TRIED_FROM(AGAIN), FELL_BACK_FROM(AGAIN), PLAIN_ANSWER_TO(AGAIN),
            TRIED_FROM(THIRD) },
          { OPENED(3), SILENCE(1), ESTABLISHED(1), RECEIVED(1) }, after_one, .blocked_seconds = -1,
          .pause = 320 },
        { "another one, which began before it was blocked", false,
          { TRIED, TRIED_FROM(AGAIN), FELL_BACK, PLAIN_ANSWER, FELL_BACK_FROM(AGAIN),
            PLAIN_ANSWER_TO(AGAIN) },
          { OPENED(2), SILENCE(2) }, after_one, .failed_ms = -2000,
          BLOCKED_FOR(UNDERPASS_BLOCKED_SECONDS) },
        { "refused after all: the pause stays as it is", false,
          { TRIED, FELL_BACK,
            STORY_PLAIN(FRAME_RST | FRAME_ACK, NEXT_SEQUENCE, FRAME_OPTIONS_NONE, NOWHERE) },
          { OPENED(1), SILENCE(1) }, after_one, .blocked_seconds = -1, .pause = 40 },
};

static const struct story refusals[] = {
        { "refused: the next SYN is plain",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED, STORY_DROPPED, HALF_OPEN), FELL_BACK },
          { OPENED(1), DROPPED(1), REFUSED(1) },
          after_ten },
        { "refused, and the connection after it",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED, STORY_DROPPED, HALF_OPEN), FELL_BACK, PLAIN_ANSWER,
            PLAIN_FROM(AGAIN) },
          { OPENED(1), DROPPED(1), REFUSED(1), BLOCKED(1) },
          after_ten,
          FAILED_BEFORE,
          .reason = UNDERPASS_BLOCK_FILTERED },
        { "refused by the destination itself",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED_THERE, STORY_DROPPED, HALF_OPEN), FELL_BACK, PLAIN_ANSWER,
            PLAIN_FROM(AGAIN) },
          { OPENED(1), DROPPED(1), REFUSED(1), BLOCKED(1) },
          after_ten,
          FAILED_BEFORE,
          .reason = UNDERPASS_BLOCK_REFUSED,
          .pause_after = UNDERPASS_BLOCKED_SECONDS },
        { "the firewall of the destination is a firewall",
          false,
          { TRIED, STORY_ERROR(STORY_PROHIBITED_THERE, STORY_DROPPED, HALF_OPEN), FELL_BACK, PLAIN_ANSWER,
            PLAIN_FROM(AGAIN) },
          { OPENED(1), DROPPED(1), REFUSED(1), BLOCKED(1) },
          after_ten,
          FAILED_BEFORE,
          .reason = UNDERPASS_BLOCK_FILTERED,
          .pause_after = UNDERPASS_BLOCKED_SECONDS },
        { "a refusal and a silence are not two of a kind",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED_THERE, STORY_DROPPED, HALF_OPEN), FELL_BACK, PLAIN_ANSWER,
            TRIED_FROM(AGAIN) },
          { OPENED(2), DROPPED(1), REFUSED(1) },
          after_ten,
          .failed_ms = -2000,
          .reason = UNDERPASS_BLOCK_FILTERED },
        { "refused twice",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED, STORY_DROPPED, HALF_OPEN),
            STORY_ERROR(STORY_REFUSED, STORY_DROPPED, HALF_OPEN), FELL_BACK },
          { OPENED(1), DROPPED(2), REFUSED(1) },
          after_two },
        { "refused, eight bytes quoted: nobody else is told",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED_SHORT, STORY_DROPPED, HALF_OPEN), FELL_BACK, FELL_BACK,
            PLAIN_ANSWER, TRIED_FROM(AGAIN) },
          { OPENED(2), DROPPED(1), REFUSED(1) },
          after_two,
          .failed_ms = -2000,
          .reason = UNDERPASS_BLOCK_FILTERED },
        { "refused, and yet answered",
          false,
          { TRIED,
            STORY_ERROR(STORY_REFUSED, STORY_DROPPED, HALF_OPEN),
            ANSWERED,
            { .flags = FRAME_ACK, .sequence = NEXT_SEQUENCE, .state = TUNNELLED } },
          { OPENED(1), DROPPED(1), ESTABLISHED(1), RECEIVED(1) },
          after_two },
        { "about another packet",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED_OTHER, STORY_DROPPED, HALF_OPEN), TRIED },
          { OPENED(2), UNPROVEN(1) },
          after_two },
        { "about plain TCP",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED_PLAIN, STORY_UNTOUCHED, HALF_OPEN), TRIED },
          { OPENED(2) },
          after_two },
        { "plain TCP is not allowed: the connection is refused",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED, STORY_CONVERTED, HALF_OPEN), TRIED },
          { OPENED(2), CONVERTED(1) },
          never },
        { "not allowed, about another packet",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED_OTHER, STORY_DROPPED, HALF_OPEN) },
          { OPENED(1), UNPROVEN(1) },
          never },
        { "not allowed, eight bytes quoted",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED_SHORT, STORY_DROPPED, HALF_OPEN) },
          { OPENED(1), UNPROVEN(1) },
          never },
        { "time exceeded is no refusal",
          false,
          { TRIED, STORY_ERROR(STORY_EXCEEDED, STORY_CONVERTED, HALF_OPEN), TRIED },
          { OPENED(2), CONVERTED(1) },
          after_two },
        { "too big is no refusal",
          false,
          { TRIED, STORY_ERROR(STORY_TOO_BIG, STORY_CONVERTED, HALF_OPEN), TRIED },
          { OPENED(2), CONVERTED(1) },
          after_two },
        { "an established flow only hears of it",
          false,
          { TRIED,
            ANSWERED,
            STORY_ERROR(STORY_REFUSED_OTHER, STORY_CONVERTED, TUNNELLED),
            { .flags = FRAME_ACK, .sequence = NEXT_SEQUENCE, .state = TUNNELLED } },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1), CONVERTED(1) },
          after_two },
        { "an established flow, about the SYN that has been answered",
          false,
          { TRIED,
            ANSWERED,
            STORY_ERROR(STORY_REFUSED, STORY_DROPPED, TUNNELLED),
            { .flags = FRAME_ACK, .sequence = NEXT_SEQUENCE, .state = TUNNELLED } },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1), UNPROVEN(1) },
          after_two },
        { "a server hears of it, too",
          true,
          { STORY_PEER_SYN, STORY_OUR_SYN_ACK(HALF_OPEN),
            STORY_ERROR(STORY_REFUSED, STORY_CONVERTED, HALF_OPEN), STORY_OUR_SYN_ACK(HALF_OPEN) },
          { { UNDERPASS_COUNTER_FLOWS_ACCEPTED, 1 }, RECEIVED(1), CONVERTED(1) },
          after_two },
};

static bool test_silence(void *context) {
        return story_run_all(context, silence, sizeof(silence) / sizeof(silence[0]));
}

static bool test_remembered(void *context) {
        return story_run_all(context, remembered, sizeof(remembered) / sizeof(remembered[0]));
}

static bool test_pauses(void *context) {
        return story_run_all(context, pauses, sizeof(pauses) / sizeof(pauses[0]));
}

/* The second in which a pause ends is not of it. */
static bool run_last_second(struct bench *bench, __u32 now) {
        static const struct story story = { .server = false };
        static const struct story_step steps[] = { TRIED, FELL_BACK, PLAIN_ANSWER };
        struct underpass_destination known = { .blocks[UNDERPASS_BLOCK_SILENCE] = { .until = now,
                                                                                    .pause = 10 } };
        struct underpass_flow_key key;
        struct underpass_link link;
        struct frame frame;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        after_one(&link);
        EXPECT(bench_set_link(bench, &link) == 0);
        story_build(&story, &steps[0], false, false, &frame);
        bench_flow_key(&frame, true, &key);
        EXPECT(bench_put_destination(bench, &key, BENCH_IFINDEX, &known) == 0);
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
                EXPECT(story_run_step(bench, &story, &steps[i], false, false));
        bench_get_destination(bench, &key, BENCH_IFINDEX, &known);
        EXPECT_EQUAL(known.blocks[UNDERPASS_BLOCK_SILENCE].pause, 20);
        return true;
}

static bool test_last_second(void *context) {
        for (;;) {
                const __u32 now = (__u32) (bench_now() / 1000000000);

                if (run_last_second(context, now))
                        return true;
                if ((__u32) (bench_now() / 1000000000) == now)
                        return false;
        }
}

/* More SYNs than their counter can count. */
static bool test_many(void *context) {
        static const struct story story = { .server = false };
        static const struct story_step tried = TRIED, fell_back = STORY_SYN(MPTCP, WATCHED,
                                                                             .tweak = after_two);
        struct bench *bench = context;
        struct underpass_link link;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        never(&link);
        EXPECT(bench_set_link(bench, &link) == 0);
        for (unsigned i = 0; i < UINT8_MAX + 1; i++)
                EXPECT(story_run_step(bench, &story, &tried, false, false));
        return story_run_step(bench, &story, &fell_back, false, false);
}

static bool test_refusals(void *context) {
        return story_run_all(context, refusals, sizeof(refusals) / sizeof(refusals[0]));
}

/* A SYN whose sender has seen to it that it gets lost, and how. */
struct doubt_case {
        const char *name;
        uint8_t hops[2];      /* of the first SYN, and of the second one */
        uint8_t ipv4_options;
        bool counts;
};

static const struct doubt_case doubts[] = {
        { "an ordinary SYN", { 64, 64 }, 0, true },
        { "as few hops as reach everywhere", { 32, 32 }, 0, true },
        { "too few", { 31, 31 }, 0, false },
        { "one", { 1, 64 }, 0, false },
        { "one, at the second time", { 64, 1 }, 0, false },
        { "IPv4 options", { 64, 64 }, 8, false },
};

static bool send_syn(struct bench *bench, const struct doubt_case *test, bool ipv6, uint8_t hops,
                     __u32 expected) {
        struct frame_spec spec = { .ipv6 = ipv6, .flags = FRAME_SYN, .options = MPTCP, .sequence = 1,
                                   .ipv4_options = test->ipv4_options };
        struct frame frame;
        __u32 verdict;

        frame_build(&spec, &frame);
        frame.data[frame.layer3 + (ipv6 ? 7 : 8)] = hops;
        frame_put_checks(&frame);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, expected);
        return true;
}

/* On demand the first two SYNs are plain and the third one goes over UDP, else the other way round. */
static bool run_doubt(struct bench *bench, const struct doubt_case *test, bool ipv6, bool on_demand) {
        struct frame_spec answer = { .ipv6 = ipv6, .from = FRAME_REMOTE, .flags = STORY_SYN_ACK,
                                     .udp = on_demand, .options = MPTCP, .acknowledgment = 2 };
        __u32 first = on_demand ? BENCH_NEXT : BENCH_REDIRECT;
        struct underpass_destination known;
        struct underpass_flow_key key;
        struct underpass_link link;
        struct frame frame;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        after_two(&link);
        link.flags |= on_demand ? UNDERPASS_LINK_ON_DEMAND : 0;
        EXPECT(bench_set_link(bench, &link) == 0);
        EXPECT(send_syn(bench, test, ipv6, test->hops[0], first));
        EXPECT(send_syn(bench, test, ipv6, test->hops[1], first));
        EXPECT(send_syn(bench, test, ipv6, 64, on_demand ? BENCH_REDIRECT : BENCH_NEXT));
        frame_build(&answer, &frame);
        bench_flow_key(&frame, false, &key);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        bench_get_destination(bench, &key, BENCH_IFINDEX, &known);
        EXPECT_EQUAL((on_demand ? known.swallowed_ns : known.blocks[UNDERPASS_BLOCK_SILENCE].failed_ns) != 0,
                     test->counts);
        return true;
}

/* Anybody can have a SYN of their own get lost: that says nothing to others. */
static bool test_doubts(void *context) {
        for (size_t i = 0; i < 4 * sizeof(doubts) / sizeof(doubts[0]); i++) {
                const struct doubt_case *test = &doubts[i / 4];

                if (((i & 1) && test->ipv4_options) || run_doubt(context, test, i & 1, i & 2))
                        continue;
                fprintf(stderr, "fallback, IPv%d%s: %s\n", i & 1 ? 6 : 4, i & 2 ? ", on demand" : "",
                        test->name);
                return false;
        }
        return true;
}

int programs_fallback(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "fallback: SYNs without answer", test_silence },
                { "fallback: what is remembered of a destination", test_remembered },
                { "fallback: how long a destination is left in peace", test_pauses },
                { "fallback: the last second of a pause", test_last_second },
                { "fallback: more SYNs than can be counted", test_many },
                { "fallback: ICMP refuses a SYN", test_refusals },
                { "fallback: SYNs that get lost on purpose", test_doubts },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
