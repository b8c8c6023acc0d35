/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Reads files and folders of configuration. What they say is done with root's rights, so only what root
 * alone can change counts: a file and its folder must belong to root, or to the user of the service, and
 * neither their group nor everybody may write to them. Nothing here waits, whatever stands in a folder.
 */

#include "base/util.h"

/* Bytes of a file that is read; a larger one is refused. */
enum {
        CONFIG_PROFILE_SIZE_MAX = 64 * 1024,   /* of our own files */
        CONFIG_NETWORK_SIZE_MAX = 1024 * 1024, /* of networkd's, which have more to say */
};

/* Folders with profile files in rising order of precedence, ending in NULL. */
extern const char *const config_profile_folders[];

/* Folders with .network files in falling order of precedence, ending in NULL. */
extern const char *const config_network_folders[];

/*
 * Reads a file of at most limit bytes. A missing file and /dev/null are empty. When *ret_reason is set, a
 * sentence for people says why the file must not be used; *ret_text then has what others may have written,
 * to see whom it concerns, or is NULL. 0 or -ENOMEM. Caller frees both.
 */
int config_read(const char *path, size_t limit, char **ret_text, size_t *ret_length, char **ret_reason);

/*
 * Names of those entries of a folder that are chosen, sorted. A missing folder is empty. When *ret_reason is
 * set, a sentence says why the folder must not be used, and *ret_names is NULL. 0 or -ENOMEM. Caller frees
 * both.
 */
int config_list(const char *folder, bool (*chosen)(const char *name), char ***ret_names, char **ret_reason);

/*
 * Why the service, which runs as root, would refuse a file: a sentence as of config_read(), or NULL.
 * in_place: the file lies where the service reads it. Otherwise it is a draft, which may belong to this user
 * and lie anywhere. 0 or negative errno. Caller frees.
 */
int config_refusal(const char *path, bool in_place, char **ret_reason);

/* Whether anything is in the way of using this folder, a missing one included. */
bool config_folder_usable(const char *folder);

/* Whether two paths, of which the second has this length, are those of files that replace each other, in two
 * folders: they end in the same name, and in the same NAME.d before it. */
bool config_same_name(const char *path, const char *other, size_t length);

/* A path as it can be shown: no control characters, valid UTF-8. Caller frees; NULL when out of memory. */
char *config_path_shown(const char *path);
