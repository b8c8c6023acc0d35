/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Flows over several packets: when a handshake counts as answered, what a new SYN does to the memory of an
 * old flow, and that a flood of SYNs pushes no established flow out.
 *
 * Room: bench.h. The client's flow is 40000 → 443, the server's 443 ← 50000.
 */

#include <errno.h>
#include <string.h>

#include "programs.h"

enum {
        OUR_SEQUENCE = 0xfffffff0, /* the window of answers wraps around */
        PEER_SEQUENCE = 77,
        PEER_PORT = 50000,
        NOWHERE = 0,               /* in place of a state: no record */
};

/* One packet of a story. */
struct step {
        bool incoming;
        bool plain;              /* incoming TCP, not UDP */
        uint8_t flags;
        uint32_t sequence;
        uint32_t acknowledgment;
        enum frame_options options;
        __u32 mark;
        uint8_t state;           /* where the flow is afterwards: enum underpass_flow_state, or NOWHERE */
};

enum { STEPS_MAX = 8 };

struct story {
        const char *name;
        bool server;
        struct step steps[STEPS_MAX]; /* ends before a step without flags */
        struct bench_count counts[BENCH_COUNTS_MAX];
};

#define OPENED(number) { UNDERPASS_COUNTER_FLOWS_OPENED, (number) }
#define ACCEPTED(number) { UNDERPASS_COUNTER_FLOWS_ACCEPTED, (number) }
#define ESTABLISHED(number) { UNDERPASS_COUNTER_FLOWS_ESTABLISHED, (number) }
#define RECEIVED(number) { UNDERPASS_COUNTER_RECEIVED, (number) }
#define SYN_ACK (FRAME_SYN | FRAME_ACK)
#define NEXT_SEQUENCE (OUR_SEQUENCE + 1U)
#define OUR_SYN                                                                                             \
        {                                                                                                   \
                .flags = FRAME_SYN, .sequence = OUR_SEQUENCE, .options = FRAME_OPTIONS_MPTCP,               \
                .state = UNDERPASS_FLOW_TRYING                                                              \
        }
#define PEER_SYN                                                                                            \
        {                                                                                                   \
                .incoming = true, .flags = FRAME_SYN, .sequence = PEER_SEQUENCE,                            \
                .options = FRAME_OPTIONS_MPTCP, .state = UNDERPASS_FLOW_TRYING                              \
        }
#define OUR_SYN_ACK { .flags = SYN_ACK, .sequence = OUR_SEQUENCE, .acknowledgment = PEER_SEQUENCE + 1, \
                .options = FRAME_OPTIONS_MPTCP, .state = UNDERPASS_FLOW_TRYING }
#define PEER(kind, number, after) { .incoming = true, .flags = (kind), .sequence = PEER_SEQUENCE, \
                .acknowledgment = (number), .state = (after) }
#define PLAIN(kind, after) { .incoming = true, .plain = true, .flags = (kind), .sequence = PEER_SEQUENCE, \
                .options = FRAME_OPTIONS_MPTCP, .state = (after) }
#define TRYING UNDERPASS_FLOW_TRYING
#define TUNNELLED UNDERPASS_FLOW_TUNNELLED

