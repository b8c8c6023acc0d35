/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Profiles in files: NAME.conf in /usr/lib/underpass and /etc/underpass, [Match] and [X-Underpass], for
 * links that no network manager manages and for systems whose NetworkManager loses user.data. All matching
 * files apply, in the order of their names.
 *
 * They are read each time: they are few and small, and what they say is always in force at once. Which files
 * a link had is remembered: one that cannot be read any more is an error for this link.
 */

#include "base/config.h"
#include "base/message.h"
#include "profile/ini.h"
#include "source/section.h"
#include "source/source.h"

/* What is remembered of a link between two looks. */
typedef struct FileLink {
        struct FileLink *next;
        uint32_t ifindex;
        char **files;          /* that applied to it when they were last read without an error, as shown */
        bool unread;           /* at the last look there was something that could not be read */
} FileLink;

typedef struct SourceFile {
        Source source;
        const char *const *directories;
        FileLink *links;
} SourceFile;

/* One look at all files for a link. */
typedef struct Look {
        const LinkFacts *facts;
        Profile *profile;
        const FileLink *before;
        char **files;          /* as in FileLink, for the next look */
        bool unread;
} Look;

/* One file while it is read. [Match] may come last, so values are kept until the end. */
typedef struct Reading {
        const char *path;      /* as it can be shown */
        IniMatch match;
        Section section;
        bool has_errors;       /* lines that are none */
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
        return message_add(
                &reading->section.warnings,
                N_("%s:%u: [Match] has no key \"%s\"; known are Name=, Type=, Connection= and UUID=."),
                reading->path, line, key);
}

static int on_assignment(const char *section, const char *key, const char *value, unsigned line,
                         void *userdata) {
        Reading *reading = userdata;

        if (streq(section, "Match"))
                return on_match(reading, key, value, line);
        if (ini_section_resembles(section, SECTION_NAME))
                return message_add(&reading->section.warnings,
                                   N_("%s:%u: the section [%s] is ignored; did you mean [%s]?"),
                                   reading->path, line, section, SECTION_NAME);
        if (!streq(section, SECTION_NAME))
                return message_add(
                        &reading->section.warnings,
                        N_("%s:%u: \"%s\" stands outside of [Match] and [X-Underpass] and is ignored."),
                        reading->path, line, key);
        return section_add(&reading->section, key, value, reading->path, line);
}

static void on_error(unsigned line, const char *error, void *userdata) {
        Reading *reading = userdata;

        reading->has_errors = true;
        (void) message_add(&reading->section.warnings, N_("%s:%u: %s"), reading->path, line, error);
}

static bool reading_matches(const Reading *reading, const LinkFacts *facts, const Profile *profile) {
        return ini_match(&reading->match, facts->name, facts->type_name, profile->connection_id,
                         profile->connection_uuid) > 0;
}

/* What cannot be read does not say whom it is about, so it is an error for the links that it applied to
 * before, or that the file did which it replaces: they are left as they are. path: of a file, or of a folder
 * with its slash. */
static int keep_files(Look *look, const char *path, const char *sentence) {
        bool applied = false;
        int r = 0;

        for (size_t i = 0; r == 0 && i < strings_count(look->before->files); i++) {
                const char *file = look->before->files[i];
                const size_t length = strlen(path);

                if (path[length - 1] == '/' ? strncmp(file, path, length) != 0
                                            : !config_same_name(path, file, strlen(file)))
                        continue;
                applied = true;
                r = strings_add(&look->files, file);
        }
        if (r == 0 && applied && !look->profile->error)
                r = string_replace(&look->profile->error, sentence);
        return r;
}

/* A file that is not UTF-8 is an error for the links that its [Match] is about, and for no other. */
static int apply_bad_file(char *text, size_t length, const char *path, Look *look) {
        _cleanup_(reading_done) Reading reading = { .path = path };
        _cleanup_(freep) char *error = NULL;
        int r;

        r = section_encoding_error(path, text, length, &error);
        if (r == 0)
                r = ini_parse(text, length, on_assignment, NULL, &reading);
        if (r == 0)
                r = keep_files(look, path, error);
        if (r == 0 && !look->profile->error && reading_matches(&reading, look->facts, look->profile))
                look->profile->error = TAKE_PTR(error);
        return r;
}

/* A service that has just started does not know whom it was about. */
static int set_unread(Look *look, const char *sentence) {
        look->unread = true;
        return look->profile->unread ? 0 : string_replace(&look->profile->unread, sentence);
}

