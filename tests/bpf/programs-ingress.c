/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The ingress programs: which datagrams become TCP, and that all others come through untouched and are
 * counted by reason.
 *
 * Room: bench.h. Every case runs with and without Ethernet header, and with the sum of a card
 * (CHECKSUM_COMPLETE) where the kernel can do that.
 */

#include <errno.h>
#include <string.h>

#include "programs.h"

enum {
        EXTENSION_HOP_BY_HOP = 0,
        EXTENSION_FRAGMENT = 44,
        EXTENSION_DESTINATION = 60,
        PAYLOAD = 100,
        ETHERNET_LENGTH = 14,
        IPV6_LENGTH = 40,
};

struct ingress_case {
        const char *name;
        struct frame_spec spec;
        void (*tweak)(struct underpass_link *link);
        void (*mangle)(struct frame *frame, uint8_t *layer4);
        struct bench_count counts[BENCH_COUNTS_MAX];
        size_t mss_at;     /* where in the layer 4 header an MSS must have been lowered; 0: nowhere */
        bool flow;         /* the datagram belongs to a flow */
        bool converted;
        bool no_link;
        bool merged;       /* by GRO, before the programs see it: goes to be cut as it is */
        bool foreign;      /* so it is, but no flow has it */
        bool half_open;    /* the flow of the datagram is */
        bool dropped;
};

#define BETWEEN(remote, local)                                                                              \
        .from = FRAME_REMOTE, .udp = true, .source_port = (remote), .dest_port = (local)
#define SERVER BETWEEN(50000, 443)
#define SYN_BETWEEN(remote, local) BETWEEN(remote, local), .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP
#define SYN_MPTCP SYN_BETWEEN(50000, 443)
#define DATA                                                                                                \
        SERVER, .flags = FRAME_ACK | FRAME_PSH, .payload = PAYLOAD, .sequence = 4711, .acknowledgment = 42
#define TAKEN                                                                                               \
        .converted = true,                                                                                  \
        .counts = { { UNDERPASS_COUNTER_FLOWS_ACCEPTED, 1 }, { UNDERPASS_COUNTER_RECEIVED, 1 } }
#define TAKEN_LOWERED .converted = true, .counts = { { UNDERPASS_COUNTER_FLOWS_ACCEPTED, 1 }, \
                { UNDERPASS_COUNTER_RECEIVED, 1 }, { UNDERPASS_COUNTER_MSS_CLAMPED, 1 } }
#define RECEIVED .flow = true, .converted = true, .counts = { { UNDERPASS_COUNTER_RECEIVED, 1 } }
#define MERGED .flow = true, .merged = true, .counts = { { UNDERPASS_COUNTER_CUT, 1 } }
#define MERGED_TAKEN                                                                                        \
        .merged = true, .counts = { { UNDERPASS_COUNTER_FLOWS_ACCEPTED, 1 }, { UNDERPASS_COUNTER_CUT, 1 } }
#define MALFORMED .flow = true, .dropped = true, .counts = { { UNDERPASS_COUNTER_DROP_MALFORMED, 1 } }
#define MALFORMED_HALF_OPEN(reason) .flow = true, .half_open = true, LEFT_ALONE(reason)
#define LEFT_ALONE(reason) .counts = { { UNDERPASS_COUNTER_PASS_##reason, 1 } }
#define EXTENSIONS(...)                                                                                     \
        .ipv6 = true, .extensions = { __VA_ARGS__ }, .extensions_count = sizeof((uint8_t[]){ __VA_ARGS__ })

static void any_tcp(struct underpass_link *link) {
        link->flags = 0;
}

static void last_range(struct underpass_link *link) {
        memset(link->local_ports, 0, sizeof(link->local_ports));
        link->local_ports[UNDERPASS_PORT_RANGES_MAX - 1] = (struct underpass_port_range) { 443, 443 };
}

/* remote-ports, remote-addresses and marks are the business of flows that open here. */
static void other_remotes(struct underpass_link *link) {
        memset(link->remote_ports, 0, sizeof(link->remote_ports));
        link->flags |= UNDERPASS_LINK_FWMARK;
        link->mark = link->mark_mask = 1;
        link->remote_addresses_count = 1;
}

