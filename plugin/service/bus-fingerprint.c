/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus-fingerprint.h. */

#include "base/hash.h"
#include "base/util.h"
#include "service/bus-fingerprint.h"

typedef struct Property {
        const sd_bus_vtable *row;
        uint64_t fingerprint;
} Property;

struct BusFingerprints {
        size_t count;
        char **names;       /* of those that differ; room for all */
        Property properties[];
};

static bool is_announced(const sd_bus_vtable *row) {
        return (row->type == _SD_BUS_VTABLE_PROPERTY || row->type == _SD_BUS_VTABLE_WRITABLE_PROPERTY) &&
               (row->flags & SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE);
}

int bus_fingerprints_new(BusFingerprints **ret, const sd_bus_vtable *vtable) {
        BusFingerprints *fingerprints;
        size_t count = 0;

        for (const sd_bus_vtable *row = vtable; row->type != _SD_BUS_VTABLE_END; row++)
                count += is_announced(row);
        fingerprints = calloc(1, sizeof(*fingerprints) + count * sizeof(Property));
        if (!fingerprints)
                return -ENOMEM;
        fingerprints->names = calloc(count + 1, sizeof(char *));
        if (!fingerprints->names) {
                free(fingerprints);
                return -ENOMEM;
        }
        for (const sd_bus_vtable *row = vtable; row->type != _SD_BUS_VTABLE_END; row++)
                if (is_announced(row))
                        fingerprints->properties[fingerprints->count++].row = row;
        *ret = fingerprints;
        return 0;
}

BusFingerprints *bus_fingerprints_free(BusFingerprints *fingerprints) {
        if (!fingerprints)
                return NULL;
        free(fingerprints->names);
        free(fingerprints);
        return NULL;
}

/* One value that is no container; its length follows from its type. */
static int hash_basic(sd_bus_message *message, char type, uint64_t *hash) {
        union {
                uint64_t number;
                const char *text;
        } value = {};
        int r;

        r = sd_bus_message_read_basic(message, type, &value);
        if (r < 0)
                return r;
        if (type == SD_BUS_TYPE_STRING || type == SD_BUS_TYPE_OBJECT_PATH || type == SD_BUS_TYPE_SIGNATURE)
                *hash = hash_bytes(*hash, value.text, strlen(value.text) + 1);
        else
                *hash = hash_bytes(*hash, &value.number, sizeof(value.number));
        return 0;
}

/* The content of a message from its read position to the end of the container that it stands in. D-Bus nests
 * containers 64 deep at most. */
static int hash_message(sd_bus_message *message, uint64_t *hash) {
        for (;;) {
                const char *contents;
                char type;
                int r;

                r = sd_bus_message_peek_type(message, &type, &contents);
                if (r <= 0)
                        return r;
                *hash = hash_bytes(*hash, &type, 1);
                if (!contents) {
                        r = hash_basic(message, type, hash);
                        if (r < 0)
                                return r;
                        continue;
                }
                r = sd_bus_message_enter_container(message, type, contents);
                if (r >= 0)
                        r = hash_message(message, hash);
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
                *hash = hash_bytes(*hash, ")", 1);
        }
}

/* What a getter says, in a message that is never sent. */
static int fingerprint(const sd_bus_vtable *row, sd_bus *bus, const char *path, const char *interface,
                       void *userdata, uint64_t *ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        uint64_t hash = HASH_EMPTY;
        int r;

        r = sd_bus_message_new_signal(bus, &message, path, interface, "Fingerprint");
        if (r >= 0)
                r = row->x.property.get(bus, path, interface, row->x.property.member, message, userdata,
                                        NULL);
        if (r >= 0)
                r = sd_bus_message_seal(message, 1, 0);
        if (r >= 0)
                r = sd_bus_message_rewind(message, true);
        if (r >= 0)
                r = hash_message(message, &hash);
        if (r < 0)
                return r;
        *ret = hash;
        return 0;
}

int bus_fingerprints_compare(BusFingerprints *fingerprints, sd_bus *bus, const char *path,
                             const char *interface, void *userdata, char ***ret_names) {
        size_t count = 0;

        for (size_t i = 0; i < fingerprints->count; i++) {
                Property *property = &fingerprints->properties[i];
                uint64_t hash;
                int r;

                r = fingerprint(property->row, bus, path, interface, userdata, &hash);
                if (r < 0)
                        return r;
                if (hash == property->fingerprint)
                        continue;
                property->fingerprint = hash;
                fingerprints->names[count++] = (char *) property->row->x.property.member;
        }
        fingerprints->names[count] = NULL;
        *ret_names = fingerprints->names;
        return 0;
}
