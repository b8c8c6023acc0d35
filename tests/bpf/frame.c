/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Packets of the data path tests: building, see frame.h. frame-check.c sums and converts them.
 *
 * Room: libc only, nothing of bpf/.
 */

#include <string.h>

#include "frame.h"

enum {
        ETHERNET_LENGTH = 14,
        VLAN_LENGTH = 4,
        IPV4_HEADER_LENGTH = 20,
        IPV6_HEADER_LENGTH = 40,
        EXTENSION_LENGTH = 8,
        EXTENSION_FRAGMENT = 44,
        OPTIONS_LENGTH_MAX = 40,
        PROTOCOL_IPV4 = 0x0800,
        PROTOCOL_IPV6 = 0x86dd,
        PROTOCOL_VLAN = 0x8100,
};

struct options {
        uint8_t length;
        uint8_t bytes[OPTIONS_LENGTH_MAX];
};

/* MP_CAPABLE of a first SYN: kind 30, length 4, version 1, flag H (RFC 8684). */
#define MP_CAPABLE 30, 4, 0x01, 0x01
/* MP_JOIN of a SYN: kind 30, length 12, subtype 1, address id 2, token, random number. */
#define MP_JOIN 30, 12, 0x10, 2, 0xaa, 0xbb, 0xcc, 0xdd, 1, 2, 3, 4
#define MD5_SIGNATURE 19, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
#define AO_SIGNATURE 29, 16, 7, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
#define MSS_1460 2, 4, 0x05, 0xb4
#define SACK_AND_TIME 4, 2, 8, 10, 0, 1, 2, 3, 0, 0, 0, 0
#define WINDOW_SCALE 1, 3, 3, 7

static const struct options options_table[FRAME_OPTIONS_COUNT] = {
        [FRAME_OPTIONS_NONE] = { 0, { 0 } },
        [FRAME_OPTIONS_PLAIN] = { 20, { MSS_1460, SACK_AND_TIME, WINDOW_SCALE } },
        [FRAME_OPTIONS_MPTCP] = { 24, { MSS_1460, SACK_AND_TIME, WINDOW_SCALE, MP_CAPABLE } },
        [FRAME_OPTIONS_JOIN] = { 32, { MSS_1460, SACK_AND_TIME, WINDOW_SCALE, MP_JOIN } },
        [FRAME_OPTIONS_MSS_ODD] = { 12, { 1, MSS_1460, 1, 1, 1, MP_CAPABLE } },
        [FRAME_OPTIONS_MSS_TWICE] = { 12, { MSS_1460, MP_CAPABLE, 2, 4, 0x05, 0xaa } },
        [FRAME_OPTIONS_TIMESTAMP] = { 12, { 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8 } },
        [FRAME_OPTIONS_BEHIND_END] = { 12, { MSS_1460, 0, 4, 1, 1, MP_CAPABLE } },
        [FRAME_OPTIONS_LENGTH_ZERO] = { 12, { MSS_1460, 77, 0, 1, 1, MP_CAPABLE } },
        [FRAME_OPTIONS_LENGTH_LONG] = { 8, { MSS_1460, 30, 5, 0x01, 0x01 } },
        [FRAME_OPTIONS_LAST_BYTE] = { 8, { MSS_1460, 1, 1, 1, 30 } },
        [FRAME_OPTIONS_MD5] = { 28, { MSS_1460, MP_CAPABLE, 1, MD5_SIGNATURE, 1 } },
        [FRAME_OPTIONS_OVERWRITTEN] = { 32, { MSS_1460, SACK_AND_TIME, WINDOW_SCALE, 1, 1, 1, 1, 1, 1, 1, 1,
                                              1, 1, 1, 1 } },
        [FRAME_OPTIONS_TWELVE_NOPS] = { 28, { MSS_1460, SACK_AND_TIME, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                              1, 1 } },
        [FRAME_OPTIONS_ELEVEN_NOPS] = { 28, { MSS_1460, SACK_AND_TIME, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                              1, 0 } },
        [FRAME_OPTIONS_AO] = { 24, { MSS_1460, MP_CAPABLE, AO_SIGNATURE } },
};

uint16_t frame_get16(const uint8_t *bytes) {
        return (uint16_t) (bytes[0] << 8 | bytes[1]);
}

