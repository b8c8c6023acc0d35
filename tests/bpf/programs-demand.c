/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * tunnel = on-demand: connections are plain and watched, until one shows that MPTCP options do not get
 * through.
 *
 * Room: bench.h, story.h.
 */

#include <errno.h>
#include <string.h>

#include "programs.h"
#include "story.h"

enum {
        AGAIN = 41000, /* our port in a connection after the first one */
        THIRD = 42000,
        OTHER_PORT = 8000,
};

#define WATCHED UNDERPASS_FLOW_WATCHED
#define HALF_OPEN UNDERPASS_FLOW_HALF_OPEN
#define TUNNELLED UNDERPASS_FLOW_TUNNELLED
#define NOWHERE STORY_NOWHERE
#define NEXT_SEQUENCE STORY_NEXT_SEQUENCE
#define MPTCP FRAME_OPTIONS_MPTCP
#define JOIN FRAME_OPTIONS_JOIN
#define NOT_MPTCP(number) { UNDERPASS_COUNTER_PLAIN_NOT_MPTCP, (number) }
#define STRIPPED_OPTIONS FRAME_OPTIONS_PLAIN
#define SYN STORY_OUR_SYN(WATCHED)
#define JOIN_SYN STORY_SYN(JOIN, WATCHED, .incoming = false)
#define SYN_FROM(port, after) STORY_SYN(MPTCP, after, .our_port = (port))
#define ANSWER(with, after) STORY_PLAIN(STORY_SYN_ACK, NEXT_SEQUENCE, with, after)
#define ANSWER_WITH(with, port)                                                                             \
        {                                                                                                   \
                .incoming = true, .plain = true, .flags = STORY_SYN_ACK, .sequence = STORY_PEER_SEQUENCE,   \
                .acknowledgment = NEXT_SEQUENCE, .options = (with), .our_port = (port), .state = NOWHERE    \
        }
#define ANSWER_TO(port) ANSWER_WITH(MPTCP, port)
/* The SYN that leaves over UDP, when those before it got no answer, and what comes back to it. */
#define TRIES STORY_OUR_SYN(HALF_OPEN)
#define TRIES_JOIN STORY_SYN(JOIN, HALF_OPEN, .incoming = false)
#define UDP_ANSWER STORY_PEER(STORY_SYN_ACK, NEXT_SEQUENCE, TUNNELLED)
#define RESET(after) STORY_PLAIN(FRAME_RST | FRAME_ACK, NEXT_SEQUENCE, FRAME_OPTIONS_NONE, after)
#define UNTOUCHED(kind, number)                                                                             \
        {                                                                                                   \
                .incoming = true, .flags = (kind), .sequence = STORY_PEER_SEQUENCE,                         \
                .acknowledgment = (number), .state = WATCHED, .fate = STORY_UNTOUCHED                       \
        }
#define STAYS_PLAIN(kind) { .flags = (kind), .sequence = NEXT_SEQUENCE, .state = WATCHED }
#define WATCHES(number) { UNDERPASS_COUNTER_PLAIN_ON_DEMAND, (number) }
#define LACKING(number) { UNDERPASS_COUNTER_LACKING, (number) }
#define STRIPPED(number) { UNDERPASS_COUNTER_STRIPPED, (number) }
#define OPENED(number) { UNDERPASS_COUNTER_FLOWS_OPENED, (number) }
#define ESTABLISHED(number) { UNDERPASS_COUNTER_FLOWS_ESTABLISHED, (number) }
#define RECEIVED(number) { UNDERPASS_COUNTER_RECEIVED, (number) }

static void on_demand(struct underpass_link *link) {
        link->flags |= UNDERPASS_LINK_ON_DEMAND | UNDERPASS_LINK_FALLBACK;
        link->fallback_after = 2;
}

static void without_fallback(struct underpass_link *link) {
        on_demand(link);
        link->flags &= ~(__u32) UNDERPASS_LINK_FALLBACK;
}

static void always(struct underpass_link *link) {
        link->flags |= UNDERPASS_LINK_FALLBACK;
        link->fallback_after = 2;
}

