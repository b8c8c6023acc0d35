/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One round of fuzz-packets.c: a packet, what is known of its flow, what the programs made of it, and
 * whether that was right.
 *
 * Room: bench.h, fuzz.h.
 */

#include "bench.h"
#include "fuzz.h"

enum {
        ROUND_MSS_IPV4 = 1300, /* limits of the link */
        ROUND_MSS_IPV6 = 1280,
};

/* One packet and what became of it. */
struct round {
        enum bench_program program;
        struct frame before;
        struct frame after;
        struct __sk_buff context;
        uint8_t protocol;     /* that was located, or 0 */
        bool early;           /* in front of GRO, before it comes to BENCH_INGRESS */
        bool fragment;        /* it is the first fragment of an IPv4 datagram */
        bool quotes;          /* it is an ICMP error about UDP, see quote */
        struct judge_quote quote;
        struct underpass_flow flow; /* known before; state 0: none */
        uint8_t beside;       /* flags of a record in "half_open" beside that of an established flow */
        __u32 verdict;
        struct underpass_counters counted; /* by this packet, in both slots */
};

struct fuzzer {
        struct bench bench;
        uint64_t random;
        struct __sk_buff segment_note;
        struct underpass_link link;
        struct underpass_counters counters;
        bool bulk;            /* the link takes the bulk form */
        unsigned long rounds, converted, dropped, redirected, errors, refused, unpacked;
};

/* Known flows of both IP versions in every state, and a profile that takes a lot; dice: which one. */
bool round_set_up(struct fuzzer *fuzzer, uint32_t dice);

/* Which packets a program is for. */
void round_wish(enum bench_program program, struct fuzz_wish *ret);

/* Runs round->program on round->before with round->context, and judges what came out. */
bool round_run(struct fuzzer *fuzzer, struct round *round);

/* Prints a round that went wrong. */
void round_dump(const struct round *round);

/* Each expects that the programs did the right thing and counted it. */
bool round_judge_egress(struct fuzzer *fuzzer, const struct round *round);
bool round_judge_segment(struct fuzzer *fuzzer, const struct round *round);
bool round_judge_ingress(struct fuzzer *fuzzer, const struct round *round);
bool round_judge_early(struct fuzzer *fuzzer, const struct round *round);
