/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The maps of the programs on the host. Programs know them by their address, tests by their number.
 *
 * Room: libc only. A hash that is full forgets a record for each new one; what is deleted is freed at once.
 */

#include <stddef.h>

enum host_map_kind {
        HOST_MAP_HASH,
        HOST_MAP_ARRAY, /* keys of 4 bytes, all there from the beginning, zeroed */
};

/* Makes a map. Returns its number, or negative errno. */
int host_map_add(const void *name, enum host_map_kind kind, size_t key_size, size_t value_size,
                 size_t entries);
void host_map_remove_all(void);

/* The number of a map; -ENOENT. */
int host_map_number(const void *name);

/* The value, or NULL. */
void *host_map_find(int map, const void *key);

/* Negative errno. */
int host_map_put(int map, const void *key, const void *value);
int host_map_delete(int map, const void *key);

/* Copies the value, or the key behind another one (NULL: the first one). Negative errno. */
int host_map_get(int map, const void *key, void *ret);
int host_map_next(int map, const void *key, void *ret_key);
