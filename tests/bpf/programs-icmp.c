/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * ICMP errors about what left in the tunnel: each becomes the error about the TCP segment, as far as it
 * quotes it, if it proves to be about what is in flight, and every other ICMP message comes through byte for
 * byte.
 *
 * Room: bench.h, frame-icmp.h. Everything runs with and without Ethernet header, and with the sum of a card
 * (CHECKSUM_COMPLETE) where the kernel can do that.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "frame-icmp.h"
#include "programs.h"

enum {
        WHOLE = 0xffff, /* of the packet is quoted */
        SEQUENCE = 0x12345678,
        SEGMENT_LENGTH = 20 + 12 + 600,
        PAYLOAD = 600,
        MTU = 640, /* smaller than the segment */
        MTU_LEAST = 576, /* of IPv4 */
        BELIEVED = 4,    /* errors about one flow in a second */
        EXTENSION_DESTINATION = 60,
        EXTENSION_FRAGMENT = 44,
};

/* One error, what it quotes, and what is known of the flow. */
struct error_case {
        struct frame_spec about;      /* from our side */
        struct frame_icmp_spec error;
        void (*mangle)(struct frame *frame, uint8_t *inner);
        void (*flow)(struct underpass_flow *flow);
        bool unknown;                 /* there is no flow */
        bool converted;
        bool summed;
};

#define SEGMENT                                                                                             \
        .flags = FRAME_ACK | FRAME_PSH, .payload = 600, .sequence = SEQUENCE, .acknowledgment = 99,         \
        .options = FRAME_OPTIONS_TIMESTAMP

static bool prepare(struct bench *bench, const struct error_case *test, const struct frame *about) {
        struct underpass_flow_key key;
        struct underpass_flow flow;

        EXPECT(bench_reset(bench) == 0);
        if (test->unknown)
                return true;
        bench_tunnelled(&flow);
        flow.sequence = htonl(SEQUENCE);
        flow.expected = SEQUENCE;
        flow.next = SEQUENCE + PAYLOAD;
        if (test->flow)
                test->flow(&flow);
        bench_flow_key(about, true, &key);
        EXPECT(bench_put_flow(flow.state == UNDERPASS_FLOW_TUNNELLED ? bench->flows : bench->half_open, &key,
                              &flow) == 0);
        return true;
}

static bool converted_rightly(const struct error_case *test, const struct frame *after,
                              const struct frame *expected) {
        if (!frame_equal(after, expected)) {
                frame_dump("came out", after);
                frame_dump("expected", expected);
                return false;
        }
        EXPECT_EQUAL(frame_icmp_sum(after), 0xffff);
        EXPECT_EQUAL(frame_layer3_sum(after), 0xffff);
        if (!test->about.ipv6)
                EXPECT_EQUAL(frame_icmp_quoted_sum(after), 0xffff);
        return true;
}

/* How our stack has to see the error: no path MTU of IPv4 is too small to be one. */
static struct frame_icmp_spec as_believed(const struct error_case *test) {
        struct frame_icmp_spec error = test->error;

        if (!test->about.ipv6 && error.type == FRAME_ICMP_UNREACHABLE &&
            error.code == FRAME_ICMP_NEEDS_FRAGMENTATION && error.rest < MTU_LEAST)
                error.rest = MTU_LEAST;
        return error;
}

static bool run_case(struct bench *bench, const struct error_case *test) {
        const struct frame_icmp_spec believed = as_believed(test);
        struct frame_spec tcp_spec = test->about, udp_spec = test->about;
        enum bench_program program = test->about.raw ? BENCH_INGRESS_RAW : BENCH_INGRESS;
        struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_ICMP_CONVERTED, test->converted },
                { UNDERPASS_COUNTER_ICMP_SHORT, test->converted && test->error.quoted < 16 },
        };
        struct frame tcp, udp, before, after, expected;
        __u32 verdict;
        int r;

        udp_spec.udp = true;
        frame_build(&tcp_spec, &tcp);
        frame_build(&udp_spec, &udp);
        EXPECT(prepare(bench, test, &udp));
        frame_icmp_build(&udp, &test->error, &before);
        frame_icmp_build_tcp(&tcp, &udp, &believed, &expected);
        if (test->mangle)
                test->mangle(&before, before.data + before.layer4 + FRAME_ICMP_HEADER_LENGTH);
        after = before;
        r = bench_run(bench, program, test->summed, &after, NULL, &verdict);
        if (test->summed && r == -EINVAL)
                return true;
        EXPECT_EQUAL((unsigned) -r, 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT(bench_counted(bench, counts));
        if (test->converted)
                return converted_rightly(test, &after, &expected);
        EXPECT(frame_equal(&before, &after));
        return true;
}

