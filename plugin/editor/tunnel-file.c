/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See tunnel-file.h. */

#include <ctype.h>
#include <stdio.h>

#include "base/message.h"
#include "base/util.h"
#include "editor/tunnel-file.h"
#include "profile/ini.h"
#include "profile/nm-tunnel.h"

#define SECTION_KEYS "X-Underpass"

/* One file while it is read. */
typedef struct Reading {
        const char *name;
        TunnelData data;
        Profile *profile;      /* tells what is wrong with keys and values */
        char *error;
} Reading;

void tunnel_data_done(TunnelData *data) {
        strings_free(data->keys);
        strings_free(data->values);
        *data = (TunnelData) {};
}

static int add(TunnelData *data, const char *key, const char *value) {
        int r = strings_add(&data->keys, key);

        return r < 0 ? r : strings_add(&data->values, value);
}

/* Ends the reading with a sentence, or a message; takes it over. */
static int fail(Reading *reading, char *sentence) {
        char *translated = sentence ? message_translate(sentence) : NULL;

        free(sentence);
        if (!translated)
                return -ENOMEM;
        free(reading->error);
        reading->error = translated;
        return -EINVAL;
}

/* vpn.data has one word for the link, so one condition has to do. */
static int on_match(Reading *reading, const char *key, const char *value, unsigned line) {
        static const char *const conditions[] = { "Name", "Connection", "UUID" };

        for (size_t i = 0; i < ELEMENTS(conditions); i++) {
                if (!streq(key, conditions[i]))
                        continue;
                if (strings_contain(reading->data.keys, NM_TUNNEL_LINK))
                        return fail(reading,
                                    string_format(_("%s:%u: a tunnel profile takes one condition in "
                                                    "[Match]; leave %s= or the other one out."),
                                                  reading->name, line, key));
                return add(&reading->data, NM_TUNNEL_LINK, value);
        }
        return fail(reading, string_format(_("%s:%u: [Match] of a tunnel profile takes Name=, Connection= "
                                             "or UUID=, and not \"%s\"."),
                                           reading->name, line, key));
}

/* A comma would end the value for nmcli, and a blank means the same in all lists. */
static char *without_commas(const char *value) {
        char *text = strdup(value);

        for (char *comma = text; comma && (comma = strchr(comma, ','));)
                *comma = ' ';
        return text;
}

static int on_key(Reading *reading, const char *section_name, const char *value, unsigned line) {
        const Key *key = key_find_section(section_name);
        _cleanup_(freep) char *where = string_format("%s:%u", reading->name, line);
        _cleanup_(freep) char *text = without_commas(value);
        int r;

        if (!where || !text)
                return -ENOMEM;
        r = key ? profile_set(reading->profile, key, value, PROFILE_SOURCE_FILE, where)
                : profile_unknown_key(reading->profile, section_name, PROFILE_SOURCE_FILE, where);
        if (r >= 0 && reading->profile->error)
                return fail(reading, strdup(reading->profile->error));
        return r < 0 ? r : add(&reading->data, key->name, text);
}

static int on_assignment(const char *section, const char *key, const char *value, unsigned line,
                         void *userdata) {
        Reading *reading = userdata;

        if (reading->error)
                return -EINVAL;
        if (streq(section, "Match"))
                return on_match(reading, key, value, line);
        if (streq(section, SECTION_KEYS))
                return on_key(reading, key, value, line);
        return fail(reading, string_format(_("%s:%u: \"%s\" stands outside of [Match] and [X-Underpass]."),
                                           reading->name, line, key));
}

static void on_error(unsigned line, const char *error, void *userdata) {
        Reading *reading = userdata;

        if (!reading->error)
                (void) fail(reading, string_format("%s:%u: %s", reading->name, line, error));
}

