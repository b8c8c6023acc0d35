/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The egress programs: which SYNs leave in the tunnel, what stays plain, and that a packet is never changed
 * on its way to the segmentation device.
 *
 * Room: bench.h. Every case runs with and without Ethernet header.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "programs.h"

enum {
        PRIORITY = 5,
        MARK = 0x1234,
        ETHERNET_LENGTH = 14,
        EXTENSION_HOP_BY_HOP = 0,
        EXTENSION_ROUTING = 43,
        EXTENSION_FRAGMENT = 44,
        EXTENSION_DESTINATION = 60,
        EXTENSION_MOBILITY = 135,
};

struct egress_case {
        const char *name;
        struct frame_spec spec;
        void (*tweak)(struct underpass_link *link);
        struct bench_count counts[BENCH_COUNTS_MAX];
        __u32 verdict;
        unsigned half_open; /* records afterwards */
        bool no_link;
        bool no_segment;
};

#define SYN_MPTCP .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP
#define EXTENSIONS(...)                                                                                     \
        .ipv6 = true, .extensions = { __VA_ARGS__ }, .extensions_count = sizeof((uint8_t[]){ __VA_ARGS__ })
#define TAKEN .verdict = BENCH_REDIRECT, .half_open = 1, .counts = { { UNDERPASS_COUNTER_FLOWS_OPENED, 1 } }
#define PLAIN .verdict = BENCH_NEXT
#define NOT_MPTCP .verdict = BENCH_NEXT, .counts = { { UNDERPASS_COUNTER_PLAIN_NOT_MPTCP, 1 } }
#define FRAGMENT .verdict = BENCH_NEXT, .counts = { { UNDERPASS_COUNTER_PASS_FRAGMENT, 1 } }

static void any_tcp(struct underpass_link *link) {
        link->flags = 0;
}

static void all_ranges(struct underpass_link *link) {
        for (int i = 0; i < UNDERPASS_PORT_RANGES_MAX; i++) {
                link->remote_ports[i].first = (__u16) (1000 + 10 * i);
                link->remote_ports[i].last = (__u16) (1001 + 10 * i);
        }
        link->remote_ports_count = UNDERPASS_PORT_RANGES_MAX;
}

static void every_port(struct underpass_link *link) {
        link->remote_ports[0].first = 1;
        link->remote_ports[0].last = 65535;
}

static void add_prefix(struct underpass_link *link, const char *address, unsigned bits) {
        struct underpass_prefix *prefix = &link->remote_addresses[link->remote_addresses_count++];

        for (unsigned i = 0; i < 4; i++) {
                for (unsigned bit = 0; bit < 32 && i * 32 + bit < bits; bit++)
                        prefix->mask[i] |= htonl(0x80000000 >> bit);
        }
        inet_pton(AF_INET6, address, prefix->address);
}

static void prefix_holds(struct underpass_link *link) {
        add_prefix(link, "::ffff:8.0.2.0", 96 + 24);
}

static void prefix_exact(struct underpass_link *link) {
        add_prefix(link, "::ffff:8.0.2.2", 128);
        add_prefix(link, "2001:db8:86dd:2::2", 128);
}

static void prefix_misses_by_a_bit(struct underpass_link *link) {
        add_prefix(link, "::ffff:8.0.2.3", 128);
        add_prefix(link, "2001:db8:86dd:2::3", 128);
        add_prefix(link, "a001:db8:86dd:2::", 64);
}

static void prefix_ipv4_all(struct underpass_link *link) {
        add_prefix(link, "::ffff:0.0.0.0", 96);
}

static void prefix_everything(struct underpass_link *link) {
        add_prefix(link, "::", 0);
}

static void prefix_last_of_all(struct underpass_link *link) {
        for (int i = 0; i < UNDERPASS_PREFIXES_MAX - 1; i++)
                add_prefix(link, "::ffff:192.0.2.1", 128);
        add_prefix(link, "2001:db8:86dd:2::", 64);
}

/* A prefix beyond the count is none. */
static void prefix_unused(struct underpass_link *link) {
        add_prefix(link, "::ffff:192.0.2.1", 128);
        add_prefix(link, "::ffff:8.0.2.2", 128);
        link->remote_addresses_count = 1;
}

static void mark_exact(struct underpass_link *link) {
        link->flags |= UNDERPASS_LINK_FWMARK;
        link->mark = MARK;
        link->mark_mask = 0xffffffff;
}

static void mark_masked(struct underpass_link *link) {
        link->flags |= UNDERPASS_LINK_FWMARK;
        link->mark = MARK & 0xff;
        link->mark_mask = 0xff;
}

