/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The programs, as the kernel runs them: packet in, verdict, packet and counters out. Those for devices
 * without Ethernet header run here too, see frame_address() for how.
 *
 * Room: libbpf by way of bench.h. Needs CAP_BPF and CAP_NET_ADMIN, skipped without.
 */

#include <string.h>

#include "place.h"
#include "programs.h"

int main(void) {
        struct bench bench;
        bool placed;
        int failed, r;

        if (!bench_privileged()) {
                printf("skip: needs CAP_BPF and CAP_NET_ADMIN\n");
                return EXIT_SKIPPED;
        }
        placed = place_enter() == 0;
        r = bench_open(&bench, BENCH_FLOWS);
        if (r < 0) {
                fprintf(stderr, "cannot load the programs: %s\n", strerror(-r));
                return EXIT_FAILED;
        }
        failed = programs_packets(&bench);
        if (placed) {
                failed += programs_learn(&bench);
                failed += programs_inject(&bench);
                failed += programs_forgotten(&bench);
                failed += programs_keepalive(&bench);
        } else
                printf("skip  learn, inject, forgotten, keepalive: need CAP_SYS_ADMIN for a network "
                       "namespace\n");
        bench_close(&bench);
        return failed == 0 ? EXIT_PASSED : EXIT_FAILED;
}
