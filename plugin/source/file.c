/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Profiles in files: NAME.conf in /usr/lib/underpass and /etc/underpass, [Match] and [X-Underpass], for
 * links that no network manager manages and for systems whose NetworkManager loses user.data. All matching
 * files apply, in the order of their names.
 *
 * They are read each time: they are few and small, and what they say is always in force at once.
 */

#include "base/i18n.h"
#include "profile/ini.h"
#include "source/config.h"
#include "source/section.h"
#include "source/source.h"

enum { FILE_SIZE_MAX = 64 * 1024 };

typedef struct SourceFile {
        Source source;
        const char *const *directories;
} SourceFile;

/* One file while it is read. [Match] may come last, so values are kept until the end. */
typedef struct Reading {
        const char *path;      /* as it can be shown */
        IniMatch match;
        Section section;
} Reading;

static void reading_done(Reading *reading) {
        ini_match_done(&reading->match);
        section_done(&reading->section);
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
                &reading->section.warnings,
                _("%s:%u: [Match] has no key \"%s\"; known are Name=, Type=, Connection= and UUID=."),
                reading->path, line, key);
}

static int on_assignment(const char *section, const char *key, const char *value, unsigned line,
                         void *userdata) {
        Reading *reading = userdata;

        if (streq(section, "Match"))
                return on_match(reading, key, value, line);
        if (!streq(section, SECTION_NAME))
                return strings_addf(
                        &reading->section.warnings,
                        _("%s:%u: \"%s\" stands outside of [Match] and [X-Underpass] and is ignored."),
                        reading->path, line, key);
        return section_add(&reading->section, key, value, reading->path, line);
}

static void on_error(unsigned line, const char *error, void *userdata) {
        Reading *reading = userdata;

        (void) strings_addf(&reading->section.warnings, "%s:%u: %s", reading->path, line, error);
}

static bool reading_matches(const Reading *reading, const LinkFacts *facts, const Profile *profile) {
        return ini_match(&reading->match, facts->name, facts->type_name, profile->connection_id,
                         profile->connection_uuid) > 0;
}

/* A file that is not UTF-8 is an error for the links that its [Match] is about, and for no other. */
static int apply_bad_file(char *text, size_t length, const char *path, const LinkFacts *facts,
                          Profile *profile) {
        _cleanup_(reading_done) Reading reading = { .path = path };
        _cleanup_(freep) char *error = NULL;
        int r;

        r = section_encoding_error(path, text, length, &error);
        if (r == 0)
                r = ini_parse(text, length, on_assignment, NULL, &reading);
        if (r == 0 && !profile->error && reading_matches(&reading, facts, profile))
                profile->error = TAKE_PTR(error);
        return r;
}

static int apply_file(const char *path, const LinkFacts *facts, Profile *profile) {
        _cleanup_(freep) char *text = NULL, *reason = NULL, *shown = config_path_shown(path);
        _cleanup_(reading_done) Reading reading = { .path = shown };
        size_t length = 0;
        int r;

        if (!shown)
                return -ENOMEM;
        r = config_read(path, FILE_SIZE_MAX, &text, &length, &reason);
        if (r < 0)
                return r;
        if (reason)
                return strings_add(&profile->warnings, reason);
        r = ini_parse(text, length, on_assignment, on_error, &reading);
        if (r == -EILSEQ)
                return apply_bad_file(text, length, shown, facts, profile);
        if (r < 0 || !reading_matches(&reading, facts, profile))
                return r;
        return section_apply(&reading.section, PROFILE_SOURCE_FILE, profile);
}

static bool is_profile(const char *name) {
        size_t length = strlen(name);

        return name[0] != '.' && length > 5 && streq(name + length - 5, ".conf");
}

static bool masked(const char *const *later_directories, const char *name) {
        for (; *later_directories; later_directories++) {
                _cleanup_(freep) char *path = string_format("%s/%s", *later_directories, name);

                if (path && access(path, F_OK) == 0 && config_folder_usable(*later_directories))
                        return true;
        }
        return false;
}

static int apply_directory(const char *const *directories, const LinkFacts *facts, Profile *profile) {
        _cleanup_(strings_freep) char **names = NULL;
        _cleanup_(freep) char *reason = NULL;
        int r;

        r = config_list(*directories, is_profile, &names, &reason);
        if (r == 0 && reason)
                r = strings_add(&profile->warnings, reason);
        for (size_t i = 0; r == 0 && i < strings_count(names); i++)
                if (!masked(directories + 1, names[i])) {
                        _cleanup_(freep) char *path = string_format("%s/%s", *directories, names[i]);

                        r = path ? apply_file(path, facts, profile) : -ENOMEM;
                }
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

/* Any file will do: a link that is plugged in later may match it. */
static bool file_standing(Source *source) {
        const SourceFile *file = (const SourceFile *) source;

        for (const char *const *directory = file->directories; *directory; directory++) {
                _cleanup_(strings_freep) char **names = NULL;
                _cleanup_(freep) char *reason = NULL;

                if (config_list(*directory, is_profile, &names, &reason) < 0 || names)
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
