/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Fuzz target: a whole file of the ini dialect, whose assignments are also tried as [Match] conditions. May
 * touch: nothing.
 */

#include "unit.h"

#include "fuzz.h"
#include "profile/ini.h"

typedef struct Seen {
        unsigned line;   /* of the last assignment or error */
        unsigned lines;  /* of the text */
} Seen;

static void check_line(Seen *seen, unsigned line) {
        assert(line > seen->line && line <= seen->lines);
        seen->line = line;
}

static void check_stripped(const char *text) {
        const size_t length = strlen(text);

        assert(length == 0 || (!strchr(" \t\r\n", text[0]) && !strchr(" \t\r\n", text[length - 1])));
        assert(!strchr(text, '\n'));
        assert(utf8_valid(text, length));
}

static int on_assignment(const char *section, const char *key, const char *value, unsigned line,
                         void *userdata) {
        const IniMatch name = { .name = (char *) value }, type = { .type = (char *) value };
        const IniMatch connection = { .connection = (char *) value };

        check_line(userdata, line);
        assert(*key && !strchr(key, '='));
        check_stripped(key);
        check_stripped(value);
        assert(utf8_valid(section, strlen(section)));

        const int matched = ini_match(&name, key, NULL, NULL, NULL);
        assert(matched == 0 || (matched == 1 && *value));
        assert(ini_match(&type, key, NULL, NULL, NULL) == 0);
        assert(ini_match(&connection, key, NULL, value, NULL) == (*value != 0));
        return 0;
}

static void on_error(unsigned line, const char *error, void *userdata) {
        check_line(userdata, line);
        assert(error && *error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Seen seen = { .lines = 1 };

        for (size_t i = 0; i < size; i++)
                seen.lines += data[i] == '\n';

        int r = ini_parse((const char *) data, size, on_assignment, on_error, &seen);
        assert(r == (utf8_valid((const char *) data, size) ? 0 : -EILSEQ));
        return 0;
}
