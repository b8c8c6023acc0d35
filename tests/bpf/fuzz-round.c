/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What has to become of a packet at each program, see fuzz-round.h.
 *
 * Room: bench.h, fuzz.h.
 */

#include <arpa/inet.h>
#include <string.h>

#include "fuzz-round.h"

enum {
        ETHERNET_LENGTH = 14,
        BELIEVED = 4, /* errors about one flow in a second */
        FRAGMENT_MIN = 576,
        BULK_BITS = 0x0c, /* in the byte of the data offset */
};

static bool is_ipv6(const struct round *round) {
        return round->before.data[round->before.layer3] >> 4 == 6;
}

static uint64_t all_counted(const struct round *round) {
        uint64_t sum = 0;

        for (unsigned i = 0; i < UNDERPASS_COUNTER_COUNT; i++)
                sum += round->counted.value[i];
        return sum;
}

/* How often one of these; the list ends with the number of all counters. */
static uint64_t counted(const struct round *round, const enum underpass_counter *which) {
        uint64_t sum = 0;

        for (size_t i = 0; which[i] != UNDERPASS_COUNTER_COUNT; i++)
                sum += round->counted.value[which[i]];
        return sum;
}

/* What may be counted for a datagram that becomes TCP. */
static const enum underpass_counter received[] = {
        UNDERPASS_COUNTER_RECEIVED, UNDERPASS_COUNTER_FLOWS_ACCEPTED, UNDERPASS_COUNTER_FLOWS_ESTABLISHED,
        UNDERPASS_COUNTER_MSS_CLAMPED, UNDERPASS_COUNTER_STRIPPED, UNDERPASS_COUNTER_SERVER_NOT_MPTCP,
        UNDERPASS_COUNTER_COUNT,
};

/* What becomes of a datagram of a flow that may be bulk. */
static enum judge_bulk fate(const struct fuzzer *fuzzer, const struct round *round) {
        if (!fuzzer->bulk || round->protocol != FRAME_UDP || round->flow.state != UNDERPASS_FLOW_TUNNELLED)
                return JUDGE_BULK_NONE;
        return judge_bulk(&round->before, round->context.gso_size, round->early);
}

static bool judge_unpacking(struct fuzzer *fuzzer, const struct round *round) {
        EXPECT_EQUAL(all_counted(round), 2);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_RECEIVED], 1);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_BULK_RECEIVED], 1);
        fuzzer->unpacked++;
        return judge_unpacked(&round->before, &round->after);
}

static bool judge_dropped(struct fuzzer *fuzzer, const struct round *round) {
        EXPECT_EQUAL(round->verdict, BENCH_DROP);
        EXPECT_EQUAL(all_counted(round), 1);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_DROP_MALFORMED], 1);
        fuzzer->dropped++;
        return frame_equal(&round->before, &round->after);
}

/* A datagram in the classic form becomes TCP; the bits of the bulk form go. */
static bool judge_received(struct fuzzer *fuzzer, const struct round *round) {
        bool bits = fuzzer->bulk && round->flow.state == UNDERPASS_FLOW_TUNNELLED &&
                    !(round->before.data[round->before.layer4 + 9] & FRAME_SYN);
        const struct judge_limits limits = { ROUND_MSS_IPV4, ROUND_MSS_IPV6, bits ? BULK_BITS : 0 };

        fuzzer->converted++;
        return judge_conversion(&round->before, &round->after, false, &limits);
}

static bool in_tunnel(const struct round *round) {
        return round->flow.state == UNDERPASS_FLOW_HALF_OPEN ||
               round->flow.state == UNDERPASS_FLOW_TUNNELLED;
}

