/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * See message.h. A message is BEGIN msgid { NEXT argument } END; arguments may contain messages. The three
 * bytes are control characters, which no sentence has; other text that has them loses them when it becomes
 * an argument.
 */

#include <ctype.h>
#include <locale.h>
#include <stdio.h>

#include "base/i18n.h"
#include "base/message.h"

#define BEGIN '\1'
#define NEXT '\2'
#define END '\3'

enum {
        DEPTH_MAX = 16,           /* of messages in messages */
        DIRECTIVE_BYTES_MAX = 16,
};

static const char marks[] = { BEGIN, NEXT, END, '\0' };

/* A piece of a longer string. */
typedef struct Span {
        const char *text;
        size_t length;
} Span;

/* A message as it was taken apart. */
typedef struct Parts {
        Span msgid;
        Span arguments[MESSAGE_ARGUMENTS_MAX];
        size_t count;
        size_t length;     /* of the whole */
} Parts;

/* A stream that writes into memory. */
typedef struct Writer {
        FILE *stream;
        char *text;
        size_t length;
} Writer;

static int writer_open(Writer *writer) {
        *writer = (Writer) {};
        writer->stream = open_memstream(&writer->text, &writer->length);
        return writer->stream ? 0 : -ENOMEM;
}

/* The text, or NULL when memory was short. */
static char *writer_close(Writer *writer) {
        bool failed = ferror(writer->stream);

        failed = fclose(writer->stream) != 0 || failed;
        if (failed)
                free(TAKE_PTR(writer->text));
        return writer->text;
}

/* Whether every message in the text is complete. */
static bool is_balanced(const char *text) {
        size_t depth = 0;

        for (; *text; text++) {
                if (*text == BEGIN && ++depth >= DEPTH_MAX)
                        return false;
                if ((*text == NEXT || *text == END) && depth == 0)
                        return false;
                depth -= *text == END;
        }
        return depth == 0;
}

static void write_argument(FILE *stream, const char *text) {
        const bool balanced = is_balanced(text);

        for (; *text; text++)
                fputc(!balanced && strchr(marks, *text) ? '?' : *text, stream);
}

/* The length of the directive that begins here, and its conversion. ret_number: of the argument, from 1; 0:
 * the next one. 0: this is none. */
static size_t directive_length(const char *text, size_t *ret_number, char *ret_conversion) {
        size_t length = 1, digits = 0, number = 0;

        if (text[0] != '%')
                return 0;
        while (isdigit((unsigned char) text[1 + digits]) && digits < 2)
                number = number * 10 + (size_t) (text[1 + digits++] - '0');
        if (text[1 + digits] != '$')
                number = 0;
        else if (number == 0)
                return 0;
        else
                length += digits + 1;
        length += strspn(text + length, "#0-+ 123456789.");
        length += strspn(text + length, "hlz");
        if (!text[length] || !strchr("sduxX%", text[length]))
                return 0;
        *ret_number = number;
        *ret_conversion = text[length];
        return length + 1;
}

/* One argument, printed as its directive says. */
static void write_value(FILE *stream, const char *directive, char conversion, va_list *arguments) {
        if (conversion == 's') {
                const char *text = va_arg(*arguments, const char *);

                write_argument(stream, text ?: "");
        } else if (strstr(directive, "ll"))
                fprintf(stream, directive, va_arg(*arguments, long long));
        else if (strchr(directive, 'l'))
                fprintf(stream, directive, va_arg(*arguments, long));
        else if (strchr(directive, 'z'))
                fprintf(stream, directive, va_arg(*arguments, size_t));
        else
                fprintf(stream, directive, va_arg(*arguments, int));
}

