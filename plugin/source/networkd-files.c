/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The files of the networkd source: which drop-ins a .network file has, and what [X-Underpass] says in them.
 * networkd ignores sections whose name begins with "X-".
 */

#include <dirent.h>

#include "base/i18n.h"
#include "profile/ini.h"
#include "source/networkd-files.h"

#define SECTION "X-Underpass"

enum { FILE_SIZE_MAX = 1024 * 1024 };

/* The last one counts where /lib is a folder of its own. */
const char *const networkd_folders[] = {
        "/etc/systemd/network",     "/run/systemd/network", "/usr/local/lib/systemd/network",
        "/usr/lib/systemd/network", "/lib/systemd/network", NULL,
};

typedef struct Reading {
        const char *path;
        const char *text;
        size_t length;
        NetworkdSections *sections;
} Reading;

void networkd_sections_done(NetworkdSections *sections) {
        strings_free(sections->keys);
        strings_free(sections->values);
        strings_free(sections->origins);
        strings_free(sections->warnings);
        free(sections->error);
        *sections = (NetworkdSections) {};
}

static bool has_suffix(const char *name, const char *suffix) {
        const size_t length = strlen(name), suffix_length = strlen(suffix);

        return name[0] != '.' && length > suffix_length && streq(name + length - suffix_length, suffix);
}

static int is_dropin(const struct dirent *entry) {
        return has_suffix(entry->d_name, ".conf");
}

static int is_network(const struct dirent *entry) {
        return has_suffix(entry->d_name, ".network");
}

static int is_network_folder(const struct dirent *entry) {
        return has_suffix(entry->d_name, ".network.d");
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
static int add_folder(const char *folder, int (*chosen)(const struct dirent *entry), char ***paths) {
        struct dirent **entries = NULL;
        int count = scandir(folder, &entries, chosen, NULL), r = 0;
        const size_t before = strings_count(*paths);

        for (int i = 0; i < count; i++) {
                if (r == 0 && !base_name_in(*paths, before, entries[i]->d_name))
                        r = strings_addf(paths, "%s/%s", folder, entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        return r;
}

int networkd_dropins(const char *const *folders, const char *network_file, char ***ret) {
        _cleanup_(strings_freep) char **paths = NULL;

        for (; *folders; folders++) {
                _cleanup_(freep) char *folder =
                        string_format("%s/%s.d", *folders, base_name(network_file));
                int r = folder ? add_folder(folder, is_dropin, &paths) : -ENOMEM;

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
        NetworkdSections *sections = reading->sections;
        int r;

        if (!streq(section, SECTION))
                return 0;
        r = strings_add(&sections->keys, key);
        if (r == 0)
                r = strings_add(&sections->values, value);
        if (r == 0)
                r = strings_addf(&sections->origins, "%s:%u", reading->path, line);
        return r;
}

/* Of lines in other sections networkd itself complains. */
static void on_complaint(unsigned line, const char *reason, void *userdata) {
        const Reading *reading = userdata;

        if (ini_line_is_in(reading->text, reading->length, line, SECTION))
                (void) strings_addf(&reading->sections->warnings, "%s:%u: %s", reading->path, line, reason);
}

/* A file that is not UTF-8: networkd skips such lines, but nobody knows what they were to say to us. */
static int refuse_file(const Reading *reading, char *text) {
        const size_t count = strings_count(reading->sections->keys);
        _cleanup_(freep) char *excerpt = NULL;
        unsigned line;
        int r;

        excerpt = ini_bad_line(text, reading->length, &line);
        if (!excerpt)
                return -ENOMEM;
        ini_mask(text, reading->length);
        r = ini_parse(text, reading->length, on_assignment, NULL, (void *) reading);
        if (r < 0 || strings_count(reading->sections->keys) == count || reading->sections->error)
                return r;
        reading->sections->error =
                string_format(_("%s:%u: \"%s\" is not valid UTF-8; save the file as UTF-8."), reading->path,
                              line, excerpt);
        return reading->sections->error ? 0 : -ENOMEM;
}

static int read_file(const char *path, NetworkdSections *sections) {
        _cleanup_(freep) char *text = NULL;
        Reading reading = { .path = path, .sections = sections };
        int r;

        r = file_read(path, FILE_SIZE_MAX, &text, &reading.length);
        if (r == -ENOENT)
                return 0; /* a dangling link, or removed and networkd not told yet */
        if (r < 0)
                return strings_addf(&sections->warnings, _("%s cannot be read and is ignored: %s."), path,
                                    strerror(-r));
        reading.text = text;
        r = ini_parse(text, reading.length, on_assignment, on_complaint, &reading);
        return r == -EILSEQ ? refuse_file(&reading, text) : r;
}

int networkd_sections_read(const char *const *folders, const NetworkdAnswer *answer, NetworkdSections *ret) {
        _cleanup_(networkd_sections_done) NetworkdSections sections = {};
        _cleanup_(strings_freep) char **found = NULL;
        char **dropins = answer->dropins;
        int r = 0;

        if (answer->claim != NETWORKD_MANAGED) {
                *ret = (NetworkdSections) {};
                return 0;
        }
        if (!answer->dropins_told) {
                r = networkd_dropins(folders, answer->network_file, &found);
                dropins = found;
        }
        if (r >= 0)
                r = read_file(answer->network_file, &sections);
        for (size_t i = 0; r >= 0 && i < strings_count(dropins); i++)
                r = read_file(dropins[i], &sections);
        if (r < 0)
                return r;
        *ret = sections;
        sections = (NetworkdSections) {};
        return 0;
}

int networkd_sections_apply(const NetworkdSections *sections, Profile *profile) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < strings_count(sections->keys); i++) {
                const Key *key = key_find_section(sections->keys[i]);

                if (key)
                        r = profile_set(profile, key, sections->values[i], PROFILE_SOURCE_NETWORKD,
                                        sections->origins[i]);
                else
                        r = profile_unknown_key(profile, sections->keys[i], PROFILE_SOURCE_NETWORKD,
                                                sections->origins[i]);
        }
        /* networkd registers no MPTCP endpoints, so somebody has to. Servers need none: it is the client
         * that builds subflows, and the kernel has room for eight endpoints only. */
        if (r == 0 && sections->keys && profile->settings.remote_ports.count > 0 &&
            profile->origins[KEY_ID_MPTCP_ENDPOINT].source == PROFILE_SOURCE_DEFAULT)
                r = profile_set(profile, key_get(KEY_ID_MPTCP_ENDPOINT), "subflow",
                                PROFILE_SOURCE_NETWORKD, "default for systemd-networkd");
        for (size_t i = 0; r == 0 && i < strings_count(sections->warnings); i++)
                r = strings_add(&profile->warnings, sections->warnings[i]);
        if (r == 0 && sections->error && !profile->error)
                r = string_replace(&profile->error, sections->error);
        return r;
}

static bool file_has_section(const char *path) {
        _cleanup_(networkd_sections_done) NetworkdSections sections = {};

        return read_file(path, &sections) >= 0 && sections.keys;
}

static bool any_has_section(const char *folder, int (*chosen)(const struct dirent *entry)) {
        _cleanup_(strings_freep) char **paths = NULL;
        bool found = false;

        if (add_folder(folder, chosen, &paths) < 0)
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
