/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Random and mutated packets through the loaded programs. Whatever goes in: it comes out byte for byte as
 * it was, or it is a correct conversion, or (at the hop, or as an ICMP refusal) it is dropped; and the
 * counters say which.
 *
 *   fuzz-packets [--seconds N] [--seed N]
 *
 * Without --seconds a fixed number of rounds, the same ones every time.
 *
 * Room: fuzz-round.h, the clock.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz-round.h"

enum {
        ROUNDS = 500000,
        ROUNDS_BETWEEN_RESETS = 512,
        ETHERNET_LENGTH = 14,
};

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
                { .state = UNDERPASS_FLOW_TUNNELLED, .flags = UNDERPASS_FLOW_PLAIN_SYN },
                { .state = UNDERPASS_FLOW_TRYING, .flags = UNDERPASS_FLOW_OPENED_HERE },
                { .state = UNDERPASS_FLOW_TRYING },
                { .state = UNDERPASS_FLOW_TRYING, .flags = UNDERPASS_FLOW_ANSWERED },
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
                flow.syns = 1;
                flow.expected = FUZZ_SEQUENCE + 1;
                flow.sequence = htonl(FUZZ_SEQUENCE);
                EXPECT(bench_put_flow(flow.state == UNDERPASS_FLOW_TUNNELLED ? fuzzer->bench.flows :
                                                                               fuzzer->bench.tries,
                                      &key, &flow) == 0);
        }
        return true;
}

/* Known flows of both IP versions, and a profile that takes a lot. */
static bool set_up(struct fuzzer *fuzzer) {
        uint32_t dice = expect_random(&fuzzer->random);
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
        EXPECT(bench_set_link(&fuzzer->bench, link) == 0);
        EXPECT(put_flows(fuzzer, false));
        EXPECT(put_flows(fuzzer, true));
        return read_counters(fuzzer, &fuzzer->counters);
}

/* Finds out what the packet is, and what is known of its flow. */
static void look_at(const struct fuzzer *fuzzer, struct round *round, bool ingress, bool raw) {
        uint16_t ethertype = frame_get16(round->before.data + 12);
        size_t layer3 = raw ? 0 : ETHERNET_LENGTH;
        struct frame quoted = round->before;
        struct underpass_flow_key key;

        round->protocol = 0;
        round->quotes = false;
        round->flow.state = 0;
        if (ingress && judge_locate(&round->before, layer3, ethertype, FRAME_UDP))
                round->protocol = FRAME_UDP;
        else if (judge_locate(&round->before, layer3, ethertype, FRAME_TCP))
                round->protocol = FRAME_TCP;
        else if (ingress)
                round->quotes = judge_find_quote(&round->before, layer3, ethertype, &round->quote);
        if (round->protocol != 0)
                bench_flow_key(&round->before, !ingress, &key);
        else if (round->quotes) {
                quoted.layer3 = round->quote.inner;
                quoted.layer4 = round->quote.layer4;
                bench_flow_key(&quoted, true, &key);
        } else
                return;
        if (bench_get_flow(fuzzer->bench.flows, &key, &round->flow) < 0 &&
            bench_get_flow(fuzzer->bench.tries, &key, &round->flow) < 0)
                round->flow.state = 0;
}

static bool run_round(struct fuzzer *fuzzer, struct round *round) {
        bool ingress, raw;
        struct underpass_counters now;
        struct __sk_buff context;
        int r;

        round->program = expect_random(&fuzzer->random) % BENCH_PROGRAM_COUNT;
        ingress = round->program == BENCH_INGRESS || round->program == BENCH_INGRESS_RAW;
        raw = round->program == BENCH_EGRESS_RAW || round->program == BENCH_INGRESS_RAW;
        fuzz_make(&fuzzer->random, &(struct fuzz_wish) { ingress, raw, ingress }, &round->before);
        round->context = round->program == BENCH_HOP ? fuzzer->hop_note : (struct __sk_buff) {};
        if (expect_random(&fuzzer->random) % 32 == 0)
                round->context.gso_size = 1 + expect_random(&fuzzer->random) % FUZZ_MTU;
        if (round->program == BENCH_HOP && expect_random(&fuzzer->random) % 64 == 0)
                round->context.cb[2] = expect_random(&fuzzer->random);
        look_at(fuzzer, round, ingress, raw);
        round->after = round->before;
        context = round->context;
        r = bench_run(&fuzzer->bench, round->program, false, &round->after, &context, &round->verdict);
        if (r == -EINVAL && round->before.length < ETHERNET_LENGTH + 40)
                return true; /* shorter than the kernel lets a test run have */
        EXPECT_EQUAL((unsigned) -r, 0);
        EXPECT(read_counters(fuzzer, &now));
        for (int i = 0; i < UNDERPASS_COUNTER_COUNT; i++)
                round->counted.value[i] = now.value[i] - fuzzer->counters.value[i];
        fuzzer->counters = now;
        if (round->program == BENCH_HOP)
                return round_judge_hop(fuzzer, round);
        return ingress ? round_judge_ingress(fuzzer, round) : round_judge_egress(fuzzer, round);
}

