/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Frames with a VLAN tag at a tunnelled link: those of other VLANs are not ours to look at, one way or the
 * other, and of VLAN 4094 only those that come back from our own segmentation device.
 *
 * Room: bench.h. The tag is where the kernel has it once it has looked at a frame: beside it.
 */

#include <linux/if_ether.h>
#include <string.h>

#include "programs.h"

enum {
        OTHER_VLAN = 7,
        OTHER_LINK = 77,
        PRIORITY_ONLY = 5 << 13, /* VLAN 0: a priority, and no VLAN (IEEE 802.1Q) */
        GUESSED = 0x12345678,
};

struct vlan_case {
        const char *name;
        struct frame_spec spec;
        uint16_t tag;
        uint16_t kind;   /* EtherType of the tag; 0: ETH_P_8021Q */
        bool flow;       /* it belongs to a flow in the tunnel */
        __u32 index;     /* tc_index */
        __u32 note;      /* what a sender has guessed of our note in cb */
        bool taken;      /* as if there were no tag */
};

#define OURS_SYN .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP
#define OURS_DATA .flags = FRAME_ACK, .payload = 1000
#define PEER .from = FRAME_REMOTE, .source_port = 50000, .dest_port = 443

static const struct vlan_case cases[] = {
        { "sent: SYN", { OURS_SYN }, OTHER_VLAN },
        { "sent: SYN, outer tag of QinQ", { OURS_SYN }, OTHER_VLAN, ETH_P_8021AD },
        { "sent: SYN, both tags of QinQ", { OURS_SYN, .vlan = true }, OTHER_VLAN, ETH_P_8021AD },
        { "sent: SYN with a priority alone", { OURS_SYN }, PRIORITY_ONLY, .taken = true },
        { "sent: data", { OURS_DATA }, OTHER_VLAN, .flow = true },
        { "sent: data with a priority alone", { OURS_DATA }, PRIORITY_ONLY, .flow = true, .taken = true },
        { "sent: SYN, our id", { OURS_SYN }, UNDERPASS_SEGMENT_VLAN },
        { "sent: data, our id", { OURS_DATA }, UNDERPASS_SEGMENT_VLAN, .flow = true },
        { "sent: our id and slot",
          { OURS_DATA },
          UNDERPASS_SEGMENT_VLAN,
          .flow = true,
          .index = BENCH_SLOT },
        { "sent: our id and slot, a guessed note",
          { OURS_DATA },
          UNDERPASS_SEGMENT_VLAN | PRIORITY_ONLY,
          .index = BENCH_SLOT,
          .note = GUESSED },
        { "sent: our id and slot, 802.1ad",
          { OURS_DATA },
          UNDERPASS_SEGMENT_VLAN,
          ETH_P_8021AD,
          .index = BENCH_SLOT },
        { "received: SYN", { PEER, OURS_SYN, .udp = true }, OTHER_VLAN },
        { "received: SYN, outer tag of QinQ", { PEER, OURS_SYN, .udp = true }, OTHER_VLAN, ETH_P_8021AD },
        { "received: SYN, our id",
          { PEER, OURS_SYN, .udp = true },
          UNDERPASS_SEGMENT_VLAN,
          .index = BENCH_SLOT },
        { "received: SYN with a priority alone",
          { PEER, OURS_SYN, .udp = true },
          PRIORITY_ONLY,
          .taken = true },
        { "received: data", { PEER, OURS_DATA, .udp = true }, OTHER_VLAN, .flow = true },
        { "received: data, our id",
          { PEER, OURS_DATA, .udp = true },
          UNDERPASS_SEGMENT_VLAN,
          .flow = true,
          .index = BENCH_SLOT },
        { "received: data with a priority alone",
          { PEER, OURS_DATA, .udp = true },
          PRIORITY_ONLY,
          .flow = true,
          .taken = true },
        { "received: plain SYN of a flow", { PEER, OURS_SYN }, OTHER_VLAN, .flow = true },
};

