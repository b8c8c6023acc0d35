/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * org.underpass1.Link. The members are documented in data/org.underpass1.xml, which a test compares with
 * the vtable. The settings appear twice: as a list with source and origin, and as one typed property a key,
 * made from the table of keys. See bus-link.h.
 */

#include <arpa/inet.h>
#include <stdio.h>

#include "profile/nm-user.h"
#include "service/bus-applied.h"
#include "service/bus-fingerprint.h"
#include "service/bus-deactivate.h"
#include "service/bus-link.h"
#include "service/bus-reply.h"
#include "service/bus-text.h"

#define INTERFACE "org.underpass1.Link"

struct BusLinks {
        Manager *manager;
        sd_bus *bus;               /* NULL: there is none, nobody is told anything */
        sd_bus_vtable *vtable;
        BusLink *links;
};

#define GETTER(name) static BUS_GETTER(name)

GETTER(property_ifindex) {
        return sd_bus_message_append(reply, "u", link_ifindex(((const BusLink *) userdata)->link));
}

GETTER(property_name) {
        return sd_bus_message_append(reply, "s", link_name(((const BusLink *) userdata)->link));
}

GETTER(property_type) {
        return sd_bus_message_append(reply, "s", link_facts(((const BusLink *) userdata)->link)->type_name);
}

GETTER(property_state) {
        return sd_bus_message_append(reply, "s",
                                     link_state_name(link_state(((const BusLink *) userdata)->link)));
}

GETTER(property_reason) {
        return bus_append_text(reply, link_reason(((const BusLink *) userdata)->link));
}

GETTER(property_last_error) {
        return bus_append_text(reply, link_last_error(((const BusLink *) userdata)->link));
}

GETTER(property_last_stage) {
        return sd_bus_message_append(reply, "s",
                                     link_stage_name(link_last_stage(((const BusLink *) userdata)->link)));
}

GETTER(property_warnings) {
        return bus_append_texts(reply, link_warnings(((const BusLink *) userdata)->link));
}

GETTER(property_messages) {
        const Link *link = ((const BusLink *) userdata)->link;
        char **const warnings = link_warnings(link);
        const size_t count = strings_count(warnings);
        _cleanup_(freep) const char **texts = calloc(count + 3, sizeof(*texts));

        if (!texts)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++)
                texts[i] = warnings[i];
        texts[count] = link_reason(link);
        texts[count + 1] = link_last_error(link);
        texts[count + 2] = link_is_attached(link) ? link_receive_reason(link) : NULL;
        return bus_append_messages(reply, texts, count + 3);
}

