/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl status". */

#include "ctl/ctl.h"

/* Whether something can be said of a link without being asked for it. */
bool status_is_worth_showing(GVariant *link);

bool ctl_status(Ctl *ctl, char **arguments, GError **error);