/* With Ethernet header, without, and summed by a card. */
static bool run_all_ways(struct bench *bench, const struct error_case *test) {
        for (int way = 0; way < 3; way++) {
                struct error_case again = *test;

                again.about.raw = way == 1;
                again.summed = way == 2;
                if (run_case(bench, &again))
                        continue;
                fprintf(stderr, "icmp, way %d: IPv%d, type %u, code %u, %u bytes quoted\n", way,
                        test->about.ipv6 ? 6 : 4, test->error.type, test->error.code, test->error.quoted);
                return false;
        }
        return true;
}

/* All types and codes: errors that end or slow down a connection are ours, everything else is not. */
static bool test_kinds(void *context) {
        for (unsigned type = 0; type < 256; type++) {
                for (unsigned code = 0; code < 17; code++) {
                        struct error_case test = {
                                .about = { SEGMENT },
                                .error = { .type = (uint8_t) type, .code = (uint8_t) code, .quoted = 100 },
                                .converted = type == 3 || type == 11 || type == 12,
                        };

                        EXPECT(run_all_ways(context, &test));
                        test.about.ipv6 = true;
                        test.converted = type >= 1 && type <= 4;
                        EXPECT(run_all_ways(context, &test));
                }
        }
        return true;
}

/* From eight bytes on; below 16 the sequence number is our record's. */
static bool test_lengths(void *context) {
        for (unsigned quoted = 0; quoted < 80; quoted++) {
                struct error_case test = {
                        .about = { SEGMENT },
                        .error = { .type = FRAME_ICMP_TIME_EXCEEDED, .quoted = (uint16_t) quoted },
                        .converted = quoted >= 8,
                };

                EXPECT(run_all_ways(context, &test));
                test.about.ipv6 = true;
                test.error.type = FRAME_ICMPV6_TIME_EXCEEDED;
                EXPECT(run_all_ways(context, &test));
        }
        return true;
}

/* The sequence number of what left last, if the quote has none. */
static bool test_record(void *context) {
        struct frame_spec last = { SEGMENT };
        struct bench *bench = context;

        for (int ipv6 = 0; ipv6 < 2; ipv6++) {
                struct frame_icmp_spec error = {
                        .type = ipv6 ? FRAME_ICMPV6_TOO_BIG : FRAME_ICMP_UNREACHABLE,
                        .code = ipv6 ? 0 : FRAME_ICMP_NEEDS_FRAGMENTATION, .rest = MTU, .quoted = 8,
                };
                struct underpass_flow_key key;
                struct underpass_flow flow;
                struct frame sent, udp, icmp;
                __u32 verdict;

                EXPECT(bench_reset(bench) == 0);
                last.ipv6 = ipv6;
                last.udp = false;
                frame_build(&last, &sent);
                bench_tunnelled(&flow);
                flow.expected = flow.next = SEQUENCE;
                bench_flow_key(&sent, true, &key);
                EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
                EXPECT(bench_run(bench, BENCH_EGRESS, false, &sent, NULL, &verdict) == 0);
                EXPECT_EQUAL(verdict, BENCH_REDIRECT);
                last.udp = true;
                frame_build(&last, &udp);
                frame_icmp_build(&udp, &error, &icmp);
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &icmp, NULL, &verdict) == 0);
                EXPECT_EQUAL(frame_get32(icmp.data + icmp.length - 4), SEQUENCE);
                EXPECT_EQUAL(frame_icmp_sum(&icmp), 0xffff);
        }
        return true;
}

