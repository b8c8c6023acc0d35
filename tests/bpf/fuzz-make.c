/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The packets of fuzz-packets.c, see fuzz.h.
 *
 * Room: libc only, nothing of bpf/.
 */

#include <string.h>

#include "frame-icmp.h"
#include "fuzz.h"

enum {
        ETHERNET_LENGTH = 14,
        MUTATIONS_MAX = 4,
        FUZZ_BULK_MAX = 2 * FUZZ_MTU,
        QUOTED_MAX = 64, /* mostly: headers are where it matters */
};

static void mutate(uint64_t *random, struct frame *frame) {
        static const uint8_t interesting[] = {
                0, 1, 2, 4, 5, 6, 17, 30, 44, 45, 60, 0x50, 0x7f, 0x80, 0xf0, 0xff,
        };
        /* Headers are where it matters. */
        size_t reach = expect_random(random) & 3 ? 100 : frame->length, at, length;

        at = expect_random(random) % (reach < frame->length ? reach : frame->length);
        switch (expect_random(random) % 6) {
        case 0:
                frame->data[at] ^= (uint8_t) (1 << expect_random(random) % 8);
                break;
        case 1:
                frame->data[at] = interesting[expect_random(random) % sizeof(interesting)];
                break;
        case 2:
                frame->data[at] = (uint8_t) expect_random(random);
                break;
        case 3:
                frame->data[at] = (uint8_t) (frame->data[at] + (expect_random(random) & 1 ? 1 : -1));
                break;
        case 4: /* cut off */
                if (at > ETHERNET_LENGTH)
                        frame->length = at;
                break;
        default: /* make longer */
                length = expect_random(random) % 64;
                expect_random_bytes(random, frame->data + frame->length, length);
                frame->length += length;
                break;
        }
}

/* A segment, mostly of a flow that is known; one in four is a SYN. */
static void describe(uint64_t *random, const struct fuzz_wish *wish, struct frame_spec *ret) {
        uint32_t dice = expect_random(random), numbers = expect_random(random);
        uint16_t ours = (uint16_t) (FUZZ_PORT + numbers % FUZZ_FLOWS);

        frame_random_spec(random, ret);
        ret->raw = wish->raw;
        ret->from = wish->incoming ? FRAME_REMOTE : FRAME_LOCAL;
        ret->udp = wish->incoming != (dice % 8 == 0);
        if (wish->incoming)
                ret->dest_port = ours;
        else
                ret->source_port = ours;
        if (dice >> 4 & 1)
                ret->payload %= 40;
        if ((dice >> 5 & 3) == 0) {
                ret->flags = dice >> 28 & 3 ? FRAME_SYN : FRAME_SYN | FRAME_ACK;
                ret->acknowledgment = 0;
                ret->options = expect_random(random) % FRAME_OPTIONS_TWELVE_NOPS; /* others are much alike */
        }
        /* A repetition of what is known, or an answer to it. */
        if (numbers >> 8 & 1)
                ret->sequence = FUZZ_SEQUENCE;
        if ((numbers >> 9 & 3) == 0)
                ret->acknowledgment = FUZZ_SEQUENCE + 1;
        if ((numbers >> 11 & 15) == 0)
                ret->sequence = 0;
        if ((dice >> 7 & 7) == 0)
                ret->source_port = (uint16_t) (30000 + (dice >> 24));
        if (!ret->ipv6 && (dice >> 10 & 7) == 0)
                ret->ipv4_options = (uint8_t) ((dice >> 13) % 11 * 4);
        if (ret->ipv6 && (dice >> 10 & 7) == 0) {
                ret->extensions_count = (uint8_t) ((dice >> 13) % 6);
                for (int i = 0; i < ret->extensions_count; i++)
                        ret->extensions[i] =
                                (uint8_t[]){ 0, 43, 60, 44 }[expect_random(random) % (i == 0 ? 4 : 3)];
        }
        if (!ret->ipv6 && (dice >> 18 & 15) == 0)
                ret->fragment = (uint16_t) expect_random(random);
}

