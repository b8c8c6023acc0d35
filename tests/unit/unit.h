/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The frame of all unit tests: a table of named functions that assert, run in order and reported as TAP.
 * Included first by each test, so that assert() is always there. May touch: standard output.
 */

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/message.h"

typedef struct Test {
        const char *name;  /* a sentence that is true when the test passes */
        void (*run)(void);
} Test;

static inline int run_tests(const Test *tests, size_t count) {
        printf("1..%zu\n", count);
        for (size_t i = 0; i < count; i++) {
                /* Said before, so that it is known which one aborted. */
                printf("# %s\n", tests[i].name);
                fflush(stdout);
                tests[i].run();
                printf("ok %zu - %s\n", i + 1, tests[i].name);
                fflush(stdout);
        }
        return 0;
}

/* Every value below max has a name: name_of is a function, or a macro, that takes the value. */
#define assert_all_named(max, name_of)                                                        \
        do {                                                                                  \
                for (int _value = 0; _value < (int) (max); _value++) {                        \
                        const char *_name = name_of(_value);                                  \
                                                                                              \
                        if (!_name || !*_name)                                                \
                                printf("# " #name_of "(%d) has no name\n", _value);           \
                        assert(_name && *_name);                                              \
                }                                                                             \
        } while (0)

/* Shows both strings when they differ. A message counts as its sentence. */
static inline void assert_text(const char *text, const char *wanted) {
        _cleanup_(freep) char *got = text ? message_english(text) : NULL;

        if (got && streq(got, wanted))
                return;
        printf("# got:    %s\n# wanted: %s\n", got ? got : "(null)", wanted);
        fflush(stdout);
        assert(!"texts differ");
}

/* Shows the string when the part is not in it. The same. */
static inline void assert_contains(const char *text, const char *part) {
        _cleanup_(freep) char *got = text ? message_english(text) : NULL;

        if (got && strstr(got, part))
                return;
        printf("# in:     %s\n# wanted: %s\n", got ? got : "(null)", part);
        fflush(stdout);
        assert(!"part is missing");
}
