/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See survey.h. */

#include <sys/stat.h>

#include "base/config.h"
#include "base/message.h"
#include "base/nearest.h"
#include "profile/verify.h"
#include "source/survey.h"

#define NETWORKD_FOLDER "/etc/systemd/network" /* where administrators put their files */

/* What is being made, and what it is made with. */
typedef struct Making {
        Survey *survey;
        const char *const *directories;      /* those that are not done yet */
        const char *const *network_folders;  /* all of them */
        const SurveyLink *links;
        size_t links_count;
} Making;

static void file_done(SurveyFile *file) {
        free(file->path);
        strings_free(file->complaints);
        strings_free(file->links);
}

void survey_done(Survey *survey) {
        for (size_t i = 0; i < survey->count; i++)
                file_done(&survey->files[i]);
        free(survey->files);
        *survey = (Survey) {};
}

/* The file becomes the survey's. */
static int add_file(const Making *making, SurveyFile *file) {
        Survey *survey = making->survey;
        SurveyFile *files = realloc(survey->files, (survey->count + 1) * sizeof(*files));

        if (!files)
                return -ENOMEM;
        survey->files = files;
        survey->files[survey->count++] = *file;
        *file = (SurveyFile) {};
        return 0;
}

/* A file or folder with one complaint, which is taken. */
static int add_complaint(const Making *making, const char *path, char *complaint) {
        _cleanup_(file_done) SurveyFile file = { .path = config_path_shown(path) };
        int r = complaint && file.path ? strings_add(&file.complaints, complaint) : -ENOMEM;

        free(complaint);
        return r < 0 ? r : add_file(making, &file);
}

/* What editors and package managers leave behind is nobody's mistake. */
static bool is_of_people(const char *name) {
        static const char *const suffixes[] = { "~", ".bak", ".old", ".orig", ".swp", ".tmp", ".rpmnew",
                                                ".rpmsave", ".rpmorig", ".pacnew", ".pacsave" };

        for (size_t i = 0; i < ELEMENTS(suffixes); i++)
                if (has_suffix(name, suffixes[i]))
                        return false;
        return name[0] != '.' && !strstr(name, ".dpkg-") && !streq(name, "README");
}

static bool is_folder(const char *path) {
        struct stat status;

        return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool is_file(const char *path) {
        struct stat status;

        return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* "FOLDER/NAME" as it can be shown. */
static char *shown_path(const char *folder, const char *name) {
        _cleanup_(freep) char *path = string_format("%s/%s", folder, name);

        return path ? config_path_shown(path) : NULL;
}

/* Calls one for each entry of a folder that a person may have made. A folder that cannot be read, or may not
 * be used, is the file's. */
static int each_entry(const Making *making, const char *folder, bool complain,
                      int (*one)(const Making *making, const char *folder, const char *name)) {
        _cleanup_(strings_freep) char **names = NULL;
        _cleanup_(freep) char *reason = NULL;
        int r = config_list(folder, is_of_people, &names, &reason);

        if (r == 0 && reason && complain)
                r = add_complaint(making, folder, TAKE_PTR(reason));
        for (size_t i = 0; r == 0 && i < strings_count(names); i++)
                r = one(making, folder, names[i]);
        return r;
}

/* ---- files of ours */

static int match_links(const Making *making, const IniMatch *match, char ***links) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < making->links_count; i++) {
                const SurveyLink *link = &making->links[i];

                r = ini_match(match, link->name, link->type_name, link->connection, link->connection_uuid);
                if (r > 0)
                        r = strings_add(links, link->name);
        }
        return r < 0 ? r : 0;
}

static int take_complaints(SurveyFile *file, char *const *complaints) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < strings_count(complaints); i++)
                r = strings_add(&file->complaints, complaints[i]);
        return r;
}

static void verified_donep(Verified *verified) {
        verified_done(verified);
}

static int survey_profile(const Making *making, const char *path) {
        _cleanup_(verified_donep) Verified verified = {};
        _cleanup_(file_done) SurveyFile file = { .path = config_path_shown(path) };
        _cleanup_(freep) char *text = NULL, *reason = NULL;
        size_t length = 0;
        int r;

        if (!file.path)
                return -ENOMEM;
        r = config_read(path, CONFIG_PROFILE_SIZE_MAX, &text, &length, &reason);
        if (r == 0 && reason)
                r = strings_add(&file.complaints, reason);
        else if (r == 0 && length == 0)
                return 0; /* it is masked */
        if (r == 0 && text && !reason)
                r = verify_text(text, length, VERIFY_PROFILE_PART, file.path, &verified);
        if (r == 0)
                r = take_complaints(&file, verified.complaints);
        if (r == 0)
                r = match_links(making, &verified.match, &file.links);
        return r < 0 ? r : add_file(making, &file);
}

