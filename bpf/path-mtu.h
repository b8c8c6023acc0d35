/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Paths that are narrower than the link where nobody says so: a firewall eats ICMP, or a router fragments
 * what should not be. The programs say it instead, as a router would, by an ICMP error that quotes the
 * packet. The sender's stack judges that error like any other, remembers the size for ten minutes, and sends
 * again in smaller segments; with a forwarded flow that is the stack of another host.
 *
 * black hole: our segments get no acknowledgment, however often they are sent. The error goes to our own
 *             side, about TCP. An outage looks the same but for small packets: so the peer is asked to say
 *             something, and if it does not, nothing is told.
 * fragments:  datagrams of the peer arrive in pieces. The error goes to the peer, about UDP.
 *
 * Errors replace the packet that they quote, which would not have arrived as a whole anyway. Rare packets,
 * so everything goes by helper calls.
 */

#include "bulk-receive.h"
#include "icmp.h"

enum {
        BLACK_HOLE_TIMEOUTS = 2,        /* so often sent again, without a word of the peer but an answer */
        BLACK_HOLE_TIMEOUTS_HEARD = 4,  /* likewise, while the peer goes on speaking */
        BLACK_HOLE_APART_MS = 150,      /* TCP waits at least 200 ms for an acknowledgment (RFC 6298: 1 s) */
        PATH_MTU_USUAL = 1280,          /* hardly a path takes less */
        PATH_MTU_SMALL = 1024,          /* tcp_base_mss, with which Linux probes */
        PATH_MTU_TELL = 1,              /* what to do about a segment */
        PATH_MTU_ASK = 2,
        PATH_MTU_STAMPS = 0x0101080a,   /* two no-operations, time stamps, their length */
        PATH_MTU_QUOTED_IPV4 = IPV4_LENGTH + UNDERPASS_HEADER_LENGTH,
        PATH_MTU_QUOTED_IPV6 = IPV6_LENGTH + UNDERPASS_HEADER_LENGTH,
        IPV4_MORE_FRAGMENTS = 0x2000,
};

/* An error about a packet: what is put before its first bytes, and these bytes. */
struct path_mtu_error_ipv4 {
        struct iphdr ip;
        struct icmp_start icmp;
        struct iphdr quoted;
        union underpass_header header;
};

struct path_mtu_error_ipv6 {
        struct ipv6hdr ip;
        struct icmp_start icmp;
        struct ipv6hdr quoted;
        union underpass_header header;
};

/* The size to try for packets of this one's, 0: it is as small as it gets. */
UNDERPASS_INLINE __u32 path_mtu_below(__u32 size, __u32 ipv6) {
        if (size > PATH_MTU_USUAL)
                return PATH_MTU_USUAL;
        if (ipv6)
                return 0; /* RFC 8200: every path takes 1280 */
        return size > PATH_MTU_SMALL ? PATH_MTU_SMALL : size > MTU_MIN_IPV4 ? MTU_MIN_IPV4 : 0;
}

/* Whether a segment of ours that is sent again is the one that the peer has to acknowledge next. */
UNDERPASS_INLINE int path_mtu_is_awaited(const struct underpass_flow *flow, const struct packet *packet) {
        return UNDERPASS_NET32(packet->header.tcp.sequence) == flow->expected;
}

/*
 * Counts the timeouts of such a segment. PATH_MTU_TELL: the way seems to swallow segments of its size;
 * PATH_MTU_ASK: it is time to ask the peer whether anything small arrives; else 0.
 */
UNDERPASS_GLOBAL int path_mtu_timed_out(struct underpass_flow *flow) {
        __u64 now = bpf_ktime_get_coarse_ns();
        __u32 now_ms = (__u32) (now / MILLISECONDS), heard;

        if (!flow)
                return 0;
        if (flow->stalled_sequence != flow->expected || flow->stalls == 0) {
                flow->stalled_sequence = flow->expected;
                flow->stalled_received = (__u32) flow->received;
                flow->stalled_ms = now_ms;
                flow->stalls = 1;
                /* Not if it is what the peer says in this moment that makes it be sent again. */
                return now > flow->seen_ns ? PATH_MTU_ASK : 0;
        }
        if (now_ms - flow->stalled_ms < BLACK_HOLE_APART_MS)
                return 0;
        flow->stalled_ms = now_ms;
        if (flow->stalls < BLACK_HOLE_TIMEOUTS_HEARD)
                flow->stalls++;
        heard = (__u32) flow->received - flow->stalled_received;
        if (heard == 0)
                return PATH_MTU_ASK;
        if (flow->stalls < (heard == 1 ? BLACK_HOLE_TIMEOUTS : BLACK_HOLE_TIMEOUTS_HEARD))
                return 0;
        flow->stalls = 0;
        return PATH_MTU_TELL;
}

