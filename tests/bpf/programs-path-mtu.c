/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Paths narrower than the link where ICMP says nothing: segments that get lost again and again, and
 * datagrams that arrive in fragments, become ICMP errors to their sender.
 *
 * Room: bench.h, frame-icmp.h.
 */

#include <arpa/inet.h>
#include <string.h>

#include "frame-icmp.h"
#include "programs.h"

enum {
        SEQUENCE = 0x00001000,
        ROOM_IPV4 = 28, /* an IP header and that of ICMP, in front of the quote */
        ROOM_IPV6 = 48,
        QUOTED_IPV4 = 40,
        QUOTED_IPV6 = 60,
        BELIEVED = 4, /* errors about one flow in a second */
        EXTENSION_DESTINATION = 60,
        STAMPS = 0x0101080a, /* two NOPs, kind and length of time stamps */
        SLACK_NS = 50 * 1000000, /* so soon, it is still too soon for a timeout */
};

/* A segment of ours that is sent again, and what came before. */
struct black_hole_case {
        const char *name;
        bool ipv6;
        uint16_t size;       /* of the IP packet */
        uint32_t stalls;     /* sent again so often */
        uint32_t ago_ms;     /* the last time */
        bool heard;          /* the peer has spoken since */
        uint32_t other;      /* stalled at a sequence number that is so much less */
        uint32_t behind;     /* the peer has acknowledged so much less */
        uint32_t in_flight;  /* bytes; 0: the segment is new */
        uint32_t told;       /* MTU, 0: the segment is sent */
        uint32_t then;       /* stalls afterwards */
        uint16_t gso_size;   /* a super-packet */
        uint8_t ipv4_options;
        bool extension;      /* an IPv6 extension header */
};

static const struct black_hole_case black_holes[] = {
        { "the first time", false, 1500, 0, 0, false, 0, 0, 5000, 0, 1 },
        { "the second time", false, 1500, 1, 400, false, 0, 0, 5000, 1280, 0 },
        { "the second time, IPv6", true, 1500, 1, 400, false, 0, 0, 5000, 1280, 0 },
        { "too soon for a timeout", false, 1500, 1, 100, false, 0, 0, 5000, 0, 1 },
        { "the peer speaks", false, 1500, 1, 400, true, 0, 0, 5000, 0, 2 },
        { "the peer speaks, for the last time", false, 1500, 3, 400, true, 0, 0, 5000, 1280, 0 },
        { "another segment", false, 1500, 1, 400, false, 1448, 0, 5000, 0, 1 },
        { "not the next one", false, 1500, 1, 400, false, 0, 1448, 5000, 0, 1 },
        { "a new one", false, 1500, 1, 400, false, 0, 0, 0, 0, 1 },
        { "smaller", false, 1280, 1, 400, false, 0, 0, 5000, 1024, 0 },
        { "smaller still", false, 1024, 1, 400, false, 0, 0, 5000, 576, 0 },
        { "as small as it gets", false, 576, 1, 400, false, 0, 0, 5000, 0, 0 },
        { "as small as it gets, IPv6", true, 1280, 1, 400, false, 0, 0, 5000, 0, 0 },
        { "a jumbo frame", true, 3000, 1, 400, false, 0, 0, 5000, 1280, 0 },
        { "a super-packet", false, 3000, 1, 400, false, 0, 0, 5000, 0, 1, .gso_size = 1400 },
        { "IPv4 options", false, 1500, 1, 400, false, 0, 0, 5000, 0, 1, .ipv4_options = 8 },
        { "an extension header", true, 1500, 1, 400, false, 0, 0, 5000, 0, 1, .extension = true },
};

