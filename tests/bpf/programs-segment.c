/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The program at the segmentation device: one TCP segment in, its UDP form out, compared with the reference
 * byte for byte; and what is dropped.
 *
 * Room: bench.h.
 */

#include <string.h>

#include "programs.h"

enum {
        PRIORITY = 6,
        EXTENSION_HOP_BY_HOP = 0,
        EXTENSION_FRAGMENT = 44,
        EXTENSION_DESTINATION = 60,
};

struct segment_case {
        const char *name;
        struct frame_spec spec;
        struct bench_count counts[BENCH_COUNTS_MAX];
        uint16_t mss_ipv4; /* limits of the link; 0: none */
        uint16_t mss_ipv6;
        size_t mss_at;     /* where in the layer 4 header an MSS must have been lowered; 0: nowhere */
        bool dropped;
};

#define SYN_MPTCP .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP
#define SENT .counts = { { UNDERPASS_COUNTER_SENT, 1 } }
#define SENT_LOWERED .counts = { { UNDERPASS_COUNTER_SENT, 1 }, { UNDERPASS_COUNTER_MSS_CLAMPED, 1 } }
#define SENT_URGENT .counts = { { UNDERPASS_COUNTER_SENT, 1 }, { UNDERPASS_COUNTER_URGENT_CLEARED, 1 } }
#define UNREADABLE .dropped = true, .counts = { { UNDERPASS_COUNTER_DROP_HEADER, 1 } }
#define EXTENSIONS(...)                                                                                     \
        .ipv6 = true, .extensions = { __VA_ARGS__ }, .extensions_count = sizeof((uint8_t[]){ __VA_ARGS__ })

static const struct segment_case cases[] = {
        { "SYN", { SYN_MPTCP }, SENT },
        { "SYN, IPv6", { SYN_MPTCP, .ipv6 = true }, SENT },
        { "data", { .flags = FRAME_ACK, .payload = 1460, .options = FRAME_OPTIONS_TIMESTAMP }, SENT },
        { "data of odd length, IPv6",
          { .flags = FRAME_ACK | FRAME_PSH, .payload = 1439, .ipv6 = true },
          SENT },
        { "one byte", { .flags = FRAME_ACK, .payload = 1 }, SENT },
        { "FIN", { .flags = FRAME_ACK | FRAME_FIN }, SENT },
        { "RST", { .flags = FRAME_RST, .ipv6 = true }, SENT },
        { "all ECN bits",
          { .flags = FRAME_ACK | FRAME_ECE | FRAME_CWR, .reserved = FRAME_AE, .payload = 3 },
          SENT },
        { "URG", { .flags = FRAME_ACK | FRAME_URG, .urgent = 17, .payload = 30 }, SENT_URGENT },
        { "URG, IPv6",
          { .flags = FRAME_ACK | FRAME_URG, .urgent = 0xffff, .payload = 30, .ipv6 = true },
          SENT_URGENT },
        { "URG without pointer", { .flags = FRAME_ACK | FRAME_URG }, SENT_URGENT },
        { "urgent pointer without URG", { .flags = FRAME_ACK, .urgent = 0x1234, .payload = 8 }, SENT },
        { "IPv4 options", { .flags = FRAME_ACK, .payload = 99, .ipv4_options = 12 }, SENT },
        { "IPv4 options, 40 bytes", { SYN_MPTCP, .ipv4_options = 40 }, SENT },
        { "extension headers",
          { .flags = FRAME_ACK, .payload = 99, EXTENSIONS(EXTENSION_HOP_BY_HOP, EXTENSION_DESTINATION) },
          SENT },
        { "MSS at the limit", { SYN_MPTCP }, SENT, .mss_ipv4 = 1460 },
        { "MSS above the limit", { SYN_MPTCP }, SENT_LOWERED, .mss_ipv4 = 1459, .mss_at = 22 },
        { "MSS, IPv6",
          { SYN_MPTCP, .ipv6 = true },
          SENT_LOWERED,
          .mss_ipv4 = 9000,
          .mss_ipv6 = 1220,
          .mss_at = 22 },
        { "MSS, limit of the other IP", { SYN_MPTCP }, SENT, .mss_ipv6 = 1220 },
        { "MSS at an odd distance",
          { .flags = FRAME_SYN, .options = FRAME_OPTIONS_MSS_ODD },
          SENT_LOWERED,
          .mss_ipv4 = 1301,
          .mss_at = 23 },
        { "MSS at an odd distance, IPv6",
          { .flags = FRAME_SYN, .options = FRAME_OPTIONS_MSS_ODD, .ipv6 = true },
          SENT_LOWERED,
          .mss_ipv6 = 1280,
          .mss_at = 23 },
        { "MSS twice: the last one counts",
          { .flags = FRAME_SYN, .options = FRAME_OPTIONS_MSS_TWICE },
          SENT_LOWERED,
          .mss_ipv4 = 1300,
          .mss_at = 30 },
        { "MSS of a SYN-ACK",
          { .flags = FRAME_SYN | FRAME_ACK, .options = FRAME_OPTIONS_PLAIN },
          SENT_LOWERED,
          .mss_ipv4 = 1300,
          .mss_at = 22 },
        { "MSS behind IPv4 options",
          { SYN_MPTCP, .ipv4_options = 8 },
          SENT_LOWERED,
          .mss_ipv4 = 1300,
          .mss_at = 22 },
        { "MSS behind extension headers",
          { SYN_MPTCP, EXTENSIONS(EXTENSION_DESTINATION) },
          SENT_LOWERED,
          .mss_ipv6 = 1300,
          .mss_at = 22 },
        { "MSS in a segment that is no SYN",
          { .flags = FRAME_ACK, .options = FRAME_OPTIONS_MPTCP },
          SENT,
          .mss_ipv4 = 1300 },
        { "SYN without MSS", { .flags = FRAME_SYN }, SENT, .mss_ipv4 = 1300 },
        { "fragment", { .flags = FRAME_ACK, .payload = 20, .fragment = FRAME_MORE_FRAGMENTS }, UNREADABLE },
        { "fragment, IPv6",
          { .flags = FRAME_ACK, EXTENSIONS(EXTENSION_FRAGMENT), .fragment = 1 },
          UNREADABLE },
        { "VLAN tag", { .flags = FRAME_ACK, .vlan = true }, UNREADABLE },
};

