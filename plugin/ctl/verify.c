/* SPDX-License-Identifier: GPL-2.0-or-later */

/* "underpassctl verify": what is wrong in files with settings, and which links they match. Asks no service.
 */

#include "base/config.h"
#include "base/i18n.h"
#include "base/util.h"
#include "ctl/error.h"
#include "ctl/files.h"
#include "ctl/json.h"
#include "ctl/network-match.h"
#include "ctl/text.h"
#include "ctl/verify.h"
#include "kernel/rtnl.h"
#include "profile/verify.h"

enum { FILE_BYTES_MAX = 64 * 1024 };

/* Whether it holds for the path. Services know a folder by its own name, the user perhaps by a link to it,
 * or as the folder where he is. */
static bool holds(bool (*test)(const char *absolute), const char *path) {
        g_autofree char *absolute = g_canonicalize_filename(path, NULL);
        g_autofree char *folder = g_path_get_dirname(path);
        g_autofree char *name = g_path_get_basename(path);
        _cleanup_(freep) char *resolved = realpath(folder, NULL);
        g_autofree char *other = resolved ? g_build_filename(resolved, name, NULL) : NULL;

        return test(absolute) || (other && test(other));
}

/* Drop-ins of networkd are in folders whose names end in ".network.d". */
static bool is_networkd(const char *absolute) {
        g_autofree char *folder = g_path_get_dirname(absolute);

        return g_str_has_suffix(absolute, ".network") || g_str_has_suffix(folder, ".network.d");
}

/* Whether the file lies in the folder, or below it. */
static bool is_below(const char *folder, const char *path) {
        return g_str_has_prefix(path, folder) && path[strlen(folder)] == '/';
}

static bool is_below_one(const char *const *folders, const char *path) {
        for (; *folders; folders++)
                if (is_below(*folders, path))
                        return true;
        return false;
}

/* Where the service reads files, or has networkd read them. */
static bool is_in_place(const char *absolute) {
        return is_below_one(config_profile_folders, absolute) ||
               is_below_one(config_network_folders, absolute);
}

/* A name that nobody reads, and who may write to the file. */
static void check_file(const char *path, VerifyKind kind, char ***complaints) {
        _cleanup_(freep) char *reason = NULL;

        if (!g_str_has_suffix(path, ".conf") && !g_str_has_suffix(path, ".network"))
                text_append(complaints, g_strdup_printf(kind == VERIFY_NETWORK
                                                                ? _("%s: the name of a drop-in ends in "
                                                                    ".conf, so this file is ignored.")
                                                                : _("%s: the name of a profile file ends in "
                                                                    ".conf, so this file is ignored."),
                                                        path));
        if (config_refusal(path, holds(is_in_place, path), &reason) >= 0 && reason)
                text_append(complaints, g_strdup(reason));
}

/* A drop-in adds to a file that has the conditions. */
static bool is_dropin(const char *path) {
        return !g_str_has_suffix(path, ".network");
}

/* Appends the names of links that match now; conditions about connections are not known without
 * NetworkManager. */
static void matching_links(const IniMatch *match, GPtrArray *names) {
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;
        g_autofree uint32_t *indexes = NULL;
        size_t count = 0;

        if (rtnl_open(&rtnl) < 0 || rtnl_links(rtnl, &indexes, &count) < 0)
                count = 0;
        for (size_t i = 0; i < count; i++) {
                _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;

                if (rtnl_link(rtnl, indexes[i], &facts) >= 0 &&
                    !g_str_has_prefix(facts->name, "underpass-") &&
                    ini_match(match, facts->name, facts->type_name, match->connection, match->uuid) > 0)
                        g_ptr_array_add(names, g_strdup(facts->name));
        }
}

/* What is found of a file. */
typedef struct Finding {
        const char *path;
        bool dropin;          /* the links are those of another file */
        char **complaints;    /* NULL: none */
        GPtrArray *links;     /* ends in NULL */
        char **unevaluated;   /* conditions that only networkd can evaluate; NULL: none */
} Finding;

static void show(const Ctl *ctl, JsonBuilder *builder, const Finding *finding) {
        char *const *links = (char *const *) finding->links->pdata;

        json_builder_begin_object(builder);
        files_add_members(builder, finding->path, finding->complaints, links);
        json_member_strings(builder, "unevaluated_conditions", finding->unevaluated);
        json_builder_end_object(builder);
        if (ctl->json)
                return;
        if (!finding->dropin)
                files_print(finding->path, finding->complaints, links);
        else if (finding->complaints)
                text_lines("%s", finding->complaints);
        else
                text_line(_("%s: nothing is wrong."), finding->path);
        if (finding->unevaluated) {
                g_autofree char *keys = g_strjoinv("=, ", finding->unevaluated);

                text_line(_("%s: only systemd-networkd can evaluate %s=, so it may match fewer links."),
                          finding->path, keys);
        }
}

/* Which links the file matches. */
static void find_links(VerifyKind kind, const Verified *verified, const char *text, size_t length,
                       Finding *finding) {
        g_auto(NetworkMatch) match = {};

        if (kind == VERIFY_PROFILE)
                matching_links(&verified->match, finding->links);
        else if (!finding->dropin) {
                network_match_read(&match, text, length);
                network_match_links(&match, finding->links);
                finding->unevaluated = g_steal_pointer(&match.others);
        }
        g_ptr_array_add(finding->links, NULL);
}

/* Whether nothing is wrong. */
static bool verify(const Ctl *ctl, const char *path, JsonBuilder *builder, GError **error) {
        const VerifyKind kind = holds(is_networkd, path) ? VERIFY_NETWORK : VERIFY_PROFILE;
        _cleanup_(verified_done) Verified verified = {};
        g_auto(GStrv) complaints = NULL;
        _cleanup_(freep) char *text = NULL;
        size_t length = 0;
        int r = file_read(path, FILE_BYTES_MAX, &text, &length);

        if (r < 0) {
                ctl_error_add(error, CTL_FAILED, _("Cannot read %s: %s."), path, g_strerror(-r));
                return false;
        }
        if (verify_text(text, length, kind, path, &verified) < 0)
                g_error("out of memory");
        check_file(path, kind, &complaints);
        for (size_t i = 0; i < strings_count(verified.complaints); i++)
                text_append(&complaints, g_strdup(verified.complaints[i]));

        g_autoptr(GPtrArray) links = g_ptr_array_new_with_free_func(g_free);
        Finding finding = {
                .path = path,
                .dropin = kind == VERIFY_NETWORK && is_dropin(path),
                .complaints = complaints,
                .links = links,
        };
        find_links(kind, &verified, text, length, &finding);
        show(ctl, builder, &finding);
        g_strfreev(finding.unevaluated);
        return complaints == NULL;
}

bool ctl_verify(Ctl *ctl, char **arguments, GError **error) {
        g_autoptr(JsonBuilder) builder = json_builder_new();
        unsigned bad = 0;

        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "files");
        json_builder_begin_array(builder);
        for (char **path = arguments; *path; path++)
                bad += !verify(ctl, *path, builder, error);
        json_builder_end_array(builder);
        json_builder_end_object(builder);
        if (ctl->json)
                json_print(builder);
        if (bad > 0 && !*error)
                ctl_error_add(error, CTL_BAD_VALUE,
                              P_("%u file has something wrong.", "%u files have something wrong.", bad),
                              bad);
        return bad == 0;
}
