/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * "underpassctl profile show", "set" and "unset": reads and writes the keys of NetworkManager profiles, in
 * user.data, which no nmcli release can edit, or in the tunnel profile for the profile.
 *
 * Secrets are never fetched: NetworkManager keeps those of a profile when an update has none at all.
 */

#include <NetworkManager.h>

#include "base/i18n.h"
#include "base/nearest.h"
#include "base/util.h"
#include "config.h"
#include "ctl/bus.h"
#include "ctl/error.h"
#include "ctl/profile-data.h"
#include "ctl/profile-outcome.h"
#include "ctl/profile.h"
#include "ctl/text.h"
#include "ctl/unit.h"
#include "ctl/user-data.h"
#include "profile/nm-tunnel.h"
#include "profile/values.h"

#define SERVICE_NAME "NetworkManager"
#define CONNECTION_INTERFACE "org.freedesktop.NetworkManager.Settings.Connection"

static NMClient *client_open(GError **error) {
        GError *local = NULL;
        g_autoptr(NMClient) client = nm_client_new(NULL, &local);

        if (!client) {
                ctl_error_add(error, CTL_UNREACHABLE,
                              _("Cannot connect to NetworkManager: %s. Check that the D-Bus service is "
                                "running."),
                              local->message);
                g_error_free(local);
                return NULL;
        }

        if (!nm_client_get_nm_running(client)) {
                ctl_error_add(error, CTL_UNREACHABLE,
                              _("NetworkManager is not running; start its service and try again."));
                return NULL;
        }

        return g_steal_pointer(&client);
}

/* How the command line names a profile, in the words of nmcli. */
typedef enum Selector {
        SELECT_ID,
        SELECT_UUID,
        SELECT_PATH,
        SELECT_FILE,
        _SELECTOR_MAX,
        SELECT_ANY = _SELECTOR_MAX,
} Selector;

/*
 * Takes the words that name the profile from the arguments; returns the name. others: how many arguments
 * must be left at least.
 */
static const char *take_profile_name(char ***arguments, unsigned others, Selector *ret_selector) {
        static const char *const names[] = {
                [SELECT_ID] = "id",
                [SELECT_UUID] = "uuid",
                [SELECT_PATH] = "path",
                [SELECT_FILE] = "filename",
        };
        _Static_assert(ELEMENTS(names) == _SELECTOR_MAX, "a name for each selector");

        *ret_selector = SELECT_ANY;
        if (g_strv_length(*arguments) < others + 2)
                return *(*arguments)++;

        for (int selector = 0; selector < _SELECTOR_MAX; selector++)
                if (streq((*arguments)[0], names[selector])) {
                        *ret_selector = (Selector) selector;
                        (*arguments)++;
                        break;
                }

        return *(*arguments)++;
}

static bool matches_selector(NMRemoteConnection *remote, Selector selector, const char *text) {
        const char *file = nm_remote_connection_get_filename(remote);

        switch (selector) {

        case SELECT_ID:
                return g_strcmp0(nm_connection_get_id(NM_CONNECTION(remote)), text) == 0;

        case SELECT_UUID:
                return g_strcmp0(nm_connection_get_uuid(NM_CONNECTION(remote)), text) == 0;

        case SELECT_PATH:
                return g_strcmp0(nm_connection_get_path(NM_CONNECTION(remote)), text) == 0;

        case SELECT_FILE: {
                g_autofree char *name = file ? g_path_get_basename(file) : NULL;
                return file && (streq(file, text) || streq(name, text));
        }

        case SELECT_ANY:
                break;
        }

        return false;
}

static bool matches(NMRemoteConnection *remote, Selector selector, const char *text) {
        if (selector != SELECT_ANY)
                return matches_selector(remote, selector, text);

        for (int one = 0; one < _SELECTOR_MAX; one++)
                if (matches_selector(remote, (Selector) one, text))
                        return true;
        return false;
}

