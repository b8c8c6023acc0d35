/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a probe of the way to a destination has found on one link, and what follows from it. A probe asks
 * three times: as plain TCP, as plain MPTCP, and over UDP as the tunnel does.
 */

#include "base/util.h"
#include "bpf/abi.h"
#include "plan/facts.h"

typedef enum ProbeForm {
        PROBE_TCP,
        PROBE_MPTCP, /* plain, so with MPTCP options that anybody on the way can see */
        PROBE_UDP,   /* the UDP form, with an MPTCP option in it */
        _PROBE_FORM_MAX,
} ProbeForm;

typedef enum ProbeOutcome {
        PROBE_NOT_SENT,  /* no route, no MPTCP in the kernel, or a firewall of this host: error says why */
        PROBE_OPTION,    /* answered, and the MPTCP option came back */
        PROBE_ANSWERED,  /* answered, without MPTCP option */
        PROBE_REFUSED,   /* by the destination itself */
        PROBE_FILTERED,  /* by somebody on the way */
        PROBE_SILENCE,
        _PROBE_OUTCOME_MAX,
} ProbeOutcome;

typedef struct ProbeAnswer {
        ProbeOutcome outcome;
        int error;           /* PROBE_NOT_SENT: positive errno */
        uint32_t rtt_us;     /* from the first packet to its answer; 0: not known */
        Address from;        /* PROBE_REFUSED, PROBE_FILTERED: who said so; all 0: not known */
} ProbeAnswer;

typedef struct ProbeReport {
        ProbeAnswer answers[_PROBE_FORM_MAX];
        bool speaks;         /* the destination has answered in UDP form, if only by a reset */
        uint32_t mtu;        /* of the link, bytes */
        uint32_t mtu_there;  /* largest packet that is known to reach the destination; 0: not known */
        uint32_t mtu_lost;   /* smallest that is known not to; 0: none */
        uint32_t mtu_back;   /* largest packet that came back; 0: not known */
        uint32_t mss;        /* bytes of data in a segment of plain TCP to there; 0: not known */
        uint32_t packets;    /* sent, counted from above */
} ProbeReport;

/* What follows for the link. */
typedef enum ProbeVerdict {
        PROBE_NO_ROUTE,      /* the link does not lead there */
        PROBE_NOT_NEEDED,    /* plain MPTCP passes */
        PROBE_HELPS,         /* MPTCP passes in the tunnel, and only there */
        PROBE_SERVER_PLAIN,  /* the tunnel passes, but the server's program has no MPTCP */
        PROBE_KERNEL_PLAIN,  /* MPTCP is off in this kernel, so plain MPTCP was not asked */
        PROBE_NO_PEER,       /* MPTCP got lost, and the server refuses the UDP form */
        PROBE_UDP_FILTERED,  /* MPTCP got lost, and somebody on the way refuses UDP */
        PROBE_UDP_SILENT,    /* MPTCP got lost, and UDP gets no answer */
        PROBE_UDP_KEPT,      /* MPTCP got lost, and a firewall of this host lets the probe send no UDP */
        PROBE_CLOSED,        /* nothing listens at the port */
        PROBE_UNREACHED,     /* nothing gets an answer */
        _PROBE_VERDICT_MAX,
} ProbeVerdict;

/* The name of each value, as in JSON and on D-Bus; from_name: -EINVAL for none of them. */
const char *probe_form_name(ProbeForm form);
const char *probe_outcome_name(ProbeOutcome outcome);
int probe_outcome_from_name(const char *name, ProbeOutcome *ret);
const char *probe_verdict_name(ProbeVerdict verdict);

ProbeVerdict probe_judge(const ProbeReport *report);

/*
 * Whether this report shows that the server has MPTCP. Where another one lacks the option, its path has
 * taken it away.
 */
bool probe_shows_mptcp(const ProbeReport *report);

/* Whether this report shows that the path takes MPTCP options away, or what carries them: MPTCP passes in
 * the tunnel, and plain MPTCP was asked and does not. */
bool probe_shows_stripped(const ProbeReport *report);

/*
 * What the programs are to know after a probe by a link that has a tunnel: of the way by this link, and of
 * the server, by whichever link it is asked. What is called plain in the report may have been carried by the
 * tunnel if it passed, but not if the option got lost. now_ns: CLOCK_MONOTONIC.
 */
void probe_teach(const ProbeReport *report, uint64_t now_ns, struct underpass_destination *way,
                 struct underpass_destination *server);
