/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See check-lines.h. */

#include <stdio.h>

#include "plan/check-lines.h"

static const char *const result_names[] = {
        [CHECK_GOOD] = "good",
        [CHECK_BAD] = "bad",
        [CHECK_NOTE] = "note",
};
ASSERT_TABLE_COMPLETE(result_names, _CHECK_RESULT_MAX);

const char *check_lines_result_name(CheckResult result) {
        return result_names[result];
}

void check_lines_done(CheckLines *lines) {
        for (size_t i = 0; i < lines->count; i++) {
                free(lines->lines[i].sentence);
                free(lines->lines[i].command);
        }
        free(lines->lines);
        *lines = (CheckLines){};
}

void check_lines_add(CheckLines *lines, CheckResult result, char *command, const char *format, ...) {
        CheckLine line = { .id = lines->id, .result = result, .command = command }, *longer;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&line.sentence, format, arguments) < 0)
                line.sentence = NULL;
        va_end(arguments);
        longer = reallocarray(lines->lines, lines->count + 1, sizeof(*longer));
        if (longer)
                lines->lines = longer;
        if (!longer || !line.sentence) {
                free(line.sentence);
                free(command);
                lines->error = -ENOMEM;
                return;
        }
        lines->lines[lines->count++] = line;
}

const CheckLine *check_lines_first_bad(const CheckLines *lines) {
        for (size_t i = 0; i < lines->count; i++)
                if (lines->lines[i].result == CHECK_BAD)
                        return &lines->lines[i];
        return NULL;
}
