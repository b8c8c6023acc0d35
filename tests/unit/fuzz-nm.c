/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Fuzz target: what NetworkManager says of an applied connection. Each line of the input is one property,
 * "SETTING PROPERTY SIGNATURE VALUE", of which a message is built; "!SIGNATURE VALUE" puts something else in
 * the place of the connection. May touch: a socket pair, to which nothing is written.
 */

#include "unit.h"

#include <sys/socket.h>

#include "fuzz.h"
#include "source/nm-connection.h"

enum {
        FIELDS = 4,
        NESTING_MAX = 8,
};

/* What a text becomes: a long one is cut. */
static void check_text(const char *text, const char *expected) {
        assert((text == NULL) == (expected == NULL));
        if (!expected)
                return;
        assert(strlen(text) <= NM_CONNECTION_TEXT_BYTES && utf8_valid(text, strlen(text)));
        assert(strncmp(text, expected, strlen(text)) == 0);
        assert(strlen(expected) - strlen(text) == 0 || strlen(text) > NM_CONNECTION_TEXT_BYTES - 4);
}

/* What the message says, found out in another way. */
typedef struct Expected {
        char *id;
        char *uuid;
        uint32_t mptcp_flags;
        uint32_t mtu;
        size_t pairs;
        size_t vpn_pairs;
        char *vpn_service;
        bool no_autoconnect;
} Expected;

/* A bus that is not connected to anything, because messages belong to one. */
static sd_bus *open_bus(void) {
        static sd_bus *bus;
        int fds[2];

        if (bus)
                return bus;
        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
        assert(sd_bus_new(&bus) >= 0);
        assert(sd_bus_set_fd(bus, fds[0], fds[0]) >= 0);
        assert(sd_bus_start(bus) >= 0);
        return bus;
}

/* Cuts the next field off a line: up to a blank. */
static char *take_field(char **line) {
        char *field = *line, *end = strchrnul(field, ' ');

        *line = *end ? end + 1 : end;
        *end = '\0';
        return field;
}

/* "KEY=VALUE;KEY=VALUE" as an a{ss}. */
static int append_pairs(sd_bus_message *message, char *value) {
        int r;

        r = sd_bus_message_open_container(message, SD_BUS_TYPE_ARRAY, "{ss}");
        for (char *rest = value, *pair = strsep(&rest, ";"); r >= 0 && pair && *pair;
             pair = strsep(&rest, ";")) {
                char *equals = strchrnul(pair, '=');
                const char *text = *equals ? equals + 1 : equals;

                *equals = '\0';
                r = sd_bus_message_append(message, "{ss}", pair, text);
        }
        return r < 0 ? r : sd_bus_message_close_container(message);
}

