/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The loaded programs under test, see bench.h.
 *
 * Room: libbpf and the skeleton.
 */

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bench.h"
#include "underpass.skel.h"

enum {
        /* BPF_F_TEST_SKB_CHECKSUM_COMPLETE, which older headers do not have. */
        TEST_SUMMED = 1U << 2,
        CPUS_MAX = 1024,
};

#define SILENCE_NS (12 * 1000000000ULL)

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
        if (cpus < 0 || cpus > CPUS_MAX) {
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
                .hop = bpf_map__fd(object->maps.hop),
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

void bench_default_link(struct underpass_link *ret) {
        *ret = (struct underpass_link) {
                .slot = BENCH_SLOT,
                .flags = UNDERPASS_LINK_MPTCP_ONLY,
                .remote_ports_count = 2,
                .local_ports_count = 2,
                .remote_ports = { { 443, 443 }, { 8000, 8100 } },
                .local_ports = { { 443, 443 }, { 5000, 5010 } },
        };
}

int bench_set_link(const struct bench *bench, const struct underpass_link *link) {
        __u32 ifindex = BENCH_IFINDEX;

        return bpf_map_update_elem(bench->links, &ifindex, link, BPF_ANY);
}

int bench_remove_link(const struct bench *bench) {
        __u32 ifindex = BENCH_IFINDEX;

        return bpf_map_delete_elem(bench->links, &ifindex);
}

int bench_set_hop(const struct bench *bench, __u32 ifindex) {
        struct underpass_hop hop = { .ifindex = ifindex };
        __u32 zero = 0;

        return bpf_map_update_elem(bench->hop, &zero, &hop, BPF_ANY);
}

__u64 bench_now(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (__u64) now.tv_sec * 1000000000 + (__u64) now.tv_nsec;
}

/* Large enough for the key of any map. */
union any_key {
        struct underpass_flow_key flow;
        struct underpass_verdict_key verdict;
};

static void empty(int map) {
        union any_key key;

        while (bpf_map_get_next_key(map, NULL, &key) == 0 && bpf_map_delete_elem(map, &key) == 0)
                ;
}

int bench_reset(const struct bench *bench) {
        static const struct underpass_counters zero[CPUS_MAX];
        const __u32 slots[] = { 0, BENCH_SLOT };
        struct underpass_link link;
        int r;

        empty(bench->flows);
        empty(bench->tries);
        empty(bench->verdicts);
        for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
                r = bpf_map_update_elem(bench->counters, &slots[i], zero, BPF_ANY);
                if (r < 0)
                        return r;
        }
        bench_default_link(&link);
        r = bench_set_link(bench, &link);
        return r < 0 ? r : bench_set_hop(bench, BENCH_HOP_IFINDEX);
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

int bench_hop_context(const struct bench *bench, __u32 priority, struct __sk_buff *ret) {
        struct frame_spec spec = { .flags = FRAME_SYN, .options = FRAME_OPTIONS_MPTCP };
        struct __sk_buff context = { .priority = priority };
        struct frame frame;
        __u32 verdict;
        int r;

        frame_build(&spec, &frame);
        r = bench_reset(bench);
        if (r == 0)
                r = bench_run(bench, BENCH_EGRESS, false, &frame, &context, &verdict);
        if (r < 0)
                return r;
        if (verdict != BENCH_REDIRECT)
                return -EPROTO;
        *ret = (struct __sk_buff) {};
        memcpy(ret->cb, context.cb, sizeof(ret->cb));
        return bench_reset(bench);
}

void bench_flow_key(const struct frame *frame, bool outgoing, struct underpass_flow_key *ret) {
        const uint8_t *ip = frame->data + frame->layer3, *ports = frame->data + frame->layer4;
        uint8_t addresses[2][16] = { { [10] = 0xff, 0xff }, { [10] = 0xff, 0xff } };

        if (ip[0] >> 4 == 6)
                memcpy(addresses, ip + 8, sizeof(addresses));
        else {
                memcpy(addresses[0] + 12, ip + 12, 4);
                memcpy(addresses[1] + 12, ip + 16, 4);
        }
        memcpy(ret->local, addresses[outgoing ? 0 : 1], 16);
        memcpy(ret->remote, addresses[outgoing ? 1 : 0], 16);
        memcpy(&ret->local_port, ports + (outgoing ? 0 : 2), 2);
        memcpy(&ret->remote_port, ports + (outgoing ? 2 : 0), 2);
}

int bench_put_flow(int map, const struct underpass_flow_key *key, const struct underpass_flow *flow) {
        return bpf_map_update_elem(map, key, flow, BPF_ANY);
}

int bench_get_flow(int map, const struct underpass_flow_key *key, struct underpass_flow *ret) {
        return bpf_map_lookup_elem(map, key, ret);
}

void bench_tunnelled(struct underpass_flow *ret) {
        *ret = (struct underpass_flow) {
                .opened_ns = bench_now(),
                .seen_ns = bench_now(),
                .state = UNDERPASS_FLOW_TUNNELLED,
                .slot = BENCH_SLOT,
                .ifindex = BENCH_IFINDEX,
        };
}

/* On a machine that has just been started, nothing can be so long ago yet. */
void bench_silent(struct underpass_flow *ret) {
        const struct timespec moment = { .tv_nsec = 50000000 };

        while (bench_now() < SILENCE_NS)
                nanosleep(&moment, NULL);
        bench_tunnelled(ret);
        ret->opened_ns = ret->seen_ns = bench_now() - SILENCE_NS;
}

static struct underpass_verdict_key verdict_key(const struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict_key key = { .ifindex = ifindex, .remote_port = flow->remote_port };

        memcpy(key.remote, flow->remote, sizeof(key.remote));
        return key;
}

int bench_put_verdict(const struct bench *bench, const struct underpass_flow_key *key, __u32 ifindex,
                      const struct underpass_verdict *verdict) {
        struct underpass_verdict_key of = verdict_key(key, ifindex);

        return bpf_map_update_elem(bench->verdicts, &of, verdict, BPF_ANY);
}

void bench_get_verdict(const struct bench *bench, const struct underpass_flow_key *key, __u32 ifindex,
                       struct underpass_verdict *ret) {
        struct underpass_verdict_key of = verdict_key(key, ifindex);

        if (bpf_map_lookup_elem(bench->verdicts, &of, ret) < 0)
                *ret = (struct underpass_verdict) {};
}

unsigned bench_flows_count(int map) {
        struct underpass_flow_key key;
        unsigned count = 0;

        for (int r = bpf_map_get_next_key(map, NULL, &key); r == 0;
             r = bpf_map_get_next_key(map, &key, &key))
                count++;
        return count;
}

int bench_counters(const struct bench *bench, __u32 slot, struct underpass_counters *ret) {
        struct underpass_counters each[CPUS_MAX];
        int r = bpf_map_lookup_elem(bench->counters, &slot, each);

        if (r < 0)
                return r;
        *ret = (struct underpass_counters) {};
        for (int cpu = 0; cpu < bench->cpus; cpu++)
                for (int i = 0; i < UNDERPASS_COUNTER_COUNT; i++)
                        ret->value[i] += each[cpu].value[i];
        return 0;
}

bool bench_counted(const struct bench *bench, const struct bench_count expected[BENCH_COUNTS_MAX]) {
        struct underpass_counters counters[2], wanted[2] = {};
        bool same = true;

        EXPECT(bench_counters(bench, BENCH_SLOT, &counters[0]) == 0);
        EXPECT(bench_counters(bench, 0, &counters[1]) == 0);
        for (size_t i = 0; i < BENCH_COUNTS_MAX; i++)
                wanted[expected[i].anywhere].value[expected[i].counter] += expected[i].count;
        for (int i = 0; i < 2 * UNDERPASS_COUNTER_COUNT; i++) {
                int which = i / UNDERPASS_COUNTER_COUNT, counter = i % UNDERPASS_COUNTER_COUNT;

                if (counters[which].value[counter] == wanted[which].value[counter])
                        continue;
                fprintf(stderr, "counter %d of slot %d is %llu, not %llu\n", counter, which ? 0 : BENCH_SLOT,
                        counters[which].value[counter], wanted[which].value[counter]);
                same = false;
        }
        return same;
}
