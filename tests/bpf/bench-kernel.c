/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The programs in the kernel, see bench.h. Twin: bench-host.c.
 *
 * Room: libbpf and the skeleton.
 */

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bench.h"
#include "bpf/underpass.skel.h"

enum {
        /* BPF_F_TEST_SKB_CHECKSUM_COMPLETE, which older headers do not have. */
        TEST_SUMMED = 1U << 2,
        BENCH_LOST = 99, /* verdict when a tail call fails */
        COPY = BPF_ALU64 | BPF_MOV | BPF_X,
        SET = BPF_ALU64 | BPF_MOV | BPF_K,
        SKIP_IF = BPF_JMP | BPF_JEQ | BPF_K,
        WRITE = BPF_STX | BPF_MEM | BPF_W,
        MAP_ADDRESS = BPF_LD | BPF_DW | BPF_IMM, /* takes two instructions */
};

bool bench_privileged(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};

        if (syscall(SYS_capget, &header, sets) < 0)
                return false;
        return (sets[CAP_TO_INDEX(CAP_BPF)].effective & CAP_TO_MASK(CAP_BPF)) &&
               (sets[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN));
}

__u64 bench_now(void) {
        return bench_clock();
}

void bench_wait(__u64 nanoseconds) {
        const struct timespec time = { .tv_sec = (time_t) (nanoseconds / 1000000000),
                                       .tv_nsec = (long) (nanoseconds % 1000000000) };

        nanosleep(&time, NULL);
}

static int load(struct underpass_bpf *object, __u32 flows_max) {
        int r = flows_max == 0 ? 0 : bpf_map__set_max_entries(object->maps.flows, flows_max);

        return r < 0 ? r : underpass_bpf__load(object);
}

int bench_open(struct bench *ret, __u32 flows_max) {
        struct underpass_bpf *object = underpass_bpf__open();
        int cpus = libbpf_num_possible_cpus();
        int r;

        if (!object)
                return -errno;
        r = load(object, flows_max);
        if (r < 0) {
                underpass_bpf__destroy(object);
                return r;
        }
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
                        [BENCH_SEGMENT] = bpf_program__fd(object->progs.underpass_segment),
                        [BENCH_MERGED] = bpf_program__fd(object->progs.underpass_merged),
                },
                .early = bpf_program__fd(object->progs.underpass_xdp),
                .keepalive = bpf_program__fd(object->progs.underpass_keepalive),
                .links = bpf_map__fd(object->maps.links),
                .slots = bpf_map__fd(object->maps.slots),
                .loader = bpf_map__fd(object->maps.loader),
                .flows = bpf_map__fd(object->maps.flows),
                .half_open = bpf_map__fd(object->maps.half_open),
                .destinations = bpf_map__fd(object->maps.destinations),
                .sources = bpf_map__fd(object->maps.sources),
                .sockets = bpf_map__fd(object->maps.sockets),
                .socket_ports = bpf_map__fd(object->maps.socket_ports),
                .rings = {
                        [BENCH_UNMERGED] = bpf_map__fd(object->maps.unmerged),
                        [BENCH_UNANSWERED] = bpf_map__fd(object->maps.unanswered),
                        [BENCH_UNCERTAIN] = bpf_map__fd(object->maps.uncertain),
                },
                .counters = bpf_map__fd(object->maps.counters),
                .cpus = cpus,
        };
        return 0;
}

void bench_close(struct bench *bench) {
        underpass_bpf__destroy(bench->object);
        bench->object = NULL;
}

/*
 * A test run takes a context, but neither tc_index nor a VLAN tag in it: a program that sets both and goes
 * on to the one that is wanted. Descriptor or negative errno; *ret_array has to stay open as long.
 */
static int open_prepared(int program, const struct __sk_buff *context, int *ret_array) {
        const __u32 zero = 0;
        int array = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "test_prepared", sizeof(__u32), sizeof(__u32), 1,
                                   NULL);
        const struct bpf_insn code[] = {
                { .code = COPY, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1 },
                { .code = SET, .dst_reg = BPF_REG_2, .imm = (__s32) context->tc_index },
                { .code = WRITE, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_2,
                  .off = offsetof(struct __sk_buff, tc_index) },
                { .code = SET, .dst_reg = BPF_REG_2, .imm = (__s32) context->vlan_proto },
                { .code = SET, .dst_reg = BPF_REG_3, .imm = (__s32) context->vlan_tci },
                { .code = SKIP_IF, .dst_reg = BPF_REG_2, .imm = 0, .off = 1 },
                { .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_skb_vlan_push },
                { .code = COPY, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_6 },
                { .code = MAP_ADDRESS, .dst_reg = BPF_REG_2, .src_reg = BPF_PSEUDO_MAP_FD, .imm = array },
                {},
                { .code = SET, .dst_reg = BPF_REG_3 },
                { .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_tail_call },
                { .code = SET, .dst_reg = BPF_REG_0, .imm = BENCH_LOST },
                { .code = BPF_JMP | BPF_EXIT },
        };
        int r;

        if (array < 0)
                return array;
        r = bpf_map_update_elem(array, &zero, &program, BPF_ANY);
        if (r == 0)
                r = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "test_prepared", "GPL", code,
                                  sizeof(code) / sizeof(code[0]), NULL);
        if (r < 0)
                close(array);
        else
                *ret_array = array;
        return r;
}

static int run(int program, bool summed, struct frame *frame, struct __sk_buff *context,
               __u32 *ret_verdict) {
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
        int r = bpf_prog_test_run_opts(program, &options);

        if (r < 0)
                return r;
        out.length = options.data_size_out;
        *frame = out;
        if (context)
                *context = context_out;
        *ret_verdict = options.retval;
        return 0;
}

int bench_run(const struct bench *bench, enum bench_program program, bool summed, struct frame *frame,
              struct __sk_buff *context, __u32 *ret_verdict) {
        struct __sk_buff allowed;
        int array, fd, r;

        if (!context || (context->tc_index == 0 && !context->vlan_present))
                return run(bench->programs[program], summed, frame, context, ret_verdict);
        fd = open_prepared(bench->programs[program], context, &array);
        if (fd < 0)
                return fd;
        allowed = *context;
        allowed.tc_index = allowed.vlan_present = allowed.vlan_tci = allowed.vlan_proto = 0;
        r = run(fd, summed, frame, &allowed, ret_verdict);
        *context = allowed;
        close(fd);
        close(array);
        return r;
}

int bench_run_early(const struct bench *bench, struct frame *frame, __u32 *ret_verdict) {
        struct frame out = *frame;
        LIBBPF_OPTS(bpf_test_run_opts, options,
                    .data_in = frame->data,
                    .data_size_in = (__u32) frame->length,
                    .data_out = out.data,
                    .data_size_out = sizeof(out.data),
                    .repeat = 1);
        int r = bpf_prog_test_run_opts(bench->early, &options);

        if (r < 0)
                return r;
        out.length = options.data_size_out;
        *frame = out;
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

static int on_told(void *userdata, void *data, size_t size) {
        memcpy(userdata, data, size);
        return 0;
}

int bench_told(const struct bench *bench, enum bench_ring ring, void *ret) {
        struct ring_buffer *reader = ring_buffer__new(bench->rings[ring], on_told, ret, NULL);
        int count;

        if (!reader)
                return -errno;
        count = ring_buffer__consume(reader);
        ring_buffer__free(reader);
        return count < 0 ? count : count == 0 ? -ENOENT : 0;
}
