/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Stories, see story.h.
 *
 * Room: bench.h.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "frame-icmp.h"
#include "story.h"

enum {
        OTHER_INTERFACE = 2,
        MTU = 1400,
        WHOLE = 0xffff, /* of the packet is quoted */
        WRAPPING_SECONDS = 60, /* as old is a machine that counts back beyond its start rightly */
};

struct error_kind {
        uint8_t type, code;     /* ICMP */
        uint8_t type6, code6;   /* ICMPv6 */
        uint16_t quoted;
        uint32_t rest;
        bool there;             /* it comes from the destination */
};

static const struct error_kind error_kinds[STORY_ERROR_COUNT] = {
        [STORY_REFUSED] = { FRAME_ICMP_UNREACHABLE, FRAME_ICMP_PORT, FRAME_ICMPV6_UNREACHABLE,
                            FRAME_ICMPV6_PORT, WHOLE, 0 },
        [STORY_REFUSED_THERE] = { FRAME_ICMP_UNREACHABLE, FRAME_ICMP_PORT, FRAME_ICMPV6_UNREACHABLE,
                                  FRAME_ICMPV6_PORT, WHOLE, 0, true },
        [STORY_PROHIBITED_THERE] = { FRAME_ICMP_UNREACHABLE, FRAME_ICMP_PROHIBITED, FRAME_ICMPV6_UNREACHABLE,
                                     FRAME_ICMPV6_PROHIBITED, WHOLE, 0, true },
        [STORY_REFUSED_SHORT] = { FRAME_ICMP_UNREACHABLE, FRAME_ICMP_PORT, FRAME_ICMPV6_UNREACHABLE,
                                  FRAME_ICMPV6_PORT, 8, 0 },
        [STORY_REFUSED_OTHER] = { FRAME_ICMP_UNREACHABLE, FRAME_ICMP_PORT, FRAME_ICMPV6_UNREACHABLE,
                                  FRAME_ICMPV6_PORT, WHOLE, 0 },
        [STORY_EXCEEDED] = { FRAME_ICMP_TIME_EXCEEDED, 0, FRAME_ICMPV6_TIME_EXCEEDED, 0, WHOLE, 0 },
        [STORY_TOO_BIG] = { FRAME_ICMP_UNREACHABLE, FRAME_ICMP_NEEDS_FRAGMENTATION, FRAME_ICMPV6_TOO_BIG, 0,
                            WHOLE, MTU },
        [STORY_REFUSED_PLAIN] = { FRAME_ICMP_UNREACHABLE, FRAME_ICMP_PORT, FRAME_ICMPV6_UNREACHABLE,
                                  FRAME_ICMPV6_PORT, WHOLE, 0 },
};

/* An error quotes what our side has sent last with a SYN flag, whatever the step says of itself. */
static void describe(const struct story *story, const struct story_step *step, struct frame_spec *ret) {
        uint16_t here = story->server ? 443 : FRAME_PORT_LOCAL;
        uint16_t there = story->server ? STORY_PEER_PORT : 443;

        here = step->our_port ? step->our_port : here;
        there = step->their_port ? step->their_port : there;
        *ret = (struct frame_spec) {
                .udp = step->incoming && !step->plain,
                .from = step->incoming ? FRAME_REMOTE : FRAME_LOCAL,
                .source_port = step->incoming ? there : here,
                .dest_port = step->incoming ? here : there,
                .flags = step->flags,
                .sequence = step->sequence,
                .acknowledgment = step->acknowledgment,
                .payload = step->payload,
                .options = step->options,
        };
        if (step->error == STORY_NO_ERROR)
                return;
        ret->udp = step->error != STORY_REFUSED_PLAIN;
        ret->from = FRAME_LOCAL;
        ret->source_port = here;
        ret->dest_port = there;
        ret->flags = story->server ? STORY_SYN_ACK : FRAME_SYN;
        ret->sequence = STORY_OUR_SEQUENCE + (step->error == STORY_REFUSED_OTHER);
        ret->options = FRAME_OPTIONS_MPTCP;
}

void story_build(const struct story *story, const struct story_step *step, bool ipv6, bool raw,
                 struct frame *ret) {
        struct frame_spec spec;

        describe(story, step, &spec);
        spec.ipv6 = ipv6;
        spec.raw = raw;
        frame_build(&spec, ret);
}

/* The error as it comes, and as our stack has to see it when it is converted. */
static void build_error(const struct story *story, const struct story_step *step, bool ipv6, bool raw,
                        struct frame *ret, struct frame *ret_converted) {
        const struct error_kind *kind = &error_kinds[step->error];
        struct frame_icmp_spec error = {
                .type = ipv6 ? kind->type6 : kind->type,
                .code = ipv6 ? kind->code6 : kind->code,
                .quoted = kind->quoted,
                .rest = kind->rest,
                .from_destination = kind->there,
        };
        struct frame_spec spec;
        struct frame udp, tcp;

        describe(story, step, &spec);
        spec.ipv6 = ipv6;
        spec.raw = raw;
        frame_build(&spec, &udp);
        spec.udp = false;
        frame_build(&spec, &tcp);
        frame_icmp_build(&udp, &error, ret);
        frame_icmp_build_tcp(&tcp, &udp, &error, ret_converted);
}

