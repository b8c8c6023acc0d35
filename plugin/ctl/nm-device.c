/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See nm-device.h. */

#include "ctl/nm-device.h"
#include "base/util.h"
#include "profile/keys.h"
#include "profile/nm-tunnel.h"
#include "profile/nm-user.h"

#define NM_NAME "org.freedesktop.NetworkManager"
#define NM_PATH "/org/freedesktop/NetworkManager"
#define SETTINGS_PATH NM_PATH "/Settings"

enum { NM_TIMEOUT_MS = 1000 };

/* A bit of Flags of a connection, NM_SETTINGS_CONNECTION_FLAG_EXTERNAL: made up for what others have set up.
 * The connection that NetworkManager makes for an Ethernet link without one has only NM_GENERATED. */
enum { CONNECTION_EXTERNAL = 0x08 };

static GVariant *call(GDBusConnection *bus, const char *path, const char *interface, const char *method,
                      GVariant *arguments, const char *type) {
        return g_dbus_connection_call_sync(bus, NM_NAME, path, interface, method, arguments,
                                           G_VARIANT_TYPE(type), G_DBUS_CALL_FLAGS_NO_AUTO_START,
                                           NM_TIMEOUT_MS, NULL, NULL);
}

/* All properties of an object, or NULL. */
static GVariant *properties(GDBusConnection *bus, const char *path, const char *interface) {
        g_autoptr(GVariant) reply = call(bus, path, "org.freedesktop.DBus.Properties", "GetAll",
                                         g_variant_new("(s)", interface), "(a{sv})");

        return reply ? g_variant_get_child_value(reply, 0) : NULL;
}

/* Settings of a connection, or NULL. */
static GVariant *connection_settings(GDBusConnection *bus, const char *path) {
        g_autoptr(GVariant) reply =
                call(bus, path, NM_NAME ".Settings.Connection", "GetSettings", NULL, "(a{sa{sv}})");

        return reply ? g_variant_get_child_value(reply, 0) : NULL;
}

static bool is_mirror(GDBusConnection *bus, const char *path) {
        g_autoptr(GVariant) connection = properties(bus, path, NM_NAME ".Settings.Connection");
        guint32 flags = 0;

        if (connection)
                g_variant_lookup(connection, "Flags", "u", &flags);
        return flags & CONNECTION_EXTERNAL;
}

bool nm_profile_is_mirror(const Ctl *ctl, const char *uuid) {
        g_autoptr(GVariant) reply = NULL;
        const char *path;

        if (!ctl->bus || !*uuid)
                return false;
        reply = call(ctl->bus, SETTINGS_PATH, NM_NAME ".Settings", "GetConnectionByUuid",
                     g_variant_new("(s)", uuid), "(o)");
        if (!reply)
                return false;
        g_variant_get(reply, "(&o)", &path);
        return is_mirror(ctl->bus, path);
}

/* A word of the setting "connection"; "" when it is not there. Caller frees. */
static char *connection_word(GVariant *settings, const char *key) {
        g_autoptr(GVariant) setting = g_variant_lookup_value(settings, "connection", G_VARIANT_TYPE_VARDICT);
        const char *word = "";

        if (setting)
                g_variant_lookup(setting, key, "&s", &word);
        return g_strdup(word);
}

static bool has_keys(GVariant *data) {
        GVariantIter iterator;
        const char *key;

        g_variant_iter_init(&iterator, data);
        while (g_variant_iter_next(&iterator, "{&s&s}", &key, NULL))
                if (nm_user_is_ours(key))
                        return true;
        return false;
}

const char *nm_profile_tunnel(GVariant *settings, bool *ret_ours) {
        g_autoptr(GVariant) vpn = g_variant_lookup_value(settings, "vpn", G_VARIANT_TYPE_VARDICT);
        g_autoptr(GVariant) user = g_variant_lookup_value(settings, "user", G_VARIANT_TYPE_VARDICT);
        const char *service = "", *tunnel;
        g_autoptr(GVariant) data = NULL;

        if (vpn)
                g_variant_lookup(vpn, "service-type", "&s", &service);
        const bool own = streq(service, NM_TUNNEL_SERVICE);
        if (own || user)
                data = g_variant_lookup_value(own ? vpn : user, "data", G_VARIANT_TYPE("a{ss}"));

        *ret_ours = own || (data && has_keys(data));
        if (data && g_variant_lookup(data, own ? "tunnel" : KEY_USER_DATA_PREFIX "tunnel", "&s", &tunnel))
                return g_intern_string(tunnel);
        return key_get(KEY_ID_TUNNEL)->default_text;
}