static void low_mss(struct underpass_link *link) {
        link->mss_ipv4 = 1301;
        link->mss_ipv6 = 1301;
}

static void no_check(struct frame *frame, uint8_t *layer4) {
        frame_put16(layer4 + 6, 0);
}

static void longer(struct frame *frame, uint8_t *layer4) {
        frame_put16(layer4 + 4, (uint16_t) (frame_get16(layer4 + 4) + 1));
}

static void shorter(struct frame *frame, uint8_t *layer4) {
        frame_put16(layer4 + 4, (uint16_t) (frame_get16(layer4 + 4) - 1));
}

static void length_zero(struct frame *frame, uint8_t *layer4) {
        frame_put16(layer4 + 4, 0);
}

static void offset_four(struct frame *frame, uint8_t *layer4) {
        layer4[8] = 0x4f;
}

static void offset_beyond(struct frame *frame, uint8_t *layer4) {
        layer4[8] = 0xf0;
}

static void urgent(struct frame *frame, uint8_t *layer4) {
        layer4[9] |= FRAME_URG;
}

/* In the place of the MSS is an option that nobody knows. */
static void no_mss(struct frame *frame, uint8_t *layer4) {
        layer4[FRAME_HEADER_LENGTH] = 77;
}

static void padded(struct frame *frame, uint8_t *layer4) {
        frame->length += 6; /* what Ethernet appends to short frames */
}

/* The packet has no Ethernet header; but where one would end, its addresses look like the IP header of a
 * packet that ends with it. */
static void address_like_ip(struct frame *frame, uint8_t *layer4) {
        const bool ipv6 = frame->data[0] >> 4 == 6;

        frame->data[ETHERNET_LENGTH] = ipv6 ? 0x60 : 0x45;
        frame_put16(frame->data + ETHERNET_LENGTH + (ipv6 ? 4 : 2),
                    (uint16_t) (frame->length - ETHERNET_LENGTH - (ipv6 ? IPV6_LENGTH : 0)));
        frame_put_checks(frame);
}