/* The error must be sound, come from the other side, and quote the beginning of the packet. */
static bool expect_error(const struct frame *before, const struct frame *after, bool ipv6, uint32_t mtu) {
        const size_t room = ipv6 ? ROOM_IPV6 : ROOM_IPV4, quoted = ipv6 ? QUOTED_IPV6 : QUOTED_IPV4;
        const size_t addresses = ipv6 ? 16 : 4, source = before->layer3 + (ipv6 ? 8 : 12);
        const uint8_t *icmp = after->data + after->layer3 + (ipv6 ? 40 : 20);
        struct frame error = *after;

        error.layer4 = (size_t) (icmp - after->data);
        EXPECT_EQUAL(after->length, before->layer3 + room + quoted);
        EXPECT_EQUAL(frame_layer3_sum(after), 0xffff);
        EXPECT_EQUAL(frame_icmp_sum(&error), 0xffff);
        EXPECT_EQUAL(icmp[0], ipv6 ? FRAME_ICMPV6_TOO_BIG : FRAME_ICMP_UNREACHABLE);
        EXPECT_EQUAL(icmp[1], ipv6 ? 0 : FRAME_ICMP_NEEDS_FRAGMENTATION);
        EXPECT_EQUAL(frame_get32(icmp + 4), mtu);
        EXPECT(memcmp(after->data + source, before->data + source + addresses, addresses) == 0);
        EXPECT(memcmp(after->data + source + addresses, before->data + source, addresses) == 0);
        EXPECT(memcmp(icmp + 8 + (ipv6 ? 40 : 20), before->data + before->layer4, 20) == 0);
        EXPECT(memcmp(icmp + 8 + source - before->layer3, before->data + source, 2 * addresses) == 0);
        if (!ipv6) {
                EXPECT_EQUAL(frame_icmp_quoted_sum(&error), 0xffff);
                EXPECT_EQUAL(frame_get16(icmp + 8 + 6), FRAME_DONT_FRAGMENT);
                EXPECT(memcmp(icmp + 8, before->data + before->layer3, 6) == 0);
        }
        if (before->layer3 != 0) {
                EXPECT(memcmp(after->data, before->data + 6, 6) == 0);
                EXPECT(memcmp(after->data + 6, before->data, 6) == 0);
                EXPECT(memcmp(after->data + 12, before->data + 12, 2) == 0);
        }
        return true;
}

static uint16_t payload_of(bool ipv6, uint16_t size) {
        return (uint16_t) (size - (ipv6 ? 60 : 40));
}

static bool run_black_hole(struct bench *bench, const struct black_hole_case *test) {
        struct frame_spec spec = { .ipv6 = test->ipv6, .flags = FRAME_ACK, .sequence = SEQUENCE,
                                   .payload = payload_of(test->ipv6, test->size),
                                   .ipv4_options = test->ipv4_options,
                                   .extensions = { EXTENSION_DESTINATION },
                                   .extensions_count = test->extension };
        struct __sk_buff context = { .gso_size = test->gso_size, .gso_segs = test->gso_size ? 3 : 0 };
        struct underpass_destination known = {};
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame before, after;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        bench_tunnelled(&flow);
        flow.expected = SEQUENCE - test->behind;
        flow.next = SEQUENCE + test->in_flight;
        flow.received = 7;
        flow.stalls = test->stalls;
        flow.stalled_sequence = flow.expected - test->other;
        flow.stalled_received = test->heard ? 5 : 6; /* beside the answer to our question */
        flow.stalled_ms = (__u32) (bench_now() / 1000000) - test->ago_ms;
        flow.seen_ns = bench_now() + 400000000; /* nothing is asked at the first time */
        frame_build(&spec, &before);
        bench_flow_key(&before, true, &key);
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        after = before;
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &after, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.stalls, test->then);
        bench_get_destination(bench, &key, BENCH_IFINDEX, &known);
        EXPECT_EQUAL(known.mtu, test->told);
        EXPECT(bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {
                                            { UNDERPASS_COUNTER_BLACK_HOLE, test->told != 0 }, {} }));
        /* What is told instead has not been sent. */
        EXPECT_EQUAL(flow.sent, test->told == 0);
        if (test->told != 0)
                return expect_error(&before, &after, test->ipv6, test->told);
        return frame_equal(&before, &after);
}

/* A busy machine may keep this program waiting until that was another case: then once more. */
static bool run_in_time(struct bench *bench, const struct black_hole_case *test) {
        __u64 begin;
        bool passed;

        do {
                begin = bench_now();
                passed = run_black_hole(bench, test);
        } while (!passed && bench_now() - begin > SLACK_NS);
        return passed;
}

static bool test_black_holes(void *context) {
        for (size_t i = 0; i < sizeof(black_holes) / sizeof(black_holes[0]); i++) {
                if (run_in_time(context, &black_holes[i]))
                        continue;
                fprintf(stderr, "path mtu: %s\n", black_holes[i].name);
                return false;
        }
        return true;
}

/* It counts whether the peer hears us. The sum of a segment of this host is not complete yet; that of one
 * that is forwarded may be. */
struct question_case {
        const char *name;
        bool ipv6;
        bool raw;
        uint16_t size;
        uint32_t stalls;
        uint32_t heard;      /* packets of the peer since the first time */
        bool at_once;        /* the peer has spoken in this moment */
        enum { SENT, ASKED, TOLD } then;
        uint32_t stalls_then;
        enum frame_options options;
        bool alike;          /* the data looks like time stamps */
        uint8_t kept[2];     /* bytes of the options, if the sum is to be completed, and if it is finished */
};