static int on_unread(Look *look, const char *path, const char *reason) {
        int r;

        r = strings_add(&look->profile->warnings, reason);
        if (r == 0)
                r = set_unread(look, reason);
        return r < 0 ? r : keep_files(look, path, reason);
}

/* A slip of the pen in a file that was right before could take away more than its line. */
static int apply_reading(const Reading *reading, Look *look) {
        int r;

        if (reading->has_errors) {
                r = keep_files(look, reading->path, reading->section.warnings[0]);
                if (r < 0 || strings_contain(look->before->files, reading->path))
                        return r;
                r = set_unread(look, reading->section.warnings[0]);
                if (r < 0)
                        return r;
        }
        if (!reading_matches(reading, look->facts, look->profile))
                return 0;
        r = section_apply(&reading->section, PROFILE_SOURCE_FILE, look->profile);
        return r < 0 || reading->has_errors ? r : strings_add(&look->files, reading->path);
}

static int apply_file(const char *path, Look *look) {
        _cleanup_(freep) char *text = NULL, *reason = NULL, *shown = config_path_shown(path);
        _cleanup_(reading_done) Reading reading = { .path = shown };
        size_t length = 0;
        int r;

        if (!shown)
                return -ENOMEM;
        r = config_read(path, CONFIG_PROFILE_SIZE_MAX, &text, &length, &reason);
        if (r < 0)
                return r;
        if (reason)
                return on_unread(look, shown, reason);
        r = ini_parse(text, length, on_assignment, on_error, &reading);
        if (r == -EILSEQ)
                return apply_bad_file(text, length, shown, look);
        return r < 0 ? r : apply_reading(&reading, look);
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

static int apply_directory(const char *const *directories, Look *look) {
        _cleanup_(strings_freep) char **names = NULL;
        _cleanup_(freep) char *reason = NULL;
        int r;

        r = config_list(*directories, is_profile, &names, &reason);
        if (r == 0 && reason) {
                _cleanup_(freep) char *folder = string_format("%s/", *directories);
                _cleanup_(freep) char *shown = folder ? config_path_shown(folder) : NULL;

                r = shown ? on_unread(look, shown, reason) : -ENOMEM;
        }
        for (size_t i = 0; r == 0 && i < strings_count(names); i++)
                if (!masked(directories + 1, names[i])) {
                        _cleanup_(freep) char *path = string_format("%s/%s", *directories, names[i]);

                        r = path ? apply_file(path, look) : -ENOMEM;
                }
        return r;
}

static FileLink *link_find(const SourceFile *file, uint32_t ifindex) {
        for (FileLink *link = file->links; link; link = link->next)
                if (link->ifindex == ifindex)
                        return link;
        return NULL;
}

static FileLink *link_get(SourceFile *file, uint32_t ifindex) {
        FileLink *link = link_find(file, ifindex);

        if (link)
                return link;
        link = calloc(1, sizeof(*link));
        if (!link)
                return NULL;
        *link = (FileLink) { .next = file->links, .ifindex = ifindex };
        file->links = link;
        return link;
}

static int file_apply(Source *source, const LinkFacts *facts, Profile *profile) {
        SourceFile *file = (SourceFile *) source;
        FileLink *link = link_get(file, facts->ifindex);
        Look look = { .facts = facts, .profile = profile, .before = link };
        int r = link ? 0 : -ENOMEM;

        for (const char *const *directory = file->directories; r == 0 && *directory; directory++)
                r = apply_directory(directory, &look);
        if (r < 0) {
                strings_free(look.files);
                return r;
        }
        strings_free(link->files);
        link->files = look.files;
        link->unread = look.unread;
        return 0;
}

static bool file_uncertain(Source *source, uint32_t ifindex) {
        const FileLink *link = link_find((const SourceFile *) source, ifindex);

        return link && link->unread;
}

static void file_forget(Source *source, uint32_t ifindex) {
        SourceFile *file = (SourceFile *) source;

        for (FileLink **position = &file->links; *position; position = &(*position)->next)
                if ((*position)->ifindex == ifindex) {
                        FileLink *link = *position;

                        *position = link->next;
                        strings_free(link->files);
                        free(link);
                        return;
                }
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
        const SourceFile *file = (const SourceFile *) source;

        while (file->links)
                file_forget(source, file->links->ifindex);
        free(source);
}

int source_file_new(Source **ret, const char *const *directories) {
        static const SourceOps ops = {
                .source = PROFILE_SOURCE_FILE,
                .available = file_available,
                .apply = file_apply,
                .uncertain = file_uncertain,
                .standing = file_standing,
                .forget = file_forget,
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
