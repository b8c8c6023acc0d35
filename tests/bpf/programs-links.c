/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A flow whose packets change links: the link that a packet is on decides, and the record follows what our
 * side sends. The test runs happen on BENCH_IFINDEX; the other link is the one that the record names.
 *
 * Room: bench.h, frame-icmp.h, story.h.
 */

#include <arpa/inet.h>
#include <string.h>

#include "frame-icmp.h"
#include "programs.h"
#include "story.h"

enum {
        OTHER_IFINDEX = 77, /* a link with a tunnel … */
        OTHER_SLOT = 9,
        GONE_IFINDEX = 78,  /* … and one that was detached: its slot is empty */
        GONE_SLOT = 11,
        SEQUENCE = 0x00001000,
        PAYLOAD = 1400,
        PATH_MTU = 1300,
        WHOLE = 0xffff,     /* of a packet is quoted */
};

/* Where the flow was last. */
static const struct {
        const char *name;
        __u32 ifindex;
        __u32 slot;
} before[] = {
        { "the same link", BENCH_IFINDEX, BENCH_SLOT },
        { "another link", OTHER_IFINDEX, OTHER_SLOT },
        { "a link that is gone", GONE_IFINDEX, GONE_SLOT },
        { "the slot of this link, when it was another's", OTHER_IFINDEX, BENCH_SLOT },
};

static bool prepare(struct bench *bench) {
        const struct underpass_slot slot = {
                .ifindex = BENCH_IFINDEX,
                .device_ifindex = BENCH_SEGMENT_IFINDEX,
                .gro_ifindex = BENCH_GRO_IFINDEX,
        };
        const struct underpass_slot other = { .ifindex = OTHER_IFINDEX, .device_ifindex = 4444 };
        const __u32 index = OTHER_SLOT;

        return bench_reset(bench) == 0 && bench_set_slot(bench, &slot) == 0 &&
               bench_map_update(bench->slots, &index, &other) == 0;
}

static bool clean(struct bench *bench) {
        const struct underpass_slot none = {};
        const __u32 index = OTHER_SLOT, ifindex = OTHER_IFINDEX;

        (void) bench_map_delete(bench->links, &ifindex);
        return bench_map_update(bench->slots, &index, &none) == 0;
}

static bool put(struct bench *bench, size_t where, const struct frame *frame, bool outgoing,
                struct underpass_flow_key *ret_key) {
        struct underpass_flow flow;

        EXPECT(prepare(bench));
        bench_tunnelled(&flow);
        flow.ifindex = before[where].ifindex;
        flow.slot = before[where].slot;
        flow.expected = flow.next = SEQUENCE;
        bench_flow_key(frame, outgoing, ret_key);
        return bench_put_flow(bench->flows, ret_key, &flow) == 0;
}

/* What we send leaves by the link that routing has chosen, and says so on its way. */
static bool sends(struct bench *bench, size_t where, bool ipv6, bool raw) {
        static const struct bench_count none[BENCH_COUNTS_MAX] = {};
        struct frame_spec spec = { .flags = FRAME_ACK, .payload = PAYLOAD, .ipv6 = ipv6, .raw = raw };
        struct __sk_buff context = {};
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;
        __u32 verdict;

        frame_build(&spec, &frame);
        EXPECT(put(bench, where, &frame, true, &key));
        EXPECT(bench_run(bench, raw ? BENCH_EGRESS_RAW : BENCH_EGRESS, false, &frame, &context, &verdict) ==
               0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT(bench->object || context.tc_index == BENCH_SLOT); /* the kernel does not tell */
        EXPECT_EQUAL(context.cb[2], BENCH_SLOT);
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.slot, BENCH_SLOT);
        EXPECT_EQUAL(flow.ifindex, BENCH_IFINDEX);
        return bench_counted(bench, none);
}

/* What we receive is given back to the link that it came by, merged or not; the record stays. */
static bool receives(struct bench *bench, size_t where, bool ipv6, bool raw) {
        static const struct bench_count received[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_RECEIVED, 1 } };
        struct frame_spec spec = { .from = FRAME_REMOTE, .udp = true, .flags = FRAME_ACK,
                                   .payload = PAYLOAD, .ipv6 = ipv6, .raw = raw };
        struct __sk_buff context = {};
        struct frame frame, expected;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        __u32 verdict;

        frame_build(&spec, &frame);
        expected = frame;
        frame_to_tcp(&expected);
        EXPECT(put(bench, where, &frame, false, &key));
        EXPECT(bench_run(bench, raw ? BENCH_INGRESS_RAW : BENCH_INGRESS, false, &frame, &context,
                         &verdict) == 0);
        EXPECT_EQUAL(verdict, raw ? BENCH_NEXT : BENCH_REDIRECT);
        EXPECT(bench->object || context.tc_index == (raw ? 0 : BENCH_SLOT)); /* likewise */
        EXPECT(frame_equal(&frame, &expected));
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.slot, before[where].slot);
        EXPECT_EQUAL(flow.ifindex, before[where].ifindex);
        return bench_counted(bench, received);
}

