/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The programs, compiled for the host: the same packets as in test-programs.c, without privileges and
 * under whatever sanitizer this is built with.
 *
 * Room: bench.h by way of bench-host.c. What needs sockets stays with test-programs.c.
 */

#include <string.h>

#include "programs.h"

/* For how long the machine has been up; what is so long ago was in its second 0, which says "never". */
static const __u32 uptimes[] = { 0, 1, 2, 60, UNDERPASS_BLOCKED_SECONDS_MAX + 1 };

static bool test_never(void *context) {
        for (size_t i = 0; i < sizeof(uptimes) / sizeof(uptimes[0]); i++) {
                bench_set_uptime(uptimes[i]);
                EXPECT_EQUAL(bench_seconds_ago(uptimes[i]), 1);
                EXPECT_EQUAL(bench_seconds_ago(uptimes[i] + 1), (__u32) -1);
        }
        return true;
}

/* Records hold times, so what they say must not rest on when the machine was started. */
static bool test_uptimes(void *context) {
        struct bench *bench = context;

        for (size_t i = 0; i < sizeof(uptimes) / sizeof(uptimes[0]); i++) {
                printf("a machine that has been up for %u s:\n", uptimes[i]);
                bench_set_uptime(uptimes[i]);
                EXPECT_EQUAL((unsigned) programs_packets(bench), 0);
        }
        return true;
}

/* Records of flows count 1.07 seconds each, in 16 bits, which have just begun anew. */
static bool test_seconds(void *context) {
        bench_set_uptime((__u32) ((1ULL << (30 + 16)) / 1000000000) + 1);
        EXPECT_EQUAL((unsigned) programs_throttle(context), 0);
        return true;
}

int main(void) {
        static const struct expect_test tests[] = {
                { "the second that means never", test_never },
                { "machines just started", test_uptimes },
                { "seconds that begin anew", test_seconds },
        };
        struct bench bench;
        int failed, r = bench_open(&bench, BENCH_FLOWS);

        if (r < 0) {
                fprintf(stderr, "cannot prepare the programs: %s\n", strerror(-r));
                return EXIT_FAILED;
        }
        failed = programs_packets(&bench) + expect_run(tests, sizeof(tests) / sizeof(tests[0]), &bench);
        bench_close(&bench);
        return failed == 0 ? EXIT_PASSED : EXIT_FAILED;
}
