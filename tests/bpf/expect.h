/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Expectations of the data path tests, and their random numbers.
 *
 * Room: libc only. A test is a function that returns bool; an expectation that does not hold says where and
 * what on standard error and returns false from the function it stands in.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
        EXIT_PASSED = 0,
        EXIT_FAILED = 1,
        EXIT_SKIPPED = 77, /* meson's */
};

#define EXPECT(condition)                                                                        \
        do {                                                                                     \
                if (!(condition)) {                                                              \
                        fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
                        return false;                                                            \
                }                                                                                \
        } while (0)

#define EXPECT_EQUAL(actual, expected)                                                                      \
        do {                                                                                                \
                unsigned long long _actual = (actual), _expected = (expected);                              \
                if (_actual != _expected) {                                                                 \
                        fprintf(stderr, "%s:%d: %s is %llu (%#llx), not %llu (%#llx)\n", __FILE__,          \
                                __LINE__, #actual, _actual, _actual, _expected, _expected);                 \
                        return false;                                                                       \
                }                                                                                           \
        } while (0)

/* One named test. */
struct expect_test {
        const char *name;
        bool (*run)(void *context);
};

/* Runs all of them, one line each; returns the number of those that failed. */
static inline int expect_run(const struct expect_test *tests, size_t count, void *context) {
        int failed = 0;

        for (size_t i = 0; i < count; i++) {
                bool passed = tests[i].run(context);

                printf("%s  %s\n", passed ? "ok  " : "FAIL", tests[i].name);
                fflush(stdout);
                failed += !passed;
        }
        return failed;
}

/*
 * The next number of a xorshift generator (Marsaglia 2003); *state is any number but 0. Same numbers on
 * every machine.
 */
static inline uint32_t expect_random(uint64_t *state) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return (uint32_t) (*state >> 32);
}

static inline void expect_random_bytes(uint64_t *state, uint8_t *ret_bytes, size_t length) {
        for (size_t i = 0; i < length; i++)
                ret_bytes[i] = (uint8_t) expect_random(state);
}