static bool everywhere(struct bench *bench,
                       bool (*run)(struct bench *bench, size_t where, bool ipv6, bool raw)) {
        for (size_t i = 0; i < 4 * sizeof(before) / sizeof(before[0]); i++) {
                if (run(bench, i / 4, i & 1, i & 2))
                        continue;
                fprintf(stderr, "links: after %s, IPv%d%s\n", before[i / 4].name, i & 1 ? 6 : 4,
                        i & 2 ? ", raw" : "");
                return false;
        }
        return clean(bench);
}

static bool test_sends(void *context) {
        return everywhere(context, sends);
}

static bool test_receives(void *context) {
        return everywhere(context, receives);
}

/* The programs are there, but not the settings: on the way to be attached or detached. What comes in is
 * still TCP for our stack, what goes out waits until there is a way. */
static bool test_no_settings(void *context) {
        static const struct bench_count dropped[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_DROP_NO_DEVICE, 1, true },
        };
        static const struct bench_count received[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_RECEIVED, 1, true },
        };
        struct bench *bench = context;

        for (int outgoing = 0; outgoing < 2; outgoing++) {
                struct frame_spec spec = { .from = outgoing ? FRAME_LOCAL : FRAME_REMOTE, .udp = !outgoing,
                                           .flags = FRAME_ACK, .payload = PAYLOAD };
                const enum bench_program program = outgoing ? BENCH_EGRESS : BENCH_INGRESS;
                struct underpass_flow_key key;
                struct underpass_flow flow;
                struct frame frame;
                __u32 verdict;

                frame_build(&spec, &frame);
                EXPECT(put(bench, 1, &frame, outgoing, &key));
                EXPECT(bench_remove_link(bench) == 0);
                EXPECT(bench_run(bench, program, false, &frame, NULL, &verdict) == 0);
                EXPECT_EQUAL(verdict, outgoing ? BENCH_DROP : BENCH_NEXT);
                EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
                EXPECT_EQUAL(flow.slot, OTHER_SLOT);
                EXPECT(bench_counted(bench, outgoing ? dropped : received));
        }
        return clean(bench);
}

/* An error may come by another link than the packet that it is about has left by: the path MTU is that of
 * the latter. */
static bool test_path_mtu(void *context) {
        static const struct bench_count converted[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_ICMP_CONVERTED, 1 },
        };
        struct frame_spec about = { .udp = true, .flags = FRAME_ACK, .payload = PAYLOAD,
                                    .sequence = SEQUENCE };
        struct frame_icmp_spec error = { .type = FRAME_ICMP_UNREACHABLE,
                                         .code = FRAME_ICMP_NEEDS_FRAGMENTATION,
                                         .rest = PATH_MTU,
                                         .quoted = WHOLE };
        struct underpass_destination destination;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct bench *bench = context;
        struct frame sent, frame;
        __u32 verdict;

        frame_build(&about, &sent);
        EXPECT(put(bench, 1, &sent, true, &key));
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        flow.next = SEQUENCE + PAYLOAD;
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        frame_icmp_build(&sent, &error, &frame);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        bench_get_destination(bench, &key, OTHER_IFINDEX, &destination);
        EXPECT_EQUAL(destination.mtu, PATH_MTU);
        bench_get_destination(bench, &key, BENCH_IFINDEX, &destination);
        EXPECT_EQUAL(destination.mtu, 0);
        EXPECT(bench_counted(bench, converted));
        return clean(bench);
}

/* The record of a SYN, frame, that has left once, by the other link. */
static bool put_syn_of_other_link(struct bench *bench, const struct frame *frame,
                                  enum underpass_flow_state state, struct underpass_flow_key *ret_key) {
        struct underpass_flow flow;

        bench_tunnelled(&flow);
        flow.state = (__u8) state;
        flow.flags = UNDERPASS_FLOW_OPENED_HERE;
        flow.ifindex = OTHER_IFINDEX;
        flow.slot = OTHER_SLOT;
        flow.expected = flow.next = SEQUENCE + 1;
        flow.syns = 1;
        bench_flow_key(frame, true, ret_key);
        EXPECT(bench_put_flow(bench->half_open, ret_key, &flow) == 0);
        return true;
}

