/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Random and mutated packets through the loaded programs. Whatever goes in: it comes out byte for byte as it
 * was, or it is a correct conversion, or (at the hop only) it is dropped; and the counters say which.
 *
 *   fuzz-packets [--seconds N] [--seed N]
 *
 * Without --seconds a fixed number of rounds, the same ones every time.
 *
 * Room: bench.h, fuzz.h, the clock.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "fuzz.h"

enum {
        ROUNDS = 500000,
        ROUNDS_BETWEEN_RESETS = 512,
        MTU = 1500,
        ETHERNET_LENGTH = 14,
        MUTATIONS_MAX = 4,
        LIMIT_IPV4 = 1300,
        LIMIT_IPV6 = 1280,
};

/* One packet and what became of it. */
struct round {
        enum bench_program program;
        struct frame before;
        struct frame after;
        struct __sk_buff context;
        bool known;       /* the maps held a flow for it */
        __u32 verdict;
        struct underpass_counters counted; /* by this packet, in both slots */
};

struct fuzzer {
        struct bench bench;
        uint64_t random;
        struct __sk_buff hop_note;
        struct underpass_counters counters;
        unsigned long rounds, converted, dropped, redirected;
};

static bool read_counters(const struct fuzzer *fuzzer, struct underpass_counters *ret) {
        struct underpass_counters other;

        EXPECT(bench_counters(&fuzzer->bench, BENCH_SLOT, ret) == 0);
        EXPECT(bench_counters(&fuzzer->bench, 0, &other) == 0);
        for (int i = 0; i < UNDERPASS_COUNTER_COUNT; i++)
                ret->value[i] += other.value[i];
        return true;
}

/* Known flows of both sides, and a profile that takes a lot. */
static bool set_up(struct fuzzer *fuzzer) {
        struct underpass_flow flow;
        struct underpass_link link;

        EXPECT(bench_reset(&fuzzer->bench) == 0);
        bench_default_link(&link);
        bench_tunnelled(&flow);
        link.mss_ipv4 = LIMIT_IPV4;
        link.mss_ipv6 = LIMIT_IPV6;
        link.local_ports[1] = (struct underpass_port_range) { 1024, 65535 };
        if (expect_random(&fuzzer->random) & 1)
                link.flags = 0;
        EXPECT(bench_set_link(&fuzzer->bench, &link) == 0);
        for (int i = 0; i < 4; i++) {
                struct frame_spec spec = { .ipv6 = i & 1, .from = i & 2 ? FRAME_LOCAL : FRAME_REMOTE };
                struct underpass_flow_key key;
                struct frame frame;

                frame_build(&spec, &frame);
                bench_flow_key(&frame, spec.from == FRAME_LOCAL, &key);
                EXPECT(bench_put_flow(fuzzer->bench.flows, &key, &flow) == 0);
        }
        return read_counters(fuzzer, &fuzzer->counters);
}

static void mutate(uint64_t *random, struct frame *frame) {
        static const uint8_t interesting[] = {
                0, 1, 2, 4, 5, 6, 17, 30, 44, 45, 60, 0x50, 0x7f, 0x80, 0xf0, 0xff,
        };
        /* Headers are where it matters. */
        size_t reach = expect_random(random) & 3 ? 100 : frame->length, at, length;

        at = expect_random(random) % (reach < frame->length ? reach : frame->length);
        switch (expect_random(random) % 6) {
        case 0:
                frame->data[at] ^= (uint8_t) (1 << expect_random(random) % 8);
                break;
        case 1:
                frame->data[at] = interesting[expect_random(random) % sizeof(interesting)];
                break;
        case 2:
                frame->data[at] = (uint8_t) expect_random(random);
                break;
        case 3:
                frame->data[at] = (uint8_t) (frame->data[at] + (expect_random(random) & 1 ? 1 : -1));
                break;
        case 4: /* cut off */
                if (at > ETHERNET_LENGTH)
                        frame->length = at;
                break;
        default: /* make longer */
                length = expect_random(random) % 64;
                expect_random_bytes(random, frame->data + frame->length, length);
                frame->length += length;
                break;
        }
}

/*
 * SYNs, segments of known flows, fragments and noise, in the form that the program looks at or (sometimes)
 * in the other one.
 */
