/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Text for people: safe for a terminal, in units that people read. */

#include "base/message.h"
#include "ctl/text.h"

static bool changes_terminal(gunichar character) {
        switch (g_unichar_type(character)) {

        case G_UNICODE_CONTROL:
        case G_UNICODE_LINE_SEPARATOR:
        case G_UNICODE_PARAGRAPH_SEPARATOR:
                return true;

        default:
                /*
                 * The marks that embed, override or isolate a direction could make one name look like
                 * another.
                 */
                return (character >= 0x202a && character <= 0x202e) ||
                       (character >= 0x2066 && character <= 0x2069);
        }
}

char *text_clean(const char *text) {
        _cleanup_(freep) char *sentence = message_translate(text);
        g_autofree char *valid = g_utf8_make_valid(sentence, -1);
        GString *clean = g_string_new(NULL);

        for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
                gunichar character = g_utf8_get_char(p);

                if (!changes_terminal(character))
                        g_string_append_unichar(clean, character);
                else if (character < 0x100)
                        g_string_append_printf(clean, "\\x%02x", character);
                else
                        g_string_append_printf(clean, "\\u{%x}", character);
        }

        return g_string_free(clean, FALSE);
}

void text_line(const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        g_autofree char *text = g_strdup_vprintf(format, arguments);
        va_end(arguments);

        g_autofree char *clean = text_clean(text);
        g_print("%s\n", clean);
}

void text_lines(const char *format, char *const *list) {
        for (; list && *list; list++)
                text_line(format, *list);
}

void text_append(char ***list, char *text) {
        size_t count = *list ? g_strv_length(*list) : 0;

        *list = g_renew(char *, *list, count + 2);
        (*list)[count] = text;
        (*list)[count + 1] = NULL;
}

size_t text_width(const char *text) {
        size_t width = 0;

        for (const char *p = text; *p; p = g_utf8_next_char(p)) {
                gunichar character = g_utf8_get_char(p);

                if (!g_unichar_iszerowidth(character))
                        width += g_unichar_iswide(character) ? 2 : 1;
        }

        return width;
}

char *text_endpoint(const char *address, uint16_t port) {
        return g_strdup_printf(strchr(address, ':') ? "[%s]:%u" : "%s:%u", address, port);
}

char *text_duration(uint64_t milliseconds) {
        if (milliseconds < 1000)
                return g_strdup_printf(_("%u ms"), (unsigned) milliseconds);
        if (milliseconds < 120 * 1000)
                return g_strdup_printf(_("%u s"), (unsigned) (milliseconds / 1000));
        if (milliseconds < 120 * 60 * 1000)
                return g_strdup_printf(_("%u min"), (unsigned) (milliseconds / 60 / 1000));
        return g_strdup_printf(_("%u h"), (unsigned) (milliseconds / 3600 / 1000));
}
