/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See monitor-screen.h. */

#include <ncurses.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/monitor-screen.h"

enum { PAIR_LINK = 1 };

bool screen_open(void) {
        SCREEN *screen = newterm(NULL, stdout, stdin);

        if (!screen)
                return false;
        set_term(screen);
        cbreak();
        noecho();
        nodelay(stdscr, TRUE);
        keypad(stdscr, TRUE);
        curs_set(0);
        if (has_colors() && start_color() == OK) {
                use_default_colors();
                init_pair(PAIR_LINK, COLOR_GREEN, -1);
        }
        return true;
}

void screen_close(void) {
        endwin();
}

void screen_resize(void) {
        struct winsize size;

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
                resizeterm(size.ws_row, size.ws_col);
}

size_t screen_columns(void) {
        return (size_t) getmaxx(stdscr);
}

size_t screen_rows(void) {
        return (size_t) getmaxy(stdscr);
}

/* The first line is the heading; links stand at the margin, what belongs to them does not. */
static void show_line(int row, const char *line, bool heading, bool color) {
        const int attributes = heading ? A_BOLD :
                               color && line[0] != ' ' && has_colors() ? COLOR_PAIR(PAIR_LINK) : A_NORMAL;

        attrset(attributes);
        mvaddstr(row, 0, line);
        attrset(A_NORMAL);
}

void screen_show(char *const *lines, const char *footer, bool color) {
        const int rows = getmaxy(stdscr);

        erase();
        for (int row = 0; lines[row] && row + 1 < rows; row++)
                show_line(row, lines[row], row == 0, color);
        if (rows > 1) {
                attrset(A_REVERSE);
                mvaddnstr(rows - 1, 0, footer, (int) strlen(footer));
                attrset(A_NORMAL);
        }
        refresh();
}

int screen_key(void) {
        const int key = getch();

        return key == ERR ? -1 : key;
}