GETTER(property_settings) {
        const Profile *profile = link_profile(((const BusLink *) userdata)->link);
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ssss)");
        for (KeyId id = 0; r >= 0 && profile && id < _KEY_ID_MAX; id++) {
                const ProfileOrigin *origin = &profile->origins[id];
                _cleanup_(freep) char *value = key_format(key_get(id), &profile->settings);

                r = sd_bus_message_append(reply, "(ssss)", key_get(id)->name, value ?: "",
                                          profile_source_name(origin->source), origin->where ?: "");
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(property_connection) {
        const Profile *profile = link_profile(((const BusLink *) userdata)->link);

        return sd_bus_message_append(reply, "(ss)",
                                     profile && profile->connection_id ? profile->connection_id : "",
                                     profile && profile->connection_uuid ? profile->connection_uuid : "");
}

GETTER(property_tunnel_profile) {
        const Profile *profile = link_profile(((const BusLink *) userdata)->link);

        return sd_bus_message_append(reply, "(ss)",
                                     profile && profile->tunnel_id ? profile->tunnel_id : "",
                                     profile && profile->tunnel_uuid ? profile->tunnel_uuid : "");
}

GETTER(property_connection_settings) {
        const Profile *profile = link_profile(((const BusLink *) userdata)->link);
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
        const BusLink *bus_link = userdata;

        return bus_append_counters(reply, manager_tunnel(bus_link->manager), link_ifindex(bus_link->link));
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
        const Profile *profile = link_profile(((const BusLink *) userdata)->link);
        const Key *key = key_find_section(property);
        _cleanup_(freep) char *text = NULL;
        Settings defaults;
        const Settings *settings = &defaults;
        const void *field;

        if (!key)
                return -ENOENT;
        settings_init(&defaults);
        if (profile)
                settings = &profile->settings;
        field = (const char *) settings + key->offset;
        text = key_format(key, settings);
        if (!text)
                return -ENOMEM;
        switch (key->type) {
        case KEY_TUNNEL_MODE:
        case KEY_RECEIVE_MODE:
        case KEY_BULK_MODE:
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
        const BusLink *bus_link = userdata;

        return bus_activate(bus_link->manager, bus_link->link, message, NULL);
}

static int method_deactivate(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const BusLink *bus_link = userdata;

        return bus_deactivate(bus_link->manager, bus_link->link, message);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

/* All members but the properties of the keys, and the end. Who may call them is in authority.c. */
static const sd_bus_vtable fixed_members[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Activate", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_activate,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Deactivate", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_deactivate,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("SubflowChanged",
                                SD_BUS_ARGS("s", change, "s", local_address, "q", local_port,
                                            "s", remote_address, "q", remote_port, "u", error), 0),
        SD_BUS_SIGNAL_WITH_ARGS("SubflowsLeftOut", SD_BUS_ARGS("u", count), 0),
        SD_BUS_PROPERTY("InterfaceIndex", "u", property_ifindex, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Name", "s", property_name, 0, CHANGES),
        SD_BUS_PROPERTY("Type", "s", property_type, 0, CHANGES),
        SD_BUS_PROPERTY("State", "s", property_state, 0, CHANGES),
        SD_BUS_PROPERTY("Reason", "s", property_reason, 0, CHANGES),
        SD_BUS_PROPERTY("Settings", "a(ssss)", property_settings, 0, CHANGES),
        SD_BUS_PROPERTY("Connection", "(ss)", property_connection, 0, CHANGES),
        SD_BUS_PROPERTY("TunnelProfile", "(ss)", property_tunnel_profile, 0, CHANGES),
        SD_BUS_PROPERTY("ConnectionSettings", "a(ss)", property_connection_settings, 0, CHANGES),
        SD_BUS_PROPERTY("Applied", "a(ss)", bus_applied, 0, CHANGES),
        SD_BUS_PROPERTY("Programs", "a(ss)", bus_applied_programs, 0, CHANGES),
        SD_BUS_PROPERTY("ReceiveMode", "(ss)", bus_applied_receive_mode, 0, CHANGES),
        SD_BUS_PROPERTY("LastError", "s", property_last_error, 0, CHANGES),
        SD_BUS_PROPERTY("LastStage", "s", property_last_stage, 0, CHANGES),
        SD_BUS_PROPERTY("Warnings", "as", property_warnings, 0, CHANGES),
        SD_BUS_PROPERTY("Messages", "a{s(sas)}", property_messages, 0, CHANGES),
        SD_BUS_PROPERTY("Counters", "a{st}", property_counters, 0, 0),
};

/* The fixed members, a property for each key, the end. NULL when out of memory. */
static sd_bus_vtable *make_vtable(void) {
        const size_t fixed = ELEMENTS(fixed_members);
        sd_bus_vtable *vtable = calloc(fixed + _KEY_ID_MAX + 1, sizeof(*vtable));

        if (!vtable)
                return NULL;
        memcpy(vtable, fixed_members, sizeof(fixed_members));
        for (KeyId id = 0; id < _KEY_ID_MAX; id++)
                vtable[fixed + id] = (sd_bus_vtable) SD_BUS_PROPERTY(
                        key_get(id)->section_name, key_signature(key_get(id)), property_key, 0, CHANGES);
        vtable[fixed + _KEY_ID_MAX] = (sd_bus_vtable) SD_BUS_VTABLE_END;
        return vtable;
}

static BusLink *bus_link_free(BusLink *bus_link) {
        free(bus_link->path);
        bus_fingerprints_free(bus_link->fingerprints);
        free(bus_link);
        return NULL;
}
DEFINE_CLEANUP(BusLink *, bus_link_free);

int bus_links_new(BusLinks **ret, Manager *manager) {
        _cleanup_(bus_links_freep) BusLinks *links = calloc(1, sizeof(*links));

        if (!links)
                return -ENOMEM;
        links->manager = manager;
        links->vtable = make_vtable();
        if (!links->vtable)
                return -ENOMEM;
        *ret = TAKE_PTR(links);
        return 0;
}

BusLinks *bus_links_free(BusLinks *links) {
        if (!links)
                return NULL;
        for (BusLink *bus_link; (bus_link = links->links);) {
                links->links = bus_link->next;
                bus_link_free(bus_link);
        }
        free(links->vtable);
        free(links);
        return NULL;
}

static BusLink *find_bus_link(const BusLinks *links, const Link *link) {
        for (BusLink *bus_link = links->links; bus_link; bus_link = bus_link->next)
                if (bus_link->link == link)
                        return bus_link;
        return NULL;
}

static int find_by_path(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                        sd_bus_error *error) {
        const BusLinks *links = userdata;

        for (BusLink *bus_link = links->links; bus_link; bus_link = bus_link->next)
                if (streq(bus_link->path, path)) {
                        *ret = bus_link;
                        return 1;
                }
        return 0;
}

static int enumerate_paths(sd_bus *bus, const char *prefix, void *userdata, char ***ret,
                           sd_bus_error *error) {
        _cleanup_(strings_freep) char **paths = NULL;
        const BusLinks *links = userdata;

        for (const BusLink *bus_link = links->links; bus_link; bus_link = bus_link->next)
                if (strings_add(&paths, bus_link->path) < 0)
                        return -ENOMEM;
        *ret = TAKE_PTR(paths);
        return 1;
}

/* What changed since the last time; NULL-terminated, and NULL when it cannot be told. */
static char **compare(const BusLinks *links, BusLink *bus_link) {
        char **names = NULL;

        if (bus_fingerprints_compare(bus_link->fingerprints, links->bus, bus_link->path, INTERFACE, bus_link,
                                     &names) < 0)
                return NULL;
        return names;
}

static void announce(const BusLinks *links, BusLink *bus_link) {
        if (!links->bus)
                return;
        (void) compare(links, bus_link);
        (void) sd_bus_emit_object_added(links->bus, bus_link->path);
}

int bus_links_set_bus(BusLinks *links, sd_bus *bus) {
        int r = 0;

        links->bus = bus;
        if (!bus)
                return 0;
        r = sd_bus_add_fallback_vtable(bus, NULL, BUS_LINK_PREFIX, INTERFACE, links->vtable, find_by_path,
                                       links);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(bus, NULL, BUS_LINK_PREFIX, enumerate_paths, links);
        return r;
}

void bus_links_announce(BusLinks *links) {
        for (BusLink *bus_link = links->links; bus_link; bus_link = bus_link->next)
                announce(links, bus_link);
}

int bus_links_add(BusLinks *links, Link *link) {
        _cleanup_(bus_link_freep) BusLink *bus_link = calloc(1, sizeof(*bus_link));
        BusLink **last = &links->links;
        char name[16];
        int r;

        if (!bus_link)
                return -ENOMEM;
        bus_link->manager = links->manager;
        bus_link->link = link;
        snprintf(name, sizeof(name), "%u", link_ifindex(link));
        r = sd_bus_path_encode(BUS_LINK_PREFIX, name, &bus_link->path);
        if (r >= 0)
                r = bus_fingerprints_new(&bus_link->fingerprints, links->vtable);
        if (r < 0)
                return r;
        while (*last)
                last = &(*last)->next;
        *last = TAKE_PTR(bus_link);
        announce(links, *last);
        return 0;
}

void bus_links_change(BusLinks *links, const Link *link) {
        BusLink *bus_link = find_bus_link(links, link);
        char **names;

        if (!bus_link || !links->bus)
                return;
        names = compare(links, bus_link);
        /* NULL, which is when it cannot be told: all that announce their changes. */
        if (!names || names[0])
                (void) sd_bus_emit_properties_changed_strv(links->bus, bus_link->path, INTERFACE, names);
}

void bus_links_remove(BusLinks *links, const Link *link) {
        for (BusLink **position = &links->links; *position; position = &(*position)->next) {
                BusLink *bus_link = *position;

                if (bus_link->link != link)
                        continue;
                if (links->bus)
                        (void) sd_bus_emit_object_removed(links->bus, bus_link->path);
                *position = bus_link->next;
                bus_link_free(bus_link);
                return;
        }
}

const char *bus_links_path(const BusLinks *links, const Link *link) {
        const BusLink *bus_link = find_bus_link(links, link);

        return bus_link ? bus_link->path : NULL;
}
