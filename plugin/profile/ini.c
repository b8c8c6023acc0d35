/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Reads the ini dialect of systemd, and decides whether a [Match] section is about a link.
 */

#include <ctype.h>
#include <fnmatch.h>

#include "base/message.h"
#include "base/util.h"
#include "profile/ini.h"
#include "profile/keys.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

static const char blanks[] = " \t\r\n";

typedef struct Parser {
        const char *cursor;
        const char *end;
        unsigned line;          /* of the next physical line */
        char *joined;           /* the logical line, room for the whole text */
        char *section;
        IniHandler handler;
        IniErrorHandler on_error;
        void *userdata;
} Parser;

static void parser_done(Parser *parser) {
        free(parser->joined);
        free(parser->section);
}

/* Drops blanks around a string in place. */
static char *strip(char *text) {
        text += strspn(text, blanks);
        for (size_t length = strlen(text); length > 0 && strchr(blanks, text[length - 1]); length--)
                text[length - 1] = 0;
        return text;
}

static bool is_comment(const char *text, size_t length) {
        while (length > 0 && strchr(blanks, *text)) {
                text++;
                length--;
        }
        return length > 0 && (*text == '#' || *text == ';');
}

/* Reads one physical line without its end; false when there is none left. */
static bool physical_line(Parser *parser, const char **ret_text, size_t *ret_length) {
        if (parser->cursor >= parser->end)
                return false;

        const char *newline = memchr(parser->cursor, '\n', (size_t) (parser->end - parser->cursor));
        const char *stop = newline ? newline : parser->end;

        *ret_text = parser->cursor;
        *ret_length = (size_t) (stop - parser->cursor);
        if (*ret_length > 0 && (*ret_text)[*ret_length - 1] == '\r')
                (*ret_length)--;
        parser->cursor = newline ? newline + 1 : parser->end;
        parser->line++;
        return true;
}

/* Joins continued lines in parser->joined. Comments between them are dropped, and never continued
 * themselves. */
static bool logical_line(Parser *parser, unsigned *ret_line) {
        const char *text;
        size_t length, used = 0;
        bool any = false, continued = false;

        while (physical_line(parser, &text, &length)) {
                if (is_comment(text, length)) {
                        if (continued)
                                continue;
                        length = 0;
                }
                if (!any)
                        *ret_line = parser->line - 1;
                any = true;

                continued = length > 0 && text[length - 1] == '\\';
                memcpy(parser->joined + used, text, length);
                used += length;
                if (!continued)
                        break;
                parser->joined[used - 1] = ' ';
        }
        parser->joined[used] = 0;
        return any;
}

static int parser_error(const Parser *parser, unsigned line, const char *error) {
        if (parser->on_error)
                parser->on_error(line, error, parser->userdata);
        return 0;
}

static int parse_line(Parser *parser, char *text, unsigned line) {
        text = strip(text);
        if (*text == 0)
                return 0;

        if (*text == '[') {
                const size_t length = strlen(text);

                if (length < 3 || text[length - 1] != ']') {
                        /* What follows does not belong to the section before. */
                        int r = string_replace(&parser->section, "");
                        if (r < 0)
                                return r;
                        return parser_error(parser, line, M_("a section header has the form [Name]"));
                }
                text[length - 1] = 0;
                return string_replace(&parser->section, text + 1);
        }

        char *equals = strchr(text, '=');
        if (!equals)
                return parser_error(parser, line, M_("neither a section, an assignment nor a comment"));
        *equals = 0;

        const char *key = strip(text), *value = strip(equals + 1);
        if (*key == 0)
                return parser_error(parser, line,
                                    M_("an assignment without a key before the equals sign"));
        return parser->handler(parser->section, key, value, line, parser->userdata);
}

int ini_parse(const char *text, size_t length, IniHandler handler, IniErrorHandler on_error,
              void *userdata) {
        if (!utf8_valid(text, length))
                return -EILSEQ;

        _cleanup_(parser_done) Parser parser = {
                .cursor = text,
                .end = text + length,
                .line = 1,
                .joined = malloc(length + 1),
                .section = strdup(""),
                .handler = handler,
                .on_error = on_error,
                .userdata = userdata,
        };
        if (!parser.joined || !parser.section)
                return -ENOMEM;

        const size_t mark = strlen(BYTE_ORDER_MARK);
        if (length >= mark && memcmp(text, BYTE_ORDER_MARK, mark) == 0)
                parser.cursor += mark;

        for (unsigned line = 0; logical_line(&parser, &line);) {
                int r = parse_line(&parser, parser.joined, line);
                if (r != 0)
                        return r;
        }
        return 0;
}

