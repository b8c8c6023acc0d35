/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See nm-name.h. */

#include <stdlib.h>

#include "base/util.h"
#include "profile/nm-name.h"

static bool is_ascii(const char *text) {
        for (; *text; text++)
                if (*text & 0x80)
                        return false;
        return true;
}

/* Whether a terminal shows the name as it is, so that it can be copied from there. Where characters are
 * single bytes, it lacks most. */
static bool is_shown(const char *name) {
        const size_t length = strlen(name);
        _cleanup_(freep) char *excerpt = string_excerpt(name, length, length);

        return excerpt && streq(excerpt, name) && (is_ascii(name) || MB_CUR_MAX > 1);
}

char *nm_name_words(const char *id, const char *uuid) {
        const bool by_uuid = uuid && *uuid && (!id || !*id || *id == '-' || !is_shown(id));
        _cleanup_(freep) char *word = string_shell_word(by_uuid ? uuid : id ?: "");

        return word ? string_format("%s %s", by_uuid ? "uuid" : "id", word) : NULL;
}
