/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Flows: decided once, by their SYN, and remembered. Which SYNs of ours leave in the tunnel, which SYNs that
 * come in UDP are taken, and when a handshake counts as answered.
 *
 * A flow belongs to no link: routes change, answers leave by another uplink than the questions came by.
 * Which link a packet is on, the packet itself tells. At a link that is skb->ifindex (ingress_ifindex in
 * XDP). Behind a segmentation device and behind the GRO pair it is the slot that the program at the link
 * has noted in the packet, in skb->cb and skb->tc_index. It is never the record: its ifindex and slot say
 * by which link our side sent last. They serve lists of flows, what is known of destinations, and as a
 * guess that is right for nearly every packet. Only packets of ours move the record: flow_move(). A
 * datagram that claims to be of the flow can come by any link. TCP judges it as it judges a segment that
 * did, and it does not change which way ours go.
 */

#include "options.h"
#include "destination.h"

enum {
        FLOW_SILENCE_SECONDS = 10,
        FLOW_FORGOTTEN_SECONDS = 7440, /* RFC 5382, REQ-5: a NAT may forget a silent connection after it */
        FLOW_HOPS_MIN = 32, /* TTL or hop limit that reaches every host */
        SEQUENCE_WINDOW_MAX = 1 << 20, /* how far from what is known a sequence number may lie, bytes */
        FLOW_IS_NEW = -1,
        FLOW_IS_PLAIN = -2,
        FLOW_SINGLE_BYTES = 512, /* a packet with so little data is hardly one that will be cut */
        FLOW_ENDS = UNDERPASS_TCP_FIN | UNDERPASS_TCP_RST,
        FLOW_PEER_ENDS_SHIFT = 4,
};
_Static_assert((int) UNDERPASS_FLOW_OUR_FIN == UNDERPASS_TCP_FIN &&
                       (int) UNDERPASS_FLOW_OUR_RST == UNDERPASS_TCP_RST &&
                       (int) UNDERPASS_FLOW_PEER_FIN == UNDERPASS_TCP_FIN << FLOW_PEER_ENDS_SHIFT &&
                       (int) UNDERPASS_FLOW_PEER_RST == UNDERPASS_TCP_RST << FLOW_PEER_ENDS_SHIFT,
               "the flags byte of TCP tells how a flow ends");

UNDERPASS_GLOBAL int flow_key_outgoing(struct packet *packet, struct underpass_flow_key *key) {
        if (!packet || !key)
                return 0;
        __builtin_memcpy(key->local, packet->source, sizeof(key->local));
        __builtin_memcpy(key->remote, packet->dest, sizeof(key->remote));
        key->local_port = packet->header.tcp.source;
        key->remote_port = packet->header.tcp.dest;
        return 0;
}

UNDERPASS_GLOBAL int flow_key_incoming(struct packet *packet, struct underpass_flow_key *key) {
        if (!packet || !key)
                return 0;
        __builtin_memcpy(key->local, packet->dest, sizeof(key->local));
        __builtin_memcpy(key->remote, packet->source, sizeof(key->remote));
        key->local_port = packet->header.tcp.dest;
        key->remote_port = packet->header.tcp.source;
        return 0;
}

UNDERPASS_GLOBAL int flow_key_copy(struct underpass_flow_key *from, struct underpass_flow_key *to) {
        if (!from || !to)
                return 0;
        *to = *from;
        return 0;
}

/* Whether a record is no more than a note, and none of the peer's datagrams belongs to it. */
UNDERPASS_INLINE int flow_is_note(const struct underpass_flow *flow) {
        return flow->state == UNDERPASS_FLOW_WATCHED || flow->state == UNDERPASS_FLOW_CLAIMED;
}

/* The same flow as the peer sees it. Returns 0. */
UNDERPASS_GLOBAL int flow_key_turn(struct underpass_flow_key *key) {
        __u16 port;

        if (!key)
                return 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
                __u32 word = key->local[i];

                key->local[i] = key->remote[i];
                key->remote[i] = word;
        }
        port = key->local_port;
        key->local_port = key->remote_port;
        key->remote_port = port;
        return 0;
}

UNDERPASS_INLINE struct underpass_flow *flow_lookup(const struct underpass_flow_key *key) {
        struct underpass_flow *flow = bpf_map_lookup_elem(&flows, key);

        return flow ? flow : bpf_map_lookup_elem(&half_open, key);
}

/* A packet of ours leaves by this link. */
UNDERPASS_INLINE void flow_move(struct underpass_flow *flow, __u32 ifindex, __u32 slot) {
        if (slot == 0 || (flow->slot == slot && flow->ifindex == ifindex))
                return;
        flow->slot = slot;
        flow->ifindex = ifindex;
}

/*
 * Whether nothing has been seen of a flow for so long that another program may have its addresses and ports
 * by now: a record is not told when its connection ends.
 */
UNDERPASS_INLINE int flow_is_silent_at(const struct underpass_flow *flow, __u64 now) {
        return flow->seen_ns + FLOW_SILENCE_SECONDS * NANOSECONDS < now;
}

