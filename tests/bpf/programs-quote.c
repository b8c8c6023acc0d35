/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * ICMP errors that this side sends about what came in the tunnel: they quote the datagram that the peer
 * sent. And errors of a peer that has forgotten the connection: refused for a while, our side gets a
 * reset.
 *
 * Room: bench.h, frame-icmp.h.
 */

#include <string.h>

#include "frame-icmp.h"
#include "programs.h"

enum {
        WHOLE = 0xffff, /* of the packet is quoted */
        SEQUENCE = 0x23456789,
        ACKNOWLEDGED = 0x98765432, /* by our side */
        PAYLOAD = 400,
        MTU = 1300,
        REFUSED_MS = 1000,
        HOPS = 64,
};

/* One error that leaves, what it quotes, and what is known of the flow. */
struct quote_case {
        const char *name;
        struct frame_spec about;
        struct frame_icmp_spec error;
        uint8_t state;          /* 0: there is no flow */
        uint8_t flow_flags;
        bool quoted;
        uint32_t plain_sequence; /* of a SYN that came as plain TCP, with UNDERPASS_FLOW_PLAIN_SYN */
};

#define FROM_PEER .from = FRAME_REMOTE, .sequence = SEQUENCE, .acknowledgment = 99
#define DATA                                                                                                \
        FROM_PEER, .flags = FRAME_ACK | FRAME_PSH, .payload = PAYLOAD, .options = FRAME_OPTIONS_TIMESTAMP
#define SYN FROM_PEER, .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP
#define EXCEEDED .type = FRAME_ICMP_TIME_EXCEEDED, .quoted = WHOLE

/* The error as it has to leave. A quote that does not reach to the checksum has none. */
static void build_expected(const struct frame *tcp, const struct frame *udp,
                           const struct frame_icmp_spec *error, struct frame *ret) {
        struct frame mixed = *udp;
        size_t kept = error->quoted >= FRAME_HEADER_LENGTH ? tcp->length - tcp->layer4 :
                      error->quoted >= 16                  ? 16 :
                                                             8;

        if (error->quoted < FRAME_HEADER_LENGTH)
                frame_put16(mixed.data + mixed.layer4 + 6, 0);
        memcpy(mixed.data + mixed.layer4 + kept, tcp->data + tcp->layer4 + kept,
               tcp->length - tcp->layer4 - kept);
        frame_icmp_build(&mixed, error, ret);
}

static bool put_flow(struct bench *bench, const struct quote_case *test, const struct frame *tcp) {
        struct underpass_flow_key key;
        struct underpass_flow flow;

        EXPECT(bench_reset(bench) == 0);
        if (test->state == 0)
                return true;
        bench_tunnelled(&flow);
        flow.state = test->state;
        flow.flags = test->flow_flags;
        flow.plain_sequence = test->plain_sequence;
        bench_flow_key(tcp, test->about.from == FRAME_LOCAL, &key);
        EXPECT(bench_put_flow(flow.state == UNDERPASS_FLOW_TUNNELLED ? bench->flows : bench->half_open, &key,
                              &flow) == 0);
        return true;
}

