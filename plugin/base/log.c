/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See log.h. */

#define SD_JOURNAL_SUPPRESS_LOCATION

#include <stdio.h>
#include <sys/uio.h>
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

/* One field of a journal entry. */
static void add_field(struct iovec *fields, int *count, char *text) {
        if (text)
                fields[(*count)++] = (struct iovec) { text, strlen(text) };
}

static int send_to_journal(int level, const LogAbout *about, const char *text) {
        _cleanup_(freep) char *message = string_format("MESSAGE=%s", text);
        _cleanup_(freep) char *priority = string_format("PRIORITY=%i", level);
        struct {
                const char *name, *value;
        } known[] = {
                { "INTERFACE", about->interface },
                { "NM_DEVICE", about->interface },
                { "NM_CONNECTION", about->connection },
                { "UNDERPASS_STAGE", about->stage },
        };
        char *texts[ELEMENTS(known)] = {};
        struct iovec fields[ELEMENTS(known) + 2];
        int count = 0, r;

        add_field(fields, &count, message);
        add_field(fields, &count, priority);
        for (size_t i = 0; i < ELEMENTS(known); i++)
                if (known[i].value && *known[i].value) {
                        texts[i] = string_format("%s=%s", known[i].name, known[i].value);
                        add_field(fields, &count, texts[i]);
                }
        r = message ? sd_journal_sendv(fields, count) : -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(texts); i++)
                free(texts[i]);
        return r;
}

static void write_line(int level, const LogAbout *about, const char *text) {
        const char *interface = about->interface ?: "", *colon = about->interface ? ": " : "";
        _cleanup_(freep) char *line = string_format("%s%s%s", interface, colon, text);

        if (!line)
                return;
        /* systemd sets JOURNAL_STREAM for services whose stderr is the journal. */
        if (getenv("JOURNAL_STREAM") && send_to_journal(level, about, line) >= 0)
                return;
        fprintf(stderr, "%s\n", line);
}

void log_about(int level, const LogAbout *about, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list arguments;

        if (level > maximum_level)
                return;
        va_start(arguments, format);
        text = make_text(format, arguments);
        va_end(arguments);
        if (text)
                write_line(level, about, text);
}

void log_line(int level, const char *interface, const char *stage, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list arguments;

        if (level > maximum_level)
                return;
        va_start(arguments, format);
        text = make_text(format, arguments);
        va_end(arguments);
        if (text)
                write_line(level, &(LogAbout) { .interface = interface, .stage = stage }, text);
}
