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
};

/* Writes a SYN with an MPTCP option that asks for segments of mss bytes; PROBE_FORM_SYN bytes. */
void probe_form_syn(uint8_t *buffer, uint32_t sequence, uint16_t mss);

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
