/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* "underpassctl activate", "deactivate" and "reload": the verbs that change links. */

#include "ctl/ctl.h"

bool ctl_activate(Ctl *ctl, char **arguments, GError **error);
bool ctl_deactivate(Ctl *ctl, char **arguments, GError **error);
bool ctl_reload(Ctl *ctl, char **arguments, GError **error);
