/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What people call a link: by the name of the interface, or by the profile that is active on it (name or
 * UUID of NetworkManager's or of the tunnel profile for it, file name of systemd-networkd's).
 */

#include "ctl/ctl.h"
#include "plan/check-lines.h"

/* The links that the name means, of those that the service knows; none: nobody is called so. */
GPtrArray *names_match(GPtrArray *links, const char *name);

/* The one link that the name means, as bus_link() returns it. NULL with an error that says what the name is.
 * */
GVariant *names_link(Ctl *ctl, const char *name, GError **error);

/* Adds a note where a profile has the name of the link, too, and is active on, or for, another one. links:
 * as the service knows them, or NULL. */
void names_add_namesake(Ctl *ctl, GPtrArray *links, const char *interface, CheckLines *lines);

/* Nobody is called so: says whether it is a profile that is not active, and how to activate it. */
void names_unknown(Ctl *ctl, const char *name, GError **error);