static const struct story stories[] = {
        { "client: the SYN-ACK answers",
          false,
          { OUR_SYN, PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED), PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(2) } },
        { "client: data of the SYN acknowledged too",
          false,
          { OUR_SYN, PEER(SYN_ACK, NEXT_SEQUENCE + 0xffff, TUNNELLED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1) } },
        { "client: acknowledgments beside it",
          false,
          { OUR_SYN, PEER(SYN_ACK, OUR_SEQUENCE, TRYING), PEER(SYN_ACK, NEXT_SEQUENCE + 0x10000, TRYING),
            PEER(FRAME_ACK, 0x80000000, TRYING), PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(4) } },
        { "client: RST proves nothing",
          false,
          { OUR_SYN, PEER(FRAME_RST | FRAME_ACK, NEXT_SEQUENCE, TRYING),
            PEER(FRAME_RST, NEXT_SEQUENCE, TRYING) },
          { OPENED(1), RECEIVED(2) } },
        { "client: a SYN without ACK proves nothing",
          false,
          { OUR_SYN, PEER(FRAME_SYN, NEXT_SEQUENCE, TRYING) },
          { OPENED(1), RECEIVED(1) } },
        { "client: our own ACK proves nothing",
          false,
          { OUR_SYN, { .flags = FRAME_ACK, .acknowledgment = NEXT_SEQUENCE, .state = TRYING } },
          { OPENED(1) } },
        { "client: SYN repeated",
          false,
          { OUR_SYN, OUR_SYN, OUR_SYN, PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { OPENED(3), ESTABLISHED(1), RECEIVED(1) } },
        { "client: plain SYN-ACK changes nothing",
          false,
          { OUR_SYN, PLAIN(SYN_ACK, TRYING) },
          { OPENED(1) } },
        { "client: ports used again, tunnelled",
          false,
          { OUR_SYN, PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED), OUR_SYN,
            PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { OPENED(2), ESTABLISHED(2), RECEIVED(2) } },
        { "client: ports used again, plain",
          false,
          { OUR_SYN,
            PEER(SYN_ACK, NEXT_SEQUENCE, TUNNELLED),
            { .flags = FRAME_SYN, .state = NOWHERE },
            PEER(SYN_ACK, NEXT_SEQUENCE, NOWHERE) },
          { OPENED(1), ESTABLISHED(1), RECEIVED(1) } },
        { "client: half-open, then plain",
          false,
          { OUR_SYN, { .flags = FRAME_SYN, .options = FRAME_OPTIONS_PLAIN, .state = NOWHERE } },
          { OPENED(1) } },
        { "server: the ACK of our SYN-ACK answers",
          true,
          { PEER_SYN, OUR_SYN_ACK, PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED),
            PEER(FRAME_ACK | FRAME_FIN, 9, TUNNELLED) },
          { ACCEPTED(1), ESTABLISHED(1), RECEIVED(3) } },
        { "server: ACK before our SYN-ACK",
          true,
          { PEER_SYN, PEER(FRAME_ACK, NEXT_SEQUENCE, TRYING), PEER(FRAME_ACK, 0, TRYING),
            PEER(FRAME_ACK, 1, TRYING) },
          { ACCEPTED(1), RECEIVED(4) } },
        { "server: wrong ACK, then the right one",
          true,
          { PEER_SYN, OUR_SYN_ACK, PEER(FRAME_ACK, OUR_SEQUENCE, TRYING),
            PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { ACCEPTED(1), ESTABLISHED(1), RECEIVED(3) } },
        { "server: RST proves nothing",
          true,
          { PEER_SYN, OUR_SYN_ACK, PEER(FRAME_RST | FRAME_ACK, NEXT_SEQUENCE, TRYING) },
          { ACCEPTED(1), RECEIVED(2) } },
        { "server: our RST is no SYN-ACK",
          true,
          { PEER_SYN,
            { .flags = FRAME_RST | FRAME_ACK, .state = TRYING },
            PEER(FRAME_ACK, NEXT_SEQUENCE, TRYING) },
          { ACCEPTED(1), RECEIVED(2) } },
        { "server: plain SYN ends a half-open flow",
          true,
          { PEER_SYN, PLAIN(FRAME_SYN, NOWHERE) },
          { ACCEPTED(1), RECEIVED(1) } },
        { "server: half-open, plain ACK and RST",
          true,
          { PEER_SYN, OUR_SYN_ACK, PLAIN(FRAME_ACK, TRYING), PLAIN(FRAME_RST, TRYING),
            PLAIN(SYN_ACK, TRYING) },
          { ACCEPTED(1), RECEIVED(1) } },
        { "server: plain SYN leaves an established flow",
          true,
          { PEER_SYN, OUR_SYN_ACK, PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED), PLAIN(FRAME_SYN, TUNNELLED) },
          { ACCEPTED(1), ESTABLISHED(1), RECEIVED(2) } },
        { "server: SYN over UDP again",
          true,
          {
                  PEER_SYN,
                  OUR_SYN_ACK,
                  PEER_SYN,
                  OUR_SYN_ACK,
                  PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED),
          },
          { ACCEPTED(1), ESTABLISHED(1), RECEIVED(3) } },
};

static void build(const struct story *story, const struct step *step, bool ipv6, bool raw,
                  struct frame *ret) {
        uint16_t here = story->server ? 443 : FRAME_PORT_LOCAL, there = story->server ? PEER_PORT : 443;
        struct frame_spec spec = {
                .ipv6 = ipv6,
                .raw = raw,
                .udp = step->incoming && !step->plain,
                .from = step->incoming ? FRAME_REMOTE : FRAME_LOCAL,
                .source_port = step->incoming ? there : here,
                .dest_port = step->incoming ? here : there,
                .flags = step->flags,
                .sequence = step->sequence,
                .acknowledgment = step->acknowledgment,
                .options = step->options,
        };

        frame_build(&spec, ret);
}

static uint8_t state_of(const struct bench *bench, const struct underpass_flow_key *key,
                        struct underpass_flow *ret) {
        if (bench_get_flow(bench->flows, key, ret) == 0)
                return ret->state;
        return bench_get_flow(bench->tries, key, ret) == 0 ? ret->state : NOWHERE;
}