static bool run_case(struct bench *bench, const struct segment_case *test, const struct __sk_buff *note) {
        struct __sk_buff context = *note;
        struct frame before, expected, after;
        struct underpass_link link;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        link.mss_ipv4 = test->mss_ipv4;
        link.mss_ipv6 = test->mss_ipv6;
        EXPECT(bench_set_link(bench, &link) == 0);
        frame_build(&test->spec, &before);
        expected = after = before;
        EXPECT(bench_run(bench, BENCH_SEGMENT, false, &after, &context, &verdict) == 0);
        EXPECT(bench_counted(bench, test->counts));
        EXPECT_EQUAL(verdict, test->dropped ? BENCH_DROP : BENCH_REDIRECT);
        EXPECT_EQUAL(bench_flows_count(bench->flows) + bench_flows_count(bench->half_open), 0);
        if (test->dropped)
                return true;
        if (test->mss_at)
                frame_put16(expected.data + expected.layer4 + test->mss_at,
                            test->spec.ipv6 ? test->mss_ipv6 : test->mss_ipv4);
        frame_to_udp(&expected);
        if (!frame_equal(&after, &expected)) {
                frame_dump("came out", &after);
                frame_dump("expected", &expected);
                return false;
        }
        EXPECT_EQUAL(frame_layer4_sum(&after), 0xffff);
        EXPECT_EQUAL(frame_layer3_sum(&after), 0xffff);
        EXPECT_EQUAL(context.priority, PRIORITY);
        /* The egress program of the link lets it pass, and nobody behind that finds a slot of ours. */
        EXPECT_EQUAL(context.cb[1], ~note->cb[1]);
        EXPECT(bench->object || context.tc_index == 0); /* the kernel does not tell */
        return true;
}

static bool test_cases(void *context) {
        struct __sk_buff note;

        EXPECT(bench_segment_context(context, PRIORITY, &note) == 0);
        note.tc_index = BENCH_SLOT;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                if (run_case(context, &cases[i], &note))
                        continue;
                fprintf(stderr, "hop: %s\n", cases[i].name);
                return false;
        }
        return true;
}

static bool dropped(struct bench *bench, struct __sk_buff note,
                    const struct bench_count counts[BENCH_COUNTS_MAX]) {
        struct frame_spec spec = { .flags = FRAME_ACK, .payload = 1000 };
        struct frame frame;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        frame_build(&spec, &frame);
        EXPECT(bench_run(bench, BENCH_SEGMENT, false, &frame, &note, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_DROP);
        EXPECT(bench_counted(bench, counts));
        return true;
}

/* Whatever comes along that egress did not send: another program's packet, or one without a note. */
static bool test_foreign(void *context) {
        static const struct bench_count foreign[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_DROP_FOREIGN,
                                                                        1, true } };
        struct __sk_buff note, none = {};

        EXPECT(bench_segment_context(context, PRIORITY, &note) == 0);
        EXPECT(dropped(context, none, foreign));
        none.cb[2] = BENCH_SLOT;
        EXPECT(dropped(context, none, foreign));
        for (int bit = 0; bit < 32; bit++) {
                none = note;
                none.cb[1] ^= 1U << bit;
                EXPECT(dropped(context, none, foreign));
        }
        note.cb[2] = BENCH_SLOT + 1;
        EXPECT(dropped(context, note, foreign));
        note.cb[2] = UNDERPASS_LINKS_MAX + 1;
        EXPECT(dropped(context, note, foreign));
        return true;
}

