/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Fuzz target: what a stranger sends back after the SYN of a probe. The first four bytes are the number of
 * the SYN, the next two how much data it had. May touch: nothing.
 */

#include "unit.h"

#include "fuzz.h"
#include "plan/probe-form.h"

enum { INTRODUCTION = 6 };

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