uint32_t frame_get32(const uint8_t *bytes) {
        return (uint32_t) frame_get16(bytes) << 16 | frame_get16(bytes + 2);
}

void frame_put16(uint8_t *bytes, uint16_t value) {
        bytes[0] = (uint8_t) (value >> 8);
        bytes[1] = (uint8_t) value;
}

void frame_put32(uint8_t *bytes, uint32_t value) {
        frame_put16(bytes, (uint16_t) (value >> 16));
        frame_put16(bytes + 2, (uint16_t) value);
}

/*
 * A test run of a program takes bytes 12 and 13 of the data for the EtherType, even for the programs that
 * expect no Ethernet header. So that it says the right thing there too, the addresses have 08 00 and 86 dd
 * at these places.
 */
void frame_address(enum frame_side side, bool ipv6, uint8_t ret_address[16]) {
        static const uint8_t ipv4_addresses[2][16] = {
                [FRAME_LOCAL] = { [10] = 0xff, 0xff, 8, 0, 1, 1 },
                [FRAME_REMOTE] = { [10] = 0xff, 0xff, 8, 0, 2, 2 },
        };
        static const uint8_t ipv6_addresses[2][16] = {
                [FRAME_LOCAL] = { 0x20, 0x01, 0x0d, 0xb8, 0x86, 0xdd, 0, 1, [15] = 1 },
                [FRAME_REMOTE] = { 0x20, 0x01, 0x0d, 0xb8, 0x86, 0xdd, 0, 2, [15] = 2 },
        };

        memcpy(ret_address, ipv6 ? ipv6_addresses[side] : ipv4_addresses[side], 16);
}

static enum frame_side other_side(enum frame_side side) {
        return side == FRAME_LOCAL ? FRAME_REMOTE : FRAME_LOCAL;
}

static void build_ethernet(const struct frame_spec *spec, struct frame *frame) {
        static const uint8_t addresses[12] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };
        uint16_t protocol = spec->ipv6 ? PROTOCOL_IPV6 : PROTOCOL_IPV4;

        if (spec->raw)
                return;
        memcpy(frame->data, addresses, sizeof(addresses));
        frame->length = sizeof(addresses);
        if (spec->vlan) {
                frame_put16(frame->data + frame->length, PROTOCOL_VLAN);
                frame_put16(frame->data + frame->length + 2, 42);
                frame->length += VLAN_LENGTH;
        }
        frame_put16(frame->data + frame->length, protocol);
        frame->length += 2;
}

static void build_ipv4(const struct frame_spec *spec, size_t layer4_length, struct frame *frame) {
        uint8_t *ip = frame->data + frame->length, address[16];
        size_t header = IPV4_HEADER_LENGTH + spec->ipv4_options;

        ip[0] = (uint8_t) (0x40 | header / 4);
        ip[1] = 0x02; /* ECT(0) */
        frame_put16(ip + 2, (uint16_t) (header + layer4_length));
        frame_put16(ip + 4, (uint16_t) spec->sequence);
        frame_put16(ip + 6, spec->fragment ? spec->fragment : FRAME_DONT_FRAGMENT);
        ip[8] = 64;
        ip[9] = spec->udp ? FRAME_UDP : FRAME_TCP;
        frame_address(spec->from, false, address);
        memcpy(ip + 12, address + 12, 4);
        frame_address(other_side(spec->from), false, address);
        memcpy(ip + 16, address + 12, 4);
        memset(ip + IPV4_HEADER_LENGTH, 1, spec->ipv4_options); /* no operation */
        frame->protocol = frame->length + 9;
        frame->length += header;
}

static void build_ipv6(const struct frame_spec *spec, size_t layer4_length, struct frame *frame) {
        uint8_t *ip = frame->data + frame->length;

        frame_put32(ip, 0x60212345); /* traffic class and flow label */
        frame_put16(ip + 4, (uint16_t) (layer4_length + spec->extensions_count * EXTENSION_LENGTH));
        ip[7] = 64;
        frame_address(spec->from, true, ip + 8);
        frame_address(other_side(spec->from), true, ip + 24);
        frame->protocol = frame->length + 6;
        frame->length += IPV6_HEADER_LENGTH;
        for (unsigned i = 0; i < spec->extensions_count; i++) {
                uint8_t *extension = frame->data + frame->length;

                frame->data[frame->protocol] = spec->extensions[i];
                frame->protocol = frame->length;
                if (spec->extensions[i] == EXTENSION_FRAGMENT)
                        frame_put16(extension + 2, spec->fragment);
                else
                        frame_put16(extension + 2, 0x0104); /* padding of 4 bytes */
                frame->length += EXTENSION_LENGTH;
        }
        frame->data[frame->protocol] = spec->udp ? FRAME_UDP : FRAME_TCP;
}

