/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tells what a NetworkManager profile says and how a change of it went.
 */

#include "base/i18n.h"
#include "ctl/edit.h"
#include "profile/nm-user.h"

#define PREFIX "underpass."

void profile_outcome_done(ProfileOutcome *outcome) {
        g_clear_pointer(&outcome->edits, g_hash_table_unref);
        g_clear_pointer(&outcome->warnings, g_strfreev);
        g_clear_pointer(&outcome->reapplied, g_strfreev);
        g_clear_pointer(&outcome->next, g_strfreev);
}

static void append(char ***list, char *text) {
        size_t count = *list ? g_strv_length(*list) : 0;

        *list = g_renew(char *, *list, count + 2);
        (*list)[count] = text;
        (*list)[count + 1] = NULL;
}

static const char *effective_value(const ProfileView *view, const Key *key) {
        g_autofree char *name = g_strconcat(PREFIX, key->name, NULL);

        return g_hash_table_lookup(view->data, name) ?: key->default_text;
}

void profile_outcome_advise(ProfileOutcome *outcome, const ProfileView *view) {
        const Key *key = key_get(KEY_ID_MPTCP_ENDPOINT);
        g_autofree char *profile = profile_argument(view);
        _cleanup_(freep) char *reason = NULL;
        Settings settings;

        settings_init(&settings);
        (void) key_parse(key, effective_value(view, key), &settings, &reason);

        if (settings.mptcp_endpoint != 0 && !(view->mptcp_flags & NM_MPTCP_DISABLED)) {
                append(&outcome->warnings, g_strdup_printf(_("%s is set, but NetworkManager registers "
                                                             "MPTCP endpoints for this profile too, and "
                                                             "does so before the tunnel is there; turn "
                                                             "that off with `nmcli connection modify %s "
                                                             "connection.mptcp-flags disabled`."),
                                                           key->name, profile));
                append(&outcome->next,
                       g_strdup_printf("nmcli connection modify %s connection.mptcp-flags disabled",
                                       profile));
        }

        if (view->unsaved)
                append(&outcome->warnings, g_strdup_printf(_("The profile “%s” is in memory only, so "
                                                             "the change is lost with the next start of "
                                                             "NetworkManager; `nmcli connection modify %s "
                                                             "connection.id %s` saves the profile."),
                                                           view->id, profile, profile));
}

void profile_outcome_advise_activation(ProfileOutcome *outcome, const ProfileView *view) {
        g_autofree char *profile = profile_argument(view);

        append(&outcome->next, g_strdup_printf("nmcli connection up %s", profile));
}

static const char *const setting_headings[] = { N_("KEY"), N_("VALUE"), N_("SOURCE"), NULL };

static void print_settings(const Ctl *ctl, const ProfileView *view) {
        g_autoptr(Table) table = table_new(setting_headings, 0);
        g_autoptr(GList) names = data_names(view->data);

        for (int id = 0; id < _KEY_ID_MAX; id++) {
                const Key *key = key_get((KeyId) id);
                g_autofree char *name = g_strconcat(PREFIX, key->name, NULL);
                bool set = g_hash_table_contains(view->data, name);

                table_add(table, key->name, effective_value(view, key), set ? _("profile") : _("default"));
        }

        for (GList *name = names; name; name = name->next)
                if (!key_find_user_data(name->data))
                        table_add(table, (const char *) name->data,
                                  (const char *) g_hash_table_lookup(view->data, name->data),
                                  _("unknown key"));

        table_print(table, ctl, 0, !ctl->no_legend);
}

static const char *const property_headings[] = { "", "", NULL };

static void print_properties(const Ctl *ctl, const ProfileView *view) {
        g_autoptr(Table) table = table_new(property_headings, 0);
        _cleanup_(freep) char *flags = nm_mptcp_flags_format(view->mptcp_flags);
        g_autofree char *devices = g_strjoinv(", ", view->devices);

        table_add(table, "connection.mptcp-flags", flags);
        for (guint i = 0; i < view->mtus->len; i++) {
                char **pair = g_ptr_array_index(view->mtus, i);
                table_add(table, pair[0], pair[1]);
        }
        table_add(table, _("active on"), devices[0] ? devices : _("no interface"));
        table_add(table, _("file"), view->file);
        table_print(table, ctl, 0, false);
}

static void print_list(const char *const *lines, const char *format) {
        for (; lines && *lines; lines++)
                text_line(format, *lines);
}