UNDERPASS_INLINE __u32 path_mtu_sum(__u32 sum, const void *bytes, __u32 length) {
        const __u16 *words = bytes;

#pragma unroll
        for (__u32 i = 0; i < length / 2; i++) {
                sum += words[i];
                asm volatile("" : "+r"(sum) : : "memory"); /* or all words are loaded first, to the stack */
        }
        return sum;
}

/* All but what is quoted. Returns 0. */
UNDERPASS_GLOBAL int path_mtu_fill_ipv4(struct path_mtu_error_ipv4 *error, __u32 mtu) {
        if (!error)
                return 0;
        /* What a router would have quoted is not in pieces yet. */
        error->quoted.frag_off = UNDERPASS_NET16(IPV4_DONT_FRAGMENT);
        error->quoted.check = 0;
        error->quoted.check = (__u16) ~underpass_fold(path_mtu_sum(0, &error->quoted, IPV4_LENGTH));
        error->icmp.type = ICMP_UNREACHABLE;
        error->icmp.code = ICMP_NEEDS_FRAGMENTATION;
        error->icmp.rest = UNDERPASS_NET32(mtu);
        error->icmp.check = (__u16) ~underpass_fold(
                path_mtu_sum(0, &error->icmp, ICMP_HEADER_LENGTH + PATH_MTU_QUOTED_IPV4));
        *(__u8 *) &error->ip = IPV4_USUAL;
        error->ip.tot_len = UNDERPASS_NET16(sizeof(*error));
        error->ip.frag_off = UNDERPASS_NET16(IPV4_DONT_FRAGMENT);
        error->ip.ttl = PACKET_HOPS;
        error->ip.protocol = PROTOCOL_ICMP;
        error->ip.saddr = error->quoted.daddr;
        error->ip.daddr = error->quoted.saddr;
        error->ip.check = (__u16) ~underpass_fold(path_mtu_sum(0, &error->ip, IPV4_LENGTH));
        return 0;
}

UNDERPASS_INLINE int path_mtu_write_ipv4(struct __sk_buff *skb, __u32 layer3, __u32 mtu) {
        struct path_mtu_error_ipv4 error = {};

        if (bpf_skb_load_bytes(skb, layer3 + sizeof(error.ip) + sizeof(error.icmp), &error.quoted,
                               PATH_MTU_QUOTED_IPV4) < 0)
                return -1;
        path_mtu_fill_ipv4(&error, mtu);
        return (int) bpf_skb_store_bytes(skb, layer3, &error, sizeof(error), BPF_F_RECOMPUTE_CSUM);
}

/* All but what is quoted. Returns 0. */
UNDERPASS_GLOBAL int path_mtu_fill_ipv6(struct path_mtu_error_ipv6 *error, __u32 mtu) {
        __u32 sum = UNDERPASS_NET16(sizeof(*error) - IPV6_LENGTH) + UNDERPASS_NET16(PROTOCOL_ICMPV6);

        if (!error)
                return 0;
        error->icmp.type = ICMPV6_TOO_BIG;
        error->icmp.rest = UNDERPASS_NET32(mtu);
        sum = path_mtu_sum(sum, &error->quoted.saddr, sizeof(error->quoted.saddr) * 2);
        sum = path_mtu_sum(sum, &error->icmp, ICMP_HEADER_LENGTH + PATH_MTU_QUOTED_IPV6);
        error->icmp.check = (__u16) ~underpass_fold(sum);
        *(__u8 *) &error->ip = 6 << 4;
        error->ip.payload_len = UNDERPASS_NET16(sizeof(*error) - IPV6_LENGTH);
        error->ip.nexthdr = PROTOCOL_ICMPV6;
        error->ip.hop_limit = PACKET_HOPS;
        error->ip.saddr = error->quoted.daddr;
        error->ip.daddr = error->quoted.saddr;
        return 0;
}

UNDERPASS_INLINE int path_mtu_write_ipv6(struct __sk_buff *skb, __u32 layer3, __u32 mtu) {
        struct path_mtu_error_ipv6 error = {};

        if (bpf_skb_load_bytes(skb, layer3 + sizeof(error.ip) + sizeof(error.icmp), &error.quoted,
                               PATH_MTU_QUOTED_IPV6) < 0)
                return -1;
        path_mtu_fill_ipv6(&error, mtu);
        return (int) bpf_skb_store_bytes(skb, layer3, &error, sizeof(error), BPF_F_RECOMPUTE_CSUM);
}

