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
        char **unread_files;  /* that cannot be read, or may not be used, with … */
        char **unread_reasons;
        char *unread;         /* … the first reason of those that are told, which is among the warnings */
} Section;

void section_done(Section *section);

/* One assignment, from this line of a file. 0 or -ENOMEM. */
int section_add(Section *section, const char *key, const char *value, const char *path, unsigned line);

/* A file that cannot be read or may not be used, and the sentence about it. 0 or -ENOMEM. */
int section_add_unread(Section *section, const char *path, const char *reason);

/* One that may not be used and says nothing: it counts only where something has been said before. */
int section_add_silent(Section *section, const char *path, const char *reason);

/* Why what a section has said before may be missing now, because its file, or the one in the place of that,
 * cannot be read or may not be used. The sentence belongs to "now"; NULL: nothing is missing. */
const char *section_lacks(const Section *now, const Section *before);

/* Adds all of it to a profile. 0 or -ENOMEM. */
int section_apply(const Section *section, ProfileSource source, Profile *profile);

/*
 * A file that is not UTF-8: makes the sentence about it, and masks the stray bytes in its text, so that it
 * can be parsed to see whom it concerns. 0 or -ENOMEM. Caller frees.
 */
int section_encoding_error(const char *path, char *text, size_t length, char **ret_error);
