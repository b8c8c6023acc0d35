/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What else a packet of the peer tells about a flow: a plain SYN ends a tunnelled one, a plain answer shows
 * whether MPTCP options got through, and a datagram of a flow that was forgotten brings it back.
 */

#include "flow.h"
#include "guard.h"
#include "note.h"

enum {
        LEARN_NOPS = 12,       /* as many as MP_CAPABLE leaves where a middlebox overwrites it */
        TCP_STATE_SYN_SENT = 2, /* enum in linux/tcp_states.h */
        TCP_STATE_LISTEN = 10,
        TCP_STATE_NEW_SYN_RECV = 12, /* enum in net/tcp_states.h: the kernel's half-open connections */
};

/*
 * Whether an answer without MPTCP option had one: nearly all servers have no MPTCP, and that is no fault of
 * the path. Who is asked for an additional subflow has it. A refused connection is refused; a refused
 * additional subflow is one whose peer knows nothing of the connection: its MP_CAPABLE has been stripped.
 * But a reset with an option (MP_TCPRST) answers an MP_JOIN that got there.
 */
UNDERPASS_INLINE int learn_is_stripped(struct underpass_flow_key *key, __u32 join, __u8 nops) {
        return join || nops >= LEARN_NOPS || destination_speaks(key);
}

/* A plain answer to a plain SYN that was watched: so TCP gets there, while UDP did not; or it tells whether
 * the MPTCP option has come back. */
UNDERPASS_INLINE void learn_from_answer(struct __sk_buff *skb, const struct packet *packet,
                                        const struct underpass_flow *flow, struct underpass_flow_key *key) {
        struct packet_options options = {};
        __u32 ifindex = flow->ifindex, slot = flow->slot, join = flow->flags & UNDERPASS_FLOW_JOIN;
        int refused = packet->header.tcp.flags & UNDERPASS_TCP_RST;

        if (!underpass_answers(UNDERPASS_NET32(packet->header.tcp.acknowledgment), flow->expected,
                               flow->next))
                return;
        /* An earlier connection of these addresses and ports is over, see flow_make_way(). */
        if (!refused && bpf_map_lookup_elem(&flows, key))
                bpf_map_delete_elem(&flows, key);
        if (flow->state == UNDERPASS_FLOW_WATCHED && (flow->flags & UNDERPASS_FLOW_FALLEN_BACK)) {
                int counts = !refused && !(flow->flags & UNDERPASS_FLOW_DOUBTFUL);
                __u32 reason = UNDERPASS_BLOCK_SILENCE;

                if (flow->flags & UNDERPASS_FLOW_REFUSED)
                        reason = flow->flags & UNDERPASS_FLOW_REFUSED_THERE ? UNDERPASS_BLOCK_REFUSED :
                                                                              UNDERPASS_BLOCK_FILTERED;

                bpf_map_delete_elem(&half_open, key);
                if (counts)
                        destination_failed(key, ifindex, reason);
                return;
        }
        packet_options(skb, packet->layer4, packet->header.tcp.offset, &options);
        bpf_map_delete_elem(&half_open, key);
        if (options.mptcp) {
                destination_whole(key, ifindex, join);
                destination_spoke(key);
        } else if (refused ? join != 0 : learn_is_stripped(key, join, options.nops)) {
                destination_strip(key, ifindex, join);
                count(slot, UNDERPASS_COUNTER_STRIPPED);
        } else if (!refused) {
                destination_lacks(key, ifindex);
                destination_tell(key, ifindex);
                count(slot, UNDERPASS_COUNTER_LACKING);
        }
}

