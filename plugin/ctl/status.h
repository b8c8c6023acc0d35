/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl status". */

#include "ctl/ctl.h"

bool ctl_status(Ctl *ctl, char **arguments, GError **error);