/* Several in one, headers and all, as UDP GRO leaves them: the outer lengths are those of all. */
static void merge(struct frame *frame) {
        const size_t begin = frame->layer4 + 8, length = frame->length - begin;

        if (frame->length + length > FUZZ_BULK_MAX)
                return;
        memcpy(frame->data + frame->length, frame->data + begin, length);
        frame->length += length;
        frame_put16(frame->data + frame->layer4 + 4, (uint16_t) (8 + 2 * length));
        if (frame->data[frame->layer3] >> 4 == 6)
                frame_put16(frame->data + frame->layer3 + 4, (uint16_t) (frame->length - frame->layer4));
        else
                frame_put16(frame->data + frame->layer3 + 2, (uint16_t) (frame->length - frame->layer3));
        frame_put_checks(frame);
}

/* A segment in the bulk form. A NAT may have changed the outer headers; there may be another one inside. */
static void make_bulk(uint64_t *random, const struct fuzz_wish *wish, struct frame *ret) {
        uint32_t dice = expect_random(random);
        struct frame_spec spec;
        struct frame outer;

        describe(random, wish, &spec);
        spec.udp = false;
        if (dice & 3)
                spec.flags = (uint8_t) (FRAME_ACK | (spec.flags & (FRAME_FIN | FRAME_PSH)));
        if (dice >> 2 & 7)
                spec.ipv4_options = spec.extensions_count = 0;
        spec.fragment = dice >> 5 & 15 ? 0 : spec.fragment;
        frame_build(&spec, &outer);
        *ret = outer;
        if (dice >> 9 & 1) {
                frame_put32(ret->data + ret->layer3 + 12, dice);
                frame_put32(ret->data + ret->layer4, ~dice);
                frame_put_checks(ret);
        }
        frame_wrap(ret, &outer);
        if ((dice >> 10 & 15) == 0)
                frame_wrap(ret, &outer);
        if ((dice >> 14 & 7) == 0)
                frame_put16(ret->data + ret->layer4 + 6, 0);
        if ((dice >> 17 & 7) == 0)
                merge(ret);
}

/* An error about something of ours, in UDP form as a rule. */
static void make_error(uint64_t *random, const struct fuzz_wish *wish, struct frame *ret) {
        struct fuzz_wish sent = { .raw = wish->raw };
        uint32_t dice = expect_random(random);
        struct frame_icmp_spec error = {
                .code = (uint8_t) (dice % 16),
                .rest = expect_random(random) % 3000,
                .quoted = (uint16_t) (dice >> 4 & 3 ? (dice >> 6) % QUOTED_MAX : FUZZ_MTU),
                .jumbled_check = dice >> 12 & 1,
        };
        struct frame_spec about;
        struct frame frame;

        describe(random, &sent, &about);
        about.udp = dice >> 13 & 15;
        error.type = about.ipv6 ? (uint8_t) (1 + (dice >> 17) % 4) :
                                  (uint8_t[]){ 3, 3, 11, 12 }[dice >> 17 & 3];
        if ((dice >> 20 & 15) == 0)
                error.type = (uint8_t) expect_random(random);
        if ((dice >> 24 & 7) == 0)
                error.ipv4_options = (uint8_t) ((dice >> 27) % 11 * 4);
        if (expect_random(random) % 32 == 0)
                error.fragment = (uint16_t) expect_random(random);
        frame_build(&about, &frame);
        frame_icmp_build(&frame, &error, ret);
}

void fuzz_make(uint64_t *random, const struct fuzz_wish *wish, struct frame *ret) {
        struct frame_spec spec;

        if (wish->may_be_error && !wish->bulk && expect_random(random) % 4 == 0)
                make_error(random, wish, ret);
        else if (wish->bulk)
                make_bulk(random, wish, ret);
        else {
                describe(random, wish, &spec);
                frame_build(&spec, ret);
        }
        if (expect_random(random) % 64 == 0)
                expect_random_bytes(random, ret->data, ret->length);
        for (uint32_t i = expect_random(random) % (MUTATIONS_MAX + 1); i > 0; i--)
                mutate(random, ret);
}
