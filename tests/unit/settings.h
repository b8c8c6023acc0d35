/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Whether two settings have the same value for a key, byte for byte. May touch: nothing. */

#include "profile/keys.h"

static inline bool setting_equal(const Key *key, const Settings *a, const Settings *b) {
        const void *one = (const uint8_t *) a + key->offset, *other = (const uint8_t *) b + key->offset;

        if (key->type == KEY_MARK) { /* the only type with padding */
                const Mark *mark = one, *other_mark = other;

                return mark->set == other_mark->set && mark->value == other_mark->value &&
                       mark->mask == other_mark->mask;
        }
        return memcmp(one, other, value_size(key->type)) == 0;
}
