/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See names.h. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/error.h"
#include "ctl/names.h"
#include "ctl/nm-device.h"
#include "ctl/properties.h"
#include "ctl/text.h"

/* Whether the property, an id and a UUID, has this name. */
static bool has_profile(GVariant *link, const char *property, const char *name) {
        const char *id = "", *uuid = "";

        g_variant_lookup(link, property, "(&s&s)", &id, &uuid);
        return streq(id, name) || streq(uuid, name);
}

static bool is_called(GVariant *link, const char *name) {
        const char *path = property_row(link, "ConnectionSettings", "a(ss)", "network-file");
        g_autofree char *file = g_path_get_basename(path);

        if (!*name)
                return false;
        return has_profile(link, "Connection", name) || has_profile(link, "TunnelProfile", name) ||
               (*path && (streq(path, name) || streq(file, name)));
}

GPtrArray *names_match(GPtrArray *links, const char *name) {
        GPtrArray *found = g_ptr_array_new_with_free_func((GDestroyNotify) g_variant_unref);

        for (guint i = 0; i < links->len; i++)
                if (streq(property_string(g_ptr_array_index(links, i), "Name"), name))
                        g_ptr_array_add(found, g_variant_ref(g_ptr_array_index(links, i)));
        if (found->len > 0)
                return found;
        for (guint i = 0; i < links->len; i++)
                if (is_called(g_ptr_array_index(links, i), name))
                        g_ptr_array_add(found, g_variant_ref(g_ptr_array_index(links, i)));
        return found;
}

void names_add_namesake(Ctl *ctl, GPtrArray *links, const char *interface, CheckLines *lines) {
        g_auto(NmNamed) profile = {};
        const char *other = NULL;

        lines->id = "profile";
        for (guint i = 0; links && i < links->len; i++) {
                GVariant *link = g_ptr_array_index(links, i);

                if (!is_called(link, interface))
                        continue;
                if (streq(property_string(link, "Name"), interface))
                        return;
                other = property_string(link, "Name");
        }
        if (other) {
                check_lines_add(lines, CHECK_NOTE, NULL,
                                _("%1$s is also the name of a profile, which is active on %2$s. This is "
                                  "about the link %1$s."),
                                interface, other);
                return;
        }
        nm_profile_find(ctl, interface, &profile);
        if (profile.count > 0 && *profile.interface && !streq(profile.interface, interface))
                check_lines_add(lines, CHECK_NOTE, NULL,
                                _("%1$s is also the name of a profile for %2$s, which is not active. This "
                                  "is about the link %1$s."),
                                interface, profile.interface);
}

static void inactive_profile(const NmNamed *profile, GError **error) {
        g_autofree char *words = text_profile_words(profile->unique ? profile->id : NULL, profile->uuid);

        ctl_error_add(error, CTL_NOT_FOUND,
                      _("The profile “%s” is not active on any link; activate it with `nmcli connection up "
                        "%s`."),
                      profile->id, words);
}

void names_unknown(Ctl *ctl, const char *name, GError **error) {
        g_auto(NmNamed) profile = {};

        nm_profile_find(ctl, name, &profile);
        if (profile.count > 1)
                ctl_error_add(error, CTL_NOT_FOUND,
                              _("Several profiles match “%s”; use one of their UUIDs: %s."), name,
                              profile.uuids);
        else if (profile.count > 0)
                inactive_profile(&profile, error);
        else
                ctl_error_unknown_link(error, name);
}

GVariant *names_link(Ctl *ctl, const char *name, GError **error) {
        g_autoptr(GError) unknown = NULL;
        GVariant *link = bus_link(ctl, name, &unknown);

        if (link)
                return link;
        if (unknown->code != CTL_NOT_FOUND || !g_utf8_validate(name, -1, NULL)) {
                ctl_error_take(error, g_steal_pointer(&unknown));
                return NULL;
        }

        g_autoptr(GPtrArray) links = bus_links(ctl, error);
        if (!links)
                return NULL;

        g_autoptr(GPtrArray) found = names_match(links, name);
        if (found->len == 1)
                return g_variant_ref(g_ptr_array_index(found, 0));
        if (found->len > 1)
                ctl_error_add(error, CTL_NOT_FOUND,
                              _("The profile “%s” is active on several links, among them %s and %s; name "
                                "one of them."),
                              name, property_string(g_ptr_array_index(found, 0), "Name"),
                              property_string(g_ptr_array_index(found, 1), "Name"));
        else
                names_unknown(ctl, name, error);
        return NULL;
}
