/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Tunnel sockets of the kernel (FOU), which the service makes so that the GRO of the driver merges bulk.
 * They take all UDP at their port for packets in a tunnel, whoever sends it. So nothing of UDP goes on to
 * such a socket: what is of a flow of ours has become TCP before, all else is dropped. Also what cannot be
 * read to the end, as the kernel would read on.
 */

#include "maps.h"
#include "packet.h"

enum {
        GUARD_LATER_FRAGMENT = 0x1fff, /* in the IPv4 header and, shifted by 3, in IPv6's fragment header */
        GUARD_ALL = UNDERPASS_SOCKET_WORDS,
        GUARD_FRAGMENT_LENGTH = 8,
};

/* Whether there is any such socket: nearly all hosts have none. */
UNDERPASS_INLINE int guard_is_needed(void) {
        __u32 index = GUARD_ALL;
        __u64 *word = bpf_map_lookup_elem(&socket_ports, &index);

        return word && *word;
}

/* Whether one has this port, in host order. */
UNDERPASS_GLOBAL int guard_has_port(__u32 port) {
        __u32 index = (port & 0xffff) / 64;
        __u64 *word = bpf_map_lookup_elem(&socket_ports, &index);

        return word && (*word >> (port & 63) & 1);
}

/* The socket for all peers at this port. Returns 0. */
UNDERPASS_GLOBAL int guard_describe(struct underpass_socket_key *key, __u32 ifindex, __u32 ipv6,
                                    __u32 port) {
        if (!key)
                return 0;
        key->ifindex = ifindex;
        key->flow.local_port = (__u16) port;
        if (!ipv6)
                key->flow.local[2] = key->flow.remote[2] = UNDERPASS_NET32(0xffff);
        return 0;
}

/* Whether such a socket is there for all peers. port: in network order. */
UNDERPASS_GLOBAL int guard_serves(__u32 ifindex, __u32 ipv6, __u32 port) {
        struct underpass_socket_key key = {};

        guard_describe(&key, ifindex, ipv6, port);
        return bpf_map_lookup_elem(&sockets, &key) != 0;
}

/* The socket for this flow alone. Returns 0. */
UNDERPASS_GLOBAL int guard_describe_flow(struct underpass_socket_key *key, __u32 ifindex,
                                         struct underpass_flow_key *of) {
        if (!key || !of)
                return 0;
        key->flow = *of;
        key->ifindex = ifindex;
        return 0;
}

/* Whether such a socket is there. */
UNDERPASS_GLOBAL int guard_serves_flow(__u32 ifindex, struct underpass_flow_key *of) {
        struct underpass_socket_key key = {};

        guard_describe_flow(&key, ifindex, of);
        return bpf_map_lookup_elem(&sockets, &key) != 0;
}

/* Reads a UDP datagram or its first fragment. 1: it is one; 0: something else, or nothing. */
UNDERPASS_GLOBAL int guard_read_ipv4(struct __sk_buff *skb, __u32 layer3, struct underpass_flow_key *ret) {
        struct iphdr ip = {};

        if (!ret || bpf_skb_load_bytes(skb, layer3, &ip, sizeof(ip)) < 0 ||
            ip.protocol != UNDERPASS_PROTOCOL_UDP || (ip.frag_off & UNDERPASS_NET16(GUARD_LATER_FRAGMENT)) ||
            bpf_skb_load_bytes(skb, layer3 + ip.ihl * 4, &ret->local_port, 2 * sizeof(__u16)) < 0)
                return 0;
        packet_address_ipv4(ret->local, ip.daddr);
        packet_address_ipv4(ret->remote, ip.saddr);
        return 1;
}

UNDERPASS_INLINE int guard_is_extension(__u8 next) {
        return next == EXTENSION_HOP_BY_HOP || next == EXTENSION_ROUTING ||
               next == EXTENSION_DESTINATION || next == EXTENSION_FRAGMENT;
}

/* The same. Negative: nobody knows what is behind so many extension headers. */
UNDERPASS_GLOBAL int guard_read_ipv6(struct __sk_buff *skb, __u32 layer3, struct underpass_flow_key *ret) {
        __u32 offset = layer3 + IPV6_LENGTH;
        struct ipv6hdr ip = {};
        __u8 next;

        if (!ret || bpf_skb_load_bytes(skb, layer3, &ip, sizeof(ip)) < 0)
                return 0;
        next = ip.nexthdr;
        for (int i = 0; i < EXTENSIONS_MAX && guard_is_extension(next); i++) {
                __u8 extension[4];

                if (bpf_skb_load_bytes(skb, offset, extension, sizeof(extension)) < 0)
                        return -1;
                if (next == EXTENSION_FRAGMENT &&
                    ((__u32) extension[2] << 8 | extension[3]) >> 3 & GUARD_LATER_FRAGMENT)
                        return 0;
                offset += next == EXTENSION_FRAGMENT ? GUARD_FRAGMENT_LENGTH : (__u32) extension[1] * 8 + 8;
                next = extension[0];
        }
        if (guard_is_extension(next))
                return -1;
        if (next != UNDERPASS_PROTOCOL_UDP ||
            bpf_skb_load_bytes(skb, offset, &ret->local_port, 2 * sizeof(__u16)) < 0)
                return 0;
        __builtin_memcpy(ret->local, &ip.daddr, sizeof(ret->local));
        __builtin_memcpy(ret->remote, &ip.saddr, sizeof(ret->remote));
        return 1;
}

/* Whoever sends it: the remote port comes first in the packet. Returns 0. */
UNDERPASS_GLOBAL int guard_order_ports(struct underpass_flow_key *key) {
        __u16 port;

        if (!key)
                return 0;
        port = key->local_port;
        key->local_port = key->remote_port;
        key->remote_port = port;
        return 0;
}

/*
 * Whether a packet that is about to go on into the stack would reach a tunnel socket. A frame with a VLAN
 * tag in it, below another one that is no VLAN, loses both without coming by here again.
 */
UNDERPASS_GLOBAL int guard_stops(struct __sk_buff *skb, __u32 layer3) {
        struct underpass_flow_key key = {};
        __u32 ipv6 = skb->protocol == UNDERPASS_NET16(ETH_P_IPV6);
        int read;

        if (skb->protocol == UNDERPASS_NET16(ETH_P_8021Q) || skb->protocol == UNDERPASS_NET16(ETH_P_8021AD))
                return 1;
        if (!ipv6 && skb->protocol != UNDERPASS_NET16(ETH_P_IP))
                return 0;
        read = ipv6 ? guard_read_ipv6(skb, layer3, &key) : guard_read_ipv4(skb, layer3, &key);
        if (read <= 0)
                return read < 0;
        guard_order_ports(&key);
        if (!guard_has_port(UNDERPASS_NET16(key.local_port)))
                return 0;
        return guard_serves(skb->ifindex, ipv6, key.local_port) || guard_serves_flow(skb->ifindex, &key);
}
