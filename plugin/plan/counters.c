/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Name and explanation of each counter of the programs.
 */

#include "base/i18n.h"
#include "base/util.h"
#include "plan/counters.h"

static const CounterInfo counters[] = {
        [UNDERPASS_COUNTER_SENT] = {
                "sent",
                N_("TCP segments sent as UDP."),
        },
        [UNDERPASS_COUNTER_RECEIVED] = {
                "received",
                N_("UDP datagrams converted to TCP."),
        },
        [UNDERPASS_COUNTER_FLOWS_OPENED] = {
                "flows-opened",
                N_("SYNs sent over UDP, including retransmissions."),
        },
        [UNDERPASS_COUNTER_FLOWS_ACCEPTED] = {
                "flows-accepted",
                N_("SYNs received over UDP and accepted."),
        },
        [UNDERPASS_COUNTER_FLOWS_ESTABLISHED] = {
                "flows-established",
                N_("Handshakes completed over UDP."),
        },
        [UNDERPASS_COUNTER_MSS_CLAMPED] = {
                "mss-clamped",
                N_("SYNs and SYN-ACKs whose maximum segment size was lowered."),
        },
        [UNDERPASS_COUNTER_URGENT_CLEARED] = {
                "urgent-cleared",
                N_("Segments whose urgent flag was cleared, because the UDP form has no place for it."),
        },
        [UNDERPASS_COUNTER_PASS_NOT_MPTCP] = {
                "pass-not-mptcp",
                N_("SYNs over UDP left alone because they have no MPTCP option (mptcp-only)."),
        },
        [UNDERPASS_COUNTER_PASS_PORT] = {
                "pass-port",
                N_("SYNs over UDP left alone because their port is not in local-ports."),
        },
        [UNDERPASS_COUNTER_PASS_ZERO_CHECKSUM] = {
                "pass-zero-checksum",
                N_("Datagrams of a half-open flow left alone because they have no UDP checksum."),
        },
        [UNDERPASS_COUNTER_PASS_LENGTH] = {
                "pass-length",
                N_("Datagrams of a half-open flow left alone because their lengths disagree."),
        },
        [UNDERPASS_COUNTER_CUT] = {
                "cut",
                N_("Datagrams of tunnelled flows that UDP GRO had merged, and that were cut again."),
        },
        [UNDERPASS_COUNTER_PASS_FRAGMENT] = {
                "pass-fragment",
                N_("Outgoing TCP fragments left alone because a fragment has no UDP form."),
        },
        [UNDERPASS_COUNTER_PASS_SIGNED] = {
                "pass-signed",
                N_("SYNs left alone because TCP-AO or TCP-MD5 signs their header."),
        },
        [UNDERPASS_COUNTER_FALLBACK_SILENCE] = {
                "fallback-silence",
                N_("Connections that fell back to plain TCP because UDP got no answer."),
        },
        [UNDERPASS_COUNTER_FALLBACK_REFUSED] = {
                "fallback-refused",
                N_("Connections that fell back to plain TCP because ICMP refused UDP."),
        },
        [UNDERPASS_COUNTER_PLAIN_BLOCKED] = {
                "plain-blocked",
                N_("SYNs sent as plain TCP because UDP to their destination was blocked before."),
        },
        [UNDERPASS_COUNTER_PLAIN_ON_DEMAND] = {
                "plain-on-demand",
                N_("Connections that began as plain MPTCP because its options got through so far."),
        },
        [UNDERPASS_COUNTER_STRIPPED] = {
                "stripped",
                N_("Connections that began as plain MPTCP and lost its options."),
        },
        [UNDERPASS_COUNTER_RELEARNT] = {
                "relearnt",
                N_("Forgotten connections learnt again from a datagram of the peer."),
        },
        [UNDERPASS_COUNTER_ICMP_CONVERTED] = {
                "icmp-converted",
                N_("ICMP errors about tunnelled packets converted to errors about TCP."),
        },
        [UNDERPASS_COUNTER_ICMP_SHORT] = {
                "icmp-short",
                N_("Of these, errors that quoted too little and were completed from memory."),
        },
        [UNDERPASS_COUNTER_DROP_ICMP] = {
                "drop-icmp",
                N_("ICMP errors dropped because they refuse a SYN over UDP and plain TCP is next."),
        },
        [UNDERPASS_COUNTER_DROP_NO_DEVICE] = {
                "drop-no-device",
                N_("Packets dropped because there was no segmentation device."),
        },
        [UNDERPASS_COUNTER_DROP_FOREIGN] = {
                "drop-foreign",
                N_("Packets dropped at a segmentation device because no program sent them there."),
        },
        [UNDERPASS_COUNTER_DROP_UNSEGMENTED] = {
                "drop-unsegmented",
                N_("Packets dropped because the segmentation device did not segment them."),
        },
        [UNDERPASS_COUNTER_DROP_HEADER] = {
                "drop-header",
                N_("Packets dropped because their header could not be read or written."),
        },
        [UNDERPASS_COUNTER_DROP_UNPROVEN] = {
                "drop-unproven",
                N_("ICMP errors dropped because they quote nothing that a tunnelled flow has in flight."),
        },
        [UNDERPASS_COUNTER_DROP_FRAGMENT] = {
                "drop-fragment",
                N_("Datagrams of tunnelled flows that arrived in fragments; the peer is told to send "
                   "smaller ones."),
        },
        [UNDERPASS_COUNTER_BLACK_HOLE] = {
                "black-hole",
                N_("Segments that got lost again and again for their size; the sender is told to send "
                   "smaller ones."),
        },
        [UNDERPASS_COUNTER_DROP_MALFORMED] = {
                "drop-malformed",
                N_("Datagrams of a tunnelled flow dropped for lack of checksum, or lengths that disagree."),
        },
        [UNDERPASS_COUNTER_LACKING] = {
                "no-mptcp",
                N_("Connections that began as plain MPTCP to servers that have no MPTCP."),
        },
        [UNDERPASS_COUNTER_DROP_INJECTED] = {
                "drop-injected",
                N_("Datagrams of UDP sockets of this host dropped because they name a tunnelled flow."),
        },
        [UNDERPASS_COUNTER_THROTTLED] = {
                "throttled",
                N_("Times that a connection had to send much again for seconds on end, as where UDP is "
                   "limited."),
        },
        [UNDERPASS_COUNTER_ICMP_QUOTED] = {
                "icmp-quoted",
                N_("ICMP errors of this side about tunnelled packets, made to quote them as the peer sent "
                   "them."),
        },
        [UNDERPASS_COUNTER_ICMP_RESETS] = {
                "icmp-resets",
                N_("ICMP refusals that ended a tunnelled connection because the peer has forgotten it."),
        },
        [UNDERPASS_COUNTER_RESETS_SENT] = {
                "resets-sent",
                N_("Tunnelled segments of connections that this host does not know, answered by a reset."),
        },
        [UNDERPASS_COUNTER_PASS_FORGOTTEN] = {
                "pass-forgotten",
                N_("The same, left alone because there were too many in one second."),
        },
        [UNDERPASS_COUNTER_PLAIN_NOT_MPTCP] = {
                "plain-not-mptcp",
                N_("SYNs sent as plain TCP because the program that connects does not use MPTCP "
                   "(mptcp-only)."),
        },
        [UNDERPASS_COUNTER_SERVER_NOT_MPTCP] = {
                "server-not-mptcp",
                N_("Handshakes over UDP whose answer had no MPTCP option, because the program of the server "
                   "does not use MPTCP (mptcp-only)."),
        },
        [UNDERPASS_COUNTER_BULK_SENT] = {
                "bulk-sent",
                N_("Of `sent`: datagrams in the bulk form."),
        },
        [UNDERPASS_COUNTER_BULK_RECEIVED] = {
                "bulk-received",
                N_("Of `received`: datagrams in the bulk form."),
        },
        [UNDERPASS_COUNTER_BULK_UNSUMMED] = {
                "bulk-unsummed",
                N_("Of `bulk-sent`: datagrams without a UDP checksum (IPv4 only; TCP has its own)."),
        },
        [UNDERPASS_COUNTER_BULK_PROBES] = {
                "bulk-probes",
                N_("Acknowledgments sent in the bulk form, to see whether it arrives."),
        },
        [UNDERPASS_COUNTER_BULK_GIVEN_UP] = {
                "bulk-given-up",
                N_("Flows that went back to the classic form because the bulk form did not arrive."),
        },
        [UNDERPASS_COUNTER_DROP_STRANGER] = {
                "drop-stranger",
                N_("Datagrams dropped because they belong to no flow and would reach a tunnel socket of the "
                   "kernel (receive=socket)."),
        },
};
ASSERT_TABLE_COMPLETE(counters, UNDERPASS_COUNTER_COUNT);

const CounterInfo *counter_info(enum underpass_counter counter) {
        return &counters[counter];
}
