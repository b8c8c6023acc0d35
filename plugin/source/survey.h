/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * All files that say something to us, or try to: what is wrong in them, which of them nobody reads because
 * of their names or places, and which links they are about.
 */

#include "base/util.h"

/* A link as files match it. Strings may be NULL, but for the name. */
typedef struct SurveyLink {
        const char *name;
        const char *type_name;
        const char *connection;
        const char *connection_uuid;
        const char *network_file;  /* by which systemd-networkd manages it */
} SurveyLink;

typedef struct SurveyFile {
        char *path;                /* as it can be shown; of a folder, if all of it is ignored */
        char **complaints;         /* messages; NULL: none */
        char **links;              /* that it is about now; NULL: none */
} SurveyFile;

typedef struct Survey {
        SurveyFile *files;
        size_t count;
} Survey;

/* directories: of file profiles, in rising order of precedence; network_folders: of networkd, in falling
 * order. Both end in NULL. 0 or -ENOMEM. */
int survey_make(const char *const *directories, const char *const *network_folders, const SurveyLink *links,
                size_t links_count, Survey *ret);
void survey_done(Survey *survey);
