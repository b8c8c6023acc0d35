/* SPDX-License-Identifier: GPL-2.0-or-later */

/* "underpassctl keys": prints the table of keys (profile/keys.h) without asking the service. */

#include "base/i18n.h"
#include "ctl/error.h"
#include "ctl/json.h"
#include "ctl/keys.h"
#include "ctl/text.h"
#include "ctl/user-data.h"
#include "profile/keys.h"

static void print_names(void) {
        for (int id = 0; id < _KEY_ID_MAX; id++)
                g_print("%s\n", key_get((KeyId) id)->name);
}

static void print_keywords(const Key *key) {
        for (size_t number = 0; key_word(key, number); number++)
                g_print("%s\n", key_word(key, number));
}

static void print_key(const Key *key) {
        g_autofree char *name = user_data_name(key);

        text_line(_("%s (in files: %s=)"), name, key->section_name);
        text_line("        %s", _(key->help));
        text_line(_("        Allowed: %s."), _(key->range_text));
        text_line(_("        Default: %s."), key->default_text[0] ? key->default_text : _("empty"));
}

static void print_all(void) {
        for (int id = 0; id < _KEY_ID_MAX; id++) {
                if (id > 0)
                        g_print("\n");
                print_key(key_get((KeyId) id));
        }
}

static void add_object(JsonBuilder *builder, const Key *key) {
        g_autofree char *name = user_data_name(key);

        json_builder_begin_object(builder);
        json_member_string(builder, "key", key->name);
        json_member_string(builder, "user_data_key", name);
        json_member_string(builder, "file_key", key->section_name);
        json_member_string(builder, "dbus_signature", key_signature(key));
        json_member_string(builder, "default", key->default_text);
        json_member_string(builder, "allowed", _(key->range_text));
        json_member_string(builder, "help", _(key->help));
        json_builder_set_member_name(builder, "keywords");
        json_builder_begin_array(builder);
        for (size_t number = 0; key_word(key, number); number++)
                json_builder_add_string_value(builder, key_word(key, number));
        json_builder_end_array(builder);
        json_builder_end_object(builder);
}

static void print_json(const Key *only) {
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "keys");
        json_builder_begin_array(builder);
        for (int id = 0; id < _KEY_ID_MAX; id++)
                if (!only || only == key_get((KeyId) id))
                        add_object(builder, key_get((KeyId) id));
        json_builder_end_array(builder);
        json_builder_end_object(builder);

        json_print(builder);
}

/* Any of the three names of a key. */
static const Key *find_any_name(const char *name, GError **error) {
        const Key *key = key_find(name) ?: key_find_user_data(name) ?: key_find_section(name);

        if (!key)
                ctl_error_unknown_key(error, name);
        return key;
}

bool ctl_keys(Ctl *ctl, char **arguments, GError **error) {
        const Key *only = NULL;

        if (ctl->values && !arguments[0]) {
                ctl_error_add(error, CTL_USAGE,
                              _("--values needs a key, for example `underpassctl keys tunnel --values`."));
                return false;
        }
        if (arguments[0]) {
                only = find_any_name(arguments[0], error);
                if (!only)
                        return false;
        }

        if (ctl->json)
                print_json(only);
        else if (ctl->values)
                print_keywords(only);
        else if (ctl->names && !only)
                print_names();
        else if (ctl->names)
                g_print("%s\n", only->name);
        else if (only)
                print_key(only);
        else
                print_all();
        return true;
}