static __u32 network(uint16_t value) {
        uint8_t bytes[2];
        uint16_t ret;

        frame_put16(bytes, value);
        memcpy(&ret, bytes, sizeof(ret));
        return ret;
}

/* What egress or ingress makes of the frame, without its tag. */
static void expect_frame(const struct vlan_case *test, const struct frame *before, struct frame *ret) {
        *ret = *before;
        if (test->taken && test->spec.udp)
                frame_to_tcp(ret);
}

static bool run_case(struct bench *bench, const struct vlan_case *test, bool ipv6) {
        const bool received = test->spec.from == FRAME_REMOTE;
        struct __sk_buff context = {
                .tc_index = test->index,
                .vlan_present = 1,
                .vlan_tci = test->tag,
                .vlan_proto = network(test->kind ? test->kind : ETH_P_8021Q),
                .cb = { 0, test->note, BENCH_SLOT },
        };
        struct frame_spec spec = test->spec;
        struct frame before, after, expected;
        struct underpass_flow flow, known;
        struct underpass_flow_key key;
        __u32 verdict;

        spec.ipv6 = ipv6;
        EXPECT(bench_reset(bench) == 0);
        frame_build(&spec, &before);
        bench_flow_key(&before, !received, &key);
        bench_tunnelled(&flow);
        if (test->flow)
                EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        after = before;
        EXPECT(bench_run(bench, received ? BENCH_INGRESS : BENCH_EGRESS, false, &after, &context,
                         &verdict) == 0);
        EXPECT_EQUAL(verdict, test->taken && !received ? BENCH_REDIRECT : BENCH_NEXT);
        expect_frame(test, &before, &expected);
        EXPECT(frame_equal(&after, &expected));
        if (test->taken)
                return true;
        EXPECT(bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {}));
        EXPECT_EQUAL(bench_flows_count(bench->half_open), 0);
        EXPECT_EQUAL(bench_flows_count(bench->flows), test->flow);
        if (test->flow) {
                EXPECT(bench_get_flow(bench->flows, &key, &known) == 0);
                EXPECT(memcmp(&known, &flow, sizeof(flow)) == 0);
        }
        return true;
}

static bool test_others(void *context) {
        for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
                if (run_case(context, &cases[i / 2], i & 1))
                        continue;
                fprintf(stderr, "vlan, IPv%d: %s\n", i & 1 ? 6 : 4, cases[i / 2].name);
                return false;
        }
        return true;
}

/* A segment of ours comes back with our tag, and leaves in UDP form without it. */
static bool run_back(struct bench *bench, const struct frame_spec *spec, __u32 slot, bool unsegmented,
                     bool taken) {
        struct __sk_buff context = {};
        struct frame frame, expected;
        __u32 verdict;

        EXPECT(bench_segment_context(bench, 0, &context) == 0);
        context.tc_index = slot;
        context.vlan_present = 1;
        context.vlan_tci = UNDERPASS_SEGMENT_VLAN;
        context.vlan_proto = network(ETH_P_8021Q);
        context.gso_size = unsegmented ? 500 : 0;
        context.gso_segs = unsegmented ? 2 : 0;
        frame_build(spec, &frame);
        expected = frame;
        if (taken)
                frame_to_udp(&expected);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, unsegmented ? BENCH_DROP : BENCH_NEXT);
        EXPECT(frame_equal(&frame, &expected));
        if (bench->object)
                return true;
        EXPECT_EQUAL(context.vlan_present, !taken);
        EXPECT_EQUAL(context.tc_index, taken ? 0 : slot);
        if (taken)
                EXPECT_EQUAL(context.cb[1], 0);
        return true;
}