/* A SYN-ACK over UDP that our SYN has been answered by: has the server MPTCP? */
UNDERPASS_GLOBAL int learn_spoken(struct __sk_buff *skb, struct packet *packet,
                                  struct underpass_flow_key *of) {
        struct packet_options options = {};
        struct underpass_flow_key key = {};
        struct underpass_flow *flow;
        struct underpass_link *link;
        __u32 ifindex;

        if (!packet || !of)
                return 0;
        flow_key_copy(of, &key);
        flow = bpf_map_lookup_elem(&flows, &key);
        if (!flow || !(flow->flags & UNDERPASS_FLOW_OPENED_HERE))
                return 0;
        packet_options(skb, packet->layer4, packet->header.udp.offset, &options);
        if (options.mptcp) {
                destination_spoke(&key);
                return 0;
        }
        ifindex = flow->ifindex;
        link = bpf_map_lookup_elem(&links, &ifindex);
        if (link && (link->flags & UNDERPASS_LINK_MPTCP_ONLY))
                count(link->slot, UNDERPASS_COUNTER_SERVER_NOT_MPTCP);
        return 0;
}

/* Anybody can send a plain SYN: a flow ends only if our stack answers that very one. */
UNDERPASS_INLINE void learn_plain_syn(struct underpass_flow *flow, __u32 sequence) {
        flow->plain_sequence = sequence;
        flow->flags |= UNDERPASS_FLOW_PLAIN_SYN;
}

/* A TCP segment that came as such. Only SYN, SYN-ACK and RST are looked up; all others cost a test of the
 * flags. */
UNDERPASS_GLOBAL int learn_from_plain(struct __sk_buff *skb, struct packet *packet) {
        struct underpass_flow_key key = {};
        struct underpass_flow *flow;
        __u32 sequence;
        __u8 flags;

        if (!packet)
                return 0;
        sequence = UNDERPASS_NET32(packet->header.tcp.sequence);
        flags = packet->header.tcp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK | UNDERPASS_TCP_RST);
        if (!(flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_RST)) || note_is_converted(skb))
                return 0;
        flow_key_incoming(packet, &key);
        flow = bpf_map_lookup_elem(&half_open, &key);
        if (flow && (flow->state == UNDERPASS_FLOW_WATCHED || (flow->flags & UNDERPASS_FLOW_FALLEN_BACK)) &&
            (flags & UNDERPASS_TCP_ACK)) {
                learn_from_answer(skb, packet, flow, &key);
                return 0;
        }
        if (flags != UNDERPASS_TCP_SYN)
                return 0;
        /* The peer has given up UDP, or so it seems. */
        if (!flow || (flow->flags & UNDERPASS_FLOW_OPENED_HERE))
                flow = bpf_map_lookup_elem(&flows, &key);
        if (flow)
                learn_plain_syn(flow, sequence);
        return 0;
}

/*
 * A packet of ours in a flow whose peer has sent a plain SYN: a SYN-ACK or a reset for that means that the
 * old flow is over. 1: so it is. A client is not called by its server at the same ports; whoever answers
 * there is not the connection's own stack, but a neighbour of it, or a socket bound to another device.
 */
UNDERPASS_INLINE int answers_plain_syn(const union underpass_header *tcp, const struct underpass_flow *flow,
                                       const struct underpass_flow_key *key) {
        if ((flow->flags & UNDERPASS_FLOW_OPENED_HERE) ||
            !(tcp->tcp.flags & UNDERPASS_TCP_ACK) ||
            !(tcp->tcp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_RST)) ||
            UNDERPASS_NET32(tcp->tcp.acknowledgment) != flow->plain_sequence + 1)
                return 0;
        flow_forget(key);
        return 1;
}

/* What to look a socket of this host up by. Returns 0. */
UNDERPASS_GLOBAL int learn_tuple(struct packet *packet, struct bpf_sock_tuple *tuple) {
        if (!packet || !tuple)
                return 0;
        if (packet->ipv6) {
                __builtin_memcpy(tuple->ipv6.saddr, packet->source, sizeof(packet->source));
                __builtin_memcpy(tuple->ipv6.daddr, packet->dest, sizeof(packet->dest));
                tuple->ipv6.sport = packet->header.udp.source;
                tuple->ipv6.dport = packet->header.udp.dest;
                /* Keeps clang 19 and newer from making one of these stores and those below, at a variable
                 * offset, which would need CAP_PERFMON. */
                asm volatile("" : : : "memory");
                return 0;
        }
        tuple->ipv4.saddr = packet->source[3];
        tuple->ipv4.daddr = packet->dest[3];
        tuple->ipv4.sport = packet->header.udp.source;
        tuple->ipv4.dport = packet->header.udp.dest;
        return 0;
}

