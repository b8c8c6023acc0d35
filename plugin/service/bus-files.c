/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus-files.h. */

#include "service/bus-files.h"
#include "service/bus-text.h"

static int append_file(sd_bus_message *reply, const SurveyFile *file) {
        int r = sd_bus_message_open_container(reply, 'r', "sasas");

        if (r >= 0)
                r = sd_bus_message_append(reply, "s", file->path);
        if (r >= 0)
                r = bus_append_texts(reply, file->complaints);
        if (r >= 0)
                r = bus_append_texts(reply, file->links);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_messages(sd_bus_message *reply, const Survey *survey) {
        _cleanup_(freep) const char **texts = NULL;
        size_t count = 0;

        for (size_t i = 0; i < survey->count; i++)
                count += strings_count(survey->files[i].complaints);
        texts = calloc(count + 1, sizeof(*texts));
        if (!texts)
                return -ENOMEM;
        count = 0;
        for (size_t i = 0; i < survey->count; i++)
                for (size_t k = 0; k < strings_count(survey->files[i].complaints); k++)
                        texts[count++] = survey->files[i].complaints[k];
        return bus_append_messages(reply, texts, count);
}

static int append_files(sd_bus_message *reply, const Survey *survey) {
        int r = sd_bus_message_open_container(reply, 'a', "(sasas)");

        for (size_t i = 0; r >= 0 && i < survey->count; i++)
                r = append_file(reply, &survey->files[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : append_messages(reply, survey);
}

int bus_files_answer(Manager *manager, sd_bus_message *call) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Survey survey;
        int r = manager_survey(manager, &survey);

        if (r < 0)
                return r;
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = append_files(reply, &survey);
        survey_done(&survey);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
