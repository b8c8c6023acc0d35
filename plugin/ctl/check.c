/* SPDX-License-Identifier: GPL-2.0-or-later */

/* "underpassctl check": what is good, what is wrong, and the command that repairs it. */

#include <net/if.h>

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/check-facts.h"
#include "ctl/check.h"
#include "ctl/destinations.h"
#include "ctl/error.h"
#include "ctl/json.h"
#include "ctl/names.h"
#include "ctl/nm-device.h"
#include "ctl/properties.h"
#include "ctl/status.h"
#include "ctl/text.h"
#include "plan/sctp.h"

enum { PATIENCE_MS = 3000 }; /* for a service that has to be started first, or hangs */

static const struct {
        const char *mark, *ascii, *color;
} marks[] = {
        [CHECK_GOOD] = { "✔", "+", "\033[32m" },
        [CHECK_BAD] = { "✘", "x", "\033[31m" },
        [CHECK_NOTE] = { "–", "-", "\033[33m" },
};
ASSERT_TABLE_COMPLETE(marks, _CHECK_RESULT_MAX);

#define COLOR_OFF "\033[0m"

/* The lines of the host ("") or of one link. */
typedef struct Section {
        char *name;
        char *asked; /* what the user calls it; NULL: nothing, or its name */
        CheckLines lines;
} Section;

static void section_free(gpointer data) {
        Section *section = data;

        g_free(section->name);
        g_free(section->asked);
        check_lines_done(&section->lines);
        g_free(section);
}

static Section *section_add(GPtrArray *sections, const char *name) {
        Section *section = g_new0(Section, 1);

        section->name = g_strdup(name);
        g_ptr_array_add(sections, section);
        return section;
}

/* A link that was asked for by this name. */
static Section *section_add_asked(GPtrArray *sections, const char *name, const char *asked) {
        Section *section = section_add(sections, name);

        if (asked && !streq(asked, name))
                section->asked = g_strdup(asked);
        return section;
}

static size_t count_bad(GPtrArray *sections) {
        size_t count = 0;

        for (guint i = 0; i < sections->len; i++) {
                const Section *section = g_ptr_array_index(sections, i);

                for (size_t line = 0; line < section->lines.count; line++)
                        count += section->lines.lines[line].result == CHECK_BAD;
        }
        return count;
}

static void print_json(GPtrArray *sections) {
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        json_member_boolean(builder, "good", count_bad(sections) == 0);
        json_builder_set_member_name(builder, "checks");
        json_builder_begin_array(builder);
        for (guint i = 0; i < sections->len; i++) {
                const Section *section = g_ptr_array_index(sections, i);

                for (size_t row = 0; row < section->lines.count; row++) {
                        const CheckLine *line = &section->lines.lines[row];

                        json_builder_begin_object(builder);
                        json_member_string(builder, "interface", section->name);
                        json_member_string(builder, "check", line->id);
                        json_member_string(builder, "result", check_lines_result_name(line->result));
                        json_member_string(builder, "sentence", line->sentence);
                        json_member_string(builder, "command", line->command ?: "");
                        json_builder_end_object(builder);
                }
        }
        json_builder_end_array(builder);
        json_builder_end_object(builder);
        json_print(builder);
}

static void print_line(const Ctl *ctl, const CheckLine *line) {
        const bool utf8 = g_get_charset(NULL);
        const char *mark = utf8 ? marks[line->result].mark : marks[line->result].ascii;
        g_autofree char *sentence = text_clean(line->sentence);

        if (ctl->color)
                g_print("  %s%s" COLOR_OFF " %-11s %s\n", marks[line->result].color, mark, line->id,
                        sentence);
        else
                g_print("  %s %-11s %s\n", mark, line->id, sentence);
        if (line->command) {
                g_autofree char *command = text_clean(line->command);

                g_print("                %s %s\n", utf8 ? "→" : "->", command);
        }
}

static void print_text(const Ctl *ctl, GPtrArray *sections) {
        for (guint i = 0; i < sections->len; i++) {
                const Section *section = g_ptr_array_index(sections, i);

                if (!ctl->no_legend && i > 0)
                        g_print("\n");
                if (!ctl->no_legend && section->asked)
                        text_line(_("%s, asked for as “%s”"), section->name, section->asked);
                else if (!ctl->no_legend)
                        text_line("%s", *section->name ? section->name : _("This host"));
                for (size_t line = 0; line < section->lines.count; line++)
                        print_line(ctl, &section->lines.lines[line]);
        }
}

