/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How fast a link carries plain TCP and the UDP form to the same destination, and what follows: a path that
 * lets UDP through may still carry little of it.
 */

#include "base/util.h"

/* How each form is measured. */
enum {
        RATE_MS = 2000,              /* at most, once the connection is there */
        RATE_CONNECT_MS = 2000,      /* for the connection */
        RATE_BYTES_MAX = 25000000,   /* of data, at most; what goes again counts again */
        RATE_ENOUGH = 250000,        /* bytes before the server closes that make a figure */
        RATE_FACTOR = 3,             /* so many times slower is no accident */
        RATE_UDP_FAST = 12500000,    /* bytes per second: the UDP form, which here goes datagram by datagram
                                      * through a process, may be slowed down by this host from there on */
};

typedef enum RateForm {
        RATE_PLAIN,
        RATE_UDP,
        _RATE_FORM_MAX,
} RateForm;

typedef enum RateOutcome {
        RATE_NOT_ASKED,      /* not begun, as the form does not pass; or the tunnel would carry plain TCP */
        RATE_NO_CONNECTION,
        RATE_MEASURED,
        RATE_CLOSED,         /* by the server, after too little for a figure */
        RATE_STALLED,        /* nothing moved in the second half of the time */
        _RATE_OUTCOME_MAX,
} RateOutcome;

typedef enum RateVerdict {
        RATE_UNKNOWN,
        RATE_ALIKE,
        RATE_UDP_THROTTLED,
        RATE_PLAIN_THROTTLED,
        _RATE_VERDICT_MAX,
} RateVerdict;

/* Why there is no verdict. */
typedef enum RateReason {
        RATE_REASON_NONE,      /* there is one */
        RATE_REASON_NO_FIGURE, /* of one of the forms */
        RATE_REASON_LOST_HERE, /* this host was too slow for the UDP form */
        RATE_REASON_FAST,      /* the UDP form made RATE_UDP_FAST, and this host may be its limit */
        _RATE_REASON_MAX,
} RateReason;

/* What has moved so far. A measurement counts its second half, as the first one has the slow start, and what
 * a policer allows as a burst. */
typedef struct RateMeter {
        uint64_t begin_us;   /* the connection was there; 0: not yet */
        uint64_t half_us;    /* 0: not yet */
        uint64_t half_bytes;
        uint64_t moved_us;   /* something has moved last */
        uint64_t bytes;
} RateMeter;

/* Of one form. */
typedef struct RateFigure {
        RateOutcome outcome;
        uint64_t bytes_per_second; /* RATE_MEASURED */
        uint64_t bytes;      /* of data that got there */
        uint64_t volume;     /* bytes of data sent and received, all copies of them */
        uint32_t ms;         /* that it took */
        bool window_full;    /* the server did not take more */
        bool ended;          /* the server has closed */
        uint32_t status;     /* of HTTP; 0: there is none */
        uint32_t lost_here;  /* datagrams that this host could not take as fast as they came */
} RateFigure;

typedef struct RateReport {
        RateFigure figures[_RATE_FORM_MAX];
} RateReport;

/* The name of each value, as in JSON. */
const char *rate_form_name(RateForm form);
const char *rate_outcome_name(RateOutcome outcome);
const char *rate_verdict_name(RateVerdict verdict);
const char *rate_reason_name(RateReason reason);

/* So many bytes have moved by now. */
void rate_meter(RateMeter *meter, uint64_t bytes, uint64_t now_us);

/* Whether it has lasted as long, or moved as much, as it may. */
bool rate_is_over(const RateMeter *meter, uint64_t volume, uint64_t now_us);

/* The figure that follows from a measurement that has ended. */
void rate_conclude(RateFigure *figure, const RateMeter *meter, uint64_t now_us);

RateVerdict rate_judge(const RateReport *report);
RateReason rate_reason(const RateReport *report);

/* The status of the answer that begins with these bytes; 0: it is not HTTP. */
uint32_t rate_http_status(const char *head, size_t length);
