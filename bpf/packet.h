/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Reading and writing packets: where the layer 4 header is, a copy of it, and the way back into the packet.
 *
 * Headers at their usual place (IPv4 without options, IPv6 without extension
 * headers) are read and written directly, at constant offsets: variable ones would need CAP_PERFMON. All
 * others go through bpf_skb_load_bytes() and bpf_skb_store_bytes(), which take any offset.
 *
 * What is not needed for every packet is a global function: the verifier checks it once, by itself, and each
 * has a stack frame of its own. With everything in one frame the compiler lets 32-bit values share slots
 * with spilled pointers, which the verifier refuses without CAP_PERFMON. Their pointer arguments are never
 * NULL; the verifier wants to see a test.
 *
 * Kernel 6.1 adds two rules. A key of a map must be on the stack, so what got it by a pointer copies it. And
 * without CAP_PERFMON nothing narrower than 64 bits may be written beside, or over, another such value on
 * the stack: structs with narrow fields are filled in by a global function, through its pointer.
 */

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "rewrite.h"

enum {
        IPV4_LENGTH = 20,
        IPV6_LENGTH = 40,
        UDP_LENGTH = 8,
        IPV4_USUAL = 0x45,           /* version 4, a header without options */
        IPV4_FRAGMENT_MASK = 0x3fff, /* more fragments, or an offset */
        IPV4_DONT_FRAGMENT = 0x4000,
        PACKET_HOPS = 64,            /* of packets that the programs make */
        EXTENSIONS_MAX = 4,          /* IPv6 extension headers that are walked over */
        EXTENSION_HOP_BY_HOP = 0,
        EXTENSION_ROUTING = 43,
        EXTENSION_FRAGMENT = 44,
        EXTENSION_DESTINATION = 60,
};

enum packet_result {
        PACKET_FOUND,
        PACKET_OTHER,     /* not IP, another protocol, or cut off */
        PACKET_FRAGMENT,  /* the wanted protocol, but a fragment: of struct packet only header is missing */
};

struct packet {
        __u32 layer3;          /* offset of the IP header: 14 or 0 */
        __u32 layer4;          /* offset of the TCP or UDP header */
        __u32 protocol_offset; /* offset of the byte that names the layer 4 protocol */
        __u16 length;          /* layer 4 header and payload, by the IP header; 0: it says nothing */
        __u8 ipv6;
        __u8 usual;            /* headers are at their usual place */
        __u32 again;           /* a segment of ours that has been sent before; set by who finds out */
        union underpass_header header;
        __u32 source[4];       /* network order; IPv4 mapped */
        __u32 dest[4];
};

/*
 * IPv6 with extension headers: finds the layer 4 header behind them. packet->layer4 is where the first one
 * begins; next names it. Returns enum packet_result.
 */
UNDERPASS_GLOBAL int packet_walk_extensions(struct __sk_buff *skb, struct packet *packet, __u8 next,
                                            __u8 protocol) {
        int fragment = 0, jumbo;

        if (!packet)
                return PACKET_OTHER;
        /* 0 stands for more than 64 KiB (BIG TCP): a super-packet on its way to the segmentation device,
         * whose length nobody needs. */
        jumbo = packet->length == 0;
        for (int i = 0; i < EXTENSIONS_MAX; i++) {
                __u8 extension[2];
                __u32 length;

                if (next != EXTENSION_HOP_BY_HOP && next != EXTENSION_ROUTING &&
                    next != EXTENSION_DESTINATION && next != EXTENSION_FRAGMENT)
                        break;
                if (bpf_skb_load_bytes(skb, packet->layer4, extension, sizeof(extension)) < 0)
                        return PACKET_OTHER;
                fragment |= next == EXTENSION_FRAGMENT;
                length = next == EXTENSION_FRAGMENT ? 8 : (__u32) extension[1] * 8 + 8;
                packet->protocol_offset = packet->layer4;
                packet->layer4 += length;
                if (jumbo)
                        length = 0;
                if (length > packet->length)
                        return PACKET_OTHER;
                packet->length -= length;
                next = extension[0];
        }
        if (next != protocol)
                return PACKET_OTHER;
        if (fragment)
                return PACKET_FRAGMENT;
        if (bpf_skb_load_bytes(skb, packet->layer4, &packet->header, sizeof(packet->header)) < 0)
                return PACKET_OTHER;
        return PACKET_FOUND;
}

/* IPv4 with options: the header is further away. */
UNDERPASS_GLOBAL int packet_skip_ipv4_options(struct __sk_buff *skb, struct packet *packet) {
        if (!packet || bpf_skb_load_bytes(skb, packet->layer4, &packet->header, sizeof(packet->header)) < 0)
                return PACKET_OTHER;
        return PACKET_FOUND;
}