/* A link that the service does not tell of. */
static void check_bare(Ctl *ctl, CheckFacts *facts, const char *interface, const char *asked,
                       GPtrArray *sections) {
        Section *section = section_add_asked(sections, interface, asked);

        check_facts_bare_link(facts, interface, NULL, &section->lines);
        if (!section->asked)
                names_add_namesake(ctl, NULL, interface, &section->lines);
}

/* A link that the service does not know, or a profile that is not active, as far as the service can tell. */
static bool check_unknown(Ctl *ctl, CheckFacts *facts, const char *name, GPtrArray *sections,
                          GError **error) {
        g_auto(NmNamed) profile = {};
        g_autofree char *link = NULL;

        if (if_nametoindex(name) != 0) {
                check_bare(ctl, facts, name, name, sections);
                return true;
        }
        nm_profile_find(ctl, name, &profile);
        if (profile.count == 1)
                link = nm_profile_link(ctl->bus, profile.uuid);
        if (link) {
                check_bare(ctl, facts, link, name, sections);
                return true;
        }
        if (profile.count != 1 || !*profile.interface) {
                names_unknown(ctl, name, error);
                return false;
        }
        check_facts_bare_link(facts, profile.interface, &profile,
                              &section_add_asked(sections, profile.interface, name)->lines);
        return true;
}

/* Whether the link has, or should have, something of Underpass. One that is down or not connected is nothing
 * wrong while others have tunnels. */
static bool concerns_us(CheckFacts *facts, GVariant *link) {
        Settings settings;

        property_settings(link, &settings);
        if (status_is_worth_showing(link) || sctp_alone(&settings))
                return true;
        if (settings.tunnel != TUNNEL_NO)
                return !check_facts_is_spare(facts, link);
        return check_facts_waits(facts, link);
}

static bool check_links(Ctl *ctl, CheckFacts *facts, GPtrArray *links, const char *name, GPtrArray *sections,
                        GError **error) {
        g_autoptr(GPtrArray) found = name && links ? names_match(links, name) : NULL;

        if (name && (!found || found->len == 0))
                return check_unknown(ctl, facts, name, sections, error);
        for (guint i = 0; links && i < links->len; i++) {
                GVariant *link = g_ptr_array_index(links, i);

                const char *interface = property_string(link, "Name");
                Section *section;

                if (found ? !g_ptr_array_find(found, link, NULL) : !concerns_us(facts, link))
                        continue;
                section = section_add_asked(sections, interface, name);
                check_facts_link(facts, link, name != NULL, &section->lines);
                if (name && !section->asked)
                        names_add_namesake(ctl, links, interface, &section->lines);
        }
        return true;
}

bool ctl_check(Ctl *ctl, char **arguments, GError **error) {
        g_autoptr(GPtrArray) sections = g_ptr_array_new_with_free_func(section_free);
        g_autoptr(GVariant) manager = NULL, destinations = NULL;
        g_autoptr(GPtrArray) links = NULL;
        g_autoptr(GError) silent = NULL;
        size_t bad;

        ctl->patience_ms = PATIENCE_MS;
        manager = bus_manager(ctl, &silent);
        if (manager)
                links = bus_links(ctl, &silent);
        if (links)
                destinations = destinations_list(ctl, &silent);

        g_autoptr(CheckFacts) facts = check_facts_new(ctl, CHECK_DEPTH_FULL, destinations ? manager : NULL,
                                                      links, destinations, silent ? silent->message : "");
        Section *host = section_add(sections, "");
        if (!check_links(ctl, facts, links, arguments[0], sections, error))
                return false;
        check_facts_host(facts, &host->lines);

        if (ctl->json)
                print_json(sections);
        else
                print_text(ctl, sections);
        bad = count_bad(sections);
        if (bad > 0)
                ctl_error_add(error, CTL_FAILED,
                              P_("%zu check says that something is wrong.",
                                 "%zu checks say that something is wrong.", bad),
                              bad);
        return bad == 0;
}