/* A value that cannot be read was meant to be one that does. */
static bool asks_for_tunnel(GVariant *settings) {
        _cleanup_(freep) char *error = NULL;
        Settings parsed;
        bool ours;

        settings_init(&parsed);
        return key_parse(key_get(KEY_ID_TUNNEL), nm_profile_tunnel(settings, &ours), &parsed, &error) < 0 ||
               parsed.tunnel != TUNNEL_NO;
}

bool nm_profile_is_tunnel(const NmProfile *profile) {
        g_autoptr(GVariant) vpn = g_variant_lookup_value(profile->settings, "vpn", G_VARIANT_TYPE_VARDICT);
        const char *service = "";

        if (vpn)
                g_variant_lookup(vpn, "service-type", "&s", &service);
        return streq(service, NM_TUNNEL_SERVICE);
}

/* Whether the profile is a tunnel profile for this base. */
static bool is_tunnel_of(const NmProfile *profile, const NmTunnelBase *base) {
        g_autoptr(GVariant) vpn = g_variant_lookup_value(profile->settings, "vpn", G_VARIANT_TYPE_VARDICT);
        g_autoptr(GVariant) data =
                vpn ? g_variant_lookup_value(vpn, "data", G_VARIANT_TYPE("a{ss}")) : NULL;
        g_autofree char *interface = connection_word(profile->settings, "interface-name");
        const char *link = NULL;

        if (!data || !nm_profile_is_tunnel(profile) || !asks_for_tunnel(profile->settings))
                return false;
        g_variant_lookup(data, NM_TUNNEL_LINK, "&s", &link);
        return nm_tunnel_match(link, interface, base) != NM_TUNNEL_OTHER;
}

/* Whether the profile asks for a tunnel on this link, or a tunnel profile for it does. */
static bool gets_tunnel(const GPtrArray *profiles, const NmProfile *profile, const char *interface) {
        const NmTunnelBase base = { .interface = interface, .id = profile->id, .uuid = profile->uuid };
        bool found = asks_for_tunnel(profile->settings);

        for (guint i = 0; !found && i < profiles->len; i++)
                found = is_tunnel_of(g_ptr_array_index(profiles, i), &base);
        return found;
}

static bool is_unique(const GPtrArray *profiles, const char *id) {
        unsigned count = 0;

        for (guint i = 0; i < profiles->len; i++) {
                const NmProfile *profile = g_ptr_array_index(profiles, i);

                count += streq(profile->id, id);
        }
        return count == 1;
}

/* By its path on D-Bus; NULL: there is no such one, or this user may not see it. */
static const NmProfile *find_profile(const GPtrArray *profiles, const char *path) {
        for (guint i = 0; i < profiles->len; i++) {
                const NmProfile *profile = g_ptr_array_index(profiles, i);

                if (streq(profile->path, path))
                        return profile;
        }
        return NULL;
}

/* The device that a command has to name with the profile; NULL: that one is for a single interface. Caller
 * frees. */
static char *device_to_name(const NmProfile *profile, GVariant *device) {
        g_autofree char *interface = connection_word(profile->settings, "interface-name");
        const char *name = "";

        g_variant_lookup(device, "Interface", "&s", &name);
        return *interface || !*name ? NULL : g_strdup(name);
}

