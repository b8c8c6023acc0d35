/* SPDX-License-Identifier: GPL-2.0-or-later */

/* "underpassctl status": all links in one table. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/check-facts.h"
#include "ctl/destinations.h"
#include "ctl/error.h"
#include "ctl/json.h"
#include "ctl/names.h"
#include "ctl/properties.h"
#include "ctl/status.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/words.h"

bool status_is_worth_showing(GVariant *link) {
        g_autoptr(GVariant) warnings = property_array(link, "Warnings", "as");
        g_autoptr(GVariant) applied = property_array(link, "Applied", "a(ss)");

        return !streq(property_string(link, "State"), "off") || property_string(link, "LastError")[0] ||
               g_variant_n_children(warnings) > 0 || g_variant_n_children(applied) > 0;
}

/* The links of these names, sorted by interface index. NULL when one of the names is unknown. */
static GPtrArray *select_links(Ctl *ctl, GPtrArray *links, char **names, GError **error) {
        g_autoptr(GPtrArray) selected = g_ptr_array_new_with_free_func((GDestroyNotify) g_variant_unref);
        g_autofree bool *chosen = g_new0(bool, links->len + 1);
        bool known = true;

        for (char **name = names; *name; name++) {
                g_autoptr(GPtrArray) found = names_match(links, *name);

                for (guint i = 0; i < links->len; i++)
                        chosen[i] |= g_ptr_array_find(found, g_ptr_array_index(links, i), NULL);
                if (found->len == 0) {
                        names_unknown(ctl, *name, error);
                        known = false;
                }
        }

        for (guint i = 0; i < links->len; i++)
                if (chosen[i])
                        g_ptr_array_add(selected, g_variant_ref(g_ptr_array_index(links, i)));
        return known ? g_steal_pointer(&selected) : NULL;
}

static GPtrArray *links_worth_showing(GPtrArray *links) {
        GPtrArray *selected = g_ptr_array_new_with_free_func((GDestroyNotify) g_variant_unref);

        for (guint i = 0; i < links->len; i++) {
                GVariant *link = g_ptr_array_index(links, i);
                if (status_is_worth_showing(link))
                        g_ptr_array_add(selected, g_variant_ref(link));
        }

        return selected;
}

/* "netkit: the kernel has none; vlan: …", or nothing. */
static char *skipped_devices(GVariant *manager) {
        g_autoptr(GVariant) skipped = property_array(manager, "SegmentationDevicesSkipped", "a(ss)");
        GString *text = g_string_new(NULL);

        for (size_t i = 0; i < g_variant_n_children(skipped); i++) {
                const char *kind, *reason;

                g_variant_get_child(skipped, i, "(&s&s)", &kind, &reason);
                g_string_append_printf(text, "%s%s: %s", i > 0 ? "; " : "", kind, reason);
        }
        return g_string_free(text, FALSE);
}

static void print_manager(const Ctl *ctl, GVariant *manager) {
        const char *kind = "", *interface = "";
        g_variant_lookup(manager, "SegmentationDevice", "(&s&s)", &kind, &interface);
        const char *attach_point = property_string(manager, "AttachPoint");

        const char *bpf_error = property_string(manager, "BpfError");

        if (!ctl->verbose) {
                text_line(_("Underpass %s, kernel %s"), property_string(manager, "Version"),
                          property_string(manager, "KernelVersion"));
                if (bpf_error[0])
                        text_line(_("error: %s"), bpf_error);
                return;
        }

        g_autofree char *device =
                kind[0] ? g_strdup_printf("%s (%s)", kind, interface) : g_strdup(_("none"));
        text_line(_("Underpass %s, kernel %s, attach point %s, segmentation device %s"),
                  property_string(manager, "Version"), property_string(manager, "KernelVersion"),
                  attach_point[0] ? attach_point : _("none"), device);

        if (bpf_error[0])
                text_line(_("error: %s"), bpf_error);

        g_autofree char *skipped = skipped_devices(manager);
        if (skipped[0])
                text_line(_("Unavailable segmentation devices: %s"), skipped);
}

static const char *const status_headings[] = {
        N_("LINK"),        N_("STATE"), N_("PROFILE"), N_("TUNNEL"),    N_("REMOTE PORTS"),
        N_("LOCAL PORTS"), N_("SENT"),  N_("RECEIVED"), N_("ATTACH POINT"), NULL,
};
enum { STATUS_COLUMNS = 8 }; /* of all that are not for --verbose */

static char *format_counter(GVariant *link, const char *name) {
        return g_strdup_printf("%" G_GUINT64_FORMAT, property_counter(link, name));
}

