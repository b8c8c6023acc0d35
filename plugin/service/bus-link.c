/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * org.underpass1.Link. The members are documented in data/org.underpass1.xml, which a test compares with
 * this vtable. The settings appear twice: as a list with source and origin, and as one typed property a key,
 * made from the table of keys.
 */

#include <stdio.h>

#include "profile/nm-user.h"
#include "service/bus-applied.h"

#define INTERFACE "org.underpass1.Link"

#define GETTER(name) static GETTER_OF(name)

GETTER(property_ifindex) {
        return sd_bus_message_append(reply, "u", ((const Link *) userdata)->ifindex);
}

GETTER(property_name) {
        return sd_bus_message_append(reply, "s", link_name(userdata));
}

GETTER(property_type) {
        const Link *link = userdata;

        return sd_bus_message_append(reply, "s", link->facts ? link->facts->type_name : "");
}

GETTER(property_state) {
        return sd_bus_message_append(reply, "s", link_state_name(((const Link *) userdata)->state));
}

GETTER(property_reason) {
        const Link *link = userdata;

        return sd_bus_message_append(reply, "s", link->reason ?: "");
}

GETTER(property_last_error) {
        const Link *link = userdata;

        return sd_bus_message_append(reply, "s", link->last_error ?: "");
}

GETTER(property_last_stage) {
        return sd_bus_message_append(reply, "s", link_stage_name(((const Link *) userdata)->last_stage));
}

GETTER(property_warnings) {
        return sd_bus_message_append_strv(reply, ((Link *) userdata)->warnings);
}

