/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Links with receive=socket that open connections: the service is told of each flow of this host that bulk
 * comes for one by one, and makes a tunnel socket of the kernel for it. Short flows are not worth one. It is
 * told again after some time, as long as nothing merges them: it may have been too busy, or the port taken.
 */

#include "bulk.h"

enum { BULK_TELL_SHIFT = 30 }; /* nanoseconds → 1.07 seconds */

/* Never 0. */
UNDERPASS_INLINE __u16 bulk_tell_moment(__u64 now) {
        return (__u16) (now >> BULK_TELL_SHIFT | 1);
}

/* Whether datagrams of this flow are counted at this moment. slot_flags: of the link. */
UNDERPASS_INLINE int bulk_tell_counts(const struct underpass_flow *flow, __u32 slot_flags, __u64 now) {
        return (slot_flags & UNDERPASS_SLOT_TELLS) &&
               (flow->bulk_told == 0 ||
                (__u16) (bulk_tell_moment(now) - flow->bulk_told) >= UNDERPASS_BULK_TOLD_APART);
}

/*
 * One more that came alone, by this link. A flow that is forwarded, or that leaves by another link, gets no
 * socket; a server has its own. Returns 0.
 */
UNDERPASS_GLOBAL int bulk_tell(struct underpass_flow_key *of, struct underpass_flow *flow, __u32 ifindex) {
        if (!of || !flow)
                return 0;
        flow->bulk_single++;
        if (flow->bulk_single < UNDERPASS_BULK_SINGLES)
                return 0;
        flow->bulk_single = 0;
        flow->bulk_told = bulk_tell_moment(flow->seen_ns);
        if (flow->socket && (flow->flags & UNDERPASS_FLOW_OPENED_HERE) && flow->ifindex == ifindex)
                bpf_ringbuf_output(&unmerged, of, sizeof(*of), 0);
        return 0;
}
