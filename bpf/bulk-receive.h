/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Datagrams of the peer in the bulk form → TCP. Addresses and ports are those of the outer headers: a NAT
 * has changed them, and the inner ones are only what the sender thought they were. So are the hop limit
 * and the congestion mark. What is inside is believed for flows alone that speak over UDP already, on
 * links that take the bulk form; nobody else gets anything unpacked here.
 */

#include <linux/udp.h>

#include "bulk-send.h"
#include "learn.h"

enum bulk_result {
        BULK_RESULT_NONE,     /* no bulk of a flow of ours: a datagram like any other */
        BULK_RESULT_TCP,      /* unpacked */
        BULK_RESULT_MERGED,   /* several datagrams, headers and all, in one packet: to be cut first */
        BULK_RESULT_MALFORMED, /* of a flow, but not to be unpacked: dropped */
        BULK_RESULT_BROKEN,   /* half written: dropped */
};

/* The inner headers. */
struct bulk_inner_ipv4 {
        struct iphdr ip;
        union underpass_header header;
};

struct bulk_inner_ipv6 {
        struct ipv6hdr ip;
        union underpass_header header;
};

/* Whether a TCP header inside, and what is behind it, can be of an established flow. length: of both. */
UNDERPASS_INLINE int bulk_inner_shape(const union underpass_header *inner, __u32 length) {
        return length >= UNDERPASS_HEADER_LENGTH && underpass_tcp_shape(inner, (__u16) length) &&
               (inner->tcp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_RST | UNDERPASS_TCP_ACK)) ==
                       UNDERPASS_TCP_ACK;
}

/*
 * Several in one, as UDP GRO makes them for forwarding: then the inner length is that of the first. A
 * super-packet that has crossed the link as one has the whole length there. Returns enum bulk_result.
 */
UNDERPASS_INLINE int bulk_compare(struct __sk_buff *skb, __u32 outer, __u32 inner) {
        if (outer == inner)
                return BULK_RESULT_TCP;
        return skb->gso_size != 0 && inner == skb->gso_size ? BULK_RESULT_MERGED : BULK_RESULT_MALFORMED;
}

/* A changed address: the checksum of TCP hears of it. Negative: it could not be changed. */
UNDERPASS_INLINE long bulk_correct(struct __sk_buff *skb, __u32 check, __u32 old, __u32 new) {
        return old == new ? 0 : bpf_l4_csum_replace(skb, check, old, new, BPF_F_PSEUDO_HDR | sizeof(new));
}

/* Writes the ports of the outer header into the inner one. layer4: of the inner one. */
UNDERPASS_GLOBAL int bulk_write_ports(struct __sk_buff *skb, struct packet *packet,
                                      union underpass_header *inner, __u32 layer4) {
        __u32 check = layer4 + offsetof(struct underpass_tcp_header, check);
        __u16 source, dest;

        if (!packet || !inner)
                return -1;
        source = packet->header.udp.source;
        dest = packet->header.udp.dest;
        if (inner->tcp.source != source &&
            (bpf_l4_csum_replace(skb, check, inner->tcp.source, source, sizeof(source)) < 0 ||
             bpf_skb_store_bytes(skb, layer4, &source, sizeof(source), 0) < 0))
                return -1;
        if (inner->tcp.dest != dest &&
            (bpf_l4_csum_replace(skb, check, inner->tcp.dest, dest, sizeof(dest)) < 0 ||
             bpf_skb_store_bytes(skb, layer4 + sizeof(source), &dest, sizeof(dest), 0) < 0))
                return -1;
        return 0;
}

/*
 * Whether the flow is this one, and not an earlier one of the same addresses and ports: see
 * flow_goes_on().
 */
UNDERPASS_INLINE int bulk_is_of(const struct underpass_flow *flow, const union underpass_header *inner) {
        return !flow_is_silent(flow) ||
               (flow->next != 0 &&
                underpass_answers(UNDERPASS_NET32(inner->tcp.acknowledgment), flow->expected, flow->next));
}

/*
 * Whether a datagram that begins like bulk is for a UDP socket by now, as nothing has been seen of the flow
 * for a while and the connection is over: see flow_is_over(), which nobody asks about what goes on.
 */
UNDERPASS_GLOBAL int bulk_is_over(struct __sk_buff *skb, struct packet *packet,
                                  struct underpass_flow *flow) {
        union underpass_header inner;

        if (!packet || !flow || !flow_is_silent(flow))
                return 0;
        if (bpf_skb_load_bytes(skb, packet->layer4 + UDP_LENGTH + (packet->ipv6 ? IPV6_LENGTH : IPV4_LENGTH),
                               &inner, sizeof(inner)) == 0 &&
            bulk_is_of(flow, &inner))
                return 0;
        return flow_is_over(skb, packet);
}

