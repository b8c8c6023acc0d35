/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The UDP form of the segments that a probe sends and gets (bpf/rewrite.h), as the payload of an ordinary
 * UDP socket: without ports, length and checksum, which the kernel's UDP takes care of.
 */

#include "base/util.h"

enum {
        PROBE_FORM_HEADER = 12,  /* bytes of the TCP header that are left in the payload */
        PROBE_FORM_SYN = 28,     /* bytes of a SYN with its options */
        PROBE_FORM_UDP = 8,      /* bytes of the UDP header */
        PROBE_FORM_SCALE = 7,    /* by which the window of our segments is shifted */
        PROBE_FORM_STAMP = 12,   /* bytes of the option with timestamps */
        PROBE_FORM_BLOCKS = 4,   /* of SACK in one segment; beside timestamps one less */
};

/* A segment, without ports. What it points to belongs to the datagram. */
typedef struct ProbeFormSegment {
        uint8_t flags;       /* of TCP */
        uint16_t window;     /* as in the header */
        uint32_t sequence;
        uint32_t acknowledgment;
        bool stamped;        /* to be written: with timestamps */
        uint32_t stamp;
        uint32_t echo;
        const uint8_t *options;
        size_t options_length;
        const uint8_t *data;
        size_t data_length;
} ProbeFormSegment;

/* Sequence numbers that have arrived, end is behind the last one. */
typedef struct ProbeFormBlock {
        uint32_t begin;
        uint32_t end;
} ProbeFormBlock;

/* What the options say. */
typedef struct ProbeFormOptions {
        uint16_t mss;        /* 0: nothing */
        unsigned scale;      /* of the window */
        bool mptcp;          /* MP_CAPABLE is there */
        bool stamped;        /* timestamps are there */
        uint32_t stamp;
        ProbeFormBlock blocks[PROBE_FORM_BLOCKS];
        size_t blocks_count;
} ProbeFormOptions;

/* Reads the payload of a datagram; false when it is no segment. */
bool probe_form_parse(const uint8_t *data, size_t length, ProbeFormSegment *ret);

/* Reads the options of a segment, up to the first that is malformed. */
ProbeFormOptions probe_form_options(const ProbeFormSegment *segment);

/* Writes the header of a segment, with blocks of SACK; its bytes. Its options and data are ignored. */
size_t probe_form_write(uint8_t *buffer, const ProbeFormSegment *segment, const ProbeFormBlock *blocks,
                        size_t count);

/* Writes a SYN with an MPTCP option that asks for segments of mss bytes; PROBE_FORM_SYN bytes. */
void probe_form_syn(uint8_t *buffer, uint32_t sequence, uint16_t mss);

/* Writes the same SYN with timestamps; PROBE_FORM_SYN and PROBE_FORM_STAMP bytes. */
void probe_form_syn_stamped(uint8_t *buffer, uint32_t sequence, uint16_t mss, uint32_t stamp);

/* Writes the reset that ends what the answer to the SYN has begun; PROBE_FORM_HEADER bytes. */
void probe_form_reset(uint8_t *buffer, uint32_t sequence);

typedef enum ProbeFormKind {
        PROBE_FORM_OTHER,    /* no answer to the SYN: some other UDP */
        PROBE_FORM_ACCEPT,   /* a SYN-ACK */
        PROBE_FORM_REFUSE,   /* a reset */
} ProbeFormKind;

typedef struct ProbeFormAnswer {
        ProbeFormKind kind;
        bool mptcp;          /* PROBE_FORM_ACCEPT: with MP_CAPABLE */
        uint16_t mss;        /* PROBE_FORM_ACCEPT: that the other side asks for; 0: it does not */
} ProbeFormAnswer;

/* Reads what came back after a SYN of this sequence number, which had that many bytes of data. */
ProbeFormAnswer probe_form_read(const uint8_t *data, size_t length, uint32_t sequence, uint32_t carried);
