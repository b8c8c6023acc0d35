/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Calls to NetworkManager, what the answers contain, and the devices they are about. Part of the
 * NetworkManager source, room L3 (world): sd-bus.
 */

#include "source/nm-device.h"

void nm_connection_done(NmConnection *connection) {
        free(connection->id);
        free(connection->uuid);
        strings_free(connection->keys);
        strings_free(connection->values);
        *connection = (NmConnection) {};
}

static int read_user_data(sd_bus_message *message, NmConnection *connection) {
        const char *key, *value;
        int r;

        r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, "a{ss}");
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{ss}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(message, "{ss}", &key, &value)) > 0) {
                r = strings_add(&connection->keys, key);
                if (r == 0)
                        r = strings_add(&connection->values, value);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(message);
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_string(sd_bus_message *message, char **target) {
        const char *text;
        int r = sd_bus_message_read(message, "v", "s", &text);

        return r < 0 ? r : string_replace(target, text);
}

/* One property of one setting; what does not concern us, or has another type than expected, is skipped. */
static int read_property(sd_bus_message *message, const char *setting, const char *name,
                         NmConnection *connection) {
        const char *contents;
        char type;
        int r;

        r = sd_bus_message_peek_type(message, &type, &contents);
        if (r < 0)
                return r;
        if (streq(setting, "connection") && streq(contents, "s") && streq(name, "id"))
                return read_string(message, &connection->id);
        if (streq(setting, "connection") && streq(contents, "s") && streq(name, "uuid"))
                return read_string(message, &connection->uuid);
        if (streq(setting, "connection") && streq(contents, "u") && streq(name, "mptcp-flags"))
                return sd_bus_message_read(message, "v", "u", &connection->mptcp_flags);
        if (streq(setting, "user") && streq(contents, "a{ss}") && streq(name, "data"))
                return read_user_data(message, connection);
        if (streq(contents, "u") && streq(name, "mtu"))
                return sd_bus_message_read(message, "v", "u", &connection->mtu);
        return sd_bus_message_skip(message, "v");
}

static int read_setting(sd_bus_message *message, NmConnection *connection) {
        const char *setting, *name;
        int r;

        r = sd_bus_message_read(message, "s", &setting);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, "sv")) > 0) {
                r = sd_bus_message_read(message, "s", &name);
                if (r >= 0)
                        r = read_property(message, setting, name, connection);
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

int nm_connection_read(sd_bus_message *message, NmConnection *ret) {
        _cleanup_(nm_connection_done) NmConnection connection = {};
        int r;

        r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{sa{sv}}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, "sa{sv}")) > 0) {
                r = read_setting(message, &connection);
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        *ret = connection;
        connection = (NmConnection) {};
        return 0;
}

static void message_unrefp(sd_bus_message **message) {
        sd_bus_message_unref(*message);
}

int nm_call(sd_bus *bus, sd_bus_slot **ret_slot, const char *path, const char *interface, const char *member,
            sd_bus_message_handler_t handler, void *userdata, uint64_t timeout_us, const char *types, ...) {
        _cleanup_(message_unrefp) sd_bus_message *message = NULL;
        va_list arguments;
        int r;

        r = sd_bus_message_new_method_call(bus, &message, "org.freedesktop.NetworkManager", path, interface,
                                           member);
        if (r < 0)
                return r;
        r = sd_bus_message_set_auto_start(message, false);
        if (r < 0)
                return r;
        va_start(arguments, types);
        r = sd_bus_message_appendv(message, types, arguments);
        va_end(arguments);
        if (r < 0)
                return r;
        return sd_bus_call_async(bus, ret_slot, message, handler, userdata, timeout_us);
}

NmDevice *nm_device_find(NmDevice *devices, uint32_t ifindex) {
        for (NmDevice *device = devices; device; device = device->next)
                if (device->ifindex == ifindex)
                        return device;
        return NULL;
}

NmDevice *nm_device_get(NmDevice **devices, void *owner, uint32_t ifindex) {
        NmDevice *device = nm_device_find(*devices, ifindex);

        if (device)
                return device;
        device = calloc(1, sizeof(*device));
        if (!device)
                return NULL;
        *device = (NmDevice) { .next = *devices, .owner = owner, .ifindex = ifindex };
        *devices = device;
        return device;
}

void nm_device_clear(NmDevice *device) {
        nm_connection_done(&device->connection);
        device->has_connection = false;
}

void nm_device_finish(NmDevice *device) {
        SourceDone done = device->done;

        device->call = sd_bus_slot_unref(device->call);
        device->done = NULL;
        if (done)
                done(device->done_userdata);
}

void nm_device_free(NmDevice *device) {
        nm_device_finish(device);
        nm_device_clear(device);
        free(device->path);
        free(device);
}