static void add_profiles(const GPtrArray *profiles, GVariant *device, const char *interface, NmDevice *ret) {
        g_autoptr(GVariant) paths =
                g_variant_lookup_value(device, "AvailableConnections", G_VARIANT_TYPE("ao"));
        GVariantIter iterator;
        const char *path;

        if (!paths)
                return;
        g_variant_iter_init(&iterator, paths);
        while (g_variant_iter_next(&iterator, "&o", &path)) {
                const NmProfile *profile = find_profile(profiles, path);

                if (!profile || !gets_tunnel(profiles, profile, interface))
                        continue;
                g_ptr_array_add(ret->profiles, g_strdup(profile->id));
                if (ret->first_uuid)
                        continue;
                ret->first_uuid = g_strdup(profile->uuid);
                ret->first_on = device_to_name(profile, device);
        }
        ret->first_is_unique = ret->first_uuid && is_unique(profiles, ret->profiles->pdata[0]);
}

/* A device, by the interface of its IP or, as of modems, by its own; NULL: there is none. Caller frees. */
static char *find_device(GDBusConnection *bus, const char *interface) {
        g_autoptr(GVariant) reply =
                call(bus, NM_PATH, NM_NAME, "GetDeviceByIpIface", g_variant_new("(s)", interface), "(o)");
        g_autoptr(GVariant) all = reply ? NULL : call(bus, NM_PATH, NM_NAME, "GetAllDevices", NULL, "(ao)");
        g_autoptr(GVariantIter) iterator = NULL;
        char *path = NULL;

        if (reply)
                g_variant_get(reply, "(o)", &path);
        if (all)
                g_variant_get(all, "(ao)", &iterator);
        while (iterator && g_variant_iter_loop(iterator, "o", &path)) {
                g_autoptr(GVariant) device = properties(bus, path, NM_NAME ".Device");
                const char *name = "";

                if (device)
                        g_variant_lookup(device, "Interface", "&s", &name);
                if (streq(name, interface))
                        return path;
        }
        return reply ? path : NULL;
}

void nm_device_read(Ctl *ctl, const char *interface, NmDevice *ret) {
        GDBusConnection *bus = ctl->bus;
        g_autofree char *found = find_device(bus, interface);
        g_autoptr(GVariant) device = found ? properties(bus, found, NM_NAME ".Device") : NULL;
        g_autoptr(GVariant) active = NULL;
        const char *path = "/", *id = "", *connection;
        gboolean managed = FALSE;

        *ret = (NmDevice){ .known = found, .profiles = g_ptr_array_new_with_free_func(g_free) };
        if (device) {
                g_variant_lookup(device, "Managed", "b", &managed);
                g_variant_lookup(device, "ActiveConnection", "&o", &path);
                if (!streq(path, "/"))
                        active = properties(bus, path, NM_NAME ".Connection.Active");
                if (active) {
                        g_variant_lookup(active, "Id", "&s", &id);
                        if (g_variant_lookup(active, "Connection", "&o", &connection) &&
                            is_mirror(bus, connection)) {
                                managed = FALSE;
                                id = "";
                        }
                }
                add_profiles(nm_profiles(ctl), device, interface, ret);
        }
        ret->managed = managed;
        ret->connection = g_strdup(id);
        g_ptr_array_add(ret->profiles, NULL);
}

void nm_device_done(NmDevice *device) {
        g_clear_pointer(&device->connection, g_free);
        g_clear_pointer(&device->profiles, g_ptr_array_unref);
        g_clear_pointer(&device->first_uuid, g_free);
        g_clear_pointer(&device->first_on, g_free);
}

bool nm_profiles_any_tunnel(Ctl *ctl) {
        const GPtrArray *profiles = nm_profiles(ctl);
        bool found = false;

        for (guint i = 0; i < profiles->len; i++) {
                const NmProfile *profile = g_ptr_array_index(profiles, i);

                found = found || asks_for_tunnel(profile->settings);
        }
        return found;
}

static void stored_free(gpointer data) {
        NmProfile *profile = data;

        g_free(profile->id);
        g_free(profile->uuid);
        g_free(profile->path);
        g_variant_unref(profile->settings);
        g_free(profile);
}

