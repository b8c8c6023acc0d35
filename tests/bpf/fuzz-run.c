/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Runs a round: what is known before, the packet, and who judges it; see fuzz-round.h.
 *
 * Room: bench.h, fuzz.h.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "fuzz-round.h"

enum { ETHERNET_LENGTH = 14 };

static bool read_counters(const struct fuzzer *fuzzer, struct underpass_counters *ret) {
        struct underpass_counters other;

        EXPECT(bench_counters(&fuzzer->bench, BENCH_SLOT, ret) == 0);
        EXPECT(bench_counters(&fuzzer->bench, 0, &other) == 0);
        for (int i = 0; i < UNDERPASS_COUNTER_COUNT; i++)
                ret->value[i] += other.value[i];
        return true;
}

/* Flows in every state, by their ports. */
static bool put_flows(struct fuzzer *fuzzer, bool ipv6) {
        static const struct underpass_flow kinds[FUZZ_FLOWS] = {
                { .state = UNDERPASS_FLOW_TUNNELLED },
                { .state = UNDERPASS_FLOW_TUNNELLED, .flags = UNDERPASS_FLOW_PLAIN_SYN, .socket = 1 },
                { .state = UNDERPASS_FLOW_HALF_OPEN, .flags = UNDERPASS_FLOW_OPENED_HERE },
                { .state = UNDERPASS_FLOW_HALF_OPEN },
                { .state = UNDERPASS_FLOW_HALF_OPEN, .flags = UNDERPASS_FLOW_ANSWERED },
                { .state = UNDERPASS_FLOW_WATCHED,
                  .flags = UNDERPASS_FLOW_OPENED_HERE | UNDERPASS_FLOW_JOIN },
        };

        for (unsigned i = 0; i < FUZZ_FLOWS; i++) {
                struct frame_spec spec = { .ipv6 = ipv6, .source_port = (uint16_t) (FUZZ_PORT + i) };
                struct underpass_flow_key key;
                struct underpass_flow flow;
                struct frame frame;

                frame_build(&spec, &frame);
                bench_flow_key(&frame, true, &key);
                bench_tunnelled(&flow);
                flow.state = kinds[i].state;
                flow.flags = kinds[i].flags;
                flow.socket = kinds[i].socket;
                flow.syns = 1;
                flow.expected = FUZZ_SEQUENCE + (flow.state != UNDERPASS_FLOW_TUNNELLED);
                flow.next = FUZZ_SEQUENCE + 1 + FUZZ_IN_FLIGHT;
                flow.plain_sequence = FUZZ_SEQUENCE;
                flow.sequence = htonl(FUZZ_SEQUENCE);
                EXPECT(bench_put_flow(flow.state == UNDERPASS_FLOW_TUNNELLED ? fuzzer->bench.flows :
                                                                               fuzzer->bench.half_open,
                                      &key, &flow) == 0);
        }
        return true;
}

bool round_set_up(struct fuzzer *fuzzer, uint32_t dice) {
        struct underpass_slot slot = {
                .ifindex = BENCH_IFINDEX, .device_ifindex = BENCH_SEGMENT_IFINDEX
        };
        struct underpass_link *link = &fuzzer->link;

        EXPECT(bench_reset(&fuzzer->bench) == 0);
        bench_default_link(link);
        link->mss_ipv4 = ROUND_MSS_IPV4;
        link->mss_ipv6 = ROUND_MSS_IPV6;
        link->local_ports[1] = (struct underpass_port_range) { 1024, 65535 };
        if (dice & 1)
                link->flags = 0;
        if (dice & 2)
                link->flags |= UNDERPASS_LINK_FALLBACK;
        if ((dice & 12) == 0)
                link->flags |= UNDERPASS_LINK_ON_DEMAND;
        link->fallback_after = (uint16_t) (1 + (dice >> 4) % 4);
        fuzzer->bulk = dice >> 6 & 1;
        slot.flags = fuzzer->bulk ? UNDERPASS_SLOT_BULK : 0;
        EXPECT(bench_set_link(&fuzzer->bench, link) == 0);
        EXPECT(bench_set_slot(&fuzzer->bench, &slot) == 0);
        EXPECT(put_flows(fuzzer, false));
        EXPECT(put_flows(fuzzer, true));
        return read_counters(fuzzer, &fuzzer->counters);
}

static bool quotes_syn(const struct round *round) {
        const uint8_t flags = round->before.data[round->quote.layer4 + 9];

        return round->quote.length >= 16 && (flags & (FRAME_SYN | FRAME_ACK)) == FRAME_SYN;
}

