/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * All six programs must load and run with CAP_BPF and CAP_NET_ADMIN and nothing more: that is all the
 * service has. A process of its own gives up everything else; CAP_PERFMON above all, with which the
 * verifier allows much more.
 *
 * Room: capabilities of a child, libbpf by way of bench.h.
 */

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>

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

/* One packet for each program that takes packets, and what must come of it. */
struct first_packet {
        enum bench_program program;
        bool incoming;
        bool raw;
        __u32 verdict;
};

static const struct first_packet packets[] = {
        { BENCH_EGRESS, false, false, BENCH_REDIRECT },
        { BENCH_EGRESS_RAW, false, true, BENCH_REDIRECT },
        { BENCH_INGRESS, true, false, BENCH_NEXT },
        { BENCH_INGRESS_RAW, true, true, BENCH_NEXT },
        { BENCH_SEGMENT, false, false, BENCH_REDIRECT },
};

static bool run_packet(const struct bench *bench, const struct first_packet *packet) {
        struct frame_spec spec = {
                .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP, .raw = packet->raw,
                .udp = packet->incoming, .from = packet->incoming ? FRAME_REMOTE : FRAME_LOCAL,
                .source_port = 50000, .dest_port = 443,
        };
        struct __sk_buff context;
        struct frame frame;
        __u32 verdict;

        EXPECT(bench_segment_context(bench, 0, &context) == 0);
        frame_build(&spec, &frame);
        EXPECT(bench_run(bench, packet->program, false, &frame, &context, &verdict) == 0);
        EXPECT_EQUAL(verdict, packet->verdict);
        if (packet->incoming)
                EXPECT_EQUAL(frame.data[frame.protocol], FRAME_TCP);
        if (packet->program == BENCH_SEGMENT)
                EXPECT_EQUAL(frame.data[frame.protocol], FRAME_UDP);
        return true;
}

/* The keepalive program takes no packets: it is there, and of its kind. */
static bool is_loaded(int program) {
        struct bpf_prog_info info = {};
        __u32 length = sizeof(info);

        EXPECT(bpf_obj_get_info_by_fd(program, &info, &length) == 0);
        EXPECT_EQUAL(info.type, BPF_PROG_TYPE_SOCK_OPS);
        return true;
}

static bool run_all(const struct bench *bench) {
        EXPECT(bench_reset(bench) == 0);
        for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
                EXPECT(run_packet(bench, &packets[i]));
        return is_loaded(bench->keepalive);
}

static bool load_and_run(void) {
        struct bench bench;
        bool passed;

        EXPECT_EQUAL((unsigned) -bench_open(&bench, 0), 0);
        passed = run_all(&bench);
        bench_close(&bench);
        return passed;
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