char *ini_bad_line(const char *text, size_t length, unsigned *ret_line) {
        const char *start = text, *end = text + length;

        for (*ret_line = 1; start < end; (*ret_line)++) {
                const char *newline = memchr(start, '\n', (size_t) (end - start));
                size_t line_length = (size_t) ((newline ? newline : end) - start);

                if (!utf8_valid(start, line_length)) {
                        _cleanup_(freep) char *line = strndup(start, line_length);

                        return line ? value_excerpt(line) : NULL;
                }
                start += line_length + 1;
        }
        return strdup("");
}

/* The line of the first NUL byte, from 1; 0: there is none. */
static unsigned line_of_nul(const char *text, size_t length) {
        const char *nul = memchr(text, 0, length);
        unsigned line = 1;

        if (!nul)
                return 0;
        for (const char *position = text; position < nul; position++)
                line += *position == '\n';
        return line;
}

char *ini_encoding_error(const char *path, const char *text, size_t length) {
        unsigned line;
        _cleanup_(freep) char *excerpt = ini_bad_line(text, length, &line);

        if (!excerpt)
                return NULL;
        return line == line_of_nul(text, length)
                       ? message_format(N_("%s:%u: the line contains a NUL byte; remove it, or save the "
                                           "file as UTF-8."),
                                        path, line)
                       : message_format(N_("%s:%u: \"%s\" is not valid UTF-8; save the file as UTF-8."),
                                        path, line, excerpt);
}

void ini_mask(char *text, size_t length) {
        for (size_t i = 0; i < length; i++)
                if ((unsigned char) text[i] >= 0x80 || text[i] == '\0')
                        text[i] = '?';
}

bool ini_line_is_in(const char *text, size_t length, unsigned line, const char *section) {
        const char *end = text + length;
        bool found = false;

        for (unsigned number = 1; text < end && number <= line; number++) {
                const char *newline = memchr(text, '\n', (size_t) (end - text));
                const char *stop = newline ? newline : end, *start = text;

                while (start < stop && strchr(blanks, *start))
                        start++;
                while (stop > start && strchr(blanks, stop[-1]))
                        stop--;
                if (start < stop && *start == '[')
                        found = (size_t) (stop - start) == strlen(section) + 2 && stop[-1] == ']' &&
                                memcmp(start + 1, section, strlen(section)) == 0;
                text = newline ? newline + 1 : end;
        }
        return found;
}

void ini_match_done(IniMatch *match) {
        free(match->name);
        free(match->type);
        free(match->connection);
        free(match->uuid);
        *match = (IniMatch) { 0 };
}

static bool is_given(const char *condition) {
        return condition && *condition;
}

/* 1 when a pattern of the list matches (or none, when the list is inverted), else 0; -ENOMEM. */
static int list_match(const char *list, const char *value) {
        _cleanup_(freep) char *copy = strdup(list);
        char *rest, *state = NULL;
        int found = 0;

        if (!copy)
                return -ENOMEM;
        if (!value)
                return 0;

        rest = strip(copy);
        const bool inverted = *rest == '!';
        if (inverted)
                rest++;
        for (char *word = strtok_r(rest, blanks, &state); word; word = strtok_r(NULL, blanks, &state))
                if (fnmatch(word, value, 0) == 0)
                        found = 1;
        return inverted ? !found : found;
}

int ini_match(const IniMatch *match, const char *name, const char *type, const char *connection,
              const char *uuid) {
        int r;

        if (!is_given(match->name) && !is_given(match->type) && !is_given(match->connection) &&
            !is_given(match->uuid))
                return 0;
        if (is_given(match->connection) && (!connection || !streq(match->connection, connection)))
                return 0;
        if (is_given(match->uuid) && (!uuid || strcasecmp(match->uuid, uuid) != 0))
                return 0;
        if (is_given(match->name)) {
                r = list_match(match->name, name);
                if (r <= 0)
                        return r;
        }
        if (is_given(match->type)) {
                r = list_match(match->type, type);
                if (r <= 0)
                        return r;
        }
        return 1;
}

/* Letters and digits in lower case, without the "x" of "X-". */
static void simplify(const char *section, char *buffer, size_t size) {
        size_t used = 0;

        for (; *section && used + 1 < size; section++)
                if (isalnum((unsigned char) *section))
                        buffer[used++] = (char) tolower((unsigned char) *section);
        buffer[used] = '\0';
        if (buffer[0] == 'x')
                memmove(buffer, buffer + 1, used);
}

bool ini_section_resembles(const char *section, const char *wanted) {
        char is[32], should[32];

        if (streq(section, wanted))
                return false;
        simplify(section, is, sizeof(is));
        simplify(wanted, should, sizeof(should));
        return streq(is, should);
}
