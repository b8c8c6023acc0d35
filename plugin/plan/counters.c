/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Names and explanations of the counters that the programs keep.
 */

#include "base/i18n.h"
#include "plan/counters.h"

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
        [UNDERPASS_COUNTER_PASS_SIGNED] = {
                "pass-signed",
                N_("SYNs with TCP-AO or TCP-MD5, which sign the header, that were left alone."),
        },
        [UNDERPASS_COUNTER_FALLBACK_SILENCE] = {
                "fallback-silence",
                N_("Connections that went on as plain TCP because UDP got no answer."),
        },
        [UNDERPASS_COUNTER_FALLBACK_REFUSED] = {
                "fallback-refused",
                N_("Connections that went on as plain TCP because ICMP refused UDP."),
        },
        [UNDERPASS_COUNTER_PLAIN_BLOCKED] = {
                "plain-blocked",
                N_("SYNs sent as plain TCP because UDP did not get there a while ago."),
        },
        [UNDERPASS_COUNTER_PLAIN_ON_DEMAND] = {
                "plain-on-demand",
                N_("Connections begun as plain TCP because MPTCP options have got through so far."),
        },
        [UNDERPASS_COUNTER_STRIPPED] = {
                "stripped",
                N_("Answers to plain SYNs that had lost the MPTCP option."),
        },
        [UNDERPASS_COUNTER_RELEARNT] = {
                "relearnt",
                N_("Forgotten connections that were learnt again from a datagram of the peer."),
        },
        [UNDERPASS_COUNTER_ICMP_CONVERTED] = {
                "icmp-converted",
                N_("ICMP errors about tunnelled packets that were turned into errors about TCP."),
        },
        [UNDERPASS_COUNTER_ICMP_SHORT] = {
                "icmp-short",
                N_("Of these, errors that quoted too little, completed from memory."),
        },
        [UNDERPASS_COUNTER_DROP_ICMP] = {
                "drop-icmp",
                N_("ICMP refusals of a SYN over UDP that were dropped because plain TCP is tried next."),
        },
        [UNDERPASS_COUNTER_DROP_NO_DEVICE] = {
                "drop-no-device",
                N_("Packets dropped because there was no segmentation device."),
        },
        [UNDERPASS_COUNTER_DROP_FOREIGN] = {
                "drop-foreign",
                N_("Packets dropped at a segmentation device that no program had sent there."),
        },
        [UNDERPASS_COUNTER_DROP_UNSEGMENTED] = {
                "drop-unsegmented",
                N_("Packets dropped because the segmentation device had not segmented them."),
        },
        [UNDERPASS_COUNTER_DROP_HEADER] = {
                "drop-header",
                N_("Packets dropped because their header could not be read or written."),
        },
};

const CounterInfo *counter_info(enum underpass_counter counter) {
        return &counters[counter];
}
