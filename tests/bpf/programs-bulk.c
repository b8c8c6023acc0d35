/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The bulk form: what is unpacked, and for whom; the two bits by which hosts agree on it; and what is sent
 * in it.
 *
 * Room: bench.h.
 */

#include <errno.h>
#include <string.h>

#include "programs.h"

enum {
        OFFER = 0x08,   /* in the byte of the data offset of a classic datagram */
        ARRIVED = 0x04,
        RECENT_NS = 12 * 1000000,
        ROOM_IPV4 = 28,
        ROOM_IPV6 = 48,
        WHOLE_UNIT_MS = 16,
        ACKNOWLEDGMENT = 42,
        FLIGHT = 10,
};

#define NOTE_SECRET_PROBE (0x756e6470 ^ 1) /* of note.h, as long as no service has put another one there */

enum bulk_outcome {
        UNPACKED,
        LEFT,    /* as any datagram */
        DROPPED,
};

struct bulk_case {
        const char *name;
        void (*mangle)(struct frame *frame);
        uint32_t payload;
        uint32_t slot_flags;
        enum frame_options options;
        uint8_t state;  /* of the flow; 0: none */
        uint8_t flags;  /* of TCP; 0: ACK */
        bool silent;
        uint32_t next;  /* of a silent flow, host order */
        bool elsewhere; /* our side sends by another link */
        bool made_up;   /* it acknowledges what nobody has sent */
        enum bulk_outcome outcome;
        bool otherwise; /* the program in front of GRO, which else unpacks the same, does not agree */
        bool marked;    /* on the way, which has also counted hops */
        bool damaged;   /* the last byte: the checksum of TCP is wrong, and stays wrong by as much */
        bool only_ipv4;
        bool only_ipv6;
};

static uint8_t *inner_of(struct frame *frame) {
        return frame->data + frame->layer4 + 8;
}

static bool is_ipv6(const struct frame *frame) {
        return frame->data[frame->layer3] >> 4 == 6;
}

static size_t room_of(const struct frame *frame) {
        return is_ipv6(frame) ? ROOM_IPV6 : ROOM_IPV4;
}

static void unsummed(struct frame *frame) {
        frame_put16(frame->data + frame->layer4 + 6, 0);
}

static void inner_longer(struct frame *frame) {
        uint8_t *length = inner_of(frame) + (is_ipv6(frame) ? 4 : 2);

        frame_put16(length, (uint16_t) (frame_get16(length) + 1));
}

static void outer_longer(struct frame *frame) {
        uint8_t *length = frame->data + frame->layer4 + 4;

        frame_put16(length, (uint16_t) (frame_get16(length) + 1));
}

static void inner_udp(struct frame *frame) {
        inner_of(frame)[is_ipv6(frame) ? 6 : 9] = FRAME_UDP;
}

static void inner_fragment(struct frame *frame) {
        inner_of(frame)[6] |= 0x20;
}

static void inner_options(struct frame *frame) {
        inner_of(frame)[0] = 0x46;
}

static void inner_short(struct frame *frame) {
        inner_of(frame)[room_of(frame) - 8 + 12] = 0x40;
}

static void inner_long(struct frame *frame) {
        inner_of(frame)[room_of(frame) - 8 + 12] = 0xf0;
}

static void inner_ended(struct frame *frame) {
        frame->length = frame->layer4 + room_of(frame) + 10;
}

static void inner_other_version(struct frame *frame) {
        inner_of(frame)[0] = is_ipv6(frame) ? 0x45 : 0x60;
}

/* Another tunnel inside: the inner packet says that it is IPv4 in IP, or in IPv6. */
static void inner_tunnel(struct frame *frame) {
        inner_of(frame)[is_ipv6(frame) ? 6 : 9] = 4;
}

static void inner_nothing(struct frame *frame) {
        frame_put16(inner_of(frame) + (is_ipv6(frame) ? 4 : 2), 0);
}

/* All lengths agree that there is nothing inside. */
static void nothing(struct frame *frame) {
        uint8_t *ip = frame->data + frame->layer3;

        inner_nothing(frame);
        frame_put16(frame->data + frame->layer4 + 4, 8);
        frame_put16(ip + (is_ipv6(frame) ? 4 : 2), (uint16_t) (is_ipv6(frame) ? 8 : 28));
}

static void outer_padded(struct frame *frame) {
        uint8_t *length = frame->data + frame->layer3 + (is_ipv6(frame) ? 4 : 2);

        frame_put16(length, (uint16_t) (frame_get16(length) + 1));
}

static void outer_fragment(struct frame *frame) {
        frame->data[frame->layer3 + 6] |= 0x20;
}

static void outer_options(struct frame *frame) {
        frame->data[frame->layer3] = 0x46;
}

static void outer_extension(struct frame *frame) {
        frame->data[frame->protocol] = 60;
}