static bool fuzz(struct fuzzer *fuzzer, unsigned long seconds) {
        struct timespec now, end;
        struct round round = {};

        clock_gettime(CLOCK_MONOTONIC, &end);
        end.tv_sec += (time_t) seconds;
        EXPECT(bench_hop_context(&fuzzer->bench, 1, &fuzzer->hop_note) == 0);
        for (;; fuzzer->rounds++) {
                clock_gettime(CLOCK_MONOTONIC, &now);
                if (seconds == 0 ? fuzzer->rounds == ROUNDS : now.tv_sec >= end.tv_sec)
                        break;
                if (fuzzer->rounds % ROUNDS_BETWEEN_RESETS == 0)
                        EXPECT(set_up(fuzzer));
                if (run_round(fuzzer, &round))
                        continue;
                fprintf(stderr, "round %lu, program %d, verdict %d, gso %u, protocol %u, flow %u flags %u\n",
                        fuzzer->rounds, round.program, (int) round.verdict, round.context.gso_size,
                        round.protocol, round.flow.state, round.flow.flags);
                frame_dump("went in", &round.before);
                frame_dump("came out", &round.after);
                return false;
        }
        printf("%lu packets: %lu converted, %lu redirected, %lu dropped, %lu ICMP errors converted, "
               "%lu dropped, the others untouched\n",
               fuzzer->rounds, fuzzer->converted, fuzzer->redirected, fuzzer->dropped, fuzzer->errors,
               fuzzer->refused);
        /* The mix must reach every outcome often, or it proves little. */
        EXPECT(fuzzer->converted > fuzzer->rounds / 10);
        EXPECT(fuzzer->redirected > fuzzer->rounds / 20);
        EXPECT(fuzzer->dropped > fuzzer->rounds / 100);
        EXPECT(fuzzer->errors > fuzzer->rounds / 200);
        EXPECT(fuzzer->refused > fuzzer->rounds / 5000);
        return true;
}

/* The number behind an option, or of the only one that may be left out. */
static bool parse(int count, char **arguments, unsigned long *ret_seconds, uint64_t *ret_seed) {
        for (int i = 1; i + 1 < count; i += 2) {
                char *end;
                unsigned long number = strtoul(arguments[i + 1], &end, 10);

                if (*end != '\0' || number == 0)
                        return false;
                if (strcmp(arguments[i], "--seconds") == 0)
                        *ret_seconds = number;
                else if (strcmp(arguments[i], "--seed") == 0)
                        *ret_seed = number;
                else
                        return false;
        }
        return count % 2 == 1;
}

int main(int count, char **arguments) {
        struct fuzzer fuzzer = { .random = 0x5eed0005 };
        unsigned long seconds = 0;
        bool passed;
        int r;

        if (!parse(count, arguments, &seconds, &fuzzer.random)) {
                fprintf(stderr, "usage: fuzz-packets [--seconds N] [--seed N]\n");
                return EXIT_FAILED;
        }
        if (!bench_privileged()) {
                printf("skip: needs CAP_BPF and CAP_NET_ADMIN\n");
                return EXIT_SKIPPED;
        }
        r = bench_open(&fuzzer.bench);
        if (r < 0) {
                fprintf(stderr, "cannot load the programs: %s\n", strerror(-r));
                return EXIT_FAILED;
        }
        passed = fuzz(&fuzzer, seconds);
        bench_close(&fuzzer.bench);
        printf("%s  fuzz-packets\n", passed ? "ok  " : "FAIL");
        return passed ? EXIT_PASSED : EXIT_FAILED;
}
