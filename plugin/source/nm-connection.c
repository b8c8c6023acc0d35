/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Reads what NetworkManager says of an applied connection. See nm-connection.h. */

#include "source/nm-connection.h"

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
