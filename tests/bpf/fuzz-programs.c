/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A libFuzzer target over the programs, compiled for the host: what the input says goes through them
 * packet by packet, and each has to come out as the judges of fuzz-packets.c want it. With clang,
 * -Dfuzz=true builds it:
 *
 *   fuzz-programs-libfuzzer -max_len=1600 -max_total_time=600
 *
 * An input begins with two bytes for the profile and the flows. Then comes packet after packet: five
 * bytes for program, form, linear part and offload, then either a whole packet, or the seed of a sensible
 * one and changes to it.
 *
 * Room: fuzz-round.h by way of bench-host.c.
 */

#include <stdlib.h>
#include <string.h>

#include "fuzz-round.h"

enum {
        PROFILE_LENGTH = 2,
        HEAD_LENGTH = 5,
        SEED_LENGTH = 4,
        CHANGE_LENGTH = 3,
        CHANGES_MAX = 4,
        PACKETS_MAX = 8,
        WHOLE = 0x80,      /* in the first byte of a packet */
        FOREIGN = 0x40,    /* no program sent it to the segmentation device */
        EARLY = FOREIGN,   /* of what comes in: it meets the program in front of GRO */
        CHANGES_MASK = 3,  /* in the second byte: how many follow, less one */
        BULK_SHIFT = 2,    /* behind them: BULK for the bulk form */
        BULK_MASK = 7,
        BULK = 1,
        MERGED = 0xfe,     /* the third byte: segments as long as the packet inside of a sensible one */
        MINIMUM = 14,      /* that a packet needs */
};

struct input {
        const uint8_t *bytes;
        size_t left;
};

static const uint8_t *take(struct input *input, size_t length) {
        const uint8_t *bytes = input->bytes;

        if (input->left < length)
                return NULL;
        input->bytes += length;
        input->left -= length;
        return bytes;
}

static void take_whole(struct input *input, struct frame *frame) {
        frame->length = input->left < FUZZ_MTU ? input->left : FUZZ_MTU;
        memcpy(frame->data, take(input, frame->length), frame->length);
}

/* False when the input ends. */
static bool take_changed(struct input *input, enum bench_program program, uint8_t how, struct frame *frame) {
        const uint8_t *seed = take(input, SEED_LENGTH), *change;
        struct fuzz_wish wish;
        uint64_t random;

        if (!seed)
                return false;
        random = frame_get32(seed) + 1ULL;
        round_wish(program, &wish);
        wish.bulk = (how >> BULK_SHIFT & BULK_MASK) == BULK;
        wish.incoming |= wish.bulk && program == BENCH_SEGMENT;
        fuzz_make(&random, &wish, frame);
        for (unsigned i = 0; i < (how & CHANGES_MASK); i++) {
                change = take(input, CHANGE_LENGTH);
                if (!change)
                        return false;
                frame->data[frame_get16(change) % frame->length] = change[2];
        }
        return true;
}

static bool take_round(struct input *input, const struct fuzzer *fuzzer, struct round *ret) {
        const uint8_t *head = take(input, HEAD_LENGTH);

        if (!head)
                return false;
        memset(&ret->before, 0, sizeof(ret->before));
        ret->program = (head[0] & 0x3f) % BENCH_MERGED;
        if (head[0] & WHOLE)
                take_whole(input, &ret->before);
        else if (!take_changed(input, ret->program, head[1], &ret->before))
                return false;
        ret->context = ret->program == BENCH_SEGMENT && !(head[0] & FOREIGN) ? fuzzer->segment_note :
                                                                           (struct __sk_buff) {};
        ret->early = ret->program == BENCH_INGRESS && (head[0] & EARLY);
        ret->context.gso_size = head[2] == 0xff ? head[3] : 0;
        if (head[2] == MERGED && !(head[0] & WHOLE))
                ret->context.gso_size = fuzz_inner_length(&ret->before);
        if (head[4] >= MINIMUM && head[4] < ret->before.length)
                ret->context.data_end = head[4];
        return ret->before.length >= MINIMUM;
}

static bool open_once(struct fuzzer *fuzzer) {
        if (fuzzer->bench.cpus != 0)
                return true;
        return bench_open(&fuzzer->bench, BENCH_FLOWS) == 0 &&
               bench_segment_context(&fuzzer->bench, 1, &fuzzer->segment_note) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static struct fuzzer fuzzer; /* what costs time to make, libFuzzer calls this a million times */
        struct input input = { data, size };
        const uint8_t *profile = take(&input, PROFILE_LENGTH);
        struct round round = {};

        if (!profile)
                return 0;
        if (!open_once(&fuzzer) || !round_set_up(&fuzzer, frame_get16(profile)))
                abort();
        for (int i = 0; i < PACKETS_MAX && take_round(&input, &fuzzer, &round); i++) {
                if (round_run(&fuzzer, &round))
                        continue;
                round_dump(&round);
                abort();
        }
        return 0;
}
