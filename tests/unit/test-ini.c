/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of the ini dialect and of [Match]. May touch: nothing.
 */

#include "unit.h"

#include "profile/ini.h"

/* What the parser told, as one text: "section|key|value|line" for assignments, "!line error" for
 * errors. */
typedef struct Told {
        char text[2048];
        const char *stop_at;  /* key at which the handler ends the parse */
} Told;

static void tell(Told *told, const char *section, const char *key, const char *value, unsigned line) {
        const size_t used = strlen(told->text);

        snprintf(told->text + used, sizeof(told->text) - used, "%s|%s|%s|%u\n", section, key, value, line);
}

static int on_assignment(const char *section, const char *key, const char *value, unsigned line,
                         void *userdata) {
        Told *told = userdata;

        tell(told, section, key, value, line);
        return told->stop_at && streq(told->stop_at, key) ? -ECANCELED : 0;
}

static void on_error(unsigned line, const char *error, void *userdata) {
        Told *told = userdata;
        const size_t used = strlen(told->text);
        _cleanup_(freep) char *english = message_english(error);

        assert(english);
        snprintf(told->text + used, sizeof(told->text) - used, "!%u %s\n", line, english);
}

#define NO_FORM "neither a section, an assignment nor a comment"
#define BAD_HEADER "a section header has the form [Name]"