static void inner_jumbled(struct frame *frame) {
        inner_of(frame)[10] ^= 1;
}

/* Whatever else is wrong, the checksum of the inner IPv4 header is right. */
static void sum_inner(struct frame *frame) {
        uint8_t *ip = inner_of(frame);

        frame_put16(ip + 10, 0);
        frame_put16(ip + 10, (uint16_t) ~frame_fold(frame_sum(0, ip, 20)));
}

#define TUNNELLED .state = UNDERPASS_FLOW_TUNNELLED
#define LINK_TAKES .payload = 1000, .slot_flags = UNDERPASS_SLOT_BULK
#define TAKES TUNNELLED, LINK_TAKES

static const struct bulk_case cases[] = {
        { "data", TAKES },
        { "data, all of it is sent so", TAKES | UNDERPASS_SLOT_BULK_ALL },
        { "FIN", TAKES, .flags = FRAME_ACK | FRAME_FIN },
        { "options", TAKES, .options = FRAME_OPTIONS_TIMESTAMP },
        { "congestion on the way", TAKES, .marked = true },
        { "damaged data", TAKES, .damaged = true },
        { "made up", TAKES, .made_up = true },
        { "a flow that another link sends", TAKES, .elsewhere = true },
        { "a probe", TUNNELLED, .slot_flags = UNDERPASS_SLOT_BULK },
        { "no UDP checksum", TAKES, .mangle = unsummed, .only_ipv4 = true },
        { "no UDP checksum, IPv6", TAKES, .mangle = unsummed, .outcome = DROPPED, .only_ipv6 = true },
        { "a link that does not take it", TUNNELLED, .payload = 1000, .outcome = LEFT, .only_ipv4 = true },
        /* A data offset of 24 bytes; the rest does not fit. */
        { "a link that does not take it, IPv6", TUNNELLED, .payload = 1000, .outcome = DROPPED,
          .only_ipv6 = true },
        { "no flow", LINK_TAKES, .outcome = LEFT },
        { "half-open flow", LINK_TAKES, .state = UNDERPASS_FLOW_HALF_OPEN, .outcome = LEFT },
        { "a flow that is plain", LINK_TAKES, .state = UNDERPASS_FLOW_WATCHED, .outcome = LEFT },
        { "silent flow", TAKES, .silent = true, .outcome = LEFT, .only_ipv4 = true },
        { "silent flow that goes on", TAKES, .silent = true, .next = 42, .otherwise = true },
        { "silent flow with another number", TAKES, .silent = true, .next = 41, .outcome = LEFT,
          .only_ipv4 = true },
        { "SYN", TAKES, .flags = FRAME_SYN, .outcome = DROPPED },
        { "SYN-ACK", TAKES, .flags = FRAME_SYN | FRAME_ACK, .outcome = DROPPED },
        { "RST", TAKES, .flags = FRAME_RST | FRAME_ACK, .outcome = DROPPED },
        { "no ACK", TAKES, .flags = FRAME_PSH, .outcome = DROPPED },
        { "inner length", TAKES, .mangle = inner_longer, .outcome = DROPPED },
        { "outer length", TAKES, .mangle = outer_longer, .outcome = DROPPED },
        { "UDP inside", TAKES, .mangle = inner_udp, .outcome = DROPPED },
        { "a fragment inside", TAKES, .mangle = inner_fragment, .outcome = DROPPED, .only_ipv4 = true },
        /* Without an skb there is no sum of the whole packet, which it would spoil. */
        { "a wrong checksum of the inner header", TAKES, .mangle = inner_jumbled, .outcome = DROPPED,
          .otherwise = true, .only_ipv4 = true },
        { "a tunnel inside", TAKES, .mangle = inner_tunnel, .outcome = DROPPED },
        { "IPv4 inside", TAKES, .mangle = inner_other_version, .outcome = LEFT, .only_ipv6 = true },
        { "an inner length of 0", TAKES, .mangle = inner_nothing, .outcome = DROPPED },
        { "ends within the inner header", TAKES, .mangle = inner_ended, .outcome = DROPPED },
        { "options inside", TAKES, .mangle = inner_options, .outcome = LEFT, .only_ipv4 = true },
        { "data offset 4", TAKES, .mangle = inner_short, .outcome = DROPPED },
        { "data offset beyond the end", TUNNELLED, .slot_flags = UNDERPASS_SLOT_BULK, .payload = 4,
          .mangle = inner_long, .outcome = DROPPED },
        { "data offset just beyond the end", TUNNELLED, .slot_flags = UNDERPASS_SLOT_BULK, .payload = 39,
          .mangle = inner_long, .outcome = DROPPED },
};