/* The device whose interface, or that of a modem's IP, is called so; NULL: there is none. */
static NMDevice *find_device(NMClient *client, const char *name) {
        const GPtrArray *all = nm_client_get_devices(client);

        for (guint i = 0; i < all->len; i++) {
                NMDevice *device = g_ptr_array_index(all, i);

                if (g_strcmp0(nm_device_get_iface(device), name) == 0 ||
                    g_strcmp0(nm_device_get_ip_iface(device), name) == 0)
                        return device;
        }
        return NULL;
}

/* The name of the profile that was probably meant; NULL: none resembles it. */
static const char *nearest_profile(NMClient *client, const char *text) {
        const GPtrArray *all = nm_client_get_connections(client);
        size_t best_distance = nearest_limit(text) + 1;
        const char *best = NULL;

        for (guint i = 0; i < all->len; i++) {
                const char *id = nm_connection_get_id(NM_CONNECTION(g_ptr_array_index(all, i)));
                const size_t distance = id ? nearest_distance(text, id) : best_distance;

                if (distance < best_distance) {
                        best_distance = distance;
                        best = id;
                }
        }
        return best;
}

/* Whether one profile at most has this name. */
static bool is_unique(NMClient *client, const char *id) {
        const GPtrArray *all = nm_client_get_connections(client);
        unsigned count = 0;

        for (guint i = 0; i < all->len; i++)
                count += g_strcmp0(nm_connection_get_id(NM_CONNECTION(g_ptr_array_index(all, i))), id) == 0;
        return count <= 1;
}

/* No profile is called so: says what was probably meant. verb: of the command line. */
static void unknown_profile(NMClient *client, const char *text, const char *verb, GError **error) {
        NMDevice *device = find_device(client, text);
        NMActiveConnection *active = device ? nm_device_get_active_connection(device) : NULL;
        const char *id = active ? nm_active_connection_get_id(active) : NULL;
        const char *nearest = nearest_profile(client, text);
        const char *uuid = active ? nm_active_connection_get_uuid(active) : NULL;
        g_autofree char *words = text_profile_words(id && is_unique(client, id) ? id : NULL, uuid);

        if (id)
                ctl_error_add(error, CTL_NOT_FOUND,
                              _("%s is a link, not a profile. The profile “%s” is active on it: "
                                "`underpassctl profile %s %s ...`."),
                              text, id, verb, words);
        else if (device)
                ctl_error_add(error, CTL_NOT_FOUND,
                              _("%s is a link, not a profile, and no profile is active on it; `nmcli "
                                "connection show` lists the profiles."),
                              text);
        else if (nearest)
                ctl_error_add(error, CTL_NOT_FOUND, _("There is no profile “%s”; did you mean “%s”?"),
                              text, nearest);
        else
                ctl_error_add(error, CTL_NOT_FOUND,
                              _("There is no profile “%s”; `nmcli connection show` lists the profiles."),
                              text);
}

/* verb: of the command line, "show", "set" or "unset". */
static NMRemoteConnection *find_profile(NMClient *client, const char *text, Selector selector,
                                        const char *verb, GError **error) {
        const GPtrArray *all = nm_client_get_connections(client);
        g_autoptr(GString) uuids = g_string_new(NULL);
        NMRemoteConnection *found = NULL;
        unsigned count = 0;

        for (guint i = 0; i < all->len; i++) {
                NMRemoteConnection *remote = g_ptr_array_index(all, i);
                if (!matches(remote, selector, text))
                        continue;

                found = remote;
                g_string_append_printf(uuids, "%s%s", count++ > 0 ? ", " : "",
                                       nm_connection_get_uuid(NM_CONNECTION(remote)) ?: "?");
        }

        if (count > 1)
                ctl_error_add(error, CTL_NOT_FOUND,
                              _("Several profiles match “%s”; use one of their UUIDs: %s."), text,
                              uuids->str);
        else if (count == 0)
                unknown_profile(client, text, verb, error);
        else if (!nm_remote_connection_get_visible(found))
                ctl_error_add(error, CTL_FAILED,
                              _("NetworkManager hides the profile “%s” from this user; run the command as "
                                "root."),
                              text);
        else
                return found;

        return NULL;
}