UNDERPASS_INLINE int flow_is_silent(const struct underpass_flow *flow) {
        return flow_is_silent_at(flow, bpf_ktime_get_coarse_ns());
}

/*
 * Whether a datagram of the peer goes on where the flow was: it acknowledges what our side has in flight, or
 * nothing more. By chance no other datagram does. next is 0 in flows of an earlier release.
 */
UNDERPASS_INLINE int flow_goes_on(const struct underpass_flow *flow, const union underpass_header *udp) {
        return flow->next != 0 && (udp->udp.flags & UNDERPASS_TCP_ACK) &&
               underpass_answers(UNDERPASS_NET32(udp->udp.acknowledgment), flow->expected, flow->next);
}

/* Whether the peer might take a datagram of this host for a segment that goes on there. */
UNDERPASS_INLINE int flow_could_go_on(const struct underpass_flow *flow, const union underpass_header *udp) {
        __u32 sequence = UNDERPASS_NET32(udp->udp.sequence);

        return flow->next != 0 &&
               sequence - flow->next + SEQUENCE_WINDOW_MAX <= 2 * SEQUENCE_WINDOW_MAX;
}

/* Whether it is certain that both sides, or this one alone, speak over UDP. */
UNDERPASS_INLINE int flow_is_open(const struct underpass_flow *flow) {
        return flow->state == UNDERPASS_FLOW_TUNNELLED ||
               (flow->state == UNDERPASS_FLOW_HALF_OPEN &&
                (flow->flags & (UNDERPASS_FLOW_OPENED_HERE | UNDERPASS_FLOW_ANSWERED)));
}

/*
 * Whether a packet of ours begins where the ACK said by which the peer has claimed a flow. The first one
 * that is no SYN-ACK decides: a plain connection may come there by chance later.
 */
UNDERPASS_INLINE int flow_confirms(struct underpass_flow *flow, const union underpass_header *tcp) {
        __u32 begin = UNDERPASS_NET32(tcp->tcp.sequence) + !!(tcp->tcp.flags & UNDERPASS_TCP_SYN);

        if (flow->sent != 0)
                return 0;
        if (begin == flow->expected)
                return 1;
        flow->sent = !(tcp->tcp.flags & UNDERPASS_TCP_SYN);
        return 0;
}

/*
 * Whether a packet of ours leaves in the tunnel by this record. Anybody can send a SYN over UDP with the
 * addresses and ports of a plain connection, so until our stack has answered it by a SYN-ACK, nothing but
 * that answer, or a refusal (sequence number 0, RFC 9293, 3.10.7), belongs to it. Likewise anybody can send
 * an ACK for it, so a record of that kind has only what begins where the ACK said.
 */
UNDERPASS_INLINE int flow_carries(struct underpass_flow *flow, const union underpass_header *tcp) {
        if (flow->state == UNDERPASS_FLOW_TUNNELLED)
                return 1;
        if (flow->state == UNDERPASS_FLOW_WATCHED)
                return 0;
        if (flow->state == UNDERPASS_FLOW_CLAIMED)
                return flow_confirms(flow, tcp);
        if (flow_is_open(flow))
                return 1;
        return (tcp->tcp.flags & UNDERPASS_TCP_SYN) ||
               ((tcp->tcp.flags & UNDERPASS_TCP_RST) && tcp->tcp.sequence == 0);
}

/*
 * Membership without branches: the verifier would follow every combination of them. Unrolled, for without
 * CAP_PERFMON a pointer takes constant offsets only; the barrier keeps the compiler from loading all rounds
 * at once, which takes a stack frame of hundreds of bytes. Unused ranges are 0 … 0; port 0, which anybody
 * can write into a datagram, is in no range.
 */
UNDERPASS_INLINE int ports_contain(const struct underpass_port_range *ranges, __u16 port) {
        __u32 outside = ~0U;

#pragma unroll
        for (__u32 i = 0; i < UNDERPASS_PORT_RANGES_MAX; i++) {
                outside &= ((__u32) port - ranges[i].first) | ((__u32) ranges[i].last - port);
                asm volatile("" : "+r"(outside) : : "memory");
        }
        return !((outside | ((__u32) port - 1)) >> 31);
}

UNDERPASS_INLINE int addresses_contain(const struct underpass_link *link, const __u32 address[4]) {
        __u32 different = link->remote_addresses_count; /* no prefix: any address */

#pragma unroll
        for (__u32 i = 0; i < UNDERPASS_PREFIXES_MAX; i++) {
                const struct underpass_prefix *prefix = &link->remote_addresses[i];
                __u32 bits = ((address[0] & prefix->mask[0]) ^ prefix->address[0]) |
                             ((address[1] & prefix->mask[1]) ^ prefix->address[1]) |
                             ((address[2] & prefix->mask[2]) ^ prefix->address[2]) |
                             ((address[3] & prefix->mask[3]) ^ prefix->address[3]);

                /* All ones in the upper half when any bit differs, or when the prefix is not in use. */
                bits |= (__u32) ~((i - (__u32) link->remote_addresses_count) >> 31) & 1;
                different &= (__u32) (((__u64) 0 - bits) >> 32);
                asm volatile("" : "+r"(different) : : "memory");
        }
        return different == 0;
}

