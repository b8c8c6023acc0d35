/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The bulk form: which flows use it, and when.
 *
 *   classic form   IP | UDP and TCP header in one | data     a segment at a time, 0 bytes more
 *   bulk form      IP | UDP | inner IP | TCP | data          28 bytes more with IPv4, 48 with IPv6
 *
 * A datagram in the bulk form is a packet in a UDP tunnel (GUE variant 1), so a super-packet crosses the
 * link as one, and is cut behind everything, by the stack or by the card. The two sides agree on it for
 * each flow, in two bits of classic datagrams (rewrite.h). SYNs have none of it, so nothing differs for a
 * peer that does not know it.
 *
 *   offer      each classic datagram of an established flow says whether its sender takes the bulk form
 *   probe      before the first data, an acknowledgment goes in the bulk form: a way that swallows it costs
 *              nothing
 *   arrived    the peer says so, and goes on saying so while bulk arrives
 *   lost       twice in a row something had to be sent again, and nothing was heard of bulk that was on its
 *              way: then the flow is classic until a probe has arrived again
 *   given up   three probes in a row did not arrive: other flows to that host do not try, either
 *
 * What is sent again goes in the classic form, in which the handshake has come through. So do single
 * packets.
 */

#include "flow.h"

enum {
        BULK_SEGMENTS_MIN = 8,     /* of a super-packet: below, the segmentation device costs less */
        BULK_WINDOW_MS = 24,       /* in which a rate is measured, … */
        BULK_WINDOWS = 5,          /* … so often on end: a busy host acknowledges by fits and starts */
        BULK_ARRIVES_MS = 1000,    /* after the last one, a flow is classic again */
        BULK_WHOLE_UNIT_MS = 16,
        BULK_PROBES_MAX = 3,
        BULK_PROBES_APART_MS = 200, /* after the first one, then twice as long each time: satellites */
        BULK_LOSSES_MAX = 2,
        BULK_SETBACKS_MAX = 3,     /* probes arrive, bulk does not */
        BULK_LOSSES_APART_MS = 150, /* TCP waits at least 200 ms for an acknowledgment */
};

enum {
        BULK_IPV4_ROOM = IPV4_LENGTH + UDP_LENGTH, /* bytes that the outer headers take */
        BULK_IPV6_ROOM = IPV6_LENGTH + UDP_LENGTH,
};

enum bulk_decision {
        BULK_DECISION_CLASSIC,
        BULK_DECISION_PROBE, /* classic, and a probe goes before it */
        BULK_DECISION_BULK,
};

UNDERPASS_INLINE __u32 bulk_now_ms(void) {
        return (__u32) (bpf_ktime_get_coarse_ns() / MILLISECONDS);
}

/*
 * Whether a datagram may be bulk, by its first 20 bytes: where the classic form has a data offset, there
 * is an IP version. A classic header of 24 bytes looks like IPv6 there, but for a sequence number that has
 * the number of TCP in the right place by chance.
 */
UNDERPASS_INLINE int bulk_begins(const union underpass_header *header, __u8 ipv6) {
        if (!ipv6)
                return header->udp.offset == IPV4_USUAL;
        return header->udp.offset >> 4 == 6 &&
               ((UNDERPASS_NET32(header->udp.sequence) >> 8) & 0xff) == UNDERPASS_PROTOCOL_TCP;
}

/*
 * Puts an inner TCP header where the classic form has its own, so that the rest of the programs can read
 * it. Ports stay. Returns 0.
 */
UNDERPASS_GLOBAL int bulk_present(union underpass_header *header, union underpass_header *inner) {
        if (!header || !inner)
                return 0;
        header->udp.offset = inner->tcp.offset & (__u8) ~UNDERPASS_BULK_BITS;
        header->udp.flags = inner->tcp.flags;
        header->udp.window = inner->tcp.window;
        header->udp.sequence = inner->tcp.sequence;
        header->udp.acknowledgment = inner->tcp.acknowledgment;
        return 0;
}

/* Milliseconds since bulk has arrived. The odd one in which it did may be one ahead of the clock. */
UNDERPASS_INLINE __u32 bulk_arrived_ago(const struct underpass_flow *flow) {
        return bulk_now_ms() + 1 - flow->bulk_arrived_ms;
}

/* The bits that a classic datagram of ours has; slot_flags: of its link. */
UNDERPASS_INLINE __u32 bulk_bits(const struct underpass_flow *flow, __u32 slot_flags) {
        if (!(slot_flags & UNDERPASS_SLOT_BULK) || flow->state != UNDERPASS_FLOW_TUNNELLED)
                return 0;
        if (flow->bulk_arrived_ms == 0 || bulk_arrived_ago(flow) > UNDERPASS_BULK_ARRIVED_MS)
                return UNDERPASS_BULK_OFFER;
        return UNDERPASS_BULK_BITS;
}

