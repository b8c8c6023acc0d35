/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The keys in user.data of a profile and changes of them, checked before anything is written. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/error.h"
#include "ctl/user-data.h"
#include "profile/nm-tunnel.h"
#include "profile/nm-user.h"

char *user_data_name(const Key *key) {
        return g_strconcat(KEY_USER_DATA_PREFIX, key->name, NULL);
}

const char *user_data_key(const char *name) {
        return name + strlen(KEY_USER_DATA_PREFIX);
}

GHashTable *user_data_new(void) {
        return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

GList *user_data_names(GHashTable *data) {
        return g_list_sort(g_hash_table_get_keys(data), (GCompareFunc) strcmp);
}

static const Key *find_key(const char *name) {
        /* Also as it is spelt in files, which is what people find in examples. */
        return key_find(name) ?: key_find_user_data(name) ?: key_find_section(name);
}

static void add_edit(GHashTable *edits, char *name, const char *value, GError **error) {
        if (g_hash_table_contains(edits, name))
                ctl_error_add(error, CTL_USAGE, _("The key %s is given twice; specify it only once."),
                              user_data_key(name));

        g_hash_table_insert(edits, name, g_strdup(value));
}

GHashTable *user_data_parse_set(char **arguments, GError **error) {
        g_autoptr(GHashTable) edits = user_data_new();
        g_autoptr(GError) errors = NULL;

        for (char **argument = arguments; *argument; argument++) {
                const char *equals = strchr(*argument, '=');
                if (!equals) {
                        _cleanup_(freep) char *excerpt = value_excerpt(*argument);
                        ctl_error_add(&errors, CTL_USAGE,
                                      _("“%s” is not of the form KEY=VALUE, for example tunnel=yes."),
                                      excerpt);
                        continue;
                }

                g_autofree char *name = g_strndup(*argument, (gsize) (equals - *argument));
                const Key *key = find_key(name);
                if (key)
                        add_edit(edits, user_data_name(key), equals + 1, &errors);
                else
                        ctl_error_unknown_key(&errors, name);
        }

        if (errors) {
                ctl_error_take(error, g_steal_pointer(&errors));
                return NULL;
        }
        return g_steal_pointer(&edits);
}

/* The name in user.data of what to remove: a key, or an unknown key that the profile holds. */
static char *name_to_remove(const char *name, GHashTable *data) {
        const Key *key = find_key(name);
        if (key)
                return user_data_name(key);

        if (g_hash_table_contains(data, name))
                return g_strdup(name);

        g_autofree char *prefixed = g_strconcat(KEY_USER_DATA_PREFIX, name, NULL);
        return g_hash_table_contains(data, prefixed) ? g_steal_pointer(&prefixed) : NULL;
}

GHashTable *user_data_parse_unset(char **arguments, GHashTable *data, GError **error) {
        g_autoptr(GHashTable) edits = user_data_new();
        g_autoptr(GError) errors = NULL;

        for (char **argument = arguments; *argument; argument++) {
                char *name = name_to_remove(*argument, data);
                if (name)
                        add_edit(edits, name, NULL, &errors);
                else
                        ctl_error_unknown_key(&errors, *argument);
        }

        if (errors) {
                ctl_error_take(error, g_steal_pointer(&errors));
                return NULL;
        }
        return g_steal_pointer(&edits);
}

GHashTable *user_data_apply(GHashTable *data, GHashTable *edits) {
        GHashTable *after = user_data_new();
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

bool user_data_changed_by(GHashTable *data, GHashTable *edits) {
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

        /* GLib aborts too when memory runs out. */
        if (profile_new(&profile) < 0)
                g_error("out of memory");
        return profile;
}

static void add_or_abort(Profile *profile, const char *name, const char *value, const char *where,
                         bool tunnel) {
        if ((tunnel ? nm_tunnel_add(profile, user_data_key(name), value, where)
                    : nm_user_add(profile, name, value, where)) < 0)
                g_error("out of memory");
}

Profile *user_data_profile(GHashTable *data, const char *where, bool tunnel) {
        g_autoptr(GList) names = user_data_names(data);
        Profile *profile = profile_new_or_abort();

        for (GList *name = names; name; name = name->next)
                add_or_abort(profile, name->data, g_hash_table_lookup(data, name->data), where, tunnel);
        if (profile_finish(profile) < 0)
                g_error("out of memory");
        return profile;
}

/*
 * A profile keeps its first error only, so each key is tried in a profile of its own, and then all together.
 */
char **user_data_errors(GHashTable *data, const char *where, bool tunnel) {
        g_autoptr(GList) names = user_data_names(data);
        GPtrArray *errors = g_ptr_array_new();

        for (GList *name = names; name; name = name->next) {
                const char *value = g_hash_table_lookup(data, name->data);
                _cleanup_(profile_freep) Profile *alone = profile_new_or_abort();

                add_or_abort(alone, name->data, value, where, tunnel);
                if (alone->error)
                        g_ptr_array_add(errors, g_strdup(alone->error));
        }

        if (errors->len == 0) {
                _cleanup_(profile_freep) Profile *together = user_data_profile(data, where, tunnel);

                if (together->error)
                        g_ptr_array_add(errors, g_strdup(together->error));
        }

        g_ptr_array_add(errors, NULL);
        return (char **) g_ptr_array_free(errors, FALSE);
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

bool user_data_check(GHashTable *data, GHashTable *edits, const char *where, bool tunnel,
                     char ***ret_warnings, GError **error) {
        g_autoptr(GHashTable) after = user_data_apply(data, edits);
        g_auto(GStrv) errors = user_data_errors(after, where, tunnel);
        g_auto(GStrv) errors_before = user_data_errors(data, where, tunnel);

        if (errors[0] && !(only_removes(edits) && errors_before[0])) {
                for (char **sentence = errors; *sentence; sentence++)
                        ctl_error_add(error, CTL_BAD_VALUE, "%s", *sentence);
                return false;
        }

        *ret_warnings = g_steal_pointer(&errors);
        return true;
}

char *user_data_as_file(GHashTable *data, const char *uuid) {
        g_autoptr(GList) names = user_data_names(data);
        GString *text = g_string_new(NULL);

        g_string_append_printf(text, "  [Match]\n  UUID=%s\n  [X-Underpass]", uuid);
        for (GList *name = names; name; name = name->next) {
                const Key *key = key_find_user_data(name->data);
                if (key)
                        g_string_append_printf(text, "\n  %s=%s", key->section_name,
                                               (const char *) g_hash_table_lookup(data, name->data));
        }

        return g_string_free(text, FALSE);
}
