/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What libFuzzer calls, and the judge of fuzz-packets.c.
 */

#include "frame.h"

/* libFuzzer's entry: aborts when a property does not hold. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Limits of the MSS that the programs ran with; 0: none. */
struct judge_limits {
        uint16_t mss_ipv4;
        uint16_t mss_ipv6;
};

/*
 * Finds the layer 4 header of this protocol in a packet of any shape and sets the offsets of the frame. The
 * rules are those that bpf/packet.h promises: IPv4 with options, up to four IPv6 extension headers, no
 * fragments, 20 bytes of header there. layer3 is where the IP header begins, ethertype what the kernel takes
 * for the EtherType.
 */
bool judge_locate(struct frame *frame, size_t layer3, uint16_t ethertype, uint8_t protocol);

/* Layer 4 length as the IP header says, which may be a lie. The frame must have been located. */
uint16_t judge_length(const struct frame *frame);

/*
 * Whether the header of a located packet, TCP or UDP form, ends behind its 20 bytes and before the packet
 * does.
 */
bool judge_offset_sound(const struct frame *frame);

/* Whether a located UDP datagram of a known flow has to become TCP. */
bool judge_convertible(const struct frame *frame);

/*
 * Expects that after is what before (located) becomes: every field at its place, everything else untouched
 * but for a lowered MSS in a SYN, and all sums as right or as wrong as they were.
 */
bool judge_conversion(const struct frame *before, const struct frame *after, bool to_udp,
                      const struct judge_limits *limits);