/* A packet of ours that is not a first SYN: whether what is known takes it into the tunnel. */
static bool carried(const struct round *round) {
        const uint8_t *tcp = round->before.data + round->before.layer4;
        bool syn_ack = (tcp[13] & (FRAME_SYN | FRAME_ACK)) == (FRAME_SYN | FRAME_ACK);
        bool answer = (tcp[13] & FRAME_ACK) && (tcp[13] & (FRAME_SYN | FRAME_RST));

        /* A client that has its connection answers no plain SYN. */
        answer = answer && !(round->flow.state == UNDERPASS_FLOW_TUNNELLED &&
                             (round->flow.flags & UNDERPASS_FLOW_OPENED_HERE));
        if (!in_tunnel(round) || (answer && (round->flow.flags & UNDERPASS_FLOW_PLAIN_SYN) &&
                                  frame_get32(tcp + 8) == round->flow.plain_sequence + 1))
                return false;
        if (round->flow.state == UNDERPASS_FLOW_TUNNELLED)
                return true;
        if (round->flow.flags & (UNDERPASS_FLOW_OPENED_HERE | UNDERPASS_FLOW_ANSWERED))
                return true;
        return syn_ack || ((tcp[13] & FRAME_RST) && frame_get32(tcp + 4) == 0);
}

/* A segment that the peer awaits may become a question: the header of one without data, a byte before, with
 * a sum that is right. */
static bool judge_question(const struct round *round, size_t added) {
        const uint8_t *was = round->before.data + round->before.layer4, *is;
        struct frame after = round->after;
        size_t header;

        after.layer3 = round->before.layer3 + added;
        after.layer4 = round->before.layer4 + added;
        after.protocol = round->before.protocol + added;
        header = after.length - after.layer4;
        is = after.data + after.layer4;
        EXPECT(header == 20 || header == 32);
        EXPECT_EQUAL(is[12] >> 4, header / 4);
        EXPECT_EQUAL(round->flow.state, UNDERPASS_FLOW_TUNNELLED);
        EXPECT_EQUAL(frame_get32(was + 4), round->flow.expected);
        EXPECT_EQUAL(frame_get32(is + 4), round->flow.expected - 1);
        EXPECT_EQUAL(frame_get32(is + 8), frame_get32(was + 8));
        EXPECT_EQUAL(is[13], was[13] & ~FRAME_FIN);
        EXPECT_EQUAL(frame_get16(is + 14), frame_get16(was + 14));
        EXPECT_EQUAL(frame_layer4_sum(&after), 0xffff);
        /* No kernel lets a packet leave that says it is shorter than its own header. */
        if (after.data[after.layer3] >> 4 == 4 &&
            frame_get16(round->before.data + round->before.layer3 + 2) >= after.layer4 - after.layer3)
                EXPECT_EQUAL(frame_layer3_sum(&after), frame_layer3_sum(&round->before));
        return true;
}

bool round_judge_egress(struct fuzzer *fuzzer, const struct round *round) {
        static const enum underpass_counter reasons[] = {
                UNDERPASS_COUNTER_PASS_FRAGMENT, UNDERPASS_COUNTER_PASS_SIGNED,
                UNDERPASS_COUNTER_FALLBACK_SILENCE, UNDERPASS_COUNTER_FALLBACK_REFUSED,
                UNDERPASS_COUNTER_PLAIN_BLOCKED, UNDERPASS_COUNTER_PLAIN_ON_DEMAND,
                UNDERPASS_COUNTER_PLAIN_NOT_MPTCP,
                UNDERPASS_COUNTER_STRIPPED, UNDERPASS_COUNTER_COUNT,
        };
        bool located = round->protocol == FRAME_TCP;
        bool syn = located && (round->before.data[round->before.layer4 + 13] & (FRAME_SYN | FRAME_ACK)) ==
                                      FRAME_SYN;
        bool redirected = round->verdict == BENCH_REDIRECT;
        size_t added = round->program == BENCH_EGRESS_RAW && redirected ? ETHERNET_LENGTH : 0;
        bool same = round->after.length == round->before.length + added &&
                    memcmp(round->after.data + added, round->before.data, round->before.length) == 0;

        EXPECT(same || (redirected && judge_question(round, added)));
        EXPECT(redirected || round->verdict == BENCH_NEXT);
        if (!syn)
                EXPECT_EQUAL(redirected, located && carried(round));
        if (redirected) {
                /* A SYN over UDP is counted, and nothing else. */
                EXPECT_EQUAL(all_counted(round), syn);
                EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_FLOWS_OPENED], syn);
                fuzzer->redirected++;
                return true;
        }
        EXPECT(all_counted(round) <= 1);
        EXPECT_EQUAL(all_counted(round), counted(round, reasons));
        if (located && !syn)
                EXPECT_EQUAL(all_counted(round), 0);
        return true;
}

