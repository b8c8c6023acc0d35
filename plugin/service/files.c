/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See files.h. */

#include "base/config.h"
#include "base/log.h"
#include "base/message.h"
#include "service/files.h"

int files_survey(const char *const *directories, Link *const *links, size_t links_count, Survey *ret) {
        _cleanup_(freep) SurveyLink *known = calloc(links_count + 1, sizeof(*known));

        if (!known)
                return -ENOMEM;
        for (size_t i = 0; i < links_count; i++) {
                const Profile *profile = link_profile(links[i]);

                known[i].name = link_name(links[i]);
                known[i].type_name = link_facts(links[i])->type_name;
                if (!profile)
                        continue;
                known[i].connection = profile->connection_id;
                known[i].connection_uuid = profile->connection_uuid;
                known[i].network_file = profile->network_file;
        }
        return survey_make(directories, config_network_folders, known, links_count, ret);
}

static void log_once(int level, const char *sentence, char ***told) {
        if (!strings_contain(*told, sentence) && strings_add(told, sentence) >= 0)
                log_line(level, NULL, NULL, "%s", sentence);
}

void files_log(const Survey *survey, char ***told) {
        for (size_t i = 0; i < survey->count; i++) {
                const SurveyFile *file = &survey->files[i];
                _cleanup_(freep) char *unheard =
                        message_format(N_("%s matches no link that is there now."), file->path);

                if (file->links)
                        continue;
                for (size_t k = 0; k < strings_count(file->complaints); k++)
                        log_once(LOG_WARNING, file->complaints[k], told);
                if (!file->complaints && unheard)
                        log_once(LOG_INFO, unheard, told);
        }
}