/* A SYN of ours: does the profile of the link want it in the tunnel, going by addresses and ports? */
UNDERPASS_INLINE int flow_matches(struct __sk_buff *skb, const struct underpass_link *link,
                                  const struct underpass_flow_key *key) {
        if ((link->flags & UNDERPASS_LINK_FWMARK) && (skb->mark & link->mark_mask) != link->mark)
                return 0;
        if (!ports_contain(link->remote_ports, UNDERPASS_NET16(key->remote_port)))
                return 0;
        return addresses_contain(link, key->remote);
}

UNDERPASS_GLOBAL int flow_describe(struct underpass_flow *flow, __u32 ifindex, __u32 slot, __u32 kind,
                                   __u32 expected) {
        if (!flow)
                return 0;
        flow->opened_ns = bpf_ktime_get_coarse_ns();
        flow->seen_ns = flow->opened_ns;
        flow->ifindex = ifindex;
        flow->slot = slot;
        flow->expected = expected;
        flow->next = expected;
        flow->begin = expected;
        flow->state = kind & 0xff;
        flow->flags = (kind >> 8) & 0xff;
        flow->syns = 1;
        return 0;
}

/*
 * Our stack accepts another connection of the same addresses and ports, so the one of the record is over: it
 * would not do that otherwise, whoever sends a SYN. expected: what the peer will acknowledge.
 */
UNDERPASS_GLOBAL int flow_renew(struct underpass_flow *flow, __u32 expected) {
        __u32 ifindex, slot;

        if (!flow)
                return 0;
        ifindex = flow->ifindex;
        slot = flow->slot;
        __builtin_memset(flow, 0, sizeof(*flow));
        return flow_describe(flow, ifindex, slot,
                             UNDERPASS_FLOW_TUNNELLED | UNDERPASS_FLOW_ANSWERED << 8, expected);
}

/* Puts a new flow into the map of its state. kind: state and flags << 8. Negative: it is in none. */
UNDERPASS_GLOBAL int flow_start(struct underpass_flow_key *of, __u32 ifindex, __u32 slot, __u32 kind,
                                __u32 expected) {
        struct underpass_flow_key key = {};
        struct underpass_flow flow = {};

        if (!of)
                return 0;
        flow_key_copy(of, &key);
        flow_describe(&flow, ifindex, slot, kind, expected);
        if ((kind & 0xff) == UNDERPASS_FLOW_TUNNELLED)
                return bpf_map_update_elem(&flows, &key, &flow, BPF_ANY);
        return bpf_map_update_elem(&half_open, &key, &flow, BPF_ANY);
}

/* Our stack answers a plain SYN of the same addresses and ports: whatever was remembered is over. */
UNDERPASS_INLINE void flow_forget(const struct underpass_flow_key *key) {
        if (bpf_map_lookup_elem(&flows, key))
                bpf_map_delete_elem(&flows, key);
        if (bpf_map_lookup_elem(&half_open, key))
                bpf_map_delete_elem(&half_open, key);
}

/*
 * Whether the connection of a record in "flows" is over: both sides have said so, or nothing has been seen
 * of it for hours. What a router forwards may say so in somebody else's name, with whatever numbers.
 */
UNDERPASS_INLINE int flow_has_ended(const struct underpass_flow *flow) {
        const __u8 fins = UNDERPASS_FLOW_OUR_FIN | UNDERPASS_FLOW_PEER_FIN;

        /* Another CPU may write the time meanwhile, so nothing is subtracted. */
        if (flow->seen_ns + FLOW_FORGOTTEN_SECONDS * NANOSECONDS < bpf_ktime_get_coarse_ns())
                return 1;
        return flow->socket && ((flow->ends & (UNDERPASS_FLOW_OUR_RST | UNDERPASS_FLOW_PEER_RST)) ||
                                (flow->ends & fins) == fins);
}

/*
 * A SYN of ours for addresses and ports that an established flow has, or had. One that has not ended may
 * live: anybody behind a router can send a SYN in its name, and so can users of this host whose socket is
 * bound to another device, or to an address that is not the host's. So the record stays until the peer has
 * answered the SYN; to one amid a connection, TCP answers otherwise (RFC 9293, 3.10.7.4). Returns the slot
 * of a flow that stays; 0: there is none.
 */
UNDERPASS_GLOBAL int flow_make_way(struct underpass_flow_key *of) {
        struct underpass_flow_key key = {};
        struct underpass_flow *flow;

        if (!of)
                return 0;
        flow_key_copy(of, &key);
        flow = bpf_map_lookup_elem(&flows, &key);
        if (!flow)
                return 0;
        if (!flow_has_ended(flow))
                return (int) flow->slot;
        bpf_map_delete_elem(&flows, &key);
        return 0;
}

