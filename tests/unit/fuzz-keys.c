/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Fuzz target: one "name=value" as a source could hand it over. What is taken must round-trip, what is
 * refused must be refused with words that are safe to print and must change nothing. May touch: nothing.
 */

#include "unit.h"

#include "fuzz.h"
#include "profile/nm-user.h"
#include "profile/profile.h"
#include "settings.h"

/* No byte that steers a terminal or breaks a line of the journal, and valid UTF-8 as D-Bus demands. */
static void assert_safe(const char *message) {
        _cleanup_(freep) char *text = message ? message_english(message) : NULL;

        assert(text && *text);
        assert(utf8_valid(text, strlen(text)));
        for (const char *c = text; *c; c++)
                assert((unsigned char) *c >= 0x20 && *c != 0x7f);
}

static void check_value(const Key *key, const char *value) {
        _cleanup_(freep) char *reason = NULL, *once = NULL, *twice = NULL;
        Settings settings, other;

        settings_init(&settings);
        settings_init(&other);
        int r = key_parse(key, value, &settings, &reason);
        if (r < 0) {
                assert(r == -EINVAL || r == -ERANGE || r == -E2BIG);
                assert_safe(reason);
                assert(strlen(reason) < 1024); /* with its msgid */
                for (size_t i = 0; i < _KEY_ID_MAX; i++)
                        assert(setting_equal(key_get((KeyId) i), &settings, &other));
                return;
        }

        assert(!reason);
        once = key_format(key, &settings);
        assert(key_parse(key, once, &other, &reason) == 0);
        assert(setting_equal(key, &settings, &other));
        twice = key_format(key, &other);
        assert(streq(once, twice));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(profile_freep) Profile *profile = NULL;
        char *text = malloc(size + 1);

        assert(text);
        memcpy(text, data, size);
        text[size] = 0;

        char *equals = strchr(text, '=');
        const char *value = equals ? equals + 1 : text;
        if (equals)
                *equals = 0;

        const Key *key = key_find(text);
        if (!key)
                key = key_find_section(text);
        if (key)
                check_value(key, value);

        _cleanup_(freep) char *excerpt = value_excerpt(value);
        if (*value)
                assert_safe(excerpt);

        _cleanup_(freep) char *name = string_format("underpass.%s", text);
        assert(profile_new(&profile) == 0);
        assert(nm_user_add(profile, name, value, value) == 0);
        assert(profile_finish(profile) == 0);
        assert(key || profile->error);
        if (profile->error)
                assert_safe(profile->error);
        free(text);
        return 0;
}
