/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A terminal as a whole screen, by ncurses: it knows terminals, and restores them. Who opens the screen has
 * to close it on every way out.
 */

#include <stdbool.h>
#include <stddef.h>

/* False: this terminal cannot be used so. */
bool screen_open(void);
void screen_close(void);

/* Asks the terminal for its size again, after SIGWINCH. */
void screen_resize(void);

size_t screen_columns(void);
size_t screen_rows(void);

/* Shows these lines, which end in NULL, and in the last row the footer. */
void screen_show(char *const *lines, const char *footer, bool color);

/* A key that was pressed, or -1; does not wait. */
int screen_key(void);