static bool test_ours(void *context) {
        static const struct bench_count sent[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_SENT, 1 } };
        static const struct bench_count unsegmented[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_DROP_UNSEGMENTED, 1 }
        };
        static const struct bench_count none[BENCH_COUNTS_MAX] = {};
        struct bench *bench = context;

        for (int ipv6 = 0; ipv6 < 2; ipv6++) {
                struct frame_spec spec = { OURS_DATA, .ipv6 = ipv6 };

                EXPECT(run_back(bench, &spec, BENCH_SLOT, false, true));
                EXPECT(bench_counted(bench, sent));
                EXPECT(run_back(bench, &spec, BENCH_SLOT + 1, false, false));
                EXPECT(bench_counted(bench, none));
                EXPECT(run_back(bench, &spec, BENCH_SLOT, true, false));
                EXPECT(bench_counted(bench, unsegmented));
        }
        return true;
}

/* A frame that has all of a segment of ours but for one thing. */
struct tag_case {
        const char *name;
        uint16_t tag;
        uint16_t kind;
        __u32 slot_ifindex; /* of the link that the slot is of */
        __u32 device;       /* its segmentation device; 0: it has none any more */
        __u32 changed;      /* bits of the note */
        bool taken;
};

#define OUR_TAG UNDERPASS_SEGMENT_VLAN, ETH_P_8021Q
#define OUR_SLOT BENCH_IFINDEX, BENCH_SEGMENT_IFINDEX

static const struct tag_case tags[] = {
        { "all of it", OUR_TAG, OUR_SLOT, .taken = true },
        { "a priority, too", UNDERPASS_SEGMENT_VLAN | PRIORITY_ONLY, ETH_P_8021Q, OUR_SLOT, .taken = true },
        { "another id", OTHER_VLAN, ETH_P_8021Q, OUR_SLOT },
        { "the id before", UNDERPASS_SEGMENT_VLAN - 1, ETH_P_8021Q, OUR_SLOT },
        { "another kind of tag", UNDERPASS_SEGMENT_VLAN, ETH_P_8021AD, OUR_SLOT },
        { "a slot of another link", OUR_TAG, OTHER_LINK, BENCH_SEGMENT_IFINDEX },
        { "a link without segmentation device", OUR_TAG, BENCH_IFINDEX, 0 },
        { "another number in the note", OUR_TAG, OUR_SLOT, .changed = 1 },
        { "the note of one that has been converted", OUR_TAG, OUR_SLOT, .changed = 0xffffffff },
        { "another number in the other half", OUR_TAG, OUR_SLOT, .changed = 1U << 31 },
};

static bool run_tag(struct bench *bench, const struct tag_case *test, bool ipv6) {
        const struct bench_count counts[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_SENT, test->taken } };
        const struct underpass_slot slot = { .ifindex = test->slot_ifindex,
                                             .device_ifindex = test->device };
        const struct frame_spec spec = { OURS_DATA, .ipv6 = ipv6 };
        struct __sk_buff context = {};
        struct frame frame, expected;
        __u32 verdict, note;

        EXPECT(bench_segment_context(bench, 0, &context) == 0);
        EXPECT(bench_set_slot(bench, &slot) == 0);
        note = context.cb[1] ^= test->changed;
        context.tc_index = BENCH_SLOT;
        context.vlan_present = 1;
        context.vlan_tci = test->tag;
        context.vlan_proto = network(test->kind);
        frame_build(&spec, &frame);
        expected = frame;
        if (test->taken)
                frame_to_udp(&expected);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT(frame_equal(&frame, &expected));
        EXPECT_EQUAL(context.cb[1], test->taken ? 0 : note);
        return bench_counted(bench, counts);
}

static bool test_tags(void *context) {
        for (size_t i = 0; i < 2 * sizeof(tags) / sizeof(tags[0]); i++) {
                if (run_tag(context, &tags[i / 2], i & 1))
                        continue;
                fprintf(stderr, "vlan, our segment but for %s, IPv%d\n", tags[i / 2].name, i & 1 ? 6 : 4);
                return false;
        }
        return true;
}

int programs_vlan(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "vlan: frames of other VLANs", test_others },
                { "vlan: back from the segmentation device", test_ours },
                { "vlan: nearly back from the segmentation device", test_tags },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