/* One datagram of a merged one: TCP now, or given back as it is, unless it would only come again. */
static bool judge_cut(struct fuzzer *fuzzer, const struct round *round) {
        bool convertible = in_tunnel(round) && judge_convertible(&round->before);
        enum judge_bulk bulk = fate(fuzzer, round);

        if (bulk == JUDGE_BULK_UNPACKED) {
                EXPECT_EQUAL(round->verdict, BENCH_REDIRECT);
                return judge_unpacking(fuzzer, round);
        }
        if (bulk == JUDGE_BULK_MALFORMED && (!is_ipv6(round) || !convertible))
                return judge_dropped(fuzzer, round);
        EXPECT_EQUAL(round->verdict, BENCH_REDIRECT);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_RECEIVED], convertible);
        EXPECT_EQUAL(all_counted(round), counted(round, received));
        if (convertible)
                return judge_received(fuzzer, round);
        EXPECT_EQUAL(all_counted(round), 0);
        return frame_equal(&round->before, &round->after);
}

bool round_judge_segment(struct fuzzer *fuzzer, const struct round *round) {
        static const struct judge_limits limits = { ROUND_MSS_IPV4, ROUND_MSS_IPV6 };
        static const enum underpass_counter drops[] = {
                UNDERPASS_COUNTER_DROP_FOREIGN, UNDERPASS_COUNTER_DROP_UNSEGMENTED,
                UNDERPASS_COUNTER_DROP_HEADER, UNDERPASS_COUNTER_COUNT,
        };
        static const enum underpass_counter sent[] = {
                UNDERPASS_COUNTER_SENT, UNDERPASS_COUNTER_MSS_CLAMPED, UNDERPASS_COUNTER_URGENT_CLEARED,
                UNDERPASS_COUNTER_COUNT,
        };
        bool foreign = round->context.cb[1] != fuzzer->segment_note.cb[1];

        if (round->protocol == FRAME_UDP && !round->context.gso_size && !foreign)
                return judge_cut(fuzzer, round);
        EXPECT_EQUAL(round->verdict, round->protocol == FRAME_TCP && judge_offset_sound(&round->before) &&
                                                     !round->context.gso_size && !foreign ?
                                             BENCH_REDIRECT :
                                             BENCH_DROP);
        if (round->verdict == BENCH_DROP) {
                fuzzer->dropped++;
                EXPECT_EQUAL(all_counted(round), 1);
                EXPECT_EQUAL(counted(round, drops), 1);
                return true;
        }
        fuzzer->converted++;
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_SENT], 1);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_URGENT_CLEARED],
                     !!(round->before.data[round->before.layer4 + 13] & FRAME_URG));
        EXPECT_EQUAL(all_counted(round), counted(round, sent));
        return judge_conversion(&round->before, &round->after, true, &limits);
}

/* A refusal of a SYN of ours after which the next one is plain. */
static bool refuses(const struct fuzzer *fuzzer, const struct round *round) {
        const struct underpass_flow *flow = &round->flow;

        return round->quote.refusal && flow->state == UNDERPASS_FLOW_HALF_OPEN &&
               (flow->flags & UNDERPASS_FLOW_OPENED_HERE) &&
               ((fuzzer->link.flags & UNDERPASS_LINK_FALLBACK) ||
                (flow->flags & UNDERPASS_FLOW_FALLEN_BACK)) &&
               judge_about_syn(&round->before, &round->quote, flow->expected - 1,
                               flow->next - flow->expected);
}