/* What is wrong with all keys together. */
static int finish(Reading *reading) {
        int r = profile_finish(reading->profile);

        if (r < 0)
                return r;
        if (reading->profile->error)
                return fail(reading, strdup(reading->profile->error));
        if (!strings_contain(reading->data.keys, NM_TUNNEL_LINK))
                return fail(reading, string_format(_("%s: [Match] is missing; name the link by Name=, "
                                                     "Connection= or UUID=."),
                                                   reading->name));
        return 0;
}

int tunnel_file_parse(const char *text, size_t length, const char *name, TunnelData *ret, char **ret_error) {
        Reading reading = { .name = name };
        int r;

        r = profile_new(&reading.profile);
        if (r >= 0)
                r = ini_parse(text, length, on_assignment, on_error, &reading);
        if (r == -EILSEQ)
                r = fail(&reading, ini_encoding_error(name, text, length));
        if (r >= 0)
                r = reading.error ? -EINVAL : finish(&reading);
        profile_free(reading.profile);
        if (r >= 0)
                *ret = reading.data;
        else
                tunnel_data_done(&reading.data);
        if (r == -EINVAL)
                *ret_error = reading.error;
        else
                free(reading.error);
        return r;
}

static bool is_uuid(const char *text) {
        static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

        if (strlen(text) != strlen(shape))
                return false;
        for (size_t i = 0; shape[i]; i++)
                if (shape[i] == '-' ? text[i] != '-' : !isxdigit((unsigned char) text[i]))
                        return false;
        return true;
}

/* The condition that means what link= means. A plain word may be the name of a profile or of an interface;
 * that of a profile is the more common one. */
static const char *condition_for(const char *link, bool interface) {
        if (interface || strpbrk(link, "*?[!"))
                return "Name";
        return is_uuid(link) ? "UUID" : "Connection";
}

static int append_line(char **text, const char *key, const char *value) {
        char *longer = string_format("%s%s=%s\n", *text, key, value);

        if (!longer)
                return -ENOMEM;
        free(*text);
        *text = longer;
        return 0;
}

/* The keys, in the order of their table. */
static int append_keys(char **text, const TunnelData *data) {
        int r = 0;

        for (KeyId id = 0; r >= 0 && id < _KEY_ID_MAX; id++)
                for (size_t i = 0; r >= 0 && i < strings_count(data->keys); i++)
                        if (streq(data->keys[i], key_get(id)->name))
                                r = append_line(text, key_get(id)->section_name, data->values[i]);
        return r;
}

/* *ret_error is NULL when nothing is wrong. */
static int check(const TunnelData *data, char **ret_error) {
        _cleanup_(profile_freep) Profile *profile = NULL;
        int r;

        r = profile_new(&profile);
        for (size_t i = 0; r >= 0 && i < strings_count(data->keys); i++)
                r = nm_tunnel_add(profile, data->keys[i], data->values[i], "vpn.data");
        if (r >= 0)
                r = profile_finish(profile);
        if (r < 0 || !profile->error)
                return r;
        *ret_error = message_translate(profile->error);
        return *ret_error ? 0 : -ENOMEM;
}

int tunnel_file_format(const TunnelData *data, const char *interface_name, char **ret_text,
                       char **ret_error) {
        _cleanup_(freep) char *text = NULL, *error = NULL;
        const char *link = NULL;
        int r;

        r = check(data, &error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < strings_count(data->keys); i++)
                if (streq(data->keys[i], NM_TUNNEL_LINK))
                        link = data->values[i];
        if (!error && !link && (!interface_name || !*interface_name))
                error = strdup(_("The profile names no link; set link= in vpn.data."));
        if (error) {
                *ret_error = TAKE_PTR(error);
                return -EINVAL;
        }
        text = string_format("[Match]\n%s=%s\n\n[" SECTION_KEYS "]\n", condition_for(link ?: "", !link),
                             link ?: interface_name);
        r = text ? append_keys(&text, data) : -ENOMEM;
        if (r >= 0)
                *ret_text = TAKE_PTR(text);
        return r;
}
