/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What is to be done about a link by which MPTCP reaches a host only in the tunnel. */

#include "ctl/probe-view.h"

typedef enum ProbeNeed {
        PROBE_NEED_NOTHING, /* a tunnel does not help, or carries this destination already */
        PROBE_NEED_TUNNEL,  /* the link has none, and no settings that a command could spoil */
        PROBE_NEED_KEYS,    /* it has one, which leaves this destination out */
        PROBE_NEED_REASON,  /* it has settings, and no tunnel all the same */
} ProbeNeed;

ProbeNeed probe_advice_need(const ProbeView *view, uint16_t port);

/* Whether the link has a tunnel, and whether its settings include this destination. */
bool probe_advice_has_tunnel(const ProbeView *view);
bool probe_advice_carries(const ProbeView *view, uint16_t port);

/* What is wrong, and what to do, for one link; NULL: nothing more than what its need says. Caller frees. */
char *probe_advice_sentence(const ProbeView *view, uint16_t port);

/* The shell command that does it, and replaces no setting or file that is there; NULL: there is none, so
 * somebody has to look. Caller frees. */
char *probe_advice_command(const ProbeView *view, uint16_t port);