/* A keepalive that is refused: it has the number before what is expected, while nothing is in flight. */
static bool refuses_keepalive(const struct round *round) {
        const struct underpass_flow *flow = &round->flow;

        return round->quote.port && round->quote.length >= 16 && flow->state == UNDERPASS_FLOW_TUNNELLED &&
               flow->next == flow->expected &&
               !(round->before.data[round->quote.layer4 + 9] & FRAME_SYN) &&
               judge_quoted_sequence(&round->before, &round->quote) + 1 == flow->expected;
}

/* The flow has been refused for a while: the error becomes a reset. */
static bool judge_end(struct fuzzer *fuzzer, const struct round *round) {
        EXPECT(round->quote.port && round->quote.length == FRAME_HEADER_LENGTH);
        EXPECT_EQUAL(round->flow.state, UNDERPASS_FLOW_TUNNELLED);
        EXPECT(round->flow.refused_ms != 0);
        EXPECT_EQUAL(round->verdict, BENCH_NEXT);
        EXPECT_EQUAL(all_counted(round), 1);
        fuzzer->errors++;
        return true;
}

/* An error about a datagram: dropped, as it refuses a SYN or proves nothing, or turned into one about TCP,
 * or none of ours. */
static bool judge_quoting(struct fuzzer *fuzzer, const struct round *round) {
        const struct underpass_flow *flow = &round->flow;
        uint32_t first = flow->expected - (flow->state == UNDERPASS_FLOW_HALF_OPEN);
        bool refused = in_tunnel(round) && refuses(fuzzer, round);
        bool proven = in_tunnel(round) && (judge_in_flight(&round->before, &round->quote, first,
                                                           flow->next - flow->expected) ||
                                           refuses_keepalive(round));
        /* Even so, only a few are believed in a second. */
        bool unproven = in_tunnel(round) && !refused &&
                        (!proven || (flow->errors >= BELIEVED && round->verdict == BENCH_DROP));

        if (round->counted.value[UNDERPASS_COUNTER_ICMP_RESETS] && proven)
                return judge_end(fuzzer, round);
        EXPECT_EQUAL(round->verdict, refused || unproven ? BENCH_DROP : BENCH_NEXT);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_DROP_ICMP], refused);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_DROP_UNPROVEN], unproven);
        if (refused || unproven || !in_tunnel(round)) {
                EXPECT_EQUAL(all_counted(round), refused || unproven);
                EXPECT(frame_equal(&round->before, &round->after));
                fuzzer->refused += refused;
                return true;
        }
        fuzzer->errors++;
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_ICMP_CONVERTED], 1);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_ICMP_SHORT], round->quote.length < 16);
        EXPECT_EQUAL(all_counted(round), 1 + (round->quote.length < 16));
        return judge_error(&round->before, &round->after, &round->quote, ntohl(flow->sequence));
}

/* A datagram of a flow in fragments: an error to the peer takes its place, unless it is tiny, or the peer
 * has been told often enough. */
static bool judge_fragment(struct fuzzer *fuzzer, const struct round *round) {
        const uint8_t *before = round->before.data + round->before.layer3;
        const uint8_t *after = round->after.data + round->before.layer3;
        /* As with whole datagrams, see round_judge_ingress(). */
        bool too_short = round->context.gso_size && round->context.gso_size < FRAME_HEADER_LENGTH - 8 &&
                         round->verdict == BENCH_NEXT;
        bool known = round->flow.state == UNDERPASS_FLOW_TUNNELLED && !too_short;
        bool usual = before[0] == 0x45; /* nobody is told of others, nor over IPv6 */
        uint16_t size = frame_get16(before + 2);

        EXPECT_EQUAL(all_counted(round), known);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_DROP_FRAGMENT], known);
        if (round->verdict != BENCH_REDIRECT) {
                EXPECT_EQUAL(round->verdict, known ? BENCH_DROP : BENCH_NEXT);
                EXPECT(!known || !usual || size < FRAGMENT_MIN || round->flow.errors >= BELIEVED);
                EXPECT(frame_equal(&round->before, &round->after));
                return true;
        }
        EXPECT(known && usual && size >= FRAGMENT_MIN);
        EXPECT_EQUAL(round->after.length, round->before.layer3 + 28 + 40);
        fuzzer->errors++;
        /* A test run of the kernel takes every packet for one with an Ethernet header. */
        if (round->program == BENCH_INGRESS_RAW)
                return true;
        EXPECT_EQUAL(frame_layer3_sum(&round->after), 0xffff);
        EXPECT(memcmp(after + 12, before + 16, 4) == 0 && memcmp(after + 16, before + 12, 4) == 0);
        EXPECT_EQUAL(frame_get32(after + 20) >> 16, 0x0304);
        EXPECT_EQUAL(frame_get32(after + 24), size);
        EXPECT_EQUAL(frame_fold(frame_sum(0, after + 20, 48)), 0xffff);
        EXPECT(memcmp(after + 28 + 20, before + 20, 20) == 0);
        return true;
}