/* merges: there is a GRO pair. */
static bool prepare(struct bench *bench, const struct bulk_case *test, bool merges,
                    const struct frame *frame) {
        struct underpass_slot slot = {
                .ifindex = BENCH_IFINDEX,
                .device_ifindex = BENCH_SEGMENT_IFINDEX,
                .gro_ifindex = merges ? BENCH_GRO_IFINDEX : 0,
                .flags = test->slot_flags,
        };
        struct underpass_flow_key key;
        struct underpass_flow flow;

        EXPECT(bench_reset(bench) == 0);
        EXPECT(bench_set_slot(bench, &slot) == 0);
        if (test->state == 0)
                return true;
        if (test->silent)
                bench_silent(&flow);
        else
                bench_tunnelled(&flow);
        flow.state = test->state;
        flow.next = flow.expected = test->silent ? test->next : (uint32_t) ACKNOWLEDGMENT + test->made_up;
        if (!test->silent && !test->made_up)
                flow.expected -= FLIGHT;
        if (test->elsewhere) {
                flow.ifindex = BENCH_IFINDEX + 1;
                flow.slot = BENCH_SLOT + 1;
        }
        bench_flow_key(frame, false, &key);
        EXPECT(bench_put_flow(test->state == UNDERPASS_FLOW_TUNNELLED ? bench->flows : bench->half_open,
                              &key, &flow) == 0);
        return true;
}

/* A packet of the peer in the bulk form. translated: a NAT has changed the outer headers. */
static void build(const struct bulk_case *test, bool ipv6, bool raw, bool translated, struct frame *ret_tcp,
                  struct frame *ret) {
        struct frame_spec spec = {
                .from = FRAME_REMOTE, .source_port = 50000, .dest_port = 443,
                .flags = test->flags ? test->flags : FRAME_ACK, .payload = (uint16_t) test->payload,
                .sequence = 77, .acknowledgment = ACKNOWLEDGMENT, .ipv6 = ipv6, .raw = raw,
                .options = test->options,
        };
        const size_t addresses = ipv6 ? 8 : 12, length = ipv6 ? 32 : 8;

        frame_build(&spec, ret_tcp);
        *ret = *ret_tcp;
        if (translated) {
                for (size_t i = 0; i < length; i++)
                        ret->data[ret->layer3 + addresses + i] ^= (uint8_t) (i * 37 + 1);
                frame_put16(ret->data + ret->layer4, 1234);
                frame_put16(ret->data + ret->layer4 + 2, 8080);
                ret->data[ret->layer3 + (ipv6 ? 7 : 8)] += 3; /* hop limit */
                frame_put_checks(ret);
        }
        if (test->marked) {
                ret_tcp->data[ret_tcp->layer3 + 1] |= ipv6 ? 0x30 : 0x03; /* congestion */
                ret_tcp->data[ret_tcp->layer3 + (ipv6 ? 7 : 8)] -= 2;
                frame_put_checks(ret_tcp);
        }
        frame_wrap(ret, ret_tcp);
        if (test->damaged) {
                ret->data[ret->length - 1] ^= 0x55;
                ret_tcp->data[ret_tcp->length - 1] ^= 0x55;
        }
        if (test->mangle)
                test->mangle(ret);
        if (test->mangle && !ipv6 && test->mangle != inner_jumbled)
                sum_inner(ret);
}

static bool expect_counts(struct bench *bench, enum bulk_outcome outcome) {
        const struct bench_count unpacked[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_RECEIVED, 1 }, { UNDERPASS_COUNTER_BULK_RECEIVED, 1 },
        };
        const struct bench_count dropped[BENCH_COUNTS_MAX] = { { UNDERPASS_COUNTER_DROP_MALFORMED, 1 } };

        return outcome == LEFT || bench_counted(bench, outcome == UNPACKED ? unpacked : dropped);
}

static bool came_out(const struct frame *frame, const struct frame *expected) {
        if (frame_equal(frame, expected))
                return true;
        frame_dump("came out", frame);
        frame_dump("expected", expected);
        return false;
}

/* What the flow remembers of a packet. A flow that is not established is in another map. */
static bool remembers(struct bench *bench, const struct bulk_case *test, const struct frame *tcp,
                      bool unpacked) {
        struct underpass_flow_key key;
        struct underpass_flow flow;

        bench_flow_key(tcp, false, &key);
        if (bench_get_flow(bench->flows, &key, &flow) < 0)
                return !unpacked && test->state != UNDERPASS_FLOW_TUNNELLED;
        EXPECT_EQUAL(flow.received, unpacked);
        /* Anybody can make that up, and the peer is only told of what it has sent itself. */
        EXPECT_EQUAL(flow.bulk_arrived_ms != 0, unpacked && !test->made_up);
        if (unpacked && !test->made_up)
                EXPECT_EQUAL(flow.expected, ACKNOWLEDGMENT);
        EXPECT_EQUAL(flow.ends, unpacked && (test->flags & FRAME_FIN) ? UNDERPASS_FLOW_PEER_FIN : 0);
        return true;
}