/*
 * A SYN of ours that leaves as plain TCP; nothing is to be learnt from what becomes of it. Beside a flow
 * that may live it is noted, so that the peer's answer is known by its number.
 */
UNDERPASS_INLINE void flow_open_plain(struct underpass_flow_key *key, __u32 ifindex, __u32 expected) {
        const __u32 flags =
                UNDERPASS_FLOW_OPENED_HERE | UNDERPASS_FLOW_FALLEN_BACK | UNDERPASS_FLOW_DOUBTFUL;
        __u32 slot = (__u32) flow_make_way(key);

        if (slot)
                flow_start(key, ifindex, slot, UNDERPASS_FLOW_WATCHED | flags << 8, expected);
        else if (bpf_map_lookup_elem(&half_open, key))
                bpf_map_delete_elem(&half_open, key);
}

/*
 * The peer has answered a SYN of ours that left while there was an established flow, so that one is over.
 * acknowledgment: of the SYN-ACK, host order. Returns 1 if it is so; the record is in "half_open" then.
 */
UNDERPASS_GLOBAL int flow_is_succeeded(struct underpass_flow_key *of, __u32 acknowledgment) {
        struct underpass_flow_key key = {};
        struct underpass_flow *flow;

        if (!of)
                return 0;
        flow_key_copy(of, &key);
        flow = bpf_map_lookup_elem(&half_open, &key);
        if (!flow || flow->state != UNDERPASS_FLOW_HALF_OPEN ||
            !(flow->flags & UNDERPASS_FLOW_OPENED_HERE) ||
            !underpass_answers(acknowledgment, flow->expected, flow->next))
                return 0;
        bpf_map_delete_elem(&flows, &key);
        return 1;
}

/* The flow of a datagram of the peer. */
UNDERPASS_INLINE struct underpass_flow *flow_lookup_incoming(struct underpass_flow_key *key,
                                                             const struct packet *packet) {
        const __u8 syn_ack = UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK;
        struct underpass_flow *flow = flow_lookup(key);

        if (!flow || flow->state != UNDERPASS_FLOW_TUNNELLED ||
            (packet->header.udp.flags & syn_ack) != syn_ack || packet->header.udp.check == 0 ||
            !underpass_udp_shape(&packet->header, packet->length) ||
            !flow_is_succeeded(key, UNDERPASS_NET32(packet->header.udp.acknowledgment)))
                return flow;
        return flow_lookup(key);
}

/* Whether a SYN of ours may get lost for a reason that its sender has chosen, which anybody can. Returns
 * UNDERPASS_FLOW_DOUBTFUL or 0. */
UNDERPASS_GLOBAL int flow_doubts(struct __sk_buff *skb, struct packet *packet) {
        __u8 hops = 0;

        if (!packet || !packet->usual)
                return UNDERPASS_FLOW_DOUBTFUL;
        if (bpf_skb_load_bytes(skb,
                               packet->layer3 + (packet->ipv6 ? offsetof(struct ipv6hdr, hop_limit) :
                                                                offsetof(struct iphdr, ttl)),
                               &hops, sizeof(hops)) < 0)
                return UNDERPASS_FLOW_DOUBTFUL;
        return hops < FLOW_HOPS_MIN ? UNDERPASS_FLOW_DOUBTFUL : 0;
}

/*
 * A SYN that goes again because the last one got no answer. doubts: see flow_doubts(). 1: once more over
 * UDP; 0: the flow goes on as plain TCP. Only if that is answered, UDP is what does not get there; so the
 * answer is watched for. Nobody gets one who connects from an address that is not this host's.
 */
UNDERPASS_GLOBAL int flow_try_again(struct underpass_flow_key *of, __u32 ifindex, __u32 doubts) {
        struct underpass_link *link = bpf_map_lookup_elem(&links, &ifindex);
        struct underpass_flow *flow;
        int refused;
        struct underpass_flow_key key = {};

        if (!of || !link)
                return 0;
        flow_key_copy(of, &key);
        flow = bpf_map_lookup_elem(&half_open, &key);
        if (!flow)
                return 0;
        refused = flow->flags & UNDERPASS_FLOW_REFUSED;
        flow->flags |= (__u8) doubts;
        /* SYNs that got lost on another link say nothing of the way by this one. */
        if (flow->ifindex != ifindex) {
                flow_move(flow, ifindex, link->slot);
                flow->flags |= UNDERPASS_FLOW_DOUBTFUL;
        }
        if (!(link->flags & UNDERPASS_LINK_FALLBACK) || (!refused && flow->syns < link->fallback_after)) {
                if (flow->syns < 255)
                        flow->syns++;
                count(link->slot, UNDERPASS_COUNTER_FLOWS_OPENED);
                return 1;
        }
        if (refused)
                count(link->slot, UNDERPASS_COUNTER_FALLBACK_REFUSED);
        else
                count(link->slot, UNDERPASS_COUNTER_FALLBACK_SILENCE);
        flow->state = UNDERPASS_FLOW_WATCHED;
        flow->flags |= UNDERPASS_FLOW_FALLEN_BACK;
        return 0;
}