static void no_udp(struct frame *frame, uint8_t *inner) {
        inner[inner[0] >> 4 == 6 ? 6 : 9] = 136; /* UDP-Lite */
}

static void short_header(struct frame *frame, uint8_t *inner) {
        inner[0] = 0x44;
}

static void other_version(struct frame *frame, uint8_t *inner) {
        inner[0] = inner[0] >> 4 == 6 ? 0x45 : 0x65;
}

static void other_port(struct frame *frame, uint8_t *inner) {
        frame->data[frame->length - SEGMENT_LENGTH + 3] ^= 1;
}

static void outer_short_header(struct frame *frame, uint8_t *inner) {
        frame->data[frame->layer3] = 0x44;
}

#define UNREACHABLE .type = FRAME_ICMP_UNREACHABLE, .code = FRAME_ICMP_PORT, .quoted = WHOLE
#define UNREACHABLE6 .type = FRAME_ICMPV6_UNREACHABLE, .code = FRAME_ICMPV6_PORT, .quoted = WHOLE
#define EXTENSION(kind) .ipv6 = true, .extensions = { (kind) }, .extensions_count = 1

/* Headers that are longer than usual, and fragments. */
static bool test_headers(void *context) {
        static const struct error_case cases[] = {
                { { SEGMENT }, { UNREACHABLE }, .converted = true },
                { { SEGMENT }, { UNREACHABLE, .ipv4_options = 4 }, .converted = true },
                { { SEGMENT }, { UNREACHABLE, .ipv4_options = 40 }, .converted = true },
                { { SEGMENT, .ipv4_options = 4 }, { UNREACHABLE }, .converted = true },
                { { SEGMENT, .ipv4_options = 40 }, { UNREACHABLE, .ipv4_options = 40 }, .converted = true },
                { { SEGMENT, .ipv4_options = 12 },
                  { .type = FRAME_ICMP_UNREACHABLE, .quoted = 8, .ipv4_options = 8 },
                  .converted = true },
                { { SEGMENT }, { UNREACHABLE, .fragment = FRAME_DONT_FRAGMENT }, .converted = true },
                { { SEGMENT }, { UNREACHABLE, .fragment = FRAME_MORE_FRAGMENTS } },
                { { SEGMENT }, { UNREACHABLE, .fragment = 60 } },
                { { SEGMENT, .fragment = FRAME_MORE_FRAGMENTS }, { UNREACHABLE } },
                { { SEGMENT, .fragment = 185 }, { UNREACHABLE } },
                { { SEGMENT, EXTENSION(EXTENSION_DESTINATION) }, { UNREACHABLE6 } },
                { { SEGMENT, EXTENSION(EXTENSION_FRAGMENT), .fragment = 1 }, { UNREACHABLE6 } },
                { { SEGMENT }, { UNREACHABLE }, .mangle = no_udp },
                { { SEGMENT, .ipv6 = true }, { UNREACHABLE6 }, .mangle = no_udp },
                { { SEGMENT }, { UNREACHABLE }, .mangle = short_header },
                { { SEGMENT }, { UNREACHABLE }, .mangle = other_version },
                { { SEGMENT, .ipv6 = true }, { UNREACHABLE6 }, .mangle = other_version },
                { { SEGMENT }, { UNREACHABLE }, .mangle = outer_short_header },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                if (run_all_ways(context, &cases[i]))
                        continue;
                fprintf(stderr, "icmp: header case %zu\n", i);
                return false;
        }
        return true;
}

static void watched(struct underpass_flow *flow) {
        flow->state = UNDERPASS_FLOW_WATCHED;
        flow->flags = UNDERPASS_FLOW_OPENED_HERE;
}

/* A connection that is long over; its addresses and ports can be anybody's by now. */
static void silent(struct underpass_flow *flow) {
        __be32 sequence = flow->sequence;

        bench_silent(flow);
        flow->sequence = sequence;
}

