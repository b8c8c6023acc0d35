/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The programs, run on packets that the tests make: packet in, verdict and packet out. Nothing is
 * attached and nothing pinned, so no interface and no packet of the machine is touched.
 *
 * Two twins can run them: bench-kernel.c has loaded them into the kernel (BPF_PROG_TEST_RUN),
 * bench-host.c has compiled them for the host, where sanitizers and libFuzzer see every step.
 *
 * Room: the maps of the object. All functions return negative errno, or bool where they are expectations.
 */

#include <linux/bpf.h>

#include "bpf/abi.h"
#include "frame.h"

struct underpass_bpf;

enum bench_program {
        BENCH_EGRESS,
        BENCH_EGRESS_RAW,
        BENCH_INGRESS,
        BENCH_INGRESS_RAW,
        BENCH_SEGMENT,
        BENCH_MERGED, /* looks at no packet, so fuzzers leave it out and those after it */
        BENCH_PROGRAM_COUNT,
};

/* Rings by which the service is told of what it may look at. */
enum bench_ring {
        BENCH_UNMERGED,   /* a flow that bulk comes for one by one: struct underpass_flow_key */
        BENCH_UNANSWERED, /* a flow whose SYN was accepted: likewise */
        BENCH_UNCERTAIN,  /* a server that may have no MPTCP: struct underpass_destination_key */
        BENCH_RING_COUNT,
};

enum {
        BENCH_IFINDEX = 1, /* test runs happen on lo, whose link entry is the one of the tests */
        BENCH_SEGMENT_IFINDEX = 4242,
        BENCH_GRO_IFINDEX = 4343,
        BENCH_SLOT = 7,
        BENCH_COUNTS_MAX = 6,
        BENCH_CPUS_MAX = 1024,
};

/* What programs return. */
#define BENCH_NEXT 0xffffffffU
#define BENCH_DROP 2U
#define BENCH_REDIRECT 7U
#define BENCH_EARLY_PASS 2U /* XDP_PASS */

struct bench {
        struct underpass_bpf *object; /* NULL on the host */
        int programs[BENCH_PROGRAM_COUNT];
        int keepalive; /* cannot be run on a packet, and is not there on the host */
        int early;     /* the program in front of GRO */
        int links;
        int slots;
        int loader;
        int flows;
        int half_open;
        int destinations;
        int sources;
        int sockets;
        int socket_ports;
        int rings[BENCH_RING_COUNT]; /* no maps on the host */
        int counters;
        int cpus;
};

/* One line of what is expected of the counters. */
struct bench_count {
        enum underpass_counter counter;
        unsigned count; /* 0: the line does not count */
        bool anywhere;  /* slot 0 instead of the slot of the link */
};

/* Whether this process has CAP_BPF and CAP_NET_ADMIN, if they are needed. Else the tests are skipped. */
bool bench_privileged(void);

/* Enough flows for every case. Their map has most of all buckets, and bench_reset() looks through it. */
enum { BENCH_FLOWS = 2048 };

/* Loads the object. flows_max: how many of them the kernel remembers; 0: as many as in the product. */
int bench_open(struct bench *ret, __u32 flows_max);
void bench_close(struct bench *bench);

/* CLOCK_MONOTONIC_COARSE of this machine, in nanoseconds. The precise one is ahead of it, by more than a
 * jiffy on a busy virtual machine. */
__u64 bench_clock(void);

/* The clock that the programs read: that one in the kernel, and on the host one of its own. */
__u64 bench_now(void);

/* The second that was so long before this one. Never 0, which says "never" in records: a machine that was
 * started so many seconds ago takes the second after it. */
__u32 bench_seconds_ago(__u32 seconds);

/* Lets so many nanoseconds pass; on the host, nobody waits for them. */
void bench_wait(__u64 nanoseconds);

/* On the host alone: from now on the machine has been up for so many seconds and a half. */
void bench_set_uptime(__u32 seconds);