static bool test_unsegmented(void *context) {
        static const struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_DROP_UNSEGMENTED, 1 }
        };
        struct __sk_buff note;

        EXPECT(bench_segment_context(context, PRIORITY, &note) == 0);
        note.gso_size = 500;
        note.gso_segs = 2;
        EXPECT(dropped(context, note, counts));
        return true;
}

/*
 * A header that claims to be shorter than 20 bytes or longer than the packet: only raw sockets make such. No
 * peer would take it.
 */
static bool test_data_offset(void *context) {
        static const uint8_t offsets[] = { 0x00, 0x40, 0x4f, 0x60, 0xf0 };
        static const struct bench_count counts[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_DROP_HEADER,
                                                                       1 } };
        struct frame_spec spec = { .flags = FRAME_SYN, .payload = 3 };
        struct bench *bench = context;
        struct __sk_buff note;

        EXPECT(bench_segment_context(bench, PRIORITY, &note) == 0);
        for (size_t i = 0; i < 2 * sizeof(offsets); i++) {
                struct __sk_buff again = note;
                struct frame frame;
                __u32 verdict;

                EXPECT(bench_reset(bench) == 0);
                spec.ipv6 = i & 1;
                frame_build(&spec, &frame);
                frame.data[frame.layer4 + 12] = offsets[i / 2];
                EXPECT(bench_run(bench, BENCH_SEGMENT, false, &frame, &again, &verdict) == 0);
                EXPECT_EQUAL(verdict, BENCH_DROP);
                EXPECT(bench_counted(bench, counts));
        }
        return true;
}

/* A link without profile: nothing is lowered, the packet goes its way. */
static bool test_unknown_link(void *context) {
        struct frame_spec spec = { SYN_MPTCP };
        struct bench *bench = context;
        struct frame frame, expected;
        struct __sk_buff note;
        __u32 verdict;

        EXPECT(bench_segment_context(bench, PRIORITY, &note) == 0);
        EXPECT(bench_remove_link(bench) == 0);
        frame_build(&spec, &frame);
        expected = frame;
        frame_to_udp(&expected);
        EXPECT(bench_run(bench, BENCH_SEGMENT, false, &frame, &note, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT(frame_equal(&frame, &expected));
        EXPECT(bench_counted(bench,
                             (struct bench_count[BENCH_COUNTS_MAX]) { { UNDERPASS_COUNTER_SENT, 1 } }));
        return true;
}

/*
 * A segment whose UDP checksum would be 0, which says "none"; and wrong checksums stay exactly as wrong as
 * they were.
 */
static bool test_checksums(void *context) {
        struct frame_spec spec = { .flags = FRAME_ACK, .payload = 10 };
        struct bench *bench = context;
        struct __sk_buff note, again;
        struct frame before, frame;
        unsigned zeros = 0;
        __u32 verdict;

        EXPECT(bench_segment_context(bench, PRIORITY, &note) == 0);
        for (unsigned window = 0; window <= 0xffff; window++) {
                struct frame expected;

                spec.window = (uint16_t) window;
                spec.jumbled_check = false;
                frame_build(&spec, &frame);
                expected = frame;
                frame_to_udp(&expected);
                if (frame_get16(expected.data + expected.layer4 + 6) == 0xffff) {
                        again = note;
                        EXPECT(bench_run(bench, BENCH_SEGMENT, false, &frame, &again, &verdict) == 0);
                        EXPECT(frame_equal(&frame, &expected));
                        zeros++;
                }
                if (window % 256 != 0)
                        continue;
                spec.jumbled_check = true;
                spec.ipv6 = !spec.ipv6;
                frame_build(&spec, &frame);
                before = frame;
                again = note;
                EXPECT(bench_run(bench, BENCH_SEGMENT, false, &frame, &again, &verdict) == 0);
                EXPECT(frame_layer4_sum(&frame) != 0xffff);
                EXPECT_EQUAL(frame_layer4_sum(&frame), frame_layer4_sum(&before));
        }
        EXPECT(zeros > 0);
        return true;
}

int programs_segment(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "hop: segments and what becomes of them", test_cases },
                { "hop: packets that no program sent", test_foreign },
                { "hop: a super-packet", test_unsegmented },
                { "hop: a data offset that cannot be", test_data_offset },
                { "hop: a link without profile", test_unknown_link },
                { "hop: checksums 0 and wrong ones", test_checksums },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
