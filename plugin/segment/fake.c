/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The twin of the segmentation devices for underpassd-fake and for tests without privileges: nothing is
 * made, and the pair is always there. Of the kinds it has only veth, so the others are passed over as on an
 * old kernel.
 */

#include "base/message.h"
#include "segment/segment.h"

/* Larger than the kernel's, which are signed: no link of the host is mistaken for one of these. */
#define FAKE_SEND_IFINDEX UINT32_MAX
#define FAKE_RECEIVE_IFINDEX (UINT32_MAX - 1)

int gro_pair_ensure(GroPair *ret) {
        *ret = (GroPair) { .send_ifindex = FAKE_SEND_IFINDEX, .receive_ifindex = FAKE_RECEIVE_IFINDEX };
        return 0;
}

int gro_pair_up(const GroPair *pair) {
        return 0;
}

int gro_pair_remove(void) {
        return 0;
}

int segment_ensure(SegmentKind kind, const GroPair *pair, uint32_t link_ifindex, SegmentationDevice *ret,
                   char **ret_reason) {
        if (kind != SEGMENT_VETH) {
                *ret_reason = strdup(M_("this service only pretends to have a veth pair"));
                return -EOPNOTSUPP;
        }
        *ret = (SegmentationDevice) {
                .kind = SEGMENT_VETH,
                .ifindex = pair->send_ifindex,
                .program_ifindex = pair->receive_ifindex,
                .place = SEGMENT_PLACE_INGRESS,
                .name = SEGMENT_NAME_SEND,
        };
        return 0;
}

int segment_up(const SegmentationDevice *device) {
        return 0;
}

int segment_remove(SegmentKind kind, uint32_t link_ifindex) {
        return 0;
}

int segment_remove_unowned(const uint32_t *owners, size_t count) {
        return 0;
}

/* No link of the host, and yet always there. */
bool segment_is_among(uint32_t ifindex, const uint32_t *ifindexes, size_t count) {
        return true;
}
