/* SPDX-License-Identifier: GPL-2.0-or-later */

/* "underpassctl verify": what is wrong in files with settings, and which links they match. Asks no service.
 * */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/error.h"
#include "ctl/json.h"
#include "ctl/text.h"
#include "ctl/verify.h"
#include "kernel/rtnl.h"
#include "profile/verify.h"

enum { FILE_BYTES_MAX = 64 * 1024 };

/* Drop-ins of networkd are in folders whose names end in ".network.d". */
static VerifyKind kind_of(const char *path) {
        g_autofree char *folder = g_path_get_dirname(path);

        return g_str_has_suffix(path, ".network") || g_str_has_suffix(folder, ".network.d") ? VERIFY_NETWORK
                                                                                           : VERIFY_PROFILE;
}

/* A name that nobody reads. */
static void check_name(const char *path, VerifyKind kind, char ***complaints) {
        if (!g_str_has_suffix(path, ".conf") && !g_str_has_suffix(path, ".network"))
                text_append(complaints, g_strdup_printf(kind == VERIFY_NETWORK
                                                                ? _("%s: the name of a drop-in ends in "
                                                                    ".conf, so this file is ignored.")
                                                                : _("%s: the name of a profile file ends in "
                                                                    ".conf, so this file is ignored."),
                                                        path));
}

/* Names of links that match now; conditions about connections are not known without NetworkManager. */
static GPtrArray *matching_links(const IniMatch *match) {
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
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
        g_ptr_array_add(names, NULL);
        return names;
}

static void show(const Ctl *ctl, JsonBuilder *builder, const char *path, VerifyKind kind,
                 char *const *complaints, GPtrArray *links) {
        json_builder_begin_object(builder);
        json_member_string(builder, "file", path);
        json_member_strings(builder, "complaints", complaints);
        json_member_strings(builder, "matches", (char *const *) links->pdata);
        json_builder_end_object(builder);
        if (ctl->json)
                return;

        g_autofree char *names = g_strjoinv(", ", (char **) links->pdata);
        text_lines("%s", complaints);
        if (kind == VERIFY_PROFILE && names[0])
                text_line(_("%s: matches %s."), path, names);
        else if (kind == VERIFY_PROFILE)
                text_line(_("%s: matches no link that is there now."), path);
        else if (!complaints)
                text_line(_("%s: nothing is wrong."), path);
}

/* Whether nothing is wrong. */
static bool verify(const Ctl *ctl, const char *path, JsonBuilder *builder, GError **error) {
        const VerifyKind kind = kind_of(path);
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
        check_name(path, kind, &complaints);
        for (size_t i = 0; i < strings_count(verified.complaints); i++)
                text_append(&complaints, g_strdup(verified.complaints[i]));

        g_autoptr(GPtrArray) links = matching_links(&verified.match);
        show(ctl, builder, path, kind, complaints, links);
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
