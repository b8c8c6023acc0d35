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
UNDERPASS_GLOBAL int destination_key(struct underpass_flow_key *flow, __u32 ifindex,
                                 struct underpass_destination_key *key) {
        if (!flow || !key)
                return 0;
        key->ifindex = ifindex;
        __builtin_memcpy(key->remote, flow->remote, sizeof(key->remote));
        key->remote_port = flow->remote_port;
        return 0;
}

UNDERPASS_INLINE struct underpass_destination *destination_find(struct underpass_flow_key *flow,
                                                                __u32 ifindex) {
        struct underpass_destination_key key = {};

        destination_key(flow, ifindex, &key);
        return bpf_map_lookup_elem(&destinations, &key);
}

/* The record of a destination, made if there is none. 0: the map is out of memory. */
UNDERPASS_INLINE struct underpass_destination *destination_make(struct underpass_flow_key *flow,
                                                                __u32 ifindex) {
        struct underpass_destination_key key = {};
        struct underpass_destination fresh = {}, *destination;

        destination_key(flow, ifindex, &key);
        destination = bpf_map_lookup_elem(&destinations, &key);
        if (destination)
                return destination;
        bpf_map_update_elem(&destinations, &key, &fresh, BPF_NOEXIST);
        return bpf_map_lookup_elem(&destinations, &key);
}

/* The key of our address. Returns 0. */
UNDERPASS_GLOBAL int destination_key_source(struct underpass_flow_key *flow,
                                            struct underpass_source_key *key) {
        if (!flow || !key)
                return 0;
        __builtin_memcpy(key->local, flow->local, sizeof(key->local));
        return 0;
}

/* What is known of our address of a flow; 0: nothing. */
UNDERPASS_INLINE struct underpass_source *destination_find_source(struct underpass_flow_key *flow) {
        struct underpass_source_key key = {};

        destination_key_source(flow, &key);
        return bpf_map_lookup_elem(&sources, &key);
}

/* A socket of this host sends by this link. */
UNDERPASS_GLOBAL int destination_note_source(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_source fresh = { .via = ifindex }, *source;
        struct underpass_source_key key = {};

        if (!flow)
                return 0;
        destination_key_source(flow, &key);
        source = bpf_map_lookup_elem(&sources, &key);
        if (!source || source->via != ifindex)
                bpf_map_update_elem(&sources, &key, &fresh, BPF_ANY);
        return 0;
}

UNDERPASS_INLINE __u32 destination_now(void) {
        return (__u32) (bpf_ktime_get_coarse_ns() / NANOSECONDS);
}

UNDERPASS_INLINE __u64 destination_until(__u32 seconds) {
        return bpf_ktime_get_coarse_ns() + seconds * NANOSECONDS;
}

/*
 * Notes that a connection from this port has failed. 1: so has another one before, and the two have nothing
 * to do with each other: other ports, some time between them.
 */
UNDERPASS_INLINE int destination_failed_again(__u64 *failed_ns, __u16 *failed_port, __u16 port) {
        __u64 now = bpf_ktime_get_coarse_ns(), ago = now - *failed_ns;

        if (*failed_ns == 0 || ago > UNDERPASS_BLOCKED_SECONDS_MAX * NANOSECONDS) {
                *failed_ns = now;
                *failed_port = port;
                return 0;
        }
        if (*failed_port == port || ago < UNDERPASS_FAILURES_APART_MS * MILLISECONDS)
                return 0;
        *failed_ns = 0;
        return 1;
}

/*
 * A connection from this port has failed for the reason of the block. The first pause takes two of them, for
 * anybody can have one of his own fail. After that, each one that fails doubles the pause.
 */
UNDERPASS_GLOBAL int destination_block(struct underpass_block *block, __u16 port) {
        __u32 now = destination_now(), pause = UNDERPASS_BLOCKED_SECONDS;

        if (!block || block->until > now)
                return 0;
        if (block->pause && now - block->until < UNDERPASS_BLOCKED_SECONDS_MAX) {
                pause = 2 * (__u32) block->pause;
                if (pause > UNDERPASS_BLOCKED_SECONDS_MAX)
                        pause = UNDERPASS_BLOCKED_SECONDS_MAX;
        } else if (!destination_failed_again(&block->failed_ns, &block->failed_port, port)) {
                return 0;
        }
        block->pause = (__u16) pause;
        block->until = now + pause;
        return 0;
}

/* A connection got no answer over UDP, or a refusal, and then one as plain TCP. */
UNDERPASS_GLOBAL int destination_failed(struct underpass_flow_key *flow, __u32 ifindex, __u32 reason) {
        struct underpass_destination *destination = flow ? destination_make(flow, ifindex) : 0;

        if (!destination)
                return 0;
        /* The statements keep the compiler from making one call of these, with a place that varies. */
        if (reason == UNDERPASS_BLOCK_REFUSED) {
                destination_block(&destination->blocks[UNDERPASS_BLOCK_REFUSED], flow->local_port);
                asm volatile("" : : "i"(UNDERPASS_BLOCK_REFUSED));
        } else if (reason == UNDERPASS_BLOCK_FILTERED) {
                destination_block(&destination->blocks[UNDERPASS_BLOCK_FILTERED], flow->local_port);
                asm volatile("" : : "i"(UNDERPASS_BLOCK_FILTERED));
        } else {
                destination_block(&destination->blocks[UNDERPASS_BLOCK_SILENCE], flow->local_port);
                asm volatile("" : : "i"(UNDERPASS_BLOCK_SILENCE));
        }
        return 0;
}