/* What is wrong with each of these links, as check would say; of those that seem to work. */
static GPtrArray *find_faults(CheckFacts *facts, GPtrArray *links) {
        GPtrArray *faults = g_ptr_array_new_with_free_func(g_free);

        for (guint i = 0; i < links->len; i++) {
                GVariant *link = g_ptr_array_index(links, i);
                _cleanup_(check_lines_done) CheckLines lines = {};

                if (streq(property_string(link, "State"), "active")) {
                        check_facts_link(facts, link, true, &lines);
                        check_facts_host(facts, &lines);
                }
                g_ptr_array_add(faults, check_facts_fault(&lines));
        }
        return faults;
}

static void print_links(const Ctl *ctl, GPtrArray *links, GPtrArray *faults) {
        const char *headings[ELEMENTS(status_headings)];
        g_autoptr(Table) table = NULL;

        memcpy(headings, status_headings, sizeof(headings));
        if (!ctl->verbose)
                headings[STATUS_COLUMNS] = NULL;
        table = table_new(headings, TABLE_COLUMN(6) | TABLE_COLUMN(7));
        table_color_states(table, 1);

        for (guint i = 0; i < links->len; i++) {
                GVariant *link = g_ptr_array_index(links, i);
                const char *id = "", *uuid = "";
                g_variant_lookup(link, "Connection", "(&s&s)", &id, &uuid);
                /* A profile of systemd-networkd is named by its file. */
                const char *path = property_row(link, "ConnectionSettings", "a(ss)", "network-file");
                g_autofree char *file = g_path_get_basename(path);
                if (!id[0] && path[0])
                        id = file;

                g_autofree char *sent = format_counter(link, "sent");
                g_autofree char *received = format_counter(link, "received");
                table_add(table, property_string(link, "Name"), property_string(link, "State"), id,
                          property_setting(link, "tunnel"), property_setting(link, "remote-ports"),
                          property_setting(link, "local-ports"), sent, received,
                          property_row(link, "Applied", "a(ss)", "attach-point"));
                if (g_ptr_array_index(faults, i))
                        table_doubt(table);
        }

        table_print(table, ctl, 0, !ctl->no_legend);
}

static void print_messages(GPtrArray *links, GPtrArray *faults) {
        for (guint i = 0; i < links->len; i++) {
                GVariant *link = g_ptr_array_index(links, i);
                const char *name = property_string(link, "Name");
                const char *stage = property_string(link, "LastStage");
                const char *last_error = property_string(link, "LastError");
                g_autoptr(GVariant) warnings = property_array(link, "Warnings", "as");

                for (size_t j = 0; j < g_variant_n_children(warnings); j++) {
                        const char *warning;
                        g_variant_get_child(warnings, j, "&s", &warning);
                        text_line(_("%s: warning: %s"), name, warning);
                }

                if (last_error[0])
                        text_line(_("%s: error (%s): %s"), name, stage[0] ? words_translate(stage) : "-",
                                  last_error);
                if (g_ptr_array_index(faults, i))
                        text_line(_("%s: does not work: %s"), name,
                                  (const char *) g_ptr_array_index(faults, i));
        }
}

static void print_json(GVariant *manager, GPtrArray *links) {
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "manager");
        json_builder_begin_object(builder);
        json_manager(builder, manager);
        json_builder_end_object(builder);

        json_links(builder, links);
        json_builder_end_object(builder);

        json_print(builder);
}

static void print_text(const Ctl *ctl, GVariant *manager, GPtrArray *links, GPtrArray *faults,
                       guint hidden) {
        if (!ctl->no_legend) {
                print_manager(ctl, manager);
                if (links->len > 0)
                        g_print("\n");
        }

        print_links(ctl, links, faults);
        print_messages(links, faults);

        if (ctl->no_legend)
                return;
        if (hidden > 0) {
                g_print("\n");
                text_line(P_("%u link without a tunnel is not shown; `underpassctl status --all` shows it.",
                             "%u links without a tunnel are not shown; `underpassctl status --all` shows "
                             "them.",
                             hidden),
                          hidden);
        } else if (links->len == 0) {
                g_print("\n%s\n", _("There are no links."));
        }
}

bool ctl_status(Ctl *ctl, char **arguments, GError **error) {
        g_autoptr(GVariant) manager = bus_manager(ctl, error);
        if (!manager)
                return false;

        g_autoptr(GPtrArray) links = bus_links(ctl, error);
        if (!links)
                return false;

        g_autoptr(GPtrArray) selected = NULL;
        if (arguments[0])
                selected = select_links(ctl, links, arguments, error);
        else
                selected = ctl->all ? g_ptr_array_ref(links) : links_worth_showing(links);
        if (!selected)
                return false;

        if (ctl->json) {
                print_json(manager, selected);
                return true;
        }

        g_autoptr(GVariant) destinations = destinations_list(ctl, error);
        if (!destinations)
                return false;
        g_autoptr(CheckFacts) facts =
                check_facts_new(ctl, CHECK_DEPTH_QUICK, manager, links, destinations, "");
        g_autoptr(GPtrArray) faults = find_faults(facts, selected);

        print_text(ctl, manager, selected, faults, arguments[0] ? 0 : links->len - selected->len);
        return true;
}