static void make_packet(struct fuzzer *fuzzer, struct round *round) {
        bool ingress = round->program == BENCH_INGRESS || round->program == BENCH_INGRESS_RAW;
        uint64_t *random = &fuzzer->random;
        uint32_t dice = expect_random(random);
        struct frame_spec spec;

        frame_random_spec(random, &spec);
        spec.raw = round->program == BENCH_EGRESS_RAW || round->program == BENCH_INGRESS_RAW;
        spec.from = ingress ? FRAME_REMOTE : FRAME_LOCAL;
        spec.udp = ingress != (dice % 16 == 0);
        if (dice >> 4 & 1)
                spec.payload %= 40;
        if ((dice >> 5 & 3) == 0) {
                spec.flags = FRAME_SYN;
                spec.acknowledgment = 0;
                spec.options = expect_random(random) % FRAME_OPTIONS_COUNT;
        }
        if ((dice >> 7 & 7) == 0)
                spec.source_port = (uint16_t) (30000 + (dice >> 24));
        if (!spec.ipv6 && (dice >> 10 & 7) == 0)
                spec.ipv4_options = (uint8_t) ((dice >> 13) % 11 * 4);
        if (spec.ipv6 && (dice >> 10 & 7) == 0) {
                spec.extensions_count = (uint8_t) ((dice >> 13) % 6);
                for (int i = 0; i < spec.extensions_count; i++)
                        spec.extensions[i] =
                                (uint8_t[]){ 0, 43, 60, 44 }[expect_random(random) % (i == 0 ? 4 : 3)];
        }
        if (!spec.ipv6 && (dice >> 18 & 15) == 0)
                spec.fragment = (uint16_t) expect_random(random);
        frame_build(&spec, &round->before);
        if ((dice >> 22 & 63) == 0)
                expect_random_bytes(random, round->before.data, round->before.length);
        for (uint32_t i = expect_random(random) % (MUTATIONS_MAX + 1); i > 0; i--)
                mutate(random, &round->before);
        round->context = round->program == BENCH_HOP ? fuzzer->hop_note : (struct __sk_buff) {};
        if (expect_random(random) % 32 == 0)
                round->context.gso_size = 1 + expect_random(random) % MTU;
        if (round->program == BENCH_HOP && expect_random(random) % 64 == 0)
                round->context.cb[2] = expect_random(random);
}

static uint64_t counted(const struct round *round, enum underpass_counter first,
                        enum underpass_counter last) {
        uint64_t sum = 0;

        for (unsigned i = first; i <= last; i++)
                sum += round->counted.value[i];
        return sum;
}

static bool judge_egress(struct fuzzer *fuzzer, const struct round *round, bool located) {
        size_t added =
                round->program == BENCH_EGRESS_RAW && round->verdict == BENCH_REDIRECT ? ETHERNET_LENGTH : 0;

        EXPECT_EQUAL(round->after.length, round->before.length + added);
        EXPECT(memcmp(round->after.data + added, round->before.data, round->before.length) == 0);
        if (round->verdict == BENCH_REDIRECT) {
                bool opened = round->counted.value[UNDERPASS_COUNTER_FLOWS_OPENED];

                EXPECT(located);
                EXPECT(round->known || opened);
                EXPECT_EQUAL(counted(round, 0, UNDERPASS_COUNTER_COUNT - 1), opened);
                fuzzer->redirected++;
                return true;
        }
        EXPECT_EQUAL(round->verdict, BENCH_NEXT);
        EXPECT(counted(round, 0, UNDERPASS_COUNTER_COUNT - 1) <= 1);
        EXPECT_EQUAL(counted(round, 0, UNDERPASS_COUNTER_COUNT - 1),
                     round->counted.value[UNDERPASS_COUNTER_PASS_FRAGMENT]);
        /* Only a new SYN ends what is known. */
        EXPECT(!round->known ||
               (round->before.data[round->before.layer4 + 13] & (FRAME_SYN | FRAME_ACK)) == FRAME_SYN);
        return true;
}

