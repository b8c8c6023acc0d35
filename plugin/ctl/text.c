/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Text for people: safe for a terminal, in units that people read. */

#include <stdio.h>
#include <sys/ioctl.h>

#include "base/message.h"
#include "ctl/text.h"
#include "profile/nm-name.h"

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

/* What stands in for characters that a charset lacks. */
static const struct {
        const char *character, *substitute;
} substitutes[] = {
        { "“", "\"" }, { "”", "\"" },  { "„", "\"" }, { "«", "\"" }, { "»", "\"" },
        { "‘", "'" },  { "’", "'" },   { "→", "->" }, { "…", "..." }, { "–", "-" },
        { "—", "-" },  { "─", "-" },   { "✔", "+" },  { "✘", "x" },
};

static const char *substitute_for(const char *character, size_t length) {
        for (size_t i = 0; i < ELEMENTS(substitutes); i++)
                if (strlen(substitutes[i].character) == length &&
                    memcmp(substitutes[i].character, character, length) == 0)
                        return substitutes[i].substitute;
        return "?";
}

static char *convert(const char *text, const char *charset) {
        GString *converted = g_string_new(NULL);

        for (const char *p = text; *p; p = g_utf8_next_char(p)) {
                const size_t length = (size_t) (g_utf8_next_char(p) - p);
                gsize written = 0;
                g_autofree char *one = NULL;

                if (length > 1)
                        one = g_convert(p, (gssize) length, charset, "UTF-8", NULL, &written, NULL);
                if (length == 1)
                        g_string_append_c(converted, *p);
                else if (one)
                        g_string_append_len(converted, one, (gssize) written);
                else
                        g_string_append(converted, substitute_for(p, length));
        }
        return g_string_free(converted, FALSE);
}

static void print_to(FILE *stream, const char *text) {
        const char *charset;
        const bool unicode = g_get_charset(&charset);
        g_autofree char *valid = g_utf8_make_valid(text, -1);
        g_autofree char *converted = unicode ? NULL : convert(valid, charset);

        fputs(converted ?: valid, stream);
        fflush(stream);
}

static void print_out(const char *text) {
        print_to(stdout, text);
}

static void print_error(const char *text) {
        print_to(stderr, text);
}

void text_adapt_to_charset(void) {
        (void) g_set_print_handler(print_out);
        (void) g_set_printerr_handler(print_error);
}

static char *not_null(char *text) {
        if (!text)
                g_error("out of memory");
        return text;
}

char *text_shell_word(const char *word) {
        return not_null(string_shell_word(word));
}

char *text_shell_operand(const char *word) {
        return not_null(string_shell_operand(word));
}

char *text_profile_words(const char *id, const char *uuid) {
        return not_null(nm_name_words(id, uuid));
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

size_t text_columns(void) {
        const char *variable = g_getenv("COLUMNS");
        struct winsize size = {};
        guint64 columns;

        if (variable && g_ascii_string_to_unsigned(variable, 10, 1, G_MAXUINT16, &columns, NULL))
                return (size_t) columns;
        if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
                return size.ws_col;
        return 0;
}

char *text_cut(const char *text, size_t width) {
        GString *cut = g_string_new(NULL);
        size_t used = 0;

        if (text_width(text) <= width)
                return g_string_free(g_string_append(cut, text), FALSE);
        for (const char *p = text; *p; p = g_utf8_next_char(p)) {
                gunichar character = g_utf8_get_char(p);

                used += g_unichar_iszerowidth(character) ? 0 : g_unichar_iswide(character) ? 2 : 1;
                if (used >= width)
                        break;
                g_string_append_unichar(cut, character);
        }
        return g_string_free(g_string_append(cut, "…"), FALSE);
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

char *text_bytes(uint64_t bytes) {
        static const char *const formats[] = { N_("%.1f kB"), N_("%.1f MB"), N_("%.1f GB"), N_("%.1f TB") };
        double value = (double) bytes / 1000;
        size_t unit = 0;

        if (bytes < 1000)
                return g_strdup_printf(_("%u B"), (unsigned) bytes);
        /* What would be rounded to 1000.0 is one of the next unit. */
        for (; value >= 999.95 && unit + 1 < ELEMENTS(formats); unit++)
                value /= 1000;
        return g_strdup_printf(_(formats[unit]), value);
}

char *text_rate(uint64_t bytes) {
        return g_strdup_printf(_("%.1f Mbit/s"), (double) bytes * 8 / 1e6);
}
