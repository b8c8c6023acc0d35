/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Reads the ini dialect of systemd as far as Underpass needs it: [X-Underpass] and [Match] of
 * /etc/underpass/NAME.conf and of .network files.
 *
 * Dialect: "[Section]", "Key=Value", blanks around key and value dropped, "#" and ";" start a comment line,
 * a backslash at the end of a line joins it with the next one, repeated keys: the last one wins (list keys
 * are written on one line).
 */

#include <stdbool.h>
#include <stddef.h>

/*
 * Called for each assignment; line counts from 1 and is the line on which the assignment starts. section is
 * "" before the first section. A non-zero return ends the parse and is returned by ini_parse().
 */
typedef int (*IniHandler)(const char *section, const char *key, const char *value, unsigned line,
                          void *userdata);

/* Called for a line that is neither a section header, an assignment nor a comment; error is translated. */
typedef void (*IniErrorHandler)(unsigned line, const char *error, void *userdata);

/* on_error may be NULL. 0; -EILSEQ when text is not UTF-8 or has NUL bytes; -ENOMEM; what a handler
 * returned. */
int ini_parse(const char *text, size_t length, IniHandler handler, IniErrorHandler on_error,
              void *userdata);

/* A safe excerpt of the first line that is not UTF-8 or has a NUL byte, and its number; "" when there is
 * none. Caller frees; NULL when out of memory. */
char *ini_bad_line(const char *text, size_t length, unsigned *ret_line);

/* The sentence about a text that is not UTF-8 or has NUL bytes. Caller frees; NULL when out of memory. */
char *ini_encoding_error(const char *path, const char *text, size_t length);

/* Replaces every byte that is not ASCII, and NUL, by "?", so that the text can be parsed. */
void ini_mask(char *text, size_t length);

/* Whether a line is in this section. */
bool ini_line_is_in(const char *text, size_t length, unsigned line, const char *section);

/* Whether a section is the wanted one misspelt: other case, other or no dashes, no "X-". */
bool ini_section_resembles(const char *section, const char *wanted);

/* What [Match] of a file profile can ask for; a list is separated by blanks, "!" before the first word
 * inverts the list. */
typedef struct IniMatch {
        char *name;        /* globs (fnmatch) of interface names */
        char *type;        /* "ether", "wwan", "ppp", … as rtnl_type_name() says */
        char *connection;  /* NetworkManager connection.id, one value, compared literally */
        char *uuid;        /* NetworkManager connection.uuid */
} IniMatch;

void ini_match_done(IniMatch *match);

/* 1 when all conditions that are given hold, else 0; -ENOMEM. A match without conditions holds for no link.
 * Any argument but name may be NULL. */
int ini_match(const IniMatch *match, const char *name, const char *type, const char *connection,
              const char *uuid);
