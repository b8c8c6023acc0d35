/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A JSON document that is printed while it is made, for lists that may be long: an object of arrays whose
 * rows are objects. Only one row at a time is in memory. It looks like one of json_print(), or like one of
 * json_line() with a line feed.
 */

#include <json-glib/json-glib.h>
#include <stdbool.h>

typedef struct JsonList JsonList;

/* Prints the beginning to standard output. pretty: with indentation, as json_print(). */
JsonList *json_list_new(bool pretty);

/* Prints the end. */
void json_list_free(JsonList *list);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonList, json_list_free)

/* An array begins; the one before ends. */
void json_list_begin(JsonList *list, const char *name);

/* Where the next row is built, a whole object. Belongs to the list. */
JsonBuilder *json_list_builder(JsonList *list);

/* Prints the row that was built. */
void json_list_add(JsonList *list);