static bool run_case(struct bench *bench, const struct bulk_case *test, bool ipv6, bool raw,
                     bool translated, bool merges) {
        const __u32 verdicts[] = {
                [UNPACKED] = merges && !raw ? BENCH_REDIRECT : BENCH_NEXT,
                [LEFT] = BENCH_NEXT,
                [DROPPED] = BENCH_DROP,
        };
        enum bulk_outcome outcome = test->outcome;
        struct frame tcp, frame, before;
        __u32 verdict;

        build(test, ipv6, raw, translated, &tcp, &frame);
        before = frame;
        EXPECT(prepare(bench, test, merges, &tcp));
        EXPECT(bench_run(bench, raw ? BENCH_INGRESS_RAW : BENCH_INGRESS, false, &frame, NULL, &verdict) ==
               0);
        EXPECT_EQUAL(verdict, verdicts[outcome]);
        EXPECT(expect_counts(bench, outcome));
        if (outcome == DROPPED)
                return true;
        EXPECT(came_out(&frame, outcome == UNPACKED ? &tcp : &before));
        return outcome == LEFT || remembers(bench, test, &tcp, true);
}

/* What only the program in front of GRO gets here: the others have tests of their own for such packets. */
static const struct bulk_case early_cases[] = {
        { "a fragment", TAKES, .mangle = outer_fragment, .outcome = LEFT, .only_ipv4 = true },
        { "options outside", TAKES, .mangle = outer_options, .outcome = LEFT, .only_ipv4 = true },
        { "an extension header", TAKES, .mangle = outer_extension, .outcome = LEFT, .only_ipv6 = true },
        { "nothing inside", TAKES, .mangle = nothing, .outcome = LEFT },
        { "a longer packet", TAKES, .mangle = outer_padded, .outcome = LEFT },
        { "another version inside", TAKES, .mangle = inner_other_version, .outcome = LEFT },
        { "UDP inside", TAKES, .mangle = inner_udp, .outcome = LEFT },
        { "a tunnel inside", TAKES, .mangle = inner_tunnel, .outcome = LEFT },
};

