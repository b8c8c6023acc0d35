/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See files.h. */

#include "base/i18n.h"
#include "ctl/bus.h"
#include "ctl/files.h"
#include "ctl/json.h"
#include "ctl/messages.h"
#include "ctl/text.h"

#define FILES_TYPE "a(sasas)"

void files_print(const char *path, char *const *complaints, char *const *links) {
        g_autofree char *names = g_strjoinv(", ", (char **) links);

        text_lines("%s", complaints);
        if (names[0])
                text_line(_("%s: matches %s."), path, names);
        else
                text_line(_("%s: matches no link that is there now."), path);
}

void files_add_members(JsonBuilder *builder, const char *path, char *const *complaints,
                       char *const *links) {
        json_member_string(builder, "file", path);
        json_member_strings(builder, "complaints", complaints);
        json_member_strings(builder, "matches", links);
}

GVariant *files_of_reply(GVariant *reply) {
        if (!g_variant_is_of_type(reply, G_VARIANT_TYPE("(" FILES_TYPE "a{s(sas)})")))
                return NULL;

        g_auto(GVariantDict) told = G_VARIANT_DICT_INIT(NULL);
        g_autoptr(GVariant) files = g_variant_get_child_value(reply, 0);
        g_autoptr(GVariant) messages = g_variant_get_child_value(reply, 1);
        g_variant_dict_insert_value(&told, "Files", files);
        g_variant_dict_insert_value(&told, "Messages", messages);

        g_autoptr(GVariant) all = g_variant_ref_sink(g_variant_dict_end(&told));
        g_autoptr(GVariant) translated = messages_translate(all);
        return g_variant_lookup_value(translated, "Files", G_VARIANT_TYPE(FILES_TYPE));
}

unsigned files_show(const Ctl *ctl, GVariant *files, JsonBuilder *builder) {
        unsigned bad = 0;

        json_builder_set_member_name(builder, "files");
        json_builder_begin_array(builder);
        for (size_t i = 0; files && i < g_variant_n_children(files); i++) {
                g_auto(GStrv) complaints = NULL, links = NULL;
                const char *path;

                g_variant_get_child(files, i, "(&s^as^as)", &path, &complaints, &links);
                json_builder_begin_object(builder);
                files_add_members(builder, path, complaints, links);
                json_builder_end_object(builder);
                bad += complaints[0] != NULL;
                /* A sentence that something is ignored says all. */
                if (!ctl->json && complaints[0] && !links[0])
                        text_lines("%s", complaints);
                else if (!ctl->json && (complaints[0] || !links[0]))
                        files_print(path, complaints, links);
        }
        json_builder_end_array(builder);
        return bad;
}

GVariant *files_list(Ctl *ctl) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) reply =
                        bus_call(ctl, "ListFiles", NULL, "r", BUS_READ_TIMEOUT_MS, NULL, &error);

        return reply ? files_of_reply(reply) : NULL;
}
