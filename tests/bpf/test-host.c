/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The programs, compiled for the host: the same packets as in test-programs.c, without privileges and
 * under whatever sanitizer this is built with.
 *
 * Room: bench.h by way of bench-host.c. What needs sockets stays with test-programs.c.
 */

#include <string.h>

#include "programs.h"

int main(void) {
        struct bench bench;
        int failed, r = bench_open(&bench);

        if (r < 0) {
                fprintf(stderr, "cannot prepare the programs: %s\n", strerror(-r));
                return EXIT_FAILED;
        }
        failed = programs_packets(&bench);
        bench_close(&bench);
        return failed == 0 ? EXIT_PASSED : EXIT_FAILED;
}
