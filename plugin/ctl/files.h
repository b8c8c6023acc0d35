/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Files with settings, what is wrong in them, and the links that they are about: as verify finds it, or as
 * the service tells.
 */

#include <json-glib/json-glib.h>

#include "ctl/ctl.h"

/* Prints what a person has to know of a file. Both lists end in NULL, complaints may be NULL. */
void files_print(const char *path, char *const *complaints, char *const *links);

/* The same as members of an object. */
void files_add_members(JsonBuilder *builder, const char *path, char *const *complaints,
                       char *const *links);

/* Files in what Reload or ListFiles has returned, in the language of the user: a(sasas). NULL: the service
 * is an older one, and does not tell. */
GVariant *files_of_reply(GVariant *reply);

/* All of them, as "files" where it is JSON; how many have something wrong. */
unsigned files_show(const Ctl *ctl, GVariant *files, JsonBuilder *builder);

/* Asks the service; NULL when it does not tell. */
GVariant *files_list(Ctl *ctl);
