/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Profiles in files: NAME.conf in /usr/lib/underpass and /etc/underpass, [Match] and [X-Underpass], for
 * links that no network manager manages and for systems whose NetworkManager loses user.data. All matching
 * files apply, in the order of their names.
 *
 * Read anew each time: the files
 * are few and small, and what is in force is always what stands there.
 */

#include <dirent.h>

#include "base/i18n.h"
#include "profile/ini.h"
#include "source/source.h"

enum { FILE_SIZE_MAX = 64 * 1024 };

typedef struct SourceFile {
        Source source;
        const char *const *directories;
} SourceFile;

/* One file while it is read: the match comes first or last, so values are kept until the end. */
typedef struct Reading {
        const char *path;
        IniMatch match;
        char **keys;
        char **values;
        char **origins;
        char **complaints;
} Reading;

static void reading_done(Reading *reading) {
        ini_match_done(&reading->match);
        strings_free(reading->keys);
        strings_free(reading->values);
        strings_free(reading->origins);
        strings_free(reading->complaints);
}

static int on_match(Reading *reading, const char *key, const char *value, unsigned line) {
        const struct {
                const char *key;
                char **target;
        } conditions[] = {
                { "Name", &reading->match.name },
                { "Type", &reading->match.type },
                { "Connection", &reading->match.connection },
                { "UUID", &reading->match.uuid },
        };

        for (size_t i = 0; i < ELEMENTS(conditions); i++)
                if (streq(key, conditions[i].key))
                        return string_replace(conditions[i].target, value);
        return strings_addf(
                &reading->complaints,
                _("%s:%u: [Match] has no key \"%s\"; known are Name=, Type=, Connection= and UUID=."),
                reading->path, line, key);
}

static int on_assignment(const char *section, const char *key, const char *value, unsigned line,
                         void *userdata) {
        Reading *reading = userdata;
        int r;

        if (streq(section, "Match"))
                return on_match(reading, key, value, line);
        if (!streq(section, "X-Underpass"))
                return strings_addf(
                        &reading->complaints,
                        _("%s:%u: \"%s\" stands outside of [Match] and [X-Underpass] and is ignored."),
                        reading->path, line, key);
        r = strings_add(&reading->keys, key);
        if (r == 0)
                r = strings_add(&reading->values, value);
        if (r == 0)
                r = strings_addf(&reading->origins, "%s:%u", reading->path, line);
        return r;
}

static void on_complaint(unsigned line, const char *reason, void *userdata) {
        Reading *reading = userdata;

        (void) strings_addf(&reading->complaints, "%s:%u: %s", reading->path, line, reason);
}

static int apply_reading(const Reading *reading, Profile *profile) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < strings_count(reading->keys); i++) {
                const Key *key = key_find_section(reading->keys[i]);

                if (key)
                        r = profile_set(profile, key, reading->values[i], PROFILE_SOURCE_FILE,
                                        reading->origins[i]);
                else
                        r = profile_unknown_key(profile, reading->keys[i], PROFILE_SOURCE_FILE,
                                                reading->origins[i]);
        }
        for (size_t i = 0; r == 0 && i < strings_count(reading->complaints); i++)
                r = strings_add(&profile->warnings, reading->complaints[i]);
        return r;
}

/* A file that is not UTF-8: with the stray bytes covered its [Match] tells whether this link would have
 * been its business. */
static int refuse_file(char *text, size_t length, const char *path, const LinkFacts *facts,
                       Profile *profile) {
        _cleanup_(reading_done) Reading reading = { .path = path };
        _cleanup_(freep) char *excerpt = NULL;
        unsigned line;
        int r;

        excerpt = ini_bad_line(text, length, &line);
        if (!excerpt)
                return -ENOMEM;
        ini_mask(text, length);
        r = ini_parse(text, length, on_assignment, NULL, &reading);
        if (r < 0)
                return r;
        if (ini_match(&reading.match, facts->name, facts->type_name, profile->connection_id,
                           profile->connection_uuid) <= 0 || profile->error)
                return 0;
        profile->error = string_format(_("%s:%u: \"%s\" is not valid UTF-8; save the file as UTF-8."), path,
                                       line, excerpt);
        return profile->error ? 0 : -ENOMEM;
}

static int apply_file(const char *path, const LinkFacts *facts, Profile *profile) {
        _cleanup_(reading_done) Reading reading = { .path = path };
        _cleanup_(freep) char *text = NULL;
        size_t length = 0;
        int r;

        r = file_read(path, FILE_SIZE_MAX, &text, &length);
        if (r == -ENOENT)
                return 0; /* a dangling link, or removed this moment */
        if (r < 0)
                return strings_addf(&profile->warnings, _("%s cannot be read and is ignored: %s."), path,
                                    strerror(-r));
        r = ini_parse(text, length, on_assignment, on_complaint, &reading);
        if (r == -EILSEQ)
                return refuse_file(text, length, path, facts, profile);
        if (r < 0)
                return r;
        if (ini_match(&reading.match, facts->name, facts->type_name, profile->connection_id,
                           profile->connection_uuid) <= 0)
                return 0;
        return apply_reading(&reading, profile);
}

static int is_profile(const struct dirent *entry) {
        size_t length = strlen(entry->d_name);

        return entry->d_name[0] != '.' && length > 5 && streq(entry->d_name + length - 5, ".conf");
}

static bool masked(const char *const *later_directories, const char *name) {
        for (; *later_directories; later_directories++) {
                _cleanup_(freep) char *path = string_format("%s/%s", *later_directories, name);

                if (path && access(path, F_OK) == 0)
                        return true;
        }
        return false;
}

static int apply_directory(const char *const *directories, const LinkFacts *facts, Profile *profile) {
        struct dirent **entries = NULL;
        int count = scandir(*directories, &entries, is_profile, alphasort), r = 0;

        for (int i = 0; i < count; i++) {
                if (r == 0 && !masked(directories + 1, entries[i]->d_name)) {
                        _cleanup_(freep) char *path =
                                string_format("%s/%s", *directories, entries[i]->d_name);

                        r = path ? apply_file(path, facts, profile) : -ENOMEM;
                }
                free(entries[i]);
        }
        free(entries);
        return r;
}

static int file_apply(Source *source, const LinkFacts *facts, Profile *profile) {
        const SourceFile *file = (const SourceFile *) source;

        for (const char *const *directory = file->directories; *directory; directory++) {
                int r = apply_directory(directory, facts, profile);

                if (r < 0)
                        return r;
        }
        return 0;
}

static bool file_available(Source *source) {
        return true;
}

/* Any file at all: a link that is plugged in later may match it. */
static bool file_standing(Source *source) {
        const SourceFile *file = (const SourceFile *) source;

        for (const char *const *directory = file->directories; *directory; directory++) {
                struct dirent **entries = NULL;
                int count = scandir(*directory, &entries, is_profile, NULL);

                for (int i = 0; i < count; i++)
                        free(entries[i]);
                free(entries);
                if (count > 0)
                        return true;
        }
        return false;
}

static void file_free(Source *source) {
        free(source);
}

int source_file_new(Source **ret, const char *const *directories) {
        static const SourceOps ops = {
                .source = PROFILE_SOURCE_FILE,
                .available = file_available,
                .apply = file_apply,
                .standing = file_standing,
                .free = file_free,
        };
        SourceFile *file = calloc(1, sizeof(*file));

        if (!file)
                return -ENOMEM;
        file->source.ops = &ops;
        file->directories = directories;
        *ret = &file->source;
        return 0;
}