static const struct ingress_case cases[] = {
        { "SYN with MP_CAPABLE", { SYN_MPTCP }, TAKEN },
        { "SYN with MP_CAPABLE, IPv6", { SYN_MPTCP, .ipv6 = true }, TAKEN },
        { "SYN with MP_JOIN", { SERVER, .flags = FRAME_SYN, .options = FRAME_OPTIONS_JOIN }, TAKEN },
        { "SYN that asks for ECN",
          { SERVER, .flags = FRAME_SYN | FRAME_ECE | FRAME_CWR, .options = FRAME_OPTIONS_MPTCP },
          TAKEN },
        { "SYN that asks for accurate ECN",
          { SERVER, .flags = FRAME_SYN | FRAME_ECE | FRAME_CWR, .reserved = FRAME_AE,
            .options = FRAME_OPTIONS_MPTCP },
          TAKEN },
        { "SYN with data", { SYN_MPTCP, .payload = 77 }, TAKEN },
        { "SYN without MPTCP",
          { SERVER, .flags = FRAME_SYN, .options = FRAME_OPTIONS_PLAIN },
          LEFT_ALONE(NOT_MPTCP) },
        { "SYN, MPTCP behind the end",
          { SERVER, .flags = FRAME_SYN, .options = FRAME_OPTIONS_BEHIND_END },
          LEFT_ALONE(NOT_MPTCP) },
        { "SYN without MPTCP, mptcp-only=no", { SERVER, .flags = FRAME_SYN }, any_tcp, TAKEN },
        { "SYN without MPTCP, with data (Fast Open), mptcp-only=no",
          { SERVER, .flags = FRAME_SYN, .options = FRAME_OPTIONS_PLAIN, .payload = 77 },
          any_tcp,
          TAKEN },
        { "SYN with MPTCP and no MSS", { SYN_MPTCP }, .mangle = no_mss, TAKEN },
        { "SYN with MPTCP and no MSS, with data", { SYN_MPTCP, .payload = 77 }, .mangle = no_mss, TAKEN },
        /* By chance, what is no TCP looks like these: nobody counts it as a SYN. */
        { "SYN without options, with data", { SERVER, .flags = FRAME_SYN, .payload = 77 } },
        { "SYN without options, with a byte of data, mptcp-only=no",
          { SERVER, .flags = FRAME_SYN, .payload = 1 },
          any_tcp },
        { "SYN without options, with data, mptcp-only=no, IPv6",
          { SERVER, .flags = FRAME_SYN, .payload = 77, .ipv6 = true },
          any_tcp },
        { "SYN with options, but no MSS, mptcp-only=no",
          { SERVER, .flags = FRAME_SYN, .options = FRAME_OPTIONS_TIMESTAMP },
          any_tcp },
        { "SYN to another port", { SYN_BETWEEN(50000, 444) }, LEFT_ALONE(PORT) },
        { "SYN to a port of remote-ports", { SYN_BETWEEN(50000, 8000) }, LEFT_ALONE(PORT) },
        { "SYN from a port of local-ports", { SYN_BETWEEN(443, 40000) }, LEFT_ALONE(PORT) },
        { "SYN to port 0", { SYN_MPTCP, .to_port_zero = true }, LEFT_ALONE(PORT) },
        { "SYN to the first port of a range", { SYN_BETWEEN(50000, 5000) }, TAKEN },
        { "SYN to the last port of a range", { SYN_BETWEEN(50000, 5010) }, TAKEN },
        { "SYN below a range", { SYN_BETWEEN(50000, 4999) }, LEFT_ALONE(PORT) },
        { "SYN above a range", { SYN_BETWEEN(50000, 5011) }, LEFT_ALONE(PORT) },
        { "SYN to the last of 32 ranges", { SYN_MPTCP }, last_range, TAKEN },
        { "SYN, remote keys do not matter", { SYN_MPTCP }, other_remotes, TAKEN },
        { "SYN, link without profile", { SYN_MPTCP }, .no_link = true },
        { "SYN without checksum", { SYN_MPTCP }, .mangle = no_check },
        { "SYN, length too long", { SYN_MPTCP }, .mangle = longer },
        { "SYN, length too short", { SYN_MPTCP }, .mangle = shorter },
        { "SYN, options beyond the end", { SERVER, .flags = FRAME_SYN }, .mangle = offset_beyond },
        { "SYN with URG", { SYN_MPTCP }, .mangle = urgent },
        { "SYN merged with others", { SYN_MPTCP }, MERGED_TAKEN },
        { "SYN to another port, merged", { SYN_BETWEEN(50000, 444) }, .foreign = true, LEFT_ALONE(PORT) },
        { "ACK of no flow, merged", { DATA }, .foreign = true },
        { "SYN, Ethernet padding",
          { SERVER, .flags = FRAME_SYN, .options = FRAME_OPTIONS_MSS_ODD },
          .mangle = padded,
          TAKEN },
        { "SYN-ACK of no flow", { SERVER, .flags = FRAME_SYN | FRAME_ACK, .options = FRAME_OPTIONS_MPTCP } },
        { "ACK of no flow", { DATA } },
        { "RST of no flow", { SERVER, .flags = FRAME_RST } },
        { "SYN, MSS above the limit", { SYN_MPTCP }, low_mss, TAKEN_LOWERED, .mss_at = 22 },
        { "SYN, MSS at an odd distance",
          { SERVER, .flags = FRAME_SYN, .options = FRAME_OPTIONS_MSS_ODD, .ipv6 = true },
          low_mss,
          TAKEN_LOWERED,
          .mss_at = 23 },
        { "SYN, IPv4 options", { SYN_MPTCP, .ipv4_options = 12 }, low_mss, TAKEN_LOWERED, .mss_at = 22 },
        { "SYN, extension header",
          { SYN_MPTCP, EXTENSIONS(EXTENSION_DESTINATION) },
          low_mss,
          TAKEN_LOWERED,
          .mss_at = 22 },
        { "data", { DATA }, RECEIVED },
        { "data, IPv6", { DATA, .ipv6 = true }, RECEIVED },
        { "data, link without profile", { DATA }, RECEIVED, .no_link = true },
        { "data, MSS option in it", { DATA, .options = FRAME_OPTIONS_MPTCP }, low_mss, RECEIVED },
        { "FIN", { SERVER, .flags = FRAME_ACK | FRAME_FIN }, RECEIVED },
        { "RST", { SERVER, .flags = FRAME_RST, .ipv6 = true }, RECEIVED },
        { "SYN-ACK", { SERVER, .flags = FRAME_SYN | FRAME_ACK, .options = FRAME_OPTIONS_PLAIN }, RECEIVED },
        { "data, IPv4 options", { DATA, .ipv4_options = 40 }, RECEIVED },
        { "data, extension headers",
          { DATA, EXTENSIONS(EXTENSION_HOP_BY_HOP, EXTENSION_DESTINATION) },
          RECEIVED },
        { "data, wrong checksum", { DATA, .jumbled_check = true }, RECEIVED },
        { "data, Ethernet padding", { SERVER, .flags = FRAME_ACK }, .mangle = padded, RECEIVED },
        { "data without checksum", { DATA }, .mangle = no_check, MALFORMED },
        { "data, IPv6, without checksum", { DATA, .ipv6 = true }, .mangle = no_check, MALFORMED },
        { "data, length too long", { DATA }, .mangle = longer, MALFORMED },
        { "data, length too short", { DATA, .ipv6 = true }, .mangle = shorter, MALFORMED },
        { "data, length 0", { DATA, .ipv6 = true }, .mangle = length_zero, MALFORMED },
        { "options beyond the end", { SERVER, .flags = FRAME_ACK }, .mangle = offset_beyond, MALFORMED },
        { "data with URG", { DATA }, .mangle = urgent, MALFORMED },
        { "half-open, without checksum", { DATA }, .mangle = no_check, MALFORMED_HALF_OPEN(ZERO_CHECKSUM) },
        { "half-open, length too long",
          { DATA, .ipv6 = true },
          .mangle = longer,
          MALFORMED_HALF_OPEN(LENGTH) },
        { "half-open, URG", { DATA }, .mangle = urgent, MALFORMED_HALF_OPEN(LENGTH) },
        { "data merged by GRO", { DATA }, MERGED },
        { "data merged by GRO, IPv6", { DATA, .ipv6 = true }, MERGED },
        { "merged, one without checksum in front", { DATA }, .mangle = no_check, MERGED },
        { "merged, one of others in front", { DATA }, .mangle = offset_four, MERGED },
        { "data offset 4", { DATA }, .flow = true, .mangle = offset_four },
        { "fragment", { DATA, .fragment = FRAME_MORE_FRAGMENTS }, .flow = true, .dropped = true,
          .counts = { { UNDERPASS_COUNTER_DROP_FRAGMENT, 1 } } },
        { "fragment of nobody", { DATA, .fragment = FRAME_MORE_FRAGMENTS } },
        { "later fragment", { DATA, .fragment = 185 }, .flow = true },
        { "fragment, IPv6", { DATA, EXTENSIONS(EXTENSION_FRAGMENT), .fragment = 1 }, .flow = true,
          .dropped = true, .counts = { { UNDERPASS_COUNTER_DROP_FRAGMENT, 1 } } },
        { "fragment of nobody, IPv6", { DATA, EXTENSIONS(EXTENSION_FRAGMENT), .fragment = 1 } },
        { "plain TCP of a flow",
          { .from = FRAME_REMOTE, .source_port = 50000, .dest_port = 443, .flags = FRAME_ACK },
          .flow = true },
};