static GPtrArray *read_mtus(NMConnection *connection) {
        GPtrArray *mtus = g_ptr_array_new_with_free_func((GDestroyNotify) g_strfreev);
        guint count = 0;
        g_autofree NMSetting **settings = nm_connection_get_settings(connection, &count);

        for (guint i = 0; i < count; i++) {
                GParamSpec *property = g_object_class_find_property(G_OBJECT_GET_CLASS(settings[i]), "mtu");
                if (!property || property->value_type != G_TYPE_UINT)
                        continue;

                guint mtu = 0;
                g_object_get(settings[i], "mtu", &mtu, NULL);

                char **pair = g_new0(char *, 3);
                pair[0] = g_strdup_printf("%s.mtu", nm_setting_get_name(settings[i]));
                pair[1] = mtu > 0 ? g_strdup_printf("%u", mtu) : g_strdup("auto");
                g_ptr_array_add(mtus, pair);
        }

        return mtus;
}

/* The keys of a profile, as libnm has it. */
static GHashTable *read_data(NMConnection *connection, bool tunnel) {
        g_autoptr(GVariant) settings = nm_connection_to_dbus(connection, NM_CONNECTION_SERIALIZE_ALL);

        g_variant_ref_sink(settings);
        return profile_data_read_ours(settings, tunnel);
}

static bool is_tunnel(NMConnection *connection) {
        NMSettingVpn *vpn = nm_connection_get_setting_vpn(connection);

        return vpn && g_strcmp0(nm_setting_vpn_get_service_type(vpn), NM_TUNNEL_SERVICE) == 0;
}

/* The devices on which the profile is active; the devices belong to the client. */
static GPtrArray *active_devices(NMClient *client, NMRemoteConnection *remote) {
        const GPtrArray *all = nm_client_get_active_connections(client);
        GPtrArray *devices = g_ptr_array_new();

        for (guint i = 0; i < all->len; i++) {
                NMActiveConnection *active = g_ptr_array_index(all, i);
                if (nm_active_connection_get_connection(active) != remote)
                        continue;

                const GPtrArray *its = nm_active_connection_get_devices(active);
                for (guint j = 0; j < its->len; j++)
                        g_ptr_array_add(devices, g_ptr_array_index(its, j));
        }

        return devices;
}

/* A modem carries IP on another interface than the one on which the profile is active. */
static const char *device_name(NMDevice *device) {
        const char *ip = nm_device_get_ip_iface(device);

        return ip && *ip ? ip : nm_device_get_iface(device);
}

/* Whether a tunnel profile may be used for another profile: for all, or by the same users. */
static bool may_decide(NMConnection *tunnel, NMConnection *base) {
        NMConnection *connections[] = { tunnel, base };
        g_auto(GStrv) users = NULL, base_users = NULL;
        char ***lists[] = { &users, &base_users };

        for (size_t i = 0; i < ELEMENTS(connections); i++)
                g_object_get(nm_connection_get_setting_connection(connections[i]),
                             NM_SETTING_CONNECTION_PERMISSIONS, lists[i], NULL);
        return strings_count(users) == 0 || strings_equal(users, base_users);
}

/* How exactly a tunnel profile names another profile, or an interface that this is active on or for. */
static NmTunnelMatch match_tunnel(NMConnection *tunnel, NMConnection *base, const GPtrArray *devices) {
        NMSettingVpn *vpn = nm_connection_get_setting_vpn(tunnel);
        const char *link = nm_setting_vpn_get_data_item(vpn, NM_TUNNEL_LINK);
        const char *interface = nm_connection_get_interface_name(tunnel);
        NmTunnelBase names = {
                .interface = nm_connection_get_interface_name(base),
                .id = nm_connection_get_id(base),
                .uuid = nm_connection_get_uuid(base),
        };
        NmTunnelMatch best = NM_TUNNEL_OTHER;

        if (devices->len == 0)
                return nm_tunnel_match(link, interface, &names);
        for (guint i = 0; i < devices->len; i++) {
                names.interface = device_name(g_ptr_array_index(devices, i));
                best = MAX(best, nm_tunnel_match(link, interface, &names));
        }
        return best;
}

/* The profile that holds the keys of another one: its tunnel profile, chosen as the service does, or
 * itself. */
