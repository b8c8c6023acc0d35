/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See probe.h. */

#include "plan/probe.h"

static const char *const form_names[] = {
        [PROBE_TCP] = "tcp",
        [PROBE_MPTCP] = "mptcp",
        [PROBE_UDP] = "udp",
};
ASSERT_TABLE_COMPLETE(form_names, _PROBE_FORM_MAX);

static const char *const outcome_names[] = {
        [PROBE_NOT_SENT] = "not-sent",
        [PROBE_OPTION] = "mptcp",
        [PROBE_ANSWERED] = "answered",
        [PROBE_REFUSED] = "refused",
        [PROBE_FILTERED] = "filtered",
        [PROBE_SILENCE] = "silence",
};
ASSERT_TABLE_COMPLETE(outcome_names, _PROBE_OUTCOME_MAX);

static const char *const verdict_names[] = {
        [PROBE_NO_ROUTE] = "no-route",
        [PROBE_NOT_NEEDED] = "not-needed",
        [PROBE_HELPS] = "helps",
        [PROBE_SERVER_PLAIN] = "server-without-mptcp",
        [PROBE_KERNEL_PLAIN] = "kernel-without-mptcp",
        [PROBE_NO_PEER] = "no-underpass",
        [PROBE_UDP_FILTERED] = "udp-filtered",
        [PROBE_UDP_SILENT] = "udp-silent",
        [PROBE_CLOSED] = "closed",
        [PROBE_UNREACHED] = "unreached",
};
ASSERT_TABLE_COMPLETE(verdict_names, _PROBE_VERDICT_MAX);

const char *probe_form_name(ProbeForm form) {
        return form_names[form];
}

const char *probe_outcome_name(ProbeOutcome outcome) {
        return outcome_names[outcome];
}

int probe_outcome_from_name(const char *name, ProbeOutcome *ret) {
        for (size_t i = 0; i < ELEMENTS(outcome_names); i++)
                if (streq(name, outcome_names[i])) {
                        *ret = (ProbeOutcome) i;
                        return 0;
                }
        return -EINVAL;
}

const char *probe_verdict_name(ProbeVerdict verdict) {
        return verdict_names[verdict];
}

ProbeVerdict probe_judge(const ProbeReport *report) {
        const ProbeOutcome tcp = report->answers[PROBE_TCP].outcome;
        const ProbeOutcome mptcp = report->answers[PROBE_MPTCP].outcome;
        const ProbeOutcome udp = report->answers[PROBE_UDP].outcome;

        if (mptcp == PROBE_OPTION)
                return PROBE_NOT_NEEDED;
        if (udp == PROBE_OPTION)
                return PROBE_HELPS;
        if (udp == PROBE_ANSWERED)
                return PROBE_SERVER_PLAIN;
        if (tcp != PROBE_ANSWERED && mptcp != PROBE_ANSWERED) {
                if (tcp == PROBE_REFUSED || mptcp == PROBE_REFUSED || report->speaks)
                        return PROBE_CLOSED;
                return tcp == PROBE_NOT_SENT && udp == PROBE_NOT_SENT ? PROBE_NO_ROUTE : PROBE_UNREACHED;
        }
        if (mptcp == PROBE_NOT_SENT)
                return PROBE_KERNEL_PLAIN;
        if (udp == PROBE_REFUSED)
                return PROBE_NO_PEER;
        return udp == PROBE_FILTERED ? PROBE_UDP_FILTERED : PROBE_UDP_SILENT;
}

bool probe_shows_mptcp(const ProbeReport *report) {
        return report->answers[PROBE_MPTCP].outcome == PROBE_OPTION ||
               report->answers[PROBE_UDP].outcome == PROBE_OPTION;
}
