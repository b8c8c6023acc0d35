/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Stories: several packets of a connection one after the other, and what is known of it after each. The
 * client's connection is 40000 → 443, the server's 443 ← 50000.
 *
 * Room: bench.h. A story runs over IPv4 and IPv6, with and without Ethernet header.
 */

#include "bench.h"

enum {
        STORY_STEPS_MAX = 12,
        STORY_OUR_SEQUENCE = 0xfffffff0, /* the window of answers wraps around */
        STORY_PEER_SEQUENCE = 77,
        STORY_PEER_PORT = 50000,
        STORY_NOWHERE = 0, /* in place of a state: no record */
};

/* What is known about the far end. */
enum story_destination {
        STORY_BLOCKED = 1 << 0,
        STORY_STRIPPED = 1 << 1,
        STORY_LACKING = 1 << 2, /* no MPTCP there */
};

/* An ICMP error about our last SYN or SYN-ACK, in place of a packet of the peer. */
enum story_error {
        STORY_NO_ERROR,
        STORY_REFUSED,          /* port unreachable, from a router on the way */
        STORY_REFUSED_THERE,    /* port unreachable, from the destination itself */
        STORY_PROHIBITED_THERE, /* administratively prohibited, from the destination itself */
        STORY_REFUSED_SHORT,    /* the same, eight bytes quoted */
        STORY_REFUSED_OTHER,    /* the same about a packet with another sequence number */
        STORY_EXCEEDED,         /* time exceeded */
        STORY_TOO_BIG,
        STORY_REFUSED_PLAIN,    /* port unreachable about the TCP form: not of our making */
        STORY_ERROR_COUNT,
};

/* What becomes of a packet, where it does not follow from the state. */
enum story_fate {
        STORY_USUAL,    /* in the tunnel, or TCP for our stack, if there is a record that is not watched */
        STORY_UNTOUCHED,
        STORY_DROPPED,
        STORY_CONVERTED,
};

struct story_step {
        bool incoming;
        bool plain;              /* incoming TCP, not UDP */
        uint8_t flags;
        uint32_t sequence;
        uint32_t acknowledgment;
        uint16_t payload;
        enum frame_options options;
        uint16_t our_port;       /* 0: that of the story */
        uint16_t their_port;
        uint8_t state;           /* afterwards: enum underpass_flow_state, or STORY_NOWHERE */
        uint8_t beside;          /* state of a record in "half_open" beside that of an established flow */
        enum story_error error;
        enum story_fate fate;
        void (*tweak)(struct underpass_link *link); /* a new profile, before the packet */
        uint16_t silent_seconds; /* so long before the packet nothing has been seen of an established flow */
};

struct story {
        const char *name;
        bool server;
        struct story_step steps[STORY_STEPS_MAX]; /* ends before a step without flags */
        struct bench_count counts[BENCH_COUNTS_MAX];
        void (*tweak)(struct underpass_link *link);
        bool socket;             /* of this host has the connection; else a router forwards it, it may be */
        int blocked_seconds;     /* known before: so much longer, or (negative) so long over; 0: never */
        int stripped_seconds;
        int lacking_seconds;
        bool speaks;             /* the server is known to have MPTCP */
        int failed_ms;           /* negative: so long ago a connection from another port has failed, … */
        uint16_t failed_port;    /* … or from this one */
        enum underpass_block_reason reason; /* of that, and of what is blocked in the end */
        uint16_t pause;          /* seconds of an earlier block that is over */
        uint16_t pause_after;    /* the pause in the end; 0: whatever it is */
        int swallowed_ms;        /* the same of one whose plain SYNs got no answer, but that over UDP did */
        bool stripped_join;      /* it was an additional subflow */
        bool elsewhere;          /* known of another interface */
        uint8_t destination;         /* enum story_destination, known in the end */
};

#define STORY_SYN_ACK (FRAME_SYN | FRAME_ACK)
#define STORY_NEXT_SEQUENCE (STORY_OUR_SEQUENCE + 1U)
/* A SYN of ours and what else is to be said of the step. */
#define STORY_SYN(with, after, ...)                                                                         \
        {                                                                                                   \
                .flags = FRAME_SYN, .sequence = STORY_OUR_SEQUENCE, .options = (with), .state = (after),    \
                __VA_ARGS__                                                                                 \
        }
#define STORY_OUR_SYN(after) STORY_SYN(FRAME_OPTIONS_MPTCP, after, .incoming = false)
#define STORY_PEER_SYN                                                                                      \
        {                                                                                                   \
                .incoming = true, .flags = FRAME_SYN, .sequence = STORY_PEER_SEQUENCE,                      \
                .options = FRAME_OPTIONS_MPTCP, .state = UNDERPASS_FLOW_HALF_OPEN                           \
        }
#define STORY_OUR_SYN_ACK(after)                                                                            \
        {                                                                                                   \
                .flags = STORY_SYN_ACK, .sequence = STORY_OUR_SEQUENCE,                                     \
                .acknowledgment = STORY_PEER_SEQUENCE + 1, .options = FRAME_OPTIONS_MPTCP, .state = (after) \
        }
#define STORY_PEER(kind, number, after)                                                                     \
        {                                                                                                   \
                .incoming = true, .flags = (kind), .sequence = STORY_PEER_SEQUENCE,                         \
                .acknowledgment = (number), .state = (after),                                               \
                .options = (kind) == STORY_SYN_ACK ? FRAME_OPTIONS_MPTCP : FRAME_OPTIONS_NONE               \
        }
#define STORY_PLAIN(kind, number, with, after)                                                              \
        {                                                                                                   \
                .incoming = true, .plain = true, .flags = (kind), .sequence = STORY_PEER_SEQUENCE,          \
                .acknowledgment = (number), .options = (with), .state = (after)                             \
        }
#define STORY_ERROR(kind, what, after)                                                                      \
        { .incoming = true, .flags = FRAME_SYN, .error = (kind), .fate = (what), .state = (after) }

/* Runs all of them in all four variants; says on standard error which one failed, and in which step. */
bool story_run_all(struct bench *bench, const struct story *stories, size_t count);

/* One of them: over IPv4 or IPv6, with or without Ethernet header. */
bool story_run(struct bench *bench, const struct story *story, bool ipv6, bool raw);

/* One step of it. */
bool story_run_step(struct bench *bench, const struct story *story, const struct story_step *step, bool ipv6,
                    bool raw);

/* The packet of a step; for an error the packet that it is about. */
void story_build(const struct story *story, const struct story_step *step, bool ipv6, bool raw,
                 struct frame *ret);

/* Where the flow is, and its record if it is anywhere. */
uint8_t story_state(const struct bench *bench, const struct underpass_flow_key *key,
                    struct underpass_flow *ret);