static NMRemoteConnection *find_home(NMClient *client, NMRemoteConnection *remote) {
        const GPtrArray *all = nm_client_get_connections(client);
        g_autoptr(GPtrArray) devices = active_devices(client, remote);
        NmTunnelMatch best_match = NM_TUNNEL_OTHER;
        NMRemoteConnection *best = remote;

        for (guint i = 0; i < all->len && !is_tunnel(NM_CONNECTION(remote)); i++) {
                NMConnection *tunnel = g_ptr_array_index(all, i);
                NmTunnelMatch exactness;

                if (!is_tunnel(tunnel) || !may_decide(tunnel, NM_CONNECTION(remote)))
                        continue;
                exactness = match_tunnel(tunnel, NM_CONNECTION(remote), devices);
                if (exactness < best_match || exactness == NM_TUNNEL_OTHER ||
                    (exactness == best_match && strcmp(nm_connection_get_uuid(tunnel),
                                                       nm_connection_get_uuid(NM_CONNECTION(best))) > 0))
                        continue;
                best = NM_REMOTE_CONNECTION(tunnel);
                best_match = exactness;
        }
        return best;
}

/* Whether NetworkManager has made a connection itself for an Ethernet link that had none. Those that only
 * mirror what others have set up are generated, too. */
static bool is_generated(NMRemoteConnection *remote) {
        const NMSettingsConnectionFlags flags = nm_remote_connection_get_flags(remote);

        return (flags & NM_SETTINGS_CONNECTION_FLAG_NM_GENERATED) &&
               !(flags & NM_SETTINGS_CONNECTION_FLAG_EXTERNAL);
}

static bool is_unsaved(NMRemoteConnection *remote) {
        return nm_remote_connection_get_flags(remote) & NM_SETTINGS_CONNECTION_FLAG_UNSAVED;
}

/* What is said of the profile that holds the keys. */
static void read_home(ProfileView *view, NMRemoteConnection *home) {
        NMConnection *connection = NM_CONNECTION(home);

        view->tunnel = is_tunnel(connection);
        view->home_id = g_strdup(nm_connection_get_id(connection) ?: "");
        view->home_uuid = g_strdup(nm_connection_get_uuid(connection) ?: "");
        view->home_path = g_strdup(nm_connection_get_path(connection));
        view->home_in_memory = is_unsaved(home) && !is_generated(home);
        view->where = g_strdup_printf("%s (%s)", view->home_id, view->home_uuid);
        view->data = read_data(connection, view->tunnel);
        if (view->tunnel)
                view->link = g_strdup(nm_setting_vpn_get_data_item(nm_connection_get_setting_vpn(connection),
                                                                   NM_TUNNEL_LINK)
                                              ?: nm_connection_get_interface_name(connection));
}

static ProfileView *read_view(NMClient *client, NMRemoteConnection *remote) {
        NMConnection *connection = NM_CONNECTION(remote);
        NMSettingConnection *setting = nm_connection_get_setting_connection(connection);
        g_autoptr(GPtrArray) devices = active_devices(client, remote);
        ProfileView *view = g_new0(ProfileView, 1);

        view->id = g_strdup(nm_connection_get_id(connection) ?: "");
        view->uuid = g_strdup(nm_connection_get_uuid(connection) ?: "");
        view->path = g_strdup(nm_connection_get_path(connection));
        read_home(view, find_home(client, remote));
        view->file = g_strdup(nm_remote_connection_get_filename(remote) ?: "");
        view->unsaved = is_unsaved(remote);
        view->generated = is_generated(remote);
        view->mptcp_flags = setting ? (uint32_t) nm_setting_connection_get_mptcp_flags(setting) : 0;
        view->mtus = read_mtus(connection);

        view->id_unique = is_unique(client, view->id);
        view->interfaces = g_new0(char *, devices->len + 1);
        for (guint i = 0; i < devices->len; i++)
                view->interfaces[i] = g_strdup(device_name(g_ptr_array_index(devices, i)) ?: "?");

        return view;
}