/* Datagrams of other programs. */
static bool test_foreign(void *context) {
        static const struct error_case cases[] = {
                { { SEGMENT }, { UNREACHABLE }, .unknown = true },
                { { SEGMENT, .ipv6 = true }, { UNREACHABLE6 }, .unknown = true },
                { { SEGMENT }, { UNREACHABLE }, .flow = watched },
                { { SEGMENT, .ipv6 = true }, { UNREACHABLE6 }, .flow = watched },
                { { SEGMENT }, { UNREACHABLE }, .flow = silent },
                { { SEGMENT, .ipv6 = true }, { UNREACHABLE6 }, .flow = silent },
                { { SEGMENT }, { UNREACHABLE }, .mangle = other_port },
                { { SEGMENT, .ipv6 = true }, { UNREACHABLE6 }, .mangle = other_port },
        };
        uint64_t random = 0x5eed0007;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                if (run_all_ways(context, &cases[i]))
                        continue;
                fprintf(stderr, "icmp: foreign case %zu\n", i);
                return false;
        }
        /* Quotes of anything at all. */
        for (int i = 0; i < 3000; i++) {
                struct error_case test = { .unknown = true, .error = { UNREACHABLE } };

                frame_random_spec(&random, &test.about);
                test.error.type = (uint8_t) (test.about.ipv6 ? 1 + i % 4 : (int[]){ 3, 11, 12 }[i % 3]);
                test.error.quoted = (uint16_t) (expect_random(&random) % 600);
                test.error.jumbled_check = i & 1;
                EXPECT(run_case(context, &test));
        }
        return true;
}

/* A checksum that was wrong stays wrong by as much. */
static bool test_wrong_checksum(void *context) {
        struct bench *bench = context;

        for (unsigned i = 0; i < 64; i++) {
                struct frame_icmp_spec error = { .type = FRAME_ICMP_TIME_EXCEEDED,
                                                 .quoted = (uint16_t) (8 + i), .jumbled_check = true };
                struct error_case test = { .about = { SEGMENT, .ipv6 = i & 1, .udp = true } };
                struct frame udp, before, after;
                __u32 verdict;

                if (i & 1)
                        error.type = FRAME_ICMPV6_TIME_EXCEEDED;
                frame_build(&test.about, &udp);
                EXPECT(prepare(bench, &test, &udp));
                frame_icmp_build(&udp, &error, &before);
                after = before;
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &after, NULL, &verdict) == 0);
                EXPECT(!frame_equal(&before, &after));
                EXPECT(frame_icmp_sum(&after) != 0xffff);
                EXPECT_EQUAL(frame_icmp_sum(&after), frame_icmp_sum(&before));
        }
        return true;
}

/* What the flow has in flight, and an error that quotes something of it or not. */
struct proof_case {
        const char *name;
        int sequence;          /* that is quoted, from the oldest in flight */
        uint16_t payload;      /* of the datagram that is quoted */
        uint16_t in_flight;
        uint16_t quoted;
        uint16_t mtu;          /* too big; 0: unreachable */
        bool believed;
        int sized;             /* in place of mtu: 1 is the size of the datagram, 2 a byte less */
        bool half_open;        /* by a SYN that our side has answered */
};