/*
 * A SYN of an on-demand link. 0: it leaves as plain TCP, and what becomes of its MPTCP option is watched; 1:
 * it leaves over UDP, for those before got no answer. Some middleboxes drop what they do not know, option
 * and SYN together; only an answer over UDP shows that one did. Nobody gets any who connects from an address
 * that is not this host's. FLOW_IS_NEW: plain, and there is no record yet; the caller makes it, as the stack
 * has no room for that here.
 */
UNDERPASS_GLOBAL int flow_watch(struct underpass_flow_key *of, __u32 ifindex, __u32 kind, __u32 expected) {
        struct underpass_link *link = bpf_map_lookup_elem(&links, &ifindex);
        struct underpass_flow *known;
        struct underpass_flow_key key = {};

        if (!of || !link)
                return 0;
        flow_key_copy(of, &key);
        known = bpf_map_lookup_elem(&half_open, &key);
        if (!known || known->expected != expected || known->ifindex != ifindex)
                return FLOW_IS_NEW;
        if (known->state == UNDERPASS_FLOW_HALF_OPEN) {
                known->state = UNDERPASS_FLOW_WATCHED; /* UDP did no better */
                known->flags &= (__u8) ~UNDERPASS_FLOW_FALLEN_BACK;
        }
        known->flags |= (__u8) (kind >> 8) & UNDERPASS_FLOW_DOUBTFUL;
        if (known->syns > link->fallback_after)
                return 0;
        known->syns++;
        if (known->syns <= link->fallback_after)
                return 0;
        known->state = UNDERPASS_FLOW_HALF_OPEN;
        known->flags |= UNDERPASS_FLOW_FALLEN_BACK;
        count(link->slot, UNDERPASS_COUNTER_FLOWS_OPENED);
        return 1;
}

/* The same, with a record made where there is none. */
UNDERPASS_INLINE int flow_open_on_demand(struct underpass_flow_key *key, __u32 ifindex, __u32 slot,
                                         __u32 kind, __u32 expected) {
        int tunnelled = flow_watch(key, ifindex, kind, expected);

        if (tunnelled != FLOW_IS_NEW)
                return tunnelled;
        count(slot, UNDERPASS_COUNTER_PLAIN_ON_DEMAND);
        flow_start(key, ifindex, slot, kind | UNDERPASS_FLOW_WATCHED, expected);
        return 0;
}

/* What is known about a SYN that is sent: a retransmission of one that is in "half_open"? Returns its kind,
 * 0 when it is a new one. */
UNDERPASS_INLINE __u32 flow_known(const struct underpass_flow_key *key, __u32 expected) {
        struct underpass_flow *known = bpf_map_lookup_elem(&half_open, key);

        if (!known || !(known->flags & UNDERPASS_FLOW_OPENED_HERE) || known->expected != expected)
                return 0;
        return known->state | (__u32) known->flags << 8;
}

/*
 * What flow_open() returns, or FLOW_IS_PLAIN: so it is, and nothing has been done about what is known.
 *
 * A retransmission keeps the form of the first SYN, also when the kernel has meanwhile dropped the MPTCP
 * option from it (net.mptcp.syn_retrans_before_tcp_fallback, kernel 6.13), unless the fallback says
 * otherwise.
 */
UNDERPASS_INLINE int flow_decide(struct __sk_buff *skb, struct packet *packet,
                                 struct underpass_flow_key *key, __u32 expected) {
        struct underpass_link *link = link_of(skb);
        struct packet_options options = {};
        __u32 link_flags, slot, kind, known, fallen_back;

        if (link && skb->sk)
                destination_note_source(key, skb->ifindex);
        if (!link || !flow_matches(skb, link, key))
                return FLOW_IS_PLAIN;
        link_flags = link->flags;
        slot = link->slot;
        known = flow_known(key, expected);
        fallen_back = known & UNDERPASS_FLOW_FALLEN_BACK << 8;
        if ((known & 0xff) == UNDERPASS_FLOW_HALF_OPEN && !fallen_back)
                return flow_try_again(key, skb->ifindex, (__u32) flow_doubts(skb, packet));
        if ((known & 0xff) == UNDERPASS_FLOW_WATCHED && fallen_back)
                return 0;

        packet_options(skb, packet->layer4, packet->header.tcp.offset, &options);
        if (options.is_signed || (!options.mptcp && (link_flags & UNDERPASS_LINK_MPTCP_ONLY))) {
                if (options.is_signed)
                        count(slot, UNDERPASS_COUNTER_PASS_SIGNED);
                else if (!known) /* or the kernel has given up its option after SYNs without answer */
                        count(slot, UNDERPASS_COUNTER_PLAIN_NOT_MPTCP);
                return FLOW_IS_PLAIN;
        }
        kind = UNDERPASS_FLOW_OPENED_HERE << 8;
        if (options.mptcp == 2)
                kind |= UNDERPASS_FLOW_JOIN << 8;
        if ((link_flags & UNDERPASS_LINK_FALLBACK) && destination_is_blocked(key, skb->ifindex)) {
                count(slot, UNDERPASS_COUNTER_PLAIN_BLOCKED);
                return FLOW_IS_PLAIN;
        }
        kind |= (__u32) flow_doubts(skb, packet) << 8;
        if (!known && (link_flags & UNDERPASS_LINK_ON_DEMAND) && options.mptcp == 1 &&
            destination_is_lacking(key, skb->ifindex)) {
                count(slot, UNDERPASS_COUNTER_PLAIN_ON_DEMAND);
                return FLOW_IS_PLAIN;
        }
        flow_make_way(key);
        if (known ||
            ((link_flags & UNDERPASS_LINK_ON_DEMAND) && !destination_is_stripped(key, skb->ifindex)))
                return flow_open_on_demand(key, skb->ifindex, slot, kind, expected);
        flow_start(key, skb->ifindex, slot, kind | UNDERPASS_FLOW_HALF_OPEN, expected);
        count(slot, UNDERPASS_COUNTER_FLOWS_OPENED);
        return 1;
}

