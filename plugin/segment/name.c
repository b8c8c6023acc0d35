/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Names of the kinds and of the devices: shared by the real devices and their twin. */

#include "segment/segment.h"

#define KIND_NAME(id, name) [SEGMENT_##id] = #name,

static const char *const segment_kind_names[] = {
        [SEGMENT_AUTO] = "auto",
        SEGMENT_KINDS(KIND_NAME)
};

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

bool segment_is_name(const char *name) {
        return strncmp(name, SEGMENT_NAME_PREFIX, strlen(SEGMENT_NAME_PREFIX)) == 0;
}
