/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * ICMP and ICMPv6 errors that quote one of our datagrams: turned into errors about the TCP segment, so that
 * path MTU discovery and "connection refused" work. Rare packets, so everything goes by helper calls.
 */

#include "flow.h"

enum {
        PROTOCOL_ICMP = 1,
        PROTOCOL_ICMPV6 = 58,
        ICMP_HEADER_LENGTH = 8,
        ICMP_UNREACHABLE = 3,
        ICMP_TIME_EXCEEDED = 11,
        ICMP_PARAMETER = 12,
        ICMP_NEEDS_FRAGMENTATION = 4,
        ICMPV6_UNREACHABLE = 1,
        ICMPV6_TOO_BIG = 2,
        ICMPV6_PARAMETER = 4,
        MTU_MIN_IPV4 = 552,  /* less is no path MTU: what Linux believes, too */
        MTU_MIN_IPV6 = 1280, /* RFC 8200 */
};

/* One quoted datagram while it is being looked at. */
struct icmp_quote {
        __u32 icmp;      /* offset of the ICMP header */
        __u32 inner;     /* of the quoted IP header */
        __u32 layer4;    /* of the quoted UDP header */
        __u32 length;    /* bytes of it that are quoted: 8, 16 or 20 */
        __u8 ipv6;
        __u8 refusal;    /* the error says that UDP does not get there */
        __u8 reserved[2];
        __u32 mtu;       /* path MTU that the error tells of; 0: none */
        union underpass_header header;
        struct underpass_flow_key key;
};

struct icmp_start {
        __u8 type;
        __u8 code;
        __u16 check;
        __u32 rest;      /* IPv4: MTU in the lower half; IPv6: MTU; network order */
};

/* Whether the packet is ICMP at all, and whole: the test that all other traffic pays for. */
UNDERPASS_INLINE int icmp_may_concern(struct __sk_buff *skb, const __u32 layer3) {
        void *data = (void *) (long) skb->data, *end = (void *) (long) skb->data_end;

        if (skb->protocol == UNDERPASS_NET16(ETH_P_IP)) {
                struct iphdr *ip = data + layer3;

                return (void *) (ip + 1) <= end && ip->protocol == PROTOCOL_ICMP && ip->version == 4 &&
                       ip->ihl >= 5 && !(ip->frag_off & UNDERPASS_NET16(IPV4_FRAGMENT_MASK));
        }
        if (skb->protocol == UNDERPASS_NET16(ETH_P_IPV6)) {
                struct ipv6hdr *ip = data + layer3;

                return (void *) (ip + 1) <= end && ip->nexthdr == PROTOCOL_ICMPV6 && ip->version == 6;
        }
        return 0;
}

/* Reads the quoted IP header; 0 when it is that of a UDP datagram, with its addresses in key. */
UNDERPASS_INLINE int icmp_read_inner_ipv4(struct __sk_buff *skb, struct icmp_quote *quote) {
        struct iphdr ip;

        if (bpf_skb_load_bytes(skb, quote->inner, &ip, sizeof(ip)) < 0)
                return -1;
        if (ip.version != 4 || ip.ihl < 5 || ip.protocol != UNDERPASS_PROTOCOL_UDP ||
            (ip.frag_off & UNDERPASS_NET16(IPV4_FRAGMENT_MASK)))
                return -1;
        packet_address_ipv4(quote->key.local, ip.saddr);
        packet_address_ipv4(quote->key.remote, ip.daddr);
        quote->layer4 = quote->inner + ip.ihl * 4;
        return 0;
}

UNDERPASS_INLINE int icmp_read_inner_ipv6(struct __sk_buff *skb, struct icmp_quote *quote) {
        struct ipv6hdr ip;

        if (bpf_skb_load_bytes(skb, quote->inner, &ip, sizeof(ip)) < 0)
                return -1;
        if (ip.version != 6 || ip.nexthdr != UNDERPASS_PROTOCOL_UDP)
                return -1;
        __builtin_memcpy(quote->key.local, &ip.saddr, sizeof(quote->key.local));
        __builtin_memcpy(quote->key.remote, &ip.daddr, sizeof(quote->key.remote));
        quote->layer4 = quote->inner + IPV6_LENGTH;
        return 0;
}

