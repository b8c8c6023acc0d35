/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Plain TCP beside the tunnel, with the same addresses and ports: a plain SYN ends a tunnelled flow only
 * if our stack answers it, a SYN over UDP takes no plain connection into the tunnel. And what passes by
 * for good: signed segments, and super-packets of more than 64 KiB, which have no length.
 *
 * Room: bench.h, story.h.
 */

#include <string.h>

#include "programs.h"
#include "story.h"

enum {
        EXTENSION_HOP_BY_HOP = 0,
        EXTENSION_DESTINATION = 60,
        JUMBO_OPTION = 0xc204, /* kind and length, RFC 2675 */
        JUMBO_LENGTH = 100000,
        ETHERNET_LENGTH = 14,
        IPV6_LENGTH = 40,
};

#define HALF_OPEN UNDERPASS_FLOW_HALF_OPEN
#define TUNNELLED UNDERPASS_FLOW_TUNNELLED
#define NOWHERE STORY_NOWHERE
#define NEXT_SEQUENCE STORY_NEXT_SEQUENCE
#define ACCEPTED(number) { UNDERPASS_COUNTER_FLOWS_ACCEPTED, (number) }
#define ESTABLISHED(number) { UNDERPASS_COUNTER_FLOWS_ESTABLISHED, (number) }
#define RECEIVED(number) { UNDERPASS_COUNTER_RECEIVED, (number) }
#define SIGNED(number) { UNDERPASS_COUNTER_PASS_SIGNED, (number) }
#define HANDSHAKE                                                                                           \
        STORY_PEER_SYN, STORY_OUR_SYN_ACK(HALF_OPEN), STORY_PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED)
#define HANDSHAKE_COUNTS ACCEPTED(1), ESTABLISHED(1)
#define PLAIN(kind, after) STORY_PLAIN(kind, 0, FRAME_OPTIONS_MPTCP, after)
#define FORGED_SYN(after)                                                                                   \
        { .incoming = true, .plain = true, .flags = FRAME_SYN, .sequence = 9, .state = (after) }
#define LAST_SYN(after)                                                                                     \
        { .incoming = true, .plain = true, .flags = FRAME_SYN, .sequence = 0xffffffff, .state = (after) }
#define OURS(kind, after) { .flags = (kind), .sequence = NEXT_SEQUENCE, .state = (after) }
/* What a closed port answers to the peer's SYN. */
#define OUR_RESET(after, what)                                                                              \
        {                                                                                                   \
                .flags = FRAME_RST | FRAME_ACK, .acknowledgment = STORY_PEER_SEQUENCE + 1,                  \
                .state = (after), .fate = (what)                                                            \
        }
#define OURS_PLAIN(kind, after)                                                                             \
        { .flags = (kind), .sequence = NEXT_SEQUENCE, .state = (after), .fate = STORY_UNTOUCHED }