/* MPTCP options do not get there, or not back. join: they were MP_JOIN. */
UNDERPASS_GLOBAL int destination_strip(struct underpass_flow_key *flow, __u32 ifindex, __u32 join) {
        struct underpass_destination *destination = flow ? destination_make(flow, ifindex) : 0;

        if (destination) {
                destination->stripped_until_ns = destination_until(UNDERPASS_STRIPPED_SECONDS);
                destination->stripped_join = join != 0;
        }
        return 0;
}

/* A connection got no answer as plain TCP with MPTCP options, and then one over UDP. Two of them say that
 * such SYNs do not get there. */
UNDERPASS_GLOBAL int destination_swallowed(struct underpass_flow_key *flow, __u32 ifindex, __u32 join) {
        struct underpass_destination *destination = flow ? destination_make(flow, ifindex) : 0;

        if (!destination)
                return 0;
        destination->stripped_join = join != 0;
        if (destination_failed_again(&destination->swallowed_ns, &destination->swallowed_port,
                                     flow->local_port))
                destination->stripped_until_ns = destination_until(UNDERPASS_STRIPPED_SECONDS);
        return 0;
}

/* MPTCP options got there and back. That others pass says nothing of MP_JOIN. */
UNDERPASS_GLOBAL int destination_whole(struct underpass_flow_key *flow, __u32 ifindex, __u32 join) {
        struct underpass_destination *destination = flow ? destination_find(flow, ifindex) : 0;

        if (destination && (join || !destination->stripped_join)) {
                destination->stripped_until_ns = 0;
                destination->swallowed_ns = 0;
        }
        if (destination)
                destination->lacking_until_ns = 0;
        return 0;
}

/* The server has answered with an MPTCP option: so it has MPTCP, by whichever link it is asked. */
UNDERPASS_GLOBAL int destination_spoke(struct underpass_flow_key *flow) {
        struct underpass_destination *destination = flow ? destination_make(flow, 0) : 0;

        if (destination)
                destination->spoken_until_ns = destination_until(UNDERPASS_SPOKEN_SECONDS);
        return 0;
}

UNDERPASS_GLOBAL int destination_speaks(struct underpass_flow_key *flow) {
        struct underpass_destination *destination = flow ? destination_find(flow, 0) : 0;

        return destination && destination->spoken_until_ns > bpf_ktime_get_coarse_ns();
}

/* The server has answered without MPTCP option, and nothing says that one got lost. */
UNDERPASS_GLOBAL int destination_lacks(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_destination *destination = flow ? destination_make(flow, ifindex) : 0;

        if (destination)
                destination->lacking_until_ns = destination_until(UNDERPASS_LACKING_SECONDS);
        return 0;
}

/* So it has none, or the option got lost there as well as back: the service may find out. */
UNDERPASS_GLOBAL int destination_tell(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_destination_key key = {};

        if (!flow)
                return 0;
        destination_key(flow, ifindex, &key);
        bpf_ringbuf_output(&uncertain, &key, sizeof(key), 0);
        return 0;
}

/* Whether a server is taken to have no MPTCP. Once it is known to have it, the answer was not its own. */
UNDERPASS_GLOBAL int destination_is_lacking(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_destination *destination = flow ? destination_find(flow, ifindex) : 0;

        if (!destination || destination->lacking_until_ns <= bpf_ktime_get_coarse_ns())
                return 0;
        return !destination_speaks(flow);
}

/* ICMP says how large packets may be on the way. */
UNDERPASS_GLOBAL int destination_learn_mtu(struct underpass_flow_key *flow, __u32 ifindex, __u32 mtu) {
        struct underpass_destination *destination = flow ? destination_make(flow, ifindex) : 0;

        if (destination) {
                destination->mtu = mtu;
                destination->mtu_until_ns = destination_until(UNDERPASS_PATH_MTU_SECONDS);
        }
        return 0;
}

/* The path MTU, 0: none was told of. */
UNDERPASS_GLOBAL int destination_mtu(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_destination *destination = flow ? destination_find(flow, ifindex) : 0;

        return destination && destination->mtu_until_ns > bpf_ktime_get_coarse_ns() ?
                       (int) destination->mtu :
                       0;
}

/* A handshake over UDP has been completed: UDP gets there, whatever failed before. */
UNDERPASS_GLOBAL int destination_open(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_destination *destination = flow ? destination_make(flow, ifindex) : 0;

        if (!destination)
                return 0;
        __builtin_memset(destination->blocks, 0, sizeof(destination->blocks));
        destination->opened = destination_now();
        return 0;
}

UNDERPASS_GLOBAL int destination_is_blocked(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_destination *destination = flow ? destination_find(flow, ifindex) : 0;

        __u32 now = destination_now();

        return destination && (destination->blocks[UNDERPASS_BLOCK_SILENCE].until > now ||
                               destination->blocks[UNDERPASS_BLOCK_REFUSED].until > now ||
                               destination->blocks[UNDERPASS_BLOCK_FILTERED].until > now);
}

UNDERPASS_GLOBAL int destination_is_stripped(struct underpass_flow_key *flow, __u32 ifindex) {
        struct underpass_destination *destination = flow ? destination_find(flow, ifindex) : 0;

        return destination && destination->stripped_until_ns > bpf_ktime_get_coarse_ns();
}