/* The bits of a classic datagram of the peer, who has shown that it is the peer: flow_goes_on(). */
UNDERPASS_INLINE void bulk_hear(struct underpass_flow *flow, __u8 bits) {
        __u8 known = flow->bulk;

        if (bits & UNDERPASS_BULK_OFFER)
                known |= UNDERPASS_BULK_TAKEN;
        else
                known &= (__u8) ~UNDERPASS_BULK_TAKEN;
        if (bits & UNDERPASS_BULK_ARRIVED) {
                known |= UNDERPASS_BULK_PROVEN;
                known &= (__u8) ~UNDERPASS_BULK_UNHEARD;
                flow->bulk_losses = 0;
        }
        if (known != flow->bulk)
                flow->bulk = known;
}

/*
 * A datagram in the bulk form has arrived. now: of the coarse clock. acknowledgment: its own, host order;
 * only the peer knows what it can be, and only the peer's is told to the peer.
 */
UNDERPASS_INLINE void bulk_arrived(struct underpass_flow *flow, __u64 now, __u32 acknowledgment) {
        flow->seen_ns = now;
        if (underpass_answers(acknowledgment, flow->expected, flow->next))
                flow->bulk_arrived_ms = (__u32) (now / MILLISECONDS) | 1;
        flow->received++;
}

/* Whether the peer sends in the bulk form at present. */
UNDERPASS_INLINE int bulk_arrives(const struct underpass_flow *flow) {
        return flow->bulk_arrived_ms != 0 && bulk_arrived_ago(flow) < BULK_ARRIVES_MS;
}

/*
 * Whether bulk of the peer comes in large pieces: the GRO of the driver has merged it, or nobody has cut it.
 * Then what comes one by one goes on at once, too, so that nothing overtakes it.
 */
UNDERPASS_INLINE int bulk_comes_whole(const struct underpass_flow *flow) {
        __u16 ago;

        if (flow->bulk_whole == 0)
                return 0;
        ago = (__u16) ((bulk_now_ms() / BULK_WHOLE_UNIT_MS | 1) - flow->bulk_whole);
        return ago < BULK_ARRIVES_MS / BULK_WHOLE_UNIT_MS;
}

/* Measures the rate at which the peer acknowledges. */
UNDERPASS_INLINE void bulk_measure(struct underpass_flow *flow, __u32 now) {
        __u32 elapsed = now - flow->bulk_window_ms;
        __u64 acknowledged = flow->expected - flow->bulk_window_acknowledged;

        if (elapsed < BULK_WINDOW_MS)
                return;
        if (acknowledged < (__u64) elapsed * UNDERPASS_BULK_RATE) {
                flow->bulk_windows = 0;
                flow->bulk &= (__u8) ~UNDERPASS_BULK_FAST;
        } else if (flow->bulk_windows < BULK_WINDOWS) {
                flow->bulk_windows++;
                if (flow->bulk_windows == BULK_WINDOWS)
                        flow->bulk |= UNDERPASS_BULK_FAST;
        }
        flow->bulk_window_ms = now;
        flow->bulk_window_acknowledged = flow->expected;
}

/* No probe and no bulk any more in this flow. Others to the same destination do not try it for a while. */
UNDERPASS_GLOBAL int bulk_give_up(struct packet *packet, struct underpass_flow *flow, __u32 ifindex,
                                  __u32 slot) {
        struct underpass_destination *destination;
        struct underpass_flow_key key = {};

        if (!packet || !flow)
                return 0;
        flow->bulk |= UNDERPASS_BULK_GIVEN_UP;
        count(slot, UNDERPASS_COUNTER_BULK_GIVEN_UP);
        flow_key_outgoing(packet, &key);
        key.remote_port = 0;
        destination = destination_make(&key, ifindex);
        if (destination)
                destination->bulk_given_up = destination_now() + UNDERPASS_BULK_GIVEN_UP_SECONDS;
        return 0;
}

/* Whether an earlier flow has given up on the way to this destination. */
UNDERPASS_GLOBAL int bulk_is_given_up(struct packet *packet, __u32 ifindex) {
        struct underpass_destination *destination;
        struct underpass_flow_key key = {};

        if (!packet)
                return 0;
        flow_key_outgoing(packet, &key);
        key.remote_port = 0;
        destination = destination_find(&key, ifindex);
        return destination && destination->bulk_given_up > destination_now();
}

/*
 * A fast flow over IPv6 has no room for the outer headers in its segments. Later ones to the same host get
 * it.
 */
UNDERPASS_GLOBAL int bulk_want_room(struct packet *packet, struct underpass_flow *flow, __u32 ifindex) {
        struct underpass_destination *destination;
        struct underpass_flow_key key = {};

        if (!packet || !flow)
                return 0;
        flow->bulk |= UNDERPASS_BULK_NARROW;
        flow_key_outgoing(packet, &key);
        key.remote_port = 0;
        destination = destination_make(&key, ifindex);
        if (destination)
                destination->bulk_wanted = destination_now() + UNDERPASS_BULK_WANTED_SECONDS;
        return 0;
}