GETTER(property_settings) {
        const Link *link = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ssss)");
        for (KeyId id = 0; r >= 0 && link->profile && id < _KEY_ID_MAX; id++) {
                const ProfileOrigin *origin = &link->profile->origins[id];
                _cleanup_(freep) char *value = key_format(key_get(id), &link->profile->settings);

                r = sd_bus_message_append(reply, "(ssss)", key_get(id)->name, value ?: "",
                                          origin->source ?: "", origin->where ?: "");
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(property_connection) {
        const Profile *profile = ((const Link *) userdata)->profile;

        return sd_bus_message_append(reply, "(ss)",
                                     profile && profile->connection_id ? profile->connection_id : "",
                                     profile && profile->connection_uuid ? profile->connection_uuid : "");
}

GETTER(property_connection_settings) {
        const Profile *profile = ((const Link *) userdata)->profile;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ss)");
        if (r >= 0 && profile && profile->network_file)
                r = sd_bus_message_append(reply, "(ss)", "network-file", profile->network_file);
        if (r >= 0 && profile && profile->connection_id) {
                _cleanup_(freep) char *flags = nm_mptcp_flags_format(profile->connection_mptcp_flags);
                char mtu[16] = "auto";

                if (profile->connection_mtu != 0)
                        snprintf(mtu, sizeof(mtu), "%u", profile->connection_mtu);
                r = sd_bus_message_append(reply, "(ss)(ss)", "connection.mptcp-flags", flags ?: "", "mtu",
                                          mtu);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(property_counters) {
        const Link *link = userdata;

        return bus_append_counters(reply, link->manager->tunnel, link->ifindex);
}

static int append_ports(sd_bus_message *reply, const PortSet *ports) {
        int r = sd_bus_message_open_container(reply, 'a', "(qq)");

        for (size_t i = 0; r >= 0 && i < ports->count; i++)
                r = sd_bus_message_append(reply, "(qq)", ports->ranges[i].first, ports->ranges[i].last);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* A list of words as the key's own printed form has them. */
static int append_words(sd_bus_message *reply, const char *text, const char *empty) {
        _cleanup_(freep) char *copy = strdup(text);
        char *position = copy;
        int r = copy ? sd_bus_message_open_container(reply, 'a', "s") : -ENOMEM;

        for (const char *word = strsep(&position, ", "); r >= 0 && word; word = strsep(&position, ", "))
                if (*word && !streq(word, empty))
                        r = sd_bus_message_append(reply, "s", word);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* One property a key: its name is that of the key in files. */
GETTER(property_key) {
        const Link *link = userdata;
        const Key *key = key_find_section(property);
        _cleanup_(freep) char *text = NULL;
        Settings defaults;
        const Settings *settings = &defaults;
        const void *field;

        if (!key)
                return -ENOENT;
        settings_init(&defaults);
        if (link->profile)
                settings = &link->profile->settings;
        field = (const char *) settings + key->offset;
        text = key_format(key, settings);
        if (!text)
                return -ENOMEM;
        switch (key->type) {
        case KEY_TUNNEL_MODE:
        case KEY_RECEIVE_MODE:
        case KEY_MARK:
                return sd_bus_message_append(reply, "s", text);
        case KEY_PORT_SET:
                return append_ports(reply, field);
        case KEY_PREFIX_SET:
        case KEY_ENDPOINT:
                return append_words(reply, text, "none");
        case KEY_BOOLEAN:
                return sd_bus_message_append(reply, "b", *(const bool *) field);
        case KEY_NUMBER:
                return sd_bus_message_append(reply, "u", *(const uint32_t *) field);
        case _KEY_TYPE_MAX:
                break;
        }
        return -EINVAL;
}

static int method_activate(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return bus_activate(userdata, message, false);
}

static int method_deactivate(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return bus_deactivate(userdata, message);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

/* sd-bus keeps a pointer to the vtable, so it lives as long as the process; the part for the keys is
 * filled in once, from their table. */
static const sd_bus_vtable *link_vtable(void) {
        static sd_bus_vtable vtable[40] = {
                SD_BUS_VTABLE_START(0),
                SD_BUS_METHOD_WITH_ARGS("Activate", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_activate, 0),
                SD_BUS_METHOD_WITH_ARGS("Deactivate", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_deactivate,
                                        0),
                SD_BUS_PROPERTY("InterfaceIndex", "u", property_ifindex, 0, SD_BUS_VTABLE_PROPERTY_CONST),
                SD_BUS_PROPERTY("Name", "s", property_name, 0, CHANGES),
                SD_BUS_PROPERTY("Type", "s", property_type, 0, CHANGES),
                SD_BUS_PROPERTY("State", "s", property_state, 0, CHANGES),
                SD_BUS_PROPERTY("Reason", "s", property_reason, 0, CHANGES),
                SD_BUS_PROPERTY("Settings", "a(ssss)", property_settings, 0, CHANGES),
                SD_BUS_PROPERTY("Connection", "(ss)", property_connection, 0, CHANGES),
                SD_BUS_PROPERTY("ConnectionSettings", "a(ss)", property_connection_settings, 0, CHANGES),
                SD_BUS_PROPERTY("Applied", "a(ss)", bus_link_applied, 0, CHANGES),
                SD_BUS_PROPERTY("Programs", "a(ss)", bus_link_programs, 0, CHANGES),
                SD_BUS_PROPERTY("ReceiveMode", "(ss)", bus_link_receive_mode, 0, CHANGES),
                SD_BUS_PROPERTY("LastError", "s", property_last_error, 0, CHANGES),
                SD_BUS_PROPERTY("LastStage", "s", property_last_stage, 0, CHANGES),
                SD_BUS_PROPERTY("Warnings", "as", property_warnings, 0, CHANGES),
                SD_BUS_PROPERTY("Counters", "a{st}", property_counters, 0, 0),
        };
        enum { FIRST = 18 };

        _Static_assert(FIRST + _KEY_ID_MAX + 1 <= ELEMENTS(vtable), "room for all keys");
        if (vtable[FIRST].type == 0) {
                for (KeyId id = 0; id < _KEY_ID_MAX; id++)
                        vtable[FIRST + id] = (sd_bus_vtable) SD_BUS_PROPERTY(key_get(id)->section_name,
                                                                             key_signature(key_get(id)),
                                                                             property_key, 0, CHANGES);
                vtable[FIRST + _KEY_ID_MAX] = (sd_bus_vtable) SD_BUS_VTABLE_END;
        }
        return vtable;
}

static int find_link(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                     sd_bus_error *error) {
        for (Link *link = ((Manager *) userdata)->links; link; link = link->next)
                if (link->exported && streq(link->path, path)) {
                        *ret = link;
                        return 1;
                }
        return 0;
}

static int enumerate_links(sd_bus *bus, const char *prefix, void *userdata, char ***ret,
                           sd_bus_error *error) {
        _cleanup_(strings_freep) char **paths = NULL;

        for (Link *link = ((Manager *) userdata)->links; link; link = link->next)
                if (link->exported && strings_add(&paths, link->path) < 0)
                        return -ENOMEM;
        *ret = TAKE_PTR(paths);
        return 1;
}

int bus_link_export(Manager *manager) {
        int r;

        r = sd_bus_add_fallback_vtable(manager->bus, NULL, BUS_LINK_PREFIX, INTERFACE, link_vtable(),
                                       find_link, manager);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(manager->bus, NULL, BUS_LINK_PREFIX, enumerate_links, manager);
}

/* What PropertiesChanged is about, as text that can be compared. */
static int describe(const Link *link, char ***ret) {
        _cleanup_(strings_freep) char **texts = NULL;
        const Applied *applied = &link->applied;
        const Profile *profile = link->profile;
        int r;

        r = strings_addf(&texts, "%s\n%s\n%s\n%s\n%s\n%s", link_name(link),
                         link->facts ? link->facts->type_name : "", link_state_name(link->state),
                         link->reason ?: "", link_stage_name(link->last_stage), link->last_error ?: "");
        for (size_t i = 0; r >= 0 && i < strings_count(link->warnings); i++)
                r = strings_add(&texts, link->warnings[i]);
        if (r >= 0 && profile)
                r = strings_addf(&texts, "%s\n%s\n%u\n%u\n%s", profile->connection_id ?: "",
                                 profile->connection_uuid ?: "", profile->connection_mptcp_flags,
                                 profile->connection_mtu, profile->network_file ?: "");
        for (KeyId id = 0; r >= 0 && profile && id < _KEY_ID_MAX; id++) {
                _cleanup_(freep) char *value = key_format(key_get(id), &profile->settings);

                r = strings_addf(&texts, "%s\n%s\n%s", value ?: "", profile->origins[id].source ?: "",
                                 profile->origins[id].where ?: "");
        }
        if (r >= 0)
                r = strings_addf(&texts, "%d %d %u %u %u %u", applied->attached, applied->raw_ip,
                                 applied->link.mss_ipv4, applied->link.mss_ipv6, applied->mtu_set,
                                 applied->mtu_original);
        if (r >= 0)
                r = strings_addf(&texts, "%s %d %s", link->device.name, link->receive,
                                 link->receive_reason ?: "");
        for (SctpPort port = 0; r >= 0 && port < _SCTP_PORT_MAX; port++) {
                uint16_t original = 0;
                bool set = manager_sctp_applied(link->manager, link, port, &original);

                r = strings_addf(&texts, "%d %u %u", set, link->sctp_ports[port], original);
        }
        for (size_t i = 0; r >= 0 && i < applied->endpoints_count; i++) {
                const uint32_t *word = applied->endpoints[i].word;

                r = strings_addf(&texts, "%x %x %x %x", word[0], word[1], word[2], word[3]);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(texts);
        return 0;
}

void bus_link_announce(Link *link) {
        if (link->exported || !link->manager->bus)
                return;
        link->exported = true;
        link->announced = strings_free(link->announced);
        (void) describe(link, &link->announced);
        (void) sd_bus_emit_object_added(link->manager->bus, link->path);
}

void bus_link_changed(Link *link) {
        char **texts = NULL;

        if (!link->exported || !link->manager->bus)
                return;
        if (describe(link, &texts) >= 0 && strings_equal(texts, link->announced)) {
                strings_free(texts);
                return;
        }
        strings_free(link->announced);
        link->announced = texts;
        /* NULL: all that announce their changes. */
        (void) sd_bus_emit_properties_changed_strv(link->manager->bus, link->path, INTERFACE, NULL);
}

void bus_link_withdraw(Link *link) {
        if (!link->exported || !link->manager->bus)
                return;
        (void) sd_bus_emit_object_removed(link->manager->bus, link->path);
        link->exported = false;
}
