/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Datagrams of connections that this host knows nothing of: it was started anew, or a NAT on the way has
 * taken another port. TCP would answer a reset, so the programs do, in the form in which the peer
 * speaks; a peer that hears nothing sends for a quarter of an hour.
 *
 * It could be any UDP, so it is answered only where a TCP socket of this host listens and no UDP socket
 * is: then the stack would refuse it, too. A reset is never answered, so two sides that have both
 * forgotten keep silent.
 */

#include "learn.h"
#include "path-mtu.h"
#include "reset.h"

enum {
        FORGOTTEN_FLAGS = UNDERPASS_TCP_SYN | UNDERPASS_TCP_RST | UNDERPASS_TCP_ACK,
        FORGOTTEN_RESERVED = 0x0f & ~(UNDERPASS_TCP_AE | UNDERPASS_BULK_BITS), /* what nobody sends */
        FORGOTTEN_PACKET_HOST = 0, /* PACKET_HOST in linux/if_packet.h */
        FORGOTTEN_AF_INET = 2,
        FORGOTTEN_AF_INET6 = 10,
};

UNDERPASS_GLOBAL int forgotten_route(struct packet *packet, __u32 ifindex, struct bpf_fib_lookup *ret) {
        if (!packet || !ret)
                return 0;
        ret->ifindex = ifindex;
        ret->l4_protocol = UNDERPASS_PROTOCOL_TCP;
        ret->sport = packet->header.udp.source;
        ret->dport = packet->header.udp.dest;
        if (packet->ipv6) {
                ret->family = FORGOTTEN_AF_INET6;
                __builtin_memcpy(ret->ipv6_src, packet->source, sizeof(packet->source));
                __builtin_memcpy(ret->ipv6_dst, packet->dest, sizeof(packet->dest));
                asm volatile("" : : : "memory"); /* as in learn_tuple() */
                return 0;
        }
        ret->family = FORGOTTEN_AF_INET;
        ret->ipv4_src = packet->source[3];
        ret->ipv4_dst = packet->dest[3];
        return 0;
}

/* Whether a packet is for this host, and not to be forwarded: sockets that listen at all addresses are
 * found for any. */
UNDERPASS_GLOBAL int forgotten_is_local(struct __sk_buff *skb, struct packet *packet) {
        struct bpf_fib_lookup route = {};
        long result;

        if (!packet || skb->pkt_type != FORGOTTEN_PACKET_HOST)
                return 0;
        forgotten_route(packet, skb->ifindex, &route);
        result = bpf_fib_lookup(skb, &route, sizeof(route), 0);
        return result == BPF_FIB_LKUP_RET_NOT_FWDED || result == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

/* Whether nothing of TCP but a socket that listens takes a segment to these addresses and ports. */
UNDERPASS_GLOBAL int forgotten_listens(struct __sk_buff *skb, struct packet *packet) {
        struct bpf_sock_tuple tuple = {};
        struct bpf_sock *sock;
        int listens;

        if (!packet)
                return 0;
        sock = learn_find_tcp(skb, packet, &tuple);
        if (!sock)
                return 0;
        listens = sock->state == TCP_STATE_LISTEN;
        bpf_sk_release(sock);
        return listens;
}

/* Who makes up segments makes us send no more than this. */
UNDERPASS_INLINE int forgotten_is_seldom(struct underpass_slot *of) {
        __u32 second = (__u32) (bpf_ktime_get_coarse_ns() / NANOSECONDS);

        if (of->resets_second != second) {
                of->resets_second = second;
                of->resets = 0;
        }
        if (of->resets >= UNDERPASS_RESETS_MAX)
                return 0;
        of->resets++;
        return 1;
}

/*
 * A datagram that neither belongs to a flow nor begins or revives one. 1: it has become a reset, for the
 * link by which it came; 0: it is not ours; negative: it may be half written and has to be dropped.
 */
UNDERPASS_GLOBAL int forgotten_reset(struct __sk_buff *skb, struct packet *packet) {
        struct underpass_flow_key key = {};
        struct underpass_slot *of;
        struct underpass_link *link;
        __u32 slot;
        int r;

        if (!packet || !packet->usual || skb->gso_size ||
            (packet->header.udp.flags & FORGOTTEN_FLAGS) != UNDERPASS_TCP_ACK ||
            (packet->header.udp.offset & FORGOTTEN_RESERVED) || packet->header.udp.check == 0 ||
            !underpass_udp_shape(&packet->header, packet->length))
                return 0;
        link = link_of(skb);
        if (!link || !ports_contain(link->local_ports, UNDERPASS_NET16(packet->header.udp.dest)))
                return 0;
        slot = link->slot;
        of = bpf_map_lookup_elem(&slots, &slot);
        if (!of || !forgotten_listens(skb, packet) || flow_is_over(skb, packet) ||
            !forgotten_is_local(skb, packet))
                return 0;
        if (!forgotten_is_seldom(of)) {
                count(slot, UNDERPASS_COUNTER_PASS_FORGOTTEN);
                return 0;
        }
        flow_key_incoming(packet, &key);
        if (packet->ipv6)
                r = reset_make_ipv6(skb, packet->layer3, &key, packet->header.udp.acknowledgment,
                                    UNDERPASS_PROTOCOL_UDP);
        else
                r = reset_make_ipv4(skb, packet->layer3, &key, packet->header.udp.acknowledgment,
                                    UNDERPASS_PROTOCOL_UDP);
        if (r < 0 || (packet->layer3 != 0 && packet_turn_frame(skb) < 0)) {
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                return -1;
        }
        count(slot, UNDERPASS_COUNTER_RESETS_SENT);
        return 1;
}