/*
 * Makes of a packet with the headers at their usual place the ICMP error that it does not fit a path of mtu
 * bytes, to its own source. Negative: it may be half written and has to be dropped.
 */
UNDERPASS_GLOBAL int path_mtu_make_error(struct __sk_buff *skb, __u32 layer3, __u32 ipv6, __u32 mtu) {
        __u32 quoted = ipv6 ? PATH_MTU_QUOTED_IPV6 : PATH_MTU_QUOTED_IPV4;
        __u32 more = (ipv6 ? IPV6_LENGTH : IPV4_LENGTH) + ICMP_HEADER_LENGTH;

        if (layer3 != 0 && layer3 != ETH_HLEN)
                return -1;
        if (bpf_skb_change_tail(skb, layer3 + quoted, 0) < 0 ||
            bpf_skb_adjust_room(skb, (__s32) more, BPF_ADJ_ROOM_MAC, 0) < 0)
                return -1;
        if (layer3 != 0 && packet_turn_frame(skb) < 0)
                return -1;
        return ipv6 ? path_mtu_write_ipv6(skb, layer3, mtu) : path_mtu_write_ipv4(skb, layer3, mtu);
}

/* The sum of the pseudo header of our segment, folded. What IPv4 addresses have in front counts as 0. */
UNDERPASS_GLOBAL __u32 path_mtu_pseudo_sum(struct packet *packet) {
        __u32 sum = UNDERPASS_NET16(UNDERPASS_PROTOCOL_TCP);

        if (!packet)
                return 0;
        sum += packet_sum_words(packet->source, 4) + packet_sum_words(packet->dest, 4);
        sum += UNDERPASS_NET16(packet->length);
        return underpass_fold(sum);
}

/* The options that a question keeps, or none: time stamps where everybody puts them, without which some
 * peers say nothing (RFC 7323, 3.2). */
struct path_mtu_options {
        __u32 kind;
        __u32 stamps[2];
};

/* Our segment has lost its data and all options but these, and gets the checksum for that. Returns 0. */
UNDERPASS_GLOBAL int path_mtu_sum_question(struct __sk_buff *skb, struct packet *packet) {
        struct path_mtu_options options = {};
        __u32 sum = 0, words = UNDERPASS_HEADER_LENGTH / 4;

        if (!packet)
                return 0;
        if (packet->length >= UNDERPASS_HEADER_LENGTH + sizeof(options) &&
            bpf_skb_load_bytes(skb, packet->layer4 + UNDERPASS_HEADER_LENGTH, &options,
                               sizeof(options)) >= 0 &&
            options.kind == UNDERPASS_NET32(PATH_MTU_STAMPS)) {
                words += sizeof(options) / 4;
                sum = path_mtu_sum(0, &options, sizeof(options));
        }
        packet->length = (__u16) (words * 4);
        packet->header.tcp.offset = (__u8) (words << 4) | (packet->header.tcp.offset & 0x0f);
        packet->header.tcp.check = 0;
        sum += path_mtu_pseudo_sum(packet);
        sum = path_mtu_sum(sum, &packet->header, UNDERPASS_HEADER_LENGTH);
        packet->header.tcp.check = (__u16) ~underpass_fold(sum);
        return 0;
}

/* Makes of such a segment one that asks the peer what it awaits, as keepalives do: without data, one byte
 * before what has been acknowledged. Its sum is still to be completed (CHECKSUM_PARTIAL), as that of each
 * segment of this host is, or finished, as a router may find it. Negative: it may be half written. */
UNDERPASS_GLOBAL int path_mtu_make_question(struct __sk_buff *skb, struct packet *packet) {
        __u32 layer3, layer4;
        __u16 length, old, check;

        if (!packet)
                return -1;
        layer3 = packet->layer3;
        layer4 = packet->layer4;
        old = packet->length;
        packet->header.tcp.flags &= (__u8) ~UNDERPASS_TCP_FIN;
        packet->header.tcp.sequence = UNDERPASS_NET32(UNDERPASS_NET32(packet->header.tcp.sequence) - 1);
        if (path_mtu_pseudo_sum(packet) == packet->header.tcp.check) {
                packet->length = (packet->header.tcp.offset >> 4) * 4;
                packet->header.tcp.check = (__u16) path_mtu_pseudo_sum(packet);
        } else {
                packet->length = (packet->header.tcp.offset >> 4) * 4;
                path_mtu_sum_question(skb, packet);
        }
        old = UNDERPASS_NET16(old);
        length = UNDERPASS_NET16(packet->length);
        if (bpf_skb_change_tail(skb, layer4 + packet->length, 0) < 0 ||
            bpf_skb_store_bytes(skb, layer4, &packet->header, sizeof(packet->header), 0) < 0)
                return -1;
        if (packet->ipv6) {
                layer3 += offsetof(struct ipv6hdr, payload_len);
                return (int) bpf_skb_store_bytes(skb, layer3, &length, sizeof(length), 0);
        }
        if (bpf_skb_load_bytes(skb, layer3 + offsetof(struct iphdr, check), &check, sizeof(check)) < 0)
                return -1;
        check = underpass_check_adjust(check, length, old);
        length = UNDERPASS_NET16(packet->length + IPV4_LENGTH);
        if (bpf_skb_store_bytes(skb, layer3 + offsetof(struct iphdr, check), &check, sizeof(check), 0) < 0)
                return -1;
        layer3 += offsetof(struct iphdr, tot_len);
        return (int) bpf_skb_store_bytes(skb, layer3, &length, sizeof(length), 0);
}

