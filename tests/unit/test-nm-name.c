/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Tests of how commands name a profile of NetworkManager. May touch: nothing. */

#include <locale.h>

#include "unit.h"

#include "profile/nm-name.h"

static void assert_words(const char *id, const char *uuid, const char *wanted) {
        _cleanup_(freep) char *words = nm_name_words(id, uuid);

        assert_text(words, wanted);
}

/* What nmcli takes for words of its own, and what a shell takes for more than a word. */
static void names_are_only_names(void) {
        assert_words("LTE", "1-2", "id LTE");
        assert_words("uuid", "1-2", "id uuid");
        assert_words("help", "1-2", "id help");
        assert_words("My LTE", "1-2", "id 'My LTE'");
        assert_words(" ", "1-2", "id ' '");
        assert_words("a\"$(b)'c`d`\\", "1-2", "id 'a\"$(b)'\\''c`d`\\'");
        assert_words("a-b", "1-2", "id a-b");
}

/* An option, nothing, and what a terminal does not show as it is. */
static void other_names_are_left_out(void) {
        static const char *const names[] = {
                "-x",       "--all",     "",          "My\nLTE", "a\x1b[31m", "\1No such file\2",
                "a\u202eb", "a\u200bb", "a\xc2\x85", "\xff",
        };

        for (size_t i = 0; i < ELEMENTS(names); i++)
                assert_words(names[i], "1-2", "uuid 1-2");
        assert_words(NULL, "1-2", "uuid 1-2");
        assert_words("My\nLTE", "a;reboot", "uuid 'a;reboot'");
        assert_words("My\nLTE", "", "id 'My?LTE'");
        assert_words("-x", NULL, "id -x");
        assert_words(NULL, NULL, "id ''");
}

/* A screen that has no letters but ASCII shows them as "?". */
static void letters_depend_on_the_screen(void) {
        assert_words("Дом", "1-2", "uuid 1-2");
        if (!setlocale(LC_CTYPE, "C.UTF-8"))
                return;
        assert_words("Дом", "1-2", "id 'Дом'");
        assert_words("a\u202eb", "1-2", "uuid 1-2");
        (void) setlocale(LC_CTYPE, "C");
}

int main(void) {
        static const Test tests[] = {
                { "names are only names", names_are_only_names },
                { "other names are left out", other_names_are_left_out },
                { "letters depend on the screen", letters_depend_on_the_screen },
        };

        return run_tests(tests, ELEMENTS(tests));
}
