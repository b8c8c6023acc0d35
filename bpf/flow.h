/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Flows: decided once, by their SYN, and remembered. Which SYNs of ours leave in the tunnel, which SYNs that come in UDP are taken,
 * and when a handshake counts as answered.
 *
 * Room: maps and header copies; does not touch packets except to read options.
 */

#include "maps.h"
#include "packet.h"

UNDERPASS_INLINE void flow_key_outgoing(const struct packet *packet, struct underpass_flow_key *key) {
        __builtin_memcpy(key->local, packet->source, sizeof(key->local));
        __builtin_memcpy(key->remote, packet->dest, sizeof(key->remote));
        key->local_port = packet->header.tcp.source;
        key->remote_port = packet->header.tcp.dest;
}

UNDERPASS_INLINE void flow_key_incoming(const struct packet *packet, struct underpass_flow_key *key) {
        __builtin_memcpy(key->local, packet->dest, sizeof(key->local));
        __builtin_memcpy(key->remote, packet->source, sizeof(key->remote));
        key->local_port = packet->header.tcp.dest;
        key->remote_port = packet->header.tcp.source;
}

UNDERPASS_INLINE struct underpass_flow *flow_lookup(const struct underpass_flow_key *key) {
        struct underpass_flow *flow = bpf_map_lookup_elem(&flows, key);

        return flow ? flow : bpf_map_lookup_elem(&tries, key);
}

/*
 * Membership without branches: the verifier would follow every combination of them. Unrolled, for without
 * CAP_PERFMON a pointer takes constant offsets only; the barrier keeps the compiler from loading all rounds at
 * once, which takes a stack frame of hundreds of bytes. Unused ranges are 0 … 0; port 0, which anybody can
 * write into a datagram, is in no range.
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

/* A SYN of ours: does the profile of the link want it in the tunnel? */
UNDERPASS_INLINE int flow_wanted(struct __sk_buff *skb, const struct underpass_link *link, const struct packet *packet,
                                 const struct underpass_flow_key *key) {
        struct packet_options options = {};

        if ((link->flags & UNDERPASS_LINK_FWMARK) && (skb->mark & link->mark_mask) != link->mark)
                return 0;
        if (!ports_contain(link->remote_ports, UNDERPASS_NET16(key->remote_port)))
                return 0;
        if (!addresses_contain(link, key->remote))
                return 0;
        if (!(link->flags & UNDERPASS_LINK_MPTCP_ONLY))
                return 1;
        packet_options(skb, packet->layer4, packet->header.tcp.offset, &options);
        return options.mptcp;
}

UNDERPASS_INLINE void flow_start(const struct underpass_flow_key *key, __u32 ifindex, __u32 slot, __u8 flags,
                                 __u32 expected) {
        struct underpass_flow flow = {
                .opened_ns = bpf_ktime_get_coarse_ns(),
                .ifindex = ifindex,
                .slot = slot,
                .expected = expected,
                .state = UNDERPASS_FLOW_TRYING,
                .flags = flags,
        };

        flow.seen_ns = flow.opened_ns;
        bpf_map_update_elem(&tries, key, &flow, BPF_ANY);
}

/* A new SYN for the same addresses and ports: whatever was remembered is over. */
UNDERPASS_INLINE void flow_forget(const struct underpass_flow_key *key) {
        if (bpf_map_lookup_elem(&flows, key))
                bpf_map_delete_elem(&flows, key);
        if (bpf_map_lookup_elem(&tries, key))
                bpf_map_delete_elem(&tries, key);
}

/* Decides a flow by the SYN that our side sends. 1: tunnelled, a record is in "tries"; 0: plain. */
UNDERPASS_GLOBAL int flow_open(struct __sk_buff *skb, struct packet *packet, struct underpass_flow_key *key) {
        struct underpass_link *link = link_of(skb);

        if (!packet || !key)
                return 0;
        if (!link || !flow_wanted(skb, link, packet, key)) {
                flow_forget(key);
                return 0;
        }
        bpf_map_delete_elem(&flows, key);
        flow_start(key, skb->ifindex, link->slot, UNDERPASS_FLOW_OPENED_HERE,
                   UNDERPASS_NET32(packet->header.tcp.sequence) + 1);
        count(link->slot, UNDERPASS_COUNTER_FLOWS_OPENED);
        return 1;
}

/*
 * Decides about a datagram that belongs to no flow: only one that has exactly the shape of a SYN, to a port of local-ports,
 * opens one. Everything else is the business of UDP sockets, and a client takes no SYN at all. 1: taken, a record is in
 * "tries"; 0: not ours.
 */
UNDERPASS_GLOBAL int flow_accept(struct __sk_buff *skb, struct packet *packet, struct underpass_flow_key *key) {
        struct packet_options options = {};
        struct underpass_link *link;

        if (!packet || !key || !underpass_udp_is_syn(&packet->header, packet->length))
                return 0;
        link = link_of(skb);
        if (!link)
                return 0;
        if (!ports_contain(link->local_ports, UNDERPASS_NET16(key->local_port))) {
                count(link->slot, UNDERPASS_COUNTER_PASS_PORT);
                return 0;
        }
        if (link->flags & UNDERPASS_LINK_MPTCP_ONLY) {
                packet_options(skb, packet->layer4, packet->header.udp.offset, &options);
                if (!options.mptcp) {
                        count(link->slot, UNDERPASS_COUNTER_PASS_NOT_MPTCP);
                        return 0;
                }
        }
        flow_start(key, skb->ifindex, link->slot, 0, 0);
        count(link->slot, UNDERPASS_COUNTER_FLOWS_ACCEPTED);
        return 1;
}

/* A packet of ours on a half-open flow: the SYN-ACK tells which acknowledgment proves that the peer is real. */
UNDERPASS_INLINE void flow_sent(struct underpass_flow *flow, const union underpass_header *tcp) {
        flow->seen_ns = bpf_ktime_get_coarse_ns();
        flow->sent++;
        if (flow->state != UNDERPASS_FLOW_TRYING || (flow->flags & UNDERPASS_FLOW_OPENED_HERE))
                return;
        if ((tcp->tcp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK)) == (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK)) {
                flow->expected = UNDERPASS_NET32(tcp->tcp.sequence) + 1;
                flow->flags |= UNDERPASS_FLOW_ANSWERED;
        }
}

/* A packet of the peer (header still in UDP form): a half-open flow becomes established by a segment that answers ours. */
UNDERPASS_INLINE void flow_received(struct underpass_flow *flow, const struct underpass_flow_key *key,
                                    const union underpass_header *udp) {
        struct underpass_flow established;
        __u32 slot = flow->slot;

        flow->seen_ns = bpf_ktime_get_coarse_ns();
        flow->received++;
        if (flow->state != UNDERPASS_FLOW_TRYING || !(udp->udp.flags & UNDERPASS_TCP_ACK) ||
            (udp->udp.flags & UNDERPASS_TCP_RST))
                return;
        if (!(flow->flags & (UNDERPASS_FLOW_OPENED_HERE | UNDERPASS_FLOW_ANSWERED)))
                return;
        if (!underpass_answers(UNDERPASS_NET32(udp->udp.acknowledgment), flow->expected))
                return;
        established = *flow;
        established.state = UNDERPASS_FLOW_TUNNELLED;
        if (bpf_map_update_elem(&flows, key, &established, BPF_ANY) < 0)
                return; /* still half-open, so still tunnelled; the next packet tries again */
        bpf_map_delete_elem(&tries, key);
        count(slot, UNDERPASS_COUNTER_FLOWS_ESTABLISHED);
}