static bool prepare(struct bench *bench, const struct ingress_case *test, const struct frame *frame) {
        struct underpass_flow flow;
        struct underpass_flow_key key;
        struct underpass_link link;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        if (test->tweak)
                test->tweak(&link);
        EXPECT((test->no_link ? bench_remove_link(bench) : bench_set_link(bench, &link)) == 0);
        if (test->flow) {
                bench_tunnelled(&flow);
                bench_flow_key(frame, false, &key);
                if (test->half_open)
                        flow.state = UNDERPASS_FLOW_HALF_OPEN;
                EXPECT(bench_put_flow(test->half_open ? bench->half_open : bench->flows, &key, &flow) == 0);
        }
        return true;
}

/* The header that a packet gets on its way to a device that speaks Ethernet. */
static void expect_ethernet(struct frame *frame) {
        bool ipv6 = frame->data[0] >> 4 == 6;

        memmove(frame->data + ETHERNET_LENGTH, frame->data, frame->length);
        memset(frame->data, 0, ETHERNET_LENGTH);
        frame_put16(frame->data + 12, ipv6 ? 0x86dd : 0x0800);
        frame->length += ETHERNET_LENGTH;
}

/* What the reference makes of it. A checksum that was wrong must stay wrong by as much. */
static void expect_converted(const struct ingress_case *test, struct frame *frame) {
        uint8_t *check = frame->data + frame->layer4 + 16;
        uint16_t wrong = frame_layer4_sum(frame);

        if (test->mss_at)
                frame_put16(frame->data + frame->layer4 + test->mss_at, 1301);
        frame_to_tcp(frame);
        if (wrong != 0xffff)
                frame_put16(check, (uint16_t) ~frame_fold((uint32_t) (uint16_t) ~frame_get16(check) +
                                                          (uint16_t) ~wrong));
}

