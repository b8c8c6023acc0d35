/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The sections [X-Underpass] of the .network file, and of its drop-ins, by which networkd manages a link. */

#include "profile/profile.h"
#include "source/networkd-answer.h"

/* What the sections [X-Underpass] say, in rising order of precedence. */
typedef struct NetworkdSections {
        char **keys;
        char **values;
        char **origins;       /* "/etc/systemd/network/10-lte.network:12" */
        char **warnings;
        char *error;          /* the first file that cannot be taken at all */
} NetworkdSections;

void networkd_sections_done(NetworkdSections *sections);

/* Folders with .network files in falling order of precedence, ending in NULL. */
extern const char *const networkd_folders[];

/*
 * The drop-ins of a .network file by systemd's rule: NAME.network.d/?*.conf in every folder, the first
 * folder that has a name decides about it (an empty file or a link to /dev/null there masks it), sorted by
 * name.
 * 0 or -ENOMEM.
 */
int networkd_dropins(const char *const *folders, const char *network_file, char ***ret);

/* Reads the sections of the files that the answer names, or implies. 0 or -ENOMEM. */
int networkd_sections_read(const char *const *folders, const NetworkdAnswer *answer, NetworkdSections *ret);

/* Adds them to a profile, and the defaults that fit networkd. 0 or -ENOMEM. */
int networkd_sections_apply(const NetworkdSections *sections, Profile *profile);

/* Whether any .network file or drop-in has such a section. */
bool networkd_any_section(const char *const *folders);