UNDERPASS_INLINE void packet_address_ipv4(__u32 address[4], __u32 ipv4) {
        address[0] = 0;
        address[1] = 0;
        address[2] = UNDERPASS_NET32(0xffff);
        address[3] = ipv4;
}

UNDERPASS_INLINE int packet_read_ipv4(struct __sk_buff *skb, const __u32 layer3, __u8 protocol,
                                      struct packet *packet) {
        void *data = (void *) (long) skb->data, *end = (void *) (long) skb->data_end;
        struct iphdr *ip = data + layer3;
        union underpass_header *header = (void *) ip + IPV4_LENGTH;

        if ((void *) (header + 1) > end)
                return PACKET_OTHER;
        if (ip->protocol != protocol || ip->version != 4 || ip->ihl < 5)
                return PACKET_OTHER;
        packet->ipv6 = 0;
        packet->protocol_offset = layer3 + offsetof(struct iphdr, protocol);
        packet->layer4 = layer3 + ip->ihl * 4;
        /* As with IPv6, 0 stands for more than 64 KiB (BIG TCP, Linux 6.3). */
        packet->length = ip->tot_len ? UNDERPASS_NET16(ip->tot_len) - ip->ihl * 4 : 0;
        packet_address_ipv4(packet->source, ip->saddr);
        packet_address_ipv4(packet->dest, ip->daddr);
        if (ip->frag_off & UNDERPASS_NET16(IPV4_FRAGMENT_MASK))
                return PACKET_FRAGMENT;
        packet->usual = ip->ihl == 5;
        packet->header = *header;
        return packet->usual ? PACKET_FOUND : packet_skip_ipv4_options(skb, packet);
}

UNDERPASS_INLINE int packet_read_ipv6(struct __sk_buff *skb, const __u32 layer3, __u8 protocol,
                                      struct packet *packet) {
        void *data = (void *) (long) skb->data, *end = (void *) (long) skb->data_end;
        struct ipv6hdr *ip = data + layer3;
        union underpass_header *header = (void *) ip + IPV6_LENGTH;

        if ((void *) (header + 1) > end || ip->version != 6)
                return PACKET_OTHER;
        packet->ipv6 = 1;
        packet->protocol_offset = layer3 + offsetof(struct ipv6hdr, nexthdr);
        packet->layer4 = layer3 + IPV6_LENGTH;
        packet->length = UNDERPASS_NET16(ip->payload_len);
        __builtin_memcpy(packet->source, &ip->saddr, sizeof(packet->source));
        __builtin_memcpy(packet->dest, &ip->daddr, sizeof(packet->dest));
        packet->usual = ip->nexthdr == protocol;
        packet->header = *header;
        return packet->usual ? PACKET_FOUND : packet_walk_extensions(skb, packet, ip->nexthdr, protocol);
}

/*
 * Makes so many bytes from the start accessible, or all that there are. 0: they are; negative: they cannot
 * be, or it is no datagram of ours. GRO may have made a list of datagrams (SKB_GSO_FRAGLIST), which the
 * kernel cuts at its borders: so no more is pulled than the first of them has.
 */
UNDERPASS_INLINE int packet_pull(struct __sk_buff *skb, const __u32 wanted, __u8 protocol) {
        if ((void *) (long) skb->data + wanted <= (void *) (long) skb->data_end)
                return 0;
        if (skb->gso_size && skb->gso_size < UNDERPASS_HEADER_LENGTH - UDP_LENGTH &&
            protocol == UNDERPASS_PROTOCOL_UDP)
                return -1;
        /* Short, or the headers are not in the linear part: only then it costs a call. */
        return (int) bpf_skb_pull_data(skb, skb->len < wanted ? skb->len : wanted);
}

UNDERPASS_INLINE int packet_read_at(struct __sk_buff *skb, const __u32 layer3, __u8 protocol,
                                    struct packet *packet) {
        packet->layer3 = layer3;
        if (skb->protocol == UNDERPASS_NET16(ETH_P_IP)) {
                if (packet_pull(skb, layer3 + IPV4_LENGTH + UNDERPASS_HEADER_LENGTH, protocol) < 0)
                        return PACKET_OTHER;
                return packet_read_ipv4(skb, layer3, protocol, packet);
        }
        if (skb->protocol != UNDERPASS_NET16(ETH_P_IPV6) ||
            packet_pull(skb, layer3 + IPV6_LENGTH + UNDERPASS_HEADER_LENGTH, protocol) < 0)
                return PACKET_OTHER;
        return packet_read_ipv6(skb, layer3, protocol, packet);
}

