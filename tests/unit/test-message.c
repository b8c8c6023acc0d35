/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Messages: formatted, nested, taken apart, and damaged. */

#include <locale.h>
#include <stdio.h>

#include "unit.h"

static void sentences_are_what_printf_makes(void) {
        _cleanup_(freep) char *message =
                message_format("%s=%u in %s: %zu of %d, %#x, 100%%, %llu", "mtu", 1400U, "LTE",
                               (size_t) 3, -4, 16U, (unsigned long long) UINT64_MAX);

        assert_text(message, "mtu=1400 in LTE: 3 of -4, 0x10, 100%, 18446744073709551615");
}

static void messages_contain_messages(void) {
        _cleanup_(freep) char *inner = message_format("“%s” is not a number", "x");
        _cleanup_(freep) char *allowed = message_constant("1 … 5");
        _cleanup_(freep) char *outer = message_format("%s: %s; allowed: %s.", "mss", inner, allowed);
        _cleanup_(freep) char *glued = string_format("up0: %s (%s)", outer, MESSAGE_ERRNO(-ENOENT));

        assert_text(outer, "mss: “x” is not a number; allowed: 1 … 5.");
        assert_text(glued, "up0: mss: “x” is not a number; allowed: 1 … 5. (No such file or directory)");
        assert_text(M_("Done."), "Done.");
        assert_text("no message", "no message");
        assert_text("", "");
}

/* What message_each() told, as one text. */
typedef struct Told {
        char text[512];
        int stop;
} Told;

static int on_message(const char *sentence, const char *msgid, const char *const *arguments, size_t count,
                      void *userdata) {
        Told *told = userdata;
        size_t used = strlen(told->text);

        used += (size_t) snprintf(told->text + used, sizeof(told->text) - used, "%s <- %s", sentence, msgid);
        for (size_t i = 0; i < count; i++)
                used += (size_t) snprintf(told->text + used, sizeof(told->text) - used, "|%s", arguments[i]);
        snprintf(told->text + used, sizeof(told->text) - used, "\n");
        return told->stop;
}

static void messages_are_taken_apart(void) {
        _cleanup_(freep) char *inner = message_format("%u is odd", 3U);
        _cleanup_(freep) char *outer = message_format("%s: %s", "mss", inner);
        _cleanup_(freep) char *both = string_format("a %s b %s c", outer, M_("Done."));
        Told told = {}, stopped = { .stop = -ECANCELED };

        assert(message_each(both, on_message, &told) == 0);
        assert_text(told.text, "mss: 3 is odd <- %s: %s|mss|3 is odd\n"
                               "3 is odd <- %u is odd|3\n"
                               "Done. <- Done.\n");
        assert(message_each(both, on_message, &stopped) == -ECANCELED);
        assert_text(stopped.text, "mss: 3 is odd <- %s: %s|mss|3 is odd\n");
        assert(message_each("plain", on_message, &told) == 0);
}

/* Whatever an argument is, the message around it stays one. */
static void bytes_of_others_do_no_harm(void) {
        static const char *const bad[] = { "\1",      "\2",   "\3",       "\1x",      "x\3",
                                           "\1a\2b", "\3\1", "\2\2\2", "\1\1x\3" };

        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_(freep) char *message = message_format("<%s> %s.", bad[i], "end");
                _cleanup_(freep) char *english = message_english(message);
                _cleanup_(freep) char *raw = message_english(bad[i]);
                Told told = {};

                assert(message_each(message, on_message, &told) == 0);
                assert_contains(told.text, " <- <%s> %s.|");
                assert(english[0] == '<' && strcmp(english + strlen(english) - 6, "> end.") == 0);
                assert(!strpbrk(english, "\1\2\3"));
                assert(raw);
        }
}

static void nesting_is_bounded(void) {
        char *message = strdup("x");

        for (unsigned i = 0; i < 100; i++) {
                char *outer = message_format("(%s)", message);

                free(message);
                message = outer;
        }
        _cleanup_(freep) char *english = message_english(message);
        assert(!strpbrk(english, "\1\2\3"));
        free(message);
}

static void templates_are_filled_safely(void) {
        static const struct {
                const char *template, *filled;
        } cases[] = {
                { "%s and %s", "one and two" },
                { "%2$s, %1$s", "two, one" },
                { "%u-%#x", "one-two" },
                { "%s", "one" },
                { "%s %s %s", "one two %s" },
                { "%3$s", "%3$s" },
                { "%n%s", "%none" },
                { "100%% %s", "100% one" },
                { "%", "%" },
                { "%99$s %0$s", "%99$s %0$s" },
                { "%*s %.*s", "%*s %.*s" },
                { "", "" },
        };
        static const char *const arguments[] = { "one", "two" };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(freep) char *filled =
                        message_fill(cases[i].template, arguments, ELEMENTS(arguments));

                assert_text(filled, cases[i].filled);
        }
}

static void lists_take_messages(void) {
        _cleanup_(strings_freep) char **list = NULL;

        assert(message_add(&list, "%s on %s", "mtu", "up0") == 0);
        assert(message_add(&list, "%u", 7U) == 0);
        assert(strings_count(list) == 2);
        assert_text(list[0], "mtu on up0");
        assert_text(list[1], "7");
}

/* Without a catalogue the sentence stays English; the words of the C library are in its own. */
static void what_has_no_translation_stays_english(void) {
        _cleanup_(freep) char *message = message_format("%s: %s", "up0", MESSAGE_ERRNO(ENOMEM));

        assert(setlocale(LC_MESSAGES, "C"));
        _cleanup_(freep) char *text = message_translate(message);
        assert_text(text, "up0: Cannot allocate memory");
        assert_text(message_lookup(""), "");
        assert_text(message_lookup("not ours"), "not ours");
        assert_text(MESSAGE_ERRNO(123456), "Unknown error");
}

int main(void) {
        static const Test tests[] = {
                { "sentences are what printf makes", sentences_are_what_printf_makes },
                { "messages contain messages", messages_contain_messages },
                { "messages are taken apart", messages_are_taken_apart },
                { "bytes of others do no harm", bytes_of_others_do_no_harm },
                { "nesting is bounded", nesting_is_bounded },
                { "templates are filled safely", templates_are_filled_safely },
                { "lists take messages", lists_take_messages },
                { "what has no translation stays English", what_has_no_translation_stays_english },
        };

        return run_tests(tests, ELEMENTS(tests));
}
