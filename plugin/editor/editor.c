/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * libnm's editor plugin for tunnel profiles: nmcli imports and exports them by it. It has no window;
 * editors of NetworkManager show tunnel profiles, and change what all profiles have, without one.
 */

#include <NetworkManager.h>
#include <gmodule.h>

#include "base/i18n.h"
#include "base/util.h"
#include "editor/tunnel-file.h"
#include "profile/nm-tunnel.h"

enum { FILE_SIZE_MAX = 64 * 1024 };

enum {
        PROPERTY_NAME = 1,
        PROPERTY_DESCRIPTION,
        PROPERTY_SERVICE,
};

typedef struct UnderpassEditor {
        GObject parent;
} UnderpassEditor;

typedef struct UnderpassEditorClass {
        GObjectClass parent;
} UnderpassEditorClass;

GType underpass_editor_get_type(void);

static void underpass_editor_implement(NMVpnEditorPluginInterface *interface);

G_DEFINE_TYPE_WITH_CODE(UnderpassEditor, underpass_editor, G_TYPE_OBJECT,
                        G_IMPLEMENT_INTERFACE(NM_TYPE_VPN_EDITOR_PLUGIN, underpass_editor_implement))

static NMVpnEditor *get_editor(NMVpnEditorPlugin *plugin, NMConnection *connection, GError **error) {
        g_set_error(error, NM_VPN_PLUGIN_ERROR, NM_VPN_PLUGIN_ERROR_FAILED,
                    _("Tunnel profiles have no window of their own; use nmcli, see underpass.conf(5)."));
        return NULL;
}

static NMVpnEditorPluginCapability get_capabilities(NMVpnEditorPlugin *plugin) {
        return NM_VPN_EDITOR_PLUGIN_CAPABILITY_IMPORT | NM_VPN_EDITOR_PLUGIN_CAPABILITY_EXPORT;
}

/* Takes the sentence over. */
static void set_error(GError **error, NMConnectionError code, int number, char *sentence) {
        g_set_error(error, NM_CONNECTION_ERROR, code, "%s", sentence ?: g_strerror(-number));
        free(sentence);
}

/* "/home/me/lte.conf" is the profile "lte". */
static char *id_of(const char *path) {
        char *name = g_path_get_basename(path), *dot = strrchr(name, '.');

        if (dot && dot != name)
                *dot = '\0';
        return name;
}

static NMConnection *make_connection(const char *path, const TunnelData *data) {
        NMConnection *connection = nm_simple_connection_new();
        NMSettingVpn *vpn = NM_SETTING_VPN(nm_setting_vpn_new());
        g_autofree char *id = id_of(path), *uuid = nm_utils_uuid_generate();

        nm_connection_add_setting(connection,
                                  g_object_new(NM_TYPE_SETTING_CONNECTION, NM_SETTING_CONNECTION_ID, id,
                                               NM_SETTING_CONNECTION_UUID, uuid, NM_SETTING_CONNECTION_TYPE,
                                               NM_SETTING_VPN_SETTING_NAME, NULL));
        g_object_set(vpn, NM_SETTING_VPN_SERVICE_TYPE, NM_TUNNEL_SERVICE, NULL);
        for (size_t i = 0; i < strings_count(data->keys); i++)
                nm_setting_vpn_add_data_item(vpn, data->keys[i], data->values[i]);
        nm_connection_add_setting(connection, NM_SETTING(vpn));
        return connection;
}

static NMConnection *import_from_file(NMVpnEditorPlugin *plugin, const char *path, GError **error) {
        g_autofree char *name = g_path_get_basename(path), *text = NULL;
        TunnelData data = {};
        NMConnection *connection;
        char *sentence = NULL;
        gsize length;
        int r;

        if (!g_file_get_contents(path, &text, &length, error))
                return NULL;
        r = length > FILE_SIZE_MAX ? -EFBIG : tunnel_file_parse(text, length, name, &data, &sentence);
        if (r < 0) {
                set_error(error, NM_CONNECTION_ERROR_INVALID_PROPERTY, r, sentence);
                return NULL;
        }
        connection = make_connection(path, &data);
        tunnel_data_done(&data);
        return connection;
}

static void add_item(const char *key, const char *value, gpointer userdata) {
        TunnelData *data = userdata;

        /* GLib aborts as well when memory runs out. */
        if (strings_add(&data->keys, key) < 0 || strings_add(&data->values, value) < 0)
                g_error("out of memory");
}

static gboolean export_to_file(NMVpnEditorPlugin *plugin, const char *path, NMConnection *connection,
                               GError **error) {
        NMSettingVpn *vpn = nm_connection_get_setting_vpn(connection);
        char *text = NULL, *sentence = NULL;
        TunnelData data = {};
        gboolean written;
        int r;

        if (vpn)
                nm_setting_vpn_foreach_data_item(vpn, add_item, &data);
        r = tunnel_file_format(&data, nm_connection_get_interface_name(connection), &text, &sentence);
        tunnel_data_done(&data);
        if (r < 0) {
                set_error(error, NM_CONNECTION_ERROR_INVALID_PROPERTY, r, sentence);
                return FALSE;
        }
        written = g_file_set_contents(path, text, -1, error);
        free(text);
        return written;
}

static char *get_suggested_filename(NMVpnEditorPlugin *plugin, NMConnection *connection) {
        return g_strdup_printf("%s.conf", nm_connection_get_id(connection) ?: "tunnel");
}

static void underpass_editor_implement(NMVpnEditorPluginInterface *interface) {
        interface->get_editor = get_editor;
        interface->get_capabilities = get_capabilities;
        interface->import_from_file = import_from_file;
        interface->export_to_file = export_to_file;
        interface->get_suggested_filename = get_suggested_filename;
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *specification) {
        switch (id) {
        case PROPERTY_NAME:
                g_value_set_string(value, "underpass");
                return;
        case PROPERTY_DESCRIPTION:
                g_value_set_string(value, _("TCP inside UDP for the links of Multipath TCP."));
                return;
        case PROPERTY_SERVICE:
                g_value_set_string(value, NM_TUNNEL_SERVICE);
                return;
        default:
                G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, specification);
        }
}

static void underpass_editor_class_init(UnderpassEditorClass *class) {
        GObjectClass *object = G_OBJECT_CLASS(class);

        object->get_property = get_property;
        g_object_class_override_property(object, PROPERTY_NAME, NM_VPN_EDITOR_PLUGIN_NAME);
        g_object_class_override_property(object, PROPERTY_DESCRIPTION, NM_VPN_EDITOR_PLUGIN_DESCRIPTION);
        g_object_class_override_property(object, PROPERTY_SERVICE, NM_VPN_EDITOR_PLUGIN_SERVICE);
}

static void underpass_editor_init(UnderpassEditor *editor) {
}

/* libnm looks for this name. */
G_MODULE_EXPORT NMVpnEditorPlugin *nm_vpn_editor_plugin_factory(GError **error) {
        return g_object_new(underpass_editor_get_type(), NULL);
}
