/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Text for people. It comes from profiles, files and the bus, so it is made safe for the terminal first.
 */

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A copy that is safe on a terminal: messages become sentences, and control characters, including those that
 * change the direction of text, become \xNN or \u{NN}. Caller frees.
 */
char *text_clean(const char *text);

/* From now on, what g_print() and g_printerr() are given shows also where the charset is not UTF-8: quotes
 * and dashes as ASCII has them, other characters that it lacks as "?". */
void text_adapt_to_charset(void);

/* string_shell_word(), which cannot fail here. Caller frees. */
char *text_shell_word(const char *word);

/* string_shell_operand() and nm_name_words(), which cannot fail here. Caller frees. */
char *text_shell_operand(const char *word);
char *text_profile_words(const char *id, const char *uuid);

/* Prints one line to standard output, cleaned as a whole. */
void text_line(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Prints a line for each text of a list that ends in NULL, or is NULL; format has one %s. */
void text_lines(const char *format, char *const *list);

/* Appends text, which is taken, to a list that ends in NULL, or is NULL. */
void text_append(char ***list, char *text);

/* Columns of the terminal, or of COLUMNS in the environment; 0: no limit, as for a pipe. */
size_t text_columns(void);

/* The text, or as much of it as fits into so many columns with "…" behind it. Caller frees. */
char *text_cut(const char *text, size_t width);

/* Columns that the text takes on a terminal. */
size_t text_width(const char *text);

/* "192.0.2.1:443" or "[2001:db8::1]:443". Caller frees. */
char *text_endpoint(const char *address, uint16_t port);

/* "850 ms", "12 s", "3 min", "5 h": rounded down to one unit. Caller frees. */
char *text_duration(uint64_t milliseconds);

/* "850 B", "1.5 kB", "2.1 MB": units of 1000 bytes. Caller frees. */
char *text_bytes(uint64_t bytes);

/* "25.1 Mbit/s" for so many bytes a second. Caller frees. */
char *text_rate(uint64_t bytes);
