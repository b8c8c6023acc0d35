/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * ICMP and ICMPv6 errors. Those that come and quote one of our datagrams are turned into errors about
 * the TCP segment, so that path MTU discovery and "connection refused" work. Those that leave and quote
 * a segment that came as a datagram are turned into errors about the datagram: its sender, and every NAT
 * on the way, knows nothing else. Rare packets, so everything goes by helper calls.
 */

#include "bulk.h"
#include "note.h"
#include "reset.h"

enum {
        PROTOCOL_ICMP = 1,
        PROTOCOL_ICMPV6 = 58,
        ICMP_HEADER_LENGTH = 8,
        ICMP_UNREACHABLE = 3,
        ICMP_TIME_EXCEEDED = 11,
        ICMP_PARAMETER = 12,
        ICMP_PORT = 3, /* code of unreachable, as the next one */
        ICMP_NEEDS_FRAGMENTATION = 4,
        ICMPV6_UNREACHABLE = 1,
        ICMPV6_PORT = 4, /* code of it */
        ICMPV6_TOO_BIG = 2,
        ICMPV6_PARAMETER = 4,
        MTU_MIN_IPV4 = 576,  /* every host takes so much (RFC 791); less is only good for an attack */
        MTU_MIN_IPV6 = 1280, /* RFC 8200 */
        ICMP_BELIEVED_MAX = 4, /* errors in a second about one flow, … */
        ICMP_TOLD_MAX = 4,     /* … and those that we tell of ourselves: 15 at most, as all of them */
        ICMP_TOLD_SHIFT = 4,
        ICMP_REFUSED_MS = 1000, /* so long nothing but refusals: the peer has forgotten the flow */
        TCP_OPTIONS_MAX = 40,
};

enum icmp_bulk {
        ICMP_BULK_QUOTED = 1U << 0, /* the datagram was in the bulk form; header is as if it were classic */
        ICMP_BULK_ROOM = 1U << 1,   /* the segments of the flow are to leave room for the outer headers */
};

