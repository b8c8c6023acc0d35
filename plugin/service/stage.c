/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Names of the stages. See stage.h. */

#include "base/util.h"
#include "service/stage.h"

static const char *const stage_names[] = {
        [STAGE_NONE] = "",
        [STAGE_FACTS] = "facts",
        [STAGE_PROFILE] = "profile",
        [STAGE_LOAD] = "load",
        [STAGE_SEGMENTATION] = "segmentation",
        [STAGE_ATTACH] = "attach",
        [STAGE_MTU] = "mtu",
        [STAGE_ENDPOINT] = "endpoint",
};
ASSERT_TABLE_COMPLETE(stage_names, _LINK_STAGE_MAX);

const char *link_stage_name(LinkStage stage) {
        return stage_names[stage];
}