/* How a packet comes. */
enum arrival { ETHERNET, BARE, SUMMED, FRAMED, _ARRIVAL_MAX };

static const char *const arrivals[_ARRIVAL_MAX] = {
        [ETHERNET] = "",
        [BARE] = ", no Ethernet",
        [SUMMED] = ", summed",
        [FRAMED] = ", no Ethernet but a header of the link below",
};

static bool run_case(struct bench *bench, const struct ingress_case *test, enum arrival arrival) {
        bool raw = arrival == BARE, summed = arrival == SUMMED;
        int program = raw || arrival == FRAMED ? BENCH_INGRESS_RAW : BENCH_INGRESS;
        bool merged = test->merged || test->foreign;
        struct __sk_buff context = { .gso_size = merged ? 60 : 0, .gso_segs = merged ? 2 : 0 };
        struct frame expected, after;
        struct frame_spec spec = test->spec;
        __u32 verdict;
        int r;

        spec.raw = raw;
        frame_build(&spec, &after);
        if (test->mangle)
                test->mangle(&after, after.data + after.layer4);
        EXPECT(prepare(bench, test, &after));
        expected = after;
        if (test->converted)
                expect_converted(test, &expected);
        if (test->merged && raw)
                expect_ethernet(&expected);
        r = bench_run(bench, program, summed, &after, &context, &verdict);
        if (summed && r == -EINVAL)
                return true;
        EXPECT_EQUAL((unsigned) -r, 0);
        EXPECT_EQUAL(verdict, test->dropped ? BENCH_DROP : test->merged ? BENCH_REDIRECT : BENCH_NEXT);
        EXPECT(bench_counted(bench, test->counts));
        if (!frame_equal(&after, &expected)) {
                frame_dump("came out", &after);
                frame_dump("expected", &expected);
                return false;
        }
        EXPECT_EQUAL(bench_flows_count(bench->flows), test->flow && !test->half_open);
        EXPECT_EQUAL(bench_flows_count(bench->half_open),
                     test->half_open || ((test->converted || test->merged) && !test->flow));
        return true;
}

static bool test_cases(void *context) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                for (enum arrival each = 0; each < _ARRIVAL_MAX; each++) {
                        if (each == FRAMED && cases[i].mangle == padded)
                                continue; /* IPsec has taken it off */
                        if (run_case(context, &cases[i], each))
                                continue;
                        fprintf(stderr, "ingress%s: %s\n", arrivals[each], cases[i].name);
                        return false;
                }
        }
        return true;
}

/* Only where no IP packet begins at once, and one that ends with the frame 14 bytes later, there is a header
 * of the link below. */