bool ctl_profile_show(Ctl *ctl, char **arguments, GError **error) {
        g_autoptr(NMClient) client = client_open(error);
        if (!client)
                return false;

        Selector selector;
        const char *name = take_profile_name(&arguments, 0, &selector);
        if (arguments[0]) {
                ctl_error_add(error, CTL_USAGE,
                              _("Specify one profile, optionally preceded by id, uuid, path or filename."));
                return false;
        }

        NMRemoteConnection *remote = find_profile(client, name, selector, "show", error);
        if (!remote)
                return false;

        g_autoptr(ProfileView) view = read_view(client, remote);
        profile_view_print(ctl, view);
        return true;
}

/* The profile as NetworkManager has it at this moment, a{sa{sv}}; the client's copy may be older. */
static GVariant *fetch_settings(GDBusConnection *bus, const ProfileView *view, GError **error) {
        GError *local = NULL;
        g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
                        bus, NM_DBUS_SERVICE, view->home_path, CONNECTION_INTERFACE, "GetSettings", NULL,
                        G_VARIANT_TYPE("(a{sa{sv}})"), G_DBUS_CALL_FLAGS_NONE, BUS_READ_TIMEOUT_MS, NULL,
                        &local);

        if (reply)
                return g_variant_get_child_value(reply, 0);
        ctl_error_take_bus(error, local, SERVICE_NAME, view->home_id);
        return NULL;
}

/* The number that grows with each change of the profile; 0 before NetworkManager 1.44, which has none. */
static guint64 fetch_version(GDBusConnection *bus, const ProfileView *view) {
        g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
                        bus, NM_DBUS_SERVICE, view->home_path, "org.freedesktop.DBus.Properties", "Get",
                        g_variant_new("(ss)", CONNECTION_INTERFACE, "VersionId"), G_VARIANT_TYPE("(v)"),
                        G_DBUS_CALL_FLAGS_NONE, BUS_READ_TIMEOUT_MS, NULL, NULL);
        g_autoptr(GVariant) version = NULL;

        if (reply)
                g_variant_get(reply, "(v)", &version);
        if (!version || !g_variant_is_of_type(version, G_VARIANT_TYPE_UINT64))
                return 0;
        return g_variant_get_uint64(version);
}

static bool check_edits(GHashTable *edits, GError **error) {
        GHashTableIter iterator;
        gpointer name, value;

        g_hash_table_iter_init(&iterator, edits);
        while (g_hash_table_iter_next(&iterator, &name, &value)) {
                GError *local = NULL;

                if (nm_setting_user_check_key(name, &local) &&
                    (!value || nm_setting_user_check_val(value, &local)))
                        continue;
                ctl_error_add(error, CTL_BAD_VALUE, _("NetworkManager does not accept %s: %s."),
                              (const char *) name, local->message);
                g_error_free(local);
                return false;
        }
        return true;
}

static void changed_meanwhile(const ProfileView *view, GError **error) {
        ctl_error_add(error, CTL_FAILED,
                      _("Another program changed the profile “%s” meanwhile, so nothing was written; try "
                        "again."),
                      view->home_id);
}

static bool same_data(GHashTable *a, GHashTable *b) {
        return g_hash_table_size(a) == g_hash_table_size(b) && !user_data_changed_by(a, b);
}

static bool send_update(GDBusConnection *bus, const ProfileView *view, GVariant *settings, guint32 flags,
                        guint64 version, GError **error) {
        g_auto(GVariantBuilder) options = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);
        GError *local = NULL;

        if (version > 0)
                g_variant_builder_add(&options, "{sv}", "version-id", g_variant_new_uint64(version));
        g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
                        bus, NM_DBUS_SERVICE, view->home_path, CONNECTION_INTERFACE, "Update2",
                        g_variant_new("(@a{sa{sv}}ua{sv})", settings, flags, &options), NULL,
                        G_DBUS_CALL_FLAGS_NONE, BUS_CHANGE_TIMEOUT_MS, NULL, &local);
        if (reply)
                return true;

        g_autofree char *name = g_dbus_error_get_remote_error(local);
        if (g_strcmp0(name, "org.freedesktop.NetworkManager.Settings.VersionIdMismatch") != 0) {
                ctl_error_take_bus(error, local, SERVICE_NAME, view->home_id);
                return false;
        }
        g_error_free(local);
        changed_meanwhile(view, error);
        return false;
}