/* The TCP socket of this host that takes a segment, one that listens if no other does; to be released.
 * NULL: there is none. */
UNDERPASS_INLINE struct bpf_sock *learn_find_tcp(struct __sk_buff *skb, struct packet *packet,
                                                 struct bpf_sock_tuple *tuple) {
        learn_tuple(packet, tuple);
        if (packet->ipv6)
                return bpf_skc_lookup_tcp(skb, tuple, sizeof(tuple->ipv6), BPF_F_CURRENT_NETNS, 0);
        return bpf_skc_lookup_tcp(skb, tuple, sizeof(tuple->ipv4), BPF_F_CURRENT_NETNS, 0);
}

/* The headers of a datagram as our stack would see them. */
struct learn_headers {
        __u8 ip[IPV6_LENGTH];
        union underpass_header tcp;
};

/* Returns 0, negative if they cannot be read. */
UNDERPASS_GLOBAL int learn_headers(struct __sk_buff *skb, struct packet *packet,
                                   struct learn_headers *headers) {
        if (!packet || !headers)
                return -1;
        headers->tcp = packet->header;
        underpass_udp_to_tcp(&headers->tcp);
        if (packet->ipv6)
                return bpf_skb_load_bytes(skb, packet->layer3, headers->ip, IPV6_LENGTH) < 0 ? -1 : 0;
        return bpf_skb_load_bytes(skb, packet->layer3, headers->ip, IPV4_LENGTH) < 0 ? -1 : 0;
}

/* Whether a segment fits what a connection of this host expects: as hard to guess as for TCP itself. */
UNDERPASS_INLINE int fits_connection(const struct packet *packet, const struct bpf_tcp_sock *tcp,
                                     __u32 state) {
        __u32 sequence = UNDERPASS_NET32(packet->header.udp.sequence);
        __u32 acknowledgment = UNDERPASS_NET32(packet->header.udp.acknowledgment);

        if (packet->header.udp.flags & UNDERPASS_TCP_SYN)
                return state == TCP_STATE_SYN_SENT && !(packet->header.udp.flags & UNDERPASS_TCP_RST) &&
                       acknowledgment - tcp->snd_una - 1 < tcp->snd_nxt - tcp->snd_una;
        return state != TCP_STATE_SYN_SENT &&
               sequence - tcp->rcv_nxt + SEQUENCE_WINDOW_MAX <= 2 * SEQUENCE_WINDOW_MAX &&
               acknowledgment - tcp->snd_una <= tcp->snd_nxt - tcp->snd_una;
}

/*
 * What the sockets of this host make of a segment that is an ACK or a SYN-ACK, as the state of a flow; 0: it
 * fits none. A half-open connection of the kernel does not say which number it has sent, nor does it exist
 * once SYN cookies are in use; a cookie proves itself. served: the port is one where SYNs are taken, so only
 * there handshakes are gone on with.
 */
UNDERPASS_GLOBAL int learn_state(struct __sk_buff *skb, struct packet *packet, __u32 served) {
        struct learn_headers headers = {};
        struct bpf_sock_tuple tuple = {};
        struct bpf_tcp_sock *tcp;
        struct bpf_sock *sock;
        int state = 0;

        if (!packet || learn_headers(skb, packet, &headers) < 0)
                return 0;
        sock = learn_find_tcp(skb, packet, &tuple);
        if (!sock)
                return 0;
        if (sock->state == TCP_STATE_LISTEN) {
                if (served &&
                    bpf_tcp_check_syncookie(sock, headers.ip, packet->ipv6 ? IPV6_LENGTH : IPV4_LENGTH,
                                            (struct tcphdr *) &headers.tcp, sizeof(headers.tcp)) == 0)
                        state = UNDERPASS_FLOW_TUNNELLED;
        } else if (sock->state == TCP_STATE_NEW_SYN_RECV) {
                if (served && !(packet->header.udp.flags & UNDERPASS_TCP_RST))
                        state = UNDERPASS_FLOW_CLAIMED;
        } else {
                tcp = bpf_tcp_sock(sock);
                if (tcp && fits_connection(packet, tcp, sock->state))
                        state = UNDERPASS_FLOW_TUNNELLED;
        }
        bpf_sk_release(sock);
        return state;
}

