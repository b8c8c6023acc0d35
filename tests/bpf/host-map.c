/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The maps of the programs on the host, see host-map.h.
 *
 * Room: libc only.
 */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host-map.h"

enum {
        MAPS_MAX = 16,
        BUCKETS = 4096,
        KEY_MAX = 40, /* and the value begins at a multiple of 8 */
};

struct record {
        struct record *next; /* in the same bucket */
        size_t place;        /* in map.records */
        uint8_t key[KEY_MAX];
        uint64_t value[];
};

struct map {
        const void *name;
        enum host_map_kind kind;
        size_t key_size, value_size, entries;
        size_t count, oldest;
        struct record **records; /* in no order */
        struct record *buckets[BUCKETS];
};

static struct map *maps[MAPS_MAX];
static int maps_count;

int host_map_add(const void *name, enum host_map_kind kind, size_t key_size, size_t value_size,
                 size_t entries) {
        struct map *map;

        if (maps_count == MAPS_MAX || key_size > KEY_MAX)
                return -E2BIG;
        map = calloc(1, sizeof(*map));
        if (!map)
                return -ENOMEM;
        *map = (struct map) {
                .name = name,
                .kind = kind,
                .key_size = key_size,
                .value_size = value_size,
                .entries = entries,
        };
        map->records = calloc(entries, sizeof(struct record *));
        if (!map->records) {
                free(map);
                return -ENOMEM;
        }
        maps[maps_count] = map;
        return maps_count++;
}

void host_map_remove_all(void) {
        for (int i = 0; i < maps_count; i++) {
                for (size_t k = 0; k < maps[i]->count; k++)
                        free(maps[i]->records[k]);
                free(maps[i]->records);
                free(maps[i]);
        }
        maps_count = 0;
}

int host_map_number(const void *name) {
        for (int i = 0; i < maps_count; i++)
                if (maps[i]->name == name)
                        return i;
        return -ENOENT;
}

static struct map *map_of(int number) {
        return number >= 0 && number < maps_count ? maps[number] : NULL;
}

/* FNV-1a */
static struct record **bucket_of(struct map *map, const void *key) {
        const uint8_t *bytes = key;
        uint32_t hash = 2166136261U;

        for (size_t i = 0; i < map->key_size; i++)
                hash = (hash ^ bytes[i]) * 16777619U;
        return &map->buckets[hash % BUCKETS];
}

/* Where the pointer to the record is, or would be. */
static struct record **find(struct map *map, const void *key) {
        struct record **at = bucket_of(map, key);

        while (*at && memcmp((*at)->key, key, map->key_size) != 0)
                at = &(*at)->next;
        return at;
}

static void forget(struct map *map, struct record **at) {
        struct record *record = *at, *last = map->records[--map->count];

        *at = record->next;
        map->records[record->place] = last;
        last->place = record->place;
        free(record);
}

static struct record *make(struct map *map, const void *key) {
        struct record *record = calloc(1, sizeof(*record) + (map->value_size + 7) / 8 * 8), **at;

        if (!record)
                return NULL;
        if (map->count == map->entries)
                forget(map, find(map, map->records[map->oldest++ % map->count]->key));
        at = find(map, key);
        memcpy(record->key, key, map->key_size);
        record->place = map->count;
        map->records[map->count++] = record;
        *at = record;
        return record;
}

void *host_map_find(int number, const void *key) {
        struct map *map = map_of(number);
        struct record *record;
        uint32_t index;

        if (!map)
                return NULL;
        record = *find(map, key);
        if (!record && map->kind == HOST_MAP_ARRAY) {
                memcpy(&index, key, sizeof(index));
                record = index < map->entries ? make(map, key) : NULL;
        }
        return record ? record->value : NULL;
}

int host_map_put(int number, const void *key, const void *value) {
        struct map *map = map_of(number);
        struct record *record;

        if (!map)
                return -EBADF;
        record = *find(map, key);
        if (!record)
                record = make(map, key);
        if (!record)
                return -ENOMEM;
        memcpy(record->value, value, map->value_size);
        return 0;
}

int host_map_delete(int number, const void *key) {
        struct map *map = map_of(number);
        struct record **at;

        if (!map)
                return -EBADF;
        at = find(map, key);
        if (!*at)
                return -ENOENT;
        forget(map, at);
        return 0;
}

int host_map_get(int number, const void *key, void *ret) {
        const void *value = host_map_find(number, key);

        if (!value)
                return -ENOENT;
        memcpy(ret, value, maps[number]->value_size);
        return 0;
}

int host_map_next(int number, const void *key, void *ret_key) {
        struct map *map = map_of(number);
        struct record *record = map && key ? *find(map, key) : NULL;
        size_t place = record ? record->place + 1 : 0;

        if (!map || place >= map->count)
                return -ENOENT;
        memcpy(ret_key, map->records[place]->key, map->key_size);
        return 0;
}
