/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl forget": drops what was learnt about destinations. */

#include "ctl/ctl.h"

bool ctl_forget(Ctl *ctl, char **arguments, GError **error);