/* On its way to be cut: as it came, behind an Ethernet header. */
static bool judge_redirected(struct fuzzer *fuzzer, const struct round *round, unsigned counts) {
        size_t added = round->program == BENCH_INGRESS_RAW ? ETHERNET_LENGTH : 0;

        EXPECT_EQUAL(all_counted(round), counts);
        EXPECT_EQUAL(round->after.length, round->before.length + added);
        EXPECT(memcmp(round->after.data + added, round->before.data, round->before.length) == 0);
        fuzzer->redirected++;
        return true;
}

/* Merged before the programs saw it: known, or opened by its first datagram, it goes to be cut. */
static bool judge_merged(struct fuzzer *fuzzer, const struct round *round) {
        bool accepted = round->counted.value[UNDERPASS_COUNTER_FLOWS_ACCEPTED];

        EXPECT_EQUAL(round->verdict, BENCH_REDIRECT);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_CUT], 1);
        EXPECT(accepted != in_tunnel(round));
        return judge_redirected(fuzzer, round, 1 + accepted);
}

/* *ret_done: it was bulk; else it is judged as any datagram, and so is that over IPv6 which is malformed. */
static bool judge_bulk_ingress(struct fuzzer *fuzzer, const struct round *round, bool *ret_done) {
        enum judge_bulk bulk = fate(fuzzer, round);
        /* Where headers would have to be pulled, datagrams too short for any of ours are none. */
        bool tiny = round->context.gso_size && round->context.gso_size < FRAME_HEADER_LENGTH - 8;
        bool many = round->context.gso_size && !round->flow.socket;

        *ret_done = bulk != JUDGE_BULK_NONE && !(tiny && all_counted(round) == 0);
        if (!*ret_done)
                return true;
        if (many || bulk == JUDGE_BULK_MERGED || (round->flow.cut_ns && round->verdict == BENCH_REDIRECT)) {
                EXPECT_EQUAL(round->verdict, BENCH_REDIRECT);
                EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_CUT], 1);
                return judge_redirected(fuzzer, round, 1);
        }
        /* A super-packet of a test run has no type, so the helper of the kernel refuses. */
        if (bulk == JUDGE_BULK_UNPACKED && round->context.gso_size && fuzzer->bench.object &&
            round->counted.value[UNDERPASS_COUNTER_DROP_HEADER]) {
                EXPECT_EQUAL(round->verdict, BENCH_DROP);
                return all_counted(round) == 1;
        }
        if (bulk == JUDGE_BULK_UNPACKED && !(tiny && round->verdict == BENCH_DROP)) {
                EXPECT_EQUAL(round->verdict, BENCH_NEXT);
                return judge_unpacking(fuzzer, round);
        }
        *ret_done = !is_ipv6(round);
        return !*ret_done || judge_dropped(fuzzer, round);
}