/* Decides a flow by the SYN that our side sends. 1: tunnelled, a record is in "half_open"; 0: plain. */
UNDERPASS_GLOBAL int flow_open(struct __sk_buff *skb, struct packet *packet,
                               struct underpass_flow_key *of) {
        struct underpass_flow_key key = {};
        __u32 expected;
        int decision;

        if (!packet || !of)
                return 0;
        flow_key_copy(of, &key);
        expected = UNDERPASS_NET32(packet->header.tcp.sequence) + 1;
        decision = flow_decide(skb, packet, &key, expected);
        if (decision != FLOW_IS_PLAIN)
                return decision;
        flow_open_plain(&key, skb->ifindex, expected);
        return 0;
}

/* The answers to a SYN that was accepted may leave where no program sees them: the service finds out.
 * Returns 0. */
UNDERPASS_GLOBAL int flow_tell_unanswered(struct underpass_flow_key *of) {
        if (of)
                bpf_ringbuf_output(&unanswered, of, sizeof(*of), 0);
        return 0;
}

/* A SYN has been accepted. When the last one was answered by a link with programs, so will this one be, in
 * all probability; if not, its retransmission tells. */
UNDERPASS_INLINE void flow_await_answer(struct underpass_flow_key *key, __u32 slot) {
        struct underpass_slot *of = bpf_map_lookup_elem(&slots, &slot);

        if (!of)
                return;
        if (!of->answered)
                flow_tell_unanswered(key);
        of->answered = 0;
}

/* A SYN-ACK of ours leaves by a link with programs. slot: of the link that the SYN came by. */
UNDERPASS_INLINE void flow_answer(__u32 slot) {
        struct underpass_slot *of = bpf_map_lookup_elem(&slots, &slot);

        if (of)
                of->answered = 1;
}

/*
 * Decides about a datagram that belongs to no flow: only one that has exactly the shape of a SYN, to a port
 * of local-ports, opens one. Everything else is the business of UDP sockets, and a client takes no SYN at
 * all. 1: taken, a record is in "half_open"; 0: not ours.
 */
UNDERPASS_GLOBAL int flow_accept(struct __sk_buff *skb, struct packet *packet,
                                 struct underpass_flow_key *of) {
        struct packet_options options = {};
        struct underpass_flow_key key = {};
        struct underpass_link *link;

        if (!packet || !of || !underpass_udp_is_syn(&packet->header, packet->length))
                return 0;
        flow_key_copy(of, &key);
        link = link_of(skb);
        if (!link)
                return 0;
        if (!ports_contain(link->local_ports, UNDERPASS_NET16(key.local_port))) {
                count(link->slot, UNDERPASS_COUNTER_PASS_PORT);
                return 0;
        }
        packet_options(skb, packet->layer4, packet->header.udp.offset, &options);
        /* One DNS query of 4000 has a number that looks like data offset and flags of a SYN. Its question is
         * no list of options, while every system asks for an MSS in its SYN; one without options has no
         * data. */
        if (!options.mss_offset && !options.mptcp && packet->length != UNDERPASS_HEADER_LENGTH)
                return 0;
        if (options.is_signed) {
                count(link->slot, UNDERPASS_COUNTER_PASS_SIGNED);
                return 0;
        }
        if (!options.mptcp && (link->flags & UNDERPASS_LINK_MPTCP_ONLY)) {
                count(link->slot, UNDERPASS_COUNTER_PASS_NOT_MPTCP);
                return 0;
        }
        bpf_map_delete_elem(&flows, &key); /* of an earlier connection, see flow_is_over() */
        flow_start(&key, skb->ifindex, link->slot, UNDERPASS_FLOW_HALF_OPEN, 0);
        count(link->slot, UNDERPASS_COUNTER_FLOWS_ACCEPTED);
        flow_await_answer(&key, link->slot);
        return 1;
}

