/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Datagrams that UDP sockets of this host send with the addresses and ports of a tunnelled flow. Any user
 * can open such a socket, and the peer would take what it sends for a segment of the flow. (A TCP segment of
 * somebody else's connection takes CAP_NET_RAW.)
 *
 * Datagrams of our own making have the TCP socket that sent them, or none if they are forwarded. A UDP
 * socket beside the tunnel, on the same port, has other peers.
 */

#include "learn.h"

/* A packet that leaves. */
UNDERPASS_INLINE int inject_is_of_udp_socket(struct __sk_buff *skb) {
        struct bpf_sock *sock = skb->sk;

        if (!sock)
                return 0;
        sock = bpf_sk_fullsock(sock);
        return sock && sock->protocol == UNDERPASS_PROTOCOL_UDP;
}

/* A packet of a UDP socket: 1 if it is such a datagram, and to be dropped. */
UNDERPASS_GLOBAL int inject_into_flow(struct __sk_buff *skb, __u32 layer3) {
        struct underpass_flow_key key = {};
        struct underpass_flow *flow;
        struct packet packet = {};
        int result;

        result = packet_read(skb, layer3, UNDERPASS_PROTOCOL_UDP, &packet);
        if (result == PACKET_OTHER || (result == PACKET_FRAGMENT && packet_read_ports(skb, &packet) < 0))
                return 0;
        flow_key_outgoing(&packet, &key);
        flow = flow_lookup(&key);
        if (!flow || !flow_is_open(flow))
                return 0;
        /* The connection may be bound to the link of its flow, and so is not found by another one. */
        if ((flow->ifindex == skb->ifindex || flow_has_ended(flow)) && flow_is_silent(flow) &&
            !flow_could_go_on(flow, &packet.header)) {
                packet_turn(&packet);
                if (flow_is_over(skb, &packet))
                        return 0;
        }
        count(slot_of_link(skb->ifindex, flow->slot), UNDERPASS_COUNTER_DROP_INJECTED);
        return 1;
}
