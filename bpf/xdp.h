/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Ingress in front of the driver's GRO (native XDP): established flows become TCP before packets are merged,
 * so the stack sees few large ones. Everything else goes on as it came, to the program in tc.
 *
 * There is no skb yet, so no checksum state
 * that would have to hear of the change.
 */

#include "flow.h"

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

UNDERPASS_INLINE void xdp_convert(struct xdp_md *context, int ipv4) {
        void *data = (void *) (long) context->data, *end = (void *) (long) context->data_end;

        if (ipv4) {
                struct iphdr *ip = data + ETH_HLEN;

                if ((void *) ip + IPV4_LENGTH + UNDERPASS_HEADER_LENGTH > end)
                        return;
                ip->protocol = UNDERPASS_PROTOCOL_TCP;
                ip->check = underpass_ipv4_check_to_tcp(ip->check);
                underpass_udp_to_tcp((void *) ip + IPV4_LENGTH);
                APART(4);
        } else {
                struct ipv6hdr *ip = data + ETH_HLEN;

                if ((void *) ip + IPV6_LENGTH + UNDERPASS_HEADER_LENGTH > end)
                        return;
                ip->nexthdr = UNDERPASS_PROTOCOL_TCP;
                underpass_udp_to_tcp((void *) ip + IPV6_LENGTH);
                APART(6);
        }
}

SEC("xdp.frags")
int underpass_xdp(struct xdp_md *context) {
        struct underpass_flow *flow;
        struct xdp_packet early = {};

        if (!xdp_read(context, &early) || !underpass_udp_shape(&early.header, (__u16) early.length) ||
            early.header.udp.check == 0 ||
            (early.header.udp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_RST)))
                return XDP_PASS;
        flow = bpf_map_lookup_elem(&flows, &early.key);
        if (!flow || flow_is_silent(flow))
                return XDP_PASS;
        flow->seen_ns = bpf_ktime_get_coarse_ns();
        flow->received++;
        if (early.header.udp.flags & UNDERPASS_TCP_FIN)
                flow_peer_ends(flow, &early.header);
        flow_acknowledged(flow, &early.header);
        count(slot_of_link(context->ingress_ifindex, flow->slot), UNDERPASS_COUNTER_RECEIVED);
        xdp_convert(context, (int) early.ipv4);
        return XDP_PASS;
}