static bool judge_hop(struct fuzzer *fuzzer, const struct round *round, bool located) {
        static const struct judge_limits limits = { LIMIT_IPV4, LIMIT_IPV6 };
        bool foreign = round->context.cb[2] != fuzzer->hop_note.cb[2];

        EXPECT_EQUAL(counted(round, UNDERPASS_COUNTER_SENT, UNDERPASS_COUNTER_SENT),
                     round->verdict == BENCH_REDIRECT);
        EXPECT_EQUAL(counted(round, UNDERPASS_COUNTER_DROP_NO_HOP, UNDERPASS_COUNTER_DROP_HOP_HEADER),
                     round->verdict == BENCH_DROP);
        EXPECT_EQUAL(counted(round, UNDERPASS_COUNTER_RECEIVED, UNDERPASS_COUNTER_FLOWS_ESTABLISHED), 0);
        EXPECT_EQUAL(counted(round, UNDERPASS_COUNTER_PASS_NOT_MPTCP, UNDERPASS_COUNTER_PASS_FRAGMENT), 0);
        EXPECT_EQUAL(round->verdict,
                     located && judge_offset_sound(&round->before) && !round->context.gso_size && !foreign ?
                             BENCH_REDIRECT :
                             BENCH_DROP);
        if (round->verdict == BENCH_DROP) {
                fuzzer->dropped++;
                return true;
        }
        fuzzer->converted++;
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_URGENT_CLEARED],
                     !!(round->before.data[round->before.layer4 + 13] & FRAME_URG));
        return judge_conversion(&round->before, &round->after, true, &limits);
}

static bool judge_ingress(struct fuzzer *fuzzer, const struct round *round, bool located) {
        static const struct judge_limits limits = { LIMIT_IPV4, LIMIT_IPV6 };
        bool accepted = round->counted.value[UNDERPASS_COUNTER_FLOWS_ACCEPTED];
        uint64_t left_alone =
                counted(round, UNDERPASS_COUNTER_PASS_NOT_MPTCP, UNDERPASS_COUNTER_PASS_MERGED);
        bool convertible = located && !round->context.gso_size && judge_convertible(&round->before);

        EXPECT_EQUAL(round->verdict, BENCH_NEXT);
        EXPECT_EQUAL(counted(round, UNDERPASS_COUNTER_DROP_NO_HOP, UNDERPASS_COUNTER_DROP_HOP_HEADER), 0);
        EXPECT_EQUAL(counted(round, UNDERPASS_COUNTER_SENT, UNDERPASS_COUNTER_SENT), 0);
        EXPECT_EQUAL(round->counted.value[UNDERPASS_COUNTER_RECEIVED],
                     convertible && (round->known || accepted));
        EXPECT(!accepted || !round->known);
        if (round->counted.value[UNDERPASS_COUNTER_RECEIVED]) {
                fuzzer->converted++;
                EXPECT_EQUAL(left_alone, 0);
                return judge_conversion(&round->before, &round->after, false, &limits);
        }
        EXPECT(frame_equal(&round->before, &round->after));
        EXPECT(left_alone <= 1);
        EXPECT_EQUAL(counted(round, UNDERPASS_COUNTER_FLOWS_OPENED, UNDERPASS_COUNTER_URGENT_CLEARED), 0);
        return true;
}

static bool run_round(struct fuzzer *fuzzer, struct round *round) {
        bool ingress, raw, located;
        struct underpass_flow_key key;
        struct underpass_flow flow;
        struct underpass_counters now;
        struct __sk_buff context;
        int r;

        round->program = expect_random(&fuzzer->random) % BENCH_PROGRAM_COUNT;
        make_packet(fuzzer, round);
        ingress = round->program == BENCH_INGRESS || round->program == BENCH_INGRESS_RAW;
        raw = round->program == BENCH_EGRESS_RAW || round->program == BENCH_INGRESS_RAW;
        located = judge_locate(&round->before, raw ? 0 : ETHERNET_LENGTH,
                               frame_get16(round->before.data + 12), ingress ? FRAME_UDP : FRAME_TCP);
        bench_flow_key(&round->before, !ingress, &key);
        round->known = located && (bench_get_flow(fuzzer->bench.flows, &key, &flow) == 0 ||
                                   bench_get_flow(fuzzer->bench.tries, &key, &flow) == 0);
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
                return judge_hop(fuzzer, round, located);
        return ingress ? judge_ingress(fuzzer, round, located) : judge_egress(fuzzer, round, located);
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
                fprintf(stderr, "round %lu, program %d, verdict %d, gso %u, %s flow\n", fuzzer->rounds,
                        round.program, (int) round.verdict, round.context.gso_size,
                        round.known ? "known" : "no");
                frame_dump("went in", &round.before);
                frame_dump("came out", &round.after);
                return false;
        }
        printf("%lu packets: %lu converted, %lu redirected, %lu dropped, the others untouched\n",
               fuzzer->rounds, fuzzer->converted, fuzzer->redirected, fuzzer->dropped);
        /* The mix must reach every outcome often, or it proves little. */
        EXPECT(fuzzer->converted > fuzzer->rounds / 10);
        EXPECT(fuzzer->redirected > fuzzer->rounds / 20);
        EXPECT(fuzzer->dropped > fuzzer->rounds / 100);
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