static const struct proof_case proofs[] = {
        { "the oldest", 0, 600, 600, WHOLE, 0, true },
        { "the newest", 600, 600, 600, WHOLE, 0, true },
        { "acknowledged", -1, 600, 600, WHOLE, 0, false },
        { "not sent yet", 601, 600, 600, WHOLE, 0, false },
        { "half the world away", INT32_MIN, 600, 600, WHOLE, 0, false },
        { "a path MTU, acknowledged", -1, 600, 600, WHOLE, MTU, false },
        { "a path MTU, not sent yet", 601, 600, 600, WHOLE, MTU, false },
        { "16 bytes", 0, 600, 600, 16, MTU, true },
        { "16 bytes, not sent yet", 601, 600, 600, 16, MTU, false },
        { "a bare acknowledgment", 0, 0, 0, WHOLE, 0, true },
        { "8 bytes, as much in flight", 0, 600, 600, 8, 0, true },
        { "8 bytes, more in flight", 0, 600, 60000, 8, MTU, true },
        { "8 bytes, nothing in flight", 0, 600, 0, 8, 0, false },
        { "8 bytes, a path MTU, nothing in flight", 0, 600, 0, 8, MTU, false },
        { "8 bytes, less in flight", 0, 600, 500, 8, MTU, false },
        { "8 bytes, a path MTU that the packet fitted", 0, 600, 600, 8, MTU + 100, false },
        { "15 bytes, nothing in flight", 0, 600, 0, 15, MTU, false },
        { "8 bytes of a bare acknowledgment, nothing in flight", 0, 0, 0, 8, 0, false },
        { "a keepalive", -1, 0, 0, WHOLE, 0, true },
        { "a path MTU, a keepalive", -1, 0, 0, WHOLE, MTU, false },
        { "the number of a keepalive, data in flight", -1, 0, 600, WHOLE, 0, false },
        { "a SYN-ACK", -1, 0, 0, WHOLE, 0, true, .half_open = true },
        { "the number of a keepalive, but there is no connection yet", -2, 0, 0, WHOLE, 0, false,
          .half_open = true },
        { "8 bytes, as many options as there can be", 0, 628, 600, 8, 0, true },
        { "8 bytes, more than that", 0, 629, 600, 8, 0, false },
        { "8 bytes, a path MTU of its size", 0, 600, 600, 8, .believed = false, .sized = 1 },
        { "8 bytes, a path MTU of a byte less", 0, 600, 600, 8, .believed = true, .sized = 2 },
};

static bool run_proof(struct bench *bench, const struct proof_case *test, bool ipv6) {
        struct frame_spec about = { SEGMENT, .ipv6 = ipv6, .udp = true };
        struct frame_icmp_spec error = { .type = ipv6 ? FRAME_ICMPV6_UNREACHABLE : FRAME_ICMP_UNREACHABLE,
                                         .code = ipv6 ? FRAME_ICMPV6_PORT : FRAME_ICMP_PORT,
                                         .quoted = test->quoted, .rest = test->mtu };
        const struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_ICMP_CONVERTED, test->believed },
                { UNDERPASS_COUNTER_ICMP_SHORT, test->believed && test->quoted < 16 },
                { UNDERPASS_COUNTER_DROP_UNPROVEN, !test->believed },
        };
        struct underpass_destination known;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame udp, icmp;
        __u32 verdict;

        if (test->mtu || test->sized) {
                error.type = ipv6 ? FRAME_ICMPV6_TOO_BIG : FRAME_ICMP_UNREACHABLE;
                error.code = ipv6 ? 0 : FRAME_ICMP_NEEDS_FRAGMENTATION;
        }
        about.sequence = SEQUENCE + (uint32_t) test->sequence;
        about.payload = test->payload;
        EXPECT(bench_reset(bench) == 0);
        frame_build(&about, &udp);
        bench_tunnelled(&flow);
        flow.expected = SEQUENCE;
        flow.next = SEQUENCE + test->in_flight;
        if (test->half_open) {
                flow.state = UNDERPASS_FLOW_HALF_OPEN;
                flow.flags = UNDERPASS_FLOW_ANSWERED;
        }
        bench_flow_key(&udp, true, &key);
        EXPECT(bench_put_flow(test->half_open ? bench->half_open : bench->flows, &key, &flow) == 0);
        if (test->sized)
                error.rest = (uint32_t) (udp.length - udp.layer3) + 1 - (uint32_t) test->sized;
        frame_icmp_build(&udp, &error, &icmp);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &icmp, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, test->believed ? BENCH_NEXT : BENCH_DROP);
        bench_get_destination(bench, &key, BENCH_IFINDEX, &known);
        if (!test->believed)
                EXPECT_EQUAL(known.mtu, 0);
        return bench_counted(bench, counts);
}