/* The members of a profile in the open object. */
static void add_view(JsonBuilder *builder, const ProfileView *view) {
        g_autoptr(GList) names = data_names(view->data);
        g_auto(GStrv) problems = data_problems(view->data, view);
        _cleanup_(freep) char *flags = nm_mptcp_flags_format(view->mptcp_flags);

        json_member_string(builder, "id", view->id);
        json_member_string(builder, "uuid", view->uuid);
        json_member_string(builder, "path", view->path);
        json_member_string(builder, "file", view->file);
        json_member_boolean(builder, "unsaved", view->unsaved);
        json_member_strings(builder, "devices", view->devices);
        json_member_number(builder, "mptcp_flags", view->mptcp_flags);
        json_member_string(builder, "mptcp_flags_text", flags);

        json_builder_set_member_name(builder, "mtu");
        json_builder_begin_object(builder);
        for (guint i = 0; i < view->mtus->len; i++) {
                char **pair = g_ptr_array_index(view->mtus, i);
                json_member_string(builder, pair[0], pair[1]);
        }
        json_builder_end_object(builder);

        json_builder_set_member_name(builder, "settings");
        json_builder_begin_object(builder);
        for (GList *name = names; name; name = name->next)
                json_member_string(builder, (const char *) name->data + strlen(PREFIX),
                                   g_hash_table_lookup(view->data, name->data));
        json_builder_end_object(builder);
        json_member_strings(builder, "problems", problems);
}

void profile_view_print(const Ctl *ctl, const ProfileView *view) {
        g_auto(ProfileOutcome) advice = {};
        profile_outcome_advise(&advice, view);

        if (ctl->json) {
                g_autoptr(JsonBuilder) builder = json_builder_new();
                json_builder_begin_object(builder);
                json_builder_set_member_name(builder, "profile");
                json_builder_begin_object(builder);
                add_view(builder, view);
                json_builder_end_object(builder);
                json_member_strings(builder, "warnings", advice.warnings);
                json_builder_end_object(builder);
                json_print(builder);
                return;
        }

        g_auto(GStrv) problems = data_problems(view->data, view);
        if (!ctl->no_legend) {
                text_line(_("Profile %s (%s)"), view->id, view->uuid);
                g_print("\n");
        }
        print_settings(ctl, view);
        g_print("\n");
        print_properties(ctl, view);

        if (problems[0] || (advice.warnings && advice.warnings[0]))
                g_print("\n");
        print_list((const char *const *) problems, _("error: %s"));
        print_list((const char *const *) advice.warnings, _("warning: %s"));
}

static void add_edits(JsonBuilder *builder, GHashTable *edits) {
        g_autoptr(GList) names = data_names(edits);

        json_builder_set_member_name(builder, "changed");
        json_builder_begin_object(builder);
        for (GList *name = names; name; name = name->next) {
                const char *value = g_hash_table_lookup(edits, name->data);
                const char *key = (const char *) name->data + strlen(PREFIX);

                if (value) {
                        json_member_string(builder, key, value);
                } else {
                        json_builder_set_member_name(builder, key);
                        json_builder_add_null_value(builder);
                }
        }
        json_builder_end_object(builder);
}

static void print_outcome_json(const ProfileOutcome *outcome, const ProfileView *view) {
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "profile");
        json_builder_begin_object(builder);
        add_view(builder, view);
        json_builder_end_object(builder);
        json_member_boolean(builder, "written", outcome->written);
        add_edits(builder, outcome->edits);
        json_member_strings(builder, "warnings", outcome->warnings);
        json_member_strings(builder, "reapplied", outcome->reapplied);
        json_member_strings(builder, "next", outcome->next);
        json_builder_end_object(builder);
        json_print(builder);
}

void profile_outcome_print(const Ctl *ctl, const ProfileOutcome *outcome, const ProfileView *view) {
        if (ctl->json) {
                print_outcome_json(outcome, view);
                return;
        }

        if (outcome->written)
                text_line(_("The profile “%s” was changed."), view->id);
        else
                text_line(_("The profile “%s” says so already; nothing was changed."), view->id);

        print_list((const char *const *) outcome->reapplied, _("The profile was applied anew to %s."));
        print_list((const char *const *) outcome->warnings, _("warning: %s"));
        if (!ctl->no_legend)
                print_list((const char *const *) outcome->next, _("next: %s"));
}
