/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Names of the attach points: shared by the real tunnel and its twin. */

#include "tunnel/tunnel.h"

static const char *const attach_point_names[] = {
        [ATTACH_POINT_AUTO] = "auto",
        [ATTACH_POINT_TCX] = "tcx",
        [ATTACH_POINT_CLSACT] = "clsact",
};
ASSERT_TABLE_COMPLETE(attach_point_names, _ATTACH_POINT_MAX);

const char *attach_point_name(AttachPoint attach_point) {
        return attach_point_names[attach_point];
}

int attach_point_from_name(const char *name, AttachPoint *ret) {
        for (AttachPoint attach_point = 0; attach_point < _ATTACH_POINT_MAX; attach_point++)
                if (streq(name, attach_point_names[attach_point])) {
                        *ret = attach_point;
                        return 0;
                }
        return -EINVAL;
}
