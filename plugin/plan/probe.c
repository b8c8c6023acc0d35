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
        [PROBE_UDP_KEPT] = "udp-not-sent",
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
        if (udp == PROBE_OPTION && tcp == PROBE_ANSWERED && mptcp == PROBE_NOT_SENT)
                return PROBE_KERNEL_PLAIN; /* plain MPTCP may pass as well */
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
        if (udp == PROBE_NOT_SENT)
                return PROBE_UDP_KEPT;
        if (udp == PROBE_REFUSED)
                return PROBE_NO_PEER;
        return udp == PROBE_FILTERED ? PROBE_UDP_FILTERED : PROBE_UDP_SILENT;
}

bool probe_shows_stripped(const ProbeReport *report) {
        return probe_judge(report) == PROBE_HELPS && report->answers[PROBE_MPTCP].outcome != PROBE_NOT_SENT;
}

bool probe_shows_mptcp(const ProbeReport *report) {
        return report->answers[PROBE_MPTCP].outcome == PROBE_OPTION ||
               report->answers[PROBE_UDP].outcome == PROBE_OPTION;
}

#define SECOND_NS UINT64_C(1000000000)

enum {
        MTU_MIN = 576,
        RTT_SHARE = 8, /* as in bpf/patience.h: the longest counts, and shorter ones wear it down */
};

static void teach_round_trip(uint32_t *known_us, uint32_t now_us) {
        if (now_us != 0)
                *known_us = now_us > *known_us ? now_us : *known_us - (*known_us - now_us) / RTT_SHARE;
}

/* A first pause for the reason; one that lasts already stays as it is. */
static void teach_block(struct underpass_block *block, uint32_t now) {
        if (block->until > now)
                return;
        block->failed_ns = 0;
        block->pause = UNDERPASS_BLOCKED_SECONDS;
        block->until = now + UNDERPASS_BLOCKED_SECONDS;
}

void probe_teach(const ProbeReport *report, uint64_t now_ns, struct underpass_destination *way,
                 struct underpass_destination *server) {
        static const int reasons[_PROBE_OUTCOME_MAX] = {
                [PROBE_SILENCE] = UNDERPASS_BLOCK_SILENCE + 1,
                [PROBE_REFUSED] = UNDERPASS_BLOCK_REFUSED + 1,
                [PROBE_FILTERED] = UNDERPASS_BLOCK_FILTERED + 1,
        };
        const ProbeAnswer *answers = report->answers;
        const ProbeOutcome tcp = answers[PROBE_TCP].outcome, mptcp = answers[PROBE_MPTCP].outcome;
        const ProbeOutcome udp = answers[PROBE_UDP].outcome;
        const uint32_t now = (uint32_t) (now_ns / SECOND_NS);
        const bool passes = tcp == PROBE_ANSWERED || mptcp == PROBE_ANSWERED || mptcp == PROBE_OPTION;

        if (report->speaks) {
                memset(way->blocks, 0, sizeof(way->blocks));
                way->opened = now;
        } else if (passes && reasons[udp] != 0) {
                teach_block(&way->blocks[reasons[udp] - 1], now);
        }
        if (probe_shows_mptcp(report)) {
                server->spoken_until_ns = now_ns + UNDERPASS_SPOKEN_SECONDS * SECOND_NS;
                way->lacking_until_ns = 0;
        }
        if (probe_shows_stripped(report)) {
                way->stripped_until_ns = now_ns + UNDERPASS_STRIPPED_SECONDS * SECOND_NS;
                way->stripped_join = 0;
        }
        for (ProbeForm form = 0; form < _PROBE_FORM_MAX; form++)
                teach_round_trip(&way->rtt_us, answers[form].rtt_us);
        if (report->mtu_lost != 0 && report->mtu_there >= MTU_MIN) {
                way->mtu = report->mtu_there;
                way->mtu_until_ns = now_ns + UNDERPASS_PATH_MTU_SECONDS * SECOND_NS;
        }
}
