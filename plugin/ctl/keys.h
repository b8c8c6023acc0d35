/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl keys". */

#include "ctl/ctl.h"

bool ctl_keys(Ctl *ctl, char **arguments, GError **error);
