/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Packets of ours → bulk form, at the link itself. The kernel keeps the super-packet as one.
 *
 * The UDP checksum is made without reading the data: the inner IPv4 header sums to nothing, and the
 * segment sums to the complement of its pseudo header, once somebody has completed its checksum. All
 * segments of the same length have the same one.
 *
 * IPv4: the kernel makes room for the outer headers in each segment, so the MSS stays as it is, and so
 * does the size of the datagrams. When the last segment is shorter then, there is no UDP checksum; TCP has
 * its own. IPv6: a datagram must have one (RFC 8200), so all segments have the length that TCP gave them,
 * and the MSS must leave room. What has no room, or a shorter last segment, stays in the classic form.
 */

#include <linux/udp.h>

#include "bulk.h"
#include "note.h"

enum {
        BULK_LENGTH_MAX = 0xffff,
        BULK_UNSUMMED = 0,
        BULK_SEGMENT_MIN = 4 * BULK_IPV4_ROOM, /* bytes; of less, the headers would be a large part */
};

struct bulk_header_ipv4 {
        struct iphdr ip;
        struct udphdr udp;
};

struct bulk_header_ipv6 {
        struct ipv6hdr ip;
        struct udphdr udp;
};

/*
 * The length of every segment, TCP header included, once a super-packet has been cut; 0: they differ.
 * room: what is taken from each.
 */
UNDERPASS_INLINE __u32 bulk_segment_length(struct __sk_buff *skb, const struct packet *packet, __u32 room) {
        __u32 head = (__u32) (packet->header.tcp.offset >> 4) * 4, size = skb->gso_size;

        if (size <= room || (packet->length - head) % (size - room) != 0)
                return 0;
        return size - room + head;
}

UNDERPASS_INLINE __u32 bulk_segments(struct __sk_buff *skb, const struct packet *packet, __u32 room) {
        __u32 head = (__u32) (packet->header.tcp.offset >> 4) * 4, size = skb->gso_size;

        return size <= room ? 1 : (packet->length - head + size - room - 1) / (size - room);
}

UNDERPASS_INLINE __u16 bulk_check(__u32 sum) {
        __u16 check = (__u16) ~underpass_fold(sum);

        return check ? check : 0xffff;
}

/* The checksum of a datagram whose inner segment has this length, as far as it does not depend on addresses:
 * both pseudo headers have the same. outer: length of the outer UDP datagram. */
UNDERPASS_INLINE __u32 bulk_sum(const struct packet *packet, __u32 segment, __u32 outer) {
        __u32 sum = UNDERPASS_NET16(UNDERPASS_PROTOCOL_UDP) + 2 * (__u32) UNDERPASS_NET16(outer);

        sum += packet->header.tcp.source;
        sum += packet->header.tcp.dest;
        sum += (__u16) ~UNDERPASS_NET16(UNDERPASS_PROTOCOL_TCP);
        sum += (__u16) ~UNDERPASS_NET16(segment);
        return sum;
}

/*
 * The outer headers; header->ip is a copy of the inner one. length: of the whole packet from the outer IP
 * header on. segment: see bulk_segment_length(). Returns 0.
 */
UNDERPASS_GLOBAL int bulk_fill_ipv4(struct bulk_header_ipv4 *header, struct packet *packet, __u32 length,
                                    __u32 segment) {
        __u32 sum;

        if (!header || !packet)
                return 0;
        header->ip.protocol = UNDERPASS_PROTOCOL_UDP;
        header->ip.tot_len = UNDERPASS_NET16(length);
        header->ip.check = 0;
        sum = packet_sum_words((const packet_word *) &header->ip, IPV4_LENGTH / 4);
        header->ip.check = (__u16) ~underpass_fold(sum);
        header->udp.source = packet->header.tcp.source;
        header->udp.dest = packet->header.tcp.dest;
        header->udp.len = UNDERPASS_NET16(length - IPV4_LENGTH);
        header->udp.check = 0;
        if (segment != BULK_UNSUMMED)
                header->udp.check = bulk_check(bulk_sum(packet, segment, segment + BULK_IPV4_ROOM));
        return 0;
}

