/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What is known about the way to a destination: does UDP get there, do MPTCP options. Kept for each link and
 * remembered for a while, then found out anew.
 *
 * Global functions: see packet.h.
 */

#include "maps.h"

#define NANOSECONDS 1000000000ULL
#define MILLISECONDS 1000000ULL

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

UNDERPASS_INLINE struct underpass_verdict *verdict_find(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict_key key = {};

        verdict_key(flow, ifindex, &key);
        return bpf_map_lookup_elem(&verdicts, &key);
}

/* The record of a destination, made if there is none. 0: the map is out of memory. */
UNDERPASS_INLINE struct underpass_verdict *verdict_make(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict_key key = {};
        struct underpass_verdict fresh = {}, *verdict;

        verdict_key(flow, ifindex, &key);
        verdict = bpf_map_lookup_elem(&verdicts, &key);
        if (verdict)
                return verdict;
        bpf_map_update_elem(&verdicts, &key, &fresh, BPF_NOEXIST);
        return bpf_map_lookup_elem(&verdicts, &key);
}

UNDERPASS_INLINE __u64 verdict_until(__u32 seconds) {
        return bpf_ktime_get_coarse_ns() + seconds * NANOSECONDS;
}

/* UDP does not get there, or gets no answer. */
UNDERPASS_GLOBAL int verdict_block(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict *verdict = flow ? verdict_make(flow, ifindex) : 0;

        if (verdict)
                verdict->blocked_until_ns = verdict_until(UNDERPASS_BLOCKED_SECONDS);
        return 0;
}

/* MPTCP options do not get there, or not back. */
UNDERPASS_GLOBAL int verdict_strip(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict *verdict = flow ? verdict_make(flow, ifindex) : 0;

        if (verdict)
                verdict->stripped_until_ns = verdict_until(UNDERPASS_STRIPPED_SECONDS);
        return 0;
}

/* ICMP says how large packets may be on the way. */
UNDERPASS_GLOBAL int verdict_learn_mtu(struct underpass_flow_key *flow, __u32 ifindex, __u32 mtu) {
        struct underpass_verdict *verdict = flow ? verdict_make(flow, ifindex) : 0;

        if (verdict) {
                verdict->mtu = mtu;
                verdict->mtu_until_ns = verdict_until(UNDERPASS_PATH_MTU_SECONDS);
        }
        return 0;
}

/* The path MTU, 0: none was told of. */
UNDERPASS_GLOBAL int verdict_mtu(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict *verdict = flow ? verdict_find(flow, ifindex) : 0;

        return verdict && verdict->mtu_until_ns > bpf_ktime_get_coarse_ns() ? (int) verdict->mtu : 0;
}

/* A handshake over UDP has been completed. */
UNDERPASS_GLOBAL int verdict_open(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict *verdict = flow ? verdict_find(flow, ifindex) : 0;

        if (verdict)
                verdict->blocked_until_ns = 0;
        return 0;
}

UNDERPASS_GLOBAL int verdict_is_blocked(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict *verdict = flow ? verdict_find(flow, ifindex) : 0;

        return verdict && verdict->blocked_until_ns > bpf_ktime_get_coarse_ns();
}

UNDERPASS_GLOBAL int verdict_is_stripped(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_verdict *verdict = flow ? verdict_find(flow, ifindex) : 0;

        return verdict && verdict->stripped_until_ns > bpf_ktime_get_coarse_ns();
}
