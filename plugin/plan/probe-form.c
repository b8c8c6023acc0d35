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
        OPTION_SACK_PERMITTED = 4,
        OPTION_SACK = 5,
        OPTION_STAMP = 8,
        OPTION_MPTCP = 30,
        MSS_LENGTH = 4,
        SCALE_LENGTH = 3,
        BLOCK_LENGTH = 8,
        STAMP_LENGTH = 10,
        OPTION_HEADER = 2,
        MPTCP_LENGTH_MIN = 3,
        MP_CAPABLE = 0,
        MP_CAPABLE_VERSION = 1,
        MP_CAPABLE_SHA256 = 0x01,
        WINDOW = 64240,
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

static void put_header(uint8_t *buffer, size_t length, const ProbeFormSegment *segment) {
        buffer[AT_OFFSET] = (uint8_t) ((length + WITHOUT) / 4 << 4);
        buffer[AT_FLAGS] = segment->flags;
        put16(buffer + AT_WINDOW, segment->window);
        put32(buffer + AT_SEQUENCE, segment->sequence);
        put32(buffer + AT_ACKNOWLEDGMENT, segment->acknowledgment);
}

void probe_form_syn(uint8_t *buffer, uint32_t sequence, uint16_t mss) {
        const uint8_t options[PROBE_FORM_SYN - PROBE_FORM_HEADER] = {
                OPTION_MSS, MSS_LENGTH, (uint8_t) (mss >> 8), (uint8_t) mss,
                OPTION_NOP, OPTION_NOP, OPTION_SACK_PERMITTED, 2,
                OPTION_NOP, OPTION_WINDOW_SCALE, SCALE_LENGTH, PROBE_FORM_SCALE,
                OPTION_MPTCP, 4, MP_CAPABLE << 4 | MP_CAPABLE_VERSION, MP_CAPABLE_SHA256,
        };
        const ProbeFormSegment segment = {
                .flags = UNDERPASS_TCP_SYN, .window = WINDOW, .sequence = sequence,
        };

        put_header(buffer, PROBE_FORM_SYN, &segment);
        memcpy(buffer + PROBE_FORM_HEADER, options, sizeof(options));
}

static void put_stamp(uint8_t *at, uint32_t stamp, uint32_t echo) {
        at[0] = at[1] = OPTION_NOP;
        at[2] = OPTION_STAMP;
        at[3] = STAMP_LENGTH;
        put32(at + 4, stamp);
        put32(at + 8, echo);
}

void probe_form_syn_stamped(uint8_t *buffer, uint32_t sequence, uint16_t mss, uint32_t stamp) {
        probe_form_syn(buffer, sequence, mss);
        buffer[AT_OFFSET] = (uint8_t) ((PROBE_FORM_SYN + PROBE_FORM_STAMP + WITHOUT) / 4 << 4);
        put_stamp(buffer + PROBE_FORM_SYN, stamp, 0);
}

void probe_form_reset(uint8_t *buffer, uint32_t sequence) {
        const ProbeFormSegment segment = { .flags = UNDERPASS_TCP_RST, .sequence = sequence };

        put_header(buffer, PROBE_FORM_HEADER, &segment);
}

bool probe_form_parse(const uint8_t *data, size_t length, ProbeFormSegment *ret) {
        size_t header;

        if (length < PROBE_FORM_HEADER || (data[AT_OFFSET] >> 4) * 4 < UNDERPASS_HEADER_LENGTH)
                return false;
        header = (size_t) (data[AT_OFFSET] >> 4) * 4 - WITHOUT;
        if (header > length)
                return false;
        *ret = (ProbeFormSegment) {
                .flags = data[AT_FLAGS],
                .window = (uint16_t) (data[AT_WINDOW] << 8 | data[AT_WINDOW + 1]),
                .sequence = get32(data + AT_SEQUENCE),
                .acknowledgment = get32(data + AT_ACKNOWLEDGMENT),
                .options = data + PROBE_FORM_HEADER,
                .options_length = header - PROBE_FORM_HEADER,
                .data = data + header,
                .data_length = length - header,
        };
        return true;
}

