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

/* Bits of Flags of a connection, as of NMSettingsConnectionFlags. */
enum {
        FLAG_GENERATED = 0x02,
        FLAG_EXTERNAL = 0x08,
};

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
        return flags & (FLAG_GENERATED | FLAG_EXTERNAL);
}

bool nm_profile_is_mirror(GDBusConnection *bus, const char *uuid) {
        g_autoptr(GVariant) reply = call(bus, SETTINGS_PATH, NM_NAME ".Settings", "GetConnectionByUuid",
                                         g_variant_new("(s)", uuid), "(o)");
        const char *path;

        if (!reply)
                return false;
        g_variant_get(reply, "(&o)", &path);
        return is_mirror(bus, path);
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

/* One profile, and whether some tunnel profile is for it. */
typedef struct TunnelSearch {
        NmTunnelBase base;
        bool found;
} TunnelSearch;

static void match_tunnel(const NmProfile *profile, void *userdata) {
        g_autoptr(GVariant) vpn = g_variant_lookup_value(profile->settings, "vpn", G_VARIANT_TYPE_VARDICT);
        g_autoptr(GVariant) data =
                vpn ? g_variant_lookup_value(vpn, "data", G_VARIANT_TYPE("a{ss}")) : NULL;
        g_autofree char *interface = connection_word(profile->settings, "interface-name");
        const char *service = "", *link = NULL;
        TunnelSearch *search = userdata;

        if (!data || !g_variant_lookup(vpn, "service-type", "&s", &service) ||
            !streq(service, NM_TUNNEL_SERVICE) || !asks_for_tunnel(profile->settings))
                return;
        g_variant_lookup(data, NM_TUNNEL_LINK, "&s", &link);
        search->found = search->found || nm_tunnel_match(link, interface, &search->base) != NM_TUNNEL_OTHER;
}

static bool has_tunnel_profile(GDBusConnection *bus, GVariant *settings, const char *interface) {
        g_autofree char *id = connection_word(settings, "id"), *uuid = connection_word(settings, "uuid");
        TunnelSearch search = { .base = { .interface = interface, .id = id, .uuid = uuid } };

        nm_profiles_each(bus, match_tunnel, &search);
        return search.found;
}

/* How many profiles are called so. */
typedef struct NameCount {
        const char *id;
        unsigned count;
} NameCount;

static void count_name(const NmProfile *profile, void *userdata) {
        NameCount *counted = userdata;

        counted->count += streq(profile->id, counted->id);
}

static bool is_unique(GDBusConnection *bus, const char *id) {
        NameCount counted = { .id = id };

        nm_profiles_each(bus, count_name, &counted);
        return counted.count == 1;
}

static void add_profiles(GDBusConnection *bus, GVariant *device, const char *interface, NmDevice *ret) {
        g_autoptr(GVariant) paths =
                g_variant_lookup_value(device, "AvailableConnections", G_VARIANT_TYPE("ao"));
        GVariantIter iterator;
        const char *path;

        if (!paths)
                return;
        g_variant_iter_init(&iterator, paths);
        while (g_variant_iter_next(&iterator, "&o", &path)) {
                g_autoptr(GVariant) settings = connection_settings(bus, path);

                if (!settings ||
                    (!asks_for_tunnel(settings) && !has_tunnel_profile(bus, settings, interface)))
                        continue;
                g_ptr_array_add(ret->profiles, connection_word(settings, "id"));
                if (!ret->first_uuid)
                        ret->first_uuid = connection_word(settings, "uuid");
        }
        ret->first_is_unique = ret->first_uuid && is_unique(bus, ret->profiles->pdata[0]);
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

void nm_device_read(GDBusConnection *bus, const char *interface, NmDevice *ret) {
        g_autofree char *found = find_device(bus, interface);
        g_autoptr(GVariant) device = found ? properties(bus, found, NM_NAME ".Device") : NULL;
        g_autoptr(GVariant) active = NULL;
        const char *path = "/", *id = "", *connection = "/";
        gboolean managed = FALSE;

        *ret = (NmDevice){ .known = found, .profiles = g_ptr_array_new_with_free_func(g_free) };
        if (device) {
                g_variant_lookup(device, "Managed", "b", &managed);
                g_variant_lookup(device, "ActiveConnection", "&o", &path);
                if (!streq(path, "/"))
                        active = properties(bus, path, NM_NAME ".Connection.Active");
                if (active) {
                        g_variant_lookup(active, "Id", "&s", &id);
                        g_variant_lookup(active, "Connection", "&o", &connection);
                }
                if (is_mirror(bus, connection)) {
                        managed = FALSE;
                        id = "";
                }
                add_profiles(bus, device, interface, ret);
        }
        ret->managed = managed;
        ret->connection = g_strdup(id);
        g_ptr_array_add(ret->profiles, NULL);
}

void nm_device_done(NmDevice *device) {
        g_clear_pointer(&device->connection, g_free);
        g_clear_pointer(&device->profiles, g_ptr_array_unref);
        g_clear_pointer(&device->first_uuid, g_free);
}

static void note_tunnel(const NmProfile *profile, void *userdata) {
        bool *found = userdata;

        *found = *found || asks_for_tunnel(profile->settings);
}

bool nm_profiles_any_tunnel(GDBusConnection *bus) {
        bool found = false;

        nm_profiles_each(bus, note_tunnel, &found);
        return found;
}

void nm_profiles_each(GDBusConnection *bus, void (*each)(const NmProfile *profile, void *userdata),
                      void *userdata) {
        g_autoptr(GVariant) reply =
                call(bus, SETTINGS_PATH, NM_NAME ".Settings", "ListConnections", NULL, "(ao)");
        g_autoptr(GVariant) paths = reply ? g_variant_get_child_value(reply, 0) : NULL;
        GVariantIter iterator;
        const char *path;

        if (!paths)
                return;
        g_variant_iter_init(&iterator, paths);
        while (g_variant_iter_next(&iterator, "&o", &path)) {
                g_autoptr(GVariant) settings = connection_settings(bus, path);
                g_autoptr(GVariant) object =
                        settings ? properties(bus, path, NM_NAME ".Settings.Connection") : NULL;
                g_autofree char *id = settings ? connection_word(settings, "id") : NULL;
                g_autofree char *uuid = settings ? connection_word(settings, "uuid") : NULL;
                NmProfile profile = { id, uuid, path, "", settings };

                if (!settings)
                        continue;
                if (object)
                        g_variant_lookup(object, "Filename", "&s", &profile.file);
                each(&profile, userdata);
        }
}

/* The name that is looked for, and what has it. */
typedef struct NameSearch {
        const char *name;
        NmNamed *found;
} NameSearch;

static void match_name(const NmProfile *profile, void *userdata) {
        const NameSearch *search = userdata;
        NmNamed *found = search->found;

        if (!streq(profile->id, search->name) && !streq(profile->uuid, search->name))
                return;
        if (found->count++ > 0) {
                g_autofree char *before = found->uuids;

                found->uuids = g_strdup_printf("%s, %s", before, profile->uuid);
                return;
        }
        found->uuids = g_strdup(profile->uuid);
        found->id = g_strdup(profile->id);
        found->uuid = g_strdup(profile->uuid);
        found->interface = connection_word(profile->settings, "interface-name");
        found->settings = g_variant_ref(profile->settings);
}

void nm_profile_find(GDBusConnection *bus, const char *name, NmNamed *ret) {
        NameSearch search = { .name = name, .found = ret };

        *ret = (NmNamed) {};
        nm_profiles_each(bus, match_name, &search);
        if (ret->count == 0)
                return;
        ret->unique = is_unique(bus, ret->id);
        ret->tunnel = asks_for_tunnel(ret->settings) ||
                      has_tunnel_profile(bus, ret->settings, ret->interface);
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
        g_clear_pointer(&named->settings, g_variant_unref);
}