/* An error that anybody can make, who knows no more than addresses and ports, is believed by nobody: neither
 * by our stack nor by a UDP socket at that port. */
static bool test_proofs(void *context) {
        for (size_t i = 0; i < 2 * sizeof(proofs) / sizeof(proofs[0]); i++) {
                if (run_proof(context, &proofs[i / 2], i & 1))
                        continue;
                fprintf(stderr, "icmp, IPv%d: %s\n", i & 1 ? 6 : 4, proofs[i / 2].name);
                return false;
        }
        return true;
}

static void more_in_flight(struct underpass_flow *flow) {
        flow->next += PAYLOAD;
}

/* What an error says of a datagram in the bulk form: of which TCP is only quoted behind the inner IP header.
 * What does not reach so far is as one of eight bytes. */
static bool run_bulk(struct bench *bench, bool ipv6, uint16_t quoted) {
        const struct frame_spec about = { SEGMENT, .ipv6 = ipv6 };
        const struct frame_icmp_spec error = {
                .type = ipv6 ? FRAME_ICMPV6_TIME_EXCEEDED : FRAME_ICMP_TIME_EXCEEDED, .quoted = quoted,
        };
        const bool is_short = quoted < 8 + (ipv6 ? 40 : 20) + FRAME_HEADER_LENGTH;
        const struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_ICMP_CONVERTED, 1 }, { UNDERPASS_COUNTER_ICMP_SHORT, is_short },
        };
        const size_t inner = FRAME_ICMP_HEADER_LENGTH + (ipv6 ? 40 : 20);
        const struct error_case test = { .about = about, .flow = more_in_flight };
        struct frame tcp, bulk, icmp, before;
        const uint8_t *quote;
        __u32 verdict;

        frame_build(&about, &tcp);
        EXPECT(prepare(bench, &test, &tcp));
        bulk = tcp;
        frame_wrap(&bulk, &tcp);
        frame_icmp_build(&bulk, &error, &icmp);
        before = icmp;
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &icmp, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT(bench_counted(bench, counts));
        EXPECT_EQUAL(icmp.length, before.length);
        EXPECT_EQUAL(frame_icmp_sum(&icmp), 0xffff);
        quote = icmp.data + icmp.layer4 + inner;
        EXPECT_EQUAL(quote[ipv6 ? -34 : -11], FRAME_TCP);
        EXPECT_EQUAL(memcmp(quote, tcp.data + tcp.layer4, is_short ? 8 : 16), 0);
        /* What is behind stays as it was. */
        EXPECT_EQUAL(memcmp(quote + (is_short ? 8 : FRAME_HEADER_LENGTH),
                            before.data + before.layer4 + inner + (is_short ? 8 : FRAME_HEADER_LENGTH),
                            quoted - (is_short ? 8U : FRAME_HEADER_LENGTH)), 0);
        return true;
}

static bool test_bulk(void *context) {
        for (uint16_t quoted = 8; quoted < 90; quoted++) {
                if (run_bulk(context, false, quoted) && run_bulk(context, true, quoted))
                        continue;
                fprintf(stderr, "icmp: bulk, %u bytes quoted\n", quoted);
                return false;
        }
        return true;
}

/* An established flow that sends this, and what its record says of what is in flight. */
static bool put_sender(struct bench *bench, const struct frame_spec *spec, uint32_t expected, uint32_t next,
                       struct underpass_flow_key *ret) {
        struct underpass_flow flow;
        struct frame frame;

        EXPECT(bench_reset(bench) == 0);
        frame_build(spec, &frame);
        bench_flow_key(&frame, true, ret);
        bench_tunnelled(&flow);
        flow.expected = expected;
        flow.next = next;
        EXPECT(bench_put_flow(bench->flows, ret, &flow) == 0);
        return true;
}