static void read_option(const uint8_t *option, size_t size, ProbeFormOptions *options) {
        if (option[0] == OPTION_MSS && size == MSS_LENGTH)
                options->mss = (uint16_t) (option[2] << 8 | option[3]);
        if (option[0] == OPTION_WINDOW_SCALE && size == SCALE_LENGTH)
                options->scale = option[2];
        if (option[0] == OPTION_MPTCP && size >= MPTCP_LENGTH_MIN && option[2] >> 4 == MP_CAPABLE)
                options->mptcp = true;
        if (option[0] == OPTION_STAMP && size == STAMP_LENGTH) {
                options->stamped = true;
                options->stamp = get32(option + OPTION_HEADER);
        }
        if (option[0] != OPTION_SACK)
                return;
        options->blocks_count = MIN_OF((size - OPTION_HEADER) / BLOCK_LENGTH, ELEMENTS(options->blocks));
        for (size_t i = 0; i < options->blocks_count; i++) {
                const uint8_t *block = option + OPTION_HEADER + i * BLOCK_LENGTH;

                options->blocks[i] = (ProbeFormBlock) { .begin = get32(block), .end = get32(block + 4) };
        }
}

ProbeFormOptions probe_form_options(const ProbeFormSegment *segment) {
        const uint8_t *option = segment->options;
        size_t length = segment->options_length;
        ProbeFormOptions options = {};

        while (length > 0 && option[0] != OPTION_END) {
                size_t size = 1;

                if (option[0] != OPTION_NOP) {
                        if (length < OPTION_HEADER || option[1] < OPTION_HEADER || option[1] > length)
                                break;
                        size = option[1];
                        read_option(option, size, &options);
                }
                option += size;
                length -= size;
        }
        return options;
}

size_t probe_form_write(uint8_t *buffer, const ProbeFormSegment *segment, const ProbeFormBlock *blocks,
                        size_t count) {
        uint8_t *at = buffer + PROBE_FORM_HEADER;
        const size_t length = PROBE_FORM_HEADER + (segment->stamped ? PROBE_FORM_STAMP : 0) +
                              (count ? 2 + OPTION_HEADER + count * BLOCK_LENGTH : 0);

        put_header(buffer, length, segment);
        if (segment->stamped) {
                put_stamp(at, segment->stamp, segment->echo);
                at += PROBE_FORM_STAMP;
        }
        if (count == 0)
                return length;
        at[0] = at[1] = OPTION_NOP;
        at[2] = OPTION_SACK;
        at[3] = (uint8_t) (OPTION_HEADER + count * BLOCK_LENGTH);
        for (size_t i = 0; i < count; i++) {
                put32(at + 4 + i * BLOCK_LENGTH, blocks[i].begin);
                put32(at + 8 + i * BLOCK_LENGTH, blocks[i].end);
        }
        return length;
}

ProbeFormAnswer probe_form_read(const uint8_t *data, size_t length, uint32_t sequence, uint32_t carried) {
        ProbeFormAnswer answer = {};
        ProbeFormSegment segment;

        if (!probe_form_parse(data, length, &segment) || !(segment.flags & UNDERPASS_TCP_ACK) ||
            !underpass_answers(segment.acknowledgment, sequence + 1, sequence + 1 + carried))
                return answer;
        if (segment.flags & UNDERPASS_TCP_RST) {
                answer.kind = PROBE_FORM_REFUSE;
        } else if (segment.flags & UNDERPASS_TCP_SYN) {
                const ProbeFormOptions options = probe_form_options(&segment);

                answer = (ProbeFormAnswer) {
                        .kind = PROBE_FORM_ACCEPT, .mptcp = options.mptcp, .mss = options.mss,
                };
        }
        return answer;
}
