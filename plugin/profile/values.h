/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How a value of each type is read and printed. Programs use it through keys.h. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Key Key;

typedef enum KeyType {
        KEY_TUNNEL_MODE,  /* D-Bus "s" */
        KEY_PORT_SET,     /* D-Bus "a(qq)" */
        KEY_PREFIX_SET,   /* D-Bus "as" */
        KEY_MARK,         /* D-Bus "s" */
        KEY_BOOLEAN,      /* D-Bus "b" */
        KEY_NUMBER,       /* D-Bus "u"; 0 stands for the word in Key.zero_word */
        KEY_ENDPOINT,     /* D-Bus "as" */
        KEY_RECEIVE_MODE, /* D-Bus "s" */
        KEY_BULK_MODE,    /* D-Bus "s" */
        _KEY_TYPE_MAX,
} KeyType;

/* The D-Bus signature of a value, and the size of its field in Settings, in bytes. */
const char *value_signature(KeyType type);
size_t value_size(KeyType type);

/* Whether a value is a list of words between commas or blanks. */
bool value_is_list(KeyType type);

/* As key_parse(), into a field of Settings, which is undefined after a failure. Allocates nothing when the
 * value is valid. */
int value_parse(const Key *key, const char *text, void *field, char **ret_error);

/* As key_format() and key_word(). */
char *value_format(const Key *key, const void *field);
const char *value_word(const Key *key, size_t number);

/* A safe excerpt of a hostile value for messages: at most 64 characters, control and invalid bytes as
 * \xNN. Caller frees; NULL when out of memory. */
char *value_excerpt(const char *text);
