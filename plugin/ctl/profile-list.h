/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl profile list". */

#include "ctl/ctl.h"

bool ctl_profile_list(Ctl *ctl, char **arguments, GError **error);