/*
 * Forgets all flows, destinations and sockets, puts all counters to 0, sets the segment, and the link to:
 * slot BENCH_SLOT, mptcp-only, remote ports 443 and 8000 to 8100, local ports 443 and 5000 to 5010.
 */
int bench_reset(const struct bench *bench);
void bench_default_link(struct underpass_link *ret);
int bench_set_link(const struct bench *bench, const struct underpass_link *link);
int bench_remove_link(const struct bench *bench);
int bench_set_segment(const struct bench *bench, __u32 ifindex);
int bench_set_slot(const struct bench *bench, const struct underpass_slot *slot);

/*
 * Runs a program. The frame is replaced by what comes out, *context too; pass NULL for one that is all
 * zero. Offsets in the frame stay what they were. With summed the packet carries a sum of all its bytes
 * as cards give it (CHECKSUM_COMPLETE), and the kernel answers -EBADMSG when the program leaves a wrong
 * one; -EINVAL when the kernel cannot do that. context->tc_index and a VLAN tag (vlan_present, vlan_tci and
 * vlan_proto: beside the frame, as the kernel keeps it) are set for the program, too, and come back on the
 * host.
 */
int bench_run(const struct bench *bench, enum bench_program program, bool summed, struct frame *frame,
              struct __sk_buff *context, __u32 *ret_verdict);

/*
 * Runs the program in front of the driver's GRO (native XDP) on a frame with an Ethernet header. The frame
 * is replaced by what comes out; offsets in it stay what they were.
 */
int bench_run_early(const struct bench *bench, struct frame *frame, __u32 *ret_verdict);

/* The maps, by the numbers that struct bench has. Per-CPU values: all of them, one after the other. */
int bench_map_update(int map, const void *key, const void *value);
int bench_map_lookup(int map, const void *key, void *ret);
int bench_map_delete(int map, const void *key);
int bench_map_next(int map, const void *key, void *ret_key);

/* What the service was told of last; -ENOENT: nothing since the last call. */
int bench_told(const struct bench *bench, enum bench_ring ring, void *ret);

/* A tunnel socket of the kernel for all peers at a port is guarded on a link. */
int bench_serve(const struct bench *bench, __u32 ifindex, bool ipv6, __u16 port);

/* The same for any. */
int bench_guard(const struct bench *bench, const struct underpass_socket_key *key);

/* The context with which packets arrive at the segment, as the egress program leaves it. */
int bench_segment_context(const struct bench *bench, __u32 priority, struct __sk_buff *ret);

/* The flow of a packet as the side sees it that sends it (outgoing) or gets it. */
void bench_flow_key(const struct frame *frame, bool outgoing, struct underpass_flow_key *ret);

/* Puts a record into the map. */
int bench_put_flow(int map, const struct underpass_flow_key *key, const struct underpass_flow *flow);

/* The record; -ENOENT when there is none. */
int bench_get_flow(int map, const struct underpass_flow_key *key, struct underpass_flow *ret);

/* A record as the programs leave it: tunnelled, of this link, seen now. */
void bench_tunnelled(struct underpass_flow *ret);

/* The same, but nothing has been seen of it for longer than the programs wait before asking for sockets. */
void bench_silent(struct underpass_flow *ret);

/* What is known about the far end of a flow, on this interface. */
int bench_put_destination(const struct bench *bench, const struct underpass_flow_key *key, __u32 ifindex,
                      const struct underpass_destination *destination);

/* The same; all 0 when nothing is known. */
void bench_get_destination(const struct bench *bench, const struct underpass_flow_key *key, __u32 ifindex,
                       struct underpass_destination *ret);

/* How many records a map of flows holds. */
unsigned bench_flows_count(int map);

/* Sums of all CPUs. */
int bench_counters(const struct bench *bench, __u32 slot, struct underpass_counters *ret);

/*
 * Expects exactly these counts since the last reset, and 0 in all other counters of the slots 0 and
 * BENCH_SLOT.
 */
bool bench_counted(const struct bench *bench, const struct bench_count expected[BENCH_COUNTS_MAX]);
