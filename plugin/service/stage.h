/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Where a look at a link can fail. The names are API: property LastStage, journal field, underpassctl.
 */

typedef enum LinkStage {
        STAGE_NONE,          /* "" */
        STAGE_FACTS,         /* reading the link or the profiles */
        STAGE_PROFILE,       /* a value, or a link that the profile cannot be applied to */
        STAGE_LOAD,          /* the BPF programs */
        STAGE_SEGMENTATION,  /* the helper devices */
        STAGE_ATTACH,
        STAGE_MTU,
        STAGE_ENDPOINT,
        _LINK_STAGE_MAX,
} LinkStage;

/* Static string, never NULL. */
const char *link_stage_name(LinkStage stage);
