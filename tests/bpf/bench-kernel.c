/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The programs in the kernel, see bench.h. Twin: bench-host.c.
 *
 * Room: libbpf and the skeleton.
 */

#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bench.h"
#include "underpass.skel.h"

enum {
        /* BPF_F_TEST_SKB_CHECKSUM_COMPLETE, which older headers do not have. */
        TEST_SUMMED = 1U << 2,
};

bool bench_privileged(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};

        if (syscall(SYS_capget, &header, sets) < 0)
                return false;
        return (sets[CAP_TO_INDEX(CAP_BPF)].effective & CAP_TO_MASK(CAP_BPF)) &&
               (sets[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN));
}

int bench_open(struct bench *ret) {
        struct underpass_bpf *object = underpass_bpf__open_and_load();
        int cpus = libbpf_num_possible_cpus();

        if (!object)
                return -errno;
        if (cpus < 0 || cpus > BENCH_CPUS_MAX) {
                underpass_bpf__destroy(object);
                return cpus < 0 ? cpus : -E2BIG;
        }
        *ret = (struct bench) {
                .object = object,
                .programs = {
                        [BENCH_EGRESS] = bpf_program__fd(object->progs.underpass_egress_ethernet),
                        [BENCH_EGRESS_RAW] = bpf_program__fd(object->progs.underpass_egress_raw),
                        [BENCH_INGRESS] = bpf_program__fd(object->progs.underpass_ingress_ethernet),
                        [BENCH_INGRESS_RAW] = bpf_program__fd(object->progs.underpass_ingress_raw),
                        [BENCH_HOP] = bpf_program__fd(object->progs.underpass_hop),
                },
                .keepalive = bpf_program__fd(object->progs.underpass_keepalive),
                .links = bpf_map__fd(object->maps.links),
                .slots = bpf_map__fd(object->maps.slots),
                .loader = bpf_map__fd(object->maps.loader),
                .flows = bpf_map__fd(object->maps.flows),
                .tries = bpf_map__fd(object->maps.tries),
                .verdicts = bpf_map__fd(object->maps.verdicts),
                .counters = bpf_map__fd(object->maps.counters),
                .cpus = cpus,
        };
        return 0;
}

void bench_close(struct bench *bench) {
        underpass_bpf__destroy(bench->object);
        bench->object = NULL;
}

int bench_run(const struct bench *bench, enum bench_program program, bool summed, struct frame *frame,
              struct __sk_buff *context, __u32 *ret_verdict) {
        struct frame out = *frame;
        struct __sk_buff none = {}, context_out = {};
        LIBBPF_OPTS(bpf_test_run_opts, options,
                    .data_in = frame->data,
                    .data_size_in = (__u32) frame->length,
                    .data_out = out.data,
                    .data_size_out = sizeof(out.data),
                    .ctx_in = context ? context : &none,
                    .ctx_size_in = sizeof(none),
                    .ctx_out = &context_out,
                    .ctx_size_out = sizeof(context_out),
                    .flags = summed ? TEST_SUMMED : 0);
        int r = bpf_prog_test_run_opts(bench->programs[program], &options);

        if (r < 0)
                return r;
        out.length = options.data_size_out;
        *frame = out;
        if (context)
                *context = context_out;
        *ret_verdict = options.retval;
        return 0;
}

int bench_map_update(int map, const void *key, const void *value) {
        return bpf_map_update_elem(map, key, value, BPF_ANY);
}

int bench_map_lookup(int map, const void *key, void *ret) {
        return bpf_map_lookup_elem(map, key, ret);
}

int bench_map_delete(int map, const void *key) {
        return bpf_map_delete_elem(map, key);
}

int bench_map_next(int map, const void *key, void *ret_key) {
        return bpf_map_get_next_key(map, key, ret_key);
}
