/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl verify". */

#include "ctl/ctl.h"

bool ctl_verify(Ctl *ctl, char **arguments, GError **error);