/* Sums are put in later, over the TCP form: the UDP form is made by a conversion. */
static void build_tcp(const struct frame_spec *spec, struct frame *frame) {
        const struct options *options = &options_table[spec->options];
        uint8_t *tcp = frame->data + frame->length;
        uint16_t ports[2] = { FRAME_PORT_LOCAL, FRAME_PORT_REMOTE };

        frame_put16(tcp, spec->source_port ? spec->source_port : ports[spec->from]);
        if (!spec->to_port_zero)
                frame_put16(tcp + 2, spec->dest_port ? spec->dest_port : ports[other_side(spec->from)]);
        frame_put32(tcp + 4, spec->sequence);
        frame_put32(tcp + 8, spec->acknowledgment);
        tcp[12] = (uint8_t) ((FRAME_HEADER_LENGTH + options->length) / 4 << 4 | spec->reserved);
        tcp[13] = spec->flags;
        frame_put16(tcp + 14, spec->window);
        frame_put16(tcp + 18, spec->urgent);
        memcpy(tcp + FRAME_HEADER_LENGTH, options->bytes, options->length);
        frame->layer4 = frame->length;
        frame->length += FRAME_HEADER_LENGTH + (size_t) options->length;
}

void frame_build(const struct frame_spec *spec, struct frame *ret) {
        uint64_t random = spec->sequence + 1ULL;
        size_t length = FRAME_HEADER_LENGTH + (size_t) options_table[spec->options].length + spec->payload;

        memset(ret, 0, sizeof(*ret));
        build_ethernet(spec, ret);
        ret->layer3 = ret->length;
        if (spec->ipv6)
                build_ipv6(spec, length, ret);
        else
                build_ipv4(spec, length, ret);
        ret->data[ret->protocol] = FRAME_TCP;
        build_tcp(spec, ret);
        expect_random_bytes(&random, ret->data + ret->length, spec->payload);
        ret->length += spec->payload;
        frame_put_checks(ret);
        if (spec->udp)
                frame_to_udp(ret);
        if (spec->jumbled_check)
                ret->data[ret->layer4 + (spec->udp ? 6 : 16)] ^= 0x55;
}

void frame_random_spec(uint64_t *state, struct frame_spec *ret) {
        static const uint8_t kinds[] = {
                FRAME_ACK,
                FRAME_ACK,
                FRAME_ACK | FRAME_PSH,
                FRAME_ACK | FRAME_FIN,
                FRAME_RST,
                FRAME_RST | FRAME_ACK,
        };
        static const enum frame_options options[] = {
                FRAME_OPTIONS_NONE, FRAME_OPTIONS_TIMESTAMP, FRAME_OPTIONS_MPTCP,
                FRAME_OPTIONS_JOIN, FRAME_OPTIONS_MSS_ODD,
        };
        uint32_t random = expect_random(state);

        *ret = (struct frame_spec) {
                .ipv6 = random & 1,
                .sequence = expect_random(state),
                .acknowledgment = expect_random(state),
                .flags = kinds[expect_random(state) % sizeof(kinds)],
                .window = (uint16_t) expect_random(state),
                .options = options[expect_random(state) % (sizeof(options) / sizeof(options[0]))],
                .payload = (uint16_t) (random & 2 ? expect_random(state) % 1401 : expect_random(state) % 8),
        };
        ret->flags |= (uint8_t) (expect_random(state) & (FRAME_ECE | FRAME_CWR));
        ret->reserved = (uint8_t) (random >> 4 & FRAME_AE);
        if ((random >> 8 & 7) == 0) {
                ret->flags |= FRAME_URG;
                ret->urgent = (uint16_t) expect_random(state);
        } else if ((random >> 8 & 7) == 1)
                ret->urgent = (uint16_t) expect_random(
                        state); /* a pointer without the flag: means nothing, but is summed */
}