GPtrArray *nm_profiles_read(GDBusConnection *bus) {
        g_autoptr(GVariant) reply =
                call(bus, SETTINGS_PATH, NM_NAME ".Settings", "ListConnections", NULL, "(ao)");
        g_autoptr(GVariant) paths = reply ? g_variant_get_child_value(reply, 0) : NULL;
        GPtrArray *profiles = g_ptr_array_new_with_free_func(stored_free);

        for (gsize i = 0; paths && i < g_variant_n_children(paths); i++) {
                const char *path;

                g_variant_get_child(paths, i, "&o", &path);
                GVariant *settings = connection_settings(bus, path);
                if (!settings)
                        continue;

                NmProfile *profile = g_new0(NmProfile, 1);
                *profile = (NmProfile) {
                        .id = connection_word(settings, "id"),
                        .uuid = connection_word(settings, "uuid"),
                        .path = g_strdup(path),
                        .settings = settings,
                };
                g_ptr_array_add(profiles, profile);
        }
        return profiles;
}

const GPtrArray *nm_profiles(Ctl *ctl) {
        if (!ctl->profiles)
                ctl->profiles = nm_profiles_read(ctl->bus);
        return ctl->profiles;
}

char *nm_profile_file(GDBusConnection *bus, const NmProfile *profile) {
        g_autoptr(GVariant) object = properties(bus, profile->path, NM_NAME ".Settings.Connection");
        const char *file = "";

        if (object)
                g_variant_lookup(object, "Filename", "&s", &file);
        return g_strdup(file);
}

static void add_named(NmNamed *named, const NmProfile *profile) {
        if (named->count++ > 0) {
                g_autofree char *before = named->uuids;

                named->uuids = g_strdup_printf("%s, %s", before, profile->uuid);
                return;
        }
        named->uuids = g_strdup(profile->uuid);
        named->id = g_strdup(profile->id);
        named->uuid = g_strdup(profile->uuid);
        named->interface = connection_word(profile->settings, "interface-name");
}

void nm_profile_find(Ctl *ctl, const char *name, NmNamed *ret) {
        const GPtrArray *profiles;
        const NmProfile *first = NULL;

        *ret = (NmNamed) {};
        if (!ctl->bus || !g_utf8_validate(name, -1, NULL))
                return;
        profiles = nm_profiles(ctl);
        for (guint i = 0; i < profiles->len; i++) {
                const NmProfile *profile = g_ptr_array_index(profiles, i);

                if (!streq(profile->id, name) && !streq(profile->uuid, name))
                        continue;
                first = first ?: profile;
                add_named(ret, profile);
        }
        if (!first)
                return;
        ret->unique = is_unique(profiles, first->id);
        ret->tunnel = gets_tunnel(profiles, first, ret->interface);
}

/* The link of the first device of an active connection. */
static char *active_link(GDBusConnection *bus, GVariant *active) {
        g_autoptr(GVariant) devices = g_variant_lookup_value(active, "Devices", G_VARIANT_TYPE("ao"));
        g_autoptr(GVariant) device = NULL;
        const char *path, *name = "";

        if (!devices || g_variant_n_children(devices) == 0)
                return NULL;
        g_variant_get_child(devices, 0, "&o", &path);
        device = properties(bus, path, NM_NAME ".Device");
        if (device && (!g_variant_lookup(device, "IpInterface", "&s", &name) || !*name))
                g_variant_lookup(device, "Interface", "&s", &name);
        return *name ? g_strdup(name) : NULL;
}

char *nm_profile_link(GDBusConnection *bus, const char *uuid) {
        g_autoptr(GVariant) manager = properties(bus, NM_PATH, NM_NAME);
        g_autoptr(GVariant) paths = NULL;
        GVariantIter iterator;
        const char *path, *its;

        if (manager)
                paths = g_variant_lookup_value(manager, "ActiveConnections", G_VARIANT_TYPE("ao"));
        if (!paths)
                return NULL;
        g_variant_iter_init(&iterator, paths);
        while (g_variant_iter_next(&iterator, "&o", &path)) {
                g_autoptr(GVariant) active = properties(bus, path, NM_NAME ".Connection.Active");

                if (active && g_variant_lookup(active, "Uuid", "&s", &its) && streq(its, uuid))
                        return active_link(bus, active);
        }
        return NULL;
}

void nm_named_done(NmNamed *named) {
        g_clear_pointer(&named->id, g_free);
        g_clear_pointer(&named->uuid, g_free);
        g_clear_pointer(&named->uuids, g_free);
        g_clear_pointer(&named->interface, g_free);
}