static bool test_framed(void *context) {
        static const struct {
                enum arrival arrival;
                struct ingress_case test;
        } framed[] = {
                { BARE, { "IPv4, another one in its addresses", { DATA }, .mangle = address_like_ip,
                          RECEIVED } },
                { BARE, { "IPv6, another one in its addresses", { DATA, .ipv6 = true },
                          .mangle = address_like_ip, RECEIVED } },
                { FRAMED, { "IPv4, something behind it", { DATA }, .mangle = padded, .flow = true } },
                { FRAMED, { "IPv6, something behind it", { DATA, .ipv6 = true }, .mangle = padded,
                            .flow = true } },
        };

        for (size_t i = 0; i < sizeof(framed) / sizeof(framed[0]); i++) {
                if (run_case(context, &framed[i].test, framed[i].arrival))
                        continue;
                fprintf(stderr, "ingress%s: %s\n", arrivals[framed[i].arrival], framed[i].test.name);
                return false;
        }
        return true;
}

/*
 * Random datagrams to a port of ours, of all lengths: those that happen to look like a SYN excepted, nobody
 * touches them.
 */
static bool test_foreign(void *context) {
        struct bench *bench = context;
        uint64_t random = 0x5eed0003;
        struct underpass_link link;

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        link.flags = 0;
        EXPECT(bench_set_link(bench, &link) == 0);
        for (int i = 0; i < 5000; i++) {
                struct frame_spec spec = { SERVER, .ipv6 = i & 1,
                                           .payload = (uint16_t) (expect_random(&random) % 1400) };
                struct frame before, after;
                __u32 verdict;

                frame_build(&spec, &before);
                expect_random_bytes(&random, before.data + before.layer4 + 8,
                                    before.length - before.layer4 - 8);
                before.data[before.layer4 + 16] |= 1; /* a first SYN has no acknowledgment number */
                after = before;
                EXPECT(bench_run(bench, BENCH_INGRESS, false, &after, NULL, &verdict) == 0);
                EXPECT_EQUAL(verdict, BENCH_NEXT);
                EXPECT(frame_equal(&before, &after));
        }
        EXPECT_EQUAL(bench_flows_count(bench->half_open), 0);
        return bench_counted(bench, (struct bench_count[BENCH_COUNTS_MAX]) {});
}

/* Cut off anywhere: a conversion needs the 20 bytes of the header, and an MPTCP option that can be read. */
static bool test_cut_off(void *context) {
        static const struct ingress_case none = { .spec = { SYN_MPTCP } };
        struct bench *bench = context;

        for (unsigned i = 0; i < 4; i++) {
                struct frame_spec spec = none.spec;
                struct frame whole;

                spec.ipv6 = i & 1;
                spec.ipv4_options = i == 2 ? 8 : 0;
                frame_build(&spec, &whole);
                for (size_t length = whole.layer4; length < whole.length - 2; length++) {
                        struct frame before = whole, after;
                        __u32 verdict;

                        before.length = length;
                        after = before;
                        EXPECT(prepare(bench, &none, &whole));
                        EXPECT(bench_run(bench, BENCH_INGRESS, false, &after, NULL, &verdict) == 0);
                        EXPECT_EQUAL(verdict, BENCH_NEXT);
                        EXPECT(frame_equal(&before, &after));
                        EXPECT_EQUAL(bench_flows_count(bench->half_open), 0);
                }
        }
        return true;
}

static bool test_vlan(void *context) {
        static const struct ingress_case tagged = { .spec = { SYN_MPTCP, .vlan = true } };
        struct frame before, after;
        __u32 verdict;

        frame_build(&tagged.spec, &before);
        EXPECT(prepare(context, &tagged, &before));
        after = before;
        EXPECT(bench_run(context, BENCH_INGRESS, false, &after, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT(frame_equal(&before, &after));
        return bench_counted(context, tagged.counts);
}

int programs_ingress(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "ingress: what becomes TCP and what does not", test_cases },
                { "ingress: what has a header of the link below", test_framed },
                { "ingress: datagrams of others", test_foreign },
                { "ingress: packets cut off", test_cut_off },
                { "ingress: a VLAN tag", test_vlan },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