char *message_vformat(const char *msgid, va_list arguments) {
        va_list rest;
        Writer writer;

        if (writer_open(&writer) < 0)
                return NULL;
        fprintf(writer.stream, "%c%s", BEGIN, msgid);
        va_copy(rest, arguments);
        for (const char *position = strchr(msgid, '%'); position; position = strchr(position, '%')) {
                char directive[DIRECTIVE_BYTES_MAX], conversion = '\0';
                size_t number = 0, length = directive_length(position, &number, &conversion);

                /* The compiler has checked the arguments; what is not known here shows as it stands. */
                if (length == 0 || length >= sizeof(directive) || number > 0)
                        break;
                snprintf(directive, sizeof(directive), "%.*s", (int) length, position);
                position += length;
                if (conversion == '%')
                        continue;
                fputc(NEXT, writer.stream);
                write_value(writer.stream, directive, conversion, &rest);
        }
        va_end(rest);
        fputc(END, writer.stream);
        return writer_close(&writer);
}

char *message_format(const char *msgid, ...) {
        va_list arguments;

        va_start(arguments, msgid);
        char *message = message_vformat(msgid, arguments);
        va_end(arguments);
        return message;
}

char *message_constant(const char *msgid) {
        return string_format("%c%s%c", BEGIN, msgid, END);
}

int message_add(char ***list, const char *msgid, ...) {
        va_list arguments;

        va_start(arguments, msgid);
        _cleanup_(freep) char *message = message_vformat(msgid, arguments);
        va_end(arguments);
        return message ? strings_add(list, message) : -ENOMEM;
}

const char *message_errno(char buffer[static MESSAGE_ERRNO_BYTES], int error) {
        const char unknown[] = "Unknown error"; /* to which libraries add the number */
        const locale_t english = newlocale(LC_ALL_MASK, "C", (locale_t) 0);
        const char *words = english ? strerror_l(abs(error), english) : unknown;

        if (strncmp(words, unknown, strlen(unknown)) == 0)
                words = unknown;
        snprintf(buffer, MESSAGE_ERRNO_BYTES, "%c%.*s%c", BEGIN, MESSAGE_ERRNO_BYTES - 3, words, END);
        if (english)
                freelocale(english);
        return buffer;
}

/* Takes the message apart that begins here. False: it is none, or has too many arguments. */
static bool split(const char *text, Parts *ret) {
        Parts parts = {};
        Span *span = &parts.msgid;
        size_t depth = 0;

        if (*text != BEGIN)
                return false;
        span->text = text + 1;
        for (const char *position = text + 1; *position; position++) {
                const bool ends = depth == 0 && (*position == NEXT || *position == END);

                depth += *position == BEGIN;
                if (ends) {
                        span->length = (size_t) (position - span->text);
                        if (*position == END) {
                                parts.length = (size_t) (position + 1 - text);
                                *ret = parts;
                                return true;
                        }
                        if (parts.count == MESSAGE_ARGUMENTS_MAX)
                                return false;
                        span = &parts.arguments[parts.count++];
                        span->text = position + 1;
                } else
                        depth -= *position == END;
        }
        return false;
}

const char *message_lookup(const char *msgid) {
        const char *text;

        /* The translation of the empty string is the head of the catalogue. */
        if (!*msgid)
                return msgid;
        text = dgettext(GETTEXT_PACKAGE, msgid);
        return text == msgid ? dgettext("libc", msgid) : text;
}

/* Whether each directive of the template names one of so many arguments. */
static bool template_fits(const char *template, size_t count) {
        size_t next = 0;

        while ((template = strchr(template, '%'))) {
                char conversion = '\0';
                size_t number = 0, length = directive_length(template, &number, &conversion);

                if (length == 0)
                        return false;
                if (conversion != '%' && (number > 0 ? number : ++next) > count)
                        return false;
                template += length;
        }
        return true;
}

char *message_fill(const char *template, const char *const *arguments, size_t count) {
        size_t next = 0;
        Writer writer;

        if (writer_open(&writer) < 0)
                return NULL;
        while (*template) {
                char conversion = '\0';
                size_t number = 0, length = directive_length(template, &number, &conversion);

                if (length == 0) {
                        fputc(*template++, writer.stream);
                        continue;
                }
                if (conversion != '%' && number == 0)
                        number = ++next;
                if (conversion == '%')
                        fputc('%', writer.stream);
                else if (number <= count)
                        fputs(arguments[number - 1], writer.stream);
                else
                        fprintf(writer.stream, "%.*s", (int) length, template);
                template += length;
        }
        return writer_close(&writer);
}