UNDERPASS_GLOBAL int bulk_fill_ipv6(struct bulk_header_ipv6 *header, struct packet *packet, __u32 length,
                                    __u32 segment) {
        __u32 sum;

        if (!header || !packet)
                return 0;
        /* The inner header, as each segment has it. It has no checksum, so the sum has to have it. */
        header->ip.payload_len = UNDERPASS_NET16(segment);
        sum = packet_sum_words((const packet_word *) &header->ip, 8);
        sum += packet_sum_words((const packet_word *) &header->ip + 8, 2);
        sum += bulk_sum(packet, segment, segment + BULK_IPV6_ROOM);
        header->ip.nexthdr = UNDERPASS_PROTOCOL_UDP;
        header->ip.payload_len = UNDERPASS_NET16(length - IPV6_LENGTH);
        header->udp.source = packet->header.tcp.source;
        header->udp.dest = packet->header.tcp.dest;
        header->udp.len = header->ip.payload_len;
        header->udp.check = bulk_check(sum);
        return 0;
}

/*
 * Puts the outer headers before a packet. segment: see bulk_segment_length(). 1: done; 0: the kernel
 * cannot, and nothing has been done; negative: the packet is half written.
 */
UNDERPASS_GLOBAL int bulk_wrap_ipv4(struct __sk_buff *skb, struct packet *packet, __u32 segment) {
        struct bulk_header_ipv4 header = {};
        __u32 layer3;

        if (!packet)
                return 0;
        layer3 = packet->layer3;
        if (bpf_skb_load_bytes(skb, layer3, &header.ip, sizeof(header.ip)) < 0 ||
            bpf_skb_adjust_room(skb, BULK_IPV4_ROOM, BPF_ADJ_ROOM_MAC,
                                BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP) < 0)
                return 0;
        bulk_fill_ipv4(&header, packet, skb->len - layer3, segment);
        return bpf_skb_store_bytes(skb, layer3, &header, sizeof(header), 0) < 0 ? -1 : 1;
}

UNDERPASS_GLOBAL int bulk_wrap_ipv6(struct __sk_buff *skb, struct packet *packet, __u32 segment) {
        struct bulk_header_ipv6 header = {};
        __u32 layer3;

        if (!packet || segment == BULK_UNSUMMED)
                return 0;
        layer3 = packet->layer3;
        if (bpf_skb_load_bytes(skb, layer3, &header.ip, sizeof(header.ip)) < 0 ||
            bpf_skb_adjust_room(skb, BULK_IPV6_ROOM, BPF_ADJ_ROOM_MAC,
                                BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
                                        BPF_F_ADJ_ROOM_FIXED_GSO) < 0)
                return 0;
        bulk_fill_ipv6(&header, packet, skb->len - layer3, segment);
        return bpf_skb_store_bytes(skb, layer3, &header, sizeof(header), 0) < 0 ? -1 : 1;
}

/*
 * Whether the segments of a super-packet over IPv6 have room for the outer headers, on the link and on the
 * path.
 */
UNDERPASS_GLOBAL int bulk_has_room(struct __sk_buff *skb, struct packet *packet) {
        __u32 head, mtu = 0, path_mtu;
        struct underpass_flow_key key = {};

        if (!packet)
                return 0;
        head = (__u32) (packet->header.tcp.offset >> 4) * 4;
        /* It only reads the MTU: the packet is much longer. */
        bpf_check_mtu(skb, 0, &mtu, 0, 0);
        flow_key_outgoing(packet, &key);
        path_mtu = (__u32) destination_mtu(&key, skb->ifindex);
        if (path_mtu != 0 && path_mtu < mtu)
                mtu = path_mtu;
        return skb->gso_size + head + IPV6_LENGTH + BULK_IPV6_ROOM <= mtu;
}

