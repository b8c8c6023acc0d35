/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Measures how fast a link carries plain TCP, and then the UDP form, to a destination: plan/rate.h has the
 * limits and what a figure says. The plain one is a TCP socket of this host, the other one a UDP socket with
 * plan/form-stream.h, both bound to the link. It needs no privilege, and no tunnel on the link.
 */

#include "base/util.h"
#include "kernel/probe-socket.h"
#include "plan/rate.h"

typedef struct RateTarget {
        ProbeTarget probe;
        uint32_t mtu;            /* bytes that a packet may have there and back; 0: not known */
        const char *request;     /* what to send first; "": zeros only */
        bool download;           /* what comes counts, else what the server takes */
        bool asked[_RATE_FORM_MAX];
} RateTarget;

typedef struct Rate Rate;

/* Begins. Nothing of it blocks. The target is copied. -ENOMEM, -EMFILE and the like. */
int rate_new(Rate **ret, const RateTarget *target);

/* Ends it, also before it is done: connections are reset. */
Rate *rate_free(Rate *rate);
DEFINE_CLEANUP(Rate *, rate_free);

/* Descriptor to be polled for reading. */
int rate_fd(const Rate *rate);

/* Goes on with it once the descriptor is readable. True: it is done. */
bool rate_process(Rate *rate);

/* Begins nothing more. What is under way is ended at the server: go on with rate_process() until it is done,
 * which takes 1.5 s at most. */
void rate_stop(Rate *rate);

/* What has been found so far; valid until rate_free(). */
const RateReport *rate_report(const Rate *rate);
