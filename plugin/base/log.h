/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the administrator reads: one line per change or failure, with journal fields for link and stage.
 */

#include <syslog.h>

#include "base/util.h"

/* Lines above this level (LOG_ERR … LOG_DEBUG) are left out; LOG_INFO unless changed. Returns the level
 * in force before. */
int log_set_level(int level);

/* To the journal when stderr is connected to it, with INTERFACE= and NM_DEVICE=, NM_CONNECTION= and
 * UNDERPASS_STAGE= as far as they are known; else to stderr. interface and stage may be NULL. Lines are cut
 * at 2 KiB. */
void log_line(int level, const char *interface, const char *stage, const char *format, ...) _printf_(4, 5);

/* What a line is about. NULL: nothing. */
typedef struct LogAbout {
        const char *interface;
        const char *connection; /* UUID of NetworkManager's */
        const char *stage;
} LogAbout;

/* The same with all that is known; see the fields below. */
void log_about(int level, const LogAbout *about, const char *format, ...) _printf_(3, 4);

#define log_error(...) log_line(LOG_ERR, NULL, NULL, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, NULL, NULL, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, NULL, NULL, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, NULL, NULL, __VA_ARGS__)
