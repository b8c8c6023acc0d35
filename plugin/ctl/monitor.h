/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl monitor": links and connections as they are now, again and again. */

#include "ctl/ctl.h"

bool ctl_monitor(Ctl *ctl, char **arguments, GError **error);
