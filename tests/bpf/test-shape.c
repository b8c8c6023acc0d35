/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What tells our datagrams from all others (bpf/rewrite.h, on the host): the shape of a first SYN and of any
 * segment, against samples of the protocols that may share a port; and which acknowledgment counts as an
 * answer.
 *
 * Room: no privileges, no descriptor.
 */

#include <string.h>

#include "bpf/rewrite.h"
#include "frame.h"

enum {
        UDP_HEADER_LENGTH = 8,
        SAMPLE_MAX = 32,
        RANDOM_ROUNDS = 200000,
        RANDOM_SEED = 0x5eed0002,
};

/* A UDP payload as other protocols send it: its beginning, and how long it is in all. */
struct sample {
        const char *name;
        uint8_t bytes[SAMPLE_MAX];
        uint16_t length;
};

static const struct sample foreign[] = {
        { "QUIC 1 Initial (RFC 9000)",
          { 0xc3, 0, 0, 0, 1, 8, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0, 0, 0x44, 0x9e },
          1200 },
        { "QUIC 1 Handshake", { 0xe3, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4, 0x40, 0x75 }, 1200 },
        { "QUIC 2 Initial (RFC 9369)",
          { 0xd3, 0x6b, 0x33, 0x43, 0xcf, 8, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51 },
          1200 },
        { "QUIC version negotiation", { 0xd0, 0, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 1 }, 40 },
        { "QUIC short header",
          { 0x5a, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08, 0x11, 0x22, 0x33 },
          60 },
        { "STUN binding request (RFC 8489)",
          { 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8 },
          20 },
        { "STUN binding answer", { 1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8 }, 32 },
        { "TURN ChannelData (RFC 8656)", { 0x40, 2, 0, 20, 0x80, 0, 0, 1, 0, 0, 0, 0 }, 24 },
        { "DNS query",
          { 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e' },
          29 },
        { "DNS answer", { 0x9b, 0x71, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 1, 7, 'e', 'x', 'a', 'm', 'p' }, 90 },
        { "WireGuard initiation", { 1, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4 }, 148 },
        { "WireGuard data", { 4, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef, 1, 0, 0, 0, 0, 0, 0, 0 }, 96 },
        { "DTLS 1.2 ClientHello", { 22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x20 }, 301 },
        { "DTLS 1.2 application data", { 23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0x40 }, 77 },
        { "DTLS 1.3 ciphertext (RFC 9147)", { 0x2f, 2, 0x12, 0x34, 0, 0x40, 1, 2, 3, 4, 5, 6 }, 77 },
        { "RTP PCMU", { 0x80, 0, 0x1a, 0x2b, 0, 0, 0, 160, 0xca, 0xfe, 0xba, 0xbe }, 172 },
        { "RTP dynamic type 96, marked",
          { 0x80, 0xe0, 0x1a, 0x2b, 0, 0, 0, 160, 0xca, 0xfe, 0xba, 0xbe },
          1200 },
        { "RTP of the unassigned type 2",
          { 0x80, 0x02, 0x1a, 0x2b, 0, 0, 0, 160, 0xca, 0xfe, 0xba, 0xbe },
          172 },
        { "RTCP sender report", { 0x80, 200, 0, 6, 0xca, 0xfe, 0xba, 0xbe, 1, 2, 3, 4 }, 28 },
        { "RTCP SMPTE timestamp (RFC 5484)", { 0x80, 194, 0, 3, 0xca, 0xfe, 0xba, 0xbe, 1, 2, 3, 4 }, 32 },
        { "NTP", { 0x23, 2, 6, 0xec, 0, 0, 0, 0 }, 48 },
        { "SYN of 11 bytes", { 0x50, FRAME_SYN, 0xfa, 0xf0, 1, 2, 3, 4 }, 11 },
        { "SYN with data offset 4", { 0x40, FRAME_SYN, 0xfa, 0xf0, 1, 2, 3, 4 }, 40 },
        { "SYN, options beyond the datagram", { 0xa0, FRAME_SYN, 0xfa, 0xf0, 1, 2, 3, 4 }, 31 },
        { "SYN with an acknowledgment number", { 0x50, FRAME_SYN, 0xfa, 0xf0, 1, 2, 3, 4, 0, 0, 0, 1 }, 12 },
        { "SYN and reserved bit 8", { 0x58, FRAME_SYN, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
        { "SYN and reserved bit 2", { 0x52, FRAME_SYN, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
        { "SYN and AE alone", { 0x51, FRAME_SYN, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
        { "SYN and ECE", { 0x50, FRAME_SYN | FRAME_ECE, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
        { "SYN and CWR", { 0x50, FRAME_SYN | FRAME_CWR, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
        { "SYN, ECE, CWR and reserved bit 4",
          { 0x54, FRAME_SYN | FRAME_ECE | FRAME_CWR, 0xfa, 0xf0, 1, 2, 3, 4 },
          12 },
        { "SYN and ACK", { 0x50, FRAME_SYN | FRAME_ACK, 0xfa, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8 }, 12 },
        { "SYN and FIN", { 0x50, FRAME_SYN | FRAME_FIN, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
        { "SYN and RST", { 0x50, FRAME_SYN | FRAME_RST, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
        { "SYN and PSH", { 0x50, FRAME_SYN | FRAME_PSH, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
        { "SYN and URG", { 0x50, FRAME_SYN | FRAME_URG, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
        { "FIN", { 0x50, FRAME_FIN, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
        { "ACK", { 0x50, FRAME_ACK, 0xfa, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8 }, 12 },
        { "RST", { 0x50, FRAME_RST, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
        { "no flag at all", { 0x50, 0, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
};

static const struct sample ours[] = {
        { "SYN", { 0x50, FRAME_SYN, 0xfa, 0xf0, 1, 2, 3, 4 }, 12 },
        { "SYN with options", { 0xa0, FRAME_SYN, 0xfa, 0xf0, 1, 2, 3, 4 }, 32 },
        { "SYN with the longest options", { 0xf0, FRAME_SYN, 0xfa, 0xf0, 1, 2, 3, 4 }, 52 },
        { "SYN with data (RFC 7413)", { 0x80, FRAME_SYN, 0xfa, 0xf0, 1, 2, 3, 4 }, 1400 },
        { "SYN, ECE and CWR (RFC 3168)",
          { 0x50, FRAME_SYN | FRAME_ECE | FRAME_CWR, 0xfa, 0xf0, 1, 2, 3, 4 },
          12 },
        { "SYN, AE, ECE and CWR (RFC 9768)",
          { 0x51, FRAME_SYN | FRAME_ECE | FRAME_CWR, 0xfa, 0xf0, 1, 2, 3, 4 },
          12 },
};

static uint16_t datagram(const struct sample *sample, union underpass_header *ret) {
        uint16_t length = (uint16_t) (sample->length + UDP_HEADER_LENGTH);

        memset(ret, 0, sizeof(*ret));
        ret->udp.source = UNDERPASS_NET16(FRAME_PORT_LOCAL);
        ret->udp.dest = UNDERPASS_NET16(FRAME_PORT_REMOTE);
        ret->udp.length = UNDERPASS_NET16(length);
        memcpy(&ret->udp.offset, sample->bytes, sizeof(*ret) - UDP_HEADER_LENGTH);
        return length;
}

static bool test_foreign(void *context) {
        union underpass_header header;

        for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
                uint16_t length = datagram(&foreign[i], &header);

                if (underpass_udp_is_syn(&header, length)) {
                        fprintf(stderr, "taken for a SYN: %s\n", foreign[i].name);
                        return false;
                }
        }
        return true;
}

static bool test_ours(void *context) {
        union underpass_header header;

        for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
                uint16_t length = datagram(&ours[i], &header);

                if (!underpass_udp_is_syn(&header, length)) {
                        fprintf(stderr, "not taken for a SYN: %s\n", ours[i].name);
                        return false;
                }
                /* The IP header knows a different length: padding, or something cut off. */
                EXPECT(!underpass_udp_is_syn(&header, (uint16_t) (length + 1)));
                EXPECT(!underpass_udp_is_syn(&header, (uint16_t) (length - 1)));
        }
        return true;
}

/*
 * A QUIC short header is 01 and six bits of noise, then a connection ID of the server's choice and more
 * noise.
 */
static bool test_quic_noise(void *context) {
        struct sample sample = { .length = 64 };
        union underpass_header header;
        uint64_t random = RANDOM_SEED;
        unsigned taken = 0;

        for (int i = 0; i < RANDOM_ROUNDS; i++) {
                expect_random_bytes(&random, sample.bytes, sizeof(sample.bytes));
                sample.bytes[0] = (uint8_t) (0x40 | (sample.bytes[0] & 0x3f));
                sample.bytes[1] = i & 1 ? FRAME_SYN : sample.bytes[1]; /* the worst ID there is */
                taken += underpass_udp_is_syn(&header, datagram(&sample, &header)) != 0;
        }
        EXPECT_EQUAL(taken, 0);
        return true;
}

/* All flags and data offsets: a segment of a flow is anything with a sound data offset and without URG. */
static bool test_shape(void *context) {
        for (unsigned offset = 0; offset <= 0xff; offset++) {
                for (unsigned flags = 0; flags <= 0xff; flags++) {
                        struct sample sample = { .bytes = { (uint8_t) offset, (uint8_t) flags },
                                                 .length = 24 };
                        union underpass_header header;
                        uint16_t length = datagram(&sample, &header);
                        bool sound = offset >> 4 >= 5 && offset >> 4 <= 8 && !(flags & FRAME_URG);

                        EXPECT_EQUAL((unsigned) underpass_udp_shape(&header, length), sound);
                }
        }
        return true;
}

static bool test_answers(void *context) {
        static const struct {
                uint32_t acknowledgment, expected;
                bool answers;
        } rows[] = {
                { 1000, 1000, true },
                { 1001, 1000, true },
                { 999, 1000, false },
                { 1000 + 0xffff, 1000, true },
                { 1000 + 0x10000, 1000, false },
                { 0, 0, true },
                { 0xffffffff, 0, false },
                { 0, 0xffffffff, true },             /* our SYN had the last number there is */
                { 0xfffe, 0xffffffff, true },
                { 0xffff, 0xffffffff, false },
                { 0x80000000, 0x7fffffff, true },    /* no sign anywhere */
                { 0x7fffffff, 0x80000000, false },
                { 1000 + 0x80000000, 1000, false },
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                EXPECT_EQUAL((unsigned) !!underpass_answers(rows[i].acknowledgment, rows[i].expected,
                                                           rows[i].expected + 0xffff),
                             rows[i].answers);
        return true;
}

int main(void) {
        static const struct expect_test tests[] = {
                { "foreign-protocols", test_foreign },
                { "first-syn", test_ours },
                { "quic-noise", test_quic_noise },
                { "shape-of-a-segment", test_shape },
                { "answers", test_answers },
        };

        return expect_run(tests, sizeof(tests) / sizeof(tests[0]), NULL) == 0 ? EXIT_PASSED : EXIT_FAILED;
}
