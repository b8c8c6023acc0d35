/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which drop-ins a .network file has, and what [X-Underpass] says in all of them. networkd ignores sections
 * whose name begins with "X-".
 */

#include "base/config.h"
#include "base/message.h"
#include "profile/ini.h"
#include "source/networkd-files.h"

typedef struct Reading {
        const char *path;      /* as it can be shown */
        const char *text;
        size_t length;
        Section *section;
} Reading;

/* networkd leaves hidden files out. */
static bool is_named(const char *name, const char *suffix) {
        return name[0] != '.' && has_suffix(name, suffix);
}

static bool is_dropin(const char *name) {
        return is_named(name, ".conf");
}

static bool is_network(const char *name) {
        return is_named(name, ".network");
}

static bool is_network_folder(const char *name) {
        return is_named(name, ".network.d");
}

static const char *base_name(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

static int compare_base_names(const void *a, const void *b) {
        return strcmp(base_name(*(char *const *) a), base_name(*(char *const *) b));
}

static bool base_name_in(char *const *paths, size_t count, const char *name) {
        for (size_t i = 0; i < count; i++)
                if (streq(base_name(paths[i]), name))
                        return true;
        return false;
}

/* Paths of the files of a folder that are chosen, and whose names are not in the list yet. */
static int add_folder(const char *folder, bool (*chosen)(const char *name), char ***paths,
                      Section *section) {
        _cleanup_(strings_freep) char **names = NULL;
        _cleanup_(freep) char *reason = NULL;
        const size_t before = strings_count(*paths);
        int r;

        r = config_list(folder, chosen, &names, &reason);
        if (r == 0 && reason) {
                _cleanup_(freep) char *path = string_format("%s/", folder);
                _cleanup_(freep) char *shown = path ? config_path_shown(path) : NULL;

                r = shown ? section_add_unread(section, shown, reason) : -ENOMEM;
        }
        for (size_t i = 0; r == 0 && i < strings_count(names); i++)
                if (!base_name_in(*paths, before, names[i]))
                        r = strings_addf(paths, "%s/%s", folder, names[i]);
        return r;
}

int networkd_dropins(const char *const *folders, const char *network_file, char ***ret, Section *section) {
        _cleanup_(strings_freep) char **paths = NULL;

        for (; *folders; folders++) {
                _cleanup_(freep) char *folder =
                        string_format("%s/%s.d", *folders, base_name(network_file));
                int r = folder ? add_folder(folder, is_dropin, &paths, section) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        if (paths)
                qsort(paths, strings_count(paths), sizeof(*paths), compare_base_names);
        *ret = TAKE_PTR(paths);
        return 0;
}

static int on_assignment(const char *section, const char *key, const char *value, unsigned line,
                         void *userdata) {
        const Reading *reading = userdata;

        if (streq(section, SECTION_NAME))
                return section_add(reading->section, key, value, reading->path, line);
        if (ini_section_resembles(section, SECTION_NAME))
                return message_add(&reading->section->warnings,
                                   N_("%s:%u: the section [%s] is ignored; did you mean [%s]?"),
                                   reading->path, line, section, SECTION_NAME);
        return 0;
}

/* networkd itself warns about lines in other sections. */
static void on_error(unsigned line, const char *error, void *userdata) {
        const Reading *reading = userdata;

        if (ini_line_is_in(reading->text, reading->length, line, SECTION_NAME))
                (void) message_add(&reading->section->warnings, N_("%s:%u: %s"), reading->path, line, error);
}

/* In a file that is not UTF-8 networkd skips the lines that are not, but nobody knows what they were to say
 * to us. So it is an error, provided that it has our section at all. */
static int read_bad_file(Reading *reading, char *text) {
        const size_t count = strings_count(reading->section->keys);
        _cleanup_(freep) char *error = NULL;
        int r;

        r = section_encoding_error(reading->path, text, reading->length, &error);
        if (r == 0)
                r = ini_parse(text, reading->length, on_assignment, NULL, reading);
        if (r == 0 && strings_count(reading->section->keys) > count && !reading->section->error)
                reading->section->error = TAKE_PTR(error);
        return r;
}

/* Somebody else may have written it. A file that says nothing to us is networkd's business alone, unless it
 * takes away what was said before. */
static int warn_of_file(const Reading *reading, char *text, const char *reason) {
        _cleanup_(section_done) Section section = {};
        Reading scratch = { .path = reading->path, .section = &section };
        int r = 0;

        if (text) {
                ini_mask(text, reading->length);
                r = ini_parse(text, reading->length, on_assignment, NULL, &scratch);
        }
        if (r < 0)
                return r;
        if (text && !section.keys)
                return section_add_silent(reading->section, reading->path, reason);
        return section_add_unread(reading->section, reading->path, reason);
}

static int read_file(const char *path, Section *section) {
        _cleanup_(freep) char *text = NULL, *reason = NULL, *shown = config_path_shown(path);
        Reading reading = { .path = shown, .section = section };
        int r;

        if (!shown)
                return -ENOMEM;
        r = config_read(path, CONFIG_NETWORK_SIZE_MAX, &text, &reading.length, &reason);
        if (r < 0)
                return r;
        if (reason)
                return warn_of_file(&reading, text, reason);
        reading.text = text;
        r = ini_parse(text, reading.length, on_assignment, on_error, &reading);
        return r == -EILSEQ ? read_bad_file(&reading, text) : r;
}

int networkd_section_read(const char *const *folders, const NetworkdAnswer *answer, Section *ret) {
        _cleanup_(section_done) Section section = {};
        _cleanup_(strings_freep) char **found = NULL;
        char **dropins = answer->dropins;
        int r = 0;

        if (answer->claim != NETWORKD_MANAGED) {
                *ret = (Section) {};
                return 0;
        }
        if (!answer->dropins_told) {
                r = networkd_dropins(folders, answer->network_file, &found, &section);
                dropins = found;
        }
        if (r >= 0)
                r = read_file(answer->network_file, &section);
        for (size_t i = 0; r >= 0 && i < strings_count(dropins); i++)
                r = read_file(dropins[i], &section);
        if (r < 0)
                return r;
        *ret = section;
        section = (Section) {};
        return 0;
}

int networkd_section_apply(const Section *section, Profile *profile) {
        int r = section_apply(section, PROFILE_SOURCE_NETWORKD, profile);

        /* networkd registers no MPTCP endpoints, so somebody has to. Servers need none: it is the client
         * that builds subflows, and the kernel has room for eight endpoints only. */
        if (r == 0 && section->keys && profile->settings.remote_ports.count > 0 &&
            profile->origins[KEY_ID_MPTCP_ENDPOINT].source == PROFILE_SOURCE_DEFAULT)
                r = profile_set(profile, key_get(KEY_ID_MPTCP_ENDPOINT), "subflow", PROFILE_SOURCE_NETWORKD,
                                "default for systemd-networkd");
        return r;
}

static bool file_has_section(const char *path) {
        _cleanup_(section_done) Section section = {};

        return read_file(path, &section) >= 0 && section.keys;
}

static bool any_has_section(const char *folder, bool (*chosen)(const char *name)) {
        _cleanup_(strings_freep) char **paths = NULL;
        _cleanup_(section_done) Section scratch = {};
        bool found = false;

        if (add_folder(folder, chosen, &paths, &scratch) < 0)
                return false;
        for (size_t i = 0; !found && i < strings_count(paths); i++)
                found = chosen == is_network_folder ? any_has_section(paths[i], is_dropin)
                                                    : file_has_section(paths[i]);
        return found;
}

bool networkd_any_section(const char *const *folders) {
        for (; *folders; folders++)
                if (any_has_section(*folders, is_network) || any_has_section(*folders, is_network_folder))
                        return true;
        return false;
}