static bool run_quote(struct bench *bench, const struct quote_case *test, bool raw) {
        const struct bench_count counts[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_ICMP_QUOTED,
                                                                test->quoted } };
        struct frame_spec spec = test->about;
        struct frame tcp, udp, before, after, expected;
        __u32 verdict;

        spec.raw = raw;
        frame_build(&spec, &tcp);
        EXPECT(put_flow(bench, test, &tcp));
        if (spec.udp) {
                udp = tcp;
        } else {
                spec.udp = true;
                frame_build(&spec, &udp);
        }
        frame_icmp_build(&tcp, &test->error, &before);
        build_expected(&tcp, &udp, &test->error, &expected);
        after = before;
        EXPECT(bench_run(bench, raw ? BENCH_EGRESS_RAW : BENCH_EGRESS, false, &after, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT(bench_counted(bench, counts));
        if (!test->quoted) {
                EXPECT(frame_equal(&after, &before));
                return true;
        }
        if (!frame_equal(&after, &expected)) {
                frame_dump("came out", &after);
                frame_dump("expected", &expected);
                return false;
        }
        EXPECT_EQUAL(frame_icmp_sum(&after), 0xffff);
        if (!test->about.ipv6)
                EXPECT_EQUAL(frame_icmp_quoted_sum(&after), 0xffff);
        return true;
}

/* IPv4 and IPv6, with and without Ethernet header. The types are those of IPv4. */
static bool run_quotes(struct bench *bench, const struct quote_case *cases, size_t count) {
        for (size_t i = 0; i < 4 * count; i++) {
                struct quote_case test = cases[i / 4];

                test.about.ipv6 = i & 1;
                if (test.about.ipv6) {
                        test.error.type = test.error.type == FRAME_ICMP_TIME_EXCEEDED ?
                                                  FRAME_ICMPV6_TIME_EXCEEDED :
                                          test.error.code == FRAME_ICMP_NEEDS_FRAGMENTATION ?
                                                  FRAME_ICMPV6_TOO_BIG :
                                                  FRAME_ICMPV6_UNREACHABLE;
                        test.error.code = test.error.code == FRAME_ICMP_PORT ? FRAME_ICMPV6_PORT : 0;
                        test.error.ipv4_options = test.about.ipv4_options = 0;
                }
                if (run_quote(bench, &test, i & 2))
                        continue;
                fprintf(stderr, "quote, IPv%d%s: %s\n", test.about.ipv6 ? 6 : 4, i & 2 ? ", raw" : "",
                        test.name);
                return false;
        }
        return true;
}

static bool test_flows(void *context) {
        static const struct quote_case cases[] = {
                { "time exceeded", { DATA }, { EXCEEDED }, UNDERPASS_FLOW_TUNNELLED, 0, true },
                { "fragmentation needed", { DATA },
                  { .type = FRAME_ICMP_UNREACHABLE, .code = FRAME_ICMP_NEEDS_FRAGMENTATION, .rest = MTU,
                    .quoted = WHOLE }, UNDERPASS_FLOW_TUNNELLED, 0, true },
                { "port unreachable", { DATA },
                  { .type = FRAME_ICMP_UNREACHABLE, .code = FRAME_ICMP_PORT, .quoted = 28 },
                  UNDERPASS_FLOW_TUNNELLED, 0, true },
                { "options", { DATA, .ipv4_options = 8 }, { EXCEEDED, .ipv4_options = 12 },
                  UNDERPASS_FLOW_TUNNELLED, 0, true },
                { "a bare acknowledgment", { FROM_PEER, .flags = FRAME_ACK }, { EXCEEDED },
                  UNDERPASS_FLOW_TUNNELLED, 0, true },
                { "a SYN-ACK", { FROM_PEER, .flags = FRAME_SYN | FRAME_ACK }, { EXCEEDED },
                  UNDERPASS_FLOW_HALF_OPEN, UNDERPASS_FLOW_OPENED_HERE, true },
                { "a SYN that our side has answered", { SYN }, { EXCEEDED }, UNDERPASS_FLOW_HALF_OPEN,
                  UNDERPASS_FLOW_ANSWERED, true },
                { "a SYN that it has not", { SYN }, { EXCEEDED }, UNDERPASS_FLOW_HALF_OPEN, 0, true },
                { "a SYN that has come again as plain TCP", { SYN }, { EXCEEDED }, UNDERPASS_FLOW_HALF_OPEN,
                  UNDERPASS_FLOW_PLAIN_SYN, false, SEQUENCE },
                { "of which only eight bytes are quoted", { SYN },
                  { .type = FRAME_ICMP_UNREACHABLE, .code = FRAME_ICMP_PORT, .quoted = 8 },
                  UNDERPASS_FLOW_HALF_OPEN, UNDERPASS_FLOW_ANSWERED | UNDERPASS_FLOW_PLAIN_SYN, false,
                  SEQUENCE },
                { "a plain SYN of a peer that has forgotten the flow", { SYN }, { EXCEEDED },
                  UNDERPASS_FLOW_TUNNELLED, UNDERPASS_FLOW_PLAIN_SYN, false, SEQUENCE },
                { "another SYN than the plain one", { SYN }, { EXCEEDED }, UNDERPASS_FLOW_HALF_OPEN,
                  UNDERPASS_FLOW_PLAIN_SYN, true, SEQUENCE + 1 },
                { "data with the number of a plain SYN", { DATA }, { EXCEEDED }, UNDERPASS_FLOW_TUNNELLED,
                  UNDERPASS_FLOW_PLAIN_SYN, true, SEQUENCE },
                { "a plain connection, and somebody makes up a SYN for it", { DATA }, { EXCEEDED },
                  UNDERPASS_FLOW_HALF_OPEN, 0, false },
                { "a plain SYN-ACK that is watched", { FROM_PEER, .flags = FRAME_SYN | FRAME_ACK },
                  { EXCEEDED }, UNDERPASS_FLOW_WATCHED, UNDERPASS_FLOW_OPENED_HERE, false },
                { "a plain connection", { DATA }, { EXCEEDED }, 0, 0, false },
                { "merely forwarded: the quote is UDP already", { DATA, .udp = true }, { EXCEEDED },
                  UNDERPASS_FLOW_TUNNELLED, 0, false },
                { "no error", { DATA }, { .type = 8, .quoted = WHOLE }, 0, 0, false },
        };

        return run_quotes(context, cases, sizeof(cases) / sizeof(cases[0]));
}

/* Our own segment is quoted: it left as UDP, and this is not its error. */
static bool test_own(void *context) {
        static const struct quote_case own = {
                "our own segment", { .flags = FRAME_ACK, .payload = PAYLOAD, .sequence = SEQUENCE },
                { EXCEEDED }, UNDERPASS_FLOW_TUNNELLED, 0, false,
        };

        return run_quotes(context, &own, 1);
}

static bool test_lengths(void *context) {
        for (uint16_t quoted = 0; quoted < 80; quoted++) {
                const struct quote_case test = { "short", { DATA },
                                                 { .type = FRAME_ICMP_TIME_EXCEEDED, .quoted = quoted },
                                                 UNDERPASS_FLOW_TUNNELLED, 0, quoted >= 8 };

                if (run_quotes(context, &test, 1))
                        continue;
                fprintf(stderr, "%u bytes quoted\n", quoted);
                return false;
        }
        return true;
}

/* A refusal of something that the flow has in flight, and what came before it. */
struct refusal_case {
        const char *name;
        int sequence;        /* that is quoted, from the oldest in flight */
        uint16_t in_flight;
        uint16_t quoted;
        int since_ms;        /* the first refusal was so long ago; 0: this is the first one */
        bool heard;          /* the peer has spoken since */
        bool by_router;      /* not the peer refuses */
        bool prohibited;     /* not "port unreachable" */
        unsigned word;       /* of the address that refuses is another: 1 to 4, of IPv6 */
        uint8_t flags;       /* of what is quoted; 0: ACK and PSH */
        bool half_open;      /* by a SYN that our side has answered */
        bool dropped;
        bool ends;
};

static const struct refusal_case refusals[] = {
        { "the first one", 0, PAYLOAD, WHOLE, 0, .ends = false },
        { "the second one, too soon", 0, PAYLOAD, WHOLE, 300 },
        { "for a second", 0, PAYLOAD, WHOLE, REFUSED_MS + 200, .ends = true },
        { "the newest in flight", PAYLOAD, PAYLOAD, WHOLE, REFUSED_MS + 200, .ends = true },
        { "20 bytes quoted", 0, PAYLOAD, 20, REFUSED_MS + 200, .ends = true },
        { "a keepalive", -1, 0, WHOLE, REFUSED_MS + 200, .ends = true },
        { "a bare acknowledgment", 0, 0, WHOLE, REFUSED_MS + 200, .ends = true },
        { "the peer has spoken", 0, PAYLOAD, WHOLE, REFUSED_MS + 200, .heard = true },
        { "by a router", 0, PAYLOAD, WHOLE, REFUSED_MS + 200, .by_router = true },
        { "by a neighbour, whose address begins otherwise", 0, PAYLOAD, WHOLE, REFUSED_MS + 200, .word = 1 },
        { "by one whose second word is another", 0, PAYLOAD, WHOLE, REFUSED_MS + 200, .word = 2 },
        { "by one whose third word is another", 0, PAYLOAD, WHOLE, REFUSED_MS + 200, .word = 3 },
        { "by one whose address ends otherwise", 0, PAYLOAD, WHOLE, REFUSED_MS + 200, .word = 4 },
        { "prohibited", 0, PAYLOAD, WHOLE, REFUSED_MS + 200, .prohibited = true },
        { "no acknowledgment quoted", 0, PAYLOAD, 16, REFUSED_MS + 200 },
        { "eight bytes quoted", 0, PAYLOAD, 8, REFUSED_MS + 200 },
        { "a reset of ours that acknowledges nothing", 0, PAYLOAD, WHOLE, REFUSED_MS + 200,
          .flags = FRAME_RST },
        { "a SYN-ACK", -1, 0, WHOLE, REFUSED_MS + 200, .flags = FRAME_SYN | FRAME_ACK, .half_open = true },
        { "acknowledged", -1, PAYLOAD, WHOLE, REFUSED_MS + 200, .dropped = true },
        { "not sent yet", PAYLOAD + 1, PAYLOAD, WHOLE, REFUSED_MS + 200, .dropped = true },
        { "half the world away", INT32_MIN, PAYLOAD, WHOLE, REFUSED_MS + 200, .dropped = true },
        { "before a keepalive", -2, 0, WHOLE, REFUSED_MS + 200, .dropped = true },
};

/* A reset as the peer would have sent it, which has the number that TCP expects next. */
static bool is_reset(const struct frame *reset, const struct frame *sent, bool ipv6) {
        const size_t addresses = ipv6 ? 16 : 4, at = sent->layer3 + (ipv6 ? 8 : 12);
        const uint8_t *tcp = reset->data + sent->layer4;

        EXPECT_EQUAL(reset->length, sent->layer4 + FRAME_HEADER_LENGTH);
        EXPECT_EQUAL(reset->data[sent->protocol], FRAME_TCP);
        EXPECT(memcmp(reset->data + at, sent->data + at + addresses, addresses) == 0);
        EXPECT(memcmp(reset->data + at + addresses, sent->data + at, addresses) == 0);
        EXPECT_EQUAL(reset->data[sent->layer3 + (ipv6 ? 7 : 8)], HOPS);
        EXPECT(ipv6 || frame_get16(reset->data + sent->layer3 + 6) == FRAME_DONT_FRAGMENT);
        EXPECT(memcmp(tcp, sent->data + sent->layer4 + 2, 2) == 0);
        EXPECT(memcmp(tcp + 2, sent->data + sent->layer4, 2) == 0);
        EXPECT_EQUAL(frame_get32(tcp + 4), ACKNOWLEDGED);
        EXPECT_EQUAL(tcp[12], 0x50);
        EXPECT_EQUAL(tcp[13], FRAME_RST);
        EXPECT_EQUAL(frame_layer3_sum(reset), 0xffff);
        EXPECT_EQUAL(frame_layer4_sum(reset), 0xffff);
        return true;
}

static bool put_refused(struct bench *bench, const struct refusal_case *test, const struct frame *sent) {
        struct underpass_flow_key key;
        struct underpass_flow flow;

        EXPECT(bench_reset(bench) == 0);
        bench_tunnelled(&flow);
        flow.expected = SEQUENCE;
        flow.next = SEQUENCE + test->in_flight;
        flow.received = 7;
        flow.refused_received = test->heard ? 6 : 7;
        if (test->since_ms != 0)
                flow.refused_ms = (__u32) (bench_now() / 1000000) - (__u32) test->since_ms;
        if (test->half_open) {
                flow.state = UNDERPASS_FLOW_HALF_OPEN;
                flow.flags = UNDERPASS_FLOW_ANSWERED;
        }
        bench_flow_key(sent, true, &key);
        return bench_put_flow(test->half_open ? bench->half_open : bench->flows, &key, &flow) == 0;
}

/* Without the sum of a card: the kernel forgets it where a packet is shortened. */
static bool run_refusal(struct bench *bench, const struct refusal_case *test, bool ipv6, bool raw) {
        const struct frame_spec about = { .ipv6 = ipv6, .udp = true, .raw = raw, .payload = PAYLOAD,
                                          .flags = test->flags ? test->flags : FRAME_ACK | FRAME_PSH,
                                          .acknowledgment = ACKNOWLEDGED,
                                          .sequence = SEQUENCE + (uint32_t) test->sequence };
        const struct frame_icmp_spec error = {
                .type = ipv6 ? FRAME_ICMPV6_UNREACHABLE : FRAME_ICMP_UNREACHABLE,
                .code = ipv6 ? (test->prohibited ? FRAME_ICMPV6_PROHIBITED : FRAME_ICMPV6_PORT) :
                               (test->prohibited ? FRAME_ICMP_PROHIBITED : FRAME_ICMP_PORT),
                .quoted = test->quoted, .from_destination = !test->by_router,
        };
        bool converted = !test->dropped && !test->ends;
        const struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_ICMP_RESETS, test->ends },
                { UNDERPASS_COUNTER_DROP_UNPROVEN, test->dropped },
                { UNDERPASS_COUNTER_ICMP_CONVERTED, converted },
                { UNDERPASS_COUNTER_ICMP_SHORT, converted && test->quoted < 16 },
        };
        struct frame sent, icmp;
        __u32 verdict;

        frame_build(&about, &sent);
        EXPECT(put_refused(bench, test, &sent));
        frame_icmp_build(&sent, &error, &icmp);
        if (test->word)
                icmp.data[icmp.layer3 + (ipv6 ? 4 + 4U * test->word : 12) + 3] ^= 1;
        EXPECT(bench_run(bench, raw ? BENCH_INGRESS_RAW : BENCH_INGRESS, false, &icmp, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, test->dropped ? BENCH_DROP : BENCH_NEXT);
        EXPECT(bench_counted(bench, counts));
        return !test->ends || is_reset(&icmp, &sent, ipv6);
}

/* Who guesses numbers, and a moment without tunnel at the peer, end nothing. */
static bool test_refusals(void *context) {
        for (size_t i = 0; i < 4 * sizeof(refusals) / sizeof(refusals[0]); i++) {
                const struct refusal_case *test = &refusals[i / 4];

                if (run_refusal(context, test, i & 1, i & 2))
                        continue;
                fprintf(stderr, "refusal, IPv%d%s: %s\n", i & 1 ? 6 : 4, i & 2 ? ", raw" : "", test->name);
                return false;
        }
        return true;
}

int programs_quote(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "quote: errors about what the peer sent", test_flows },
                { "quote: errors about what our side sent", test_own },
                { "quote: of all lengths", test_lengths },
                { "quote: refusals of a peer that has forgotten", test_refusals },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