/* A SYN of ours that leaves as plain TCP, ending before the sequence number "end": its answer may
 * acknowledge its data. */
UNDERPASS_INLINE void flow_sent_plain(const struct underpass_flow_key *key, __u32 end) {
        struct underpass_flow *flow = bpf_map_lookup_elem(&half_open, key);

        if (flow && (__s32) (end - flow->next) > 0)
                flow->next = end;
}

/* The sequence number behind a packet of ours, which may be a super-packet. Host order. */
UNDERPASS_INLINE __u32 flow_packet_end(struct __sk_buff *skb, const struct packet *packet) {
        const struct underpass_tcp_header *tcp = &packet->header.tcp;
        /* More than 64 KiB have no length in the IP header (BIG TCP). */
        __u32 length = packet->length ? packet->length : skb->len - packet->layer4;

        length -= (__u32) (tcp->offset >> 4) * 4;
        if (tcp->flags & UNDERPASS_TCP_SYN)
                length++;
        if (tcp->flags & UNDERPASS_TCP_FIN)
                length++;
        return UNDERPASS_NET32(tcp->sequence) + length;
}

/*
 * What a packet of ours tells of the peer's data, and of the end. A reset need not acknowledge anything, but
 * it begins where the peer's acknowledgments are (RFC 9293, 3.10.7); others may be made up.
 */
UNDERPASS_INLINE void flow_sent_acknowledgment(struct underpass_flow *flow,
                                               const union underpass_header *tcp) {
        __u32 acknowledgment = UNDERPASS_NET32(tcp->tcp.acknowledgment);

        if (tcp->tcp.flags & UNDERPASS_TCP_RST) {
                if (underpass_answers(UNDERPASS_NET32(tcp->tcp.sequence), flow->expected, flow->next))
                        flow->ends |= UNDERPASS_FLOW_OUR_RST;
                return;
        }
        if (tcp->tcp.flags & UNDERPASS_TCP_FIN)
                flow->ends |= UNDERPASS_FLOW_OUR_FIN;
        /* No reset that our side has believed: it goes on. */
        if (flow->ends & UNDERPASS_FLOW_PEER_RST)
                flow->ends &= (__u8) ~UNDERPASS_FLOW_PEER_RST;
        if ((__s32) (acknowledgment - flow->acknowledged) <= 0 && flow->peer_begin)
                return;
        if (!flow->peer_begin) {
                flow->peer_begin = acknowledgment;
                /* A flow of an earlier release does not know where our side began. */
                if (!flow->begin)
                        flow->begin = UNDERPASS_NET32(tcp->tcp.sequence);
        } else if (acknowledgment < flow->acknowledged) {
                flow->peer_begun_anew++;
        }
        flow->acknowledged = acknowledgment;
}

/* Anybody can send a reset; one that TCP might believe has a number in the window. */
UNDERPASS_INLINE void flow_peer_ends(struct underpass_flow *flow, const union underpass_header *udp) {
        __u8 ends = udp->udp.flags & FLOW_ENDS;

        if ((ends & UNDERPASS_TCP_RST) &&
            UNDERPASS_NET32(udp->udp.sequence) - flow->acknowledged > SEQUENCE_WINDOW_MAX)
                return;
        flow->ends |= ends << FLOW_PEER_ENDS_SHIFT;
}

/*
 * A packet of ours that ends before the sequence number "end". On a half-open flow the SYN-ACK tells by
 * which acknowledgment the peer proves real. On one that the peer has claimed, whatever flow_carries() lets
 * pass confirms what it acknowledged; but a reset has whatever number that was, which may be made up.
 */
UNDERPASS_INLINE void flow_sent(struct underpass_flow *flow, const union underpass_header *tcp, __u32 end) {
        if (flow->state == UNDERPASS_FLOW_TUNNELLED &&
            (tcp->tcp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK)) ==
                    (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK) &&
            UNDERPASS_NET32(tcp->tcp.sequence) + 1 != flow->begin)
                flow_renew(flow, UNDERPASS_NET32(tcp->tcp.sequence) + 1);
        if (flow->state == UNDERPASS_FLOW_CLAIMED && !(tcp->tcp.flags & UNDERPASS_TCP_RST)) {
                flow->state = UNDERPASS_FLOW_HALF_OPEN;
                flow->flags |= UNDERPASS_FLOW_ANSWERED;
                count(flow->slot, UNDERPASS_COUNTER_RELEARNT);
        }
        flow->seen_ns = bpf_ktime_get_coarse_ns();
        flow->sent++;
        flow->sequence = tcp->tcp.sequence;
        if (flow->state == UNDERPASS_FLOW_HALF_OPEN && !(flow->flags & UNDERPASS_FLOW_OPENED_HERE) &&
            (tcp->tcp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK)) ==
                    (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK)) {
                flow->expected = UNDERPASS_NET32(tcp->tcp.sequence) + 1;
                flow->next = end;
                flow->begin = flow->expected;
                flow->flags |= UNDERPASS_FLOW_ANSWERED;
                flow_answer(flow->slot);
        }
        /* A flow of an earlier release does not know what is in flight: so that begins here. */
        if (flow->next == 0 && flow->state == UNDERPASS_FLOW_TUNNELLED) {
                flow->expected = UNDERPASS_NET32(tcp->tcp.sequence);
                flow->next = end;
        }
        if ((__s32) (end - flow->next) > 0 && !(tcp->tcp.flags & UNDERPASS_TCP_RST)) {
                if (end < flow->next)
                        flow->begun_anew++;
                flow->next = end;
        }
        flow_sent_acknowledgment(flow, tcp);
}

