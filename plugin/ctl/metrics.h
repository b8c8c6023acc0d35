/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl metrics": numbers for monitoring systems. */

#include "ctl/ctl.h"

bool ctl_metrics(Ctl *ctl, char **arguments, GError **error);