static const struct story answers[] = {
        { "the option comes back", false,
          { SYN, ANSWER(MPTCP, NOWHERE), { .flags = FRAME_ACK, .sequence = NEXT_SEQUENCE },
            SYN_FROM(AGAIN, WATCHED) },
          { WATCHES(2) }, on_demand },
        { "it does not come back: the server has no MPTCP, and is not watched", false,
          { SYN, ANSWER(STRIPPED_OPTIONS, NOWHERE), { .flags = FRAME_ACK, .sequence = NEXT_SEQUENCE },
            SYN_FROM(AGAIN, NOWHERE) },
          { WATCHES(2), LACKING(1) }, on_demand, .destination = STORY_LACKING },
        { "another port of that host is another server", false,
          { SYN, ANSWER(STRIPPED_OPTIONS, NOWHERE), STORY_SYN(MPTCP, WATCHED, .their_port = OTHER_PORT) },
          { WATCHES(2), LACKING(1) }, on_demand, .destination = STORY_LACKING },
        { "it has MPTCP: the next connection is tunnelled", false,
          { SYN, ANSWER(STRIPPED_OPTIONS, NOWHERE), { .flags = FRAME_ACK, .sequence = NEXT_SEQUENCE },
            SYN_FROM(AGAIN, HALF_OPEN) },
          { WATCHES(1), STRIPPED(1), OPENED(1) }, on_demand, .speaks = true, .destination = STORY_STRIPPED },
        { "it has shown that it has", false,
          { SYN_FROM(THIRD, WATCHED), ANSWER_TO(THIRD), SYN, ANSWER(STRIPPED_OPTIONS, NOWHERE),
            SYN_FROM(AGAIN, HALF_OPEN) },
          { WATCHES(2), STRIPPED(1), OPENED(1) }, on_demand, .destination = STORY_STRIPPED },
        { "it has shown so to a subflow", false,
          { STORY_SYN(JOIN, WATCHED, .our_port = THIRD), ANSWER_TO(THIRD), SYN,
            ANSWER(STRIPPED_OPTIONS, NOWHERE) },
          { WATCHES(2), STRIPPED(1) }, on_demand, .destination = STORY_STRIPPED },
        { "the option has visibly been overwritten", false,
          { SYN, ANSWER(FRAME_OPTIONS_OVERWRITTEN, NOWHERE), SYN_FROM(AGAIN, HALF_OPEN) },
          { WATCHES(1), STRIPPED(1), OPENED(1) }, on_demand, .destination = STORY_STRIPPED },
        { "overwritten by as many NOPs as it had bytes", false,
          { SYN, ANSWER(FRAME_OPTIONS_TWELVE_NOPS, NOWHERE), SYN_FROM(AGAIN, HALF_OPEN) },
          { WATCHES(1), STRIPPED(1), OPENED(1) }, on_demand, .destination = STORY_STRIPPED },
        { "fewer NOPs are padding", false,
          { SYN, ANSWER(FRAME_OPTIONS_ELEVEN_NOPS, NOWHERE), SYN_FROM(AGAIN, NOWHERE) },
          { WATCHES(2), LACKING(1) }, on_demand, .destination = STORY_LACKING },
        { "it has shown over UDP that it has MPTCP", false,
          { STORY_SYN(MPTCP, HALF_OPEN, .tweak = always), UDP_ANSWER,
            STORY_SYN(MPTCP, WATCHED, .our_port = AGAIN, .tweak = on_demand),
            ANSWER_WITH(STRIPPED_OPTIONS, AGAIN), SYN_FROM(THIRD, HALF_OPEN) },
          { WATCHES(1), STRIPPED(1), OPENED(2), ESTABLISHED(1), RECEIVED(1) }, on_demand,
          .destination = STORY_STRIPPED },
        { "a first SYN lost it, and that of another connection comes back", false,
          { SYN_FROM(THIRD, WATCHED), SYN, ANSWER(STRIPPED_OPTIONS, NOWHERE), ANSWER_TO(THIRD),
            SYN_FROM(AGAIN, WATCHED) },
          { WATCHES(3), STRIPPED(1) }, on_demand, .speaks = true },
        { "a subflow lost it, for which another kind of option does not speak", false,
          { SYN_FROM(THIRD, WATCHED), JOIN_SYN, ANSWER(STRIPPED_OPTIONS, NOWHERE), ANSWER_TO(THIRD),
            SYN_FROM(AGAIN, HALF_OPEN) },
          { WATCHES(2), STRIPPED(1), OPENED(1) }, on_demand, .destination = STORY_STRIPPED },
        { "another connection finds out that it has none: this one goes on being watched", false,
          { SYN, SYN_FROM(AGAIN, WATCHED),
            ANSWER_WITH(STRIPPED_OPTIONS, AGAIN), SYN, ANSWER(MPTCP, NOWHERE) },
          { WATCHES(2), LACKING(1) }, on_demand },
        { "an answer to the SYN and its data (Fast Open)", false,
          { STORY_SYN(MPTCP, WATCHED, .payload = 100),
            STORY_PLAIN(STORY_SYN_ACK, NEXT_SEQUENCE + 101, MPTCP, WATCHED),
            STORY_PLAIN(STORY_SYN_ACK, NEXT_SEQUENCE + 100, MPTCP, NOWHERE) },
          { WATCHES(1) }, on_demand },
        { "the connection that told of it stays plain", false,
          { SYN, ANSWER(STRIPPED_OPTIONS, NOWHERE), { .flags = FRAME_ACK | FRAME_PSH },
            STORY_PLAIN(FRAME_ACK, 5, FRAME_OPTIONS_NONE, NOWHERE) },
          { WATCHES(1), STRIPPED(1) }, on_demand, .speaks = true, .destination = STORY_STRIPPED },
        { "an answer to something else", false,
          { SYN, STORY_PLAIN(STORY_SYN_ACK, STORY_OUR_SEQUENCE, STRIPPED_OPTIONS, WATCHED),
            STORY_PLAIN(STORY_SYN_ACK, NEXT_SEQUENCE + 0x10000, STRIPPED_OPTIONS, WATCHED),
            STORY_PLAIN(FRAME_SYN, NEXT_SEQUENCE, STRIPPED_OPTIONS, WATCHED),
            STORY_PLAIN(FRAME_ACK, NEXT_SEQUENCE, STRIPPED_OPTIONS, WATCHED) },
          { WATCHES(1) }, on_demand },
        { "an additional subflow, the option comes back", false, { JOIN_SYN, ANSWER(JOIN, NOWHERE) },
          { WATCHES(1) }, on_demand },
        { "an additional subflow, it does not", false, { JOIN_SYN, ANSWER(STRIPPED_OPTIONS, NOWHERE) },
          { WATCHES(1), STRIPPED(1) }, on_demand, .destination = STORY_STRIPPED },
        { "a refused connection is refused", false, { SYN, RESET(NOWHERE), SYN_FROM(AGAIN, WATCHED) },
          { WATCHES(2) }, on_demand },
        { "a refused subflow: the peer has seen no MPTCP", false,
          { JOIN_SYN, RESET(NOWHERE), STORY_SYN(JOIN, HALF_OPEN, .our_port = AGAIN) },
          { WATCHES(1), STRIPPED(1), OPENED(1) }, on_demand, .destination = STORY_STRIPPED },
        { "a refused subflow, by a reset that has an option: the peer has seen that of the SYN", false,
          { JOIN_SYN, STORY_PLAIN(FRAME_RST | FRAME_ACK, NEXT_SEQUENCE, MPTCP, NOWHERE),
            STORY_SYN(JOIN, WATCHED, .our_port = AGAIN) },
          { WATCHES(2) }, on_demand },
        { "a forged refusal", false,
          { JOIN_SYN, STORY_PLAIN(FRAME_RST | FRAME_ACK, STORY_OUR_SEQUENCE, FRAME_OPTIONS_NONE, WATCHED),
            STORY_PLAIN(FRAME_RST, NEXT_SEQUENCE, FRAME_OPTIONS_NONE, WATCHED) },
          { WATCHES(1) }, on_demand },
};

