/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The outcome of a change of a NetworkManager profile. */

#include "ctl/profile-view.h"

typedef struct ProfileOutcome {
        bool written; /* false: there was nothing to change */
        GHashTable *edits;
        char **warnings;
        char **reapplied; /* interfaces */
        char **commands;  /* what the user may want to run next */
} ProfileOutcome;

void profile_outcome_done(ProfileOutcome *outcome);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ProfileOutcome, profile_outcome_done)

void profile_outcome_print(const Ctl *ctl, const ProfileOutcome *outcome, const ProfileView *view);