static void mark_other(struct underpass_link *link) {
        link->flags |= UNDERPASS_LINK_FWMARK;
        link->mark = MARK + 1;
        link->mark_mask = 0xffffffff;
}

static const struct egress_case cases[] = {
        { "SYN with MP_CAPABLE", { SYN_MPTCP }, TAKEN },
        { "SYN with MP_CAPABLE, IPv6", { SYN_MPTCP, .ipv6 = true }, TAKEN },
        { "SYN with MP_JOIN", { .flags = FRAME_SYN, .options = FRAME_OPTIONS_JOIN }, TAKEN },
        { "SYN that asks for ECN",
          { .flags = FRAME_SYN | FRAME_ECE | FRAME_CWR, .options = FRAME_OPTIONS_MPTCP },
          TAKEN },
        { "SYN that asks for accurate ECN",
          { .flags = FRAME_SYN | FRAME_ECE | FRAME_CWR,
            .reserved = FRAME_AE,
            .options = FRAME_OPTIONS_MPTCP },
          TAKEN },
        { "SYN with data", { SYN_MPTCP, .payload = 100 }, TAKEN },
        { "SYN, MSS at an odd distance", { .flags = FRAME_SYN, .options = FRAME_OPTIONS_MSS_ODD }, TAKEN },
        { "SYN, checksum not done yet", { SYN_MPTCP, .jumbled_check = true }, TAKEN },
        { "SYN without MPTCP", { .flags = FRAME_SYN, .options = FRAME_OPTIONS_PLAIN },
          NOT_MPTCP },
        { "SYN without options", { .flags = FRAME_SYN, .ipv6 = true }, NOT_MPTCP },
        { "SYN without options, with data (Fast Open)", { .flags = FRAME_SYN, .payload = 100 }, NOT_MPTCP },
        { "SYN without options, with data, mptcp-only=no",
          { .flags = FRAME_SYN, .payload = 100 },
          any_tcp,
          TAKEN },
        { "SYN without MPTCP to another port",
          { .flags = FRAME_SYN, .options = FRAME_OPTIONS_PLAIN, .dest_port = 444 },
          PLAIN },
        { "SYN without MPTCP to another address",
          { .flags = FRAME_SYN, .options = FRAME_OPTIONS_PLAIN },
          prefix_misses_by_a_bit,
          PLAIN },
        { "SYN-ACK without MPTCP of no flow",
          { .flags = FRAME_SYN | FRAME_ACK, .options = FRAME_OPTIONS_PLAIN },
          PLAIN },
        { "SYN without MPTCP, mptcp-only=no",
          { .flags = FRAME_SYN, .options = FRAME_OPTIONS_PLAIN },
          any_tcp,
          TAKEN },
        { "SYN, MPTCP behind the end", { .flags = FRAME_SYN, .options = FRAME_OPTIONS_BEHIND_END },
          NOT_MPTCP },
        { "SYN, option of length 0", { .flags = FRAME_SYN, .options = FRAME_OPTIONS_LENGTH_ZERO },
          NOT_MPTCP },
        { "SYN, option too long", { .flags = FRAME_SYN, .options = FRAME_OPTIONS_LENGTH_LONG }, NOT_MPTCP },
        { "SYN, option without length",
          { .flags = FRAME_SYN, .options = FRAME_OPTIONS_LAST_BYTE, .payload = 2 },
          NOT_MPTCP },
        { "port beside a single one, below", { SYN_MPTCP, .dest_port = 442 }, PLAIN },
        { "port beside a single one, above", { SYN_MPTCP, .dest_port = 444 }, PLAIN },
        { "first port of a range", { SYN_MPTCP, .dest_port = 8000 }, TAKEN },
        { "last port of a range", { SYN_MPTCP, .dest_port = 8100 }, TAKEN },
        { "port below a range", { SYN_MPTCP, .dest_port = 7999 }, PLAIN },
        { "port above a range", { SYN_MPTCP, .dest_port = 8101 }, PLAIN },
        { "port of local-ports", { SYN_MPTCP, .dest_port = 5005 }, PLAIN },
        { "local port in remote-ports", { SYN_MPTCP, .source_port = 443, .dest_port = 9 }, PLAIN },
        { "port in the last of 32 ranges", { SYN_MPTCP, .dest_port = 1311 }, all_ranges, TAKEN },
        { "port between 32 ranges", { SYN_MPTCP, .dest_port = 1309 }, all_ranges, PLAIN },
        { "port 0", { SYN_MPTCP, .to_port_zero = true }, PLAIN },
        { "port 1 of all", { SYN_MPTCP, .dest_port = 1 }, every_port, TAKEN },
        { "port 65535 of all", { SYN_MPTCP, .dest_port = 65535 }, every_port, TAKEN },
        { "address in a prefix", { SYN_MPTCP }, prefix_holds, TAKEN },
        { "IPv6 address, IPv4 prefix", { SYN_MPTCP, .ipv6 = true }, prefix_holds, PLAIN },
        { "address of length 32", { SYN_MPTCP }, prefix_exact, TAKEN },
        { "address of length 128", { SYN_MPTCP, .ipv6 = true }, prefix_exact, TAKEN },
        { "address one bit beside", { SYN_MPTCP }, prefix_misses_by_a_bit, PLAIN },
        { "IPv6 address one bit beside", { SYN_MPTCP, .ipv6 = true }, prefix_misses_by_a_bit, PLAIN },
        { "0.0.0.0/0 and IPv4", { SYN_MPTCP }, prefix_ipv4_all, TAKEN },
        { "0.0.0.0/0 and IPv6", { SYN_MPTCP, .ipv6 = true }, prefix_ipv4_all, PLAIN },
        { "::/0 and IPv6", { SYN_MPTCP, .ipv6 = true }, prefix_everything, TAKEN },
        { "address in the last of 16 prefixes", { SYN_MPTCP, .ipv6 = true }, prefix_last_of_all, TAKEN },
        { "address in none of 16 prefixes", { SYN_MPTCP }, prefix_last_of_all, PLAIN },
        { "prefix beyond the count", { SYN_MPTCP }, prefix_unused, PLAIN },
        { "mark equal", { SYN_MPTCP }, mark_exact, TAKEN },
        { "mark equal under its mask", { SYN_MPTCP }, mark_masked, TAKEN },
        { "mark different", { SYN_MPTCP }, mark_other, PLAIN },
        { "link without profile", { SYN_MPTCP }, PLAIN, .no_link = true },
        { "no hop",
          { SYN_MPTCP },
          .no_segment = true,
          .verdict = BENCH_DROP,
          .half_open = 1,
          .counts = { { UNDERPASS_COUNTER_FLOWS_OPENED, 1 }, { UNDERPASS_COUNTER_DROP_NO_DEVICE, 1 } } },
        { "ACK of no flow", { .flags = FRAME_ACK, .payload = 1000 }, PLAIN },
        { "SYN-ACK of no flow", { .flags = FRAME_SYN | FRAME_ACK, .options = FRAME_OPTIONS_MPTCP }, PLAIN },
        { "UDP to the port", { .udp = true, SYN_MPTCP }, PLAIN },
        { "first fragment", { SYN_MPTCP, .fragment = FRAME_MORE_FRAGMENTS }, FRAGMENT },
        { "later fragment", { SYN_MPTCP, .fragment = 185 }, FRAGMENT },
        { "fragment, no profile",
          { SYN_MPTCP, .fragment = 185 },
          .no_link = true,
          .verdict = BENCH_NEXT,
          .counts = { { UNDERPASS_COUNTER_PASS_FRAGMENT, 1, true } } },
        { "fragment of UDP", { .udp = true, SYN_MPTCP, .fragment = FRAME_MORE_FRAGMENTS }, PLAIN },
        { "fragment, IPv6", { SYN_MPTCP, EXTENSIONS(EXTENSION_FRAGMENT), .fragment = 1 }, FRAGMENT },
        { "fragment of its own, IPv6", { SYN_MPTCP, EXTENSIONS(EXTENSION_FRAGMENT) }, FRAGMENT },
        { "fragment behind options, IPv6",
          { SYN_MPTCP, EXTENSIONS(EXTENSION_HOP_BY_HOP, EXTENSION_FRAGMENT), .fragment = 9 },
          FRAGMENT },
        { "fragment of UDP, IPv6",
          { .udp = true, SYN_MPTCP, EXTENSIONS(EXTENSION_FRAGMENT), .fragment = 1 },
          PLAIN },
        { "IPv4 options", { SYN_MPTCP, .ipv4_options = 4 }, TAKEN },
        { "IPv4 options, 40 bytes",
          { .flags = FRAME_SYN, .options = FRAME_OPTIONS_MSS_ODD, .ipv4_options = 40 },
          TAKEN },
        { "IPv4 options, no MPTCP",
          { .flags = FRAME_SYN, .options = FRAME_OPTIONS_PLAIN, .ipv4_options = 8 },
          NOT_MPTCP },
        { "one extension header", { SYN_MPTCP, EXTENSIONS(EXTENSION_DESTINATION) }, TAKEN },
        { "four extension headers",
          { SYN_MPTCP, EXTENSIONS(EXTENSION_HOP_BY_HOP, EXTENSION_DESTINATION, EXTENSION_ROUTING,
                                  EXTENSION_DESTINATION) },
          TAKEN },
        { "five extension headers",
          { SYN_MPTCP, EXTENSIONS(EXTENSION_HOP_BY_HOP, EXTENSION_DESTINATION, EXTENSION_ROUTING,
                                  EXTENSION_DESTINATION, EXTENSION_DESTINATION) },
          PLAIN },
        { "extension header of another kind", { SYN_MPTCP, EXTENSIONS(EXTENSION_MOBILITY) }, PLAIN },
};

