/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See log.h. */

#define SD_JOURNAL_SUPPRESS_LOCATION

#include <stdio.h>
#include <systemd/sd-journal.h>

#include "base/log.h"
#include "base/message.h"

enum { LINE_MAX_LENGTH = 2048 };

/* How much the service says. A setting of the process, not state of the service. */
static int maximum_level = LOG_INFO;

int log_set_level(int level) {
        int before = maximum_level;

        maximum_level = level;
        return before;
}

/* Log lines are in English, and so are the messages in them. Caller frees; NULL when out of memory. */
static char *make_text(const char *format, va_list arguments) {
        _cleanup_(freep) char *text = NULL;

        if (vasprintf(&text, format, arguments) < 0) {
                text = NULL;
                return NULL;
        }
        char *english = message_english(text);
        if (english && strlen(english) > LINE_MAX_LENGTH)
                english[LINE_MAX_LENGTH] = '\0';
        return english;
}

void log_line(int level, const char *interface, const char *stage, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list arguments;

        if (level > maximum_level)
                return;
        va_start(arguments, format);
        text = make_text(format, arguments);
        va_end(arguments);
        if (!text)
                return;
        /* systemd sets JOURNAL_STREAM for services whose stderr is the journal. */
        if (getenv("JOURNAL_STREAM") &&
            sd_journal_send("MESSAGE=%s%s%s", interface ? interface : "", interface ? ": " : "", text,
                            "PRIORITY=%i", level, "INTERFACE=%s", interface ? interface : "",
                            "UNDERPASS_STAGE=%s", stage ? stage : "", NULL) >= 0)
                return;
        fprintf(stderr, "%s%s%s\n", interface ? interface : "", interface ? ": " : "", text);
}
