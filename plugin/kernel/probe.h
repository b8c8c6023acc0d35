/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A probe of the way to a destination by one link: plan/probe.h tells what it finds out. Takes at most
 * PROBE_SECONDS_MAX, sends at most PROBE_PACKETS_MAX packets, and needs no privilege.
 *
 * How large packets may be on the way there is found by SYNs over UDP with data, if the destination answers
 * such, and on the way back by an ICMP echo, if the kernel lets this user send one.
 */

#include "base/util.h"
#include "kernel/probe-socket.h"
#include "plan/probe.h"

enum {
        PROBE_PACKETS_MAX = 20, /* on one link, but for what finds the neighbour (ARP, NDP) */
        PROBE_SECONDS_MAX = 8,
};

typedef struct Probe Probe;

/* Begins. Nothing of it blocks. -ENOMEM, -EMFILE and the like; that the link leads nowhere is a finding. */
int probe_new(Probe **ret, const ProbeTarget *target);

/* Ends it, also before it is done: what was opened at the destination is closed. */
Probe *probe_free(Probe *probe);
DEFINE_CLEANUP(Probe *, probe_free);

/* Descriptor to be polled for reading. */
int probe_fd(const Probe *probe);

/* Goes on with it once the descriptor is readable. 1: it is done; 0: not yet. */
int probe_process(Probe *probe);

/* What has been found so far; valid until probe_free(). */
const ProbeReport *probe_report(const Probe *probe);
