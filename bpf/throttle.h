/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Paths that limit UDP and nothing else: an operator's policer drops what is above its rate, so a tunnelled
 * connection is slow and much of it is sent again, for as long as it lasts. A connection that finds its rate
 * loses much for a second or so, and then little.
 *
 * Each second of a flow in which something was sent again is judged by the next such second. Nothing of this
 * costs a packet that is sent for the first time.
 */

#include "flow.h"

enum {
        THROTTLE_SECOND_SHIFT = 30,     /* nanoseconds >> this: 1.07 seconds */
        THROTTLE_RESENT_MIN = 16 * 1024, /* bytes sent again in a second; less is no stream */
        THROTTLE_SHARE = 25,            /* a bad second: one byte of so many was sent again */
        THROTTLE_BAD_SECONDS = 3,       /* one after the other */
};

/* Whether a segment of ours, which ends before the sequence number "end", has been sent before. Before
 * flow_sent(). */
UNDERPASS_INLINE int throttle_is_sent_again(const struct underpass_flow *flow, const struct packet *packet,
                                            __u32 end) {
        return flow->state == UNDERPASS_FLOW_TUNNELLED && (__s32) (end - flow->next) <= 0 &&
               end != UNDERPASS_NET32(packet->header.tcp.sequence);
}

/* A segment of ours of so many bytes is sent again. 1: for the third second in a row much was. */
UNDERPASS_GLOBAL int throttle_sent_again(struct underpass_flow *flow, __u32 bytes) {
        __u16 second = (__u16) (bpf_ktime_get_coarse_ns() >> THROTTLE_SECOND_SHIFT);
        __u32 progress;
        int bad;

        if (!flow)
                return 0;
        if (flow->resent_second == second) {
                flow->resent_bytes += bytes;
                return 0;
        }
        progress = flow->next - flow->resent_next;
        bad = (__u16) (flow->resent_second + 1) == second && flow->resent_bytes >= THROTTLE_RESENT_MIN &&
              flow->resent_bytes > progress / THROTTLE_SHARE;
        flow->resent_second = second;
        flow->resent_bytes = bytes;
        flow->resent_next = flow->next;
        flow->bad_seconds = bad ? (__u8) (flow->bad_seconds + 1) : 0;
        if (flow->bad_seconds < THROTTLE_BAD_SECONDS)
                return 0;
        flow->bad_seconds = 0;
        return 1;
}

/*
 * UDP to the destination of a packet of ours is limited. An on-demand link has the tunnel only because MPTCP
 * got lost some time ago: its next connection looks whether that is still so.
 */
UNDERPASS_GLOBAL int throttle_note(struct packet *packet, __u32 ifindex) {
        struct underpass_destination *destination;
        struct underpass_flow_key key = {};

        if (!packet)
                return 0;
        flow_key_outgoing(packet, &key);
        destination = destination_make(&key, ifindex);
        if (!destination)
                return 0;
        if (destination->throttled_until_ns < bpf_ktime_get_coarse_ns())
                destination->stripped_until_ns = 0;
        destination->throttled_until_ns = destination_until(UNDERPASS_THROTTLED_SECONDS);
        return 0;
}
