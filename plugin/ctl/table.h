/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Tables with aligned columns. */

#include "ctl/ctl.h"

typedef struct Table Table;

/*
 * headings ends in NULL and is not translated yet (N_()). flush_right: TABLE_COLUMN() of every column that
 * is set flush right.
 */
#define TABLE_COLUMN(number) (1U << (number))
Table *table_new(const char *const *headings, unsigned flush_right);
void table_free(Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)

/* Adds a row; one string (const char *) for each column. NULL and "" are shown as "-". */
void table_add(Table *table, ...);

/* Shows the states in this column in their colours. */
void table_color_states(Table *table, size_t column);

/* Something is wrong with what the last row is about: its state is not shown as a good one. */
void table_doubt(Table *table);

/* Prints the table, indented by that many columns. Without rows it prints nothing at all. */
void table_print(const Table *table, const Ctl *ctl, unsigned indent, bool headings);