/*
 * Our segment, which is sent again. Returns the size that our own side is to be told, 0: none, negative: it
 * is half written. If the peer is to be asked whether it hears us at all, a copy of the segment leaves by
 * its link, where it is looked at like any other, and the segment becomes the question.
 */
UNDERPASS_GLOBAL int path_mtu_of_black_hole(struct __sk_buff *skb, struct packet *packet,
                                            struct underpass_flow *flow, __u32 slot) {
        struct underpass_flow_key key = {};
        __u32 mtu;
        int verdict;

        if (!packet || !flow || !packet->usual || skb->gso_size || !path_mtu_is_awaited(flow, packet))
                return 0;
        mtu = path_mtu_below(packet->layer4 - packet->layer3 + packet->length, packet->ipv6);
        verdict = path_mtu_timed_out(flow);
        if (mtu == 0 || verdict == 0)
                return 0;
        if (verdict == PATH_MTU_ASK) {
                bpf_clone_redirect(skb, skb->ifindex, 0);
                return path_mtu_make_question(skb, packet);
        }
        flow_key_outgoing(packet, &key);
        destination_learn_mtu(&key, skb->ifindex, mtu);
        count(slot, UNDERPASS_COUNTER_BLACK_HOLE);
        return (int) mtu;
}

/*
 * Whether a fragment that came in is of an established flow. Only the first one of a datagram has its ports.
 * Put together, such datagrams would reach UDP sockets, which any user can open: ingress sees no whole ones.
 */
UNDERPASS_GLOBAL int path_mtu_is_of_flow(struct __sk_buff *skb, struct packet *packet) {
        struct underpass_flow_key key = {};
        union underpass_header header;
        struct underpass_flow *flow;

        if (!packet || bpf_skb_load_bytes(skb, packet->layer4, &header, sizeof(header)) < 0)
                return 0;
        packet->header = header;
        flow_key_incoming(packet, &key);
        flow = bpf_map_lookup_elem(&flows, &key);
        if (!flow || (bulk_begins(&packet->header, packet->ipv6) ? bulk_is_over(skb, packet, flow) :
                                                                   flow_is_left(skb, packet, flow)))
                return 0;
        count(slot_of_link(skb->ifindex, flow->slot), UNDERPASS_COUNTER_DROP_FRAGMENT);
        return 1;
}

/*
 * A fragment that came in. Routers make them of IPv4 alone, and only the first one says what it belongs to;
 * of IPv6 translators do (RFC 7915). Returns the size that the peer is to be told, 0: it is no datagram of a
 * tunnelled flow, negative: it is one to be dropped, of which nobody is told, or not again.
 */
UNDERPASS_GLOBAL int path_mtu_of_fragment(struct __sk_buff *skb, struct packet *packet) {
        struct underpass_flow_key key = {};
        struct underpass_flow *flow;
        struct iphdr ip;
        __u32 size;

        if (!packet)
                return 0;
        if (packet->ipv6)
                return -path_mtu_is_of_flow(skb, packet);
        if (bpf_skb_load_bytes(skb, packet->layer3, &ip, sizeof(ip)) < 0 ||
            (ip.frag_off & UNDERPASS_NET16(IPV4_FRAGMENT_MASK)) != UNDERPASS_NET16(IPV4_MORE_FRAGMENTS) ||
            !path_mtu_is_of_flow(skb, packet))
                return 0;
        flow_key_incoming(packet, &key);
        flow = bpf_map_lookup_elem(&flows, &key);
        size = UNDERPASS_NET16(ip.tot_len);
        return !flow || *(__u8 *) &ip != IPV4_USUAL || size < MTU_MIN_IPV4 || !icmp_is_told_seldom(flow) ?
                       -1 :
                       (int) size;
}