/*
 * Behind the segmentation device's Ethernet header, if it had to be given one, the packet is what it was,
 * and the note tells where it belongs.
 */
static bool handed_over(const struct frame *before, const struct frame *after, const struct frame_spec *spec,
                        const struct __sk_buff *context) {
        size_t added = spec->raw ? ETHERNET_LENGTH : 0;

        EXPECT_EQUAL(after->length, before->length + added);
        EXPECT(memcmp(after->data + added, before->data, before->length) == 0);
        if (spec->raw)
                EXPECT_EQUAL(frame_get16(after->data + 12), spec->ipv6 ? 0x86dd : 0x0800);
        EXPECT_EQUAL(context->cb[0], PRIORITY);
        EXPECT_EQUAL(context->cb[2], BENCH_SLOT);
        EXPECT_EQUAL(context->mark, MARK);
        return true;
}

static bool run_case(struct bench *bench, const struct egress_case *test, bool raw) {
        struct __sk_buff context = { .mark = MARK, .priority = PRIORITY };
        struct frame_spec spec = test->spec;
        struct underpass_link link;
        struct frame before, after;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        if (test->tweak)
                test->tweak(&link);
        EXPECT((test->no_link ? bench_remove_link(bench) : bench_set_link(bench, &link)) == 0);
        if (test->no_segment)
                EXPECT(bench_set_segment(bench, 0) == 0);
        spec.raw = raw;
        frame_build(&spec, &before);
        after = before;
        EXPECT(bench_run(bench, raw ? BENCH_EGRESS_RAW : BENCH_EGRESS, false, &after, &context, &verdict) ==
               0);
        EXPECT_EQUAL(verdict, test->verdict);
        EXPECT(bench_counted(bench, test->counts));
        EXPECT_EQUAL(bench_flows_count(bench->half_open), test->half_open);
        EXPECT_EQUAL(bench_flows_count(bench->flows), 0);
        if (verdict == BENCH_REDIRECT)
                return handed_over(&before, &after, &spec, &context);
        EXPECT(frame_equal(&before, &after));
        return true;
}

