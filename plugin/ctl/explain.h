/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl explain". */

#include "ctl/ctl.h"

bool ctl_explain(Ctl *ctl, char **arguments, GError **error);