/* A SYN goes again, by another link than before: over UDP still, and its link does not answer for what got
 * lost on the other one. */
static bool handshake(struct bench *bench, bool ipv6, bool raw) {
        static const struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_FLOWS_OPENED, 1 },
                { UNDERPASS_COUNTER_RECEIVED, 1 },
                { UNDERPASS_COUNTER_FLOWS_ESTABLISHED, 1 },
        };
        struct frame_spec spec = { .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP,
                                   .sequence = SEQUENCE, .ipv6 = ipv6, .raw = raw };
        struct frame_spec answer = { .from = FRAME_REMOTE, .udp = true, .flags = FRAME_SYN | FRAME_ACK,
                                     .options = FRAME_OPTIONS_MPTCP, .acknowledgment = SEQUENCE + 1,
                                     .ipv6 = ipv6, .raw = raw };
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;
        __u32 verdict;

        frame_build(&spec, &frame);
        EXPECT(prepare(bench));
        EXPECT(put_syn_of_other_link(bench, &frame, UNDERPASS_FLOW_HALF_OPEN, &key));
        EXPECT(bench_run(bench, raw ? BENCH_EGRESS_RAW : BENCH_EGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        EXPECT_EQUAL(story_state(bench, &key, &flow), UNDERPASS_FLOW_HALF_OPEN);
        EXPECT_EQUAL(flow.slot, BENCH_SLOT);
        EXPECT_EQUAL(flow.syns, 2);
        EXPECT(flow.flags & UNDERPASS_FLOW_DOUBTFUL);
        frame_build(&answer, &frame);
        EXPECT(bench_run(bench, raw ? BENCH_INGRESS_RAW : BENCH_INGRESS, false, &frame, NULL, &verdict) ==
               0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT_EQUAL(story_state(bench, &key, &flow), UNDERPASS_FLOW_TUNNELLED);
        return bench_counted(bench, counts);
}

static bool test_handshake(void *context) {
        for (int i = 0; i < 4; i++)
                if (!handshake(context, i & 1, i & 2))
                        return false;
        return clean(context);
}

/* An on-demand link blames nobody for SYNs that another link has lost. */
static bool test_on_demand(void *context) {
        static const struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_PLAIN_ON_DEMAND, 1 },
        };
        struct frame_spec spec = { .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP,
                                   .sequence = SEQUENCE };
        struct underpass_flow_key key;
        struct underpass_link link;
        struct underpass_flow flow;
        struct bench *bench = context;
        struct frame frame;
        __u32 verdict;

        frame_build(&spec, &frame);
        EXPECT(prepare(bench));
        bench_default_link(&link);
        link.flags |= UNDERPASS_LINK_ON_DEMAND;
        link.fallback_after = 1;
        EXPECT(bench_set_link(bench, &link) == 0);
        EXPECT(put_syn_of_other_link(bench, &frame, UNDERPASS_FLOW_WATCHED, &key));
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT_EQUAL(story_state(bench, &key, &flow), UNDERPASS_FLOW_WATCHED);
        EXPECT_EQUAL(flow.ifindex, BENCH_IFINDEX);
        EXPECT_EQUAL(flow.syns, 1);
        EXPECT(bench_counted(bench, counts));
        return clean(bench);
}

/* Plain SYNs got no answer, and the one over UDP gets one. That says something of the link that it left by,
 * unless the answer comes by this one. */
static bool answer_over_udp(struct bench *bench, bool by_other, bool ipv6, bool raw) {
        const struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_RECEIVED, 1 },
                { UNDERPASS_COUNTER_FLOWS_ESTABLISHED, !by_other },
                { UNDERPASS_COUNTER_STRIPPED, !by_other },
        };
        const __u32 ifindex = by_other ? OTHER_IFINDEX : BENCH_IFINDEX;
        struct frame_spec answer = { .from = FRAME_REMOTE, .udp = true, .flags = FRAME_SYN | FRAME_ACK,
                                     .options = FRAME_OPTIONS_MPTCP, .acknowledgment = SEQUENCE + 1,
                                     .ipv6 = ipv6, .raw = raw };
        struct underpass_destination destination;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame;
        __u32 verdict;

        frame_build(&answer, &frame);
        EXPECT(prepare(bench));
        bench_tunnelled(&flow);
        flow.state = UNDERPASS_FLOW_HALF_OPEN;
        flow.flags = UNDERPASS_FLOW_OPENED_HERE | UNDERPASS_FLOW_FALLEN_BACK;
        flow.ifindex = ifindex;
        flow.slot = by_other ? OTHER_SLOT : BENCH_SLOT;
        flow.expected = flow.next = SEQUENCE + 1;
        bench_flow_key(&frame, false, &key);
        EXPECT(bench_put_flow(bench->half_open, &key, &flow) == 0);
        EXPECT(bench_run(bench, raw ? BENCH_INGRESS_RAW : BENCH_INGRESS, false, &frame, NULL, &verdict) ==
               0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT_EQUAL(story_state(bench, &key, &flow), UNDERPASS_FLOW_TUNNELLED);
        bench_get_destination(bench, &key, ifindex, &destination);
        EXPECT_EQUAL(destination.swallowed_ns != 0, !by_other);
        return bench_counted(bench, counts);
}