/* In front of GRO: unpacked, or left to the program in tc, which judges what is odd. */
static bool run_early(struct bench *bench, const struct bulk_case *test, bool ipv6, bool translated) {
        const bool unpacked = (test->outcome == UNPACKED) != test->otherwise;
        const struct bench_count counts[BENCH_COUNTS_MAX] = {
                { UNDERPASS_COUNTER_RECEIVED, unpacked }, { UNDERPASS_COUNTER_BULK_RECEIVED, unpacked },
        };
        struct frame tcp, frame, before;
        __u32 verdict;

        build(test, ipv6, false, translated, &tcp, &frame);
        before = frame;
        EXPECT(prepare(bench, test, false, &tcp));
        EXPECT(bench_run_early(bench, &frame, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_EARLY_PASS);
        EXPECT(bench_counted(bench, counts));
        EXPECT(came_out(&frame, unpacked ? &tcp : &before));
        return remembers(bench, test, &tcp, unpacked);
}

static bool run_early_cases(struct bench *bench, const struct bulk_case *list, size_t count) {
        for (size_t i = 0; i < 4 * count; i++) {
                const struct bulk_case *test = &list[i / 4];

                if ((i & 1 ? test->only_ipv4 : test->only_ipv6) || run_early(bench, test, i & 1, i & 2))
                        continue;
                fprintf(stderr, "bulk, early: %s, %s%s\n", test->name, i & 1 ? "IPv6" : "IPv4",
                        i & 2 ? ", translated" : "");
                return false;
        }
        return true;
}

static bool test_early(void *context) {
        return run_early_cases(context, cases, sizeof(cases) / sizeof(cases[0])) &&
               run_early_cases(context, early_cases, sizeof(early_cases) / sizeof(early_cases[0]));
}

static bool test_cases(void *context) {
        for (size_t i = 0; i < 16 * sizeof(cases) / sizeof(cases[0]); i++) {
                const struct bulk_case *test = &cases[i / 16];

                if ((i & 1 ? test->only_ipv4 : test->only_ipv6) ||
                    run_case(context, test, i & 1, i & 2, i & 4, i & 8))
                        continue;
                fprintf(stderr, "bulk: %s, %s%s%s%s\n", test->name, i & 1 ? "IPv6" : "IPv4",
                        i & 2 ? ", raw" : "", i & 4 ? ", translated" : "", i & 8 ? ", merged" : "");
                return false;
        }
        return true;
}

/* A card has summed the whole packet, outer headers and all. */
static bool test_summed(void *context) {
        for (unsigned i = 0; i < 4; i++) {
                struct frame tcp, frame;
                __u32 verdict;
                int r;

                build(&cases[0], i & 1, false, i & 2, &tcp, &frame);
                EXPECT(prepare(context, &cases[0], false, &tcp));
                r = bench_run(context, BENCH_INGRESS, true, &frame, NULL, &verdict);
                if (r == -EINVAL)
                        return true; /* this kernel cannot tell */
                EXPECT_EQUAL(-r, 0);
                EXPECT_EQUAL(verdict, BENCH_NEXT);
                EXPECT(frame_equal(&frame, &tcp));
        }
        return true;
}

struct bits_case {
        const char *name;
        uint32_t slot_flags;
        int64_t arrived_ago;  /* nanoseconds; 0: never */
        uint8_t state;
        uint8_t had;          /* by the segment itself */
        uint8_t bits;         /* expected */
};

#define BULK .slot_flags = UNDERPASS_SLOT_BULK
static const struct bits_case bits_cases[] = {
        { "a link that does not want it", TUNNELLED },
        { "a link that does not want it, odd segment", TUNNELLED, .had = OFFER, .bits = OFFER },
        { "offer", BULK, TUNNELLED, .bits = OFFER },
        { "offer, odd segment", BULK, TUNNELLED, .had = OFFER | ARRIVED, .bits = OFFER },
        { "half-open flow", BULK, .state = UNDERPASS_FLOW_HALF_OPEN },
        { "some has arrived", BULK, TUNNELLED, .arrived_ago = RECENT_NS, .bits = OFFER | ARRIVED },
        { "some has arrived in this tick", BULK, TUNNELLED, .arrived_ago = -1000000,
          .bits = OFFER | ARRIVED },
        { "some had arrived", BULK, TUNNELLED, .arrived_ago = 25LL * RECENT_NS, .bits = OFFER },
        { "some had arrived a month ago", BULK, TUNNELLED, .arrived_ago = 2592000LL * 1000000000,
          .bits = OFFER },
};

/* A packet of ours, through both programs, and its datagram. */
static bool send(struct bench *bench, const struct bits_case *test, bool ipv6, struct frame *ret) {
        struct bulk_case link = { .slot_flags = test->slot_flags };
        struct frame_spec spec = { .flags = FRAME_ACK, .payload = 100, .ipv6 = ipv6, .reserved = test->had };
        struct __sk_buff context = {}, note = {};
        struct underpass_flow_key key;
        struct underpass_flow flow;
        __u32 verdict;

        frame_build(&spec, ret);
        EXPECT(prepare(bench, &link, false, ret));
        bench_tunnelled(&flow);
        flow.state = test->state;
        flow.flags = UNDERPASS_FLOW_OPENED_HERE;
        if (test->arrived_ago)
                flow.bulk_arrived_ms =
                        (uint32_t) (bench_now() / 1000000) - (uint32_t) (test->arrived_ago / 1000000);
        bench_flow_key(ret, true, &key);
        EXPECT(bench_put_flow(test->state == UNDERPASS_FLOW_TUNNELLED ? bench->flows : bench->half_open,
                              &key, &flow) == 0);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, ret, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        memcpy(note.cb, context.cb, sizeof(note.cb));
        EXPECT(bench_run(bench, BENCH_SEGMENT, false, ret, &note, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        return true;
}

static bool run_bits(struct bench *bench, const struct bits_case *test, bool ipv6) {
        struct frame_spec spec = {
                .flags = FRAME_ACK, .payload = 100, .ipv6 = ipv6, .reserved = test->bits
        };
        struct frame frame, expected;

        frame_build(&spec, &expected);
        frame_to_udp(&expected);
        EXPECT(send(bench, test, ipv6, &frame));
        EXPECT(frame_equal(&frame, &expected));
        return true;
}

static bool test_bits(void *context) {
        for (size_t i = 0; i < 2 * sizeof(bits_cases) / sizeof(bits_cases[0]); i++) {
                if (run_bits(context, &bits_cases[i / 2], i & 1))
                        continue;
                fprintf(stderr, "bulk, bits: %s\n", bits_cases[i / 2].name);
                return false;
        }
        return true;
}

struct heard_case {
        const char *name;
        uint32_t slot_flags;
        uint8_t state;
        uint8_t bits;
        uint8_t known;    /* enum underpass_bulk_flag, before */
        uint8_t expected; /* after */
        bool kept;        /* the bits stay */
        bool made_up;     /* as above */
};

static const struct heard_case heard_cases[] = {
        { "offer", BULK, TUNNELLED, .bits = OFFER, .expected = UNDERPASS_BULK_TAKEN },
        { "none", BULK, TUNNELLED, .known = UNDERPASS_BULK_TAKEN },
        { "arrived", BULK, TUNNELLED, .bits = OFFER | ARRIVED, .known = UNDERPASS_BULK_UNHEARD,
          .expected = UNDERPASS_BULK_TAKEN | UNDERPASS_BULK_PROVEN },
        { "given up", BULK, TUNNELLED, .bits = OFFER, .known = UNDERPASS_BULK_GIVEN_UP,
          .expected = UNDERPASS_BULK_GIVEN_UP | UNDERPASS_BULK_TAKEN },
        { "a link that does not take it", TUNNELLED, .bits = OFFER | ARRIVED, .kept = true },
        { "made up", BULK, TUNNELLED, .bits = OFFER | ARRIVED, .known = UNDERPASS_BULK_UNHEARD,
          .expected = UNDERPASS_BULK_UNHEARD, .made_up = true },
        { "none, made up", BULK, TUNNELLED, .known = UNDERPASS_BULK_TAKEN, .expected = UNDERPASS_BULK_TAKEN,
          .made_up = true },
};

/* What the peer says, and that TCP does not get to see it. */
static bool run_heard(struct bench *bench, const struct heard_case *test, bool ipv6) {
        struct bulk_case link = {
                .slot_flags = test->slot_flags, .state = test->state, .made_up = test->made_up
        };
        struct frame_spec spec = {
                .from = FRAME_REMOTE,
                .udp = true,
                .source_port = 50000,
                .dest_port = 443,
                .flags = FRAME_ACK,
                .payload = 100,
                .acknowledgment = ACKNOWLEDGMENT,
                .ipv6 = ipv6,
                .reserved = test->bits | FRAME_AE,
        };
        struct frame frame, expected;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        __u32 verdict;

        frame_build(&spec, &frame);
        expected = frame;
        if (!test->kept)
                expected.data[expected.layer4 + 8] &= (uint8_t) ~(OFFER | ARRIVED);
        frame_to_tcp(&expected);
        EXPECT(prepare(bench, &link, false, &frame));
        bench_flow_key(&frame, false, &key);
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        flow.bulk = test->known;
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT(frame_equal(&frame, &expected));
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.bulk, test->expected);
        return true;
}

static bool test_heard(void *context) {
        for (size_t i = 0; i < 2 * sizeof(heard_cases) / sizeof(heard_cases[0]); i++) {
                if (run_heard(context, &heard_cases[i / 2], i & 1))
                        continue;
                fprintf(stderr, "bulk, heard: %s\n", heard_cases[i / 2].name);
                return false;
        }
        return true;
}

struct sent_case {
        const char *name;
        uint32_t slot_flags;
        uint32_t payload;
        uint32_t size;      /* of segments */
        uint8_t known;      /* enum underpass_bulk_flag */
        uint8_t flags;
        unsigned segments;  /* in the bulk form; 0: classic */
        unsigned probes;    /* afterwards */
        uint8_t probed;     /* so many before, … */
        uint32_t probed_ago; /* … the last one so many milliseconds ago */
        bool given_up;
        bool again;         /* has been sent before */
        uint8_t periods;    /* in which the flow was fast, on end, up to now */
        uint32_t acknowledged; /* in the period that ends */
        bool fast;          /* the flow, afterwards */
        bool only_ipv4;
};

enum {
        PERIOD_MS = 30,
        MUCH = 1 << 30, /* bytes; fast enough for half a minute, if the machine is as busy as that */
};

#define READY UNDERPASS_BULK_TAKEN | UNDERPASS_BULK_PROVEN
#define WHOLE(bytes) .payload = (bytes), .slot_flags = UNDERPASS_SLOT_BULK | UNDERPASS_SLOT_BULK_ALL
#define SUPER WHOLE(1600)
#define AUTO .payload = 1600, .slot_flags = UNDERPASS_SLOT_BULK
static const struct sent_case sent_cases[] = {
        { "bulk, equal segments", SUPER, .size = 160, .known = READY, .segments = 10 },
        { "the peer does not take it", SUPER, .size = 160, .known = UNDERPASS_BULK_PROVEN },
        { "given up", SUPER, .size = 160, .known = READY | UNDERPASS_BULK_GIVEN_UP },
        { "not proven", SUPER, .size = 160, .known = UNDERPASS_BULK_TAKEN, .probes = 1 },
        { "too soon for the second probe", SUPER, .size = 160, .known = UNDERPASS_BULK_TAKEN, .probed = 1,
          .probed_ago = 20, .probes = 1 },
        { "the second probe", SUPER, .size = 160, .known = UNDERPASS_BULK_TAKEN, .probed = 1,
          .probed_ago = 200, .probes = 2 },
        { "too soon for the third one", SUPER, .size = 160, .known = UNDERPASS_BULK_TAKEN, .probed = 2,
          .probed_ago = 220, .probes = 2 },
        { "the third one", SUPER, .size = 160, .known = UNDERPASS_BULK_TAKEN, .probed = 2, .probed_ago = 400,
          .probes = 3 },
        { "an answer by a satellite", SUPER, .size = 160, .known = UNDERPASS_BULK_TAKEN, .probed = 3,
          .probed_ago = 600, .probes = 3 },
        { "no answer", SUPER, .size = 160, .known = UNDERPASS_BULK_TAKEN, .probed = 3, .probed_ago = 800,
          .probes = 3, .given_up = true },
        { "segments as small as they may be", WHOLE(840), .size = 112 - ROOM_IPV4, .known = READY,
          .segments = 10, .only_ipv4 = true },
        { "smaller segments", WHOLE(830), .size = 111 - ROOM_IPV4, .known = READY,
          .only_ipv4 = true },
        { "segments without room for anything", WHOLE(280), .size = 0, .known = READY,
          .only_ipv4 = true },
        { "slow", AUTO, .size = 160, .known = READY },
        { "fast in five periods", AUTO, .size = 160, .known = READY, .periods = 4, .acknowledged = MUCH,
          .segments = 10, .fast = true },
        { "fast in four", AUTO, .size = 160, .known = READY, .periods = 3, .acknowledged = MUCH },
        { "slow in one", AUTO, .size = 160, .known = READY | UNDERPASS_BULK_FAST, .periods = 5,
          .acknowledged = 1 },
        { "a link that only takes it", SUPER | UNDERPASS_SLOT_BULK_UNSENT, .size = 160, .known = READY },
        { "few segments", SUPER, .size = 300, .known = READY },
        { "sent again", SUPER, .size = 160, .known = READY, .again = true },
        { "URG", SUPER, .size = 160, .known = READY, .flags = FRAME_URG },
};

/*
 * What leaves in the bulk form unpacks to the packet that it was. In the kernel test runs have no GSO
 * type, so the helper refuses: then all is classic.
 */
static bool run_sent(struct bench *bench, const struct sent_case *test, bool ipv6) {
        struct bulk_case link = { .slot_flags = test->slot_flags };
        struct frame_spec spec = {
                .flags = FRAME_ACK | test->flags, .payload = (uint16_t) test->payload, .ipv6 = ipv6,
                .sequence = 1000,
        };
        struct __sk_buff context = { .gso_size = test->size + (ipv6 ? 0 : ROOM_IPV4) };
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct frame frame, before;
        __u32 verdict;

        context.gso_segs = (test->payload + context.gso_size - 1) / context.gso_size;
        frame_build(&spec, &frame);
        before = frame;
        EXPECT(prepare(bench, &link, false, &frame));
        bench_tunnelled(&flow);
        flow.bulk = test->known;
        flow.sent = flow.more_sent = 0;
        flow.next = flow.expected = test->again ? 1000 + test->payload : 1000;
        flow.bulk_probes = test->probed;
        flow.bulk_probed_ms = (uint32_t) (bench_now() / 1000000) - test->probed_ago;
        flow.bulk_windows = test->periods;
        flow.bulk_window_ms = (uint32_t) (bench_now() / 1000000) - PERIOD_MS;
        flow.bulk_window_acknowledged = flow.expected - test->acknowledged;
        bench_flow_key(&frame, true, &key);
        EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, &context, &verdict) == 0);
        EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
        EXPECT_EQUAL(flow.bulk_probes, test->probes);
        EXPECT_EQUAL((flow.bulk & ~test->known & UNDERPASS_BULK_GIVEN_UP) != 0, test->given_up);
        EXPECT_EQUAL(!!(flow.bulk & UNDERPASS_BULK_FAST), test->fast);
        if (test->segments == 0 || bench->object) {
                EXPECT_EQUAL(verdict, BENCH_REDIRECT);
                return frame_equal(&frame, &before);
        }
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT_EQUAL(flow.sent + flow.more_sent, test->segments);
        EXPECT_EQUAL(context.gso_size, test->size);
        EXPECT_EQUAL(frame.length, before.length + room_of(&before));
        EXPECT(memcmp(frame.data + frame.layer3 + room_of(&before), before.data + before.layer3,
                      before.length - before.layer3) == 0);
        EXPECT_EQUAL(frame_layer3_sum(&frame), 0xffff);
        EXPECT_EQUAL(frame_get16(frame.data + frame.layer4 + 4), frame_layer4_length(&frame));
        return true;
}