/* One quoted datagram, or segment, while it is being looked at. */
struct icmp_quote {
        __u32 icmp;      /* offset of the ICMP header */
        __u32 inner;     /* of the quoted IP header */
        __u32 layer4;    /* of the quoted UDP or TCP header */
        __u32 length;    /* bytes of it that are quoted: 8, 16 or 20 */
        __u8 ipv6;
        __u8 refusal;    /* the error says that UDP does not get there */
        __u8 too_big;    /* the error tells of a path MTU, which need not be a sound one */
        __u8 port;       /* a refusal says that nothing takes UDP at the port */
        __u32 mtu;       /* path MTU that the error tells of; 0: none */
        __u32 bulk;      /* enum icmp_bulk */
        __u32 bulk_sum;  /* when quoted: of the 20 bytes that are in the place of header */
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

/* Reads the quoted IP header; 0 when it is that of the wanted protocol, with its addresses in key, as
 * for a packet of our side. */
UNDERPASS_INLINE int icmp_read_inner_ipv4(struct __sk_buff *skb, struct icmp_quote *quote, __u8 protocol) {
        struct iphdr ip;

        if (bpf_skb_load_bytes(skb, quote->inner, &ip, sizeof(ip)) < 0)
                return -1;
        if (ip.version != 4 || ip.ihl < 5 || ip.protocol != protocol ||
            (ip.frag_off & UNDERPASS_NET16(IPV4_FRAGMENT_MASK)))
                return -1;
        packet_address_ipv4(quote->key.local, ip.saddr);
        packet_address_ipv4(quote->key.remote, ip.daddr);
        quote->layer4 = quote->inner + ip.ihl * 4;
        return 0;
}

UNDERPASS_INLINE int icmp_read_inner_ipv6(struct __sk_buff *skb, struct icmp_quote *quote, __u8 protocol) {
        struct ipv6hdr ip;

        if (bpf_skb_load_bytes(skb, quote->inner, &ip, sizeof(ip)) < 0)
                return -1;
        if (ip.version != 6 || ip.nexthdr != protocol)
                return -1;
        __builtin_memcpy(quote->key.local, &ip.saddr, sizeof(quote->key.local));
        __builtin_memcpy(quote->key.remote, &ip.daddr, sizeof(quote->key.remote));
        quote->layer4 = quote->inner + IPV6_LENGTH;
        return 0;
}

/*
 * A quoted datagram in the bulk form: what the classic form has in its header is further behind. Returns
 * 0.
 */
UNDERPASS_GLOBAL int icmp_read_bulk(struct __sk_buff *skb, struct icmp_quote *quote) {
        union underpass_header inner = {};

        if (!quote || !bulk_begins(&quote->header, quote->ipv6))
                return 0;
        if (bpf_skb_load_bytes(skb, quote->layer4 + UDP_LENGTH + (quote->ipv6 ? IPV6_LENGTH : IPV4_LENGTH),
                               &inner, sizeof(inner)) < 0) {
                quote->length = 8;
                return 0;
        }
        quote->bulk = ICMP_BULK_QUOTED;
        quote->bulk_sum = packet_sum_words(quote->header.word, UNDERPASS_HEADER_LENGTH / 4);
        bulk_present(&quote->header, &inner);
        return 0;
}

/* 0: an error that quotes a datagram of our side (protocol UDP) or a segment of the peer (TCP), eight
 * bytes of its header at least. */
UNDERPASS_GLOBAL int icmp_read(struct __sk_buff *skb, __u32 layer3, struct icmp_quote *quote,
                               __u8 protocol) {
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
                quote->port = start.code == ICMPV6_PORT;
                quote->too_big = start.type == ICMPV6_TOO_BIG;
                if (quote->too_big)
                        quote->mtu = UNDERPASS_NET32(start.rest);
                if (icmp_read_inner_ipv6(skb, quote, protocol) < 0)
                        return -1;
        } else {
                if (start.type != ICMP_UNREACHABLE && start.type != ICMP_TIME_EXCEEDED &&
                    start.type != ICMP_PARAMETER)
                        return -1;
                quote->refusal = start.type == ICMP_UNREACHABLE && start.code != ICMP_NEEDS_FRAGMENTATION;
                quote->port = start.code == ICMP_PORT;
                quote->too_big = start.type == ICMP_UNREACHABLE && start.code == ICMP_NEEDS_FRAGMENTATION;
                if (quote->too_big)
                        quote->mtu = UNDERPASS_NET32(start.rest) & 0xffff;
                if (icmp_read_inner_ipv4(skb, quote, protocol) < 0)
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
        if (protocol == UNDERPASS_PROTOCOL_UDP && quote->length >= 16)
                icmp_read_bulk(skb, quote);
        /* Both forms have the ports at the same place. */
        quote->key.local_port = quote->header.udp.source;
        quote->key.remote_port = quote->header.udp.dest;
        return protocol == UNDERPASS_PROTOCOL_UDP ? 0 : flow_key_turn(&quote->key);
}

/*
 * Writes the header of the quote, of which so many words of 32 bits are there (2, 4 or 5), names the other
 * protocol, and puts the ICMP checksum right. before: sum of these words as they were.
 */
UNDERPASS_GLOBAL int icmp_write(struct __sk_buff *skb, struct icmp_quote *quote, __u8 to, __u32 words,
                                __u32 before) {
        __u32 after, offset;
        __u16 check;
        long r;

        if (!quote)
                return -1;
        after = packet_sum_words(quote->header.word, (int) words);
        offset = quote->inner +
                 (quote->ipv6 ? offsetof(struct ipv6hdr, nexthdr) : offsetof(struct iphdr, protocol));
        if (bpf_skb_store_bytes(skb, offset, &to, sizeof(to), 0) < 0)
                return -1;
        if (quote->ipv6) {
                if (to == UNDERPASS_PROTOCOL_TCP)
                        before += UNDERPASS_NET16(UNDERPASS_PROTOCOL_DELTA << 8);
                else
                        after += UNDERPASS_NET16(UNDERPASS_PROTOCOL_DELTA << 8);
        } else {
                /* The quoted IPv4 header keeps its sum: its checksum makes up for the protocol. */
                offset = quote->inner + offsetof(struct iphdr, check);
                if (bpf_skb_load_bytes(skb, offset, &check, sizeof(check)) < 0)
                        return -1;
                check = to == UNDERPASS_PROTOCOL_TCP ? underpass_ipv4_check_to_tcp(check) :
                                                       underpass_ipv4_check_to_udp(check);
                if (bpf_skb_store_bytes(skb, offset, &check, sizeof(check), 0) < 0)
                        return -1;
        }
        if (words == 5)
                r = bpf_skb_store_bytes(skb, quote->layer4, &quote->header, 20, 0);
        else if (words == 4)
                r = bpf_skb_store_bytes(skb, quote->layer4, &quote->header, 16, 0);
        else
                r = bpf_skb_store_bytes(skb, quote->layer4, &quote->header, 8, 0);
        offset = quote->icmp + offsetof(struct icmp_start, check);
        if (r < 0 || bpf_skb_load_bytes(skb, offset, &check, sizeof(check)) < 0)
                return -1;
        check = underpass_check_adjust(check, underpass_fold(after), underpass_fold(before));
        return (int) bpf_skb_store_bytes(skb, offset, &check, sizeof(check), 0);
}

/* Writes the TCP form into the quote, as far as it reaches. */
UNDERPASS_GLOBAL int icmp_rewrite(struct __sk_buff *skb, struct icmp_quote *quote, __u32 sequence) {
        __u32 words, before;

        if (!quote)
                return -1;
        words = quote->length == UNDERPASS_HEADER_LENGTH ? 5 : 2;
        before = quote->bulk & ICMP_BULK_QUOTED ? quote->bulk_sum :
                                                  packet_sum_words(quote->header.word, (int) words);
        if (words == 5)
                underpass_udp_to_tcp(&quote->header);
        else
                quote->header.tcp.sequence = quote->length == 16 ? quote->header.udp.sequence : sequence;
        return icmp_write(skb, quote, UNDERPASS_PROTOCOL_TCP, words, before);
}

/* The length of the quoted segment, header and payload, by the IP header that is quoted. */
UNDERPASS_INLINE __u16 icmp_quoted_length(struct __sk_buff *skb, const struct icmp_quote *quote) {
        __u16 length = 0;

        if (quote->ipv6) {
                bpf_skb_load_bytes(skb, quote->inner + offsetof(struct ipv6hdr, payload_len), &length,
                                   sizeof(length));
                return UNDERPASS_NET16(length);
        }
        bpf_skb_load_bytes(skb, quote->inner + offsetof(struct iphdr, tot_len), &length, sizeof(length));
        return (__u16) (UNDERPASS_NET16(length) - (quote->layer4 - quote->inner));
}

/* And the UDP form. A quote that does not reach to the checksum of TCP says that there is none, by 0. */
UNDERPASS_GLOBAL int icmp_rewrite_udp(struct __sk_buff *skb, struct icmp_quote *quote) {
        __u32 words, before, sequence;
        __u16 length;

        if (!quote)
                return -1;
        length = icmp_quoted_length(skb, quote);
        words = quote->length / 4;
        before = packet_sum_words(quote->header.word, (int) words);
        if (words == 5)
                underpass_tcp_to_udp(&quote->header, length);
        else {
                sequence = quote->header.word[1];
                quote->header.word[2] = quote->header.word[3] &
                                        ~UNDERPASS_NET32((__u32) UNDERPASS_TCP_URG << 16);
                quote->header.word[3] = sequence;
                quote->header.udp.length = UNDERPASS_NET16(length);
                quote->header.udp.check = 0;
        }
        return icmp_write(skb, quote, UNDERPASS_PROTOCOL_UDP, words, before);
}

/*
 * Puts another path MTU into an error. That of IPv4 is raised when it is too small to be one: our stack
 * would believe it down to 552 bytes, and 0 is what routers older than RFC 1191 say. (No stack believes
 * less than 1280 bytes of IPv6.) That of IPv6 is lowered for a flow that uses the bulk form, as its
 * segments leave room for the outer headers; with IPv4 they have the same size in both forms
 * (bulk-send.h).
 */
UNDERPASS_GLOBAL int icmp_adapt_mtu(struct __sk_buff *skb, struct icmp_quote *quote) {
        __u16 least, check;
        __u32 mtu, at;

        if (!quote)
                return -1;
        if (!quote->too_big || (quote->ipv6 ? !(quote->bulk & ICMP_BULK_ROOM) || quote->mtu > 0xffff :
                                              quote->mtu >= MTU_MIN_IPV4))
                return 0;
        mtu = quote->mtu - BULK_IPV6_ROOM;
        least = UNDERPASS_NET16(!quote->ipv6 ? MTU_MIN_IPV4 : mtu < MTU_MIN_IPV6 ? MTU_MIN_IPV6 : mtu);
        at = quote->icmp + offsetof(struct icmp_start, check);
        mtu = quote->icmp + offsetof(struct icmp_start, rest) + sizeof(__u16);
        if (bpf_skb_load_bytes(skb, at, &check, sizeof(check)) < 0)
                return -1;
        check = underpass_check_adjust(check, least, UNDERPASS_NET16(quote->mtu));
        if (bpf_skb_store_bytes(skb, at, &check, sizeof(check), 0) < 0)
                return -1;
        return bpf_skb_store_bytes(skb, mtu, &least, sizeof(least), 0) < 0 ? -1 : 0;
}

/*
 * Whether the error quotes what the flow has in flight: anybody can send one, knowing addresses and ports,
 * but no sequence number (RFC 5927, 4.1). A quote that is too short for it proves less: there must be as
 * much data in flight as the datagram had, and it must have been larger than the path MTU that is told of.
 */
UNDERPASS_INLINE int icmp_is_proven(const struct icmp_quote *quote, const struct underpass_flow *flow) {
        __u32 flight = flow->next - flow->expected, length = UNDERPASS_NET16(quote->header.udp.length);

        /* What has no data has the number of the next byte. Of a half-open flow it is the SYN or SYN-ACK,
         * one before the data. */
        if (quote->length >= 16) {
                __u32 sequence = UNDERPASS_NET32(quote->header.udp.sequence) +
                                 (flow->state == UNDERPASS_FLOW_HALF_OPEN);

                /* A keepalive, which TCP sends when nothing is in flight, has the number before. */
                return sequence - flow->expected <= flight ||
                       (quote->port && flight == 0 && flow->state == UNDERPASS_FLOW_TUNNELLED &&
                        !(quote->header.udp.flags & UNDERPASS_TCP_SYN) && sequence + 1 == flow->expected);
        }
        return flight != 0 && length >= UNDERPASS_HEADER_LENGTH &&
               length - UNDERPASS_HEADER_LENGTH <= flight + TCP_OPTIONS_MAX &&
               (!quote->too_big || quote->mtu < length + (quote->layer4 - quote->inner));
}

/* The same for a SYN of ours that is refused. What quotes less than its sequence number, but its length,
 * may make this connection a plain one, and tells nothing of the destination. */
UNDERPASS_INLINE int icmp_is_about_syn(const struct icmp_quote *quote, struct underpass_flow *flow) {
        __u32 length = UNDERPASS_NET16(quote->header.udp.length) - UNDERPASS_HEADER_LENGTH;

        if (quote->length >= 16)
                return UNDERPASS_NET32(quote->header.udp.sequence) + 1 == flow->expected;
        if (length - (flow->next - flow->expected) > TCP_OPTIONS_MAX)
                return 0;
        if (!(flow->flags & UNDERPASS_FLOW_REFUSED))
                flow->flags |= UNDERPASS_FLOW_DOUBTFUL;
        return 1;
}

/* Begins to count anew in each second. */
UNDERPASS_INLINE void icmp_count_begin(struct underpass_flow *flow) {
        __u32 second = (__u32) (bpf_ktime_get_coarse_ns() / NANOSECONDS);

        if (flow->errors_second != second) {
                flow->errors_second = second;
                flow->errors = 0;
        }
}

/* Who guesses numbers has few guesses. */
UNDERPASS_INLINE int icmp_is_seldom(struct underpass_flow *flow) {
        icmp_count_begin(flow);
        if ((flow->errors & ((1 << ICMP_TOLD_SHIFT) - 1)) >= ICMP_BELIEVED_MAX)
                return 0;
        flow->errors++;
        return 1;
}

/* Nobody makes us send many. Those that we believe are counted apart: a flow may have to do with both. */
UNDERPASS_INLINE int icmp_is_told_seldom(struct underpass_flow *flow) {
        icmp_count_begin(flow);
        if (flow->errors >> ICMP_TOLD_SHIFT >= ICMP_TOLD_MAX)
                return 0;
        flow->errors += 1 << ICMP_TOLD_SHIFT;
        return 1;
}

/* Whether the error comes from the destination of the quoted datagram. Routers say "port unreachable",
 * too, when their firewall is told to. */
UNDERPASS_GLOBAL int icmp_is_of_destination(struct __sk_buff *skb, __u32 layer3, struct icmp_quote *quote) {
        __u32 source[4] = {}, ipv4;

        if (!quote)
                return 0;
        if (quote->ipv6) {
                if (bpf_skb_load_bytes(skb, layer3 + offsetof(struct ipv6hdr, saddr), source,
                                       sizeof(source)) < 0)
                        return 0;
        } else {
                if (bpf_skb_load_bytes(skb, layer3 + offsetof(struct iphdr, saddr), &ipv4, sizeof(ipv4)) < 0)
                        return 0;
                packet_address_ipv4(source, ipv4);
        }
        return source[0] == quote->key.remote[0] && source[1] == quote->key.remote[1] &&
               source[2] == quote->key.remote[2] && source[3] == quote->key.remote[3];
}

/* A refusal of a SYN of ours on a link with fallback. 1: the next one leaves as plain TCP. */
UNDERPASS_INLINE int icmp_refuses(struct __sk_buff *skb, __u32 layer3, struct icmp_quote *quote,
                                  struct underpass_flow *flow) {
        __u32 sent_by = flow->ifindex;
        struct underpass_link *link;

