/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Stands in for libbpf's header of this name where the programs are compiled for the host: what the
 * kernel does for them is in bench-host.c. Only what they use is here.
 *
 * Room: declarations; comes before libbpf's folder in the include path of bench-host.c, and of nothing
 * else.
 */

#include <linux/bpf.h>

#define SEC(name)
#define __uint(name, value) int (*name)[value]
#define __type(name, value) __typeof__(value) *name

struct tcphdr;

void *bpf_map_lookup_elem(void *map, const void *key);
long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags);
long bpf_map_delete_elem(void *map, const void *key);

long bpf_ringbuf_output(void *ring, void *data, __u64 size, __u64 flags);

__u64 bpf_ktime_get_coarse_ns(void);
long bpf_clone_redirect(struct __sk_buff *skb, __u32 ifindex, __u64 flags);
long bpf_redirect(__u32 ifindex, __u64 flags);

long bpf_skb_load_bytes(const void *skb, __u32 offset, void *to, __u32 length);
long bpf_skb_store_bytes(struct __sk_buff *skb, __u32 offset, const void *from, __u32 length, __u64 flags);
long bpf_skb_pull_data(struct __sk_buff *skb, __u32 length);
long bpf_skb_change_tail(struct __sk_buff *skb, __u32 length, __u64 flags);
long bpf_skb_adjust_room(struct __sk_buff *skb, __s32 difference, __u32 mode, __u64 flags);
long bpf_skb_change_head(struct __sk_buff *skb, __u32 length, __u64 flags);
long bpf_skb_vlan_pop(struct __sk_buff *skb);
long bpf_l3_csum_replace(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 flags);
long bpf_l4_csum_replace(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 flags);
long bpf_check_mtu(void *skb, __u32 ifindex, __u32 *mtu, __s32 difference, __u64 flags);
long bpf_xdp_adjust_head(struct xdp_md *context, int difference);
long bpf_csum_update(struct __sk_buff *skb, __wsum sum);
void bpf_set_hash_invalid(struct __sk_buff *skb);

struct bpf_sock *bpf_sk_lookup_tcp(void *context, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns,
                                   __u64 flags);
struct bpf_sock *bpf_skc_lookup_tcp(void *context, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns,
                                    __u64 flags);
struct bpf_sock *bpf_sk_lookup_udp(void *context, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns,
                                   __u64 flags);
struct bpf_tcp_sock *bpf_tcp_sock(struct bpf_sock *sock);
struct bpf_sock *bpf_sk_fullsock(struct bpf_sock *sock);
long bpf_tcp_check_syncookie(void *sock, void *ip, __u32 ip_length, struct tcphdr *tcp, __u32 tcp_length);
long bpf_sk_release(void *sock);
long bpf_fib_lookup(void *context, struct bpf_fib_lookup *params, int length, __u32 flags);

__u64 bpf_get_netns_cookie(void *context);
long bpf_getsockopt(void *context, int level, int name, void *value, int length);
long bpf_setsockopt(void *context, int level, int name, void *value, int length);