static bool test_cases(void *context) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                for (int raw = 0; raw < 2; raw++) {
                        if (run_case(context, &cases[i], raw))
                                continue;
                        fprintf(stderr, "egress%s: %s\n", raw ? ", no Ethernet" : "", cases[i].name);
                        return false;
                }
        }
        return true;
}

/*
 * Everything that a flow sends after its SYN goes the same way, super-packets too; nothing of a finished
 * decision is asked again.
 */
static bool test_flow_stays(void *context) {
        static const uint8_t kinds[] = { FRAME_ACK, FRAME_ACK | FRAME_PSH, FRAME_ACK | FRAME_FIN,
                                         FRAME_RST };
        struct underpass_flow flow;
        struct bench *bench = context;

        for (unsigned i = 0; i < 4 * sizeof(kinds); i++) {
                struct frame_spec spec = {
                        .flags = kinds[i % sizeof(kinds)], .payload = 3000, .ipv6 = i & 4, .raw = i & 8,
                };
                struct __sk_buff note = {
                        .mark = MARK, .priority = PRIORITY, .gso_size = 1400, .gso_segs = 3
                };
                struct underpass_flow_key key;
                struct frame before, after;
                __u32 verdict;

                EXPECT(bench_reset(bench) == 0);
                EXPECT(bench_remove_link(bench) == 0);
                bench_tunnelled(&flow);
                flow.seen_ns = 1;
                frame_build(&spec, &before);
                bench_flow_key(&before, true, &key);
                EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
                after = before;
                EXPECT(bench_run(bench, spec.raw ? BENCH_EGRESS_RAW : BENCH_EGRESS, false, &after, &note,
                                 &verdict) == 0);
                EXPECT_EQUAL(verdict, BENCH_REDIRECT);
                EXPECT(handed_over(&before, &after, &spec, &note));
                EXPECT(bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {}));
                EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
                EXPECT_EQUAL(flow.sent, 1);
                EXPECT(flow.seen_ns > 1);
        }
        return true;
}

