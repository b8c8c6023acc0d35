/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the record of a flow measures: segments, how much data there was in each direction, and how the
 * connection ends.
 *
 * Room: bench.h.
 */

#include "programs.h"

enum {
        OUR_BEGIN = 0xfffffff1U, /* so the numbers begin anew within a few bytes */
        PEER_BEGIN = 0xffffff01U,
        PAYLOAD = 3000,
        OUR_PORT = 40000,
        THEIR_PORT = 443,
        WINDOW = 1 << 20,
};

/* The record of a flow of the bench's connection. */
static bool get(const struct bench *bench, const struct frame_spec *spec, struct underpass_flow *ret) {
        struct underpass_flow_key key;
        struct frame frame;

        frame_build(spec, &frame);
        bench_flow_key(&frame, spec->from != FRAME_REMOTE, &key);
        return bench_get_flow(bench->flows, &key, ret) == 0;
}

/* A packet of ours; gso_size 0: no super-packet. */
static bool send(const struct bench *bench, struct frame_spec spec, uint32_t gso_size) {
        struct __sk_buff context = { .gso_size = gso_size, .gso_segs = gso_size ? 9 : 0 };
        struct frame frame;
        __u32 verdict;

        spec.source_port = OUR_PORT;
        spec.dest_port = THEIR_PORT;
        frame_build(&spec, &frame);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        return true;
}

/* A packet of the peer. */
static bool receive(const struct bench *bench, struct frame_spec spec) {
        struct __sk_buff context = {};
        struct frame frame;
        __u32 verdict;

        spec.from = FRAME_REMOTE;
        spec.udp = true;
        spec.source_port = THEIR_PORT;
        spec.dest_port = OUR_PORT;
        frame_build(&spec, &frame);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, &context, &verdict) == 0);
        return true;
}

/* The handshake of a connection that our side opens; *ret names it for get(). */
static bool open_flow(const struct bench *bench, bool ipv6, struct frame_spec *ret) {
        const struct frame_spec syn = {
                .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP, .sequence = OUR_BEGIN - 1, .ipv6 = ipv6,
        };
        const struct frame_spec answer = {
                .flags = FRAME_SYN | FRAME_ACK, .options = FRAME_OPTIONS_MPTCP, .sequence = PEER_BEGIN - 1,
                .acknowledgment = OUR_BEGIN, .ipv6 = ipv6,
        };
        const struct frame_spec ack = {
                .flags = FRAME_ACK, .sequence = OUR_BEGIN, .acknowledgment = PEER_BEGIN, .ipv6 = ipv6,
        };

        *ret = syn;
        ret->source_port = OUR_PORT;
        ret->dest_port = THEIR_PORT;
        return bench_reset(bench) == 0 && send(bench, syn, 0) && receive(bench, answer) &&
               send(bench, ack, 0);
}

static uint64_t sent_bytes(const struct underpass_flow *flow) {
        return ((uint64_t) flow->begun_anew << 32) + flow->next - flow->begin;
}

static uint64_t received_bytes(const struct underpass_flow *flow) {
        return ((uint64_t) flow->peer_begun_anew << 32) + flow->acknowledged - flow->peer_begin;
}

/* Data counts once, also what is sent again, and the numbers may pass 0 on the way. */
static bool test_data(void *context) {
        struct bench *bench = context;
        struct underpass_flow flow;
        struct frame_spec spec;

        for (int ipv6 = 0; ipv6 < 2; ipv6++) {
                struct frame_spec data = { .flags = FRAME_ACK | FRAME_PSH, .payload = 100, .ipv6 = ipv6 };

                EXPECT(open_flow(bench, ipv6, &spec) && get(bench, &spec, &flow));
                EXPECT_EQUAL(sent_bytes(&flow), 0);
                EXPECT_EQUAL(received_bytes(&flow), 0);
                data.sequence = OUR_BEGIN;
                data.acknowledgment = PEER_BEGIN + 300;
                for (int i = 0; i < 2; i++) /* the second time is a retransmission */
                        EXPECT(send(bench, data, 0));
                EXPECT(get(bench, &spec, &flow));
                EXPECT_EQUAL(sent_bytes(&flow), 100);
                EXPECT_EQUAL(flow.begun_anew, 1);
                EXPECT_EQUAL(received_bytes(&flow), 300);
                EXPECT_EQUAL(flow.peer_begun_anew, 1);
                data.acknowledgment = PEER_BEGIN + 200; /* one packet was overtaken by another */
                EXPECT(send(bench, data, 0) && get(bench, &spec, &flow));
                EXPECT_EQUAL(received_bytes(&flow), 300);
        }
        return true;
}

