/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Ingress in front of the driver's GRO (native XDP): established flows become TCP before packets are merged,
 * so the stack sees few large ones. Everything else goes on as it came, to the program in tc.
 *
 * There is no skb yet, so no checksum state
 * that would have to hear of the change.
 */

#include "bulk-receive.h"

struct xdp_packet {
        struct underpass_flow_key key;
        union underpass_header header;
        __u32 length; /* header and payload, by the IP header */
        __u32 ipv4;
};

/* Fills in *ret when the frame is UDP with headers at their usual place. 1: it is. */
UNDERPASS_GLOBAL int xdp_read(struct xdp_md *context, struct xdp_packet *ret) {
        void *data = (void *) (long) context->data, *end = (void *) (long) context->data_end;
        struct ethhdr *ethernet = data;

        if (!ret || (void *) (ethernet + 1) > end)
                return 0;
        if (ethernet->h_proto == UNDERPASS_NET16(ETH_P_IP)) {
                struct iphdr *ip = data + ETH_HLEN;

                if ((void *) ip + IPV4_LENGTH + UNDERPASS_HEADER_LENGTH > end ||
                    *(__u8 *) ip != IPV4_USUAL || ip->protocol != UNDERPASS_PROTOCOL_UDP ||
                    (ip->frag_off & UNDERPASS_NET16(IPV4_FRAGMENT_MASK)))
                        return 0;
                ret->header = *(union underpass_header *) ((void *) ip + IPV4_LENGTH);
                packet_address_ipv4(ret->key.local, ip->daddr);
                packet_address_ipv4(ret->key.remote, ip->saddr);
                ret->length = UNDERPASS_NET16(ip->tot_len) - IPV4_LENGTH;
                ret->ipv4 = 1;
        } else if (ethernet->h_proto == UNDERPASS_NET16(ETH_P_IPV6)) {
                struct ipv6hdr *ip = data + ETH_HLEN;

                if ((void *) ip + IPV6_LENGTH + UNDERPASS_HEADER_LENGTH > end || ip->version != 6 ||
                    ip->nexthdr != UNDERPASS_PROTOCOL_UDP)
                        return 0;
                ret->header = *(union underpass_header *) ((void *) ip + IPV6_LENGTH);
                __builtin_memcpy(ret->key.local, &ip->daddr, sizeof(ret->key.local));
                __builtin_memcpy(ret->key.remote, &ip->saddr, sizeof(ret->key.remote));
                ret->length = UNDERPASS_NET16(ip->payload_len);
                ret->ipv4 = 0;
        } else
                return 0;
        ret->key.local_port = ret->header.udp.dest;
        ret->key.remote_port = ret->header.udp.source;
        return 1;
}

/* The compiler would make one end of the two branches, at a variable offset, which needs CAP_PERFMON. */
#define APART(number) asm volatile("" : : "i"(number) : "memory")

UNDERPASS_INLINE void xdp_convert(struct xdp_md *context, int ipv4, __u32 bits) {
        void *data = (void *) (long) context->data, *end = (void *) (long) context->data_end;

        if (ipv4) {
                struct iphdr *ip = data + ETH_HLEN;

                if ((void *) ip + IPV4_LENGTH + UNDERPASS_HEADER_LENGTH > end)
                        return;
                ip->protocol = UNDERPASS_PROTOCOL_TCP;
                ip->check = underpass_ipv4_check_to_tcp(ip->check);
                if (bits)
                        underpass_set_bulk_bits((void *) ip + IPV4_LENGTH, 0);
                underpass_udp_to_tcp((void *) ip + IPV4_LENGTH);
                APART(4);
        } else {
                struct ipv6hdr *ip = data + ETH_HLEN;

                if ((void *) ip + IPV6_LENGTH + UNDERPASS_HEADER_LENGTH > end)
                        return;
                ip->nexthdr = UNDERPASS_PROTOCOL_TCP;
                if (bits)
                        underpass_set_bulk_bits((void *) ip + IPV6_LENGTH, 0);
                underpass_udp_to_tcp((void *) ip + IPV6_LENGTH);
                APART(6);
        }
}

/* The headers of a datagram in the bulk form, and what becomes of them. */
struct xdp_bulk {
        struct ethhdr ethernet;
        union {
                struct iphdr ipv4; /* the outer one */
                struct ipv6hdr ipv6;
        };
        union underpass_header header; /* the inner one, of TCP */
        __u32 sum;                     /* of the inner addresses and ports, as 16-bit words */
};

