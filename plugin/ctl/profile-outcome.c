/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Prints the outcome of a change of a profile. */

#include "base/i18n.h"
#include "ctl/json.h"
#include "ctl/profile-outcome.h"
#include "ctl/text.h"
#include "ctl/user-data.h"

void profile_outcome_done(ProfileOutcome *outcome) {
        g_clear_pointer(&outcome->edits, g_hash_table_unref);
        g_clear_pointer(&outcome->warnings, g_strfreev);
        g_clear_pointer(&outcome->reapplied, g_strfreev);
        g_clear_pointer(&outcome->commands, g_strfreev);
}

static void add_edits(JsonBuilder *builder, GHashTable *edits) {
        g_autoptr(GList) names = user_data_names(edits);

        json_builder_set_member_name(builder, "requested");
        json_builder_begin_object(builder);
        for (GList *name = names; name; name = name->next) {
                const char *value = g_hash_table_lookup(edits, name->data);
                const char *key = user_data_key(name->data);

                if (value) {
                        json_member_string(builder, key, value);
                } else {
                        json_builder_set_member_name(builder, key);
                        json_builder_add_null_value(builder);
                }
        }
        json_builder_end_object(builder);
}

static void print_json(const ProfileOutcome *outcome, const ProfileView *view) {
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        profile_view_add_json(builder, view);
        json_member_boolean(builder, "written", outcome->written);
        add_edits(builder, outcome->edits);
        json_member_strings(builder, "warnings", outcome->warnings);
        json_member_strings(builder, "reapplied", outcome->reapplied);
        json_member_strings(builder, "next_commands", outcome->commands);
        json_builder_end_object(builder);
        json_print(builder);
}

void profile_outcome_print(const Ctl *ctl, const ProfileOutcome *outcome, const ProfileView *view) {
        if (ctl->json) {
                print_json(outcome, view);
                return;
        }

        if (outcome->written)
                text_line(_("The profile “%s” was changed."), view->home_id);
        else
                text_line(_("The profile “%s” already has these values; nothing was changed."),
                          view->home_id);

        text_lines(_("The profile was reapplied to %s."), outcome->reapplied);
        text_lines(_("warning: %s"), outcome->warnings);
        if (!ctl->no_legend)
                text_lines(_("next: %s"), outcome->commands);
}
