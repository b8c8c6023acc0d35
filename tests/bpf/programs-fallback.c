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
#define TUNNELLED UNDERPASS_FLOW_TUNNELLED
#define NOWHERE STORY_NOWHERE
#define NEXT_SEQUENCE STORY_NEXT_SEQUENCE
#define MPTCP FRAME_OPTIONS_MPTCP
#define TRIED STORY_OUR_SYN(HALF_OPEN)
#define PLAIN_NOW STORY_OUR_SYN(NOWHERE)
#define TRIED_FROM(port) STORY_SYN(MPTCP, HALF_OPEN, .our_port = (port))
#define PLAIN_FROM(port) STORY_SYN(MPTCP, NOWHERE, .our_port = (port))
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
        { "after one SYN", false, { TRIED, PLAIN_NOW, PLAIN_NOW },
          { OPENED(1), SILENCE(1), BLOCKED(1) }, after_one, .destination = STORY_BLOCKED },
        { "after two SYNs", false, { TRIED, TRIED, PLAIN_NOW },
          { OPENED(2), SILENCE(1) }, after_two, .destination = STORY_BLOCKED },
        { "after ten SYNs", false,
          { TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, TRIED, PLAIN_NOW, PLAIN_NOW },
          { OPENED(10), SILENCE(1), BLOCKED(1) }, after_ten, .destination = STORY_BLOCKED },
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
            STORY_SYN(FRAME_OPTIONS_PLAIN, NOWHERE, .incoming = false) },
          { OPENED(2), SILENCE(1) }, after_two, .destination = STORY_BLOCKED },
        { "a new SYN starts anew", false,
          { TRIED, TRIED, { .flags = FRAME_SYN, .sequence = 5, .options = MPTCP, .state = HALF_OPEN },
            { .flags = FRAME_SYN, .sequence = 5, .options = MPTCP, .state = HALF_OPEN },
            { .flags = FRAME_SYN, .sequence = 5, .options = MPTCP, .state = NOWHERE } },
          { OPENED(4), SILENCE(1) }, after_two, .destination = STORY_BLOCKED },
        { "the answer over UDP comes too late", false,
          { TRIED, PLAIN_NOW, STORY_PEER(STORY_SYN_ACK, NEXT_SEQUENCE, NOWHERE) },
          { OPENED(1), SILENCE(1) }, after_one, .destination = STORY_BLOCKED },
        { "the flow goes on as it is now", false,
          { TRIED, PLAIN_NOW, STORY_PLAIN(STORY_SYN_ACK, NEXT_SEQUENCE, MPTCP, NOWHERE),
            { .flags = FRAME_ACK, .sequence = NEXT_SEQUENCE },
            STORY_PLAIN(FRAME_ACK, NEXT_SEQUENCE, FRAME_OPTIONS_NONE, NOWHERE),
            STORY_PEER(FRAME_ACK, NEXT_SEQUENCE, NOWHERE) },
          { OPENED(1), SILENCE(1) }, after_one, .destination = STORY_BLOCKED },
        { "without MPTCP option, any TCP", false,
          { STORY_SYN(FRAME_OPTIONS_PLAIN, HALF_OPEN, .incoming = false),
            STORY_SYN(FRAME_OPTIONS_PLAIN, HALF_OPEN, .incoming = false),
            STORY_SYN(FRAME_OPTIONS_PLAIN, NOWHERE, .incoming = false) },
          { OPENED(2), SILENCE(1) }, any_tcp, .destination = STORY_BLOCKED },
        { "switched off meanwhile", false,
          { TRIED, TRIED, STORY_SYN(MPTCP, HALF_OPEN, .tweak = never) }, { OPENED(3) }, after_two },
};

static const struct story remembered[] = {
        { "the next connection is plain at once", false, { TRIED, PLAIN_NOW, PLAIN_FROM(AGAIN) },
          { OPENED(1), SILENCE(1), BLOCKED(1) }, after_one, .destination = STORY_BLOCKED },
        { "another port of that host is another destination", false,
          { TRIED, PLAIN_NOW, STORY_SYN(MPTCP, HALF_OPEN, .their_port = OTHER_PORT) },
          { OPENED(2), SILENCE(1) }, after_one, .destination = STORY_BLOCKED },
        { "known from before", false, { PLAIN_NOW, PLAIN_NOW }, { BLOCKED(2) }, after_two,
          .blocked_seconds = 60, .destination = STORY_BLOCKED },
        { "known of another interface", false, { TRIED, TRIED }, { OPENED(2) }, after_two,
          .blocked_seconds = 60, .elsewhere = true },
        { "known, but no longer true", false, { TRIED, TRIED }, { OPENED(2) }, after_two,
          .blocked_seconds = -1 },
        { "no longer true, and found out again", false, { TRIED, TRIED, PLAIN_NOW, PLAIN_FROM(AGAIN) },
          { OPENED(2), SILENCE(1), BLOCKED(1) }, after_two, .blocked_seconds = -1,
          .destination = STORY_BLOCKED },
        { "known, but plain TCP is not allowed", false, { TRIED, TRIED, TRIED }, { OPENED(3) }, never,
          .blocked_seconds = 60, .destination = STORY_BLOCKED },
        { "a success of another connection clears it", false,
          { TRIED, TRIED_FROM(AGAIN), PLAIN_FROM(AGAIN), ANSWERED, TRIED_FROM(THIRD) },
          { OPENED(3), SILENCE(1), ESTABLISHED(1), RECEIVED(1) }, after_one },
        { "an incoming connection says nothing about the way there", true,
          { STORY_PEER_SYN, STORY_OUR_SYN_ACK(HALF_OPEN), STORY_PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { { UNDERPASS_COUNTER_FLOWS_ACCEPTED, 1 }, ESTABLISHED(1), RECEIVED(2) }, after_two,
          .blocked_seconds = 60, .destination = STORY_BLOCKED },
};

static const struct story refusals[] = {
        { "refused: the next SYN is plain",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED, STORY_DROPPED, HALF_OPEN), PLAIN_NOW },
          { OPENED(1), DROPPED(1), REFUSED(1) },
          after_ten,
          .destination = STORY_BLOCKED },
        { "refused, and the connection after it",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED, STORY_DROPPED, HALF_OPEN), PLAIN_NOW, PLAIN_FROM(AGAIN) },
          { OPENED(1), DROPPED(1), REFUSED(1), BLOCKED(1) },
          after_ten,
          .destination = STORY_BLOCKED },
        { "refused twice",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED, STORY_DROPPED, HALF_OPEN),
            STORY_ERROR(STORY_REFUSED, STORY_DROPPED, HALF_OPEN), PLAIN_NOW },
          { OPENED(1), DROPPED(2), REFUSED(1) },
          after_two,
          .destination = STORY_BLOCKED },
        { "refused, eight bytes quoted: nobody else is told",
          false,
          { TRIED, STORY_ERROR(STORY_REFUSED_SHORT, STORY_DROPPED, HALF_OPEN), PLAIN_NOW,
            TRIED_FROM(AGAIN) },
          { OPENED(2), DROPPED(1), REFUSED(1) },
          after_two },
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

static bool test_refusals(void *context) {
        return story_run_all(context, refusals, sizeof(refusals) / sizeof(refusals[0]));
}

int programs_fallback(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "fallback: SYNs without answer", test_silence },
                { "fallback: what is remembered of a destination", test_remembered },
                { "fallback: ICMP refuses a SYN", test_refusals },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
