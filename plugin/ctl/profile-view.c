/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Shows what a NetworkManager profile says. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/json.h"
#include "ctl/profile-view.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/user-data.h"
#include "kernel/sysctl.h"
#include "plan/warnings.h"
#include "profile/nm-tunnel.h"
#include "profile/nm-user.h"

void profile_view_free(ProfileView *view) {
        g_free(view->id);
        g_free(view->uuid);
        g_free(view->where);
        g_free(view->link);
        g_free(view->home_id);
        g_free(view->home_uuid);
        g_free(view->home_path);
        g_free(view->path);
        g_free(view->file);
        g_clear_pointer(&view->mtus, g_ptr_array_unref);
        g_strfreev(view->interfaces);
        g_clear_pointer(&view->data, g_hash_table_unref);
        g_free(view);
}

char *profile_view_words(const ProfileView *view) {
        return text_profile_words(view->id_unique ? view->id : NULL, view->uuid);
}

bool profile_view_is_tunnel(const ProfileView *view) {
        return view->tunnel && streq(view->uuid, view->home_uuid);
}

static const char *effective_value(const ProfileView *view, const Key *key) {
        g_autofree char *name = user_data_name(key);

        return g_hash_table_lookup(view->data, name) ?: key->default_text;
}

/* The MTU that NetworkManager itself sets; 0: none. */
static uint32_t own_mtu(const ProfileView *view) {
        uint32_t mtu = 0;

        for (guint i = 0; i < view->mtus->len && mtu == 0; i++) {
                char **pair = g_ptr_array_index(view->mtus, i);

                mtu = (uint32_t) g_ascii_strtoull(pair[1], NULL, 10);
        }
        return mtu;
}

/* What an activation on this host would warn of, whatever the link. */
static void add_plan_warnings(const ProfileView *view, char ***warnings) {
        _cleanup_(profile_freep) Profile *profile = user_data_profile(view->data, view->where, view->tunnel);
        _cleanup_(plan_freep) Plan *plan = g_new0(Plan, 1);
        const LinkFacts facts = {};
        PlanInput input = { .profile = profile, .facts = &facts };

        if (profile->error || profile->settings.tunnel == TUNNEL_NO)
                return;
        profile->connection_mtu = own_mtu(view);
        (void) sysctl_ephemeral_ports(&input.ephemeral_ports);
        if (plan_warn(&input, plan) < 0)
                g_error("out of memory");
        for (size_t i = 0; i < strings_count(plan->warnings); i++)
                text_append(warnings, g_strdup(plan->warnings[i]));
}

/* The name as a word of a command, whatever is in it: NetworkManager is asked for one that a terminal does
 * not show. */
static char *name_word(const ProfileView *view) {
        g_autofree char *words = text_profile_words(view->id, view->uuid);

        if (g_str_has_prefix(words, "id "))
                return text_shell_word(view->id);
        return g_strdup_printf("\"$(nmcli -e no -g connection.id connection show %s)\"", words);
}

void profile_view_advise(const ProfileView *view, char ***warnings, char ***commands) {
        const Key *key = key_get(KEY_ID_MPTCP_ENDPOINT);
        g_autofree char *profile = profile_view_words(view);
        _cleanup_(freep) char *reason = NULL;
        Settings settings;

        add_plan_warnings(view, warnings);
        settings_init(&settings);
        (void) key_parse(key, effective_value(view, key), &settings, &reason);

        if (settings.mptcp_endpoint != 0 && !profile_view_is_tunnel(view) &&
            !(view->mptcp_flags & NM_MPTCP_DISABLED)) {
                g_autofree char *command = g_strdup_printf(
                                "nmcli connection modify %s connection.mptcp-flags disabled", profile);

                text_append(warnings,
                            g_strdup_printf(_("%s is set, but NetworkManager also registers MPTCP endpoints "
                                              "for this profile, before the tunnel is attached. Disable "
                                              "that with `%s`."),
                                            key->name, command));
                text_append(commands, g_steal_pointer(&command));
        }

        if (view->unsaved && !view->generated) {
                g_autofree char *id = name_word(view);

                text_append(warnings,
                            g_strdup_printf(_("The profile “%s” exists in memory only, so changes are lost "
                                              "when NetworkManager restarts. Save it with `nmcli connection "
                                              "modify %s connection.id %s`."),
                                            view->id, profile, id));
        }
}