static bool test_answer_over_udp(void *context) {
        for (int i = 0; i < 8; i++)
                if (!answer_over_udp(context, i & 4, i & 1, i & 2))
                        return false;
        return clean(context);
}

/* A SYN, and what is known of the address that it comes from. */
struct source_case {
        const char *name;
        uint16_t dest_port;
        uint8_t flags;
        bool no_link;    /* has no profile */
        __u32 via;       /* the link by which the address sent last; 0: nothing is known */
        bool noted;      /* expected of a packet that a socket sends */
};

static const struct source_case sources[] = {
        { "the first SYN", 443, FRAME_SYN, .noted = true },
        { "a SYN that no profile wants", 444, FRAME_SYN, .noted = true },
        { "a link without profile", 443, FRAME_SYN, .no_link = true },
        { "no SYN", 443, FRAME_ACK },
        { "a SYN-ACK", 443, FRAME_SYN | FRAME_ACK },
        { "by the same link again", 443, FRAME_SYN, .via = BENCH_IFINDEX, .noted = true },
        { "by another link than before", 443, FRAME_SYN, .via = OTHER_IFINDEX, .noted = true },
};

enum { ROUND_TRIP_US = 30000 };

/* What has been measured stays as long as the link does. socket: of this host, else a router forwards it. */
static bool run_source(struct bench *bench, const struct source_case *test, bool ipv6, bool socket) {
        const struct frame_spec spec = { .flags = test->flags, .options = FRAME_OPTIONS_MPTCP,
                                         .dest_port = test->dest_port, .ipv6 = ipv6 };
        const struct underpass_source before_it = { .via = test->via, .rtt_us = ROUND_TRIP_US };
        const __u32 via = test->noted && socket ? BENCH_IFINDEX : test->via;
        struct bpf_sock sender = {};
        struct __sk_buff context = {};
        struct underpass_source_key here = {};
        struct underpass_source source = {};
        struct underpass_flow_key key;
        struct frame frame;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        if (test->no_link)
                EXPECT(bench_remove_link(bench) == 0);
        frame_build(&spec, &frame);
        bench_flow_key(&frame, true, &key);
        memcpy(here.local, key.local, sizeof(here.local));
        if (test->via)
                EXPECT(bench_map_update(bench->sources, &here, &before_it) == 0);
        if (socket && !bench->object)
                context.sk = &sender;
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(bench_map_lookup(bench->sources, &here, &source) == 0, via != 0);
        EXPECT_EQUAL(source.via, via);
        EXPECT_EQUAL(source.rtt_us, test->via && via == test->via ? ROUND_TRIP_US : 0);
        return true;
}

/* The address of a socket is noted, and not those of hosts behind. What the kernel takes for a test run has
 * a socket; on the host it has one if the test says so. */
static bool test_sources(void *context) {
        struct bench *bench = context;

        for (size_t i = 0; i < 4 * sizeof(sources) / sizeof(sources[0]); i++) {
                const bool socket = i & 2;

                if ((!socket && bench->object) || run_source(bench, &sources[i / 4], i & 1, socket))
                        continue;
                fprintf(stderr, "links, sources: %s, IPv%d%s\n", sources[i / 4].name, i & 1 ? 6 : 4,
                        socket ? "" : ", forwarded");
                return false;
        }
        return true;
}

int programs_links(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "links: what we send leaves by the link it is on", test_sends },
                { "links: what we receive stays on its link", test_receives },
                { "links: without settings", test_no_settings },
                { "links: an error by another link", test_path_mtu },
                { "links: a handshake that changes links", test_handshake },
                { "links: an on-demand link after another", test_on_demand },
                { "links: the answer over UDP comes by another link", test_answer_over_udp },
                { "links: which link an address sends by", test_sources },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
