/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Reads what NetworkManager says of an applied connection. See nm-connection.h. */

#include "profile/nm-tunnel.h"
#include "profile/nm-user.h"
#include "source/nm-connection.h"

/* How much of a list has been read. */
typedef struct Extent {
        size_t count;
        size_t bytes;
} Extent;

void nm_connection_done(NmConnection *connection) {
        free(connection->id);
        free(connection->uuid);
        free(connection->interface_name);
        strings_free(connection->users);
        strings_free(connection->secondaries);
        strings_free(connection->keys);
        strings_free(connection->values);
        free(connection->vpn_service);
        free(connection->vpn_link);
        strings_free(connection->vpn_keys);
        strings_free(connection->vpn_values);
        *connection = (NmConnection) {};
}

bool nm_connection_has_keys(const NmConnection *connection) {
        return connection->keys || connection->pairs_lost;
}

static bool text_equal(const char *a, const char *b) {
        return a && b ? streq(a, b) : a == b;
}

bool nm_connection_equal(const NmConnection *a, const NmConnection *b) {
        return text_equal(a->id, b->id) && text_equal(a->uuid, b->uuid) &&
               a->mptcp_flags == b->mptcp_flags && a->mtu == b->mtu &&
               text_equal(a->interface_name, b->interface_name) &&
               strings_equal(a->users, b->users) && a->users_lost == b->users_lost &&
               strings_equal(a->secondaries, b->secondaries) &&
               a->no_autoconnect == b->no_autoconnect && a->addressed == b->addressed &&
               strings_equal(a->keys, b->keys) && strings_equal(a->values, b->values) &&
               text_equal(a->vpn_service, b->vpn_service) && text_equal(a->vpn_link, b->vpn_link) &&
               strings_equal(a->vpn_keys, b->vpn_keys) && strings_equal(a->vpn_values, b->vpn_values) &&
               a->pairs_lost == b->pairs_lost;
}

/* Whether one more text, or pair of texts, fits into a list. */
static bool fits(Extent *extent, const char *a, const char *b) {
        extent->count++;
        extent->bytes += strlen(a) + strlen(b);
        return extent->count <= NM_CONNECTION_LIST_MAX && extent->bytes <= NM_CONNECTION_LIST_BYTES;
}

static int keep_text(char **target, const char *text) {
        size_t length = strnlen(text, NM_CONNECTION_TEXT_BYTES + 1);
        char *copy;

        if (length > NM_CONNECTION_TEXT_BYTES)
                while (length > 0 && ((unsigned char) text[--length] & 0xc0) == 0x80)
                        continue;
        copy = strndup(text, length);
        if (!copy)
                return -ENOMEM;
        free(*target);
        *target = copy;
        return 0;
}

static int keep_pair(NmConnection *connection, bool vpn, Extent *extent, const char *key,
                     const char *value) {
        char ***keys = vpn ? &connection->vpn_keys : &connection->keys;
        char ***values = vpn ? &connection->vpn_values : &connection->values;
        int r;

        if (vpn && streq(key, NM_TUNNEL_LINK))
                return keep_text(&connection->vpn_link, value);
        if (!vpn && !nm_user_is_ours(key))
                return 0;
        if (!fits(extent, key, value)) {
                connection->pairs_lost = true;
                return 0;
        }
        r = strings_add(keys, key);
        return r < 0 ? r : strings_add(values, value);
}

/* A dictionary of strings: vpn.data, or user.data. */
static int read_pairs(sd_bus_message *message, NmConnection *connection, bool vpn) {
        Extent extent = {};
        const char *key, *value;
        int r;

        r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, "a{ss}");
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{ss}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(message, "{ss}", &key, &value)) > 0) {
                r = keep_pair(connection, vpn, &extent, key, value);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(message);
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_strings(sd_bus_message *message, char ***list, bool *lost) {
        Extent extent = {};
        const char *text;
        int r;

        r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, "as");
        if (r >= 0)
                r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "s");
        while (r >= 0 && (r = sd_bus_message_read(message, "s", &text)) > 0)
                if (fits(&extent, text, ""))
                        r = strings_add(list, text);
                else
                        *lost = true;
        if (r >= 0)
                r = sd_bus_message_exit_container(message);
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_string(sd_bus_message *message, char **target) {
        const char *text;
        int r = sd_bus_message_read(message, "v", "s", &text);

        return r < 0 ? r : keep_text(target, text);
}

/* An array of any kind: whether it has elements. */
static int read_filled(sd_bus_message *message, const char *contents, bool *filled) {
        int r;

        r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, contents);
        if (r >= 0)
                r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, contents + 1);
        while (r >= 0 && (r = sd_bus_message_at_end(message, false)) == 0) {
                *filled = true;
                r = sd_bus_message_skip(message, contents + 1);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(message);
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_autoconnect(sd_bus_message *message, bool *ret_off) {
        int on = true;
        int r = sd_bus_message_read(message, "v", "b", &on);

        if (r >= 0)
                *ret_off = !on;
        return r;
}

/* One property of the setting "connection". */
static int read_connection_property(sd_bus_message *message, const char *name, const char *contents,
                                    NmConnection *connection) {
        const struct {
                const char *name;
                char **target;
        } texts[] = {
                { "id", &connection->id },
                { "uuid", &connection->uuid },
                { "interface-name", &connection->interface_name },
        };

        for (size_t i = 0; streq(contents, "s") && i < ELEMENTS(texts); i++)
                if (streq(name, texts[i].name))
                        return read_string(message, texts[i].target);
        if (streq(contents, "u") && streq(name, "mptcp-flags"))
                return sd_bus_message_read(message, "v", "u", &connection->mptcp_flags);
        if (streq(contents, "as") && streq(name, "permissions"))
                return read_strings(message, &connection->users, &connection->users_lost);
        if (streq(contents, "as") && streq(name, "secondaries"))
                return read_strings(message, &connection->secondaries, &(bool) { false });
        if (streq(contents, "b") && streq(name, "autoconnect"))
                return read_autoconnect(message, &connection->no_autoconnect);
        return sd_bus_message_skip(message, "v");
}

static bool is_ip(const char *setting) {
        return streq(setting, "ipv4") || streq(setting, "ipv6");
}

/* What a profile wants of addresses, and a tunnel profile should not have. */
static bool is_addressing(const char *setting, const char *name) {
        static const char *const names[] = {
                "address-data", "addresses", "dns", "dns-data", "dns-search", "route-data", "routes",
        };

        if (!is_ip(setting))
                return false;
        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (streq(name, names[i]))
                        return true;
        return false;
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
        if (streq(contents, "u") && streq(name, "mtu") && !is_ip(setting))
                return sd_bus_message_read(message, "v", "u", &connection->mtu);
        if (streq(setting, "connection"))
                return read_connection_property(message, name, contents, connection);
        if (streq(setting, "user") && streq(contents, "a{ss}") && streq(name, "data"))
                return read_pairs(message, connection, false);
        if (streq(setting, "vpn") && streq(contents, "s") && streq(name, "service-type"))
                return read_string(message, &connection->vpn_service);
        if (streq(setting, "vpn") && streq(contents, "a{ss}") && streq(name, "data"))
                return read_pairs(message, connection, true);
        if (contents[0] == SD_BUS_TYPE_ARRAY && is_addressing(setting, name))
                return read_filled(message, contents, &connection->addressed);
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