static void the_dialect_is_that_of_systemd(void) {
        static const struct {
                const char *text;
                const char *told;
        } cases[] = {
                { "", "" },
                { "\n\n  \n", "" },
                { "[X-Underpass]\nTunnel=yes\n", "X-Underpass|Tunnel|yes|2\n" },
                { "[A]\nk=v", "A|k|v|2\n" }, /* no newline at the end */
                { "[A]\r\n k =\t v \r\n", "A|k|v|2\n" },
                { "\xef\xbb\xbf[A]\nk=v\n", "A|k|v|2\n" }, /* byte order mark */
                { "k=v\n", "|k|v|1\n" },
                { "[A]\nk=\n", "A|k||2\n" },
                { "[A]\nk=a=b\n", "A|k|a=b|2\n" },
                { "[A]\nk=v # no comment\n", "A|k|v # no comment|2\n" },
                { "# c=1\n; d=2\n  # e=3\n[A]\nk=v\n", "A|k|v|5\n" },
                { "[A]\nk=1\nk=2\n", "A|k|1|2\nA|k|2|3\n" },
                { "[A]\n[B]\n[A]\nk=v\n", "A|k|v|4\n" },
                { "[A B]\nk=v\n", "A B|k|v|2\n" },
                { "[A]\nk=a,\\\n  b\nl=c\n", "A|k|a,   b|2\nA|l|c|4\n" },
                { "[A]\nk=a,\\\n# between\nb\nl=c\n", "A|k|a, b|2\nA|l|c|5\n" },
                { "[A]\n# comment \\\nk=v\n", "A|k|v|3\n" }, /* comments are not continued */
                { "[A]\nk=v\\", "A|k|v|2\n" },
                { "[A]\nk=v\\\n", "A|k|v|2\n" },
                { "[A]\nk=v\\\n\nl=w\n", "A|k|v|2\nA|l|w|4\n" },
                { "[A]\r\nk=a\\\r\nb\r\n", "A|k|a b|2\n" },
                { "[A]\nk=a\\b\n", "A|k|a\\b|2\n" },
                { "[A]\nnonsense\nk=v\n", "!2 " NO_FORM "\nA|k|v|3\n" },
                { "[A]\n=v\n", "!2 an assignment without a key before the equals sign\n" },
                { "[A]\nk=v\n[B\nl=w\n", "A|k|v|2\n!3 " BAD_HEADER "\n|l|w|4\n" },
                { "[]\nk=v\n", "!1 " BAD_HEADER "\n|k|v|2\n" },
                { "[\n", "!1 " BAD_HEADER "\n" },
                { "[A]\nk=é…\n", "A|k|é…|2\n" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Told told = { "" };

                assert(ini_parse(cases[i].text, strlen(cases[i].text), on_assignment, on_error,
                                      &told) == 0);
                assert_text(told.text, cases[i].told);
        }
}

static void text_that_is_none_is_refused(void) {
        static const struct {
                const char *text;
                size_t length;
        } cases[] = {
                { "[A]\nk=\xff\n", 8 },
                { "[A]\nk=v\0\n", 9 },
                { "[A]\nk=\xc3", 7 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Told told = { "" };

                assert(ini_parse(cases[i].text, cases[i].length, on_assignment, on_error, &told) ==
                       -EILSEQ);
                assert_text(told.text, "");
        }
}

static void the_handler_can_end_the_parse(void) {
        static const char text[] = "[A]\nnonsense\na=1\nb=2\nc=3\n";
        Told told = { "", "b" };

        assert(ini_parse(text, strlen(text), on_assignment, NULL, &told) == -ECANCELED);
        assert_text(told.text, "A|a|1|3\nA|b|2|4\n");
}

static void text_needs_no_end(void) {
        /* Exactly as long as said, so that a sanitizer sees a read beyond it. */
        static const char text[] = "[A]\nk=v\\";
        _cleanup_(freep) char *exact = malloc(strlen(text));
        Told told = { "" };

        memcpy(exact, text, strlen(text));
        assert(ini_parse(exact, strlen(text), on_assignment, on_error, &told) == 0);
        assert_text(told.text, "A|k|v|2\n");
}

static void all_conditions_must_hold(void) {
        static const struct {
                IniMatch match;
                const char *name, *type, *connection, *uuid;
                bool holds;
        } cases[] = {
                { { NULL, NULL, NULL, NULL }, "eth0", "ether", "LTE", "u", false },
                { { (char *) "", NULL, NULL, NULL }, "eth0", "ether", "LTE", "u", false },
                { { (char *) "eth0", NULL, NULL, NULL }, "eth0", NULL, NULL, NULL, true },
                { { (char *) "eth0", NULL, NULL, NULL }, "eth01", NULL, NULL, NULL, false },
                { { (char *) "wlan* eth?", NULL, NULL, NULL }, "eth7", NULL, NULL, NULL, true },
                { { (char *) "wlan* eth?", NULL, NULL, NULL }, "eth10", NULL, NULL, NULL, false },
                { { (char *) "e[mt]h*", NULL, NULL, NULL }, "emh3", NULL, NULL, NULL, true },
                { { (char *) "*", NULL, NULL, NULL }, "anything", NULL, NULL, NULL, true },
                { { (char *) "!lo docker*", NULL, NULL, NULL }, "eth0", NULL, NULL, NULL, true },
                { { (char *) "!lo docker*", NULL, NULL, NULL }, "docker0", NULL, NULL, NULL, false },
                { { (char *) "! lo", NULL, NULL, NULL }, "lo", NULL, NULL, NULL, false },
                { { NULL, (char *) "wwan ppp", NULL, NULL }, "wwp0", "wwan", NULL, NULL, true },
                { { NULL, (char *) "wwan ppp", NULL, NULL }, "eth0", "ether", NULL, NULL, false },
                { { NULL, (char *) "!wwan", NULL, NULL }, "eth0", "ether", NULL, NULL, true },
                { { NULL, (char *) "!wwan", NULL, NULL }, "eth0", NULL, NULL, NULL, false },
                { { (char *) "eth*", (char *) "wwan", NULL, NULL }, "eth0", "ether", NULL, NULL, false },
                { { NULL, NULL, (char *) "My LTE", NULL }, "eth0", "ether", "My LTE", NULL, true },
                { { NULL, NULL, (char *) "My*", NULL }, "eth0", "ether", "My LTE", NULL, false },
                { { NULL, NULL, (char *) "My LTE", NULL }, "eth0", "ether", NULL, NULL, false },
                { { NULL, NULL, NULL, (char *) "6F0C" }, "eth0", "ether", "x", "6f0c", true },
                { { NULL, NULL, NULL, (char *) "6f0c" }, "eth0", "ether", "x", "6f0d", false },
                { { NULL, NULL, NULL, (char *) "6f0c" }, "eth0", "ether", "x", NULL, false },
                { { (char *) "eth0", (char *) "ether", (char *) "x", (char *) "6f0c" },
                  "eth0",
                  "ether",
                  "x",
                  "6f0c",
                  true },
                { { (char *) "eth0", (char *) "ether", (char *) "x", (char *) "6f0c" },
                  "eth0",
                  "ether",
                  "y",
                  "6f0c",
                  false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                printf("# case %zu\n", i);
                assert(ini_match(&cases[i].match, cases[i].name, cases[i].type, cases[i].connection,
                                      cases[i].uuid) == cases[i].holds);
        }
}

static void a_bad_line_is_found_and_can_be_covered(void) {
        static const struct {
                const char *text;
                size_t length;
                unsigned line;
                const char *excerpt;
        } cases[] = {
                { "a=1\nb=\xff!\nc=\xfe\n", 13, 2, "b=\\xff!" },
                { "\xff", 1, 1, "\\xff" },
                { "a\n\nb\0c", 6, 3, "b" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(freep) char *copy = malloc(cases[i].length + 1), *excerpt = NULL, *none = NULL;
                unsigned line = 0;

                assert(copy);
                memcpy(copy, cases[i].text, cases[i].length + 1);
                excerpt = ini_bad_line(copy, cases[i].length, &line);
                assert_text(excerpt, cases[i].excerpt);
                assert(line == cases[i].line);
                ini_mask(copy, cases[i].length);
                none = ini_bad_line(copy, cases[i].length, &line);
                assert_text(none, "");
        }
}

static void the_section_of_a_line_is_known(void) {
        static const char text[] = "stray\n[A]\nx\n # y\n[B]\ny\n  [A]  \nz\n[A\nu\n[A]\nend";
        static const bool in_a[] = { false, true, true, true, false, false, true, true, false, false, true,
                                     true };

        for (unsigned line = 1; line <= ELEMENTS(in_a); line++) {
                printf("# line %u\n", line);
                assert(ini_line_is_in(text, strlen(text), line, "A") == in_a[line - 1]);
        }
        assert(!ini_line_is_in("", 0, 1, "A"));
}

static void a_match_is_emptied(void) {
        IniMatch match = { strdup("a"), strdup("b"), strdup("c"), strdup("d") };

        ini_match_done(&match);
        assert(!match.name && !match.type && !match.connection && !match.uuid);
        ini_match_done(&match);
}

int main(void) {
        static const Test tests[] = {
                { "the dialect is that of systemd", the_dialect_is_that_of_systemd },
                { "text that is none is refused before anything is told", text_that_is_none_is_refused },
                { "the handler can end the parse", the_handler_can_end_the_parse },
                { "text needs no end", text_needs_no_end },
                { "all conditions of a match must hold", all_conditions_must_hold },
                { "a bad line is found and can be covered", a_bad_line_is_found_and_can_be_covered },
                { "the section of a line is known", the_section_of_a_line_is_known },
                { "a match is emptied", a_match_is_emptied },
        };

        return run_tests(tests, ELEMENTS(tests));
}