static const struct story plain_syns[] = {
        { "our SYN-ACK ends the flow", true,
          { HANDSHAKE, PLAIN(FRAME_SYN, TUNNELLED), STORY_OUR_SYN_ACK(NOWHERE),
            PLAIN(FRAME_ACK, NOWHERE), OURS(FRAME_ACK, NOWHERE) },
          { HANDSHAKE_COUNTS, RECEIVED(2) } },
        { "nothing else does", true,
          { HANDSHAKE, PLAIN(FRAME_SYN, TUNNELLED), OURS(FRAME_ACK, TUNNELLED),
            OURS(FRAME_ACK | FRAME_PSH, TUNNELLED), OURS(FRAME_RST, TUNNELLED),
            OURS(FRAME_RST | FRAME_ACK, TUNNELLED), OURS(FRAME_FIN | FRAME_ACK, TUNNELLED),
            STORY_PEER(FRAME_ACK, 9, TUNNELLED) },
          { HANDSHAKE_COUNTS, RECEIVED(3) } },
        { "a SYN over UDP after it: the peer asks over UDP again", true,
          { HANDSHAKE, PLAIN(FRAME_SYN, TUNNELLED),
            { .incoming = true, .flags = FRAME_SYN, .sequence = 9, .options = FRAME_OPTIONS_MPTCP,
              .state = TUNNELLED },
            STORY_OUR_SYN_ACK(TUNNELLED) },
          { HANDSHAKE_COUNTS, RECEIVED(3) } },
        { "without a plain SYN our SYN-ACK ends nothing", true,
          { HANDSHAKE, STORY_OUR_SYN_ACK(TUNNELLED) }, { HANDSHAKE_COUNTS, RECEIVED(2) } },
        { "other plain segments neither", true,
          { HANDSHAKE, PLAIN(FRAME_ACK, TUNNELLED), PLAIN(FRAME_RST, TUNNELLED),
            PLAIN(FRAME_RST | FRAME_ACK, TUNNELLED), PLAIN(STORY_SYN_ACK, TUNNELLED),
            STORY_OUR_SYN_ACK(TUNNELLED) },
          { HANDSHAKE_COUNTS, RECEIVED(2) } },
        { "half-open: the peer has given up UDP", true,
          { STORY_PEER_SYN, STORY_OUR_SYN_ACK(HALF_OPEN), PLAIN(FRAME_SYN, HALF_OPEN),
            STORY_OUR_SYN_ACK(NOWHERE) },
          { ACCEPTED(1), RECEIVED(1) } },
        { "half-open: a reset answers the plain SYN", true,
          { STORY_PEER_SYN, PLAIN(FRAME_SYN, HALF_OPEN), OUR_RESET(NOWHERE, STORY_UNTOUCHED) },
          { ACCEPTED(1), RECEIVED(1) } },
        { "a reset answers the plain SYN of a peer that has forgotten the flow", true,
          { HANDSHAKE, PLAIN(FRAME_SYN, TUNNELLED), OUR_RESET(NOWHERE, STORY_UNTOUCHED) },
          { HANDSHAKE_COUNTS, RECEIVED(2) } },
        { "half-open: a reset answers a SYN over UDP that came after it", true,
          { STORY_PEER_SYN, PLAIN(FRAME_SYN, HALF_OPEN), STORY_PEER_SYN,
            OUR_RESET(HALF_OPEN, STORY_CONVERTED) },
          { ACCEPTED(1), RECEIVED(2) } },
        { "half-open: a forged plain SYN", true,
          { STORY_PEER_SYN, FORGED_SYN(HALF_OPEN), STORY_OUR_SYN_ACK(HALF_OPEN), FORGED_SYN(HALF_OPEN),
            STORY_OUR_SYN_ACK(HALF_OPEN), STORY_PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { HANDSHAKE_COUNTS, RECEIVED(2) } },
        { "a forged plain SYN, and a SYN-ACK again", true,
          { HANDSHAKE, FORGED_SYN(TUNNELLED), STORY_OUR_SYN_ACK(TUNNELLED) },
          { HANDSHAKE_COUNTS, RECEIVED(2) } },
        { "a forged plain SYN, whose number our side acknowledges without a SYN", true,
          { HANDSHAKE, FORGED_SYN(TUNNELLED),
            { .flags = FRAME_ACK, .sequence = NEXT_SEQUENCE, .acknowledgment = 10, .state = TUNNELLED } },
          { HANDSHAKE_COUNTS, RECEIVED(2) } },
        { "the same with the last number of all, and a reset that acknowledges nothing", true,
          { HANDSHAKE, LAST_SYN(TUNNELLED), OURS(FRAME_RST, TUNNELLED) },
          { HANDSHAKE_COUNTS, RECEIVED(2) } },
        { "of a client: an opening of both sides at once", false,
          { STORY_OUR_SYN(HALF_OPEN), PLAIN(FRAME_SYN, HALF_OPEN),
            STORY_PEER(STORY_SYN_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { { UNDERPASS_COUNTER_FLOWS_OPENED, 1 }, ESTABLISHED(1), RECEIVED(1) } },
        { "both sides at once, over UDP", false,
          { STORY_OUR_SYN(HALF_OPEN), STORY_PEER(FRAME_SYN, 0, HALF_OPEN), STORY_OUR_SYN_ACK(HALF_OPEN),
            STORY_PEER(STORY_SYN_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { { UNDERPASS_COUNTER_FLOWS_OPENED, 1 }, ESTABLISHED(1), RECEIVED(2) } },
};

static const struct story beside[] = {
        { "a forged SYN over UDP beside a plain connection", true,
          { OURS(FRAME_ACK, NOWHERE), STORY_PEER_SYN, OURS_PLAIN(FRAME_ACK, HALF_OPEN),
            OURS_PLAIN(FRAME_ACK | FRAME_PSH, HALF_OPEN), OURS_PLAIN(FRAME_FIN | FRAME_ACK, HALF_OPEN),
            OURS_PLAIN(FRAME_RST, HALF_OPEN), OURS_PLAIN(FRAME_RST | FRAME_ACK, HALF_OPEN) },
          { ACCEPTED(1), RECEIVED(1) } },
        { "a refusal of it goes the way it came", true,
          { STORY_PEER_SYN, { .flags = FRAME_RST | FRAME_ACK, .state = HALF_OPEN } },
          { ACCEPTED(1), RECEIVED(1) } },
        { "data before the handshake is done (Fast Open)", true,
          { STORY_PEER_SYN, STORY_OUR_SYN_ACK(HALF_OPEN), OURS(FRAME_ACK | FRAME_PSH, HALF_OPEN),
            STORY_PEER(FRAME_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { ACCEPTED(1), ESTABLISHED(1), RECEIVED(2) } },
};

static const struct story crossing[] = {
        { "both sides open at once: two SYNs, then two SYN-ACKs", false,
          { STORY_OUR_SYN(HALF_OPEN),
            { .incoming = true, .flags = FRAME_SYN, .sequence = STORY_PEER_SEQUENCE, .state = HALF_OPEN },
            { .flags = STORY_SYN_ACK, .sequence = STORY_OUR_SEQUENCE, .state = HALF_OPEN },
            STORY_PEER(STORY_SYN_ACK, NEXT_SEQUENCE, TUNNELLED) },
          { { UNDERPASS_COUNTER_FLOWS_OPENED, 1 }, ESTABLISHED(1), RECEIVED(2) } },
};

static const struct story signatures[] = {
        { "TCP-MD5", false, { STORY_SYN(FRAME_OPTIONS_MD5, NOWHERE, .incoming = false) }, { SIGNED(1) } },
        { "TCP-AO", false, { STORY_SYN(FRAME_OPTIONS_AO, NOWHERE, .incoming = false) }, { SIGNED(1) } },
        { "TCP-AO, and what comes after", false,
          { STORY_SYN(FRAME_OPTIONS_AO, NOWHERE, .incoming = false), OURS(FRAME_ACK, NOWHERE) },
          { SIGNED(1) } },
        { "a signed SYN ends what was known of a connection that is over", false,
          { STORY_OUR_SYN(HALF_OPEN), STORY_PEER(STORY_SYN_ACK, NEXT_SEQUENCE, TUNNELLED),
            { .flags = FRAME_RST | FRAME_ACK, .sequence = NEXT_SEQUENCE, .state = TUNNELLED },
            { .flags = FRAME_SYN, .sequence = 3, .options = FRAME_OPTIONS_AO } },
          { { UNDERPASS_COUNTER_FLOWS_OPENED, 1 }, ESTABLISHED(1), RECEIVED(1), SIGNED(1) },
          .socket = true },
        { "TCP-MD5 over UDP", true,
          { { .incoming = true, .flags = FRAME_SYN, .options = FRAME_OPTIONS_MD5 } }, { SIGNED(1) } },
        { "TCP-AO over UDP", true,
          { { .incoming = true, .flags = FRAME_SYN, .options = FRAME_OPTIONS_AO } }, { SIGNED(1) } },
};

static bool test_plain_syns(void *context) {
        return story_run_all(context, plain_syns, sizeof(plain_syns) / sizeof(plain_syns[0]));
}

static bool test_beside(void *context) {
        return story_run_all(context, beside, sizeof(beside) / sizeof(beside[0]));
}

static bool test_crossing(void *context) {
        return story_run_all(context, crossing, sizeof(crossing) / sizeof(crossing[0]));
}

static bool test_signatures(void *context) {
        return story_run_all(context, signatures, sizeof(signatures) / sizeof(signatures[0]));
}

/* The IP header says 0; so it is on Linux 6.3 (IPv4) and 7.0 (IPv6). Before that an option behind the IPv6
 * header says how much (RFC 2675, Linux 5.19). */
static void make_jumbo(struct frame *frame, const struct frame_spec *spec) {
        uint8_t *ip = frame->data + frame->layer3;

        frame_put16(ip + (spec->ipv6 ? 4 : 2), 0);
        if (spec->extensions_count == 0)
                return;
        frame_put16(ip + IPV6_LENGTH + 2, JUMBO_OPTION);
        frame_put32(ip + IPV6_LENGTH + 4, JUMBO_LENGTH);
}

static bool prepare(struct bench *bench, const struct frame *frame, bool outgoing) {
        struct underpass_flow_key key;
        struct underpass_flow flow;

        EXPECT(bench_reset(bench) == 0);
        bench_flow_key(frame, outgoing, &key);
        bench_tunnelled(&flow);
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        return true;
}

/* On its way to the segmentation device it is taken for what it is, and its flow knows how much it is. The
 * segmentation device segments, so no packet without a length comes behind it. */
static bool send_jumbo(struct bench *bench, const struct frame_spec *spec) {
        static const struct bench_count dropped[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_DROP_HEADER,
                                                                        1 } };
        struct __sk_buff note = { .gso_size = 900, .gso_segs = 2 }, segment = {};
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame before, after;
        __u32 verdict;

        frame_build(spec, &before);
        make_jumbo(&before, spec);
        EXPECT(prepare(bench, &before, true));
        after = before;
        EXPECT(bench_run(bench, spec->raw ? BENCH_EGRESS_RAW : BENCH_EGRESS, false, &after, &note,
                         &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT_EQUAL(after.length, before.length + (spec->raw ? ETHERNET_LENGTH : 0));
        EXPECT(memcmp(after.data + after.length - before.length, before.data, before.length) == 0);
        EXPECT(bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {}));
        bench_flow_key(&before, true, &key);
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.next, spec->sequence + spec->payload);
        memcpy(segment.cb, note.cb, sizeof(segment.cb));
        EXPECT(bench_run(bench, BENCH_SEGMENT, false, &after, &segment, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_DROP);
        return bench_counted(bench, dropped);
}

/* None comes from the wire. */
static bool receive_jumbo(struct bench *bench, const struct frame_spec *sent) {
        static const struct bench_count length[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_DROP_MALFORMED,
                                                                       1 } };
        struct frame_spec spec = *sent;
        struct frame before, after;
        __u32 verdict;

        spec.udp = true;
        spec.from = FRAME_REMOTE;
        frame_build(&spec, &before);
        make_jumbo(&before, &spec);
        EXPECT(prepare(bench, &before, false));
        after = before;
        EXPECT(bench_run(bench, spec.raw ? BENCH_INGRESS_RAW : BENCH_INGRESS, false, &after, NULL,
                         &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_DROP);
        EXPECT(frame_equal(&before, &after));
        return bench_counted(bench, length);
}

static bool test_jumbo(void *context) {
        static const struct frame_spec specs[] = {
                { .ipv6 = true, .extensions = { EXTENSION_HOP_BY_HOP }, .extensions_count = 1 },
                { .ipv6 = true },
                { .ipv6 = false },
        };

        for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
                for (int raw = 0; raw < 2; raw++) {
                        struct frame_spec spec = specs[i];

                        spec.flags = FRAME_ACK;
                        spec.sequence = 5000;
                        spec.payload = 1000;
                        spec.raw = raw;
                        EXPECT(send_jumbo(context, &spec));
                        EXPECT(receive_jumbo(context, &spec));
                }
        return true;
}

/* A length that the first extension header uses up is not the length of a super-packet. */
static bool test_no_length_left(void *context) {
        struct frame_spec spec = { .flags = FRAME_ACK, .payload = 40, .ipv6 = true,
                                   .extensions = { EXTENSION_HOP_BY_HOP, EXTENSION_DESTINATION },
                                   .extensions_count = 2 };
        struct bench *bench = context;
        struct frame before, after;
        __u32 verdict;

        frame_build(&spec, &before);
        frame_put16(before.data + before.layer3 + 4, 8);
        EXPECT(prepare(bench, &before, true));
        after = before;
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &after, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT(frame_equal(&before, &after));
        return bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {});
}

int programs_plain(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "plain: a plain SYN and a tunnelled flow", test_plain_syns },
                { "plain: a SYN over UDP and a plain connection", test_beside },
                { "plain: both sides open at once", test_crossing },
                { "plain: signed SYNs", test_signatures },
                { "plain: super-packets without a length", test_jumbo },
                { "plain: no length left", test_no_length_left },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