/* In front of GRO: what is as usual becomes TCP, and the rest is left to the program in tc. */
bool round_judge_early(struct fuzzer *fuzzer, const struct round *round) {
        const struct frame *before = &round->before;
        enum judge_bulk bulk = fate(fuzzer, round);
        /* What only looks like bulk is left, too, also where none is taken. */
        bool convertible = round->protocol == FRAME_UDP && round->flow.state == UNDERPASS_FLOW_TUNNELLED &&
                           judge_bulk(before, 0, true) == JUDGE_BULK_NONE &&
                           before->layer4 == before->layer3 + (is_ipv6(round) ? 40 : 20) &&
                           judge_convertible(before) &&
                           !(before->data[before->layer4 + 9] & (FRAME_SYN | FRAME_RST));

        EXPECT_EQUAL(round->verdict, BENCH_EARLY_PASS);
        if (bulk == JUDGE_BULK_UNPACKED)
                return judge_unpacking(fuzzer, round);
        EXPECT_EQUAL(all_counted(round), convertible);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_RECEIVED], convertible);
        return convertible ? judge_received(fuzzer, round) : frame_equal(before, &round->after);
}

bool round_judge_ingress(struct fuzzer *fuzzer, const struct round *round) {
        static const enum underpass_counter reasons[] = {
                UNDERPASS_COUNTER_PASS_NOT_MPTCP, UNDERPASS_COUNTER_PASS_PORT,
                UNDERPASS_COUNTER_PASS_ZERO_CHECKSUM, UNDERPASS_COUNTER_PASS_LENGTH,
                UNDERPASS_COUNTER_PASS_SIGNED,
                UNDERPASS_COUNTER_COUNT,
        };
        static const enum underpass_counter learnt[] = {
                UNDERPASS_COUNTER_STRIPPED, UNDERPASS_COUNTER_LACKING, UNDERPASS_COUNTER_COUNT,
        };
        bool accepted = round->counted.value[UNDERPASS_COUNTER_FLOWS_ACCEPTED];
        bool udp = round->protocol == FRAME_UDP;
        bool merged = udp && round->context.gso_size, done;
        bool convertible = udp && !merged && judge_convertible(&round->before);
        bool malformed = udp && !merged && !convertible && round->flow.state == UNDERPASS_FLOW_TUNNELLED &&
                         round->before.data[round->before.layer4 + 8] >> 4 >= FRAME_HEADER_LENGTH / 4;

        EXPECT(judge_bulk_ingress(fuzzer, round, &done));
        if (done)
                return true;
        if (round->quotes)
                return judge_quoting(fuzzer, round);
        if (round->fragment)
                return judge_fragment(fuzzer, round);
        /* Datagrams too short for any of ours are left alone where their headers would have to be pulled. */
        if (merged && (in_tunnel(round) || accepted) &&
            (round->context.gso_size >= FRAME_HEADER_LENGTH - 8 || round->verdict != BENCH_NEXT))
                return judge_merged(fuzzer, round);
        /* Right behind merged ones of its flow: a matter of milliseconds, see programs-cut.c. */
        if (convertible && in_tunnel(round) && round->flow.cut_ns && round->verdict == BENCH_REDIRECT)
                return judge_redirected(fuzzer, round, 0);
        EXPECT_EQUAL(round->verdict, malformed ? BENCH_DROP : BENCH_NEXT);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_DROP_MALFORMED], malformed);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_RECEIVED],
                     convertible && (in_tunnel(round) || accepted));
        EXPECT(!accepted || !in_tunnel(round));
        if (round->counted.value[UNDERPASS_COUNTER_RECEIVED]) {
                /* The answer to a SYN that went over UDP for want of one to plain SYNs. */
                EXPECT(round->counted.value[UNDERPASS_COUNTER_STRIPPED] <=
                       (round->counted.value[UNDERPASS_COUNTER_FLOWS_ESTABLISHED] &&
                        ((round->flow.flags | round->beside) & UNDERPASS_FLOW_FALLEN_BACK)));
                EXPECT_EQUAL(all_counted(round), counted(round, received));
                return judge_received(fuzzer, round);
        }
        EXPECT(frame_equal(&round->before, &round->after));
        EXPECT(all_counted(round) <= 1);
        if (malformed)
                return true;
        /* Plain TCP is only looked at, and may tell that options get lost, or that there are none. */
        EXPECT_EQUAL(all_counted(round), udp ? counted(round, reasons) : counted(round, learnt));
        return true;
}
