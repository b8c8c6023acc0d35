/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Did NetworkManager keep what was written? Systems that store profiles through netplan lose keys of
 * user.data when they write the profile, so the success of an update proves nothing.
 */

#include "base/i18n.h"
#include "ctl/edit.h"

#define PREFIX "underpass."

static GHashTable *read_back(GDBusConnection *bus, const ProfileView *view, GError **error) {
        GError *local = NULL;
        g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
                        bus, "org.freedesktop.NetworkManager", view->path,
                        "org.freedesktop.NetworkManager.Settings.Connection", "GetSettings", NULL,
                        G_VARIANT_TYPE("(a{sa{sv}})"), G_DBUS_CALL_FLAGS_NONE, CTL_READ_TIMEOUT_MS, NULL,
                        &local);
        if (!reply) {
                ctl_error_take_bus(error, local, "NetworkManager", view->id);
                return NULL;
        }

        GHashTable *data = data_new();
        g_autoptr(GVariant) settings = g_variant_get_child_value(reply, 0);
        g_autoptr(GVariant) user = g_variant_lookup_value(settings, "user", G_VARIANT_TYPE_VARDICT);
        g_autoptr(GVariant) pairs =
                        user ? g_variant_lookup_value(user, "data", G_VARIANT_TYPE("a{ss}")) : NULL;

        for (size_t i = 0; pairs && i < g_variant_n_children(pairs); i++) {
                const char *name, *value;
                g_variant_get_child(pairs, i, "{&s&s}", &name, &value);
                if (g_str_has_prefix(name, PREFIX))
                        g_hash_table_insert(data, g_strdup(name), g_strdup(value));
        }

        return data;
}

bool profile_verify(GDBusConnection *bus, ProfileView *view, GHashTable *wanted, GHashTable *edits,
                    GError **error) {
        g_autoptr(GHashTable) stored = read_back(bus, view, error);
        if (!stored)
                return false;

        if (edits_change(stored, edits)) {
                g_autofree char *lines = data_as_file(wanted, view);
                ctl_error_add(error, CTL_FAILED,
                              _("NetworkManager took the change of the profile “%s” but did not keep it, as "
                                "happens on systems that store profiles through netplan. Write these lines "
                                "to a file in /etc/underpass, for example /etc/underpass/%s.conf, and run "
                                "`underpassctl reload`:\n%s"),
                              view->id, view->uuid, lines);
                return false;
        }

        g_hash_table_unref(view->data);
        view->data = g_steal_pointer(&stored);
        return true;
}