/* Finds out what the packet is, and what is known of its flow. Behind the segmentation device datagrams are
 * on their way in. */
static void look_at(const struct fuzzer *fuzzer, struct round *round, bool ingress, bool raw) {
        uint16_t ethertype = frame_get16(round->before.data + 12);
        size_t layer3 = raw ? 0 : ETHERNET_LENGTH;
        struct frame quoted = round->before;
        struct underpass_flow_key key;

        round->protocol = 0;
        round->quotes = round->fragment = false;
        round->flow.state = round->beside = 0;
        if (ingress && judge_locate(&round->before, layer3, ethertype, FRAME_UDP))
                round->protocol = FRAME_UDP;
        else if (judge_locate(&round->before, layer3, ethertype, FRAME_TCP))
                round->protocol = FRAME_TCP;
        else if (round->program == BENCH_SEGMENT &&
                 judge_locate(&round->before, layer3, ethertype, FRAME_UDP)) {
                round->protocol = FRAME_UDP;
                ingress = true;
        } else if (ingress && judge_locate_fragment(&round->before, layer3, ethertype))
                round->fragment = true;
        else if (ingress)
                round->quotes = judge_find_quote(&round->before, layer3, ethertype, &round->quote);
        if (round->protocol != 0 || round->fragment)
                bench_flow_key(&round->before, !ingress, &key);
        else if (round->quotes) {
                quoted.layer3 = round->quote.inner;
                quoted.layer4 = round->quote.layer4;
                bench_flow_key(&quoted, true, &key);
        } else
                return;
        if (bench_get_flow(fuzzer->bench.half_open, &key, &round->flow) == 0)
                round->beside = round->flow.flags;
        round->flow.state = 0;
        /* About a SYN that left amid a connection. */
        if (round->quotes && quotes_syn(round) &&
            bench_get_flow(fuzzer->bench.half_open, &key, &round->flow) == 0 &&
            round->flow.state == UNDERPASS_FLOW_HALF_OPEN)
                return;
        if (bench_get_flow(fuzzer->bench.flows, &key, &round->flow) < 0 &&
            bench_get_flow(fuzzer->bench.half_open, &key, &round->flow) < 0)
                round->flow.state = 0;
}

static bool is_ingress(enum bench_program program) {
        return program == BENCH_INGRESS || program == BENCH_INGRESS_RAW;
}

static bool is_raw(enum bench_program program) {
        return program == BENCH_EGRESS_RAW || program == BENCH_INGRESS_RAW;
}

void round_wish(enum bench_program program, struct fuzz_wish *ret) {
        *ret = (struct fuzz_wish) {
                .incoming = is_ingress(program),
                .raw = is_raw(program),
                .may_be_error = is_ingress(program),
        };
}

static bool judge(struct fuzzer *fuzzer, const struct round *round) {
        if (round->early)
                return round_judge_early(fuzzer, round);
        if (round->program == BENCH_SEGMENT)
                return round_judge_segment(fuzzer, round);
        return is_ingress(round->program) ? round_judge_ingress(fuzzer, round) :
                                            round_judge_egress(fuzzer, round);
}

bool round_run(struct fuzzer *fuzzer, struct round *round) {
        struct __sk_buff context = round->context;
        struct underpass_counters now;
        int r;

        look_at(fuzzer, round, is_ingress(round->program), is_raw(round->program));
        round->after = round->before;
        r = round->early ? bench_run_early(&fuzzer->bench, &round->after, &round->verdict) :
                           bench_run(&fuzzer->bench, round->program, false, &round->after, &context,
                                     &round->verdict);
        if (r == -EINVAL && round->before.length < ETHERNET_LENGTH + 40)
                return true; /* shorter than the kernel lets a test run have */
        EXPECT_EQUAL((unsigned) -r, 0);
        EXPECT(read_counters(fuzzer, &now));
        for (int i = 0; i < UNDERPASS_COUNTER_COUNT; i++)
                round->counted.value[i] = now.value[i] - fuzzer->counters.value[i];
        fuzzer->counters = now;
        return judge(fuzzer, round);
}

void round_dump(const struct round *round) {
        fprintf(stderr, "program %d%s, verdict %d, gso %u, linear %u, protocol %u, flow %u flags %u\n",
                round->program, round->early ? ", early" : "", (int) round->verdict,
                round->context.gso_size, round->context.data_end, round->protocol, round->flow.state,
                round->flow.flags);
        frame_dump("went in", &round->before);
        frame_dump("came out", &round->after);
}
