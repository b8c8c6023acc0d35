/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See log.h. */

#define SD_JOURNAL_SUPPRESS_LOCATION

#include <stdio.h>
#include <systemd/sd-journal.h>

#include "base/log.h"

enum { LINE_MAX_LENGTH = 2048 };

/* How much the service says. A setting of the process, not state of the service. */
static int maximum_level = LOG_INFO;

int log_set_level(int level) {
        int before = maximum_level;

        maximum_level = level;
        return before;
}

void log_line(int level, const char *interface, const char *stage, const char *format, ...) {
        char text[LINE_MAX_LENGTH];
        va_list arguments;

        if (level > maximum_level)
                return;
        va_start(arguments, format);
        vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        /* systemd sets JOURNAL_STREAM for services whose stderr is the journal. */
        if (getenv("JOURNAL_STREAM") &&
            sd_journal_send("MESSAGE=%s%s%s", interface ? interface : "", interface ? ": " : "", text,
                            "PRIORITY=%i", level, "INTERFACE=%s", interface ? interface : "",
                            "UNDERPASS_STAGE=%s", stage ? stage : "", NULL) >= 0)
                return;
        fprintf(stderr, "%s%s%s\n", interface ? interface : "", interface ? ": " : "", text);
}