uint8_t story_state(const struct bench *bench, const struct underpass_flow_key *key,
                    struct underpass_flow *ret) {
        if (bench_get_flow(bench->flows, key, ret) == 0)
                return ret->state;
        return bench_get_flow(bench->half_open, key, ret) == 0 ? ret->state : STORY_NOWHERE;
}

static enum bench_program ingress_of(bool raw) {
        return raw ? BENCH_INGRESS_RAW : BENCH_INGRESS;
}

static enum bench_program egress_of(bool raw) {
        return raw ? BENCH_EGRESS_RAW : BENCH_EGRESS;
}

static bool run_error(struct bench *bench, const struct story *story, const struct story_step *step,
                      bool ipv6, bool raw) {
        struct frame frame, before, converted;
        __u32 destination;

        build_error(story, step, ipv6, raw, &frame, &converted);
        before = frame;
        EXPECT(bench_run(bench, ingress_of(raw), false, &frame, NULL, &destination) == 0);
        EXPECT_EQUAL(destination, step->fate == STORY_DROPPED ? BENCH_DROP : BENCH_NEXT);
        if (step->fate == STORY_CONVERTED)
                EXPECT(frame_equal(&frame, &converted));
        else
                EXPECT(frame_equal(&frame, &before));
        return true;
}

static bool in_tunnel(uint8_t state) {
        return state == UNDERPASS_FLOW_HALF_OPEN || state == UNDERPASS_FLOW_TUNNELLED;
}

/* A datagram becomes TCP exactly when there was a flow in the tunnel, or is one now. */
static bool run_packet(struct bench *bench, const struct story_step *step, bool raw, struct frame *frame,
                       uint8_t before) {
        bool tunnelled = in_tunnel(step->state) || (step->incoming && !step->plain && in_tunnel(before));
        struct frame sent = *frame;
        __u32 destination;

        if (step->fate == STORY_UNTOUCHED)
                tunnelled = false;
        if (!step->incoming) {
                EXPECT(bench_run(bench, egress_of(raw), false, frame, NULL, &destination) == 0);
                EXPECT_EQUAL(destination, tunnelled ? BENCH_REDIRECT : BENCH_NEXT);
                return true;
        }
        EXPECT(bench_run(bench, ingress_of(raw), false, frame, NULL, &destination) == 0);
        EXPECT_EQUAL(destination, BENCH_NEXT);
        if (step->plain || !tunnelled)
                EXPECT(frame_equal(frame, &sent));
        else
                EXPECT_EQUAL(frame->data[frame->protocol], FRAME_TCP);
        return true;
}

bool story_run_step(struct bench *bench, const struct story *story, const struct story_step *step, bool ipv6,
                    bool raw) {
        struct underpass_flow_key key;
        struct underpass_link link;
        struct underpass_flow flow;
        struct frame frame;

        if (step->tweak) {
                bench_default_link(&link);
                step->tweak(&link);
                EXPECT(bench_set_link(bench, &link) == 0);
        }
        story_build(story, step, ipv6, raw, &frame);
        bench_flow_key(&frame, !step->incoming || step->error != STORY_NO_ERROR, &key);
        if ((story->socket || step->silent_seconds) && bench_get_flow(bench->flows, &key, &flow) == 0) {
                flow.socket = story->socket;
                /* On a younger machine it wraps around; what the programs add brings it back. */
                flow.seen_ns -= step->silent_seconds * 1000000000ULL;
                EXPECT(bench_put_flow(bench->flows, &key, &flow) == 0);
        }
        if (step->error != STORY_NO_ERROR)
                EXPECT(run_error(bench, story, step, ipv6, raw));
        else
                EXPECT(run_packet(bench, step, raw, &frame, story_state(bench, &key, &flow)));
        EXPECT_EQUAL(story_state(bench, &key, &flow), step->state);
        /* In both maps only after a SYN amid a connection. */
        if (step->state != UNDERPASS_FLOW_TUNNELLED)
                EXPECT(bench_get_flow(bench->flows, &key, &flow) == -ENOENT);
        else if (step->beside == STORY_NOWHERE)
                EXPECT(bench_get_flow(bench->half_open, &key, &flow) == -ENOENT);
        else {
                EXPECT(bench_get_flow(bench->half_open, &key, &flow) == 0);
                EXPECT_EQUAL(flow.state, step->beside);
        }
        return true;
}

static __u64 from_now(int seconds) {
        return seconds == 0 ? 0 : bench_now() + (__u64) ((long long) seconds * 1000000000);
}

static __u32 seconds(__u64 nanoseconds) {
        return (__u32) (nanoseconds / 1000000000);
}

static __u32 seconds_from_now(int count) {
        return seconds(from_now(count));
}