/* Reads them, of what begins like bulk, see bulk_begins(). 1: it is a segment of an established flow, by its
 * shape. */
UNDERPASS_GLOBAL int xdp_bulk_read_ipv4(struct xdp_md *context, struct xdp_bulk *ret) {
        void *data = (void *) (long) context->data, *end = (void *) (long) context->data_end;
        struct iphdr *ip = data + ETH_HLEN;
        struct udphdr *udp = (void *) ip + IPV4_LENGTH;
        struct bulk_inner_ipv4 *inner = (void *) (udp + 1);
        __u32 length;

        if (!ret || (void *) (inner + 1) > end)
                return 0;
        length = UNDERPASS_NET16(inner->ip.tot_len);
        if (inner->ip.protocol != UNDERPASS_PROTOCOL_TCP ||
            (inner->ip.frag_off & UNDERPASS_NET16(IPV4_FRAGMENT_MASK)) ||
            UNDERPASS_NET16(udp->len) != length + UDP_LENGTH ||
            UNDERPASS_NET16(ip->tot_len) != length + BULK_IPV4_ROOM || length < sizeof(*inner) ||
            !bulk_inner_shape(&inner->header, length - IPV4_LENGTH))
                return 0;
        ret->ethernet = *(struct ethhdr *) data;
        ret->ipv4 = *ip;
        ret->header = inner->header;
        ret->header.tcp.source = udp->source;
        ret->header.tcp.dest = udp->dest;
        ret->sum = (inner->ip.saddr & 0xffff) + (inner->ip.saddr >> 16) + (inner->ip.daddr & 0xffff) +
                   (inner->ip.daddr >> 16) + inner->header.tcp.source + inner->header.tcp.dest;
        bulk_retitle_ipv4(&ret->ipv4, length);
        return 1;
}

UNDERPASS_GLOBAL int xdp_bulk_read_ipv6(struct xdp_md *context, struct xdp_bulk *ret) {
        void *data = (void *) (long) context->data, *end = (void *) (long) context->data_end;
        struct ipv6hdr *ip = data + ETH_HLEN;
        struct udphdr *udp = (void *) ip + IPV6_LENGTH;
        struct bulk_inner_ipv6 *inner = (void *) (udp + 1);
        __u32 length;

        if (!ret || (void *) (inner + 1) > end)
                return 0;
        length = UNDERPASS_NET16(inner->ip.payload_len);
        if (udp->check == 0 || UNDERPASS_NET16(udp->len) != length + BULK_IPV6_ROOM ||
            ip->payload_len != udp->len || !bulk_inner_shape(&inner->header, length))
                return 0;
        ret->ethernet = *(struct ethhdr *) data;
        ret->ipv6 = *ip;
        ret->header = inner->header;
        ret->header.tcp.source = udp->source;
        ret->header.tcp.dest = udp->dest;
        ret->sum = packet_sum_words(inner->ip.saddr.in6_u.u6_addr32, 8) + inner->header.tcp.source +
                   inner->header.tcp.dest;
        bulk_retitle_ipv6(&ret->ipv6, length);
        return 1;
}

/* Corrects the checksum of TCP. outer: the sum of addresses and ports as they are now. Returns 0. */
UNDERPASS_GLOBAL int xdp_bulk_correct(struct xdp_bulk *bulk, __u32 outer) {
        if (!bulk)
                return 0;
        outer += (__u32) bulk->header.tcp.source + bulk->header.tcp.dest;
        bulk->header.tcp.check = underpass_check_adjust(bulk->header.tcp.check, underpass_fold(outer),
                                                        underpass_fold(bulk->sum));
        return 0;
}

/* The headers of TCP take the place of the outer ones. 0: it could not be done, and nothing has been. */
UNDERPASS_GLOBAL int xdp_bulk_write_ipv4(struct xdp_md *context, struct xdp_bulk *bulk) {
        void *data, *end;

        if (!bulk || bpf_xdp_adjust_head(context, BULK_IPV4_ROOM) < 0)
                return 0;
        xdp_bulk_correct(bulk, (bulk->ipv4.saddr & 0xffff) + (bulk->ipv4.saddr >> 16) +
                                       (bulk->ipv4.daddr & 0xffff) + (bulk->ipv4.daddr >> 16));
        data = (void *) (long) context->data;
        end = (void *) (long) context->data_end;
        if (data + ETH_HLEN + IPV4_LENGTH + UNDERPASS_HEADER_LENGTH > end)
                return 0;
        *(struct ethhdr *) data = bulk->ethernet;
        *(struct iphdr *) (data + ETH_HLEN) = bulk->ipv4;
        *(union underpass_header *) (data + ETH_HLEN + IPV4_LENGTH) = bulk->header;
        return 1;
}