/* A packet of ours that ends before the sequence number "end" may be a super-packet. */
UNDERPASS_INLINE void flow_count_segments(struct __sk_buff *skb, struct underpass_flow *flow,
                                     const union underpass_header *tcp, __u32 end) {
        __u32 length = end - UNDERPASS_NET32(tcp->tcp.sequence), size;

        if (length <= FLOW_SINGLE_BYTES)
                return;
        size = skb->gso_size;
        if (tcp->tcp.flags & UNDERPASS_TCP_FIN)
                length--;
        if (size)
                flow->more_sent += (length - 1) / size;
}

/* What the peer acknowledges in an established flow is no longer in flight. acknowledgment: host order. */
UNDERPASS_INLINE void flow_acknowledged_to(struct underpass_flow *flow, __u32 acknowledgment) {
        if (underpass_answers(acknowledgment, flow->expected, flow->next))
                flow->expected = acknowledgment;
}

UNDERPASS_INLINE void flow_acknowledged(struct underpass_flow *flow, const union underpass_header *udp) {
        if (udp->udp.flags & UNDERPASS_TCP_ACK)
                flow_acknowledged_to(flow, UNDERPASS_NET32(udp->udp.acknowledgment));
}

/*
 * What an answer over UDP to a SYN of ours tells of its destination. One that came by another link than the
 * SYN left by, the slot says which, tells nothing of plain SYNs before: the sender's address is that of the
 * other one.
 */
UNDERPASS_INLINE void flow_prove(const struct underpass_flow *flow, struct underpass_flow_key *key,
                                 __u32 slot) {
        destination_open(key, flow->ifindex);
        if (slot != flow->slot || (flow->flags & (UNDERPASS_FLOW_FALLEN_BACK | UNDERPASS_FLOW_DOUBTFUL)) !=
                                          UNDERPASS_FLOW_FALLEN_BACK)
                return;
        destination_swallowed(key, flow->ifindex, flow->flags & UNDERPASS_FLOW_JOIN);
        count(slot, UNDERPASS_COUNTER_STRIPPED);
}

/* A packet of the peer (header still in UDP form) that came by the link of the slot, and whose time the
 * caller has noted: a half-open flow becomes established by a segment that answers ours. */
UNDERPASS_INLINE void flow_received(struct underpass_flow *flow, struct underpass_flow_key *key, __u32 slot,
                                    const union underpass_header *udp) {
        flow->received++;
        if (udp->udp.flags & FLOW_ENDS)
                flow_peer_ends(flow, udp);
        if ((udp->udp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK)) == UNDERPASS_TCP_SYN) {
                flow->flags &= (__u8) ~UNDERPASS_FLOW_PLAIN_SYN;
                if (flow->received > 1 &&
                    !(flow->flags & (UNDERPASS_FLOW_OPENED_HERE | UNDERPASS_FLOW_ANSWERED)))
                        flow_tell_unanswered(key);
        }
        if (flow->state == UNDERPASS_FLOW_TUNNELLED)
                flow_acknowledged(flow, udp);
        if (flow->state != UNDERPASS_FLOW_HALF_OPEN || !(udp->udp.flags & UNDERPASS_TCP_ACK) ||
            (udp->udp.flags & UNDERPASS_TCP_RST))
                return;
        if (!(flow->flags & (UNDERPASS_FLOW_OPENED_HERE | UNDERPASS_FLOW_ANSWERED)))
                return;
        if (!underpass_answers(UNDERPASS_NET32(udp->udp.acknowledgment), flow->expected, flow->next))
                return;
        /* In its place, as the stack has no room for a copy. */
        flow->state = UNDERPASS_FLOW_TUNNELLED;
        flow_acknowledged(flow, udp);
        if (bpf_map_update_elem(&flows, key, flow, BPF_ANY) < 0) {
                flow->state = UNDERPASS_FLOW_HALF_OPEN; /* so still tunnelled; the next packet tries again */
                return;
        }
        /* Counted where the SYN was, whichever way its answer came. */
        if (flow->flags & UNDERPASS_FLOW_OPENED_HERE) {
                flow_prove(flow, key, slot);
                slot = flow->slot;
        }
        bpf_map_delete_elem(&half_open, key);
        count(slot, UNDERPASS_COUNTER_FLOWS_ESTABLISHED);
}
