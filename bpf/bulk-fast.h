/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The usual datagram of bulk, which each byte of a fast flow comes in: IPv4 on Ethernet, no NAT on the way,
 * not merged, on its way to the GRO pair. It is read and written in its place, in one go. Whatever is not
 * as usual takes the long way of bulk-receive.h, and so does what is to be dropped.
 */

#include <linux/udp.h>

#include "bulk-receive.h"
#include "bulk-tell.h"

enum {
        BULK_FAST_FLAGS = UNDERPASS_TCP_FIN | UNDERPASS_TCP_SYN | UNDERPASS_TCP_RST | UNDERPASS_TCP_ACK |
                          UNDERPASS_TCP_URG, /* of these, ACK alone is usual */
};

/* The headers of a datagram with IPv4. */
struct bulk_frame_ipv4 {
        struct iphdr outer;
        struct udphdr udp;
        struct bulk_inner_ipv4 inner;
};

/* A key of the map "flows", written by words of 64 bits: see packet.h. */
union bulk_key {
        struct underpass_flow_key key;
        __u64 word[(sizeof(struct underpass_flow_key) + 7) / 8];
};
_Static_assert(sizeof(struct underpass_flow_key) == 4 * sizeof(__u64) + sizeof(__u32) &&
                       offsetof(struct underpass_flow_key, local) == 0 &&
                       offsetof(struct underpass_flow_key, remote) == 2 * sizeof(__u64) &&
                       offsetof(struct underpass_flow_key, local_port) == 4 * sizeof(__u64) &&
                       offsetof(struct underpass_flow_key, remote_port) == 4 * sizeof(__u64) + sizeof(__u16),
               "bulk_fast_key() writes the key word by word");

/* Two words of 32 bits that are beside each other in memory. */
UNDERPASS_INLINE __u64 bulk_pair(__u32 first, __u32 second) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        return (__u64) first << 32 | second;
#else
        return (__u64) second << 32 | first;
#endif
}

UNDERPASS_INLINE void bulk_fast_key(const struct bulk_frame_ipv4 *frame, union bulk_key *key) {
        const __u32 mapped = UNDERPASS_NET32(0xffff), ports = *(const packet_word *) &frame->udp;

        key->word[0] = 0;
        key->word[1] = bulk_pair(mapped, frame->outer.daddr);
        key->word[2] = 0;
        key->word[3] = bulk_pair(mapped, frame->outer.saddr);
        key->word[4] = bulk_pair(ports << 16 | ports >> 16, 0); /* the other one first */
}

/* Cheap enough for every packet of the host. */
UNDERPASS_INLINE int bulk_fast_begins(struct __sk_buff *skb) {
        const struct bulk_frame_ipv4 *frame = (void *) (long) skb->data + ETH_HLEN;

        return (void *) (frame + 1) <= (void *) (long) skb->data_end &&
               *(const __u8 *) &frame->inner.ip == IPV4_USUAL &&
               *(const __u8 *) &frame->outer == IPV4_USUAL &&
               frame->outer.protocol == UNDERPASS_PROTOCOL_UDP &&
               skb->protocol == UNDERPASS_NET16(ETH_P_IP) && skb->gso_size == 0;
}

/* Whether all headers are as usual. */
UNDERPASS_INLINE int bulk_fast_shape(const struct bulk_frame_ipv4 *frame) {
        const union underpass_header *header = &frame->inner.header;
        __u32 total = UNDERPASS_NET16(frame->outer.tot_len), room = BULK_IPV4_ROOM;

        return total >= sizeof(*frame) && UNDERPASS_NET16(frame->udp.len) == total - IPV4_LENGTH &&
               UNDERPASS_NET16(frame->inner.ip.tot_len) == total - room &&
               !((frame->outer.frag_off | frame->inner.ip.frag_off) & UNDERPASS_NET16(IPV4_FRAGMENT_MASK)) &&
               frame->inner.ip.protocol == UNDERPASS_PROTOCOL_TCP &&
               frame->inner.ip.saddr == frame->outer.saddr && frame->inner.ip.daddr == frame->outer.daddr &&
               header->tcp.source == frame->udp.source && header->tcp.dest == frame->udp.dest &&
               (header->tcp.flags & BULK_FAST_FLAGS) == UNDERPASS_TCP_ACK &&
               underpass_tcp_shape(header, (__u16) (total - room - IPV4_LENGTH)) &&
               underpass_fold(packet_sum_words((const packet_word *) &frame->inner.ip, IPV4_LENGTH / 4)) ==
                       0xffff;
}

/* Whether a datagram of this flow, on the link of this slot, goes through the GRO pair at once. */
UNDERPASS_INLINE int bulk_fast_goes(const struct underpass_flow *flow, const struct underpass_slot *of,
                                    __u32 ifindex, __u64 now) {
        return of->ifindex == ifindex && (of->flags & UNDERPASS_SLOT_BULK) && of->gro_ifindex != 0 &&
               flow->bulk_whole == 0 && !bulk_tell_counts(flow, of->flags, now) &&
               !flow_is_silent_at(flow, now) &&
               now - flow->cut_ns > UNDERPASS_CUT_LINGER_MS * MILLISECONDS;
}

/* Takes the outer headers off, but for what the way has changed in them. Negative: it is half written. */
UNDERPASS_INLINE int bulk_fast_unwrap(struct __sk_buff *skb, const struct bulk_frame_ipv4 *frame) {
        __u8 service = frame->outer.tos, hops = frame->outer.ttl;
        __u32 total = frame->outer.tot_len, inner_total = frame->inner.ip.tot_len;
        __u32 id = frame->outer.id, offset = frame->outer.frag_off, check = frame->outer.check;
        struct iphdr *ip;

        if (bulk_unwrap(skb, BULK_IPV4_ROOM, frame->udp.check != 0) < 0)
                return -1;
        ip = (void *) (long) skb->data + ETH_HLEN;
        if ((void *) (ip + 1) > (void *) (long) skb->data_end)
                return -1;
        /* Protocol, addresses and total length are there already. */
        ip->tos = service;
        ip->id = (__u16) id;
        ip->frag_off = (__u16) offset;
        ip->ttl = hops;
        ip->check = bulk_retitled_check((__u16) check, (__u16) total, (__u16) inner_total);
        return 0;
}