/* 0: an error that quotes a UDP datagram of which at least the header is there. */
UNDERPASS_GLOBAL int icmp_read(struct __sk_buff *skb, __u32 layer3, struct icmp_quote *quote) {
        struct icmp_start start = {};
        __u8 first;

        if (!quote)
                return -1;
        quote->ipv6 = skb->protocol == UNDERPASS_NET16(ETH_P_IPV6);
        if (bpf_skb_load_bytes(skb, layer3, &first, sizeof(first)) < 0)
                return -1;
        quote->icmp = layer3 + (quote->ipv6 ? IPV6_LENGTH : (__u32) (first & 0x0f) * 4);
        quote->inner = quote->icmp + ICMP_HEADER_LENGTH;
        if (bpf_skb_load_bytes(skb, quote->icmp, &start, sizeof(start)) < 0)
                return -1;
        if (quote->ipv6) {
                if (start.type < ICMPV6_UNREACHABLE || start.type > ICMPV6_PARAMETER)
                        return -1;
                quote->refusal = start.type == ICMPV6_UNREACHABLE;
                if (start.type == ICMPV6_TOO_BIG)
                        quote->mtu = UNDERPASS_NET32(start.rest);
                if (icmp_read_inner_ipv6(skb, quote) < 0)
                        return -1;
        } else {
                if (start.type != ICMP_UNREACHABLE && start.type != ICMP_TIME_EXCEEDED &&
                    start.type != ICMP_PARAMETER)
                        return -1;
                quote->refusal = start.type == ICMP_UNREACHABLE && start.code != ICMP_NEEDS_FRAGMENTATION;
                if (start.type == ICMP_UNREACHABLE && start.code == ICMP_NEEDS_FRAGMENTATION)
                        quote->mtu = UNDERPASS_NET32(start.rest) & 0xffff;
                if (icmp_read_inner_ipv4(skb, quote) < 0)
                        return -1;
        }
        quote->length = 20;
        if (bpf_skb_load_bytes(skb, quote->layer4, &quote->header, 20) < 0) {
                quote->length = 16;
                if (bpf_skb_load_bytes(skb, quote->layer4, &quote->header, 16) < 0) {
                        quote->length = 8;
                        if (bpf_skb_load_bytes(skb, quote->layer4, &quote->header, 8) < 0)
                                return -1;
                }
        }
        quote->key.local_port = quote->header.udp.source;
        quote->key.remote_port = quote->header.udp.dest;
        return 0;
}

UNDERPASS_INLINE __u32 icmp_sum_words(const union underpass_header *header, int words) {
        __u32 sum = 0;

        for (int i = 0; i < 5; i++)
                if (i < words)
                        sum += (header->word[i] & 0xffff) + (header->word[i] >> 16);
        return sum;
}