static bool is_masked(const Making *making, const char *name) {
        for (const char *const *later = making->directories + 1; *later; later++) {
                _cleanup_(freep) char *path = string_format("%s/%s", *later, name);

                if (path && access(path, F_OK) == 0 && config_folder_usable(*later))
                        return true;
        }
        return false;
}

static int survey_entry(const Making *making, const char *folder, const char *name) {
        _cleanup_(freep) char *path = string_format("%s/%s", folder, name);
        _cleanup_(freep) char *shown = path ? config_path_shown(path) : NULL;
        _cleanup_(freep) char *right = shown_path(NETWORKD_FOLDER, name);

        if (!shown || !right)
                return -ENOMEM;
        if (has_suffix(name, ".network") || has_suffix(name, ".network.d"))
                return add_complaint(making, path, message_format(
                                N_("%s is ignored: systemd-networkd does not read it here. Move it to %s."),
                                shown, right));
        if (is_folder(path))
                return add_complaint(making, path, message_format(
                                N_("%s is ignored: profiles are files, not folders. Move its files to %s."),
                                shown, folder));
        if (has_suffix(name, ".conf"))
                return is_masked(making, name) ? 0 : survey_profile(making, path);
        return add_complaint(making, path, message_format(
                        N_("%s is ignored: the name of a profile file ends in .conf. Move it to %s.conf."),
                        shown, shown));
}

/* ---- files of networkd */

/* Whether a file says something to us, or tries to; *ret_file has what is wrong with it. 1, 0 or -ENOMEM. */
static int read_network(const char *path, SurveyFile *ret_file) {
        _cleanup_(verified_donep) Verified verified = {};
        _cleanup_(file_done) SurveyFile file = { .path = config_path_shown(path) };
        _cleanup_(freep) char *text = NULL, *reason = NULL;
        size_t length = 0;
        int r;

        if (!file.path)
                return -ENOMEM;
        r = config_read(path, CONFIG_NETWORK_SIZE_MAX, &text, &length, &reason);
        if (r < 0 || !text)
                return r;
        r = verify_text(text, length, VERIFY_NETWORK_PART, file.path, &verified);
        if (r < 0 || verified.settings + verified.resembling == 0)
                return r;
        r = reason ? strings_add(&file.complaints, reason) : take_complaints(&file, verified.complaints);
        if (r < 0)
                return r;
        *ret_file = file;
        file = (SurveyFile) {};
        return 1;
}

static const char *base_name(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

/* A file by this path, or one with this name and drop-ins: which links does networkd manage by it? */
static int managed_links(const Making *making, const char *path, const char *name, char ***links) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < making->links_count; i++) {
                const char *network_file = making->links[i].network_file;

                if (network_file &&
                    (path ? streq(network_file, path) : streq(base_name(network_file), name)))
                        r = strings_add(links, making->links[i].name);
        }
        return r;
}

/* The file that drop-ins belong to, in any folder. */
static bool network_exists(const Making *making, const char *name) {
        for (const char *const *folder = making->network_folders; *folder; folder++) {
                _cleanup_(freep) char *path = string_format("%s/%s", *folder, name);

                if (path && is_file(path))
                        return true;
        }
        return false;
}

static bool is_network(const char *name) {
        return name[0] != '.' && has_suffix(name, ".network");
}

/* A name without ".network". */
static char *stem_of(const char *name) {
        return strndup(name, strlen(name) - strlen(".network"));
}

/* The .network file whose name resembles this one; NULL: there is none. */
static char *nearest_network(const Making *making, const char *name) {
        _cleanup_(freep) char *stem = stem_of(name);
        size_t best_distance = stem ? nearest_limit(stem) + 1 : 0;
        char *best = NULL;

        for (const char *const *folder = making->network_folders; *folder; folder++) {
                _cleanup_(strings_freep) char **names = NULL;
                _cleanup_(freep) char *reason = NULL;

                if (config_list(*folder, is_network, &names, &reason) < 0)
                        break;
                for (size_t i = 0; i < strings_count(names); i++) {
                        _cleanup_(freep) char *other = stem_of(names[i]);
                        const size_t distance = stem && other ? nearest_distance(stem, other) : SIZE_MAX;

                        if (distance < best_distance && string_replace(&best, names[i]) == 0)
                                best_distance = distance;
                }
        }
        return best;
}

/* Drop-ins in a folder whose .network file does not exist. network: its name, had the folder the right
 * one. */
