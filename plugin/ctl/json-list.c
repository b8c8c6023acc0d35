/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A long JSON document that is printed row by row; see json-list.h. */

#include <stdio.h>
#include <string.h>

#include "ctl/json-list.h"

enum {
        INDENT = 2, /* of JsonGenerator, for each level */
        ROW_LEVEL = 2,
};

struct JsonList {
        JsonBuilder *builder;
        JsonGenerator *generator; /* of one row */
        bool pretty;
        bool in_array;
        size_t arrays;
        size_t rows;              /* of this array */
};

/* Where a document for people begins a new line. */
static void break_line(const JsonList *list, int level) {
        if (list->pretty)
                printf("\n%*s", level * INDENT, "");
}

JsonList *json_list_new(bool pretty) {
        JsonList *list = g_new0(JsonList, 1);

        list->builder = json_builder_new();
        list->generator = json_generator_new();
        list->pretty = pretty;
        json_generator_set_pretty(list->generator, pretty);
        putchar('{');
        return list;
}

static void end_array(JsonList *list) {
        if (!list->in_array)
                return;
        if (list->rows > 0)
                break_line(list, ROW_LEVEL - 1);
        putchar(']');
        list->in_array = false;
}

void json_list_free(JsonList *list) {
        if (!list)
                return;
        end_array(list);
        break_line(list, 0);
        fputs("}\n", stdout);
        g_object_unref(list->generator);
        g_object_unref(list->builder);
        g_free(list);
}

void json_list_begin(JsonList *list, const char *name) {
        end_array(list);
        if (list->arrays++ > 0)
                putchar(',');
        break_line(list, ROW_LEVEL - 1);
        printf(list->pretty ? "\"%s\" : [" : "\"%s\":[", name);
        list->in_array = true;
        list->rows = 0;
}

JsonBuilder *json_list_builder(JsonList *list) {
        return list->builder;
}

/* Prints a row, each of its lines as deep as in the document. Strings hold no line feed: JSON escapes it. */
static void print_indented(const JsonList *list, const char *text) {
        for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
                fwrite(text, 1, (size_t) (end - text), stdout);
                break_line(list, ROW_LEVEL);
        }
        fputs(text, stdout);
}

void json_list_add(JsonList *list) {
        JsonNode *row = json_builder_get_root(list->builder);

        json_generator_set_root(list->generator, row);
        g_autofree char *text = json_generator_to_data(list->generator, NULL);

        if (list->rows++ > 0)
                putchar(',');
        break_line(list, ROW_LEVEL);
        print_indented(list, text);
        json_node_unref(row);
        json_builder_reset(list->builder);
}
