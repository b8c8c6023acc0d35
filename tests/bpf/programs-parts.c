/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Packets in parts: a card may leave all but the first bytes outside the linear part of a packet, where
 * programs cannot read them directly. What becomes of a packet must not depend on where it is cut.
 *
 * Room: bench.h, frame-icmp.h. A test run can do that from kernel 6.19 on; skipped on older ones.
 */

#include <errno.h>
#include <string.h>

#include "frame-icmp.h"
#include "programs.h"

enum {
        ETHERNET_LENGTH = 14,
        LINEAR_MAX = 120,
        MSS = 1300,
        WHOLE = 0xffff, /* of the packet is quoted */
        SEQUENCE = 5,
};

/* One packet, with everything that is known before it. */
struct part_case {
        const char *name;
        enum bench_program program;
        struct frame_spec spec;
        bool error; /* an ICMP error about it comes in */
};

#define OURS(...) .flags = FRAME_ACK, .payload = 500, .sequence = SEQUENCE, __VA_ARGS__
#define SYN .flags = FRAME_SYN, .options = FRAME_OPTIONS_MSS_ODD, .sequence = SEQUENCE
#define THEIRS .from = FRAME_REMOTE, .udp = true
#define EXTENSION .ipv6 = true, .extensions = { 60 }, .extensions_count = 1

static const struct part_case cases[] = {
        { "egress", BENCH_EGRESS, { OURS(.ipv6 = false) }, false },
        { "egress, IPv6", BENCH_EGRESS, { OURS(.ipv6 = true) }, false },
        { "egress, SYN", BENCH_EGRESS, { SYN }, false },
        { "egress, SYN, IPv6 extension", BENCH_EGRESS, { SYN, EXTENSION }, false },
        { "hop", BENCH_SEGMENT, { OURS(.ipv6 = false) }, false },
        { "hop, SYN", BENCH_SEGMENT, { SYN }, false },
        { "hop, SYN, IPv4 options", BENCH_SEGMENT, { SYN, .ipv4_options = 8 }, false },
        { "hop, SYN, IPv6 extension", BENCH_SEGMENT, { SYN, EXTENSION }, false },
        { "ingress", BENCH_INGRESS, { OURS(THEIRS) }, false },
        { "ingress, IPv6", BENCH_INGRESS, { OURS(THEIRS), .ipv6 = true }, false },
        { "ingress, SYN", BENCH_INGRESS, { SYN, THEIRS, .source_port = 50000, .dest_port = 443 }, false },
        { "ingress, SYN, IPv4 options", BENCH_INGRESS,
          { SYN, THEIRS, .source_port = 50000, .dest_port = 443, .ipv4_options = 40 }, false },
        { "ingress, error", BENCH_INGRESS, { OURS(.udp = true) }, true },
        { "ingress, error, IPv6", BENCH_INGRESS, { OURS(.udp = true), .ipv6 = true }, true },
};

static bool prepare(struct bench *bench, const struct part_case *test, struct frame *ret) {
        struct frame_icmp_spec error = {
                .type = test->spec.ipv6 ? FRAME_ICMPV6_TIME_EXCEEDED : FRAME_ICMP_TIME_EXCEEDED,
                .quoted = WHOLE,
        };
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct underpass_link link;
        struct frame frame;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        link.mss_ipv4 = link.mss_ipv6 = MSS;
        EXPECT(bench_set_link(bench, &link) == 0);
        frame_build(&test->spec, &frame);
        bench_flow_key(&frame, test->spec.from == FRAME_LOCAL, &key);
        bench_tunnelled(&flow);
        if (!(test->spec.flags & FRAME_SYN))
                EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        if (test->error)
                frame_icmp_build(&frame, &error, ret);
        else
                *ret = frame;
        return true;
}

/* Runs it with so many bytes in the linear part, 0: all. *ret_error is -EINVAL when the kernel cannot. */
static bool run(struct bench *bench, const struct part_case *test, const struct __sk_buff *note,
                unsigned linear, struct frame *ret, __u32 *ret_verdict, int *ret_error) {
        struct __sk_buff context = {};

        EXPECT(prepare(bench, test, ret));
        if (test->program == BENCH_SEGMENT)
                context = *note;
        context.data_end = linear;
        *ret_error = bench_run(bench, test->program, false, ret, &context, ret_verdict);
        return true;
}

static bool run_case(struct bench *bench, const struct part_case *test, const struct __sk_buff *note,
                     unsigned *cut) {
        struct underpass_counters whole_counters, counters;
        struct frame whole, parts;
        __u32 whole_destination, verdict;
        int r;

        EXPECT(run(bench, test, note, 0, &whole, &whole_destination, &r));
        EXPECT_EQUAL((unsigned) -r, 0);
        EXPECT(bench_counters(bench, BENCH_SLOT, &whole_counters) == 0);
        for (unsigned linear = ETHERNET_LENGTH; linear < LINEAR_MAX && linear < whole.length; linear++) {
                EXPECT(run(bench, test, note, linear, &parts, &verdict, &r));
                if (r == -EINVAL)
                        continue; /* this kernel, or too few bytes for it */
                EXPECT_EQUAL((unsigned) -r, 0);
                EXPECT_EQUAL(verdict, whole_destination);
                EXPECT(bench_counters(bench, BENCH_SLOT, &counters) == 0);
                EXPECT(memcmp(&counters, &whole_counters, sizeof(counters)) == 0);
                EXPECT(frame_equal(&parts, &whole));
                (*cut)++;
        }
        return true;
}

int programs_parts(struct bench *bench) {
        struct __sk_buff note;
        unsigned cut = 0;

        if (bench_segment_context(bench, 0, &note) < 0) {
                printf("FAIL  parts: no packet at the hop\n");
                return 1;
        }
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                if (run_case(bench, &cases[i], &note, &cut))
                        continue;
                printf("FAIL  parts: %s\n", cases[i].name);
                return 1;
        }
        if (cut == 0)
                printf("skip  parts: a test run of this kernel has no packets in parts\n");
        else
                printf("ok    parts: wherever a packet is cut (%u)\n", cut);
        return 0;
}
