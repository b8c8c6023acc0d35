/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What sections [X-Underpass] say, wherever they stand, and what is wrong with their files. */

#include "profile/profile.h"

#define SECTION_NAME "X-Underpass"

typedef struct Section {
        char **keys;          /* with their values and origins, in rising order of precedence */
        char **values;
        char **origins;       /* "/etc/systemd/network/10-lte.network:12" */
        char **warnings;
        char *error;          /* of the first file that cannot be used at all */
} Section;

void section_done(Section *section);

/* One assignment, from this line of a file. 0 or -ENOMEM. */
int section_add(Section *section, const char *key, const char *value, const char *path, unsigned line);

/* Adds all of it to a profile. 0 or -ENOMEM. */
int section_apply(const Section *section, ProfileSource source, Profile *profile);

/*
 * A file that is not UTF-8: makes the sentence about it, and masks the stray bytes in its text, so that it
 * can be parsed to see whom it concerns. 0 or -ENOMEM. Caller frees.
 */
int section_encoding_error(const char *path, char *text, size_t length, char **ret_error);
