/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The one table of keys: what a connection profile can say, under which name in which source, with type,
 * range, default and help. Parsing, printing, validation, D-Bus properties, "underpassctl keys" and the
 * manual page read this table. A new key is one row of the table, one line in settings.h, and its use.
 */

#include "profile/settings.h"
#include "profile/values.h"

/* What the names of our keys begin with in NetworkManager's user.data. */
#define KEY_USER_DATA_PREFIX "underpass."

struct Key {
        KeyId id;
        const char *name;          /* "remote-ports"; with KEY_USER_DATA_PREFIX before it in user.data */
        const char *section_name;  /* "RemotePorts" in files; also the name of the D-Bus property */
        KeyType type;
        size_t offset;             /* of the field in Settings */
        uint32_t minimum;          /* KEY_NUMBER: range of a value that is not the zero word */
        uint32_t maximum;
        const char *zero_word;     /* KEY_NUMBER: "auto", "no" …; NULL: 0 is no value */
        const char *default_text;  /* parsed by key_parse() itself, so it is always valid input */
        const char *range_text;    /* what is allowed, for messages and help (translatable, N_()) */
        const char *help;          /* one sentence that ends in a full stop (translatable) */
};

/* Row number id, always valid for id < _KEY_ID_MAX. */
const Key *key_get(KeyId id);

/* Looks a key up by its name ("remote-ports"), by its name in user.data ("underpass.remote-ports") or by
 * its name in files ("RemotePorts"). NULL when there is none. */
const Key *key_find(const char *name);
const Key *key_find_user_data(const char *name);
const Key *key_find_section(const char *name);

/* The key that was probably meant by an unknown name (edit distance), or NULL. */
const Key *key_suggest(const char *name);

/* Whether the value is a list; its default is the empty one. */
bool key_is_list(const Key *key);

/* D-Bus signature of the key's type. */
const char *key_signature(const Key *key);

/*
 * Parses a value into its field of *settings. text must be NUL terminated and may be anything else, also not
 * UTF-8. Returns 0, or -EINVAL (malformed), -ERANGE (out of range), -E2BIG (too many ranges or prefixes, or
 * too long), -ENOMEM. After a failure the field is untouched and, but for -ENOMEM, *ret_error says in one
 * translated sentence what is wrong with the value, e.g. "port 70000 is not in 1 … 65535". Caller frees.
 */
int key_parse(const Key *key, const char *text, Settings *settings, char **ret_error);

/* The words, as opposed to numbers and addresses, that a value can be made of: 0, 1 … in the order in which
 * they are offered. NULL after the last one. */
const char *key_word(const Key *key, size_t number);

/* Prints the value so that key_parse() reads the same value back. NULL when out of memory. */
char *key_format(const Key *key, const Settings *settings);

/* All defaults. */
void settings_init(Settings *settings);
