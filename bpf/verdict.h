/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What is known about the way to a destination: does UDP get there, do MPTCP options. Kept for each link and
 * remembered for a while, then found out anew.
 *
 * Room: BPF only; one map, no packets. Global functions: see packet.h.
 */

#include "maps.h"

#define NANOSECONDS 1000000000ULL

/* Returns 0. */
UNDERPASS_GLOBAL int verdict_key(struct underpass_flow_key *flow, __u32 ifindex,
                                 struct underpass_verdict_key *key) {
        if (!flow || !key)
                return 0;
        key->ifindex = ifindex;
        __builtin_memcpy(key->remote, flow->remote, sizeof(key->remote));
        key->remote_port = flow->remote_port;
        return 0;
}

/* UDP does not get there, or gets no answer. */
UNDERPASS_GLOBAL int verdict_block(struct underpass_flow_key *flow, __u32 ifindex) {
        __u64 until = bpf_ktime_get_coarse_ns() + UNDERPASS_BLOCKED_SECONDS * NANOSECONDS;
        struct underpass_verdict fresh = { .blocked_until_ns = until }, *verdict;
        struct underpass_verdict_key key = {};

        if (!flow)
                return 0;
        verdict_key(flow, ifindex, &key);
        verdict = bpf_map_lookup_elem(&verdicts, &key);
        if (verdict)
                verdict->blocked_until_ns = until;
        else
                bpf_map_update_elem(&verdicts, &key, &fresh, BPF_ANY);
        return 0;
}

/* MPTCP options do not get there, or not back. */
UNDERPASS_GLOBAL int verdict_strip(struct underpass_flow_key *flow, __u32 ifindex) {
        __u64 until = bpf_ktime_get_coarse_ns() + UNDERPASS_STRIPPED_SECONDS * NANOSECONDS;
        struct underpass_verdict fresh = { .stripped_until_ns = until }, *verdict;
        struct underpass_verdict_key key = {};

        if (!flow)
                return 0;
        verdict_key(flow, ifindex, &key);
        verdict = bpf_map_lookup_elem(&verdicts, &key);
        if (verdict)
                verdict->stripped_until_ns = until;
        else
                bpf_map_update_elem(&verdicts, &key, &fresh, BPF_ANY);
        return 0;
}

/* ICMP says how large packets may be on the way. */
UNDERPASS_GLOBAL int verdict_learn_mtu(struct underpass_flow_key *flow, __u32 ifindex, __u32 mtu) {
        __u64 until = bpf_ktime_get_coarse_ns() + UNDERPASS_PATH_MTU_SECONDS * NANOSECONDS;
        struct underpass_verdict fresh = { .mtu_until_ns = until, .mtu = mtu }, *verdict;
        struct underpass_verdict_key key = {};

        if (!flow)
                return 0;
        verdict_key(flow, ifindex, &key);
        verdict = bpf_map_lookup_elem(&verdicts, &key);
        if (verdict) {
                verdict->mtu = mtu;
                verdict->mtu_until_ns = until;
        } else
                bpf_map_update_elem(&verdicts, &key, &fresh, BPF_ANY);
        return 0;
}

/* The path MTU, 0: none was told of. */
UNDERPASS_GLOBAL int verdict_mtu(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict_key key = {};
        struct underpass_verdict *verdict;

        if (!flow)
                return 0;
        verdict_key(flow, ifindex, &key);
        verdict = bpf_map_lookup_elem(&verdicts, &key);
        return verdict && verdict->mtu_until_ns > bpf_ktime_get_coarse_ns() ? (int) verdict->mtu : 0;
}

/* A handshake over UDP has been completed. */
UNDERPASS_GLOBAL int verdict_open(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict_key key = {};
        struct underpass_verdict *verdict;

        if (!flow)
                return 0;
        verdict_key(flow, ifindex, &key);
        verdict = bpf_map_lookup_elem(&verdicts, &key);
        if (verdict)
                verdict->blocked_until_ns = 0;
        return 0;
}

UNDERPASS_GLOBAL int verdict_is_blocked(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict_key key = {};
        struct underpass_verdict *verdict;

        if (!flow)
                return 0;
        verdict_key(flow, ifindex, &key);
        verdict = bpf_map_lookup_elem(&verdicts, &key);
        return verdict && verdict->blocked_until_ns > bpf_ktime_get_coarse_ns();
}

UNDERPASS_GLOBAL int verdict_is_stripped(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict_key key = {};
        struct underpass_verdict *verdict;

        if (!flow)
                return 0;
        verdict_key(flow, ifindex, &key);
        verdict = bpf_map_lookup_elem(&verdicts, &key);
        return verdict && verdict->stripped_until_ns > bpf_ktime_get_coarse_ns();
}
