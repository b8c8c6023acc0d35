/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What systemd says of the service. Neither question starts anything. */

#include "ctl/ctl.h"
#include "plan/check-host.h"

#define UNIT_NAME "underpass.service"

/* Installed, enabled, masked? CHECK_UNIT_UNKNOWN where no systemd answers. */
CheckUnit unit_state(GDBusConnection *bus);

/* The last warning or error of the service in the journal. "" where there is none, or where the user may not
 * read it. Caller frees. */
char *unit_last_words(void);
