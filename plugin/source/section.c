/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Sections [X-Underpass] of files of any kind. See section.h. */

#include "base/config.h"
#include "base/message.h"
#include "profile/ini.h"
#include "source/section.h"

void section_done(Section *section) {
        strings_free(section->keys);
        strings_free(section->values);
        strings_free(section->origins);
        strings_free(section->warnings);
        free(section->error);
        strings_free(section->unread_files);
        strings_free(section->unread_reasons);
        free(section->unread);
        *section = (Section) {};
}

int section_add(Section *section, const char *key, const char *value, const char *path, unsigned line) {
        int r;

        r = strings_add(&section->keys, key);
        if (r == 0)
                r = strings_add(&section->values, value);
        if (r == 0)
                r = strings_addf(&section->origins, "%s:%u", path, line);
        return r;
}

int section_add_silent(Section *section, const char *path, const char *reason) {
        int r = strings_add(&section->unread_files, path);

        return r < 0 ? r : strings_add(&section->unread_reasons, reason);
}

int section_add_unread(Section *section, const char *path, const char *reason) {
        int r;

        r = strings_add(&section->warnings, reason);
        if (r == 0)
                r = section_add_silent(section, path, reason);
        return r < 0 || section->unread ? r : string_replace(&section->unread, reason);
}

/* Whether an origin is in this file, in one that it replaces, or in this folder, which has its slash. */
static bool is_from(const char *origin, const char *file) {
        const char *colon = strrchr(origin, ':');
        const size_t length = strlen(file);

        if (file[length - 1] == '/')
                return strncmp(origin, file, length) == 0;
        return colon && config_same_name(file, origin, (size_t) (colon - origin));
}

const char *section_lacks(const Section *now, const Section *before) {
        for (size_t i = 0; i < strings_count(now->unread_files); i++) {
                const char *file = now->unread_files[i];

                for (size_t k = 0; k < strings_count(before->origins); k++)
                        if (is_from(before->origins[k], file))
                                return now->unread_reasons[i];
        }
        return NULL;
}

int section_apply(const Section *section, ProfileSource source, Profile *profile) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < strings_count(section->keys); i++) {
                const Key *key = key_find_section(section->keys[i]);

                if (key)
                        r = profile_set(profile, key, section->values[i], source, section->origins[i]);
                else
                        r = profile_unknown_key(profile, section->keys[i], source, section->origins[i]);
        }
        for (size_t i = 0; r == 0 && i < strings_count(section->warnings); i++)
                r = strings_add(&profile->warnings, section->warnings[i]);
        if (r == 0 && section->unread && !profile->unread)
                r = string_replace(&profile->unread, section->unread);
        if (r == 0 && section->error && !profile->error)
                r = string_replace(&profile->error, section->error);
        return r;
}

int section_encoding_error(const char *path, char *text, size_t length, char **ret_error) {
        char *error = ini_encoding_error(path, text, length);

        if (!error)
                return -ENOMEM;
        ini_mask(text, length);
        *ret_error = error;
        return 0;
}
