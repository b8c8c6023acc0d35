/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See callers.h. */

#include "base/hash.h"
#include "service/callers.h"

static size_t place_of(const char *name) {
        return hash_bytes(HASH_EMPTY, name, strlen(name)) % CALLERS_MAX;
}

bool callers_find(const Callers *callers, const char *name, uid_t *ret) {
        const size_t place = place_of(name);

        if (*name == '\0' || !streq(callers->entries[place].name, name))
                return false;
        *ret = callers->entries[place].user;
        return true;
}

void callers_add(Callers *callers, const char *name, uid_t user) {
        const size_t place = place_of(name);

        /* One that does not fit is asked about each time. */
        if (strlen(name) >= CALLERS_NAME_LENGTH)
                return;
        strcpy(callers->entries[place].name, name);
        callers->entries[place].user = user;
}
