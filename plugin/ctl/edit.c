/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Changes of a profile's keys, checked before anything is written.
 */

#include "base/i18n.h"
#include "ctl/edit.h"
#include "profile/nm-user.h"

#define PREFIX "underpass."

void profile_view_free(ProfileView *view) {
        g_free(view->id);
        g_free(view->uuid);
        g_free(view->path);
        g_free(view->file);
        g_clear_pointer(&view->mtus, g_ptr_array_unref);
        g_strfreev(view->devices);
        g_clear_pointer(&view->data, g_hash_table_unref);
        g_free(view);
}

GHashTable *data_new(void) {
        return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

GList *data_names(GHashTable *data) {
        return g_list_sort(g_hash_table_get_keys(data), (GCompareFunc) strcmp);
}

const char *profile_take(char ***arguments, unsigned others, Selector *ret_selector) {
        static const char *const names[_SELECTOR_MAX] = {
                [SELECT_ID] = "id",
                [SELECT_UUID] = "uuid",
                [SELECT_PATH] = "path",
                [SELECT_FILE] = "filename",
        };

        *ret_selector = SELECT_ANY;
        if (g_strv_length(*arguments) < others + 2)
                return *(*arguments)++;

        for (int selector = 0; selector < _SELECTOR_MAX; selector++)
                if (streq((*arguments)[0], names[selector])) {
                        *ret_selector = (Selector) selector;
                        (*arguments)++;
                        break;
                }

        return *(*arguments)++;
}

static const Key *find(const char *name) {
        return key_find(name) ?: key_find_user_data(name);
}

static void add_edit(GHashTable *edits, char *name, const char *value, GError **error) {
        if (g_hash_table_contains(edits, name))
                ctl_error_add(error, CTL_USAGE, _("The key %s is given twice; give it once."),
                              name + strlen(PREFIX));

        g_hash_table_insert(edits, name, g_strdup(value));
}

GHashTable *edits_for_set(char **arguments, GError **error) {
        g_autoptr(GHashTable) edits = data_new();
        g_autoptr(GError) problems = NULL;

        for (char **argument = arguments; *argument; argument++) {
                const char *equals = strchr(*argument, '=');
                if (!equals) {
                        _cleanup_(freep) char *excerpt = value_excerpt(*argument);
                        ctl_error_add(&problems, CTL_USAGE, _("“%s” is no KEY=VALUE, such as tunnel=yes."),
                                      excerpt);
                        continue;
                }

                g_autofree char *name = g_strndup(*argument, (gsize) (equals - *argument));
                const Key *key = find(name);
                if (key)
                        add_edit(edits, g_strconcat(PREFIX, key->name, NULL), equals + 1, &problems);
                else
                        ctl_error_unknown_key(&problems, name);
        }

        if (problems) {
                ctl_error_take(error, g_steal_pointer(&problems));
                return NULL;
        }
        return g_steal_pointer(&edits);
}

/* Name in user.data of what shall be removed: a key, or a misspelt one that the profile happens to hold. */
static char *name_to_remove(const char *name, const ProfileView *view) {
        const Key *key = find(name);
        if (key)
                return g_strconcat(PREFIX, key->name, NULL);

        if (g_hash_table_contains(view->data, name))
                return g_strdup(name);

        g_autofree char *prefixed = g_strconcat(PREFIX, name, NULL);
        return g_hash_table_contains(view->data, prefixed) ? g_steal_pointer(&prefixed) : NULL;
}

GHashTable *edits_for_unset(char **arguments, const ProfileView *view, GError **error) {
        g_autoptr(GHashTable) edits = data_new();
        g_autoptr(GError) problems = NULL;

        for (char **argument = arguments; *argument; argument++) {
                char *name = name_to_remove(*argument, view);
                if (name)
                        add_edit(edits, name, NULL, &problems);
                else
                        ctl_error_unknown_key(&problems, *argument);
        }

        if (problems) {
                ctl_error_take(error, g_steal_pointer(&problems));
                return NULL;
        }
        return g_steal_pointer(&edits);
}

GHashTable *edits_apply(GHashTable *data, GHashTable *edits) {
        GHashTable *after = data_new();
        GHashTableIter iterator;
        gpointer name, value;

        g_hash_table_iter_init(&iterator, data);
        while (g_hash_table_iter_next(&iterator, &name, &value))
                g_hash_table_insert(after, g_strdup(name), g_strdup(value));

        g_hash_table_iter_init(&iterator, edits);
        while (g_hash_table_iter_next(&iterator, &name, &value)) {
                if (value)
                        g_hash_table_insert(after, g_strdup(name), g_strdup(value));
                else
                        g_hash_table_remove(after, name);
        }

        return after;
}

bool edits_change(GHashTable *data, GHashTable *edits) {
        GHashTableIter iterator;
        gpointer name, value;

        g_hash_table_iter_init(&iterator, edits);
        while (g_hash_table_iter_next(&iterator, &name, &value))
                if (g_strcmp0(value, g_hash_table_lookup(data, name)) != 0)
                        return true;

        return false;
}

static Profile *profile_new_or_abort(void) {
        Profile *profile;

        /* As GLib does with all other memory of this command. */
        if (profile_new(&profile) < 0)
                g_error("out of memory");
        return profile;
}

/*
 * A profile keeps its first error only, so each key is tried in a profile of its own, and then all together.
 */
char **data_problems(GHashTable *data, const ProfileView *view) {
        g_autoptr(GList) names = data_names(data);
        g_autofree char *where = g_strdup_printf("%s (%s)", view->id, view->uuid);
        GPtrArray *problems = g_ptr_array_new();
        _cleanup_(profile_freep) Profile *together = profile_new_or_abort();

        for (GList *name = names; name; name = name->next) {
                const char *value = g_hash_table_lookup(data, name->data);
                _cleanup_(profile_freep) Profile *alone = profile_new_or_abort();

                if (nm_user_add(alone, name->data, value, where) < 0 ||
                    nm_user_add(together, name->data, value, where) < 0)
                        g_error("out of memory");
                if (alone->error)
                        g_ptr_array_add(problems, g_strdup(alone->error));
        }

        if (problems->len == 0) {
                if (profile_finish(together) < 0)
                        g_error("out of memory");
                if (together->error)
                        g_ptr_array_add(problems, g_strdup(together->error));
        }

        g_ptr_array_add(problems, NULL);
        return (char **) g_ptr_array_free(problems, FALSE);
}

static bool only_removes(GHashTable *edits) {
        GHashTableIter iterator;
        gpointer value;

        g_hash_table_iter_init(&iterator, edits);
        while (g_hash_table_iter_next(&iterator, NULL, &value))
                if (value)
                        return false;

        return true;
}

bool edits_check(const ProfileView *view, GHashTable *edits, char ***ret_warnings, GError **error) {
        g_autoptr(GHashTable) after = edits_apply(view->data, edits);
        g_auto(GStrv) problems = data_problems(after, view);
        g_auto(GStrv) problems_before = data_problems(view->data, view);

        if (problems[0] && !(only_removes(edits) && problems_before[0])) {
                for (char **problem = problems; *problem; problem++)
                        ctl_error_add(error, CTL_BAD_VALUE, "%s", *problem);
                ctl_error_add(error, CTL_BAD_VALUE, _("Nothing was written to the profile “%s”."), view->id);
                return false;
        }

        *ret_warnings = g_steal_pointer(&problems);
        return true;
}

char *data_as_file(GHashTable *data, const ProfileView *view) {
        g_autoptr(GList) names = data_names(data);
        GString *text = g_string_new(NULL);

        g_string_append_printf(text, "  [Match]\n  UUID=%s\n  [X-Underpass]", view->uuid);
        for (GList *name = names; name; name = name->next) {
                const Key *key = key_find_user_data(name->data);
                if (key)
                        g_string_append_printf(text, "\n  %s=%s", key->section_name,
                                               (const char *) g_hash_table_lookup(data, name->data));
        }

        return g_string_free(text, FALSE);
}

char *profile_argument(const ProfileView *view) {
        const char *name = view->id_unique && view->id[0] && view->id[0] != '-' ? view->id : view->uuid;
        bool plain = true;

        for (const char *p = name; *p; p++)
                plain = plain && (g_ascii_isalnum(*p) || strchr("_-.:", *p));

        return plain ? g_strdup(name) : g_shell_quote(name);
}