/*
 * A SYN cut off anywhere: never a crash, never a changed byte, and taken only when its options can be read.
 */
static bool test_cut_off(void *context) {
        struct bench *bench = context;

        for (unsigned i = 0; i < 8; i++) {
                struct frame_spec spec = { SYN_MPTCP, .ipv6 = i & 1, .raw = i & 2,
                                           .ipv4_options = i == 4 ? 8 : 0 };
                struct frame whole;

                if (i == 5)
                        spec = (struct frame_spec){ SYN_MPTCP, EXTENSIONS(EXTENSION_HOP_BY_HOP,
                                                                          EXTENSION_DESTINATION) };
                frame_build(&spec, &whole);
                /* The kernel wants an IP header behind what it takes for the Ethernet header. */
                for (size_t length = whole.layer4 + (spec.raw ? ETHERNET_LENGTH : 0); length <= whole.length;
                     length++) {
                        struct frame before = whole, after;
                        __u32 verdict;

                        before.length = length;
                        after = before;
                        EXPECT(bench_reset(bench) == 0);
                        EXPECT(bench_run(bench, spec.raw ? BENCH_EGRESS_RAW : BENCH_EGRESS, false, &after,
                                         NULL, &verdict) == 0);
                        /* Of the last option, four bytes long, kind and length are what matters. */
                        EXPECT_EQUAL(verdict, length + 2 >= whole.length ? BENCH_REDIRECT : BENCH_NEXT);
                        if (verdict == BENCH_NEXT)
                                EXPECT(frame_equal(&before, &after));
                }
        }
        return true;
}

/* With a tag in front the packet is not IP to the programs. */
static bool test_vlan(void *context) {
        struct frame_spec spec = { SYN_MPTCP, .vlan = true };
        struct bench *bench = context;
        struct frame before, after;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        frame_build(&spec, &before);
        after = before;
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &after, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT(frame_equal(&before, &after));
        EXPECT(bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {}));
        return true;
}

/* What becomes of a packet with this note in it. */
static bool run_note(struct bench *bench, __u32 note, bool flow, bool raw, __u32 expected) {
        const struct frame_spec spec = { .flags = FRAME_ACK, .payload = 1000, .raw = raw };
        struct __sk_buff context = { .mark = MARK, .priority = PRIORITY, .cb = { 0, note, BENCH_SLOT } };
        struct underpass_flow_key key;
        struct underpass_flow known;
        struct frame before, after;
        __u32 verdict;

        EXPECT(bench_reset(bench) == 0);
        frame_build(&spec, &before);
        bench_flow_key(&before, true, &key);
        bench_tunnelled(&known);
        if (flow)
                EXPECT(bench_put_flow(bench->flows, &key, &known) == 0);
        after = before;
        EXPECT(bench_run(bench, raw ? BENCH_EGRESS_RAW : BENCH_EGRESS, false, &after, &context, &verdict) ==
               0);
        EXPECT_EQUAL(verdict, expected);
        if (verdict == BENCH_REDIRECT)
                return handed_over(&before, &after, &spec, &context);
        EXPECT(frame_equal(&before, &after));
        EXPECT(bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {}));
        return true;
}

/* Anybody can write into a packet that it has been converted, or is to be a probe: without our number it is
 * a packet like any other. With it, a packet of a flow goes on as it is. */
static bool test_notes(void *context) {
        struct __sk_buff ours;

        EXPECT(bench_segment_context(context, 0, &ours) == 0);
        for (int raw = 0; raw < 2; raw++) {
                const __u32 converted = ~ours.cb[1], probe = ours.cb[1] ^ 1;

                EXPECT(run_note(context, converted, true, raw, BENCH_NEXT));
                for (int i = 0; i < 64; i++) {
                        const __u32 bit = 1U << i % 32, guess = (i < 32 ? converted : probe) ^ bit;

                        EXPECT(run_note(context, guess, true, raw, BENCH_REDIRECT));
                        EXPECT(run_note(context, guess, false, raw, BENCH_NEXT));
                        EXPECT(run_note(context, i < 32 ? bit : ~bit, true, raw, BENCH_REDIRECT));
                }
                EXPECT(run_note(context, ~0U, true, raw, BENCH_REDIRECT));
        }
        return true;
}

int programs_egress(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "egress: which SYNs are taken", test_cases },
                { "egress: a flow stays in the tunnel", test_flow_stays },
                { "egress: packets cut off", test_cut_off },
                { "egress: a VLAN tag", test_vlan },
                { "egress: notes that others have written", test_notes },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