/*
 * Finds the layer 4 header of the wanted protocol and copies it. layer3: ETH_HLEN or 0, the place of the IP
 * header. Returns enum packet_result.
 */
UNDERPASS_GLOBAL int packet_read(struct __sk_buff *skb, __u32 layer3, __u8 protocol, struct packet *packet) {
        if (!packet)
                return PACKET_OTHER;
        if (layer3 == ETH_HLEN)
                return packet_read_at(skb, ETH_HLEN, protocol, packet);
        return packet_read_at(skb, 0, protocol, packet);
}

/* The ports of a fragment; what a later one has in their place, when it is not the first. Negative: none. */
UNDERPASS_GLOBAL int packet_read_ports(struct __sk_buff *skb, struct packet *packet) {
        if (!packet)
                return -1;
        return bpf_skb_load_bytes(skb, packet->layer4, &packet->header, 2 * sizeof(__u16)) < 0 ? -1 : 0;
}

/* The other way round, as its answer would come: addresses and ports. */
UNDERPASS_GLOBAL int packet_turn(struct packet *packet) {
        __u16 port;

        if (!packet)
                return 0;
        for (int i = 0; i < 4; i++) {
                __u32 word = packet->source[i];

                packet->source[i] = packet->dest[i];
                packet->dest[i] = word;
        }
        port = packet->header.udp.source;
        packet->header.udp.source = packet->header.udp.dest;
        packet->header.udp.dest = port;
        return 0;
}

/*
 * The common case in one go, in the packet itself: a segment with its headers at their usual place, no SYN,
 * no URG, becomes UDP. bits: of the bulk form, 0: as they are. 0: it is none, and nothing has been written.
 */
UNDERPASS_INLINE int packet_fast_to_udp(struct __sk_buff *skb, __u32 bits) {
        void *data = (void *) (long) skb->data, *end = (void *) (long) skb->data_end;
        union underpass_header *header;
        __u16 length;

        if (skb->protocol == UNDERPASS_NET16(ETH_P_IP)) {
                struct iphdr *ip = data + ETH_HLEN;

                header = (void *) ip + IPV4_LENGTH;
                if ((void *) (header + 1) > end || *(__u8 *) ip != IPV4_USUAL ||
                    ip->protocol != UNDERPASS_PROTOCOL_TCP || !ip->tot_len ||
                    (ip->frag_off & UNDERPASS_NET16(IPV4_FRAGMENT_MASK)))
                        return 0;
                length = UNDERPASS_NET16(ip->tot_len) - IPV4_LENGTH;
                if ((header->tcp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_URG)) ||
                    !underpass_tcp_shape(header, length))
                        return 0;
                ip->protocol = UNDERPASS_PROTOCOL_UDP;
                ip->check = underpass_ipv4_check_to_udp(ip->check);
        } else if (skb->protocol == UNDERPASS_NET16(ETH_P_IPV6)) {
                struct ipv6hdr *ip = data + ETH_HLEN;

                header = (void *) ip + IPV6_LENGTH;
                if ((void *) (header + 1) > end || ip->version != 6 || ip->nexthdr != UNDERPASS_PROTOCOL_TCP)
                        return 0;
                length = UNDERPASS_NET16(ip->payload_len);
                if ((header->tcp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_URG)) ||
                    !underpass_tcp_shape(header, length))
                        return 0;
                ip->nexthdr = UNDERPASS_PROTOCOL_UDP;
        } else
                return 0;
        underpass_tcp_to_udp(header, length);
        if (bits)
                underpass_set_bulk_bits(header, (__u8) bits);
        return 1;
}

/*
 * And back, for a packet that packet_read() found to have its headers at their usual place. bits: of the
 * bulk form, to be taken out. 0: it does not any more, and nothing has been written.
 */
UNDERPASS_INLINE int packet_fast_to_tcp(struct __sk_buff *skb, const __u32 layer3, __u8 ipv6, __u32 bits) {
        void *data = (void *) (long) skb->data, *end = (void *) (long) skb->data_end;
        union underpass_header *header;

        if (ipv6) {
                struct ipv6hdr *ip = data + layer3;

                header = (void *) ip + IPV6_LENGTH;
                if ((void *) (header + 1) > end)
                        return 0;
                ip->nexthdr = UNDERPASS_PROTOCOL_TCP;
        } else {
                struct iphdr *ip = data + layer3;

                header = (void *) ip + IPV4_LENGTH;
                if ((void *) (header + 1) > end)
                        return 0;
                ip->protocol = UNDERPASS_PROTOCOL_TCP;
                ip->check = underpass_ipv4_check_to_tcp(ip->check);
        }
        if (bits)
                underpass_set_bulk_bits(header, 0);
        underpass_udp_to_tcp(header);
        return 1;
}

