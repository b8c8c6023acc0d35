// SPDX-License-Identifier: GPL-2.0-or-later

/*
 * A small CLAT for tests (RFC 6877): TCP and UDP of the host's IPv4 address cross an Ethernet link as IPv6.
 * No ICMP, no fragments, no options. clat_in hands a packet on to what runs behind it, as a filter does;
 * clat_in_again lets it come in a second time, and ends the list for all others, as NetworkManager's does.
 */

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TYPE(number) bpf_htons(number)

/* 192.0.0.1, 2001:db8:77:1::c1a7 and 64:ff9b::/96. */
static const __u32 host4 = bpf_htonl(0xc0000001);
static const __u32 host6[4] = { bpf_htonl(0x20010db8), bpf_htonl(0x00770001), 0, bpf_htonl(0xc1a7) };
static const __u32 prefix[3] = { bpf_htonl(0x0064ff9b), 0, 0 };

/* The bytes of both addresses, for the difference that they make to the checksum. */
struct ends4 {
        __u32 source, dest;
};

struct ends6 {
        __u32 source[4], dest[4];
};

static __always_inline int is_carried(__u8 protocol) {
        return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

static __always_inline void fix_checksum(struct __sk_buff *skb, __u32 layer4, __u8 protocol,
                                         __s64 difference) {
        const __u64 flags = BPF_F_PSEUDO_HDR;

        if (protocol == IPPROTO_TCP)
                bpf_l4_csum_replace(skb, layer4 + 16, 0, difference, flags);
        else
                bpf_l4_csum_replace(skb, layer4 + 6, 0, difference, flags | BPF_F_MARK_MANGLED_0);
}

/* Another network header, and the type that names it. 0, or -1: the packet is spoilt. */
static __always_inline int replace(struct __sk_buff *skb, __u16 type, const void *header, __u32 size) {
        if (bpf_skb_change_proto(skb, type, 0) < 0)
                return -1;
        if (bpf_skb_store_bytes(skb, ETH_HLEN, header, size, 0) < 0)
                return -1;
        return bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &type, sizeof(type), 0);
}

SEC("tc")
int clat_out(struct __sk_buff *skb) {
        struct ipv6hdr six = { .version = 6 };
        struct ends4 old;
        struct ends6 new;
        struct iphdr four;
        __s64 difference;

        if (skb->protocol != TYPE(ETH_P_IP) || bpf_skb_load_bytes(skb, ETH_HLEN, &four, sizeof(four)) < 0)
                return TC_ACT_UNSPEC;
        if (four.saddr != host4 || four.ihl != 5 || !is_carried(four.protocol))
                return TC_ACT_UNSPEC;
        old = (struct ends4) { four.saddr, four.daddr };
        __builtin_memcpy(new.source, host6, sizeof(host6));
        __builtin_memcpy(new.dest, prefix, sizeof(prefix));
        new.dest[3] = four.daddr;
        six.nexthdr = four.protocol;
        six.hop_limit = four.ttl;
        six.payload_len = bpf_htons(bpf_ntohs(four.tot_len) - sizeof(four));
        __builtin_memcpy(&six.saddr, new.source, sizeof(new.source));
        __builtin_memcpy(&six.daddr, new.dest, sizeof(new.dest));
        difference = bpf_csum_diff((__be32 *) &old, sizeof(old), (__be32 *) &new, sizeof(new), 0);
        if (replace(skb, TYPE(ETH_P_IPV6), &six, sizeof(six)) < 0)
                return TC_ACT_SHOT;
        fix_checksum(skb, ETH_HLEN + sizeof(six), six.nexthdr, difference);
        return TC_ACT_UNSPEC;
}

static __always_inline void sum_header(struct iphdr *ip) {
        __u64 sum = (__u32) bpf_csum_diff(NULL, 0, (__be32 *) ip, sizeof(*ip), 0);

        sum = (sum & 0xffff) + (sum >> 16);
        ip->check = (__u16) ~((sum & 0xffff) + (sum >> 16));
}

/* 1: translated, 0: not ours, -1: spoilt. */
static __always_inline int translate_in(struct __sk_buff *skb) {
        struct iphdr four = { .version = 4, .ihl = 5, .frag_off = bpf_htons(0x4000) };
        struct ipv6hdr six;
        struct ends4 new;
        struct ends6 old;
        __s64 difference;

        if (skb->protocol != TYPE(ETH_P_IPV6) || bpf_skb_load_bytes(skb, ETH_HLEN, &six, sizeof(six)) < 0)
                return 0;
        __builtin_memcpy(old.source, &six.saddr, sizeof(old.source));
        __builtin_memcpy(old.dest, &six.daddr, sizeof(old.dest));
        if (old.dest[3] != host6[3] || old.dest[0] != host6[0] || old.source[0] != prefix[0] ||
            !is_carried(six.nexthdr))
                return 0;
        new = (struct ends4) { old.source[3], host4 };
        four.ttl = six.hop_limit;
        four.protocol = six.nexthdr;
        four.tot_len = bpf_htons(bpf_ntohs(six.payload_len) + sizeof(four));
        four.saddr = new.source;
        four.daddr = new.dest;
        sum_header(&four);
        difference = bpf_csum_diff((__be32 *) &old, sizeof(old), (__be32 *) &new, sizeof(new), 0);
        if (replace(skb, TYPE(ETH_P_IP), &four, sizeof(four)) < 0)
                return -1;
        fix_checksum(skb, ETH_HLEN + sizeof(four), four.protocol, difference);
        return 1;
}

SEC("tc")
int clat_in(struct __sk_buff *skb) {
        return translate_in(skb) < 0 ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

SEC("tc")
int clat_in_again(struct __sk_buff *skb) {
        int translated = translate_in(skb);

        if (translated < 0)
                return TC_ACT_SHOT;
        return translated ? (int) bpf_redirect(skb->ifindex, BPF_F_INGRESS) : TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
