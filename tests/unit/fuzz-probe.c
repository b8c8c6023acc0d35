/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Fuzz target: what a stranger sends back after the SYN of a probe or of a measurement. The first four bytes
 * are the number of the SYN, the next two how much data it had. May touch: nothing.
 */

#include "unit.h"

#include "fuzz.h"
#include "plan/form-stream.h"
#include "plan/probe-form.h"

enum {
        INTRODUCTION = 6,
        ENDING_TRIES = 40, /* tenths of a second */
};

static uint32_t number(const uint8_t *at) {
        return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

/* Whether the bytes of an MP_CAPABLE option are anywhere at all among the options. */
static bool may_have_mptcp(const uint8_t *data, size_t length) {
        for (size_t i = PROBE_FORM_HEADER; i + 2 < length; i++)
                if (data[i] == 30 && data[i + 1] >= 3 && data[i + 2] < 0x10)
                        return true;
        return false;
}

/* A measurement that gets this, first as a whole and then in pieces whose lengths are in it. */
static void measure(const uint8_t *data, size_t length, uint32_t sequence) {
        _cleanup_(form_stream_freep) FormStream *stream = NULL;
        uint8_t buffer[FORM_STREAM_DATAGRAM];
        uint64_t now_us = 1;
        size_t written, last;

        assert(form_stream_new(&stream, sequence, 1000, "GET", 100000) == 0);
        do {
                const size_t wanted = now_us == 1 ? PROBE_FORM_HEADER + 16U : 12U + data[0] % 64U;
                const size_t piece = MIN_OF(length, wanted);

                for (unsigned i = 0; i < 100; i++) {
                        written = form_stream_next(stream, buffer, now_us);
                        assert(written <= 1000 + 60);
                }
                form_stream_take(stream, data, piece, now_us);
                data += piece;
                length -= piece;
                last = piece;
                now_us += 100000;
        } while (length > 0);
        assert(form_stream_facts(stream)->acknowledged <= 100000);
        assert(form_stream_facts(stream)->head_length <= FORM_STREAM_HEAD);
        (void) form_stream_stop(stream);
        form_stream_end(stream);
        for (unsigned i = 0; i < ENDING_TRIES && !form_stream_facts(stream)->gone; i++) {
                (void) form_stream_next(stream, buffer, now_us);
                form_stream_take(stream, data - last, last, now_us); /* the end of it, time and again */
                now_us += 100000;
        }
        assert(form_stream_facts(stream)->gone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint32_t sequence, carried, beyond;
        ProbeFormAnswer answer;
        size_t length;

        if (size < INTRODUCTION)
                return 0;
        sequence = number(data);
        carried = (uint32_t) data[4] << 8 | data[5];
        data += INTRODUCTION;
        length = size - INTRODUCTION;
        if (length > 0)
                measure(data, length, sequence);
        answer = probe_form_read(data, length, sequence, carried);
        if (answer.kind == PROBE_FORM_OTHER) {
                assert(!answer.mptcp && answer.mss == 0);
                return 0;
        }
        assert(length >= PROBE_FORM_HEADER);
        beyond = number(data + 8) - sequence;
        assert(beyond >= 1 && beyond <= 1 + carried);
        assert(data[1] & 0x10);
        assert((answer.kind == PROBE_FORM_REFUSE) == ((data[1] & 0x04) != 0));
        if (answer.kind == PROBE_FORM_REFUSE)
                assert(!answer.mptcp && answer.mss == 0);
        if (answer.mptcp)
                assert(may_have_mptcp(data, length));
        return 0;
}
