/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The verb "probe". */

#include "ctl/ctl.h"

bool ctl_probe(Ctl *ctl, char **arguments, GError **error);
