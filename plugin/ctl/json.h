/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The JSON that underpassctl prints with --json. Names of members are part of the interface, and the manual
 * lists them: they may be added, never changed.
 */

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

/* One member of the open object. The text may be anything; bytes that are not UTF-8 are replaced. */
void json_member_string(JsonBuilder *builder, const char *name, const char *value);
void json_member_number(JsonBuilder *builder, const char *name, uint64_t value);
void json_member_boolean(JsonBuilder *builder, const char *name, bool value);
void json_member_strings(JsonBuilder *builder, const char *name, char *const *values);

/* An array of objects from a(ss…): one object per row, whose members have these names (ends in NULL). */
void json_member_rows(JsonBuilder *builder, const char *name, GVariant *rows, const char *const *names);

/* The members of the open object: everything about a link, everything about the manager. */
void json_link(JsonBuilder *builder, GVariant *link);
void json_manager(JsonBuilder *builder, GVariant *manager);

/* The member "links" of the open object: the links, each with everything about it. */
void json_links(JsonBuilder *builder, GPtrArray *links);

/* Prints the finished document to standard output. */
void json_print(JsonBuilder *builder);

/* The finished document as one line of text without line feed, in UTF-8 whatever the locale has: nothing for
 * g_print(). Caller frees. */
char *json_line(JsonBuilder *builder);