static const struct question_case questions[] = {
        { "the first time", false, false, 1500, 0, 0, false, ASKED, 1 },
        { "the first time, IPv6", true, false, 1500, 0, 0, false, ASKED, 1 },
        { "the first time, raw IP", false, true, 1500, 0, 0, false, ASKED, 1 },
        { "the first time, IPv6, raw IP", true, true, 1500, 0, 0, false, ASKED, 1 },
        { "because of what the peer says", false, false, 1500, 0, 0, true, SENT, 1 },
        { "an outage", false, false, 1500, 1, 0, false, ASKED, 2 },
        { "an outage, IPv6", true, false, 1500, 1, 0, false, ASKED, 2 },
        { "a long outage", false, false, 1500, 3, 0, false, ASKED, 4 },
        { "a longer one", false, false, 1500, 4, 0, false, ASKED, 4 },
        { "the answer has come", false, false, 1500, 1, 1, false, TOLD, 0 },
        { "the answer has come, IPv6", true, false, 1500, 1, 1, false, TOLD, 0 },
        { "the second answer", false, false, 1500, 2, 1, false, TOLD, 0 },
        { "the peer speaks", false, false, 1500, 1, 2, false, SENT, 2 },
        { "the peer speaks, for the last time", false, false, 1500, 3, 2, false, TOLD, 0 },
        { "as small as it gets", false, false, 576, 0, 0, false, SENT, 1 },
        { "as small as it gets, IPv6", true, false, 1280, 1, 0, false, SENT, 2 },
        { "time stamps", false, false, 1500, 0, 0, false, ASKED, 1, FRAME_OPTIONS_TIMESTAMP,
          .kept = { 12, 12 } },
        { "time stamps, IPv6", true, true, 1500, 0, 0, false, ASKED, 1, FRAME_OPTIONS_TIMESTAMP,
          .kept = { 12, 12 } },
        { "other options", false, false, 1500, 0, 0, false, ASKED, 1, FRAME_OPTIONS_MSS_ODD,
          .kept = { 12, 0 } },
        { "data that looks like time stamps", false, false, 1500, 0, 0, false, ASKED, 1, .alike = true },
};

/* The sum of the pseudo header, which is all that the stack has put there. */
static uint16_t pseudo_sum(const struct frame *frame, bool ipv6, size_t length) {
        const uint8_t *source = frame->data + frame->layer3 + (ipv6 ? 8 : 12);

        return frame_fold(frame_sum(FRAME_TCP + (uint32_t) length, source, ipv6 ? 32 : 8));
}

/* What is left asks the peer: no data, no FIN, a byte before, and the other sum; all else is as it was.
 * kept: bytes of the options. */
static bool expect_question(const struct frame *before, const struct frame *after, bool ipv6, size_t shift,
                            bool summed, size_t kept) {
        const size_t header = 20 + kept, length = before->layer4 + header;
        struct frame wanted = *before;
        uint8_t *tcp = wanted.data + wanted.layer4;

        wanted.length = length;
        frame_put32(tcp + 4, SEQUENCE - 1);
        tcp[12] = (uint8_t) (header / 4 << 4);
        tcp[13] = FRAME_ACK;
        frame_put16(wanted.data + wanted.layer3 + (ipv6 ? 4 : 2), (uint16_t) (ipv6 ? header : header + 20));
        frame_put16(tcp + 16, pseudo_sum(&wanted, ipv6, header));
        if (summed)
                frame_put16(tcp + 16, (uint16_t) ~frame_fold(frame_sum(0, tcp, header)));
        EXPECT_EQUAL(after->length, length + shift);
        if (!ipv6) {
                struct frame turned = *after;

                turned.layer3 += shift;
                EXPECT_EQUAL(frame_layer3_sum(&turned), 0xffff);
                memcpy(wanted.data + wanted.layer3 + 10, turned.data + turned.layer3 + 10, 2);
        }
        EXPECT(memcmp(wanted.data, after->data + shift, length) == 0);
        return true;
}

static bool run_question(struct bench *bench, const struct question_case *test, bool summed) {
        struct frame_spec spec = { .ipv6 = test->ipv6, .raw = test->raw, .flags = FRAME_ACK | FRAME_FIN,
                                   .sequence = SEQUENCE, .payload = payload_of(test->ipv6, test->size),
                                   .options = test->options };
        const __u32 begin_ms = (__u32) (bench_now() / 1000000);
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame before, after;
        struct __sk_buff context = {};
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        bench_tunnelled(&flow);
        flow.expected = SEQUENCE;
        flow.next = SEQUENCE + 5000;
        flow.received = 7 + test->heard;
        flow.stalls = test->stalls;
        flow.stalled_sequence = SEQUENCE;
        flow.stalled_received = 7;
        flow.stalled_ms = (__u32) (bench_now() / 1000000) - 400;
        if (test->at_once)
                flow.seen_ns = bench_now() + 400000000; /* so that it is not over when the program looks */
        else
                flow.seen_ns = bench_now() - 400000000;
        frame_build(&spec, &before);
        if (test->alike)
                frame_put32(before.data + before.layer4 + FRAME_HEADER_LENGTH, STAMPS);
        frame_put_checks(&before);
        if (!summed)
                frame_put16(before.data + before.layer4 + 16,
                            pseudo_sum(&before, test->ipv6, before.length - before.layer4));
        bench_flow_key(&before, true, &key);
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        after = before;
        EXPECT(bench_run(bench, test->raw ? BENCH_EGRESS_RAW : BENCH_EGRESS, false, &after, &context,
                         &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.stalls, test->stalls_then);
        EXPECT(flow.stalled_ms - begin_ms <= (__u32) (bench_now() / 1000000) - begin_ms);
        EXPECT(bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {
                                            { UNDERPASS_COUNTER_BLACK_HOLE, test->then == TOLD }, {} }));
        EXPECT_EQUAL(flow.sent, test->then != TOLD);
        if (test->then == TOLD)
                return expect_error(&before, &after, test->ipv6, 1280);
        if (test->then == ASKED)
                return expect_question(&before, &after, test->ipv6, test->raw ? 14 : 0, summed,
                                       test->kept[summed]);
        return frame_equal(&before, &after);
}