/* Writes the TCP form into the quote, as far as it reaches, and puts the ICMP checksum right. */
UNDERPASS_GLOBAL int icmp_rewrite(struct __sk_buff *skb, struct icmp_quote *quote, __u32 sequence) {
        __u32 before, after;
        __u8 protocol = UNDERPASS_PROTOCOL_TCP;
        __u16 check;

        if (!quote)
                return -1;
        before = icmp_sum_words(&quote->header, quote->length == 20 ? 5 : 2);
        if (quote->length == 20)
                underpass_udp_to_tcp(&quote->header);
        else
                quote->header.tcp.sequence = quote->length == 16 ? quote->header.udp.sequence : sequence;
        after = icmp_sum_words(&quote->header, quote->length == 20 ? 5 : 2);
        if (quote->ipv6) {
                if (bpf_skb_store_bytes(skb, quote->inner + offsetof(struct ipv6hdr, nexthdr), &protocol, 1,
                                        0) < 0)
                        return -1;
                before += UNDERPASS_NET16(UNDERPASS_PROTOCOL_DELTA << 8);
        } else {
                /* The quoted IPv4 header keeps its sum: its checksum makes up for the protocol. */
                __u32 offset = quote->inner + offsetof(struct iphdr, check);

                if (bpf_skb_store_bytes(skb, quote->inner + offsetof(struct iphdr, protocol), &protocol, 1,
                                        0) < 0 ||
                    bpf_skb_load_bytes(skb, offset, &check, sizeof(check)) < 0)
                        return -1;
                check = underpass_ipv4_check_to_tcp(check);
                if (bpf_skb_store_bytes(skb, offset, &check, sizeof(check), 0) < 0)
                        return -1;
        }
        if (quote->length == 20) {
                if (bpf_skb_store_bytes(skb, quote->layer4, &quote->header, 20, 0) < 0)
                        return -1;
        } else if (bpf_skb_store_bytes(skb, quote->layer4, &quote->header, 8, 0) < 0)
                return -1;
        if (bpf_skb_load_bytes(skb, quote->icmp + offsetof(struct icmp_start, check), &check,
                               sizeof(check)) < 0)
                return -1;
        check = underpass_check_adjust(check, underpass_fold(after), underpass_fold(before));
        return bpf_skb_store_bytes(skb, quote->icmp + offsetof(struct icmp_start, check), &check,
                                   sizeof(check), 0) < 0 ?
                       -1 :
                       0;
}

/*
 * Whether the error quotes what was sent a moment ago. The stack judges by itself which errors it believes;
 * what is remembered here must be as hard to forge.
 */
UNDERPASS_INLINE int quotes_recent(const struct icmp_quote *quote, __u32 sequence) {
        /* Either way: the record has the first number of a super-packet, and the last packet may have been a
         * retransmission. */
        return quote->length >= 16 && UNDERPASS_NET32(quote->header.udp.sequence) -
                                                      UNDERPASS_NET32(sequence) + SEQUENCE_WINDOW_MAX <=
                                              2 * SEQUENCE_WINDOW_MAX;
}

/*
 * An ICMP packet: converted if it is an error about a datagram of ours. 1: to be dropped, as it refuses a
 * SYN over UDP and the next SYN will leave as plain TCP (TCP would give the connection up); 0: on to the
 * stack.
 */
UNDERPASS_GLOBAL int icmp_convert(struct __sk_buff *skb, __u32 layer3) {
        struct icmp_quote quote = {};
        struct underpass_flow *flow;
        struct underpass_link *link;
        __u32 slot, sequence;

        if (icmp_read(skb, layer3, &quote) != 0)
                return 0;
        flow = flow_lookup(&quote.key);
        /* Errors come at once; about a flow that has been silent, it is another program's datagram. */
        if (!flow || flow->state == UNDERPASS_FLOW_WATCHED || flow_is_silent(flow))
                return 0;
        slot = flow->slot;
        sequence = flow->sequence;
        if (quote.refusal && flow->state == UNDERPASS_FLOW_HALF_OPEN &&
            (flow->flags & UNDERPASS_FLOW_OPENED_HERE)) {
                if (quote.length >= 16 && UNDERPASS_NET32(quote.header.udp.sequence) + 1 != flow->expected)
                        return 0; /* not about our SYN */
                link = link_of(skb);
                if (link && (link->flags & UNDERPASS_LINK_FALLBACK)) {
                        flow->flags |= UNDERPASS_FLOW_REFUSED;
                        count(slot, UNDERPASS_COUNTER_DROP_ICMP);
                        return 1;
                }
        }
        if (quote.mtu >= (quote.ipv6 ? MTU_MIN_IPV6 : MTU_MIN_IPV4) && quotes_recent(&quote, sequence))
                destination_learn_mtu(&quote.key, skb->ifindex, quote.mtu);
        if (icmp_rewrite(skb, &quote, sequence) < 0) {
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                return 1;
        }
        count(slot, UNDERPASS_COUNTER_ICMP_CONVERTED);
        if (quote.length < 16)
                count(slot, UNDERPASS_COUNTER_ICMP_SHORT);
        return 0;
}
