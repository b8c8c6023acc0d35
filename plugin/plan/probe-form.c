/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See probe-form.h. */

#include <arpa/inet.h>

#include "bpf/rewrite.h"
#include "plan/probe-form.h"

enum {
        /* Places in the payload. */
        AT_OFFSET = 0,
        AT_FLAGS = 1,
        AT_WINDOW = 2,
        AT_SEQUENCE = 4,
        AT_ACKNOWLEDGMENT = 8,
        WITHOUT = UNDERPASS_HEADER_LENGTH - PROBE_FORM_HEADER, /* of the TCP header, in the UDP header now */

        OPTION_END = 0,
        OPTION_NOP = 1,
        OPTION_MSS = 2,
        OPTION_WINDOW_SCALE = 3,
        OPTION_SACK = 4,
        OPTION_MPTCP = 30,
        MSS_LENGTH = 4,
        MPTCP_LENGTH_MIN = 3,
        MP_CAPABLE = 0,
        MP_CAPABLE_VERSION = 1,
        MP_CAPABLE_SHA256 = 0x01,
        WINDOW = 64240,
        SCALE = 7,
};

static void put16(uint8_t *at, uint16_t value) {
        at[0] = (uint8_t) (value >> 8);
        at[1] = (uint8_t) value;
}

static void put32(uint8_t *at, uint32_t value) {
        put16(at, (uint16_t) (value >> 16));
        put16(at + 2, (uint16_t) value);
}

static uint32_t get32(const uint8_t *at) {
        uint32_t value;

        memcpy(&value, at, sizeof(value));
        return ntohl(value);
}

static void put_header(uint8_t *buffer, size_t length, uint8_t flags, uint32_t sequence) {
        buffer[AT_OFFSET] = (uint8_t) ((length + WITHOUT) / 4 << 4);
        buffer[AT_FLAGS] = flags;
        put16(buffer + AT_WINDOW, flags & UNDERPASS_TCP_SYN ? WINDOW : 0);
        put32(buffer + AT_SEQUENCE, sequence);
        put32(buffer + AT_ACKNOWLEDGMENT, 0);
}

void probe_form_syn(uint8_t *buffer, uint32_t sequence, uint16_t mss) {
        const uint8_t options[PROBE_FORM_SYN - PROBE_FORM_HEADER] = {
                OPTION_MSS, MSS_LENGTH, (uint8_t) (mss >> 8), (uint8_t) mss,
                OPTION_NOP, OPTION_NOP, OPTION_SACK, 2,
                OPTION_NOP, OPTION_WINDOW_SCALE, 3, SCALE,
                OPTION_MPTCP, 4, MP_CAPABLE << 4 | MP_CAPABLE_VERSION, MP_CAPABLE_SHA256,
        };

        put_header(buffer, PROBE_FORM_SYN, UNDERPASS_TCP_SYN, sequence);
        memcpy(buffer + PROBE_FORM_HEADER, options, sizeof(options));
}

void probe_form_reset(uint8_t *buffer, uint32_t sequence) {
        put_header(buffer, PROBE_FORM_HEADER, UNDERPASS_TCP_RST, sequence);
}

/* Looks through the options of a SYN-ACK, up to the first that is malformed. */
static void read_options(const uint8_t *options, size_t length, ProbeFormAnswer *answer) {
        while (length > 0 && options[0] != OPTION_END) {
                size_t size = 1;

                if (options[0] != OPTION_NOP) {
                        if (length < 2 || options[1] < 2 || options[1] > length)
                                return;
                        size = options[1];
                        if (options[0] == OPTION_MSS && size == MSS_LENGTH)
                                answer->mss = (uint16_t) (options[2] << 8 | options[3]);
                        if (options[0] == OPTION_MPTCP && size >= MPTCP_LENGTH_MIN &&
                            options[2] >> 4 == MP_CAPABLE)
                                answer->mptcp = true;
                }
                options += size;
                length -= size;
        }
}

ProbeFormAnswer probe_form_read(const uint8_t *data, size_t length, uint32_t sequence, uint32_t carried) {
        ProbeFormAnswer answer = {};
        size_t header;

        if (length < PROBE_FORM_HEADER || (data[AT_OFFSET] >> 4) * 4 < UNDERPASS_HEADER_LENGTH)
                return answer;
        header = (size_t) (data[AT_OFFSET] >> 4) * 4 - WITHOUT;
        if (header > length || !(data[AT_FLAGS] & UNDERPASS_TCP_ACK) ||
            !underpass_answers(get32(data + AT_ACKNOWLEDGMENT), sequence + 1, sequence + 1 + carried))
                return answer;
        if (data[AT_FLAGS] & UNDERPASS_TCP_RST) {
                answer.kind = PROBE_FORM_REFUSE;
        } else if (data[AT_FLAGS] & UNDERPASS_TCP_SYN) {
                answer.kind = PROBE_FORM_ACCEPT;
                read_options(data + PROBE_FORM_HEADER, header - PROBE_FORM_HEADER, &answer);
        }
        return answer;
}
