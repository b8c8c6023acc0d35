/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl check". */

#include "ctl/ctl.h"

bool ctl_check(Ctl *ctl, char **arguments, GError **error);