static bool test_sent(void *context) {
        for (size_t i = 0; i < 2 * sizeof(sent_cases) / sizeof(sent_cases[0]); i++) {
                if (((i & 1) && sent_cases[i / 2].only_ipv4) || run_sent(context, &sent_cases[i / 2], i & 1))
                        continue;
                fprintf(stderr, "bulk, sent: %s%s\n", sent_cases[i / 2].name, i & 1 ? ", IPv6" : "");
                return false;
        }
        return true;
}

/* The copy of a super-packet that says so becomes an acknowledgment. Accurate ECN counts in its flags. */
static bool run_probe(struct bench *bench, uint8_t flags, bool ipv6) {
        const uint8_t kept = FRAME_ACK | FRAME_ECE | FRAME_CWR;
        const struct bulk_case link = { .slot_flags = UNDERPASS_SLOT_BULK };
        struct frame_spec spec = { .flags = FRAME_ACK | flags, .payload = 1600, .ipv6 = ipv6,
                                   .sequence = 1000, .reserved = FRAME_AE };
        struct __sk_buff context = { .cb[1] = NOTE_SECRET_PROBE };
        struct frame frame, before;
        const uint8_t *tcp;
        __u32 verdict;

        frame_build(&spec, &frame);
        before = frame;
        EXPECT(prepare(bench, &link, false, &frame));
        EXPECT(bench_run(bench, BENCH_EGRESS, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, BENCH_NEXT);
        EXPECT_EQUAL(context.cb[1], 0);
        EXPECT_EQUAL(frame.length, before.layer4 + 20 + room_of(&before));
        tcp = inner_of(&frame) + (ipv6 ? 40 : 20);
        EXPECT(memcmp(tcp, before.data + before.layer4, 13) == 0);
        EXPECT_EQUAL(tcp[13], (FRAME_ACK | flags) & kept);
        return true;
}

static bool test_probe(void *context) {
        static const uint8_t flags[] = {
                0, FRAME_PSH, FRAME_ECE, FRAME_CWR, FRAME_ECE | FRAME_CWR | FRAME_FIN,
        };

        for (size_t i = 0; i < 2 * sizeof(flags); i++)
                EXPECT(run_probe(context, flags[i / 2], i & 1));
        return true;
}

/* Waits for the next moment of an even or odd unit in which flows note that bulk came whole. */
static void await_unit(bool odd) {
        while ((bench_now() / 1000000 / WHOLE_UNIT_MS % 2 != 0) != odd)
                bench_wait(1000000);
}

/* Many datagrams in one go on at once, which is noted. A test run of the kernel cannot unpack them. */
static bool run_many(struct bench *bench, bool ipv6, const struct underpass_flow_key *key) {
        struct __sk_buff context = { .gso_size = 400, .gso_segs = 3 };
        struct underpass_flow flow;
        struct frame tcp, frame;
        __u32 verdict;

        build(&cases[0], ipv6, false, false, &tcp, &frame);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, &context, &verdict) == 0);
        if (verdict != BENCH_DROP) {
                EXPECT_EQUAL(verdict, BENCH_NEXT);
                EXPECT(frame_equal(&frame, &tcp));
        }
        EXPECT(bench_get_flow(bench->flows, key, &flow) == 0);
        EXPECT(flow.bulk_whole != 0);
        return true;
}

