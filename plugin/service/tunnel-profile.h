/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What comes of a tunnel profile of NetworkManager, in words. */

#include "service/manager.h"

/* A few messages for people: the state of each link that has its settings from this tunnel profile, why,
 * what was applied, and warnings; or why there is no such link. Caller frees; NULL when out of memory. */
char *tunnel_profile_describe(const Manager *manager, const char *uuid);
