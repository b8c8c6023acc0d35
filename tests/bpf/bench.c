/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is the same for the programs in the kernel and on the host, see bench.h.
 *
 * Room: the functions of bench.h.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define SILENCE_NS (12 * 1000000000ULL)

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

        return bench_map_update(bench->links, &ifindex, link);
}

int bench_remove_link(const struct bench *bench) {
        __u32 ifindex = BENCH_IFINDEX;

        return bench_map_delete(bench->links, &ifindex);
}

int bench_set_slot(const struct bench *bench, const struct underpass_slot *slot) {
        __u32 index = BENCH_SLOT;

        return bench_map_update(bench->slots, &index, slot);
}

int bench_set_segment(const struct bench *bench, __u32 ifindex) {
        struct underpass_slot slot = { .ifindex = BENCH_IFINDEX, .device_ifindex = ifindex };

        return bench_set_slot(bench, &slot);
}

__u64 bench_clock(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        return (__u64) now.tv_sec * 1000000000 + (__u64) now.tv_nsec;
}

__u32 bench_seconds_ago(__u32 seconds) {
        __u32 second = (__u32) (bench_now() / 1000000000) - seconds;

        return second != 0 ? second : 1;
}

/* Large enough for the key of any map. */
union any_key {
        struct underpass_flow_key flow;
        struct underpass_destination_key destination;
        struct underpass_socket_key socket;
};

static void empty(int map) {
        union any_key key;

        while (bench_map_next(map, NULL, &key) == 0 && bench_map_delete(map, &key) == 0)
                ;
}

int bench_reset(const struct bench *bench) {
        static const struct underpass_counters zero[BENCH_CPUS_MAX];
        const __u32 slots[] = { 0, BENCH_SLOT }, no_sockets = UNDERPASS_SOCKET_WORDS;
        const __u64 nothing = 0;
        struct underpass_link link;
        int r;

        empty(bench->flows);
        empty(bench->half_open);
        empty(bench->destinations);
        empty(bench->sources);
        empty(bench->sockets);
        r = bench_map_update(bench->socket_ports, &no_sockets, &nothing);
        if (r < 0)
                return r;
        for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
                r = bench_map_update(bench->counters, &slots[i], zero);
                if (r < 0)
                        return r;
        }
        bench_default_link(&link);
        r = bench_set_link(bench, &link);
        return r < 0 ? r : bench_set_segment(bench, BENCH_SEGMENT_IFINDEX);
}

int bench_guard(const struct bench *bench, const struct underpass_socket_key *key) {
        const __u16 port = ntohs(key->flow.local_port);
        const __u32 all = UNDERPASS_SOCKET_WORDS, index = port / 64, zero = 0;
        const __u64 one = 1, word = 1ULL << port % 64;
        int r = bench_map_update(bench->sockets, key, &zero);

        if (r == 0)
                r = bench_map_update(bench->socket_ports, &index, &word);
        return r == 0 ? bench_map_update(bench->socket_ports, &all, &one) : r;
}

int bench_serve(const struct bench *bench, __u32 ifindex, bool ipv6, __u16 port) {
        struct underpass_socket_key key = { .ifindex = ifindex, .flow.local_port = htons(port) };

        if (!ipv6)
                key.flow.local[2] = key.flow.remote[2] = htonl(0xffff);
        return bench_guard(bench, &key);
}

int bench_segment_context(const struct bench *bench, __u32 priority, struct __sk_buff *ret) {
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
        return bench_map_update(map, key, flow);
}

int bench_get_flow(int map, const struct underpass_flow_key *key, struct underpass_flow *ret) {
        return bench_map_lookup(map, key, ret);
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
        while (bench_now() < SILENCE_NS)
                bench_wait(SILENCE_NS - bench_now());
        bench_tunnelled(ret);
        ret->opened_ns = ret->seen_ns = bench_now() - SILENCE_NS;
}

static struct underpass_destination_key verdict_key(const struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_destination_key key = { .ifindex = ifindex, .remote_port = flow->remote_port };

        memcpy(key.remote, flow->remote, sizeof(key.remote));
        return key;
}

int bench_put_destination(const struct bench *bench, const struct underpass_flow_key *key, __u32 ifindex,
                      const struct underpass_destination *destination) {
        struct underpass_destination_key of = verdict_key(key, ifindex);

        return bench_map_update(bench->destinations, &of, destination);
}

void bench_get_destination(const struct bench *bench, const struct underpass_flow_key *key, __u32 ifindex,
                       struct underpass_destination *ret) {
        struct underpass_destination_key of = verdict_key(key, ifindex);

        if (bench_map_lookup(bench->destinations, &of, ret) < 0)
                *ret = (struct underpass_destination) {};
}

unsigned bench_flows_count(int map) {
        struct underpass_flow_key key;
        unsigned count = 0;

        for (int r = bench_map_next(map, NULL, &key); r == 0;
             r = bench_map_next(map, &key, &key))
                count++;
        return count;
}

int bench_counters(const struct bench *bench, __u32 slot, struct underpass_counters *ret) {
        struct underpass_counters each[BENCH_CPUS_MAX];
        int r = bench_map_lookup(bench->counters, &slot, each);

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