/* One datagram; merges: whether it has to go through the GRO pair. */
static bool run_whole(struct bench *bench, bool ipv6, bool merges) {
        struct frame tcp, frame;
        __u32 verdict;

        build(&cases[0], ipv6, false, false, &tcp, &frame);
        EXPECT(bench_run(bench, BENCH_INGRESS, false, &frame, NULL, &verdict) == 0);
        EXPECT_EQUAL(verdict, merges ? BENCH_REDIRECT : BENCH_NEXT);
        EXPECT(frame_equal(&frame, &tcp));
        return true;
}

/* Bulk that comes whole goes on at once, and so does what comes one by one behind it, for a second. */
static bool test_whole(void *context) {
        struct bench *bench = context;
        const uint64_t before = 2000 / WHOLE_UNIT_MS;

        for (unsigned i = 0; i < 4; i++) {
                struct underpass_flow_key key;
                struct underpass_flow flow;
                struct frame tcp, frame;

                build(&cases[0], i & 1, false, false, &tcp, &frame);
                EXPECT(prepare(bench, &cases[0], true, &tcp));
                EXPECT(run_whole(bench, i & 1, true));
                bench_flow_key(&tcp, false, &key);
                EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
                flow.socket = 1; /* else it would be cut for a host behind */
                EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
                await_unit(i & 2);
                EXPECT(run_many(bench, i & 1, &key));
                EXPECT(run_whole(bench, i & 1, false));
                EXPECT(bench_get_flow(bench->flows, &key, &flow) == 0);
                flow.bulk_whole = (uint16_t) (flow.bulk_whole - before);
                EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
                EXPECT(run_whole(bench, i & 1, true));
        }
        return true;
}

int programs_bulk(struct bench *bench) {
        static const struct expect_test tests[] = {
                { "bulk: what is unpacked", test_cases },
                { "bulk: what is unpacked in front of GRO", test_early },
                { "bulk: a packet that a card has summed", test_summed },
                { "bulk: what we say", test_bits },
                { "bulk: what the peer says", test_heard },
                { "bulk: what is sent in it", test_sent },
                { "bulk: what a probe is", test_probe },
                { "bulk: what comes whole", test_whole },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), bench);
}
