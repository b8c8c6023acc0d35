/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The keys in user.data of a NetworkManager profile: a set of pairs (char * to char *) whose names begin
 * with KEY_USER_DATA_PREFIX. Edits are such sets too, in which NULL stands for "remove". Where tunnel is
 * true the keys are those of a tunnel profile, and sentences name them without the prefix.
 */

#include "ctl/ctl.h"
#include "profile/profile.h"

/* The name of a key in user.data: "underpass.mtu". Caller frees. */
char *user_data_name(const Key *key);

/* The other way round: "mtu", a part of the name in user.data. */
const char *user_data_key(const char *name);

/* An empty set. */
GHashTable *user_data_new(void);

/* The names of a set, sorted. Free the container only. */
GList *user_data_names(GHashTable *data);

/*
 * Edits from KEY=VALUE arguments, or from names of keys to remove. The error has a sentence for each
 * argument that is wrong. NULL on failure.
 */
GHashTable *user_data_parse_set(char **arguments, GError **error);
GHashTable *user_data_parse_unset(char **arguments, GHashTable *data, GError **error);

/* The data as they are after the edits. */
GHashTable *user_data_apply(GHashTable *data, GHashTable *edits);

/* True when the edits would change something. */
bool user_data_changed_by(GHashTable *data, GHashTable *edits);

/* The data as a profile, with their first error, if any. where: the profile, as sentences name it. Caller
 * frees. */
Profile *user_data_profile(GHashTable *data, const char *where, bool tunnel);

/*
 * Everything that is wrong with the data: one sentence each, ends in NULL, may be empty. where: the profile,
 * as the sentences name it.
 */
char **user_data_errors(GHashTable *data, const char *where, bool tunnel);

/*
 * Fails with all errors when the data would be wrong after the edits. Removing keys is allowed nevertheless
 * when the data are wrong already, or they could not be mended step by step; *ret_warnings gets the errors
 * then.
 */
bool user_data_check(GHashTable *data, GHashTable *edits, const char *where, bool tunnel,
                     char ***ret_warnings, GError **error);

/* The lines of a file in /etc/underpass that says the same for the profile with this UUID, indented. */
char *user_data_as_file(GHashTable *data, const char *uuid);