static char *render(Span span, bool translated, unsigned depth);

static void free_all(char **texts, size_t count) {
        for (size_t i = 0; i < count; i++)
                free(texts[i]);
}

/* The arguments of a message as text. */
static int render_arguments(const Parts *parts, bool translated, unsigned depth,
                            char *ret[static MESSAGE_ARGUMENTS_MAX]) {
        for (size_t i = 0; i < parts->count; i++) {
                ret[i] = render(parts->arguments[i], translated, depth);
                if (!ret[i]) {
                        free_all(ret, i);
                        return -ENOMEM;
                }
        }
        return 0;
}

/* The message as a sentence. A translation whose placeholders are wrong is as good as none. */
static char *render_message(const Parts *parts, bool translated, unsigned depth) {
        _cleanup_(freep) char *msgid = strndup(parts->msgid.text, parts->msgid.length);
        char *arguments[MESSAGE_ARGUMENTS_MAX], *sentence;
        const char *template;

        if (!msgid || render_arguments(parts, translated, depth, arguments) < 0)
                return NULL;
        template = translated ? message_lookup(msgid) : msgid;
        if (!template_fits(template, parts->count))
                template = msgid;
        sentence = message_fill(template, (const char *const *) arguments, parts->count);
        free_all(arguments, parts->count);
        return sentence;
}

static char *render(Span span, bool translated, unsigned depth) {
        const char *end = span.text + span.length;
        Writer writer;

        if (!memchr(span.text, BEGIN, span.length)) /* most of what is shown: numbers, addresses, names */
                return strndup(span.text, span.length);
        if (writer_open(&writer) < 0)
                return NULL;
        for (const char *position = span.text; position < end;) {
                _cleanup_(freep) char *sentence = NULL;
                Parts parts;

                if (depth == DEPTH_MAX || !split(position, &parts)) {
                        fputc(*position++, writer.stream);
                        continue;
                }
                sentence = render_message(&parts, translated, depth + 1);
                if (!sentence) {
                        free(writer_close(&writer));
                        return NULL;
                }
                fputs(sentence, writer.stream);
                position += parts.length;
        }
        return writer_close(&writer);
}

char *message_english(const char *text) {
        return render((Span) { text, strlen(text) }, false, 0);
}

char *message_translate(const char *text) {
        return render((Span) { text, strlen(text) }, true, 0);
}

static int each(Span span, MessageHandler handler, void *userdata, unsigned depth);

static int each_of(const Parts *parts, MessageHandler handler, void *userdata, unsigned depth) {
        _cleanup_(freep) char *msgid = strndup(parts->msgid.text, parts->msgid.length);
        _cleanup_(freep) char *sentence = render_message(parts, false, depth);
        char *arguments[MESSAGE_ARGUMENTS_MAX];
        int r = msgid && sentence ? render_arguments(parts, false, depth, arguments) : -ENOMEM;

        if (r < 0)
                return r;
        r = handler(sentence, msgid, (const char *const *) arguments, parts->count, userdata);
        free_all(arguments, parts->count);
        for (size_t i = 0; r >= 0 && i < parts->count; i++)
                r = each(parts->arguments[i], handler, userdata, depth);
        return r;
}

static int each(Span span, MessageHandler handler, void *userdata, unsigned depth) {
        const char *end = span.text + span.length;
        int r = 0;

        for (const char *position = span.text; r >= 0 && position < end;) {
                Parts parts;

                if (depth == DEPTH_MAX || !split(position, &parts)) {
                        position++;
                        continue;
                }
                r = each_of(&parts, handler, userdata, depth + 1);
                position += parts.length;
        }
        return r < 0 ? r : 0;
}

int message_each(const char *text, MessageHandler handler, void *userdata) {
        return each((Span) { text, strlen(text) }, handler, userdata, 0);
}
