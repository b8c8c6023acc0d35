/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See rate.h. */

#include "plan/rate.h"

#define US_PER_MS UINT64_C(1000)
#define US_PER_SECOND UINT64_C(1000000)
#define HALF_US (RATE_MS * US_PER_MS / 2)

enum {
        SECOND_HALF_MS = 200, /* at least, or the whole time is what counts */
        STATUS_AT = 9,        /* behind "HTTP/1.1 " */
        STATUS_DIGITS = 3,
};

static const char *const form_names[] = {
        [RATE_PLAIN] = "tcp",
        [RATE_UDP] = "udp",
};
ASSERT_TABLE_COMPLETE(form_names, _RATE_FORM_MAX);

static const char *const outcome_names[] = {
        [RATE_NOT_ASKED] = "not-asked",
        [RATE_NO_CONNECTION] = "no-connection",
        [RATE_MEASURED] = "measured",
        [RATE_CLOSED] = "closed",
        [RATE_STALLED] = "stalled",
};
ASSERT_TABLE_COMPLETE(outcome_names, _RATE_OUTCOME_MAX);

static const char *const verdict_names[] = {
        [RATE_UNKNOWN] = "unknown",
        [RATE_ALIKE] = "alike",
        [RATE_UDP_THROTTLED] = "udp-throttled",
        [RATE_PLAIN_THROTTLED] = "tcp-throttled",
};
ASSERT_TABLE_COMPLETE(verdict_names, _RATE_VERDICT_MAX);

static const char *const reason_names[] = {
        [RATE_REASON_NONE] = "",
        [RATE_REASON_NO_FIGURE] = "no-figure",
        [RATE_REASON_LOST_HERE] = "host-too-slow",
        [RATE_REASON_FAST] = "host-may-be-slow",
};
ASSERT_TABLE_COMPLETE(reason_names, _RATE_REASON_MAX);

const char *rate_form_name(RateForm form) {
        return form_names[form];
}

const char *rate_outcome_name(RateOutcome outcome) {
        return outcome_names[outcome];
}

const char *rate_verdict_name(RateVerdict verdict) {
        return verdict_names[verdict];
}

const char *rate_reason_name(RateReason reason) {
        return reason_names[reason];
}

void rate_meter(RateMeter *meter, uint64_t bytes, uint64_t now_us) {
        if (meter->begin_us == 0)
                meter->begin_us = meter->moved_us = now_us;
        if (bytes != meter->bytes)
                meter->moved_us = now_us;
        meter->bytes = bytes;
        if (meter->half_us == 0 && now_us >= meter->begin_us + HALF_US) {
                meter->half_us = now_us;
                meter->half_bytes = bytes;
        }
}

bool rate_is_over(const RateMeter *meter, uint64_t volume, uint64_t now_us) {
        return meter->begin_us != 0 &&
               (volume >= RATE_BYTES_MAX || now_us >= meter->begin_us + RATE_MS * US_PER_MS);
}

static uint64_t bytes_per_second(uint64_t bytes, uint64_t us) {
        return us == 0 ? 0 : bytes * US_PER_SECOND / us;
}

void rate_conclude(RateFigure *figure, const RateMeter *meter, uint64_t now_us) {
        const uint64_t end_us = figure->ended ? meter->moved_us : now_us;
        const bool halved = meter->half_us != 0 && end_us >= meter->half_us + SECOND_HALF_MS * US_PER_MS;

        figure->bytes = meter->bytes;
        figure->bytes_per_second = 0;
        if (meter->begin_us == 0) {
                figure->outcome = RATE_NO_CONNECTION;
                return;
        }
        figure->ms = (uint32_t) ((end_us - meter->begin_us) / US_PER_MS);
        if (figure->ended && meter->bytes < RATE_ENOUGH) {
                figure->outcome = RATE_CLOSED;
        } else if (halved && meter->bytes == meter->half_bytes) {
                figure->outcome = RATE_STALLED;
        } else {
                figure->outcome = RATE_MEASURED;
                figure->bytes_per_second =
                                halved ? bytes_per_second(meter->bytes - meter->half_bytes,
                                                         end_us - meter->half_us) :
                                         bytes_per_second(meter->bytes, end_us - meter->begin_us);
        }
}

/* A form that gets stuck where the server would take more is as slow as can be. */
static bool is_stuck(const RateFigure *figure) {
        return figure->outcome == RATE_STALLED && !figure->window_full;
}

/* Whether the UDP form may have been slower than plain TCP because of this host, and not of the path. */
static bool host_may_be_slow(const RateFigure *udp) {
        return udp->lost_here > 0 || udp->bytes_per_second >= RATE_UDP_FAST;
}

RateVerdict rate_judge(const RateReport *report) {
        const RateFigure *plain = &report->figures[RATE_PLAIN], *udp = &report->figures[RATE_UDP];

        if (plain->outcome == RATE_MEASURED && is_stuck(udp))
                return RATE_UDP_THROTTLED;
        if (udp->outcome == RATE_MEASURED && is_stuck(plain))
                return RATE_PLAIN_THROTTLED;
        if (plain->outcome != RATE_MEASURED || udp->outcome != RATE_MEASURED)
                return RATE_UNKNOWN;
        if (udp->lost_here > 0 && plain->bytes_per_second > udp->bytes_per_second)
                return RATE_UNKNOWN;
        if (plain->bytes_per_second >= udp->bytes_per_second * RATE_FACTOR)
                return host_may_be_slow(udp) ? RATE_UNKNOWN : RATE_UDP_THROTTLED;
        if (udp->bytes_per_second >= plain->bytes_per_second * RATE_FACTOR)
                return RATE_PLAIN_THROTTLED;
        return RATE_ALIKE;
}

RateReason rate_reason(const RateReport *report) {
        const RateFigure *plain = &report->figures[RATE_PLAIN], *udp = &report->figures[RATE_UDP];

        if (rate_judge(report) != RATE_UNKNOWN)
                return RATE_REASON_NONE;
        if (plain->outcome != RATE_MEASURED || udp->outcome != RATE_MEASURED)
                return RATE_REASON_NO_FIGURE;
        return udp->lost_here > 0 ? RATE_REASON_LOST_HERE : RATE_REASON_FAST;
}

uint32_t rate_http_status(const char *head, size_t length) {
        uint32_t status = 0;

        if (length < STATUS_AT + STATUS_DIGITS || memcmp(head, "HTTP/1.", 7) != 0)
                return 0;
        for (size_t i = 0; i < STATUS_DIGITS; i++) {
                const char digit = head[STATUS_AT + i];

                if (digit < '0' || digit > '9')
                        return 0;
                status = status * 10 + (uint32_t) (digit - '0');
        }
        return status;
}