/* Whether the SYN of a flow over IPv6 asks for segments that leave room for the outer headers. */
UNDERPASS_GLOBAL int bulk_wants_room(struct underpass_flow_key *of, __u32 ifindex) {
        struct underpass_destination *destination;
        struct underpass_flow_key key = {};

        if (!of)
                return 0;
        flow_key_copy(of, &key);
        key.remote_port = 0;
        destination = destination_find(&key, ifindex);
        return destination && destination->bulk_wanted > destination_now();
}

/* The next step of a flow that the bulk form has not been proven for. */
UNDERPASS_GLOBAL int bulk_decide_probe(struct packet *packet, struct underpass_flow *flow, __u32 ifindex,
                                       __u32 slot) {
        __u32 now = bulk_now_ms();

        if (!packet || !flow)
                return BULK_DECISION_CLASSIC;
        if (flow->bulk_probes > 0 &&
            now - flow->bulk_probed_ms < (__u32) BULK_PROBES_APART_MS << ((flow->bulk_probes - 1) & 3))
                return BULK_DECISION_CLASSIC;
        if (flow->bulk_probes >= BULK_PROBES_MAX) {
                bulk_give_up(packet, flow, ifindex, slot);
                return BULK_DECISION_CLASSIC;
        }
        if (flow->bulk_probes == 0 && bulk_is_given_up(packet, ifindex)) {
                flow->bulk |= UNDERPASS_BULK_GIVEN_UP;
                return BULK_DECISION_CLASSIC;
        }
        flow->bulk_probes++;
        flow->bulk_probed_ms = now;
        count(slot, UNDERPASS_COUNTER_BULK_PROBES);
        return BULK_DECISION_PROBE;
}

/*
 * Whether a super-packet of a flow leaves in the bulk form. slot_flags: of the link. Returns enum
 * bulk_decision.
 */
UNDERPASS_INLINE int bulk_decide(struct packet *packet, struct underpass_flow *flow, __u32 ifindex,
                                 __u32 slot, __u32 slot_flags) {
        if ((flow->bulk & (UNDERPASS_BULK_TAKEN | UNDERPASS_BULK_GIVEN_UP | UNDERPASS_BULK_NARROW)) !=
                    UNDERPASS_BULK_TAKEN ||
            !packet->usual || packet->again || packet->length == 0 ||
            (packet->header.tcp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_RST | UNDERPASS_TCP_URG)))
                return BULK_DECISION_CLASSIC;
        if (!(slot_flags & UNDERPASS_SLOT_BULK_ALL)) {
                bulk_measure(flow, bulk_now_ms());
                if (!(flow->bulk & UNDERPASS_BULK_FAST))
                        return BULK_DECISION_CLASSIC;
        }
        if (flow->bulk & UNDERPASS_BULK_PROVEN)
                return BULK_DECISION_BULK;
        return bulk_decide_probe(packet, flow, ifindex, slot);
}

/* A proven error says why something gets lost: it is not for its form. 1: the flow uses the bulk form. */
UNDERPASS_INLINE int bulk_explain_loss(struct underpass_flow *flow) {
        flow->bulk &= (__u8) ~UNDERPASS_BULK_UNHEARD;
        flow->bulk_losses = 0;
        flow->bulk_probed_ms = bulk_now_ms();
        return (flow->bulk & (UNDERPASS_BULK_PROVEN | UNDERPASS_BULK_NARROW)) == UNDERPASS_BULK_PROVEN;
}

/*
 * The segment that the peer should acknowledge next is sent again, and nothing was heard of bulk that is
 * on its way. After two such losses the flow is classic, and probes have to show again that the way takes
 * the bulk form: in a jam everything gets lost, and that is no reason to leave it.
 */
UNDERPASS_GLOBAL int bulk_lost(struct packet *packet, struct underpass_flow *flow, __u32 ifindex,
                               __u32 slot) {
        __u32 now = bulk_now_ms();

        if (!packet || !flow || now - flow->bulk_probed_ms < BULK_LOSSES_APART_MS)
                return 0;
        flow->bulk &= (__u8) ~UNDERPASS_BULK_UNHEARD;
        flow->bulk_probed_ms = now;
        flow->bulk_losses++;
        if (flow->bulk_losses < BULK_LOSSES_MAX)
                return 0;
        flow->bulk_losses = 0;
        flow->bulk_probes = 0;
        flow->bulk &= (__u8) ~UNDERPASS_BULK_PROVEN;
        flow->bulk_setbacks++;
        if (flow->bulk_setbacks >= BULK_SETBACKS_MAX)
                bulk_give_up(packet, flow, ifindex, slot);
        return 0;
}
