/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Flows that bulk comes for one by one: of which the service is told, and how often.
 *
 * Room: bench.h.
 */

#include <errno.h>
#include <string.h>

#include "programs.h"

enum {
        SERVER_PORT = 443,
        OTHER_LINK = 77,
        ROOM_IPV4 = 28,
        TOLD_SHIFT = 30, /* nanoseconds → units of bulk_told */
        CLIENT = UNDERPASS_FLOW_OPENED_HERE,
        SERVER = UNDERPASS_FLOW_ANSWERED,
        TAKES = UNDERPASS_SLOT_BULK,
        TELLS = UNDERPASS_SLOT_BULK | UNDERPASS_SLOT_TELLS,
};

struct tell_case {
        const char *name;
        uint32_t slot_flags;
        uint8_t flow_flags;
        bool forwarded;   /* no socket of this host has it */
        bool elsewhere;   /* our side sends by another link */
        bool classic;     /* the datagrams are in the classic form */
        bool merges;      /* there is a GRO pair */
        bool told;
};

static const struct tell_case cases[] = {
        { "a download", TELLS, CLIENT, .told = true },
        { "a download, with a GRO pair", TELLS, CLIENT, .merges = true, .told = true },
        { "another receive mode", TAKES, CLIENT, .merges = true },
        { "a flow of a server", TELLS, SERVER },
        { "a flow of a server, with a GRO pair", TELLS, SERVER, .merges = true },
        { "a host behind", TELLS, CLIENT, .forwarded = true, .merges = true },
        { "two links", TELLS, CLIENT, .elsewhere = true, .merges = true },
        { "the classic form", TELLS, CLIENT, .classic = true, .merges = true },
};

static void build(const struct tell_case *test, bool ipv6, bool raw, struct frame *ret) {
        const struct frame_spec spec = {
                .from = FRAME_REMOTE, .udp = test->classic, .source_port = SERVER_PORT, .dest_port = 50000,
                .flags = FRAME_ACK, .payload = 100, .sequence = 77, .acknowledgment = 42, .ipv6 = ipv6,
                .raw = raw,
        };
        struct frame tcp;

        frame_build(&spec, ret);
        if (test->classic)
                return;
        tcp = *ret;
        frame_wrap(ret, &tcp);
}

static bool prepare(struct bench *bench, const struct tell_case *test,
                    const struct underpass_flow_key *key) {
        const struct underpass_slot slot = {
                .ifindex = BENCH_IFINDEX,
                .device_ifindex = BENCH_SEGMENT_IFINDEX,
                .gro_ifindex = test->merges ? BENCH_GRO_IFINDEX : 0,
                .flags = test->slot_flags,
        };
        struct underpass_flow flow;

        EXPECT(bench_reset(bench) == 0);
        EXPECT(bench_set_slot(bench, &slot) == 0);
        bench_tunnelled(&flow);
        flow.flags = test->flow_flags;
        flow.socket = !test->forwarded;
        if (test->elsewhere)
                flow.ifindex = OTHER_LINK;
        return bench_put_flow(bench->flows, key, &flow) == 0;
}

static bool come(struct bench *bench, const struct frame *frame, bool raw, unsigned count) {
        for (unsigned i = 0; i < count; i++) {
                struct frame copy = *frame;
                __u32 verdict;

                EXPECT(bench_run(bench, raw ? BENCH_INGRESS_RAW : BENCH_INGRESS, false, &copy, NULL,
                                 &verdict) == 0);
                EXPECT(verdict == BENCH_NEXT || verdict == BENCH_REDIRECT);
        }
        return true;
}

/* So many come, and the last one is told of, or none. */
static bool come_and_tell(struct bench *bench, const struct frame *frame, bool raw, unsigned count,
                          bool told) {
        struct underpass_flow_key key, heard;

        bench_flow_key(frame, false, &key);
        EXPECT(come(bench, frame, raw, count - 1));
        EXPECT_EQUAL(bench_told(bench, BENCH_UNMERGED, &heard), -ENOENT);
        EXPECT(come(bench, frame, raw, 1));
        EXPECT_EQUAL(bench_told(bench, BENCH_UNMERGED, &heard), told ? 0 : -ENOENT);
        return !told || memcmp(&heard, &key, sizeof(key)) == 0;
}