static const struct story silence[] = {
        { "SYNs with the option are swallowed: this one goes over UDP", false,
          { SYN, SYN, TRIES, UDP_ANSWER, SYN_FROM(AGAIN, WATCHED) },
          { WATCHES(2), OPENED(1), ESTABLISHED(1), RECEIVED(1), STRIPPED(1) }, on_demand },
        { "the second time: the next one is tunnelled at once", false,
          { SYN, SYN, TRIES, UDP_ANSWER, SYN_FROM(AGAIN, HALF_OPEN) },
          { WATCHES(1), OPENED(2), ESTABLISHED(1), RECEIVED(1), STRIPPED(1) }, on_demand,
          .swallowed_ms = -2000, .destination = STORY_STRIPPED },
        { "another one has failed just now", false,
          { SYN, SYN, TRIES, UDP_ANSWER, SYN_FROM(AGAIN, WATCHED) },
          { WATCHES(2), OPENED(1), ESTABLISHED(1), RECEIVED(1), STRIPPED(1) }, on_demand,
          .swallowed_ms = -1 },
        { "the same port has failed a while before", false,
          { SYN, SYN, TRIES, UDP_ANSWER, SYN_FROM(AGAIN, WATCHED) },
          { WATCHES(2), OPENED(1), ESTABLISHED(1), RECEIVED(1), STRIPPED(1) }, on_demand,
          .swallowed_ms = -2000, .failed_port = FRAME_PORT_LOCAL },
        { "no answer over UDP either", false, { SYN, SYN, TRIES, SYN, SYN, SYN_FROM(AGAIN, WATCHED) },
          { WATCHES(2), OPENED(1) }, on_demand, .swallowed_ms = -2000 },
        { "no answer over UDP either, but to a plain one after that: nobody blames UDP", false,
          { SYN, SYN, TRIES, SYN, ANSWER(MPTCP, NOWHERE), SYN_FROM(AGAIN, WATCHED) },
          { WATCHES(2), OPENED(1) }, on_demand, .failed_ms = -2000 },
        { "no answer, and the kernel takes the option out", false,
          { SYN, SYN, TRIES, STORY_SYN(STRIPPED_OPTIONS, NOWHERE, .incoming = false),
            ANSWER(STRIPPED_OPTIONS, NOWHERE), SYN_FROM(AGAIN, WATCHED) },
          { WATCHES(2), OPENED(1) }, on_demand, .swallowed_ms = -2000 },
        { "UDP is refused", false,
          { SYN, SYN, TRIES, STORY_ERROR(STORY_REFUSED, STORY_DROPPED, HALF_OPEN), SYN,
            ANSWER(MPTCP, NOWHERE) },
          { WATCHES(1), OPENED(1), { UNDERPASS_COUNTER_DROP_ICMP, 1 } }, without_fallback },
        { "the answer to a plain one comes late", false,
          { SYN, SYN, TRIES, ANSWER(MPTCP, NOWHERE), { .flags = FRAME_ACK, .sequence = NEXT_SEQUENCE },
            SYN_FROM(AGAIN, WATCHED) },
          { WATCHES(2), OPENED(1) }, on_demand, .swallowed_ms = -2000 },
        { "it comes late, and the option does not come back", false,
          { SYN, SYN, TRIES, ANSWER(STRIPPED_OPTIONS, NOWHERE), SYN_FROM(AGAIN, HALF_OPEN) },
          { WATCHES(1), OPENED(2), STRIPPED(1) }, on_demand, .speaks = true,
          .destination = STORY_STRIPPED },
        { "a forged answer to a plain one", false,
          { SYN, SYN, TRIES, STORY_PLAIN(STORY_SYN_ACK, STORY_OUR_SEQUENCE, STRIPPED_OPTIONS, HALF_OPEN),
            UDP_ANSWER },
          { WATCHES(1), OPENED(1), ESTABLISHED(1), RECEIVED(1), STRIPPED(1) }, on_demand },
        { "a forged answer over UDP", false,
          { SYN, SYN, TRIES, STORY_PEER(STORY_SYN_ACK, STORY_OUR_SEQUENCE, HALF_OPEN), SYN },
          { WATCHES(1), OPENED(1), RECEIVED(1) }, on_demand, .swallowed_ms = -2000 },
        { "a success of another connection clears it", false,
          { SYN_FROM(AGAIN, WATCHED), ANSWER_TO(AGAIN), SYN, SYN, TRIES, UDP_ANSWER,
            SYN_FROM(THIRD, WATCHED) },
          { WATCHES(3), OPENED(1), ESTABLISHED(1), RECEIVED(1), STRIPPED(1) }, on_demand,
          .swallowed_ms = -2000 },
        { "not if it was another kind of option", false,
          { SYN_FROM(AGAIN, WATCHED), ANSWER_TO(AGAIN), JOIN_SYN, JOIN_SYN, TRIES_JOIN, UDP_ANSWER,
            SYN_FROM(THIRD, HALF_OPEN) },
          { WATCHES(2), OPENED(2), ESTABLISHED(1), RECEIVED(1), STRIPPED(1) }, on_demand,
          .swallowed_ms = -2000, .stripped_join = true, .destination = STORY_STRIPPED },
        { "but if it was the same kind", false,
          { STORY_SYN(JOIN, WATCHED, .our_port = AGAIN), ANSWER_WITH(JOIN, AGAIN), JOIN_SYN, JOIN_SYN,
            TRIES_JOIN, UDP_ANSWER, SYN_FROM(THIRD, WATCHED) },
          { WATCHES(3), OPENED(1), ESTABLISHED(1), RECEIVED(1), STRIPPED(1) }, on_demand,
          .swallowed_ms = -2000, .stripped_join = true },
        { "two of them prove nothing", false, { SYN, SYN, SYN_FROM(AGAIN, WATCHED) }, { WATCHES(2) },
          on_demand },
        { "of a subflow", false, { JOIN_SYN, JOIN_SYN, TRIES_JOIN, UDP_ANSWER },
          { WATCHES(1), OPENED(1), ESTABLISHED(1), RECEIVED(1), STRIPPED(1) }, on_demand,
          .swallowed_ms = -2000, .destination = STORY_STRIPPED },
        { "the kernel takes the option out by itself", false,
          { SYN, SYN, STORY_SYN(STRIPPED_OPTIONS, NOWHERE, .incoming = false),
            ANSWER(STRIPPED_OPTIONS, NOWHERE) },
          { WATCHES(1) }, on_demand },
        { "another SYN is not a repetition", false,
          { SYN, SYN, { .flags = FRAME_SYN, .sequence = 9, .options = MPTCP, .state = WATCHED },
            { .flags = FRAME_SYN, .sequence = 9, .options = MPTCP, .state = WATCHED } },
          { WATCHES(2) }, on_demand },
        { "always, from now on: this one stays plain", false,
          { SYN, STORY_SYN(MPTCP, WATCHED, .tweak = always),
            STORY_SYN(MPTCP, HALF_OPEN, .our_port = AGAIN, .tweak = always) },
          { WATCHES(1), OPENED(1) }, on_demand },
};

