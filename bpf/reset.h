/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Resets that the programs make out of another packet, which they replace: what a peer that has
 * forgotten a connection would have sent over plain TCP.
 */

#include "packet.h"

struct reset_ipv4 {
        struct iphdr ip;
        union underpass_header header;
};

struct reset_ipv6 {
        struct ipv6hdr ip;
        union underpass_header header;
};

/* The header, of a flow as the sender of the reset sees it. sum: of the addresses. */
UNDERPASS_INLINE void reset_header(union underpass_header *header, const struct underpass_flow_key *key,
                                   __u32 sequence, __u32 protocol, __u32 sum) {
        sum += UNDERPASS_NET16((__u16) protocol) + UNDERPASS_NET16(UNDERPASS_HEADER_LENGTH);
        header->tcp.source = key->local_port; /* at the same place in both forms */
        header->tcp.dest = key->remote_port;
        if (protocol == UNDERPASS_PROTOCOL_UDP) {
                header->udp.length = UNDERPASS_NET16(UNDERPASS_HEADER_LENGTH);
                header->udp.offset = UNDERPASS_HEADER_LENGTH / 4 << 4;
                header->udp.flags = UNDERPASS_TCP_RST;
                header->udp.sequence = sequence;
                sum = (__u16) ~underpass_fold(sum + packet_sum_words(header->word, 5));
                header->udp.check = sum ? (__u16) sum : 0xffff;
                return;
        }
        header->tcp.sequence = sequence;
        header->tcp.offset = UNDERPASS_HEADER_LENGTH / 4 << 4;
        header->tcp.flags = UNDERPASS_TCP_RST;
        header->tcp.check = (__u16) ~underpass_fold(sum + packet_sum_words(header->word, 5));
}

/* Fills in what is all 0. Returns 0. */
UNDERPASS_GLOBAL int reset_fill_ipv4(struct reset_ipv4 *reset, struct underpass_flow_key *key,
                                     __u32 sequence, __u32 protocol) {
        if (!reset || !key)
                return 0;
        *(__u8 *) &reset->ip = IPV4_USUAL;
        reset->ip.tot_len = UNDERPASS_NET16(sizeof(*reset));
        reset->ip.frag_off = UNDERPASS_NET16(IPV4_DONT_FRAGMENT);
        reset->ip.ttl = PACKET_HOPS;
        reset->ip.protocol = (__u8) protocol;
        reset->ip.saddr = key->local[3];
        reset->ip.daddr = key->remote[3];
        reset->ip.check = (__u16) ~underpass_fold(packet_sum_words((const __u32 *) &reset->ip, 5));
        reset_header(&reset->header, key, sequence, protocol,
                     packet_sum_words((const __u32 *) &reset->ip.saddr, 2));
        return 0;
}

UNDERPASS_GLOBAL int reset_fill_ipv6(struct reset_ipv6 *reset, struct underpass_flow_key *key,
                                     __u32 sequence, __u32 protocol) {
        if (!reset || !key)
                return 0;
        *(__u8 *) &reset->ip = 6 << 4;
        reset->ip.payload_len = UNDERPASS_NET16(UNDERPASS_HEADER_LENGTH);
        reset->ip.nexthdr = (__u8) protocol;
        reset->ip.hop_limit = PACKET_HOPS;
        __builtin_memcpy(&reset->ip.saddr, key->local, sizeof(key->local));
        __builtin_memcpy(&reset->ip.daddr, key->remote, sizeof(key->remote));
        reset_header(&reset->header, key, sequence, protocol,
                     packet_sum_words((const __u32 *) &reset->ip.saddr, 8));
        return 0;
}

/*
 * Makes a reset of a packet that is at least as long. key: the flow as its sender sees it. sequence: its
 * number, in network order. protocol: UNDERPASS_PROTOCOL_UDP, to the peer, or _TCP, to our side.
 * Negative: it may be half written and has to be dropped.
 */
UNDERPASS_GLOBAL int reset_make_ipv4(struct __sk_buff *skb, __u32 layer3, struct underpass_flow_key *key,
                                     __u32 sequence, __u32 protocol) {
        struct reset_ipv4 reset = {};

        if (!key || bpf_skb_change_tail(skb, layer3 + sizeof(reset), 0) < 0)
                return -1;
        reset_fill_ipv4(&reset, key, sequence, protocol);
        return (int) bpf_skb_store_bytes(skb, layer3, &reset, sizeof(reset), BPF_F_RECOMPUTE_CSUM);
}

UNDERPASS_GLOBAL int reset_make_ipv6(struct __sk_buff *skb, __u32 layer3, struct underpass_flow_key *key,
                                     __u32 sequence, __u32 protocol) {
        struct reset_ipv6 reset = {};

        if (!key || bpf_skb_change_tail(skb, layer3 + sizeof(reset), 0) < 0)
                return -1;
        reset_fill_ipv6(&reset, key, sequence, protocol);
        return (int) bpf_skb_store_bytes(skb, layer3, &reset, sizeof(reset), BPF_F_RECOMPUTE_CSUM);
}
