/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl flows". */

#include "ctl/ctl.h"

bool ctl_flows(Ctl *ctl, char **arguments, GError **error);