/* A value of a type that the text names. Negative errno when sd-bus, or this function, cannot make it. */
static int append_value(sd_bus_message *message, const char *signature, char *value, unsigned depth) {
        const uint32_t number = (uint32_t) strtoul(value, NULL, 0);
        int r;

        if (depth > NESTING_MAX)
                return -EINVAL;
        if (streq(signature, "a{ss}"))
                return append_pairs(message, value);
        if (strlen(signature) == 1 && strchr("sog", *signature))
                return sd_bus_message_append_basic(message, *signature, value);
        if (strlen(signature) == 1 && strchr("ybnqiu", *signature))
                return sd_bus_message_append_basic(message, *signature, &number);
        if (*signature != 'v' && *signature != 'a')
                return -EINVAL;

        /* A container of one: the value is that of its element. */
        r = sd_bus_message_open_container(message, *signature, signature[1] ? signature + 1 : "s");
        if (r >= 0)
                r = append_value(message, signature[1] ? signature + 1 : "s", value, depth + 1);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

/* How many of the pairs are kept as such: of user.data those for Underpass, of vpn.data all but the link. */
static size_t count_kept(const char *value, bool vpn) {
        _cleanup_(freep) char *copy = strdup(value);
        char *rest = copy;
        size_t count = 0;

        assert(copy);
        for (char *pair = strsep(&rest, ";"); pair && *pair; pair = strsep(&rest, ";"))
                count += vpn ? strncmp(pair, "link", strcspn(pair, "=")) != 0 || strcspn(pair, "=") != 4
                             : strncmp(pair, "underpass.", strlen("underpass.")) == 0;
        return count;
}

static void expect(Expected *expected, const char *setting, const char *name, const char *signature,
                   const char *value) {
        const uint32_t number = (uint32_t) strtoul(value, NULL, 0);

        if (streq(setting, "connection") && streq(name, "id") && streq(signature, "s"))
                assert(string_replace(&expected->id, value) == 0);
        else if (streq(setting, "connection") && streq(name, "uuid") && streq(signature, "s"))
                assert(string_replace(&expected->uuid, value) == 0);
        else if (streq(setting, "connection") && streq(name, "mptcp-flags") && streq(signature, "u"))
                expected->mptcp_flags = number;
        else if (streq(setting, "user") && streq(name, "data") && streq(signature, "a{ss}"))
                expected->pairs += count_kept(value, false);
        else if (streq(setting, "vpn") && streq(name, "data") && streq(signature, "a{ss}"))
                expected->vpn_pairs += count_kept(value, true);
        else if (streq(setting, "vpn") && streq(name, "service-type") && streq(signature, "s"))
                assert(string_replace(&expected->vpn_service, value) == 0);
        else if (streq(setting, "connection") && streq(name, "autoconnect") && streq(signature, "b"))
                expected->no_autoconnect = number == 0;
        else if (!streq(setting, "ipv4") && !streq(setting, "ipv6") && streq(name, "mtu") &&
                 streq(signature, "u"))
                expected->mtu = number;
}

/* One setting with one property: NetworkManager puts all properties of a setting together, but the reader
 * must not care. */
static int append_line(sd_bus_message *message, char *line, Expected *expected) {
        const char *fields[FIELDS - 1];
        int r;

        for (size_t i = 0; i < ELEMENTS(fields); i++)
                fields[i] = take_field(&line);
        _cleanup_(freep) char *value = strdup(line);
        assert(value);

        r = sd_bus_message_open_container(message, SD_BUS_TYPE_DICT_ENTRY, "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_append(message, "s", fields[0]);
        if (r >= 0)
                r = sd_bus_message_open_container(message, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r >= 0)
                r = sd_bus_message_open_container(message, SD_BUS_TYPE_DICT_ENTRY, "sv");
        if (r >= 0)
                r = sd_bus_message_append(message, "s", fields[1]);
        if (r >= 0)
                r = sd_bus_message_open_container(message, SD_BUS_TYPE_VARIANT, fields[2]);
        if (r >= 0)
                r = append_value(message, fields[2], line, 0);
        for (size_t i = 0; r >= 0 && i < 4; i++)
                r = sd_bus_message_close_container(message);
        if (r >= 0)
                expect(expected, fields[0], fields[1], fields[2], value);
        return r;
}

static int build(sd_bus_message *message, char *text, Expected *expected, bool *ret_wrong) {
        char *rest = text;
        int r;

        *ret_wrong = text[0] == '!';
        if (*ret_wrong) {
                char *line = text + 1;
                const char *signature = take_field(&line);

                return append_value(message, signature, line, 0);
        }
        r = sd_bus_message_open_container(message, SD_BUS_TYPE_ARRAY, "{sa{sv}}");
        for (char *line = strsep(&rest, "\n"); r >= 0 && line && *line; line = strsep(&rest, "\n"))
                r = append_line(message, line, expected);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_append(message, "t", UINT64_C(1));
}

static void check_pairs(char *const *keys, char *const *values, size_t count, bool lost) {
        assert(lost ? strings_count(keys) <= count : strings_count(keys) == count);
        assert(strings_count(values) == strings_count(keys));
        count = strings_count(keys);
        for (size_t i = 0; i < count; i++)
                assert(utf8_valid(keys[i], strlen(keys[i])) && utf8_valid(values[i], strlen(values[i])));
}

static void check(const NmConnection *connection, const Expected *expected) {
        check_text(connection->id, expected->id);
        check_text(connection->uuid, expected->uuid);
        assert(connection->mptcp_flags == expected->mptcp_flags && connection->mtu == expected->mtu);
        check_pairs(connection->keys, connection->values, expected->pairs, connection->pairs_lost);
        check_pairs(connection->vpn_keys, connection->vpn_values, expected->vpn_pairs,
                    connection->pairs_lost);
        check_text(connection->vpn_service, expected->vpn_service);
        assert(connection->no_autoconnect == expected->no_autoconnect);
        assert(nm_connection_equal(connection, connection));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        _cleanup_(nm_connection_done) NmConnection connection = {};
        _cleanup_(freep) char *text = strndup((const char *) data, size);
        Expected expected = {};
        bool wrong = false;

        assert(text);
        assert(sd_bus_message_new_signal(open_bus(), &message, "/x", "x.x", "X") >= 0);
        if (build(message, text, &expected, &wrong) >= 0) {
                assert(sd_bus_message_seal(message, 1, 0) >= 0);
                assert(sd_bus_message_rewind(message, true) >= 0);
                int r = nm_connection_read(message, &connection);
                assert(r == 0 || wrong);
                check(&connection, &expected);
        }
        free(expected.id);
        free(expected.uuid);
        free(expected.vpn_service);
        return 0;
}
