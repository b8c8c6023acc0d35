/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * NATs forget a UDP mapping after some 30 s of silence, while applications rely on hours (RFC 5382). So the
 * sockets of tunnelled flows get TCP keepalive without their application's help: a sockops program on the
 * root of the cgroup tree, which sees every TCP connection being established, subflows of MPTCP included.
 * It also decides how long their SYNs wait: patience.h.
 */

#include "patience.h"

enum {
        OPTION_SOL_SOCKET = 1,
        OPTION_SO_KEEPALIVE = 9,
        OPTION_SO_MARK = 36,
        OPTION_SOL_TCP = 6,
        OPTION_TCP_KEEPIDLE = 4,
        OPTION_TCP_KEEPINTVL = 5,
        OPTION_TCP_SYNCNT = 7,
        FAMILY_IPV4 = 2,
};

/* Each field read by itself, at once: the compiler must not choose between addresses in the context,
 * which the verifier refuses. */
#define READ_FIELD(variable, field)                \
        do {                                       \
                variable = socket->field;          \
                asm volatile("" : "+r"(variable)); \
        } while (0)

/* Returns 0. */
UNDERPASS_GLOBAL int flow_key_of_socket(struct bpf_sock_ops *socket, struct underpass_flow_key *key) {
        __u32 family, local_ipv4, remote_ipv4, local_port, remote_port;

        if (!key)
                return 0;
        READ_FIELD(family, family);
        READ_FIELD(local_ipv4, local_ip4);
        READ_FIELD(remote_ipv4, remote_ip4);
        READ_FIELD(local_port, local_port);
        READ_FIELD(remote_port, remote_port);
        READ_FIELD(key->local[0], local_ip6[0]);
        READ_FIELD(key->local[1], local_ip6[1]);
        READ_FIELD(key->local[2], local_ip6[2]);
        READ_FIELD(key->local[3], local_ip6[3]);
        READ_FIELD(key->remote[0], remote_ip6[0]);
        READ_FIELD(key->remote[1], remote_ip6[1]);
        READ_FIELD(key->remote[2], remote_ip6[2]);
        READ_FIELD(key->remote[3], remote_ip6[3]);
        if (family == FAMILY_IPV4) {
                packet_address_ipv4(key->local, local_ipv4);
                packet_address_ipv4(key->remote, remote_ipv4);
        }
        key->local_port = UNDERPASS_NET16(
                local_port); /* host order, while the other one is in network order, in the upper half */
        key->remote_port = UNDERPASS_NET16(UNDERPASS_NET32(remote_port));
        return 0;
}

/* An application that has asked for keepalive as often, or more often, keeps its own times. */
UNDERPASS_INLINE int keeps_alive_itself(struct bpf_sock_ops *socket, int seconds) {
        int on = 0, idle = 0;

        return bpf_getsockopt(socket, OPTION_SOL_SOCKET, OPTION_SO_KEEPALIVE, &on, sizeof(on)) == 0 && on &&
               bpf_getsockopt(socket, OPTION_SOL_TCP, OPTION_TCP_KEEPIDLE, &idle, sizeof(idle)) == 0 &&
               idle <= seconds;
}

UNDERPASS_INLINE void keep_alive(struct bpf_sock_ops *socket, const struct underpass_flow_key *key) {
        struct underpass_flow *flow = flow_lookup(key);
        struct underpass_link *link;
        int on = 1, seconds;
        __u32 ifindex;

        if (!flow || flow_is_note(flow))
                return;
        flow->socket = 1;
        ifindex = flow->ifindex;
        link = bpf_map_lookup_elem(&links, &ifindex);
        if (!link || link->keepalive == 0)
                return;
        seconds = link->keepalive;
        if (keeps_alive_itself(socket, seconds))
                return;
        bpf_setsockopt(socket, OPTION_SOL_SOCKET, OPTION_SO_KEEPALIVE, &on, sizeof(on));
        bpf_setsockopt(socket, OPTION_SOL_TCP, OPTION_TCP_KEEPIDLE, &seconds, sizeof(seconds));
        bpf_setsockopt(socket, OPTION_SOL_TCP, OPTION_TCP_KEEPINTVL, &seconds, sizeof(seconds));
}

/* A wait that is shorter doubles sooner, so a socket gets as many SYNs more as it takes to give up as late.
 * The kernel asks for the wait again with each of them; nothing has been sent when it asks first. */
UNDERPASS_INLINE int add_syns(struct bpf_sock_ops *socket, int wait_us) {
        int count = 0;
        __u32 sent;

        READ_FIELD(sent, segs_out);
        if (sent > 0)
                return 0;
        if (bpf_getsockopt(socket, OPTION_SOL_TCP, OPTION_TCP_SYNCNT, &count, sizeof(count)) < 0)
                return -1;
        count += wait_us < PATIENCE_KERNEL_US / 2 ? 2 : 1;
        return bpf_setsockopt(socket, OPTION_SOL_TCP, OPTION_TCP_SYNCNT, &count, sizeof(count)) < 0 ? -1 : 0;
}

/* The wait of a SYN, in timer interrupts; 0: as the kernel has it. */
UNDERPASS_INLINE int wait_of_syn(struct bpf_sock_ops *socket, struct underpass_flow_key *key,
                                 __u32 tick_us) {
        struct underpass_flow *flow = bpf_map_lookup_elem(&half_open, key);
        int mark = 0, wait_us;

        if (flow)
                flow->socket = 1; /* this is not its first SYN */
        bpf_getsockopt(socket, OPTION_SOL_SOCKET, OPTION_SO_MARK, &mark, sizeof(mark));
        wait_us = patience_of(key, (__u32) mark);
        if (wait_us <= 0 || tick_us == 0 || add_syns(socket, wait_us) < 0)
                return 0;
        return (int) ((__u32) wait_us / tick_us);
}

SEC("sockops")
int underpass_keepalive(struct bpf_sock_ops *socket) {
        struct underpass_flow_key key = {};
        struct underpass_loader *namespace;
        __u32 zero = 0, operation, state, rtt_us;

        READ_FIELD(operation, op);
        READ_FIELD(state, state);
        if (operation != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB &&
            operation != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB &&
            (operation != BPF_SOCK_OPS_TIMEOUT_INIT || state != BPF_TCP_SYN_SENT))
                return 1;
        namespace = bpf_map_lookup_elem(&loader, &zero);
        if (!namespace || bpf_get_netns_cookie(socket) != namespace->namespace_cookie)
                return 1;
        flow_key_of_socket(socket, &key);
        if (operation == BPF_SOCK_OPS_TIMEOUT_INIT) {
                socket->reply = (__u32) wait_of_syn(socket, &key, namespace->tick_us);
                return 1;
        }
        if (operation == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
                READ_FIELD(rtt_us, srtt_us);
                patience_learn(&key, rtt_us >> 3);
        }
        keep_alive(socket, &key);
        return 1;
}