/* Packets say what is in flight: ours open the window, those of the peer close it. */
static bool test_window(void *context) {
        const struct frame_spec sent = { SEGMENT };
        const struct frame_spec answer = { .udp = true, .from = FRAME_REMOTE, .flags = FRAME_ACK,
                                           .acknowledgment = SEQUENCE + PAYLOAD };
        const struct frame_spec made_up = { .udp = true, .from = FRAME_REMOTE, .flags = FRAME_ACK,
                                            .acknowledgment = SEQUENCE + PAYLOAD + 1 };
        const struct frame_spec reset = { .flags = FRAME_RST, .sequence = SEQUENCE + 0x1000000 };
        const struct { const struct frame_spec *spec; uint32_t expected, next; } steps[] = {
                { &sent, SEQUENCE, SEQUENCE + PAYLOAD }, { &sent, SEQUENCE, SEQUENCE + PAYLOAD },
                { &made_up, SEQUENCE, SEQUENCE + PAYLOAD },
                { &answer, SEQUENCE + PAYLOAD, SEQUENCE + PAYLOAD },
                { &sent, SEQUENCE + PAYLOAD, SEQUENCE + PAYLOAD },
                { &reset, SEQUENCE + PAYLOAD, SEQUENCE + PAYLOAD },
        };
        struct bench *bench = context;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;
        __u32 verdict;

        EXPECT(put_sender(bench, &sent, SEQUENCE, SEQUENCE, &key));
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
                frame_build(steps[i].spec, &frame);
                EXPECT(bench_run(bench, steps[i].spec->udp ? BENCH_INGRESS : BENCH_EGRESS, false, &frame,
                                 NULL, &verdict) == 0);
                EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
                EXPECT_EQUAL(flow.expected, steps[i].expected);
                EXPECT_EQUAL(flow.next, steps[i].next);
        }
        return true;
}

/* A flow of an earlier release, whose record does not tell: it begins with the next packet. */
static bool test_carried_over(void *context) {
        const struct frame_spec sent = { .flags = FRAME_ACK, .payload = PAYLOAD, .sequence = 0xc0000000 };
        struct bench *bench = context;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;
        __u32 verdict;

        EXPECT(put_sender(bench, &sent, SEQUENCE, 0, &key));
        frame_build(&sent, &frame);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.expected, 0xc0000000);
        EXPECT_EQUAL(flow.next, 0xc0000000 + PAYLOAD);
        return true;
}

/* Who guesses has few guesses: however many errors come, few are believed in a second. */
static bool test_seldom(void *context) {
        const struct error_case test = { { SEGMENT, .udp = true }, { UNREACHABLE } };
        struct bench *bench = context;
        struct underpass_counters counted;
        __u64 begin, seconds;
        struct frame udp, icmp;
        __u32 verdict;

        frame_build(&test.about, &udp);
        EXPECT(prepare(bench, &test, &udp));
        begin = bench_now();
        for (int i = 0; i < 100; i++) {
                frame_icmp_build(&udp, &test.error, &icmp);
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &icmp, NULL, &verdict) == 0);
        }
        seconds = 2 + (bench_now() - begin) / 1000000000; /* begun */
        EXPECT(bench_counters(bench, BENCH_SLOT, &counted) == 0);
        EXPECT(counted.value[UNDERPASS_COUNTER_ICMP_CONVERTED] >= BELIEVED);
        EXPECT(counted.value[UNDERPASS_COUNTER_ICMP_CONVERTED] <= BELIEVED * seconds);
        EXPECT_EQUAL(counted.value[UNDERPASS_COUNTER_DROP_UNPROVEN],
                     100 - counted.value[UNDERPASS_COUNTER_ICMP_CONVERTED]);
        return true;
}

int programs_icmp(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "icmp: all types and codes", test_kinds },
                { "icmp: quotes of all lengths", test_lengths },
                { "icmp: the sequence number of our record", test_record },
                { "icmp: long headers and fragments", test_headers },
                { "icmp: datagrams of others", test_foreign },
                { "icmp: wrong checksums", test_wrong_checksum },
                { "icmp: what proves an error", test_proofs },
                { "icmp: datagrams in the bulk form", test_bulk },
                { "icmp: what is in flight", test_window },
                { "icmp: a flow of an earlier release", test_carried_over },
                { "icmp: few in a second", test_seldom },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