/* Takes the outer headers off. checked: the UDP checksum has been looked at, if anybody does. */
UNDERPASS_INLINE long bulk_unwrap(struct __sk_buff *skb, __s32 room, int checked) {
        if (checked)
                return bpf_skb_adjust_room(skb, -room, BPF_ADJ_ROOM_MAC,
                                           BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET);
        return bpf_skb_adjust_room(skb, -room, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
}

/* The checksum of the outer IPv4 header once it is that of the segment, with another total length: a wrong
 * one stays wrong. All in network order. */
UNDERPASS_INLINE __u16 bulk_retitled_check(__u16 check, __u16 old_total, __u16 total) {
        __u32 sum = (__u16) ~check;

        sum += (__u16) ~UNDERPASS_NET16(UNDERPASS_PROTOCOL_DELTA);
        sum += (__u16) ~old_total;
        sum += total;
        return (__u16) ~underpass_fold(sum);
}

/* The outer header becomes that of the segment. length: bytes, host order. */
UNDERPASS_INLINE void bulk_retitle_ipv4(struct iphdr *ip, __u32 length) {
        __u16 total = UNDERPASS_NET16(length);

        ip->check = bulk_retitled_check(ip->check, ip->tot_len, total);
        ip->protocol = UNDERPASS_PROTOCOL_TCP;
        ip->tot_len = total;
}

/*
 * The headers of a datagram, which each one of bulk passes: straight from the packet, with constant offsets.
 * Returns enum bulk_result.
 */
UNDERPASS_INLINE int bulk_read_ipv4(struct __sk_buff *skb, const __u32 layer3, struct packet *packet,
                                    struct bulk_inner_ipv4 *inner, struct iphdr *outer) {
        const __u32 wanted = layer3 + BULK_IPV4_ROOM + sizeof(*inner);
        __u32 size = UNDERPASS_NET16(packet->header.udp.length), length;
        struct iphdr *ip;

        if (size < UDP_LENGTH + sizeof(*inner) || size > packet->length ||
            packet_pull(skb, wanted, UNDERPASS_PROTOCOL_UDP) < 0)
                return BULK_RESULT_MALFORMED;
        ip = (void *) (long) skb->data + layer3;
        if ((void *) ip + BULK_IPV4_ROOM + sizeof(*inner) > (void *) (long) skb->data_end)
                return BULK_RESULT_MALFORMED;
        *outer = *ip;
        *inner = *(struct bulk_inner_ipv4 *) ((void *) ip + BULK_IPV4_ROOM);
        length = UNDERPASS_NET16(inner->ip.tot_len);
        /* Each IPv4 header sums to nothing, so a sum of the whole packet (CHECKSUM_COMPLETE) stays right
         * when one takes the place of the other. */
        if (*(__u8 *) &inner->ip != IPV4_USUAL || inner->ip.protocol != UNDERPASS_PROTOCOL_TCP ||
            (inner->ip.frag_off & UNDERPASS_NET16(IPV4_FRAGMENT_MASK)) || length < sizeof(*inner) ||
            underpass_fold(packet_sum_words((const packet_word *) &inner->ip, IPV4_LENGTH / 4)) != 0xffff ||
            !bulk_inner_shape(&inner->header, length - IPV4_LENGTH))
                return BULK_RESULT_MALFORMED;
        return bulk_compare(skb, size - UDP_LENGTH, length);
}

/* Behind a NAT: the addresses and ports of the outer headers are the right ones. */
UNDERPASS_GLOBAL int bulk_translate_ipv4(struct __sk_buff *skb, struct packet *packet,
                                         struct bulk_inner_ipv4 *inner) {
        __u32 layer4, check;

        if (!packet || !inner)
                return -1;
        layer4 = packet->layer3 + IPV4_LENGTH;
        check = layer4 + offsetof(struct underpass_tcp_header, check);
        if (bulk_correct(skb, check, inner->ip.saddr, packet->source[3]) < 0 ||
            bulk_correct(skb, check, inner->ip.daddr, packet->dest[3]) < 0)
                return -1;
        return bulk_write_ports(skb, packet, &inner->header, layer4);
}

UNDERPASS_INLINE int bulk_take_ipv4_at(struct __sk_buff *skb, const __u32 layer3, struct packet *packet,
                                       struct underpass_flow *flow) {
        struct bulk_inner_ipv4 inner;
        struct iphdr outer, *ip;
        int result;

        result = bulk_read_ipv4(skb, layer3, packet, &inner, &outer);
        if (result != BULK_RESULT_TCP)
                return result;
        if (!bulk_is_of(flow, &inner.header))
                return BULK_RESULT_NONE;
        if (bulk_unwrap(skb, BULK_IPV4_ROOM, packet->header.udp.check != 0) < 0)
                return BULK_RESULT_BROKEN;
        ip = (void *) (long) skb->data + layer3;
        if ((void *) (ip + 1) > (void *) (long) skb->data_end)
                return BULK_RESULT_BROKEN;
        bulk_retitle_ipv4(&outer, UNDERPASS_NET16(inner.ip.tot_len));
        *ip = outer;
        if ((inner.ip.saddr != outer.saddr || inner.ip.daddr != outer.daddr ||
             inner.header.tcp.source != packet->header.udp.source ||
             inner.header.tcp.dest != packet->header.udp.dest) &&
            bulk_translate_ipv4(skb, packet, &inner) < 0)
                return BULK_RESULT_BROKEN;
        bulk_present(&packet->header, &inner.header);
        return BULK_RESULT_TCP;
}

/* One datagram → TCP. Returns enum bulk_result; packet->header is as bulk_present() says then. */
UNDERPASS_GLOBAL int bulk_take_ipv4(struct __sk_buff *skb, struct packet *packet,
                                    struct underpass_flow *flow) {
        if (!packet || !flow)
                return BULK_RESULT_NONE;
        if (packet->layer3 == ETH_HLEN)
                return bulk_take_ipv4_at(skb, ETH_HLEN, packet, flow);
        return bulk_take_ipv4_at(skb, 0, packet, flow);
}

UNDERPASS_GLOBAL int bulk_read_ipv6(struct __sk_buff *skb, struct packet *packet,
                                    struct bulk_inner_ipv6 *inner) {
        __u32 outer, length;

        if (!packet || !inner)
                return BULK_RESULT_NONE;
        outer = UNDERPASS_NET16(packet->header.udp.length);
        if (outer < UDP_LENGTH + sizeof(*inner) || outer > packet->length || packet->header.udp.check == 0 ||
            bpf_skb_load_bytes(skb, packet->layer4 + UDP_LENGTH, inner, sizeof(*inner)) < 0 ||
            inner->ip.version != 6 || inner->ip.nexthdr != UNDERPASS_PROTOCOL_TCP)
                return BULK_RESULT_MALFORMED;
        length = UNDERPASS_NET16(inner->ip.payload_len);
        if (!bulk_inner_shape(&inner->header, length))
                return BULK_RESULT_MALFORMED;
        return bulk_compare(skb, outer - UDP_LENGTH, length + IPV6_LENGTH);
}

/* The four words of an address, for the checksum of TCP. */
UNDERPASS_GLOBAL int bulk_correct_ipv6(struct __sk_buff *skb, struct in6_addr *old, struct in6_addr *new,
                                       __u32 check) {
        if (!old || !new)
                return -1;
#pragma unroll
        for (int i = 0; i < 4; i++)
                if (bulk_correct(skb, check, old->in6_u.u6_addr32[i], new->in6_u.u6_addr32[i]) < 0)
                        return -1;
        return 0;
}

UNDERPASS_GLOBAL int bulk_retitle_ipv6(struct ipv6hdr *ip, __u32 length) {
        if (!ip)
                return 0;
        ip->nexthdr = UNDERPASS_PROTOCOL_TCP;
        ip->payload_len = UNDERPASS_NET16(length);
        return 0;
}

UNDERPASS_GLOBAL int bulk_take_ipv6(struct __sk_buff *skb, struct packet *packet,
                                    struct underpass_flow *flow) {
        struct bulk_inner_ipv6 inner = {};
        struct ipv6hdr outer = {};
        __u32 layer3, layer4, check;
        int result;

        if (!packet || !flow)
                return BULK_RESULT_NONE;
        result = bulk_read_ipv6(skb, packet, &inner);
        if (result != BULK_RESULT_TCP)
                return result;
        if (!bulk_is_of(flow, &inner.header))
                return BULK_RESULT_NONE;
        layer3 = packet->layer3;
        layer4 = layer3 + IPV6_LENGTH;
        check = layer4 + offsetof(struct underpass_tcp_header, check);
        if (bpf_skb_load_bytes(skb, layer3, &outer, sizeof(outer)) < 0 ||
            bulk_unwrap(skb, BULK_IPV6_ROOM, 1) < 0)
                return BULK_RESULT_BROKEN;
        bulk_retitle_ipv6(&outer, UNDERPASS_NET16(inner.ip.payload_len));
        if (bulk_correct_ipv6(skb, &inner.ip.saddr, &outer.saddr, check) < 0 ||
            bulk_correct_ipv6(skb, &inner.ip.daddr, &outer.daddr, check) < 0 ||
            bpf_skb_store_bytes(skb, layer3, &outer, sizeof(outer), BPF_F_RECOMPUTE_CSUM) < 0 ||
            bulk_write_ports(skb, packet, &inner.header, layer4) < 0)
                return BULK_RESULT_BROKEN;
        bulk_present(&packet->header, &inner.header);
        return BULK_RESULT_TCP;
}

/* A datagram of an established flow, on a link that takes the bulk form. Returns enum bulk_result. */
UNDERPASS_INLINE int bulk_take(struct __sk_buff *skb, struct packet *packet, struct underpass_flow *flow) {
        if (!packet->usual)
                return BULK_RESULT_MALFORMED;
        return packet->ipv6 ? bulk_take_ipv6(skb, packet, flow) : bulk_take_ipv4(skb, packet, flow);
}
