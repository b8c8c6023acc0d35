/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The object must load with CAP_BPF and CAP_NET_ADMIN and nothing more: that is all the service has. A
 * process of its own gives up everything else; CAP_PERFMON above all, with which the verifier allows much
 * more.
 *
 * Room: capabilities of a child, libbpf by way of bench.h.
 */

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/* What the child has: capabilities 0 to 31, and 32 to 63. */
static const __u32 kept[_LINUX_CAPABILITY_U32S_3] = {
        [CAP_TO_INDEX(CAP_NET_ADMIN)] = CAP_TO_MASK(CAP_NET_ADMIN),
        [CAP_TO_INDEX(CAP_BPF)] = CAP_TO_MASK(CAP_BPF),
};

static bool drop_capabilities(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};

        for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
                sets[i].effective = sets[i].permitted = kept[i];
        EXPECT(syscall(SYS_capset, &header, sets) == 0);
        memset(sets, 0xff, sizeof(sets));
        EXPECT(syscall(SYS_capget, &header, sets) == 0);
        for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
                EXPECT_EQUAL(sets[i].effective, kept[i]);
                EXPECT_EQUAL(sets[i].permitted, kept[i]);
        }
        return true;
}

static bool load_and_run(void) {
        struct frame_spec spec = { .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP };
        struct bench bench;
        struct frame frame;
        __u32 verdict = 0;
        bool passed;

        EXPECT_EQUAL((unsigned) -bench_open(&bench), 0);
        frame_build(&spec, &frame);
        passed = bench_reset(&bench) == 0 &&
                 bench_run(&bench, BENCH_EGRESS, false, &frame, NULL, &verdict) == 0;
        bench_close(&bench);
        EXPECT(passed);
        EXPECT_EQUAL(verdict, BENCH_REDIRECT);
        return true;
}

int main(void) {
        int status;
        pid_t child;

        if (!bench_privileged()) {
                printf("skip: needs CAP_BPF and CAP_NET_ADMIN\n");
                return EXIT_SKIPPED;
        }
        child = fork();
        if (child < 0)
                return EXIT_FAILED;
        if (child == 0)
                _exit(drop_capabilities() && load_and_run() ? EXIT_PASSED : EXIT_FAILED);
        if (waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
            WEXITSTATUS(status) != EXIT_PASSED) {
                printf("FAIL  load-without-perfmon\n");
                return EXIT_FAILED;
        }
        printf("ok    load-without-perfmon\n");
        return EXIT_PASSED;
}
