/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Names and explanations of the counters that the programs keep. Room L2 (pure): a table.
 */

#include "counters.h"
#include "i18n.h"

static const CounterInfo counters[UNDERPASS_COUNTER_COUNT] = {
        [UNDERPASS_COUNTER_SENT] = {
                "sent",
                N_("TCP segments that left as UDP."),
        },
        [UNDERPASS_COUNTER_RECEIVED] = {
                "received",
                N_("UDP datagrams that were turned back into TCP."),
        },
        [UNDERPASS_COUNTER_FLOWS_OPENED] = {
                "flows-opened",
                N_("SYNs of this host that left in the tunnel, retransmissions included."),
        },
        [UNDERPASS_COUNTER_FLOWS_ACCEPTED] = {
                "flows-accepted",
                N_("SYNs that came in UDP and were taken."),
        },
        [UNDERPASS_COUNTER_FLOWS_ESTABLISHED] = {
                "flows-established",
                N_("Handshakes that were completed over UDP."),
        },
        [UNDERPASS_COUNTER_MSS_CLAMPED] = {
                "mss-clamped",
                N_("SYNs and SYN-ACKs whose maximum segment size was lowered."),
        },
        [UNDERPASS_COUNTER_URGENT_CLEARED] = {
                "urgent-cleared",
                N_("Segments that lost their urgent mark, which has no place in the tunnel."),
        },
        [UNDERPASS_COUNTER_PASS_NOT_MPTCP] = {
                "pass-not-mptcp",
                N_("SYNs in UDP without MPTCP option that were left alone (mptcp-only)."),
        },
        [UNDERPASS_COUNTER_PASS_PORT] = {
                "pass-port",
                N_("SYNs in UDP to a port outside local-ports that were left alone."),
        },
        [UNDERPASS_COUNTER_PASS_ZERO_CHECKSUM] = {
                "pass-zero-checksum",
                N_("Datagrams of a tunnelled flow without UDP checksum that were left alone."),
        },
        [UNDERPASS_COUNTER_PASS_LENGTH] = {
                "pass-length",
                N_("Datagrams of a tunnelled flow with contradicting lengths that were left alone."),
        },
        [UNDERPASS_COUNTER_PASS_MERGED] = {
                "pass-merged",
                N_("Datagrams of a tunnelled flow that UDP GRO had merged and that were left alone."),
        },
        [UNDERPASS_COUNTER_PASS_FRAGMENT] = {
                "pass-fragment",
                N_("Outgoing TCP fragments, which have no UDP form, that were left alone."),
        },
        [UNDERPASS_COUNTER_DROP_NO_HOP] = {
                "drop-no-hop",
                N_("Packets dropped because the segmentation hop was missing."),
        },
        [UNDERPASS_COUNTER_DROP_HOP_FOREIGN] = {
                "drop-hop-foreign",
                N_("Packets dropped at the segmentation hop that no program had sent there."),
        },
        [UNDERPASS_COUNTER_DROP_HOP_UNSEGMENTED] = {
                "drop-hop-unsegmented",
                N_("Packets dropped because the segmentation hop had not segmented them."),
        },
        [UNDERPASS_COUNTER_DROP_HOP_HEADER] = {
                "drop-hop-header",
                N_("Packets dropped because their header could not be read or written at the hop."),
        },
};

const CounterInfo *counter_info(enum underpass_counter counter) {
        return &counters[counter];
}
