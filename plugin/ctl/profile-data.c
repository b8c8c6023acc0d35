/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See profile-data.h. */

#include "ctl/profile-data.h"
#include "profile/nm-tunnel.h"
#include "profile/nm-user.h"

/* Where the entries are. */
static const struct {
        const char *setting;
        const char *property;
} places[] = {
        [false] = { "user", "data" },
        [true] = { "vpn", "data" },
};

char *profile_data_name(const char *vpn_name) {
        return streq(vpn_name, NM_TUNNEL_LINK) ? g_strdup(vpn_name)
                                               : g_strconcat(KEY_USER_DATA_PREFIX, vpn_name, NULL);
}

static const char *stored_name(const char *name, bool tunnel) {
        return tunnel && nm_user_is_ours(name) ? user_data_key(name) : name;
}

GHashTable *profile_data_read(GVariant *settings, bool tunnel) {
        GHashTable *data = user_data_new();
        g_autoptr(GVariant) setting =
                g_variant_lookup_value(settings, places[tunnel].setting, G_VARIANT_TYPE_VARDICT);
        g_autoptr(GVariant) pairs = NULL;

        if (setting)
                pairs = g_variant_lookup_value(setting, places[tunnel].property, G_VARIANT_TYPE("a{ss}"));

        for (size_t i = 0; pairs && i < g_variant_n_children(pairs); i++) {
                const char *name, *value;
                g_variant_get_child(pairs, i, "{&s&s}", &name, &value);
                g_hash_table_insert(data, tunnel ? profile_data_name(name) : g_strdup(name),
                                    g_strdup(value));
        }
        return data;
}

static gboolean is_of_others(gpointer name, gpointer value, gpointer userdata) {
        return !nm_user_is_ours(name);
}

GHashTable *profile_data_read_ours(GVariant *settings, bool tunnel) {
        GHashTable *data = profile_data_read(settings, tunnel);

        g_hash_table_foreach_remove(data, is_of_others, NULL);
        return data;
}

static GVariant *pairs_of(GHashTable *data, bool tunnel) {
        g_auto(GVariantBuilder) pairs = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{ss}"));
        GHashTableIter iterator;
        gpointer name, value;

        g_hash_table_iter_init(&iterator, data);
        while (g_hash_table_iter_next(&iterator, &name, &value))
                g_variant_builder_add(&pairs, "{ss}", stored_name(name, tunnel), (const char *) value);
        return g_variant_builder_end(&pairs);
}

/* Adds the setting with its properties as they are, but for the entries; without any, they are left out. */
static void add_setting(GVariantBuilder *all, GVariant *properties, GHashTable *data, bool tunnel) {
        g_variant_builder_open(all, G_VARIANT_TYPE("{sa{sv}}"));
        g_variant_builder_add(all, "s", places[tunnel].setting);
        g_variant_builder_open(all, G_VARIANT_TYPE_VARDICT);
        for (size_t i = 0; properties && i < g_variant_n_children(properties); i++) {
                g_autoptr(GVariant) property = g_variant_get_child_value(properties, i);
                const char *name;

                g_variant_get_child(property, 0, "&s", &name);
                if (!streq(name, places[tunnel].property))
                        g_variant_builder_add_value(all, property);
        }
        if (g_hash_table_size(data) > 0)
                g_variant_builder_add(all, "{sv}", places[tunnel].property, pairs_of(data, tunnel));
        g_variant_builder_close(all);
        g_variant_builder_close(all);
}

GVariant *profile_data_replace(GVariant *settings, GHashTable *data, bool tunnel) {
        g_auto(GVariantBuilder) all = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sa{sv}}"));
        g_autoptr(GVariant) properties = NULL;

        for (size_t i = 0; i < g_variant_n_children(settings); i++) {
                g_autoptr(GVariant) setting = g_variant_get_child_value(settings, i);
                const char *name;

                g_variant_get_child(setting, 0, "&s", &name);
                if (streq(name, places[tunnel].setting))
                        g_variant_get_child(setting, 1, "@a{sv}", &properties);
                else
                        g_variant_builder_add_value(&all, setting);
        }
        /* NetworkManager takes no user setting without entries. */
        if (tunnel || g_hash_table_size(data) > 0)
                add_setting(&all, tunnel ? properties : NULL, data, tunnel);
        return g_variant_ref_sink(g_variant_builder_end(&all));
}

void profile_data_adapt(GHashTable *edits, bool tunnel) {
        GHashTableIter iterator;
        gpointer value;

        g_hash_table_iter_init(&iterator, edits);
        while (tunnel && g_hash_table_iter_next(&iterator, NULL, &value))
                if (value)
                        g_strdelimit(value, ",", ' ');
}
