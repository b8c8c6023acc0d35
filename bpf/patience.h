/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How long a SYN waits for its answer. The kernel waits a second, whatever the path, and where UDP does not
 * get there, fallback-after SYNs have to go unanswered first. Where the round trips of a path are known to
 * be short, the wait is three of them. But a path must never lose its tunnel for want of patience: so the
 * longest round trip of late counts, and a destination that was reached over UDP keeps its second. So does
 * the first connection of a link, of which nothing is known: a satellite that assigns capacity on demand, or
 * a modem that wakes from its sleep, takes more than the 900 ms that two waits of the least length are.
 *
 * Global functions: see packet.h.
 */

#include "flow.h"

enum {
        PATIENCE_ROUND_TRIPS = 3,
        PATIENCE_MIN_US = 250000,      /* where the destination has been measured */
        PATIENCE_SILENT_MIN_US = 200000, /* … and UDP has only met silence: as short as any timeout of TCP */
        PATIENCE_LINK_MIN_US = 450000, /* where only the link has: two SYNs cover a satellite to anywhere */
        PATIENCE_KERNEL_US = 1000000,  /* RFC 6298: what the kernel waits */
        PATIENCE_PROVEN_SECONDS = 3600, /* so long a success over UDP counts */
};

/* The longest round trip counts; each shorter one takes an eighth of the difference off. */
UNDERPASS_INLINE void patience_note(__u32 *rtt_us, __u32 now_us) {
        *rtt_us = now_us > *rtt_us ? now_us : *rtt_us - (*rtt_us - now_us) / 8;
}

/* A connection of this host has been established, after this round trip. */
UNDERPASS_GLOBAL int patience_learn(struct underpass_flow_key *flow, __u32 rtt_us) {
        struct underpass_source *source = flow ? destination_find_source(flow) : 0;
        struct underpass_destination *destination;

        if (!source || rtt_us == 0)
                return 0;
        patience_note(&source->rtt_us, rtt_us);
        destination = destination_find(flow, source->via);
        if (destination)
                patience_note(&destination->rtt_us, rtt_us);
        return 0;
}

/* Whether UDP has got there of late, and not failed since. */
UNDERPASS_INLINE int patience_is_proven(const struct underpass_destination *destination) {
        return destination->opened && destination_now() - destination->opened < PATIENCE_PROVEN_SECONDS &&
               !destination->blocks[UNDERPASS_BLOCK_SILENCE].failed_ns &&
               !destination->blocks[UNDERPASS_BLOCK_REFUSED].failed_ns &&
               !destination->blocks[UNDERPASS_BLOCK_FILTERED].failed_ns &&
               !destination->blocks[UNDERPASS_BLOCK_SILENCE].pause &&
               !destination->blocks[UNDERPASS_BLOCK_REFUSED].pause &&
               !destination->blocks[UNDERPASS_BLOCK_FILTERED].pause;
}

/* Whether UDP has never got there, as far as is known, and has been tried. */
UNDERPASS_INLINE int patience_is_doubted(const struct underpass_destination *destination) {
        return !destination->opened && (destination->blocks[UNDERPASS_BLOCK_SILENCE].failed_ns ||
                                        destination->blocks[UNDERPASS_BLOCK_SILENCE].pause);
}

/* Whether the link would send a SYN of this mark over UDP, and then a plain one. */
UNDERPASS_INLINE int patience_is_tried(const struct underpass_link *link, struct underpass_flow_key *flow,
                                       __u32 ifindex, __u32 mark) {
        if (!(link->flags & UNDERPASS_LINK_FALLBACK) ||
            ((link->flags & UNDERPASS_LINK_FWMARK) && (mark & link->mark_mask) != link->mark) ||
            !ports_contain(link->remote_ports, UNDERPASS_NET16(flow->remote_port)) ||
            !addresses_contain(link, flow->remote) || destination_is_blocked(flow, ifindex))
                return 0;
        return !(link->flags & UNDERPASS_LINK_ON_DEMAND) || destination_is_stripped(flow, ifindex);
}

/* Microseconds that the first SYN of a socket waits before it goes again; 0: as the kernel does. */
UNDERPASS_GLOBAL int patience_of(struct underpass_flow_key *flow, __u32 mark) {
        struct underpass_source *source = flow ? destination_find_source(flow) : 0;
        struct underpass_destination *destination;
        __u32 wait_us, least_us = PATIENCE_LINK_MIN_US, ifindex;
        struct underpass_link *link;

        if (!source)
                return 0;
        ifindex = source->via;
        wait_us = source->rtt_us;
        link = bpf_map_lookup_elem(&links, &ifindex);
        if (!link || !patience_is_tried(link, flow, ifindex, mark))
                return 0;
        destination = destination_find(flow, ifindex);
        if (destination && patience_is_proven(destination))
                return 0;
        if (destination && destination->rtt_us) {
                wait_us = destination->rtt_us;
                least_us = patience_is_doubted(destination) ? PATIENCE_SILENT_MIN_US : PATIENCE_MIN_US;
        }
        if (wait_us == 0 || wait_us >= PATIENCE_KERNEL_US / PATIENCE_ROUND_TRIPS)
                return 0;
        wait_us *= PATIENCE_ROUND_TRIPS;
        return (int) (wait_us > least_us ? wait_us : least_us);
}