/*
 * Writes the edits into the profile as it is now. What others change between the check of the edits and
 * this is kept, or stops it when it is about the same keys. From 1.44 on NetworkManager also refuses when
 * somebody is quicker than the last step.
 */
static bool write_profile(NMClient *client, NMRemoteConnection *remote, const ProfileView *view,
                          GHashTable *edits, GError **error) {
        GDBusConnection *bus = nm_client_get_dbus_connection(client);
        NMSettingsConnectionFlags flags = view->tunnel ? 0 : nm_remote_connection_get_flags(remote);
        NMSettingsUpdate2Flags update = NM_SETTINGS_UPDATE2_FLAG_NO_REAPPLY;

        if (flags & NM_SETTINGS_CONNECTION_FLAG_EXTERNAL) {
                ctl_error_add(error, CTL_FAILED,
                              _("The profile “%s” only mirrors a configuration made by another program, "
                                "and NetworkManager does not store it. Create a file in %s "
                                "that matches the interface name instead."),
                              view->id, PROFILES_FOLDER);
                return false;
        }
        /* A profile that exists in memory only stays there: nobody asked for it to be saved. What
         * NetworkManager has made itself is saved, as nmcli does. */
        if (!view->home_in_memory)
                update |= NM_SETTINGS_UPDATE2_FLAG_TO_DISK;
        if (!check_edits(edits, error))
                return false;

        guint64 version = fetch_version(bus, view);
        g_autoptr(GVariant) settings = fetch_settings(bus, view, error);
        if (!settings)
                return false;
        g_autoptr(GHashTable) ours = profile_data_read_ours(settings, view->tunnel);
        if (!same_data(ours, view->data)) {
                changed_meanwhile(view, error);
                return false;
        }

        g_autoptr(GHashTable) before = profile_data_read(settings, view->tunnel);
        g_autoptr(GHashTable) after = user_data_apply(before, edits);
        g_autoptr(GVariant) edited = profile_data_replace(settings, after, view->tunnel);
        return send_update(bus, view, edited, update, version, error);
}

/*
 * Checks that NetworkManager stored what was written. Systems that store profiles with netplan lose keys of
 * user.data, so a successful update proves nothing.
 */
static bool verify_profile(GDBusConnection *bus, ProfileView *view, GHashTable *wanted, GHashTable *edits,
                           GError **error) {
        g_autoptr(GVariant) settings = fetch_settings(bus, view, error);
        if (!settings)
                return false;

        g_autoptr(GHashTable) stored = profile_data_read_ours(settings, view->tunnel);
        if (user_data_changed_by(stored, edits)) {
                g_autofree char *lines = user_data_as_file(wanted, view->uuid);
                _cleanup_(freep) char *id = value_excerpt(view->id);
                ctl_error_take(error, g_error_new(
                              CTL_ERROR, CTL_FAILED,
                              _("NetworkManager accepted the change to the profile “%s” but did not "
                                "store it, as happens on systems that store profiles with netplan. Write "
                                "these lines to a file in %s, for example "
                                "%s/%s.conf, and run `underpassctl reload`:\n%s"),
                              id, PROFILES_FOLDER, PROFILES_FOLDER, view->uuid, lines));
                return false;
        }

        g_hash_table_unref(view->data);
        view->data = g_steal_pointer(&stored);
        return true;
}

/* One request; the main loop runs until it is answered. */
typedef struct Request {
        GMainLoop *loop;
        GError *error;
} Request;

static void reapply_done(GObject *source, GAsyncResult *result, gpointer userdata) {
        Request *request = userdata;

        nm_device_reapply_finish(NM_DEVICE(source), result, &request->error);
        g_main_loop_quit(request->loop);
}