static bool test_questions(void *context) {
        for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
                for (int summed = 0; summed < 2; summed++) {
                        if (run_question(context, &questions[i], summed))
                                continue;
                        fprintf(stderr, "path mtu: %s%s\n", questions[i].name, summed ? ", summed" : "");
                        return false;
                }
        }
        return true;
}

/* Nobody is told of fragments that are smaller than any path takes, or have options, nor of later ones,
 * which pass. */
static bool test_sizes(void *context) {
        static const struct {
                uint16_t size;
                uint16_t fragment;
                bool told, dropped;
                uint8_t ipv4_options;
        } sizes[] = {
                { 576, FRAME_MORE_FRAGMENTS, true, true },
                { 1400, FRAME_MORE_FRAGMENTS, false, true, 8 },
                { 575, FRAME_MORE_FRAGMENTS, false, true },
                { 576, FRAME_MORE_FRAGMENTS | 1, false, false },
                { 576, 1, false, false },
        };
        struct bench *bench = context;

        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                const struct frame_spec spec = { .udp = true, .from = FRAME_REMOTE, .flags = FRAME_ACK,
                                                 .payload = payload_of(false, sizes[i].size),
                                                 .sequence = SEQUENCE, .fragment = sizes[i].fragment,
                                                 .ipv4_options = sizes[i].ipv4_options };
                struct underpass_flow_key key;
                struct underpass_flow flow;
                struct frame before, after;
                __u32 verdict;

                EXPECT(bench_reset(bench) == 0);
                frame_build(&spec, &before);
                bench_flow_key(&before, false, &key);
                bench_tunnelled(&flow);
                EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
                after = before;
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &after, NULL, &verdict) == 0);
                EXPECT_EQUAL(verdict, sizes[i].told    ? BENCH_REDIRECT :
                                      sizes[i].dropped ? BENCH_DROP :
                                                         BENCH_NEXT);
                EXPECT(sizes[i].told ? expect_error(&before, &after, false, sizes[i].size) :
                                       frame_equal(&before, &after));
        }
        return true;
}

/* The peer is told, a few times a second; the next program of ours sees no bit of the datagram. */
static bool test_fragments(void *context) {
        struct frame_spec spec = { .udp = true, .from = FRAME_REMOTE, .flags = FRAME_ACK, .payload = 1360,
                                   .sequence = SEQUENCE, .fragment = FRAME_MORE_FRAGMENTS };
        struct bench *bench = context;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame before, after;
        uint64_t second = bench_now() / 1000000000;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        bench_tunnelled(&flow);
        /* That we have believed as many ourselves as we may does not matter. */
        flow.errors_second = (__u32) second;
        flow.errors = BELIEVED;
        frame_build(&spec, &before);
        bench_flow_key(&before, false, &key);
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        for (int i = 0; i < BELIEVED + 2; i++) {
                after = before;
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &after, NULL, &verdict) == 0);
                /* Another second allows for more. */
                if (i < BELIEVED || bench_now() / 1000000000 == second)
                        EXPECT_EQUAL(verdict, i < BELIEVED ? BENCH_REDIRECT : BENCH_DROP);
                EXPECT(verdict == BENCH_DROP || expect_error(&before, &after, false, 1400));
        }
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT(flow.errors_second != (__u32) second || (flow.errors & 0xf) == BELIEVED);
        return bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {
                                            { UNDERPASS_COUNTER_DROP_FRAGMENT, BELIEVED + 2 }, {} });
}

int programs_path_mtu(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "path mtu: segments that get lost for their size", test_black_holes },
                { "path mtu: the peer is asked whether it hears us", test_questions },
                { "path mtu: datagrams in fragments", test_fragments },
                { "path mtu: fragments of all sizes", test_sizes },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