        if (!quote->refusal || flow->state != UNDERPASS_FLOW_HALF_OPEN ||
            !(flow->flags & UNDERPASS_FLOW_OPENED_HERE))
                return 0;
        link = bpf_map_lookup_elem(&links, &sent_by);
        if (!link ||
            !((link->flags & UNDERPASS_LINK_FALLBACK) || (flow->flags & UNDERPASS_FLOW_FALLEN_BACK)) ||
            !icmp_is_about_syn(quote, flow))
                return 0;
        flow->flags |= UNDERPASS_FLOW_REFUSED;
        if (quote->port && icmp_is_of_destination(skb, layer3, quote))
                flow->flags |= UNDERPASS_FLOW_REFUSED_THERE;
        return 1;
}

/* Whether nothing has come of the peer but refusals, and that for so long that it is not the moment in
 * which its tunnel is set up anew. */
UNDERPASS_GLOBAL int icmp_is_final(struct underpass_flow *flow) {
        __u32 now = (__u32) (bpf_ktime_get_coarse_ns() / MILLISECONDS);

        if (!flow)
                return 0;
        if (flow->refused_ms == 0 || flow->refused_received != (__u32) flow->received) {
                flow->refused_received = (__u32) flow->received;
                flow->refused_ms = now | 1; /* 0 says that there was none */
                return 0;
        }
        return (__s32) (now - flow->refused_ms) >= ICMP_REFUSED_MS;
}

/*
 * A proven refusal of an established flow. TCP takes no ICMP error for the end of a connection, but the
 * peer cannot say it otherwise: its stack answers segments that it does not know with a reset, and our
 * datagrams with "port unreachable". 1: the flow ends.
 *
 * The reset has the number that our side has acknowledged last. When that is not exactly what TCP
 * expects, it asks the peer first (RFC 5961), and that, too, is refused and has the right number.
 */
UNDERPASS_GLOBAL int icmp_ends(struct __sk_buff *skb, __u32 layer3, struct icmp_quote *quote,
                               struct underpass_flow *flow) {
        if (!quote || !flow || !quote->refusal || !quote->port || quote->length != UNDERPASS_HEADER_LENGTH ||
            flow->state != UNDERPASS_FLOW_TUNNELLED || !(quote->header.udp.flags & UNDERPASS_TCP_ACK))
                return 0;
        return icmp_is_of_destination(skb, layer3, quote) && icmp_is_final(flow);
}

/* In place of the error our side gets a reset of the peer. 1: it is broken and has to be dropped. */
UNDERPASS_GLOBAL int icmp_reset(struct __sk_buff *skb, __u32 layer3, struct icmp_quote *quote, __u32 slot) {
        int r;

        if (!quote)
                return 1;
        flow_key_turn(&quote->key);
        if (quote->ipv6)
                r = reset_make_ipv6(skb, layer3, &quote->key, quote->header.udp.acknowledgment,
                                    UNDERPASS_PROTOCOL_TCP);
        else
                r = reset_make_ipv4(skb, layer3, &quote->key, quote->header.udp.acknowledgment,
                                    UNDERPASS_PROTOCOL_TCP);
        if (r < 0) {
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                return 1;
        }
        bpf_set_hash_invalid(skb);
        note_converted(skb);
        count(slot, UNDERPASS_COUNTER_ICMP_RESETS);
        return 0;
}

/* Whether an error may be about the SYN of another connection than that of the flow, which has the same
 * addresses and ports: see flow_make_way(). A short quote does not say that it is of a SYN. */
UNDERPASS_INLINE int icmp_may_be_about_syn(const struct icmp_quote *quote,
                                           const struct underpass_flow *flow) {
        const __u8 syn_ack = UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK;

        if (flow->state != UNDERPASS_FLOW_TUNNELLED)
                return 0;
        return quote->length < 16 ? flow_is_silent(flow) :
                                    (quote->header.udp.flags & syn_ack) == UNDERPASS_TCP_SYN;
}

/* The flow of the datagram that an error quotes; 0: there is none, or no more than a note. */
UNDERPASS_INLINE struct underpass_flow *icmp_find_flow(const struct icmp_quote *quote) {
        struct underpass_flow *flow = flow_lookup(&quote->key), *begun;

        if (!flow || !icmp_may_be_about_syn(quote, flow))
                return flow && !flow_is_note(flow) ? flow : 0;
        begun = bpf_map_lookup_elem(&half_open, &quote->key);
        return begun && !flow_is_note(begun) ? begun : flow;
}

/*
 * An ICMP packet: converted if it is an error about a datagram of ours. 1: to be dropped, as it refuses a
 * SYN over UDP and the next SYN will leave as plain TCP (TCP would give the connection up), or as it does
 * not prove to be about the flow: a UDP socket that anybody opens at that port would believe it. 0: on to
 * the stack.
 */
UNDERPASS_GLOBAL int icmp_convert(struct __sk_buff *skb, __u32 layer3) {
        struct icmp_quote quote = {};
        struct underpass_flow *flow;
        __u32 slot, sequence, sent_by;

        if (icmp_read(skb, layer3, &quote, UNDERPASS_PROTOCOL_UDP) != 0)
                return 0;
        flow = icmp_find_flow(&quote);
        /* Errors come at once; about a flow that has been silent, it is another program's datagram. */
        if (!flow || flow_is_silent(flow))
                return 0;
        slot = slot_of_link(skb->ifindex, flow->slot);
        sequence = flow->sequence;
        sent_by = flow->ifindex;
        if (icmp_refuses(skb, layer3, &quote, flow)) {
                count(slot, UNDERPASS_COUNTER_DROP_ICMP);
                return 1;
        }
        if (!icmp_is_proven(&quote, flow) || !icmp_is_seldom(flow)) {
                count(slot, UNDERPASS_COUNTER_DROP_UNPROVEN);
                return 1;
        }
        if (icmp_ends(skb, layer3, &quote, flow)) {
                flow->ends |= UNDERPASS_FLOW_PEER_RST;
                return icmp_reset(skb, layer3, &quote, slot);
        }
        if (quote.too_big)
                quote.bulk |= bulk_explain_loss(flow) ? ICMP_BULK_ROOM : 0;
        if (quote.length >= 16 && quote.mtu >= (quote.ipv6 ? MTU_MIN_IPV6 : MTU_MIN_IPV4))
                destination_learn_mtu(&quote.key, sent_by, quote.mtu);
        if (icmp_adapt_mtu(skb, &quote) < 0 || icmp_rewrite(skb, &quote, sequence) < 0) {
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                return 1;
        }
        count(slot, UNDERPASS_COUNTER_ICMP_CONVERTED);
        if (quote.length < 16)
                count(slot, UNDERPASS_COUNTER_ICMP_SHORT);
        return 0;
}

/* Whether an error is about the SYN that the peer has sent again as plain TCP, and not over UDP since. */
UNDERPASS_INLINE int icmp_is_about_plain_syn(const struct icmp_quote *quote,
                                             const struct underpass_flow *flow) {
        return (flow->flags & UNDERPASS_FLOW_PLAIN_SYN) &&
               UNDERPASS_NET32(quote->header.tcp.sequence) == flow->plain_sequence &&
               (quote->length < UNDERPASS_HEADER_LENGTH || (quote->header.tcp.flags & UNDERPASS_TCP_SYN));
}

/* Whether a segment of the peer has come as a datagram. See flow_carries(): a flow that is not answered
 * yet may be made up, and then only its SYN has. */
UNDERPASS_INLINE int icmp_was_datagram(const struct icmp_quote *quote, const struct underpass_flow *flow) {
        if (flow_is_note(flow) || icmp_is_about_plain_syn(quote, flow))
                return 0;
        return flow->state == UNDERPASS_FLOW_TUNNELLED ||
               (flow->flags & (UNDERPASS_FLOW_OPENED_HERE | UNDERPASS_FLOW_ANSWERED)) ||
               (quote->length == UNDERPASS_HEADER_LENGTH && (quote->header.tcp.flags & UNDERPASS_TCP_SYN));
}

/* An ICMP packet that leaves: an error about a segment of a tunnelled flow gets to quote the datagram
 * that it was. 1: it is half written and has to be dropped. */
UNDERPASS_GLOBAL int icmp_quote_udp(struct __sk_buff *skb, __u32 layer3) {
        struct icmp_quote quote = {};
        struct underpass_flow *flow;
        __u32 slot;

        if (icmp_read(skb, layer3, &quote, UNDERPASS_PROTOCOL_TCP) != 0)
                return 0;
        flow = flow_lookup(&quote.key);
        if (!flow || !icmp_was_datagram(&quote, flow))
                return 0;
        slot = slot_of_link(skb->ifindex, flow->slot);
        if (icmp_rewrite_udp(skb, &quote) < 0) {
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                return 1;
        }
        count(slot, UNDERPASS_COUNTER_ICMP_QUOTED);
        return 0;
}
