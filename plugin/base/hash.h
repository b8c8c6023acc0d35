/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Fingerprints that tell whether something has changed. They do not withstand an adversary. */

#include <stddef.h>
#include <stdint.h>

/* The hash of no bytes. */
#define HASH_EMPTY UINT64_C(0xcbf29ce484222325)

/* FNV-1a: the hash so far, continued over these bytes. Structs must have no padding, or have been zeroed. */
static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t length) {
        const uint8_t *bytes = data;

        for (size_t i = 0; i < length; i++)
                hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
        return hash;
}