/* A super-packet counts as what it will be cut into. */
static bool test_segments(void *context) {
        static const struct {
                uint16_t payload, size;
                uint8_t flags;
                unsigned segments;
        } cases[] = {
                { 100, 0, FRAME_ACK, 1 },    { 1400, 0, FRAME_ACK, 1 },    { 1400, 1400, FRAME_ACK, 1 },
                { 1401, 1400, FRAME_ACK, 2 }, { 2800, 1400, FRAME_ACK, 2 }, { PAYLOAD, 1400, FRAME_ACK, 3 },
                { 2800, 1400, FRAME_ACK | FRAME_FIN, 2 }, { 2801, 1400, FRAME_ACK | FRAME_FIN, 3 },
                { 600, 300, FRAME_ACK, 2 },
        };
        struct bench *bench = context;
        struct underpass_flow flow;
        struct frame_spec spec;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const struct frame_spec data = {
                        .flags = cases[i].flags, .payload = cases[i].payload, .sequence = OUR_BEGIN,
                        .acknowledgment = PEER_BEGIN,
                };

                EXPECT(open_flow(bench, false, &spec) && get(bench, &spec, &flow));
                EXPECT_EQUAL(flow.sent + flow.more_sent, 2);
                EXPECT(send(bench, data, cases[i].size) && get(bench, &spec, &flow));
                EXPECT_EQUAL(flow.sent + flow.more_sent, 2 + cases[i].segments);
                EXPECT_EQUAL(sent_bytes(&flow), cases[i].payload + !!(cases[i].flags & FRAME_FIN));
        }
        return true;
}

/* FIN and RST of both sides; a reset of the peer only if TCP might believe it. */
static bool test_ends(void *context) {
        static const struct {
                bool ours;
                uint8_t flags;
                uint32_t sequence;
                uint8_t ends;
        } cases[] = {
                { true, FRAME_ACK, OUR_BEGIN, 0 },
                { true, FRAME_ACK | FRAME_FIN, OUR_BEGIN, UNDERPASS_FLOW_OUR_FIN },
                { true, FRAME_RST, OUR_BEGIN, UNDERPASS_FLOW_OUR_RST },
                { false, FRAME_ACK, PEER_BEGIN, 0 },
                { false, FRAME_ACK | FRAME_FIN, PEER_BEGIN, UNDERPASS_FLOW_PEER_FIN },
                { false, FRAME_RST | FRAME_ACK, PEER_BEGIN, UNDERPASS_FLOW_PEER_RST },
                { false, FRAME_RST, PEER_BEGIN + WINDOW, UNDERPASS_FLOW_PEER_RST },
                { false, FRAME_RST, PEER_BEGIN + WINDOW + 1, 0 },
                { false, FRAME_RST, PEER_BEGIN - 1, 0 },
        };
        struct bench *bench = context;
        struct underpass_flow flow;
        struct frame_spec spec;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct frame_spec end = {
                        .flags = cases[i].flags, .sequence = cases[i].sequence,
                        .acknowledgment = cases[i].ours ? PEER_BEGIN : OUR_BEGIN,
                };

                EXPECT(open_flow(bench, false, &spec));
                EXPECT(cases[i].ours ? send(bench, end, 0) : receive(bench, end));
                EXPECT(get(bench, &spec, &flow));
                EXPECT_EQUAL(flow.ends, cases[i].ends);
                EXPECT_EQUAL(received_bytes(&flow), 0);
        }
        return true;
}

enum {
        NEW_BEGIN = 0x70000000, /* it lies before what the old one has sent: such numbers are a clock */
        OLD_NEXT = 0x80000000,
};

