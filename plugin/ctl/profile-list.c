/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * "underpassctl profile list": the profiles that have keys of ours, and the links on which they are active.
 * Those of NetworkManager are all there are; files show as far as they match a link.
 */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/error.h"
#include "ctl/json.h"
#include "ctl/nm-device.h"
#include "ctl/profile-list.h"
#include "ctl/properties.h"
#include "ctl/table.h"
#include "ctl/words.h"
#include "profile/keys.h"

typedef struct Listed {
        char *name;
        char *uuid;      /* "" for files */
        char *source;    /* as in the Settings of a link */
        char *tunnel;    /* value of the key; "" for files that no link has it from */
        GPtrArray *links; /* names */
} Listed;

static void listed_free(gpointer data) {
        Listed *listed = data;

        g_free(listed->name);
        g_free(listed->uuid);
        g_free(listed->source);
        g_free(listed->tunnel);
        g_ptr_array_unref(listed->links);
        g_free(listed);
}

static Listed *add(GPtrArray *list, const char *name, const char *uuid, const char *source,
                   const char *tunnel) {
        Listed *listed = g_new0(Listed, 1);

        listed->name = g_strdup(name);
        listed->uuid = g_strdup(uuid);
        listed->source = g_strdup(source);
        listed->tunnel = g_strdup(tunnel);
        listed->links = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(list, listed);
        return listed;
}

static void add_stored(GPtrArray *list, const GPtrArray *profiles) {
        for (guint i = 0; i < profiles->len; i++) {
                const NmProfile *profile = g_ptr_array_index(profiles, i);
                bool ours = false;
                const char *tunnel = nm_profile_tunnel(profile->settings, &ours);

                if (ours)
                        add(list, profile->id, profile->uuid, "NetworkManager", tunnel);
        }
}

static Listed *find_profile(GPtrArray *list, const char *uuid) {
        for (guint i = 0; *uuid && i < list->len; i++) {
                Listed *listed = g_ptr_array_index(list, i);

                if (streq(listed->uuid, uuid))
                        return listed;
        }
        return NULL;
}

static Listed *find_file(GPtrArray *list, const char *path) {
        for (guint i = 0; i < list->len; i++) {
                Listed *listed = g_ptr_array_index(list, i);

                if (!*listed->uuid && streq(listed->name, path))
                        return listed;
        }
        return NULL;
}

/* The place of a value without its line: "/etc/underpass/lte.conf:3". */
static char *file_of(const char *where) {
        const char *colon = strrchr(where, ':');

        return colon ? g_strndup(where, (gsize) (colon - where)) : g_strdup(where);
}

static void add_name(Listed *listed, const char *name) {
        if (!g_ptr_array_find_with_equal_func(listed->links, name, g_str_equal, NULL))
                g_ptr_array_add(listed->links, g_strdup(name));
}

/* The files that a link uses, each of them named by where a value comes from. */
static void add_files(GPtrArray *list, GVariant *link) {
        g_autoptr(GVariant) settings = property_array(link, "Settings", "a(ssss)");

        for (size_t i = 0; i < g_variant_n_children(settings); i++) {
                const char *key, *value, *source, *where;

                g_variant_get_child(settings, i, "(&s&s&s&s)", &key, &value, &source, &where);
                if (!streq(source, "file") && !streq(source, "networkd"))
                        continue;

                g_autofree char *file = file_of(where);
                Listed *listed = find_file(list, file) ?: add(list, file, "", source, "");

                add_name(listed, property_string(link, "Name"));
                if (streq(key, key_get(KEY_ID_TUNNEL)->name)) {
                        g_free(listed->tunnel);
                        listed->tunnel = g_strdup(value);
                }
        }
}

/* The profile of the link's connection, and the tunnel profile for it. */
static void add_profile(GPtrArray *list, GVariant *link, const char *property) {
        const char *uuid = "";

        g_variant_lookup(link, property, "(&s&s)", NULL, &uuid);

        Listed *listed = find_profile(list, uuid);
        if (listed)
                add_name(listed, property_string(link, "Name"));
}

static void add_link(GPtrArray *list, GVariant *link) {
        add_profile(list, link, "Connection");
        add_profile(list, link, "TunnelProfile");
        add_files(list, link);
}

static void print_json(GPtrArray *list) {
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "profiles");
        json_builder_begin_array(builder);
        for (guint i = 0; i < list->len; i++) {
                const Listed *listed = g_ptr_array_index(list, i);

                json_builder_begin_object(builder);
                json_member_string(builder, "name", listed->name);
                json_member_string(builder, "uuid", listed->uuid);
                json_member_string(builder, "source", listed->source);
                json_member_string(builder, "tunnel", listed->tunnel);
                g_ptr_array_add(listed->links, NULL);
                json_member_strings(builder, "interfaces", (char *const *) listed->links->pdata);
                json_builder_end_object(builder);
        }
        json_builder_end_array(builder);
        json_builder_end_object(builder);
        json_print(builder);
}

static const char *const headings[] = { N_("PROFILE"), N_("SOURCE"), N_("TUNNEL"), N_("ACTIVE ON"), NULL };

static void print_text(const Ctl *ctl, GPtrArray *list) {
        g_autoptr(Table) table = table_new(headings, 0);

        for (guint i = 0; i < list->len; i++) {
                const Listed *listed = g_ptr_array_index(list, i);

                g_ptr_array_add(listed->links, NULL);
                g_autofree char *links = g_strjoinv(", ", (char **) listed->links->pdata);
                table_add(table, listed->name, words_translate(listed->source), listed->tunnel, links);
        }
        table_print(table, ctl, 0, !ctl->no_legend);
        if (list->len == 0 && !ctl->no_legend)
                g_print("%s\n", _("No profile has keys of Underpass; `underpassctl profile set PROFILE "
                                  "tunnel=yes remote-ports=PORTS` sets some."));
}

bool ctl_profile_list(Ctl *ctl, char **arguments, GError **error) {
        g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(listed_free);
        g_autoptr(GError) silent = NULL;
        g_autoptr(GPtrArray) links = bus_links(ctl, &silent);

        /* NetworkManager's profiles are there without the service, too. */
        if (!links && !ctl->bus) {
                ctl_error_take(error, g_steal_pointer(&silent));
                return false;
        }
        add_stored(list, nm_profiles(ctl));
        for (guint i = 0; links && i < links->len; i++)
                add_link(list, g_ptr_array_index(links, i));
        if (ctl->json)
                print_json(list);
        else
                print_text(ctl, list);
        if (!links)
                ctl_error_take(error, g_steal_pointer(&silent));
        return links != NULL;
}
