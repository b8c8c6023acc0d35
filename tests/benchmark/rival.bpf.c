// SPDX-License-Identifier: GPL-2.0-or-later

/*
 * How it is done everywhere else: each packet by itself, in place, with a checksum that somebody has
 * completed before (the firewall), and so with segmentation offload off for the whole link. Without flows,
 * so all TCP of the link leaves as UDP, and all UDP that comes is taken for TCP. IPv4 without options only.
 */

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "rewrite.h"

enum { FIRST_BYTE = 0x45, IP_LENGTH = 20 };

/* The header of a packet of this protocol; NULL: it is another one. */
static __always_inline union underpass_header *find(struct __sk_buff *skb, __u8 protocol,
                                                    struct iphdr **ret) {
        const __u32 wanted = ETH_HLEN + IP_LENGTH + UNDERPASS_HEADER_LENGTH;
        union underpass_header *header;
        struct iphdr *ip;

        if (skb->protocol != UNDERPASS_NET16(ETH_P_IP) || skb->len < wanted)
                return 0;
        if ((void *) (long) skb->data + wanted > (void *) (long) skb->data_end &&
            bpf_skb_pull_data(skb, wanted) < 0)
                return 0;
        ip = (void *) (long) skb->data + ETH_HLEN;
        header = (void *) ip + IP_LENGTH;
        if ((void *) (header + 1) > (void *) (long) skb->data_end || *(__u8 *) ip != FIRST_BYTE ||
            ip->protocol != protocol)
                return 0;
        *ret = ip;
        return header;
}

SEC("egress")
int rival_egress(struct __sk_buff *skb) {
        union underpass_header *header;
        struct iphdr *ip;

        header = find(skb, UNDERPASS_PROTOCOL_TCP, &ip);
        if (header) {
                ip->protocol = UNDERPASS_PROTOCOL_UDP;
                ip->check = underpass_ipv4_check_to_udp(ip->check);
                underpass_tcp_to_udp(header, (__u16) (UNDERPASS_NET16(ip->tot_len) - IP_LENGTH));
        }
        return TC_ACT_UNSPEC;
}

SEC("ingress")
int rival_ingress(struct __sk_buff *skb) {
        union underpass_header *header;
        struct iphdr *ip;

        header = find(skb, UNDERPASS_PROTOCOL_UDP, &ip);
        if (header) {
                ip->protocol = UNDERPASS_PROTOCOL_TCP;
                ip->check = underpass_ipv4_check_to_tcp(ip->check);
                underpass_udp_to_tcp(header);
        }
        return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