/* What is left of a connection that both sides have ended, and that had trouble. */
static bool put_over(struct bench *bench, const struct frame_spec *ours) {
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;

        frame_build(ours, &frame);
        bench_flow_key(&frame, true, &key);
        bench_silent(&flow);
        flow.opened_ns = 1;
        flow.begin = flow.expected = flow.next = OLD_NEXT;
        flow.ends = UNDERPASS_FLOW_OUR_FIN | UNDERPASS_FLOW_PEER_FIN;
        flow.peer_begin = flow.acknowledged = PEER_BEGIN;
        flow.stalls = flow.bad_seconds = flow.bulk_losses = 2;
        flow.bulk = UNDERPASS_BULK_GIVEN_UP | UNDERPASS_BULK_NARROW;
        flow.flags = UNDERPASS_FLOW_ANSWERED | UNDERPASS_FLOW_REFUSED;
        flow.sent = flow.received = flow.more_sent = 1000;
        return bench_put_flow(bench->flows, &key, &flow) == 0;
}

/* A peer comes again from the same port: what is remembered of the connection before is over. */
static bool run_again(struct bench *bench, bool ipv6) {
        const struct frame_spec syn = { .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP,
                                        .sequence = PEER_BEGIN - 1, .ipv6 = ipv6 };
        struct frame_spec answer = { .flags = FRAME_SYN | FRAME_ACK, .options = FRAME_OPTIONS_MPTCP,
                                     .sequence = NEW_BEGIN - 1, .acknowledgment = PEER_BEGIN, .ipv6 = ipv6 };
        const struct frame_spec ack = { .flags = FRAME_ACK, .sequence = PEER_BEGIN,
                                        .acknowledgment = NEW_BEGIN, .ipv6 = ipv6 };
        const struct frame_spec data = { .flags = FRAME_ACK, .payload = 1000, .sequence = NEW_BEGIN,
                                         .acknowledgment = PEER_BEGIN + 50, .ipv6 = ipv6 };
        struct underpass_flow flow;
        struct frame_spec name = answer;

        name.source_port = OUR_PORT;
        name.dest_port = THEIR_PORT;
        EXPECT(bench_reset(bench) == 0 && put_over(bench, &name));
        EXPECT(receive(bench, syn) && send(bench, answer, 0) && get(bench, &name, &flow));
        EXPECT_EQUAL(flow.state, UNDERPASS_FLOW_TUNNELLED);
        EXPECT_EQUAL(flow.flags, UNDERPASS_FLOW_ANSWERED);
        EXPECT_EQUAL(flow.ends + flow.stalls + flow.bad_seconds + flow.bulk + flow.bulk_losses, 0);
        EXPECT(flow.opened_ns > 1);
        /* The answer once more is no third connection. */
        EXPECT(receive(bench, ack) && send(bench, data, 0) && send(bench, answer, 0));
        EXPECT(get(bench, &name, &flow));
        EXPECT_EQUAL(sent_bytes(&flow), 1000);
        EXPECT_EQUAL(received_bytes(&flow), 50);
        EXPECT_EQUAL(flow.begin, NEW_BEGIN);
        EXPECT_EQUAL(flow.expected, NEW_BEGIN);
        EXPECT_EQUAL(flow.next, NEW_BEGIN + 1000);
        EXPECT_EQUAL(flow.sent + flow.more_sent, 3);
        EXPECT_EQUAL(flow.slot, BENCH_SLOT);
        return true;
}

static bool test_again(void *context) {
        return run_again(context, false) && run_again(context, true);
}

/* A flow that an earlier release has made says nothing of that: it is measured from now on. */
static bool test_earlier_release(void *context) {
        const struct frame_spec data = {
                .flags = FRAME_ACK, .payload = 100, .sequence = 5000, .acknowledgment = 7000,
                .source_port = OUR_PORT, .dest_port = THEIR_PORT,
        };
        struct underpass_flow_key key;
        struct bench *bench = context;
        struct underpass_flow flow;
        struct frame frame;

        EXPECT(bench_reset(bench) == 0);
        frame_build(&data, &frame);
        bench_flow_key(&frame, true, &key);
        bench_tunnelled(&flow);
        flow.next = 5000;
        flow.expected = 4000;
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        EXPECT(send(bench, data, 0) && get(bench, &data, &flow));
        EXPECT_EQUAL(sent_bytes(&flow), 100);
        EXPECT_EQUAL(received_bytes(&flow), 0);
        return true;
}

int programs_measure(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "measure: data of both sides", test_data },
                { "measure: segments of super-packets", test_segments },
                { "measure: how a connection ends", test_ends },
                { "measure: a flow of an earlier release", test_earlier_release },
                { "measure: the same ports again", test_again },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
