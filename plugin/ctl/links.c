/* SPDX-License-Identifier: GPL-2.0-or-later */

/* "underpassctl activate", "deactivate" and "reload": the verbs that change links. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/error.h"
#include "ctl/files.h"
#include "ctl/json.h"
#include "ctl/links.h"
#include "ctl/names.h"
#include "ctl/properties.h"
#include "ctl/text.h"
#include "ctl/words.h"

/* Prints the new state of a link, and its warnings, because the user can act on them. */
static void print_link(GVariant *link) {
        g_autoptr(GVariant) warnings = property_array(link, "Warnings", "as");
        const char *name = property_string(link, "Name");

        text_line(_("%s: %s. %s"), name, words_translate(property_string(link, "State")),
                  property_string(link, "Reason"));
        for (size_t i = 0; i < g_variant_n_children(warnings); i++) {
                const char *warning;
                g_variant_get_child(warnings, i, "&s", &warning);
                text_line(_("%s: warning: %s"), name, warning);
        }
}

static void print_json(GPtrArray *links) {
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        json_links(builder, links);
        json_builder_end_object(builder);

        json_print(builder);
}

/* Activate or Deactivate. Returns the link's properties as they are afterwards. */
static GVariant *change_interface(Ctl *ctl, const char *method, const char *interface,
                                  const char *reply_type, GError **error) {
        if (!g_utf8_validate(interface, -1, NULL))
                return bus_link(ctl, interface, error);

        g_autoptr(GVariant) reply = bus_call(ctl, method, g_variant_new("(s)", interface), reply_type,
                                             BUS_CHANGE_TIMEOUT_MS, interface, error);

        return reply ? bus_link(ctl, interface, error) : NULL;
}

/* The same for the link on which a profile is active. */
static GVariant *change_link(Ctl *ctl, const char *method, const char *name, const char *reply_type,
                             GError **error) {
        g_autoptr(GError) first = NULL;
        GVariant *changed = change_interface(ctl, method, name, reply_type, &first);

        if (changed)
                return changed;
        if (first->code != CTL_NOT_FOUND || !g_utf8_validate(name, -1, NULL)) {
                ctl_error_take(error, g_steal_pointer(&first));
                return NULL;
        }

        g_autoptr(GVariant) link = names_link(ctl, name, error);
        return link ? change_interface(ctl, method, property_string(link, "Name"), reply_type, error) : NULL;
}

/* Tries every link: an error for one does not keep the others from being changed. */
static bool change_links(Ctl *ctl, const char *method, const char *reply_type, char **interfaces,
                         GError **error) {
        g_autoptr(GPtrArray) links = g_ptr_array_new_with_free_func((GDestroyNotify) g_variant_unref);
        g_autoptr(GError) errors = NULL;

        for (char **interface = interfaces; *interface; interface++) {
                GVariant *link = change_link(ctl, method, *interface, reply_type, &errors);
                if (!link)
                        continue;

                g_ptr_array_add(links, link);
                if (!ctl->json)
                        print_link(link);
        }

        if (ctl->json)
                print_json(links);

        if (errors)
                ctl_error_take(error, g_steal_pointer(&errors));
        return !*error;
}

bool ctl_activate(Ctl *ctl, char **arguments, GError **error) {
        return change_links(ctl, "Activate", "(o)", arguments, error);
}

static bool deactivate_all(Ctl *ctl, GError **error) {
        g_autoptr(GVariant) reply =
                        bus_call(ctl, "DeactivateAll", NULL, "(u)", BUS_CHANGE_TIMEOUT_MS, NULL, error);
        if (!reply)
                return false;

        uint32_t count;
        g_variant_get(reply, "(u)", &count);

        if (ctl->json) {
                g_autoptr(JsonBuilder) builder = json_builder_new();
                json_builder_begin_object(builder);
                json_member_number(builder, "deactivated_links", count);
                json_builder_end_object(builder);
                json_print(builder);
        } else {
                text_line(P_("The tunnel of %u link was detached.",
                             "The tunnels of %u links were detached.", count),
                          count);
        }

        return true;
}

bool ctl_deactivate(Ctl *ctl, char **arguments, GError **error) {
        if (ctl->all && !arguments[0])
                return deactivate_all(ctl, error);

        if (ctl->all || !arguments[0]) {
                ctl_error_add(error, CTL_USAGE,
                              _("Specify either interfaces or --all."));
                return false;
        }

        return change_links(ctl, "Deactivate", "()", arguments, error);
}

/* Counts links by their state; those that have failed are errors. */
static void count_states(GPtrArray *links, guint *active, guint *failed, GError **error) {
        for (guint i = 0; i < links->len; i++) {
                GVariant *link = g_ptr_array_index(links, i);
                const char *state = property_string(link, "State");

                *active += streq(state, "active");
                if (!streq(state, "failed"))
                        continue;
                (*failed)++;
                ctl_error_add(error, CTL_FAILED, _("%s failed: %s"), property_string(link, "Name"),
                              property_string(link, "LastError"));
        }
}

bool ctl_reload(Ctl *ctl, char **arguments, GError **error) {
        g_autoptr(GVariant) reply = bus_call(ctl, "Reload", NULL, "r", BUS_CHANGE_TIMEOUT_MS, NULL, error);
        if (!reply)
                return false;

        g_autoptr(GPtrArray) links = bus_links(ctl, error);
        if (!links)
                return false;

        guint active = 0, failed = 0;
        count_states(links, &active, &failed, error);
        if (!ctl->json)
                text_line(_("All profiles were read again; active links: %u, failed links: %u."), active,
                          failed);

        g_autoptr(JsonBuilder) builder = json_builder_new();
        g_autoptr(GVariant) files = files_of_reply(reply);
        json_builder_begin_object(builder);
        json_links(builder, links);
        const unsigned bad = files_show(ctl, files, builder);
        json_builder_end_object(builder);
        if (ctl->json)
                json_print(builder);
        if (bad > 0)
                ctl_error_add(error, CTL_BAD_VALUE,
                              P_("%u file has something wrong.", "%u files have something wrong.", bad),
                              bad);
        return failed == 0 && bad == 0;
}