static __u64 so_long_ago(int milliseconds) {
        return milliseconds == 0 ? 0 : bench_now() + (__u64) ((long long) milliseconds * 1000000);
}

static bool prepare(struct bench *bench, const struct story *story, const struct underpass_flow_key *key) {
        struct underpass_destination destination = {
                .stripped_until_ns = from_now(story->stripped_seconds),
                .swallowed_ns = so_long_ago(story->swallowed_ms),
                .swallowed_port = htons(story->failed_port),
                .stripped_join = story->stripped_join,
        };
        const struct underpass_destination server = { .spoken_until_ns = from_now(60) };
        struct underpass_block *block = &destination.blocks[story->reason];
        struct underpass_link link;

        block->until = seconds_from_now(story->blocked_seconds);
        destination.lacking_until_ns = from_now(story->lacking_seconds);
        block->pause = story->pause;
        block->failed_ns = so_long_ago(story->failed_ms);
        block->failed_port = htons(story->failed_port);

        EXPECT(bench_reset(bench) == 0);
        bench_default_link(&link);
        if (story->tweak)
                story->tweak(&link);
        EXPECT(bench_set_link(bench, &link) == 0);
        if (story->speaks)
                EXPECT(bench_put_destination(bench, key, 0, &server) == 0);
        if (story->blocked_seconds != 0 || story->stripped_seconds != 0 || story->failed_ms != 0 ||
            story->swallowed_ms != 0 || story->lacking_seconds != 0)
                EXPECT(bench_put_destination(bench, key, story->elsewhere ? OTHER_INTERFACE : BENCH_IFINDEX,
                                         &destination) == 0);
        return true;
}

/* What is found out holds for the time that abi.h says, not longer. */
static bool known_in_the_end(struct bench *bench, const struct story *story,
                             const struct underpass_flow_key *key) {
        struct underpass_destination destination;

        bench_get_destination(bench, key, BENCH_IFINDEX, &destination);
        for (unsigned reason = 0; reason < UNDERPASS_BLOCK_REASON_COUNT; reason++) {
                const struct underpass_block *block = &destination.blocks[reason];

                EXPECT_EQUAL(block->until > seconds(bench_now()),
                             (story->destination & STORY_BLOCKED) && reason == story->reason);
                if (reason == story->reason && story->pause_after) {
                        EXPECT_EQUAL(block->pause, story->pause_after);
                        EXPECT(block->until > seconds_from_now(story->pause_after - 2));
                        EXPECT(block->until <= seconds_from_now(story->pause_after));
                }
        }
        /* A failure that has counted counts no more. */
        if ((story->destination & STORY_BLOCKED) && story->failed_ms)
                EXPECT_EQUAL(destination.blocks[story->reason].failed_ns, 0);
        if ((story->destination & STORY_STRIPPED) && story->swallowed_ms)
                EXPECT_EQUAL(destination.swallowed_ns, 0);
        EXPECT_EQUAL(destination.stripped_until_ns > bench_now(), !!(story->destination & STORY_STRIPPED));
        EXPECT_EQUAL(destination.lacking_until_ns > bench_now(), !!(story->destination & STORY_LACKING));
        EXPECT(destination.lacking_until_ns <= from_now(UNDERPASS_LACKING_SECONDS));
        EXPECT(destination.stripped_until_ns <= from_now(UNDERPASS_STRIPPED_SECONDS));
        return true;
}

/* On a machine that was started a moment ago. Second 0 is too early, too: it says "never". */
static bool is_older_than_time(const struct story *story) {
        const int ends[] = { story->blocked_seconds, story->stripped_seconds, story->lacking_seconds };

        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
                if (ends[i] < 0 && seconds(bench_now()) <= (__u32) -ends[i])
                        return true;
        for (size_t i = 0; i < STORY_STEPS_MAX; i++)
                if (story->steps[i].silent_seconds && seconds(bench_now()) < WRAPPING_SECONDS)
                        return true;
        return false;
}

bool story_run(struct bench *bench, const struct story *story, bool ipv6, bool raw) {
        struct underpass_flow_key key;
        struct frame frame;

        if (is_older_than_time(story))
                return true;
        story_build(story, &story->steps[0], ipv6, raw, &frame);
        bench_flow_key(&frame, !story->steps[0].incoming, &key);
        EXPECT(prepare(bench, story, &key));
        for (size_t i = 0; i < STORY_STEPS_MAX && story->steps[i].flags; i++)
                if (!story_run_step(bench, story, &story->steps[i], ipv6, raw)) {
                        fprintf(stderr, "in step %zu\n", i + 1);
                        return false;
                }
        return bench_counted(bench, story->counts) && known_in_the_end(bench, story, &key);
}

bool story_run_all(struct bench *bench, const struct story *stories, size_t count) {
        for (size_t i = 0; i < count; i++) {
                for (int variant = 0; variant < 4; variant++) {
                        if (story_run(bench, &stories[i], variant & 1, variant & 2))
                                continue;
                        fprintf(stderr, "variant %d: %s\n", variant, stories[i].name);
                        return false;
                }
        }
        return true;
}