/* The two conversions of rewrite.h, on packet->header; bits as above. The first one returns 1 when it has
 * cleared URG. */
UNDERPASS_GLOBAL int packet_to_udp(struct packet *packet, __u32 bits) {
        int urgent;

        if (!packet)
                return 0;
        urgent = underpass_tcp_to_udp(&packet->header, packet->length);
        if (bits)
                underpass_set_bulk_bits(&packet->header, (__u8) bits);
        return urgent;
}

UNDERPASS_GLOBAL int packet_to_tcp(struct packet *packet, __u32 bits) {
        if (!packet)
                return 0;
        if (bits)
                underpass_set_bulk_bits(&packet->header, 0);
        underpass_udp_to_tcp(&packet->header);
        return 0;
}

/* packet_write() for headers that are not at their usual place. */
UNDERPASS_GLOBAL int packet_write_anywhere(struct __sk_buff *skb, struct packet *packet, __u8 to) {
        __u32 check_offset;
        __u16 check;

        if (!packet)
                return -1;
        if (bpf_skb_store_bytes(skb, packet->protocol_offset, &to, sizeof(to), 0) < 0)
                return -1;
        if (!packet->ipv6) {
                check_offset = packet->layer3 + offsetof(struct iphdr, check);
                if (bpf_skb_load_bytes(skb, check_offset, &check, sizeof(check)) < 0)
                        return -1;
                check = to == UNDERPASS_PROTOCOL_UDP ? underpass_ipv4_check_to_udp(check) :
                                                       underpass_ipv4_check_to_tcp(check);
                if (bpf_skb_store_bytes(skb, check_offset, &check, sizeof(check), 0) < 0)
                        return -1;
        }
        if (bpf_skb_store_bytes(skb, packet->layer4, &packet->header, sizeof(packet->header), 0) < 0)
                return -1;
        return 0;
}

/*
 * Writes packet->header back and names the other protocol, IPv4 checksum included. Negative: the packet may
 * be half written and has to be dropped. to: UNDERPASS_PROTOCOL_TCP or _UDP, a constant.
 */
UNDERPASS_INLINE int packet_write(struct __sk_buff *skb, const __u32 layer3, const __u8 to,
                                  struct packet *packet) {
        void *data = (void *) (long) skb->data, *end = (void *) (long) skb->data_end;

        if (!packet->usual)
                return packet_write_anywhere(skb, packet, to);
        if (packet->ipv6) {
                struct ipv6hdr *ip = data + layer3;

                if ((void *) ip + IPV6_LENGTH + UNDERPASS_HEADER_LENGTH > end)
                        return -1;
                ip->nexthdr = to;
                *(union underpass_header *) ((void *) ip + IPV6_LENGTH) = packet->header;
        } else {
                struct iphdr *ip = data + layer3;

                if ((void *) ip + IPV4_LENGTH + UNDERPASS_HEADER_LENGTH > end)
                        return -1;
                ip->protocol = to;
                ip->check = to == UNDERPASS_PROTOCOL_UDP ? underpass_ipv4_check_to_udp(ip->check) :
                                                           underpass_ipv4_check_to_tcp(ip->check);
                *(union underpass_header *) ((void *) ip + IPV4_LENGTH) = packet->header;
        }
        return 0;
}

/* A header of whatever type, read as words. */
typedef __u32 __attribute__((may_alias)) packet_word;

/* The sum of up to eight words of 32 bits, as the Internet checksum takes it. */
UNDERPASS_INLINE __u32 packet_sum_words(const packet_word *word, int words) {
        __u32 sum = 0;

#pragma unroll
        for (int i = 0; i < 8; i++)
                if (i < words)
                        sum += (word[i] & 0xffff) + (word[i] >> 16);
        return sum;
}

/* Sends an Ethernet frame back to where it came from. */
UNDERPASS_INLINE int packet_turn_frame(struct __sk_buff *skb) {
        __u8 dest[ETH_ALEN], source[ETH_ALEN];

        if (bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_dest), dest, ETH_ALEN) < 0 ||
            bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_source), source, ETH_ALEN) < 0 ||
            bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_dest), source, ETH_ALEN, 0) < 0 ||
            bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_source), dest, ETH_ALEN, 0) < 0)
                return -1;
        return 0;
}
