/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How many calls of a user are served, at times that the test makes up. */

#include "unit.h"

#include "service/call-pace.h"

enum { SECOND = 1000 * 1000, BEGIN = 1000 * SECOND };

/* How many of so many calls are served, one in each step of time. */
static size_t served(CallPace *pace, uid_t user, uint64_t from_us, size_t calls, uint64_t step_us) {
        size_t count = 0;

        for (size_t i = 0; i < calls; i++)
                count += call_pace_allows(pace, user, from_us + i * step_us);
        return count;
}

static void test_many_at_once(void) {
        CallPace pace = {};

        assert(served(&pace, 1000, BEGIN, 10 * CALL_PACE_AT_ONCE, 0) == CALL_PACE_AT_ONCE);
        /* Ten seconds of a flood later it has had its share of each second, and no more. */
        assert(served(&pace, 1000, BEGIN, 100 * 1000, 100) <= 10 * CALL_PACE_PER_SECOND);
        assert(served(&pace, 1000, BEGIN + 10 * SECOND, 100 * 1000, 100) >= 10 * CALL_PACE_PER_SECOND - 1);
}

static void test_pause(void) {
        CallPace pace = {};

        assert(served(&pace, 1000, BEGIN, 2 * CALL_PACE_AT_ONCE, 0) == CALL_PACE_AT_ONCE);
        assert(!call_pace_allows(&pace, 1000, BEGIN + 1));
        assert(call_pace_allows(&pace, 1000, BEGIN + SECOND));
        assert(served(&pace, 1000, BEGIN + 100 * (uint64_t) SECOND, 2 * CALL_PACE_AT_ONCE, 0) ==
               CALL_PACE_AT_ONCE);
}

static void test_steady(void) {
        CallPace pace = {};

        /* Whoever keeps to the pace never waits. */
        assert(served(&pace, 1000, BEGIN, 5000, SECOND / CALL_PACE_PER_SECOND) == 5000);
}

static void test_others(void) {
        CallPace pace = {};

        assert(served(&pace, 1000, BEGIN, 2 * CALL_PACE_AT_ONCE, 0) == CALL_PACE_AT_ONCE);
        assert(served(&pace, 1001, BEGIN, 10, 0) == 10);
        /* Many users: each has a place, and keeps it. */
        for (uid_t user = 2000; user < 2000 + CALL_PACE_USERS - 2; user++)
                assert(call_pace_allows(&pace, user, BEGIN));
        assert(!call_pace_allows(&pace, 1000, BEGIN));
        /* Places of users who have been silent are taken by others. */
        for (uid_t user = 5000; user < 5000 + CALL_PACE_USERS; user++)
                assert(call_pace_allows(&pace, user, BEGIN + 100 * (uint64_t) SECOND));
}

int main(void) {
        static const Test tests[] = {
                { "of a flood so many are served in a second", test_many_at_once },
                { "after a pause there are many at once again", test_pause },
                { "a steady pace never waits", test_steady },
                { "users are told apart", test_others },
        };

        return run_tests(tests, ELEMENTS(tests));
}