static bool reapply_profile(NMClient *client, NMRemoteConnection *remote, const ProfileView *view,
                            ProfileOutcome *outcome, GError **error) {
        g_autoptr(GPtrArray) devices = active_devices(client, remote);
        g_autoptr(GPtrArray) done = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *profile = profile_view_words(view);
        g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);

        for (guint i = 0; i < devices->len; i++) {
                NMDevice *device = g_ptr_array_index(devices, i);
                Request request = { .loop = loop };

                /*
                 * Without a connection NetworkManager takes the profile as it stores it, secrets included.
                 */
                nm_device_reapply_async(device, NULL, 0, 0, NULL, reapply_done, &request);
                g_main_loop_run(loop);

                if (request.error) {
                        g_dbus_error_strip_remote_error(request.error);
                        ctl_error_add(error, CTL_FAILED,
                                      _("The profile “%s” was saved but cannot be applied to %s while "
                                        "it is active (%s). Run `nmcli connection up %s`."),
                                      view->id, device_name(device), request.error->message, profile);
                        g_error_free(request.error);
                } else {
                        g_ptr_array_add(done, g_strdup(device_name(device)));
                }
        }

        bool good = done->len == devices->len;
        g_ptr_array_add(done, NULL);
        outcome->reapplied = (char **) g_ptr_array_free(g_steal_pointer(&done), FALSE);
        return good;
}

/* The profile is written all the same, and nothing would come of it. */
static void warn_of_service(GDBusConnection *bus, ProfileOutcome *outcome) {
        const CheckUnit unit = unit_state(bus);

        if (unit == CHECK_UNIT_DISABLED || unit == CHECK_UNIT_MASKED || unit == CHECK_UNIT_MISSING)
                text_append(&outcome->warnings,
                            g_strdup(_("The service is not enabled, so no link gets a tunnel; `underpassctl "
                                       "check` names the repair.")));
}

/* Writes edits that were checked, reads them back, reapplies the profile, and prints the outcome. */
static bool change_profile(Ctl *ctl, NMClient *client, NMRemoteConnection *remote, ProfileView *view,
                           ProfileOutcome *outcome, GError **error) {
        g_autoptr(GHashTable) wanted = user_data_apply(view->data, outcome->edits);

        outcome->written = user_data_changed_by(view->data, outcome->edits);
        if (outcome->written && (!write_profile(client, remote, view, outcome->edits, error) ||
                                 !verify_profile(nm_client_get_dbus_connection(client), view, wanted,
                                                 outcome->edits, error)))
                return false;

        profile_view_advise(view, &outcome->warnings, &outcome->commands);
        warn_of_service(nm_client_get_dbus_connection(client), outcome);
        /* An edit of a tunnel profile counts at once. */
        bool good = !ctl->reapply || view->tunnel || reapply_profile(client, remote, view, outcome, error);
        if (!view->tunnel && (!outcome->reapplied || !outcome->reapplied[0])) {
                g_autofree char *profile = profile_view_words(view);
                text_append(&outcome->commands, g_strdup_printf("nmcli connection up %s", profile));
        }

        profile_outcome_print(ctl, outcome, view);
        return good;
}

static bool edit_profile(Ctl *ctl, char **arguments, bool unset, GError **error) {
        g_autoptr(NMClient) client = client_open(error);
        if (!client)
                return false;

        Selector selector;
        const char *name = take_profile_name(&arguments, 1, &selector);
        NMRemoteConnection *remote = find_profile(client, name, selector, unset ? "unset" : "set", error);
        if (!remote)
                return false;

        g_autoptr(ProfileView) view = read_view(client, remote);
        g_auto(ProfileOutcome) outcome = {};
        outcome.edits = unset ? user_data_parse_unset(arguments, view->data, error)
                              : user_data_parse_set(arguments, error);
        if (!outcome.edits)
                return false;

        profile_data_adapt(outcome.edits, view->tunnel);
        if (!user_data_check(view->data, outcome.edits, view->where, view->tunnel, &outcome.warnings,
                             error)) {
                ctl_error_add(error, CTL_BAD_VALUE, _("The profile “%s” was not changed."), view->home_id);
                return false;
        }

        return change_profile(ctl, client, remote, view, &outcome, error);
}

bool ctl_profile_set(Ctl *ctl, char **arguments, GError **error) {
        return edit_profile(ctl, arguments, false, error);
}

bool ctl_profile_unset(Ctl *ctl, char **arguments, GError **error) {
        return edit_profile(ctl, arguments, true, error);
}
