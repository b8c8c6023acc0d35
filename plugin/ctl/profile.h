/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl profile show", "set" and "unset". */

#include "ctl/ctl.h"

bool ctl_profile_show(Ctl *ctl, char **arguments, GError **error);
bool ctl_profile_set(Ctl *ctl, char **arguments, GError **error);
bool ctl_profile_unset(Ctl *ctl, char **arguments, GError **error);
