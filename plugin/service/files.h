/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The files with settings as a whole, also those that no link has: nobody else would tell what is wrong
 * there.
 */

#include "service/link.h"
#include "source/survey.h"

/* Looks at all of them. directories: of profiles, as in survey_make(). 0 or -ENOMEM. */
int files_survey(const char *const *directories, Link *const *links, size_t links_count, Survey *ret);

/* Tells the journal what it has not been told before (*told, which grows) of files that no link has: links
 * tell of theirs. */
void files_log(const Survey *survey, char ***told);
