/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The whole way: what one side sends goes through egress and segment, and through ingress on the other side.
 * What comes out must be the TCP packet that went in. Both sides share the maps here; their records differ
 * by what is local and what is remote.
 *
 * Room: bench.h.
 */

#include <string.h>

#include "programs.h"

enum {
        CONNECTIONS = 40,
        SEGMENTS = 30, /* of each connection */
};

/* Sends a packet; *ret_arrived is what the other side's TCP gets, *ret_wire what was on the wire. */
static bool cross(struct bench *bench, const struct frame *sent, struct frame *ret_wire,
                  struct frame *ret_arrived) {
        struct __sk_buff context = { .priority = 3 };
        struct frame frame = *sent;
        __u32 verdict;

        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT(frame_equal(&frame, sent));
        EXPECT(bench_run(bench, BENCH_SEGMENT, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        *ret_wire = frame;
        EXPECT_EQUAL(frame.data[frame.protocol], FRAME_UDP);
        EXPECT_EQUAL(frame_layer4_sum(&frame), 0xffff);
        EXPECT_EQUAL(frame_layer3_sum(&frame), 0xffff);
        EXPECT_EQUAL(frame.length, sent->length);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        *ret_arrived = frame;
        return true;
}

/* Byte for byte, except that URG, pointer and checksum of an urgent segment are gone. */
static bool arrived_as_sent(const struct frame *sent, const struct frame *arrived) {
        struct frame expected = *sent;
        uint8_t *tcp = expected.data + expected.layer4;

        tcp[13] &= (uint8_t) ~FRAME_URG;
        frame_put16(tcp + 18, 0);
        frame_put_checks(&expected);
        EXPECT(frame_equal(arrived, &expected));
        return true;
}

static bool send_one(struct bench *bench, const struct frame_spec *spec) {
        struct frame sent, wire, arrived;

        frame_build(spec, &sent);
        return cross(bench, &sent, &wire, &arrived) && arrived_as_sent(&sent, &arrived);
}

/* Handshake, then random segments both ways. */
static bool run_connection(struct bench *bench, uint64_t *random, uint16_t port, unsigned *ret_urgent) {
        uint32_t ours = expect_random(random), theirs = expect_random(random);
        struct frame_spec spec, client = {
                .ipv6 = port & 1,
                .source_port = port,
                .dest_port = 443,
                .sequence = ours,
                .flags = FRAME_SYN,
                .options = port & 2 ? FRAME_OPTIONS_JOIN : FRAME_OPTIONS_MPTCP,
        };
        struct frame_spec server = {
                .ipv6 = port & 1,
                .source_port = 443,
                .dest_port = port,
                .sequence = theirs,
                .acknowledgment = ours + 1,
                .flags = FRAME_SYN | FRAME_ACK,
                .options = FRAME_OPTIONS_MPTCP,
                .from = FRAME_REMOTE,
        };
        unsigned urgent = 0;

        EXPECT(send_one(bench, &client));
        EXPECT(send_one(bench, &server));
        client.flags = FRAME_ACK;
        client.acknowledgment = theirs + 1;
        EXPECT(send_one(bench, &client));
        for (int i = 0; i < SEGMENTS; i++) {
                const struct frame_spec *side = i & 1 ? &server : &client;

                frame_random_spec(random, &spec);
                spec.ipv6 = side->ipv6;
                spec.from = side->from;
                spec.source_port = side->source_port;
                spec.dest_port = side->dest_port;
                spec.ipv4_options = !spec.ipv6 && i % 8 == 0 ? 8 : 0;
                urgent += !!(spec.flags & FRAME_URG);
                if (!send_one(bench, &spec)) {
                        fprintf(stderr, "port %u, segment %d\n", port, i);
                        return false;
                }
        }
        *ret_urgent += urgent;
        return true;
}

static bool test_connections(void *context) {
        struct bench *bench = context;
        uint64_t random = 0x5eed0004;
        unsigned urgent = 0, packets = CONNECTIONS * (3 + SEGMENTS);

        EXPECT(bench_reset(bench) == 0);
        for (unsigned i = 0; i < CONNECTIONS; i++)
                EXPECT(run_connection(bench, &random, (uint16_t) (30000 + i), &urgent));
        EXPECT(urgent > 0);
        EXPECT_EQUAL(bench_flows_count(bench->half_open), 0);
        EXPECT_EQUAL(bench_flows_count(bench->flows), 2 * CONNECTIONS);
        struct underpass_counters counters, expected = {
                .value = {
                        [UNDERPASS_COUNTER_SENT] = packets,
                        [UNDERPASS_COUNTER_RECEIVED] = packets,
                        [UNDERPASS_COUNTER_FLOWS_OPENED] = CONNECTIONS,
                        [UNDERPASS_COUNTER_FLOWS_ACCEPTED] = CONNECTIONS,
                        [UNDERPASS_COUNTER_FLOWS_ESTABLISHED] = 2 * CONNECTIONS,
                        [UNDERPASS_COUNTER_URGENT_CLEARED] = urgent,
                },
        };
        EXPECT(bench_counters(bench, BENCH_SLOT, &counters) == 0);
        EXPECT(memcmp(&counters, &expected, sizeof(counters)) == 0);
        return true;
}

int programs_loop(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "loop: connections from one side to the other", test_connections },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
