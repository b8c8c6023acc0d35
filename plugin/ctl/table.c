/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Tables with aligned columns; their cells are made safe for the terminal. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/words.h"

enum { COLUMNS_MAX = 12, COLUMN_GAP = 2, COLUMN_MIN = 4 };

#define COLOR_HEADING "\033[1m"
#define COLOR_DOUBT "\033[33m"
#define COLOR_OFF "\033[0m"

struct Table {
        size_t columns;
        const char *headings[COLUMNS_MAX];
        bool flush_right[COLUMNS_MAX];
        size_t state_column; /* COLUMNS_MAX: none */
        GPtrArray *rows;     /* of char *[columns + 1] */
        GHashTable *doubts;  /* of these rows */
};

static const struct {
        const char *state;
        const char *color;
} state_colors[] = {
        { "active", "\033[32m" }, { "tunnelled", "\033[32m" }, { "waiting", "\033[33m" },
        { "half-open", "\033[33m" }, { "failed", "\033[31m" },
};

Table *table_new(const char *const *headings, unsigned flush_right) {
        Table *table = g_new0(Table, 1);

        table->state_column = COLUMNS_MAX;
        table->rows = g_ptr_array_new_with_free_func((GDestroyNotify) g_strfreev);
        table->doubts = g_hash_table_new(NULL, NULL);

        for (; headings[table->columns]; table->columns++) {
                g_assert(table->columns < COLUMNS_MAX);
                table->headings[table->columns] = headings[table->columns];
                table->flush_right[table->columns] = flush_right & TABLE_COLUMN(table->columns);
        }

        return table;
}

void table_free(Table *table) {
        g_ptr_array_unref(table->rows);
        g_hash_table_unref(table->doubts);
        g_free(table);
}

void table_add(Table *table, ...) {
        char **row = g_new0(char *, table->columns + 1);
        va_list cells;

        va_start(cells, table);
        for (size_t i = 0; i < table->columns; i++) {
                const char *cell = va_arg(cells, const char *);
                row[i] = text_clean(cell && *cell ? cell : "-");
        }
        va_end(cells);

        g_ptr_array_add(table->rows, row);
}

void table_color_states(Table *table, size_t column) {
        table->state_column = column;
}

void table_doubt(Table *table) {
        g_hash_table_add(table->doubts, g_ptr_array_index(table->rows, table->rows->len - 1));
}

static const char *state_color(const char *state) {
        for (size_t i = 0; i < ELEMENTS(state_colors); i++)
                if (streq(state_colors[i].state, state))
                        return state_colors[i].color;

        return NULL;
}

static void print_blanks(size_t count) {
        for (size_t i = 0; i < count; i++)
                g_print(" ");
}

static void print_cell(const Table *table, size_t column, const char *whole, size_t width,
                       const char *color) {
        g_autofree char *text = text_cut(whole, width);
        size_t padding = width - text_width(text);
        bool last = column + 1 == table->columns;

        if (table->flush_right[column])
                print_blanks(padding);
        g_print("%s%s%s", color ?: "", text, color ? COLOR_OFF : "");
        if (!table->flush_right[column] && !last)
                print_blanks(padding);
        if (last)
                g_print("\n");
        else
                print_blanks(COLUMN_GAP);
}

/* Cells keep the word of a state, which names its colour. */
static const char *cell_text(const Table *table, size_t column, char *const *row) {
        return column == table->state_column ? words_translate(row[column]) : row[column];
}

static void measure(const Table *table, bool headings, size_t *widths) {
        for (size_t column = 0; column < table->columns; column++) {
                widths[column] = headings ? text_width(_(table->headings[column])) : 0;

                for (guint i = 0; i < table->rows->len; i++) {
                        char **row = g_ptr_array_index(table->rows, i);
                        widths[column] = MAX_OF(widths[column], text_width(cell_text(table, column, row)));
                }
        }
}

/* Takes columns from the widest texts until the rows fit; numbers stay whole. */
static void shrink(const Table *table, size_t *widths, size_t available) {
        size_t total = 0;

        for (size_t column = 0; column < table->columns; column++)
                total += widths[column] + (column > 0 ? COLUMN_GAP : 0);
        for (; total > available; total--) {
                size_t widest = COLUMNS_MAX;

                for (size_t column = 0; column < table->columns; column++)
                        if (!table->flush_right[column] && widths[column] > COLUMN_MIN &&
                            (widest == COLUMNS_MAX || widths[column] > widths[widest]))
                                widest = column;
                if (widest == COLUMNS_MAX)
                        return;
                widths[widest]--;
        }
}

/* Of a state: what is wrong all the same is no good colour. */
static const char *cell_color(const Table *table, const Ctl *ctl, char **row, size_t column) {
        if (!ctl->color || column != table->state_column)
                return NULL;
        return g_hash_table_contains(table->doubts, row) ? COLOR_DOUBT : state_color(row[column]);
}

void table_print(const Table *table, const Ctl *ctl, unsigned indent, bool headings) {
        if (table->rows->len == 0)
                return;

        size_t widths[COLUMNS_MAX];
        measure(table, headings, widths);
        if (text_columns() > indent)
                shrink(table, widths, text_columns() - indent);

        if (headings) {
                print_blanks(indent);
                for (size_t column = 0; column < table->columns; column++)
                        print_cell(table, column, _(table->headings[column]), widths[column],
                                   ctl->color ? COLOR_HEADING : NULL);
        }

        for (guint i = 0; i < table->rows->len; i++) {
                char **row = g_ptr_array_index(table->rows, i);

                print_blanks(indent);
                for (size_t column = 0; column < table->columns; column++)
                        print_cell(table, column, cell_text(table, column, row), widths[column],
                                   cell_color(table, ctl, row, column));
        }
}