static bool run_step(struct bench *bench, const struct story *story, const struct step *step, bool ipv6,
                     bool raw) {
        enum bench_program program = step->incoming ? (raw ? BENCH_INGRESS_RAW : BENCH_INGRESS) :
                                                      (raw ? BENCH_EGRESS_RAW : BENCH_EGRESS);
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;
        uint8_t before;
        __u32 verdict;

        build(story, step, ipv6, raw, &frame);
        bench_flow_key(&frame, !step->incoming, &key);
        before = state_of(bench, &key, &flow);
        EXPECT(bench_run(bench, program, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(state_of(bench, &key, &flow), step->state);
        EXPECT_EQUAL(bench_flows_count(bench->flows), step->state == TUNNELLED);
        EXPECT_EQUAL(bench_flows_count(bench->tries), step->state == TRYING);
        if (step->incoming) {
                bool tcp = step->plain || before != NOWHERE || step->state != NOWHERE;

                /* A datagram becomes TCP exactly when there was a flow, or is one now. */
                EXPECT_EQUAL(verdict, BENCH_NEXT);
                EXPECT_EQUAL(frame.data[frame.protocol], tcp ? FRAME_TCP : FRAME_UDP);
        } else
                EXPECT_EQUAL(verdict, step->state == NOWHERE ? BENCH_NEXT : BENCH_REDIRECT);
        return true;
}

static bool run_story(struct bench *bench, const struct story *story, bool ipv6, bool raw) {
        EXPECT(bench_reset(bench) == 0);
        for (size_t i = 0; i < STEPS_MAX && story->steps[i].flags; i++)
                if (!run_step(bench, story, &story->steps[i], ipv6, raw)) {
                        fprintf(stderr, "in step %zu\n", i + 1);
                        return false;
                }
        return bench_counted(bench, story->counts);
}

static bool test_stories(void *context) {
        for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
                for (int variant = 0; variant < 4; variant++) {
                        if (run_story(context, &stories[i], variant & 1, variant & 2))
                                continue;
                        fprintf(stderr, "flows, variant %d: %s\n", variant, stories[i].name);
                        return false;
                }
        }
        return true;
}

/* What a record says of a flow, packet by packet. */
static bool test_record(void *context) {
        static const struct story story = { .server = true };
        static const struct step steps[] = {
                PEER_SYN,
                OUR_SYN_ACK,
                PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED),
                PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED),
                { .flags = FRAME_ACK, .state = TUNNELLED },
        };
        struct bench *bench = context;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;

        EXPECT(bench_reset(bench) == 0);
        build(&story, &steps[0], false, false, &frame);
        bench_flow_key(&frame, false, &key);
        EXPECT(run_step(bench, &story, &steps[0], false, false));
        EXPECT(state_of(bench, &key, &flow) == TRYING);
        EXPECT_EQUAL(flow.flags, 0);
        EXPECT_EQUAL(flow.slot, BENCH_SLOT);
        EXPECT_EQUAL(flow.ifindex, BENCH_IFINDEX);
        EXPECT_EQUAL(flow.received, 1);
        EXPECT(flow.opened_ns > 0 && flow.seen_ns >= flow.opened_ns);
        EXPECT(run_step(bench, &story, &steps[1], false, false));
        EXPECT(state_of(bench, &key, &flow) == TRYING);
        EXPECT_EQUAL(flow.flags, UNDERPASS_FLOW_ANSWERED);
        EXPECT_EQUAL(flow.expected, NEXT_SEQUENCE);
        EXPECT_EQUAL(flow.sent, 1);
        for (size_t i = 2; i < sizeof(steps) / sizeof(steps[0]); i++)
                EXPECT(run_step(bench, &story, &steps[i], false, false));
        EXPECT(state_of(bench, &key, &flow) == TUNNELLED);
        EXPECT_EQUAL(flow.received, 3);
        EXPECT_EQUAL(flow.sent, 2);
        return true;
}

/*
 * Twice as many SYNs as "tries" holds: the established flow is still there, and the tunnel still takes new
 * ones.
 */
static bool test_flood(void *context) {
        static const struct story *established = &stories[0];
        struct bench *bench = context;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;

        EXPECT(run_story(bench, established, false, false));
        build(established, &established->steps[0], false, false, &frame);
        bench_flow_key(&frame, true, &key);
        for (unsigned i = 0; i < 2 * UNDERPASS_TRIES_MAX; i++) {
                struct frame_spec spec = {
                        .from = FRAME_REMOTE,
                        .udp = true,
                        .flags = FRAME_SYN,
                        .options = FRAME_OPTIONS_JOIN,
                        .ipv6 = i & 1,
                        .source_port = (uint16_t) (1024 + i),
                        .dest_port = 443,
                        .sequence = i,
                };
                __u32 verdict;

                frame_build(&spec, &frame);
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
                EXPECT_EQUAL(frame.data[frame.protocol], FRAME_TCP);
        }
        EXPECT(bench_flows_count(bench->tries) <= UNDERPASS_TRIES_MAX);
        EXPECT_EQUAL(bench_flows_count(bench->flows), 1);
        EXPECT_EQUAL(state_of(bench, &key, &flow), TUNNELLED);
        return true;
}

int programs_flows(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "flows: handshakes and their ends", test_stories },
                { "flows: what a record says", test_record },
                { "flows: a flood of SYNs", test_flood },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
