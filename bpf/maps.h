/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The maps of the object (layouts: abi.h) and the counters.
 *
 * All maps are pinned by the service, one set per network namespace.
 */

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "rewrite.h"

/* What the profile of each link asks for; written by the service, read by SYNs. */
struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, UNDERPASS_LINKS_MAX);
        __type(key, __u32);
        __type(value, struct underpass_link);
        __uint(map_flags, BPF_F_NO_PREALLOC);
} links SEC(".maps");

/* What every packet of a link needs; written by the service. */
struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, UNDERPASS_LINKS_MAX + 1);
        __type(key, __u32);
        __type(value, struct underpass_slot);
} slots SEC(".maps");

/* Who loaded the programs; written by the service. */
struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, 1);
        __type(key, __u32);
        __type(value, struct underpass_loader);
} loader SEC(".maps");

/* Flows whose handshake went over UDP. A flow that is not in here nor in "half_open" is none of ours and
 * stays plain. */
struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, UNDERPASS_FLOWS_MAX);
        __type(key, struct underpass_flow_key);
        __type(value, struct underpass_flow);
} flows SEC(".maps");

/* Flows whose handshake is not finished: a map of their own, so that spoofed SYNs cannot push out
 * established flows. */
struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, UNDERPASS_HALF_OPEN_MAX);
        __type(key, struct underpass_flow_key);
        __type(value, struct underpass_flow);
} half_open SEC(".maps");

/* What is known about the way to a destination: UDP blocked, MPTCP options stripped. */
struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, UNDERPASS_DESTINATIONS_MAX);
        __type(key, struct underpass_destination_key);
        __type(value, struct underpass_destination);
} destinations SEC(".maps");

/* Addresses of this host, and by which link they send. */
struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, UNDERPASS_SOURCES_MAX);
        __type(key, struct underpass_source_key);
        __type(value, struct underpass_source);
} sources SEC(".maps");

/* Destinations that an on-demand link is in doubt about, as struct underpass_destination_key: the server has
 * answered without MPTCP, and nobody knows whether it has none or the path took the option away. Read by the
 * service; what finds no room is not told. */
struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, UNDERPASS_UNCERTAIN_SIZE);
} uncertain SEC(".maps");

/* Tunnel sockets of the kernel that are ours, and their ports; written by the service. */
struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, UNDERPASS_SOCKETS_MAX);
        __type(key, struct underpass_socket_key);
        __type(value, __u32);
        __uint(map_flags, BPF_F_NO_PREALLOC);
} sockets SEC(".maps");

struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, UNDERPASS_SOCKET_WORDS + 1);
        __type(key, __u32);
        __type(value, __u64);
} socket_ports SEC(".maps");

/* Flows accepted at a link, whose answers may leave by one without programs, as struct underpass_flow_key.
 * Read by the service; what finds no room is not told. */
struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, UNDERPASS_UNANSWERED_SIZE);
} unanswered SEC(".maps");

/* Flows of this host that bulk comes for one by one, as struct underpass_flow_key: bulk-tell.h. Likewise. */
struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, UNDERPASS_UNMERGED_SIZE);
} unmerged SEC(".maps");

/* Packets by reason; index: slot of the link. */
struct {
        __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
        __uint(max_entries, UNDERPASS_LINKS_MAX + 1);
        __type(key, __u32);
        __type(value, struct underpass_counters);
} counters SEC(".maps");

/* The service's own notes; no program reads them. */
struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, UNDERPASS_LINKS_MAX);
        __type(key, __u32);
        __type(value, struct underpass_saved);
        __uint(map_flags, BPF_F_NO_PREALLOC);
} saved SEC(".maps");

/* counter is a constant, and the empty statement keeps the compiler from merging two calls into one with
 * a computed index, which would need CAP_PERFMON. */
UNDERPASS_INLINE void count(__u32 slot, const enum underpass_counter counter) {
        struct underpass_counters *values = bpf_map_lookup_elem(&counters, &slot);

        if (!values)
                return;
        values->value[counter]++; /* per CPU, so not atomic */
        asm volatile("" : : "i"(counter));
}

/* The same for several packets at a time. */
UNDERPASS_INLINE void count_more(__u32 slot, const enum underpass_counter counter, __u32 packets) {
        struct underpass_counters *values = bpf_map_lookup_elem(&counters, &slot);

        if (!values)
                return;
        values->value[counter] += packets;
        asm volatile("" : : "i"(counter));
}

UNDERPASS_INLINE struct underpass_link *link_of(struct __sk_buff *skb) {
        __u32 ifindex = skb->ifindex;

        return bpf_map_lookup_elem(&links, &ifindex);
}

/* Counts for the link of a packet that no flow record names. */
UNDERPASS_INLINE void count_on_link(struct __sk_buff *skb, const enum underpass_counter counter) {
        struct underpass_link *link = link_of(skb);

        count(link ? link->slot : 0, counter);
}

/*
 * The same number, of which the verifier of kernel 6.1 knows nothing any more: swapped twice. Once it finds
 * a number on the stack that it knows to have 32 bits, it takes it for as good as a pointer, and without
 * CAP_PERFMON nothing of less than 64 bits may be written over it.
 */
UNDERPASS_INLINE __u32 unknown(__u32 number) {
        __u64 value = number;

#ifdef __bpf__
        asm volatile("%0 = be32 %0\n%0 = be32 %0" : "+r"(value));
#endif
        return (__u32) value;
}

/*
 * The slot of a link; 0: it has none. guess is the slot of a link that it may well be: then the answer costs
 * one look-up into an array.
 */
UNDERPASS_INLINE __u32 slot_of_link(__u32 ifindex, __u32 guess) {
        __u32 slot = unknown(guess), index = unknown(ifindex);
        struct underpass_slot *guessed = bpf_map_lookup_elem(&slots, &slot);
        struct underpass_link *link;

        if (guessed && guessed->ifindex == index)
                return slot;
        link = bpf_map_lookup_elem(&links, &index);
        return link ? unknown(link->slot) : 0;
}