static bool run_case(struct bench *bench, const struct tell_case *test, bool ipv6, bool raw) {
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;
        uint16_t told;

        build(test, ipv6, raw, &frame);
        bench_flow_key(&frame, false, &key);
        EXPECT(prepare(bench, test, &key));
        EXPECT(come_and_tell(bench, &frame, raw, UNDERPASS_BULK_SINGLES, test->told));
        /* Not again, however many come, … */
        EXPECT(come_and_tell(bench, &frame, raw, 3 * UNDERPASS_BULK_SINGLES, false));
        /* … but after some time. */
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT((flow.bulk_told != 0) == (test->slot_flags == TELLS && !test->classic));
        if (flow.bulk_told == 0)
                return true;
        EXPECT((uint16_t) ((flow.seen_ns >> TOLD_SHIFT | 1) - flow.bulk_told) <= 2);
        told = flow.bulk_told;
        flow.bulk_told = (uint16_t) (told - UNDERPASS_BULK_TOLD_APART + 4);
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        EXPECT(come_and_tell(bench, &frame, raw, 3 * UNDERPASS_BULK_SINGLES, false));
        flow.bulk_told = (uint16_t) (told - UNDERPASS_BULK_TOLD_APART);
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        EXPECT(come_and_tell(bench, &frame, raw, UNDERPASS_BULK_SINGLES, test->told));
        /* The time of which the programs keep 16 bits has begun anew since. */
        flow.bulk_told = (uint16_t) (told + 1000);
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        return come_and_tell(bench, &frame, raw, UNDERPASS_BULK_SINGLES, test->told);
}

/* What is dropped is no reason for a socket. */
static bool test_not_told(void *context) {
        const struct tell_case test = { "", TELLS, CLIENT };
        struct bench *bench = context;
        struct underpass_flow_key key, heard;
        struct underpass_flow flow;
        struct frame frame;

        build(&test, false, false, &frame);
        bench_flow_key(&frame, false, &key);
        EXPECT(prepare(bench, &test, &key));
        for (unsigned i = 0; i < 2 * UNDERPASS_BULK_SINGLES; i++) {
                struct frame copy = frame;
                __u32 verdict;

                copy.data[copy.layer3 + ROOM_IPV4 + 8] ^= 1; /* hop limit, not as summed */
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &copy, NULL, &verdict) == 0);
                EXPECT_EQUAL(verdict, BENCH_DROP);
        }
        EXPECT_EQUAL(bench_told(bench, BENCH_UNMERGED, &heard), -ENOENT);
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.bulk_told, 0);
        return true;
}

/*
 * What something has merged already is none either. In the kernel test runs have no GSO type, so the helper
 * refuses: then all is dropped.
 */
static bool test_merged(void *context) {
        const struct tell_case test = { "", TELLS, CLIENT };
        struct underpass_flow_key key, heard;
        struct bench *bench = context;
        struct frame frame;

        build(&test, false, false, &frame);
        bench_flow_key(&frame, false, &key);
        EXPECT(prepare(bench, &test, &key));
        for (unsigned i = 0; i < 2 * UNDERPASS_BULK_SINGLES; i++) {
                struct __sk_buff many = { .gso_size = 50 + FRAME_HEADER_LENGTH };
                struct frame copy = frame;
                __u32 verdict;

                EXPECT(bench_run(bench, BENCH_INGRESS, false, &copy, &many, &verdict) == 0);
                EXPECT_EQUAL(verdict, bench->object ? BENCH_DROP : BENCH_NEXT);
        }
        EXPECT_EQUAL(bench_told(bench, BENCH_UNMERGED, &heard), -ENOENT);
        return true;
}

static bool test_told(void *context) {
        for (size_t i = 0; i < 4 * sizeof(cases) / sizeof(cases[0]); i++) {
                const struct tell_case *test = &cases[i / 4];
                const bool ipv6 = i & 1, raw = i & 2;

                if (run_case(context, test, ipv6, raw))
                        continue;
                fprintf(stderr, "tell: %s, IPv%d%s\n", test->name, ipv6 ? 6 : 4, raw ? ", raw" : "");
                return false;
        }
        return true;
}

int programs_tell(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "tell: flows worth a tunnel socket", test_told },
                { "tell: nothing of what is dropped", test_not_told },
                { "tell: nothing of what is merged", test_merged },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
