/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Random and mutated packets through the loaded programs. Whatever goes in: it comes out byte for byte as
 * it was, or it is a correct conversion, or (at the segment, or as an ICMP refusal) it is dropped; and the
 * counters say which.
 *
 *   fuzz-packets [--seconds N] [--seed N]
 *
 * Without --seconds a fixed number of rounds, the same ones every time.
 *
 * Room: fuzz-round.h, the clock.
 */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz-round.h"

enum {
        ROUNDS = 500000,
        ROUNDS_BETWEEN_RESETS = 512,
};

static bool run_round(struct fuzzer *fuzzer, struct round *round) {
        struct fuzz_wish wish;

        round->program = expect_random(&fuzzer->random) % BENCH_MERGED;
        round_wish(round->program, &wish);
        round->early = round->program == BENCH_INGRESS && expect_random(&fuzzer->random) % 4 == 0;
        wish.bulk = fuzzer->bulk && expect_random(&fuzzer->random) % 2 == 0;
        wish.incoming |= wish.bulk && round->program == BENCH_SEGMENT;
        fuzz_make(&fuzzer->random, &wish, &round->before);
        round->context = round->program == BENCH_SEGMENT ? fuzzer->segment_note : (struct __sk_buff) {};
        if (expect_random(&fuzzer->random) % 32 == 0)
                round->context.gso_size = wish.bulk && expect_random(&fuzzer->random) % 2 ?
                                                  fuzz_inner_length(&round->before) :
                                                  1 + expect_random(&fuzzer->random) % FUZZ_MTU;
        if (round->program == BENCH_SEGMENT && expect_random(&fuzzer->random) % 64 == 0)
                round->context.cb[1] = expect_random(&fuzzer->random);
        return round_run(fuzzer, round);
}

static bool fuzz(struct fuzzer *fuzzer, unsigned long seconds) {
        struct timespec now, end;
        struct round round = {};

        clock_gettime(CLOCK_MONOTONIC, &end);
        end.tv_sec += (time_t) seconds;
        EXPECT(bench_segment_context(&fuzzer->bench, 1, &fuzzer->segment_note) == 0);
        for (;; fuzzer->rounds++) {
                clock_gettime(CLOCK_MONOTONIC, &now);
                if (seconds == 0 ? fuzzer->rounds == ROUNDS : now.tv_sec >= end.tv_sec)
                        break;
                if (fuzzer->rounds % ROUNDS_BETWEEN_RESETS == 0)
                        EXPECT(round_set_up(fuzzer, expect_random(&fuzzer->random)));
                if (run_round(fuzzer, &round))
                        continue;
                fprintf(stderr, "round %lu\n", fuzzer->rounds);
                round_dump(&round);
                return false;
        }
        printf("%lu packets: %lu converted, %lu unpacked, %lu redirected, %lu dropped, %lu ICMP errors "
               "converted, %lu dropped, the others untouched\n",
               fuzzer->rounds, fuzzer->converted, fuzzer->unpacked, fuzzer->redirected, fuzzer->dropped,
               fuzzer->errors, fuzzer->refused);
        /* The mix must reach every outcome often, or it proves little. */
        EXPECT(fuzzer->converted > fuzzer->rounds / 10);
        EXPECT(fuzzer->redirected > fuzzer->rounds / 20);
        EXPECT(fuzzer->dropped > fuzzer->rounds / 100);
        EXPECT(fuzzer->errors > fuzzer->rounds / 200);
        EXPECT(fuzzer->refused > fuzzer->rounds / 5000);
        EXPECT(fuzzer->unpacked > fuzzer->rounds / 200);
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
        r = bench_open(&fuzzer.bench, BENCH_FLOWS);
        if (r < 0) {
                fprintf(stderr, "cannot load the programs: %s\n", strerror(-r));
                return EXIT_FAILED;
        }
        passed = fuzz(&fuzzer, seconds);
        bench_close(&fuzzer.bench);
        printf("%s  fuzz-packets\n", passed ? "ok  " : "FAIL");
        return passed ? EXIT_PASSED : EXIT_FAILED;
}