static const struct story known[] = {
        { "known as stripped", false,
          { STORY_OUR_SYN(HALF_OPEN), STORY_PEER(STORY_SYN_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { OPENED(1), { UNDERPASS_COUNTER_FLOWS_ESTABLISHED, 1 }, { UNDERPASS_COUNTER_RECEIVED, 1 } },
          on_demand, .stripped_seconds = 60, .destination = STORY_STRIPPED },
        { "not any more: found out again", false, { SYN }, { WATCHES(1) }, on_demand,
          .stripped_seconds = -1 },
        { "of another interface", false, { SYN }, { WATCHES(1) }, on_demand, .stripped_seconds = 60,
          .elsewhere = true },
        { "known to have no MPTCP", false, { STORY_OUR_SYN(NOWHERE), STORY_OUR_SYN(NOWHERE) },
          { WATCHES(2) }, on_demand, .lacking_seconds = 60, .destination = STORY_LACKING },
        { "who joins knows better", false, { JOIN_SYN }, { WATCHES(1) }, on_demand, .lacking_seconds = 60,
          .destination = STORY_LACKING },
        { "no longer so: found out again", false, { SYN }, { WATCHES(1) }, on_demand,
          .lacking_seconds = -1 },
        { "so it seemed, but meanwhile it has shown some", false, { SYN, ANSWER(MPTCP, NOWHERE) },
          { WATCHES(1) }, on_demand, .lacking_seconds = 60, .speaks = true },
        { "to a link that always tunnels it is nothing", false,
          { STORY_OUR_SYN(HALF_OPEN) }, { OPENED(1) }, always, .lacking_seconds = 60,
          .destination = STORY_LACKING },
        { "stripped, and no UDP either", false,
          { STORY_OUR_SYN(HALF_OPEN), STORY_OUR_SYN(HALF_OPEN), STORY_OUR_SYN(WATCHED),
            ANSWER(STRIPPED_OPTIONS, NOWHERE), SYN_FROM(AGAIN, NOWHERE) },
          { OPENED(2), { UNDERPASS_COUNTER_FALLBACK_SILENCE, 1 }, { UNDERPASS_COUNTER_PLAIN_BLOCKED, 1 } },
          on_demand, .stripped_seconds = 60, .failed_ms = -2000,
          .destination = STORY_STRIPPED | STORY_BLOCKED },
        { "stripped, and known that there is no UDP", false, { STORY_OUR_SYN(NOWHERE) },
          { { UNDERPASS_COUNTER_PLAIN_BLOCKED, 1 } }, on_demand, .stripped_seconds = 60,
          .blocked_seconds = 60, .destination = STORY_STRIPPED | STORY_BLOCKED },
        { "a SYN without the option", false,
          { STORY_SYN(STRIPPED_OPTIONS, NOWHERE, .incoming = false) }, { NOT_MPTCP(1) },
          .tweak = on_demand },
        { "the same, to where it is stripped", false,
          { STORY_SYN(STRIPPED_OPTIONS, NOWHERE, .incoming = false) }, { NOT_MPTCP(1) },
          .tweak = on_demand, .stripped_seconds = 60, .destination = STORY_STRIPPED },
};

static const struct story watched[] = {
        { "what we send stays plain", false,
          { SYN, STAYS_PLAIN(FRAME_ACK), STAYS_PLAIN(FRAME_RST), STAYS_PLAIN(FRAME_ACK | FRAME_FIN),
            STAYS_PLAIN(STORY_SYN_ACK) },
          { WATCHES(1) }, on_demand },
        { "datagrams are none of ours", false,
          { SYN, UNTOUCHED(STORY_SYN_ACK, NEXT_SEQUENCE), UNTOUCHED(FRAME_ACK, NEXT_SEQUENCE),
            UNTOUCHED(FRAME_SYN, 0), UNTOUCHED(FRAME_RST, 0), ANSWER(STRIPPED_OPTIONS, NOWHERE) },
          { WATCHES(1), STRIPPED(1), { UNDERPASS_COUNTER_PASS_PORT, 1 } }, on_demand, .speaks = true,
          .destination = STORY_STRIPPED },
        { "ICMP errors about datagrams neither", false,
          { SYN, STORY_ERROR(STORY_REFUSED, STORY_UNTOUCHED, WATCHED),
            STORY_ERROR(STORY_TOO_BIG, STORY_UNTOUCHED, WATCHED),
            STORY_ERROR(STORY_REFUSED_PLAIN, STORY_UNTOUCHED, WATCHED) },
          { WATCHES(1) }, on_demand },
};

static bool test_answers(void *context) {
        return story_run_all(context, answers, sizeof(answers) / sizeof(answers[0]));
}

static bool test_silence(void *context) {
        return story_run_all(context, silence, sizeof(silence) / sizeof(silence[0]));
}

static bool test_known(void *context) {
        return story_run_all(context, known, sizeof(known) / sizeof(known[0]));
}

static bool test_watched(void *context) {
        return story_run_all(context, watched, sizeof(watched) / sizeof(watched[0]));
}

/* The service looks at a server that has answered without MPTCP option, unless something says why. */
static bool run_told(struct bench *bench, enum frame_options options, bool ipv6, bool told) {
        const struct story story = { .server = false };
        const struct story_step steps[] = { SYN, ANSWER(options, NOWHERE) };
        struct underpass_destination_key heard;
        struct underpass_flow_key key;
        struct underpass_link link;
        struct frame frame;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        on_demand(&link);
        EXPECT(bench_set_link(bench, &link) == 0);
        bench_told(bench, BENCH_UNCERTAIN, &heard); /* of tests before */
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
                EXPECT(story_run_step(bench, &story, &steps[i], ipv6, false));
        EXPECT_EQUAL(bench_told(bench, BENCH_UNCERTAIN, &heard), told ? 0 : -ENOENT);
        if (!told)
                return true;
        story_build(&story, &steps[0], ipv6, false, &frame);
        bench_flow_key(&frame, true, &key);
        EXPECT_EQUAL(heard.ifindex, BENCH_IFINDEX);
        EXPECT_EQUAL(heard.remote_port, key.remote_port);
        return memcmp(heard.remote, key.remote, sizeof(key.remote)) == 0;
}

static bool test_told(void *context) {
        for (int ipv6 = 0; ipv6 < 2; ipv6++) {
                EXPECT(run_told(context, STRIPPED_OPTIONS, ipv6, true));
                EXPECT(run_told(context, FRAME_OPTIONS_OVERWRITTEN, ipv6, false));
                EXPECT(run_told(context, MPTCP, ipv6, false));
        }
        return true;
}

int programs_demand(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "on demand: what an answer tells", test_answers },
                { "on demand: SYNs without answer", test_silence },
                { "on demand: what is known of a destination", test_known },
                { "on demand: a watched connection is left alone", test_watched },
                { "on demand: what the service is told of", test_told },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
