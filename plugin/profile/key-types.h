/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What key-values.c and key-sets.c share: one row of functions for each KeyType, and the pieces they are
 * made of. Included by these two files only.
 */

#include "base/util.h"
#include "profile/keys.h"

/* A part of a value that was not copied out. */
typedef struct Token {
        const char *text;
        size_t length;
} Token;

/*
 * field points to the field of Settings. parse: as key_parse(), and it takes no memory for a value that is
 * right. format: writes at most size bytes, NUL included, which is enough for every value.
 */
typedef struct ValueType {
        const char *signature;  /* of D-Bus */
        size_t size;            /* of the field */
        int (*parse)(const Key *key, const char *text, void *field, char **ret_reason);
        void (*format)(const Key *key, const void *field, char *buffer, size_t size);
        bool (*equal)(const void *a, const void *b);
        const char *(*word)(const Key *key, size_t number);  /* as key_word(); NULL: no words at all */
} ValueType;

extern const ValueType value_type_ports;
extern const ValueType value_type_prefixes;
extern const ValueType value_type_endpoint;

/* The next word of a list separated by commas and blanks; false at its end. */
bool token_next(const char **cursor, Token *ret);

bool token_equal(Token token, const char *word);

/* Decimal digits only. -EINVAL; -ERANGE beyond 32 bits. */
int token_decimal(Token token, uint32_t *ret);

/* Sets *ret_reason and returns error; -ENOMEM when there is no memory for the sentence. */
int refuse(char **ret_reason, int error, const char *format, ...) _printf_(3, 4);

/* The same for a sentence with one %s, which a safe excerpt of the token takes. */
int refuse_token(char **ret_reason, int error, const char *format, Token token);

/* Appends to a string in a buffer of size bytes; what does not fit is cut. */
void append(char *buffer, size_t size, const char *format, ...) _printf_(3, 4);
