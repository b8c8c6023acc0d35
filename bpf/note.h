/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What one program tells another one in the packet itself.
 *
 * skb->cb and skb->tc_index keep what the sender of a packet has written, also across a veth pair out of
 * another network namespace (the kernel clears skb->mark there, but not these). So a program believes them
 * only
 *
 * - at our own devices, segmentation device and GRO pair: nobody but our programs sends packets there;
 * - at a link, together with a number that nobody else knows. It is taken out before a packet leaves.
 */

#include <linux/bpf.h>

#include "abi.h"
#include "rewrite.h"

/*
 * Places in skb->cb, which survives segmentation and every kind of segmentation device but a bridge. Where
 * it is lost, skb->tc_index still has the slot: 0 is what a packet has that no program of ours sent.
 */
enum note_place {
        NOTE_PRIORITY, /* zeroed by veth and netkit; a bridge leaves it alone */
        NOTE_SECRET,
        NOTE_SLOT,
};

/* The service puts a random number here when it loads the programs. */
const volatile __u32 note_secret = 0x756e6470;

/*
 * Beside the slot: the bits that a datagram has for the bulk form (rewrite.h), as tc_index has room for
 * them.
 */
enum {
        NOTE_BITS_SHIFT = 12,
        NOTE_SLOT_MASK = (1 << NOTE_BITS_SHIFT) - 1,
};
_Static_assert((int) UNDERPASS_LINKS_MAX <= (int) NOTE_SLOT_MASK &&
                       (int) UNDERPASS_BULK_BITS << NOTE_BITS_SHIFT <= 0xffff,
               "tc_index has 16 bits");

UNDERPASS_INLINE __u32 note_slot(__u32 word) {
        return word & NOTE_SLOT_MASK;
}

UNDERPASS_INLINE __u32 note_bits(__u32 word) {
        return word >> NOTE_BITS_SHIFT & UNDERPASS_BULK_BITS;
}

/* From egress to the segmentation device. bits: of the bulk form, 0: those of the segment stay. */
UNDERPASS_INLINE void note_sent(struct __sk_buff *skb, __u32 slot, __u32 bits) {
        __u32 word = slot | bits << NOTE_BITS_SHIFT;

        skb->tc_index = (__u16) word;
        skb->cb[NOTE_SECRET] = note_secret;
        skb->cb[NOTE_SLOT] = word;
        skb->cb[NOTE_PRIORITY] = skb->priority;
}

UNDERPASS_INLINE int note_is_sent(struct __sk_buff *skb) {
        return skb->cb[NOTE_SECRET] == note_secret;
}

/* Before a packet leaves: the next network namespace may have slots of its own, and is not to learn the
 * number. */
UNDERPASS_INLINE void note_remove(struct __sk_buff *skb) {
        skb->tc_index = 0;
        skb->cb[NOTE_SECRET] = 0;
}

/*
 * For the next program of ours at the link, which has nothing to do with the packet any more: egress, after
 * a segment has left the segmentation device; ingress, while a link goes from clsact to tcx, for which a SYN
 * that another one has converted is none that came as plain TCP. The IP layer clears cb.
 */
UNDERPASS_INLINE void note_converted(struct __sk_buff *skb) {
        skb->cb[NOTE_SECRET] = ~note_secret;
}

UNDERPASS_INLINE int note_is_converted(struct __sk_buff *skb) {
        return skb->cb[NOTE_SECRET] == ~note_secret;
}

/* On the copy of a super-packet that is to become a probe of the bulk form: from egress to egress. */
UNDERPASS_INLINE void note_probe(struct __sk_buff *skb) {
        skb->cb[NOTE_SECRET] = note_secret ^ 1;
}

UNDERPASS_INLINE int note_is_probe(struct __sk_buff *skb) {
        return skb->cb[NOTE_SECRET] == (note_secret ^ 1);
}
