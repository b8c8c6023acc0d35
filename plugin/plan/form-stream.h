/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A TCP connection in the UDP form, without a kernel: what a measurement sends and gets as the payload of an
 * ordinary UDP socket. It is the side that connects. It sends a request and as many zeros behind it as asked
 * for, acknowledges whatever comes, and keeps none of it but the first bytes.
 *
 * Congestion is treated as RFC 5681 says, with SACK (RFC 2018), losses told by time as RFC 8985 does, and
 * 0.7 of the window kept after a loss, as CUBIC does. Times are microseconds of any clock that only
 * advances.
 */

#include "base/util.h"

enum {
        FORM_STREAM_DATAGRAM = 9000, /* bytes of payload at most, of a buffer */
        FORM_STREAM_HEAD = 64,       /* bytes that are kept of what comes */
};

typedef struct FormStream FormStream;

/* What has become of it. */
typedef struct FormStreamFacts {
        bool open;             /* the peer has answered */
        bool closed;           /* the peer has ended it, or refused it */
        bool window_full;      /* the peer has everything, and takes no more for now */
        bool gone;             /* form_stream_end() has done what it can */
        uint64_t acknowledged; /* bytes of data that the peer has */
        uint64_t received;     /* bytes of data, each counted once */
        uint64_t volume;       /* bytes of data both ways, whatever went twice counted twice */
        uint64_t resent;       /* segments that went again */
        size_t head_length;
        char head[FORM_STREAM_HEAD]; /* the first bytes that came */
} FormStreamFacts;

/*
 * sequence: a random number. mss: bytes of data in a segment, at most FORM_STREAM_DATAGRAM less 100.
 * request: the first bytes to be sent; it is copied. length: how many bytes altogether. -ENOMEM, -EINVAL.
 */
int form_stream_new(FormStream **ret, uint32_t sequence, uint16_t mss, const char *request,
                    uint64_t length);
FormStream *form_stream_free(FormStream *stream);
DEFINE_CLEANUP(FormStream *, form_stream_free);

/* Takes the payload of one datagram of the peer. */
void form_stream_take(FormStream *stream, const uint8_t *data, size_t length, uint64_t now_us);

/* Writes the payload of the next datagram that is to be sent now; its bytes, 0: there is none. */
size_t form_stream_next(FormStream *stream, uint8_t buffer[static FORM_STREAM_DATAGRAM], uint64_t now_us);

/* When form_stream_next() has something to do at the latest, if nothing comes; UINT64_MAX: never. */
uint64_t form_stream_due(const FormStream *stream);

/* No more new data. True when all that was sent has been acknowledged. */
bool form_stream_stop(FormStream *stream);

/*
 * No more data at all: from now on form_stream_next() ends the connection at the peer. A reset may get lost,
 * and a peer takes only one that has the very number that it expects (RFC 5961), which may be any between
 * the data that it has acknowledged and the data that was sent. So it is asked what it expects, and the
 * reset goes again, until it says that there is no connection, or says nothing for some time: "gone". A
 * second call does nothing.
 */
void form_stream_end(FormStream *stream);

/* An ICMP error says that nobody is there: after form_stream_end() there is nothing left to do. */
void form_stream_refused(FormStream *stream);

const FormStreamFacts *form_stream_facts(const FormStream *stream);