/*
 * A datagram that has the addresses of a silent flow and does not go on there: is it for a UDP socket of
 * this host by now, as there is no TCP connection any more? What a router forwards has none either, and any
 * user of the router may have a UDP socket at its port: so this is not asked about what goes on. 1: it is.
 */
UNDERPASS_GLOBAL int flow_is_over(struct __sk_buff *skb, struct packet *packet) {
        struct bpf_sock_tuple tuple = {};
        struct bpf_sock *sock;
        __u32 state = TCP_STATE_LISTEN;

        if (!packet)
                return 0;
        sock = learn_find_tcp(skb, packet, &tuple);
        if (sock) {
                state = sock->state;
                bpf_sk_release(sock);
        }
        if (state != TCP_STATE_LISTEN)
                return 0;
        if (packet->ipv6)
                sock = bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
        else
                sock = bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
        if (!sock)
                return 0;
        bpf_sk_release(sock);
        /* A tunnel socket of the kernel is there for flows of ours. */
        return !guard_serves(skb->ifindex, packet->ipv6, packet->header.udp.dest);
}

/* The same of any datagram of a flow, in the classic form. */
UNDERPASS_INLINE int flow_is_left(struct __sk_buff *skb, struct packet *packet,
                                  const struct underpass_flow *flow) {
        return flow_is_silent(flow) && !flow_goes_on(flow, &packet->header) && flow_is_over(skb, packet);
}

/*
 * A datagram of no known flow that is no SYN: if it fits a connection of this host at a port of the profile,
 * or a handshake, the flow was pushed out of the map, or the map is new, and it is learnt again. 1: it is;
 * 0: not ours. What a router forwards has no socket here and cannot be told from other UDP.
 */
UNDERPASS_GLOBAL int learn_again(struct __sk_buff *skb, struct packet *packet,
                                 struct underpass_flow_key *of) {
        struct underpass_flow_key key = {};
        struct underpass_link *link;
        __u32 state, answers, served, slot;

        if (!packet || !of || !underpass_udp_shape(&packet->header, packet->length) ||
            !(packet->header.udp.flags & UNDERPASS_TCP_ACK))
                return 0;
        flow_key_copy(of, &key);
        link = link_of(skb);
        if (!link)
                return 0;
        slot = link->slot;
        answers = packet->header.udp.flags & UNDERPASS_TCP_SYN;
        served = !answers && ports_contain(link->local_ports, UNDERPASS_NET16(key.local_port));
        if (!served && !ports_contain(link->remote_ports, UNDERPASS_NET16(key.remote_port)))
                return 0;
        /* A SYN that has gone on as plain TCP is answered over UDP too late. */
        if (answers && bpf_map_lookup_elem(&half_open, &key))
                return 0;
        state = (__u32) learn_state(skb, packet, served);
        if (state == 0)
                return 0;
        if (flow_start(&key, skb->ifindex, slot, state | (answers ? UNDERPASS_FLOW_OPENED_HERE << 8 : 0),
                       UNDERPASS_NET32(packet->header.udp.acknowledgment)) < 0)
                return 0;
        if (state == UNDERPASS_FLOW_CLAIMED)
                return 1;
        if (answers)
                destination_open(&key, skb->ifindex);
        bpf_map_delete_elem(&half_open, &key);
        count(slot, UNDERPASS_COUNTER_RELEARNT);
        return 1;
}
