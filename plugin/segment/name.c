/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Names of the kinds and of the devices: shared by the real devices and their twin. */

#include <ctype.h>

#include "segment/segment.h"

static const char *const segment_kind_names[] = {
        [SEGMENT_AUTO] = "auto",
        [SEGMENT_NETKIT] = "netkit",
        [SEGMENT_VLAN] = "vlan",
        [SEGMENT_BRIDGE] = "bridge",
        [SEGMENT_VETH] = "veth",
};
_Static_assert(ELEMENTS(segment_kind_names) == _SEGMENT_KIND_MAX, "every kind has a name");

const char *segment_kind_name(SegmentKind kind) {
        return segment_kind_names[kind];
}

int segment_kind_from_name(const char *name, SegmentKind *ret) {
        for (SegmentKind kind = _SEGMENT_KIND_FIRST; kind < _SEGMENT_KIND_MAX; kind++)
                if (streq(segment_kind_names[kind], name)) {
                        *ret = kind;
                        return 0;
                }
        return -EINVAL;
}

static bool all_digits(const char *text) {
        size_t count = 0;

        while (isdigit((unsigned char) text[count]))
                count++;
        return count > 0 && text[count] == '\0';
}

bool segment_is_name(const char *name) {
        static const char *const names[] = {
                SEGMENT_NAME_SEND,   SEGMENT_NAME_RECEIVE,     SEGMENT_NAME_BRIDGE,
                SEGMENT_NAME_NETKIT, SEGMENT_NAME_NETKIT_PEER,
        };
        const size_t prefix = strlen(SEGMENT_NAME_VLAN);

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (streq(names[i], name))
                        return true;
        return strncmp(name, SEGMENT_NAME_VLAN, prefix) == 0 && all_digits(name + prefix);
}