static int complain_of_folder(const Making *making, const char *folder, const char *network) {
        _cleanup_(freep) char *shown = config_path_shown(folder);
        _cleanup_(freep) char *nearest =
                network_exists(making, network) ? strdup(network) : nearest_network(making, network);
        _cleanup_(freep) char *file = shown_path(NETWORKD_FOLDER, nearest ?: network);
        _cleanup_(freep) char *expected = config_path_shown(network);

        if (!shown || !file || !expected)
                return -ENOMEM;
        if (nearest)
                return add_complaint(making, folder, message_format(
                                N_("%s is ignored: a folder of drop-ins has the name of a .network file "
                                   "that exists. Move it to %s.d."),
                                shown, file));
        return add_complaint(making, folder, message_format(
                        N_("%s is ignored: there is no file %s that it could add to. Name it after the "
                           ".network file of the link: `networkctl status LINK` tells which one that is."),
                        shown, expected));
}

static int survey_dropin(const Making *making, const char *folder, const char *name) {
        _cleanup_(freep) char *path = string_format("%s/%s", folder, name);
        _cleanup_(freep) char *network = strdup(base_name(folder));
        _cleanup_(file_done) SurveyFile file = {};
        int r;

        if (!path || !network)
                return -ENOMEM;
        network[strlen(network) - strlen(".d")] = '\0';
        r = is_file(path) ? read_network(path, &file) : 0;
        if (r <= 0)
                return r;
        if (!has_suffix(name, ".conf"))
                return add_complaint(making, path, message_format(
                                N_("%s is ignored: the name of a drop-in ends in .conf. Move it to "
                                   "%s.conf."),
                                file.path, file.path));
        r = managed_links(making, NULL, network, &file.links);
        return r < 0 ? r : add_file(making, &file);
}

/* A folder "NAME.d" with at least one file for us, which nobody reads. */
static int survey_stray_folder(const Making *making, const char *folder, const char *network) {
        _cleanup_(strings_freep) char **names = NULL;
        _cleanup_(freep) char *reason = NULL;
        int r = config_list(folder, is_of_people, &names, &reason);

        for (size_t i = 0; r == 0 && i < strings_count(names); i++) {
                _cleanup_(freep) char *path = string_format("%s/%s", folder, names[i]);
                _cleanup_(file_done) SurveyFile file = {};

                r = !path ? -ENOMEM : is_file(path) ? read_network(path, &file) : 0;
        }
        return r <= 0 ? r : complain_of_folder(making, folder, network);
}

static int survey_network_folder(const Making *making, const char *path, const char *name) {
        _cleanup_(freep) char *network = strndup(name, strlen(name) - strlen(".d"));
        _cleanup_(freep) char *whole = network ? string_format("%s.network", network) : NULL;

        if (!whole)
                return -ENOMEM;
        if (!is_network(network))
                return survey_stray_folder(making, path, whole);
        return network_exists(making, network) ? each_entry(making, path, false, survey_dropin)
                                               : survey_stray_folder(making, path, network);
}

static int survey_network_entry(const Making *making, const char *folder, const char *name) {
        _cleanup_(freep) char *path = string_format("%s/%s", folder, name);
        _cleanup_(file_done) SurveyFile file = {};
        int r;

        if (!path)
                return -ENOMEM;
        if (is_folder(path))
                return has_suffix(name, ".d") ? survey_network_folder(making, path, name) : 0;
        r = is_file(path) ? read_network(path, &file) : 0;
        if (r <= 0)
                return r;
        if (!is_network(name))
                return add_complaint(making, path, message_format(
                                N_("%s is ignored: systemd-networkd reads settings of links from files "
                                   "whose names end in .network, and from their drop-ins. Move it to "
                                   "%s.network."),
                                file.path, file.path));
        r = managed_links(making, path, NULL, &file.links);
        return r < 0 ? r : add_file(making, &file);
}

/* /lib may be /usr/lib. */
static bool is_seen(const char *const *folders, const char *const *folder) {
        struct stat status, other;

        if (stat(*folder, &status) < 0)
                return false;
        for (; folders < folder; folders++)
                if (stat(*folders, &other) == 0 && other.st_dev == status.st_dev &&
                    other.st_ino == status.st_ino)
                        return true;
        return false;
}

int survey_make(const char *const *directories, const char *const *network_folders, const SurveyLink *links,
                size_t links_count, Survey *ret) {
        Survey survey = {};
        Making making = {
                .survey = &survey,
                .directories = directories,
                .network_folders = network_folders,
                .links = links,
                .links_count = links_count,
        };
        int r = 0;

        for (; r == 0 && *making.directories; making.directories++)
                r = each_entry(&making, *making.directories, true, survey_entry);
        for (const char *const *folder = network_folders; r == 0 && *folder; folder++)
                if (!is_seen(network_folders, folder))
                        r = each_entry(&making, *folder, false, survey_network_entry);
        if (r < 0) {
                survey_done(&survey);
                return r;
        }
        *ret = survey;
        return 0;
}