/* A super-packet → bulk form. As bulk_wrap_ipv4(). */
UNDERPASS_GLOBAL int bulk_send(struct __sk_buff *skb, struct packet *packet, struct underpass_flow *flow,
                               __u32 slot) {
        __u32 room, segment, segments, whole;
        int r;

        if (!packet || !flow || packet->length + BULK_IPV6_ROOM + IPV6_LENGTH > BULK_LENGTH_MAX)
                return 0;
        if (packet->ipv6 && !bulk_has_room(skb, packet))
                return bulk_want_room(packet, flow, skb->ifindex);
        /* The helper takes that room from each segment, and a peer may ask for ones without so much. */
        if (!packet->ipv6 && skb->gso_size < BULK_SEGMENT_MIN)
                return 0;
        room = packet->ipv6 ? 0 : BULK_IPV4_ROOM;
        segment = bulk_segment_length(skb, packet, room);
        segments = bulk_segments(skb, packet, room);
        whole = bulk_segments(skb, packet, 0); /* so many are counted already */
        r = packet->ipv6 ? bulk_wrap_ipv6(skb, packet, segment) : bulk_wrap_ipv4(skb, packet, segment);
        if (r < 0)
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
        if (r <= 0)
                return r;
        flow->more_sent += segments - whole;
        count_more(slot, UNDERPASS_COUNTER_SENT, segments);
        count_more(slot, UNDERPASS_COUNTER_BULK_SENT, segments);
        if (segment == BULK_UNSUMMED)
                count_more(slot, UNDERPASS_COUNTER_BULK_UNSUMMED, segments);
        return 1;
}

/* Makes a packet say that it ends with its TCP header. Negative: it is half written. */
UNDERPASS_GLOBAL int bulk_shorten(struct __sk_buff *skb, struct packet *packet, __u32 head) {
        __u32 layer3;
        __u16 old, new;

        if (!packet)
                return -1;
        layer3 = packet->layer3;
        old = UNDERPASS_NET16(packet->length);
        new = UNDERPASS_NET16(head);
        /* The checksum is not done yet (CHECKSUM_PARTIAL): what is there is the sum of the pseudo header. */
        if (bpf_l4_csum_replace(skb, packet->layer4 + offsetof(struct underpass_tcp_header, check), old, new,
                                BPF_F_PSEUDO_HDR | sizeof(new)) < 0)
                return -1;
        if (packet->ipv6)
                return (int) bpf_skb_store_bytes(skb, layer3 + offsetof(struct ipv6hdr, payload_len), &new,
                                                 sizeof(new), 0);
        old = UNDERPASS_NET16(packet->length + IPV4_LENGTH);
        new = UNDERPASS_NET16(head + IPV4_LENGTH);
        if (bpf_l3_csum_replace(skb, layer3 + offsetof(struct iphdr, check), old, new, sizeof(new)) < 0)
                return -1;
        return (int) bpf_skb_store_bytes(skb, layer3 + offsetof(struct iphdr, tot_len), &new, sizeof(new),
                                         0);
}

/*
 * The copy of a super-packet → an acknowledgment without data, in the bulk form. With IPv4 it has no UDP
 * checksum, as most bulk has none. 1: it may leave; else it is dropped.
 */
UNDERPASS_GLOBAL int bulk_make_probe(struct __sk_buff *skb, __u32 layer3) {
        struct packet packet = {};
        __u8 flags;
        __u32 head;

        if (packet_read(skb, layer3, UNDERPASS_PROTOCOL_TCP, &packet) != PACKET_FOUND || !packet.usual)
                return 0;
        head = (__u32) (packet.header.tcp.offset >> 4) * 4;
        /* With accurate ECN (RFC 9768), bits of it are part of a counter. */
        flags = packet.header.tcp.flags & (UNDERPASS_TCP_ACK | UNDERPASS_TCP_ECE | UNDERPASS_TCP_CWR);
        if (bpf_skb_change_tail(skb, packet.layer4 + head, 0) < 0 || bulk_shorten(skb, &packet, head) < 0 ||
            bpf_skb_store_bytes(skb, packet.layer4 + offsetof(struct underpass_tcp_header, flags), &flags,
                                sizeof(flags), 0) < 0)
                return 0;
        if (packet.ipv6)
                return bulk_wrap_ipv6(skb, &packet, head) > 0;
        return bulk_wrap_ipv4(skb, &packet, BULK_UNSUMMED) > 0;
}