UNDERPASS_GLOBAL int xdp_bulk_write_ipv6(struct xdp_md *context, struct xdp_bulk *bulk) {
        void *data, *end;

        if (!bulk || bpf_xdp_adjust_head(context, BULK_IPV6_ROOM) < 0)
                return 0;
        xdp_bulk_correct(bulk, packet_sum_words(bulk->ipv6.saddr.in6_u.u6_addr32, 8));
        data = (void *) (long) context->data;
        end = (void *) (long) context->data_end;
        if (data + ETH_HLEN + IPV6_LENGTH + UNDERPASS_HEADER_LENGTH > end)
                return 0;
        *(struct ethhdr *) data = bulk->ethernet;
        *(struct ipv6hdr *) (data + ETH_HLEN) = bulk->ipv6;
        *(union underpass_header *) (data + ETH_HLEN + IPV6_LENGTH) = bulk->header;
        return 1;
}

/* A frame that may have a datagram in the bulk form. Whatever is odd about it, the program in tc judges. */
UNDERPASS_GLOBAL int xdp_take_bulk(struct xdp_md *context, struct xdp_packet *early) {
        struct underpass_flow_key key = {};
        struct underpass_slot *of;
        struct underpass_flow *flow;
        struct xdp_bulk bulk = {};
        __u32 slot;

        if (!early)
                return XDP_PASS;
        flow_key_copy(&early->key, &key);
        flow = bpf_map_lookup_elem(&flows, &key);
        if (!flow || flow_is_silent(flow))
                return XDP_PASS;
        slot = slot_of_link(context->ingress_ifindex, flow->slot);
        of = bpf_map_lookup_elem(&slots, &slot);
        if (!of || !(of->flags & UNDERPASS_SLOT_BULK) ||
            !(early->ipv4 ? xdp_bulk_read_ipv4(context, &bulk) : xdp_bulk_read_ipv6(context, &bulk)))
                return XDP_PASS;
        bulk_present(&early->header, &bulk.header);
        if (!(early->ipv4 ? xdp_bulk_write_ipv4(context, &bulk) : xdp_bulk_write_ipv6(context, &bulk)))
                return XDP_DROP;
        bulk_arrived(flow, bpf_ktime_get_coarse_ns(), UNDERPASS_NET32(early->header.udp.acknowledgment));
        if (early->header.udp.flags & UNDERPASS_TCP_FIN)
                flow_peer_ends(flow, &early->header);
        flow_acknowledged(flow, &early->header);
        count(slot, UNDERPASS_COUNTER_RECEIVED);
        count(slot, UNDERPASS_COUNTER_BULK_RECEIVED);
        return XDP_PASS;
}

SEC("xdp.frags")
int underpass_xdp(struct xdp_md *context) {
        struct underpass_flow *flow;
        struct xdp_packet early = {};
        struct underpass_slot *of;
        __u32 slot, bits = 0;

        if (!xdp_read(context, &early))
                return XDP_PASS;
        if (bulk_begins(&early.header, !early.ipv4))
                return xdp_take_bulk(context, &early);
        if (!underpass_udp_shape(&early.header, (__u16) early.length) || early.header.udp.check == 0 ||
            (early.header.udp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_RST)))
                return XDP_PASS;
        flow = bpf_map_lookup_elem(&flows, &early.key);
        if (!flow || flow_is_silent(flow))
                return XDP_PASS;
        slot = slot_of_link(context->ingress_ifindex, flow->slot);
        of = bpf_map_lookup_elem(&slots, &slot);
        if (of && (of->flags & UNDERPASS_SLOT_BULK)) {
                bits = early.header.udp.offset & UNDERPASS_BULK_BITS;
                /* Before the acknowledgment counts as heard. */
                if (flow_goes_on(flow, &early.header))
                        bulk_hear(flow, (__u8) bits);
        }
        flow->seen_ns = bpf_ktime_get_coarse_ns();
        flow->received++;
        if (early.header.udp.flags & UNDERPASS_TCP_FIN)
                flow_peer_ends(flow, &early.header);
        flow_acknowledged(flow, &early.header);
        count(slot, UNDERPASS_COUNTER_RECEIVED);
        xdp_convert(context, (int) early.ipv4, bits);
        return XDP_PASS;
}