static const char *const setting_headings[] = { N_("KEY"), N_("VALUE"), N_("SOURCE"), NULL };

static void print_settings(const Ctl *ctl, const ProfileView *view) {
        g_autoptr(Table) table = table_new(setting_headings, 0);
        g_autoptr(GList) names = user_data_names(view->data);
        const char *source = view->tunnel && !profile_view_is_tunnel(view) ? view->home_id : _("profile");

        for (int id = 0; id < _KEY_ID_MAX; id++) {
                const Key *key = key_get((KeyId) id);
                g_autofree char *name = user_data_name(key);
                bool set = g_hash_table_contains(view->data, name);

                table_add(table, key->name, effective_value(view, key), set ? source : _("default"));
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
        g_autofree char *interfaces = g_strjoinv(", ", view->interfaces);

        if (view->tunnel)
                table_add(table, _("keys are in"), view->where);
        if (view->tunnel)
                table_add(table, NM_TUNNEL_LINK, view->link ?: "");
        table_add(table, "connection.mptcp-flags", flags);
        for (guint i = 0; i < view->mtus->len; i++) {
                char **pair = g_ptr_array_index(view->mtus, i);
                table_add(table, pair[0], pair[1]);
        }
        table_add(table, _("active on"), interfaces[0] ? interfaces : _("no interface"));
        table_add(table, _("file"), view->file);
        table_print(table, ctl, 0, false);
}

void profile_view_add_json(JsonBuilder *builder, const ProfileView *view) {
        g_autoptr(GList) names = user_data_names(view->data);
        g_auto(GStrv) errors = user_data_errors(view->data, view->where, view->tunnel);
        _cleanup_(freep) char *flags = nm_mptcp_flags_format(view->mptcp_flags);

        json_builder_set_member_name(builder, "profile");
        json_builder_begin_object(builder);
        json_member_string(builder, "id", view->id);
        json_member_string(builder, "uuid", view->uuid);
        json_member_string(builder, "dbus_path", view->path);
        json_member_string(builder, "file", view->file);
        json_member_boolean(builder, "unsaved", view->unsaved);
        json_member_strings(builder, "interfaces", view->interfaces);
        json_member_number(builder, "mptcp_flags", view->mptcp_flags);
        json_member_string(builder, "mptcp_flags_text", flags);

        json_builder_set_member_name(builder, "tunnel_profile");
        json_builder_begin_object(builder);
        if (view->tunnel) {
                json_member_string(builder, "id", view->home_id);
                json_member_string(builder, "uuid", view->home_uuid);
                json_member_string(builder, "link", view->link ?: "");
        }
        json_builder_end_object(builder);

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
                json_member_string(builder, user_data_key(name->data),
                                   g_hash_table_lookup(view->data, name->data));
        json_builder_end_object(builder);
        json_member_strings(builder, "errors", errors);
        json_builder_end_object(builder);
}

static void print_json(const ProfileView *view, char *const *warnings) {
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        profile_view_add_json(builder, view);
        json_member_strings(builder, "warnings", warnings);
        json_builder_end_object(builder);
        json_print(builder);
}

void profile_view_print(const Ctl *ctl, const ProfileView *view) {
        g_auto(GStrv) errors = user_data_errors(view->data, view->where, view->tunnel);
        g_auto(GStrv) warnings = NULL, commands = NULL;

        profile_view_advise(view, &warnings, &commands);
        if (ctl->json) {
                print_json(view, warnings);
                return;
        }

        if (!ctl->no_legend) {
                text_line(_("Profile %s (%s)"), view->id, view->uuid);
                g_print("\n");
        }
        print_settings(ctl, view);
        g_print("\n");
        print_properties(ctl, view);

        if (errors[0] || warnings)
                g_print("\n");
        text_lines(_("error: %s"), errors);
        text_lines(_("warning: %s"), warnings);
}
