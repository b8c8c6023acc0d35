/* SPDX-License-Identifier: GPL-2.0-or-later */

/* When subflows are looked for, on a clock that only the test moves. */

#include "unit.h"

#include "false-clock.h"
#include "service/subflow-watch.h"

enum {
        MILLISECOND = 1000,
        SECOND = 1000 * 1000,
        MINUTE = 60 * SECOND,
        LISTED = 64, /* connections that a watch knows by name */
};

static struct {
        unsigned looks;         /* that were due */
        uint64_t looked_us;     /* the last one */
        SubflowLook found;      /* what each of them finds */
} world;

static SubflowWatch *watch;

static void on_due(void *userdata) {
        assert(userdata == &world);
        world.looks++;
        world.looked_us = false_clock.now_us;
        subflow_watch_looked(watch, world.found);
}

static void begin(void) {
        memset(&world, 0, sizeof(world));
        false_clock_set(5 * MINUTE);
        assert(subflow_watch_new(&watch, NULL, on_due, &world) == 0);
}

static void end(void) {
        watch = subflow_watch_free(watch);
        assert(!watch && !false_clock.armed);
}

/* Time goes by until the next look; how long it was since the last one, or since this began. */
static uint64_t next_pause(void) {
        const uint64_t before = MAX_OF(world.looked_us, (uint64_t) 5 * MINUTE);

        assert(false_clock.armed);
        false_clock_pass(false_clock.timer.due_us - false_clock.now_us);
        return world.looked_us - before;
}

static void test_activation(void) {
        begin();
        assert(!false_clock.armed);
        subflow_watch_begin(watch);
        assert(next_pause() == 700 * MILLISECOND);
        assert(next_pause() == 700 * MILLISECOND);
        assert(next_pause() == 700 * MILLISECOND);
        assert(!false_clock.armed && world.looks == 3);

        /* A subflow never came up: who refuses all of them is not asked for ever. */
        world.found = SUBFLOWS_RETRIED;
        subflow_watch_begin(watch);
        false_clock_pass(MINUTE);
        assert(!false_clock.armed && world.looks == 6);
        subflow_watch_lost(watch, 7, true);
        assert(!false_clock.armed && !subflow_watch_misses(watch));
        end();
}

static void test_pauses(void) {
        static const unsigned seconds[] = { 1, 2, 4, 8, 16, 16, 16 };
        uint64_t pause;

        begin();
        world.found = SUBFLOWS_RETRIED;
        subflow_watch_proven(watch, 7);
        subflow_watch_lost(watch, 7, false);
        for (size_t i = 0; i < ELEMENTS(seconds); i++)
                assert(next_pause() == (uint64_t) seconds[i] * SECOND);

        /* A 32nd of the time that the path is away, but a minute at most. */
        false_clock_pass((uint64_t) 16 * MINUTE);
        pause = next_pause();
        assert(pause > 16 * SECOND && pause <= 32 * SECOND);
        false_clock_pass((uint64_t) 60 * MINUTE);
        for (int i = 0; i < 10; i++)
                assert(next_pause() == MINUTE);

        subflow_watch_proven(watch, 7);
        world.found = SUBFLOWS_COMPLETE;
        assert(next_pause() == MINUTE);
        assert(!false_clock.armed);

        /* The next outage begins with short pauses again. */
        world.found = SUBFLOWS_RETRIED;
        subflow_watch_lost(watch, 7, false);
        world.looked_us = false_clock.now_us;
        assert(next_pause() == SECOND && next_pause() == 2 * SECOND);
        end();
}

static void test_hurry(void) {
        begin();
        subflow_watch_hurry(watch);
        assert(!false_clock.armed);
        world.found = SUBFLOWS_RETRIED;
        subflow_watch_proven(watch, 7);
        subflow_watch_lost(watch, 7, false);
        false_clock_pass(5 * MINUTE);
        next_pause();

        /* The link can send again. */
        subflow_watch_hurry(watch);
        assert(next_pause() == SECOND && next_pause() == 2 * SECOND);

        /* The first answer after silence says that the path is back; more of them hurry nothing. */
        false_clock_pass(5 * MINUTE);
        next_pause();
        subflow_watch_lost(watch, 7, true);
        assert(next_pause() == SECOND);
        subflow_watch_lost(watch, 7, true);
        assert(next_pause() == 2 * SECOND);
        subflow_watch_lost(watch, 7, true);
        assert(next_pause() == 4 * SECOND);
        end();
}

static void test_in_use(void) {
        begin();
        world.found = SUBFLOWS_IN_USE;
        subflow_watch_proven(watch, 7);
        subflow_watch_proven(watch, 8);
        subflow_watch_lost(watch, 7, false);
        assert(next_pause() == SECOND);

        /* Nothing is polled. The end of a connection may free the endpoint. */
        assert(!false_clock.armed && subflow_watch_misses(watch));
        false_clock_pass(MINUTE);
        subflow_watch_freed(watch, 9);
        assert(false_clock.armed && subflow_watch_misses(watch));
        world.found = SUBFLOWS_COMPLETE;
        world.looked_us = false_clock.now_us;
        assert(next_pause() == SECOND);
        assert(!false_clock.armed && !subflow_watch_misses(watch));
        subflow_watch_freed(watch, 8);
        assert(!false_clock.armed);
        end();
}

static void test_missing(void) {
        begin();
        world.found = SUBFLOWS_RETRIED;
        subflow_watch_proven(watch, 1);
        for (uint32_t connection = 1; connection <= LISTED; connection++) {
                subflow_watch_lost(watch, connection, false);
                subflow_watch_lost(watch, connection, false); /* an attempt that failed */
        }
        assert(subflow_watch_misses(watch));

        /* They get it back, or end. */
        for (uint32_t connection = 1; connection < LISTED; connection += 2)
                subflow_watch_proven(watch, connection);
        for (uint32_t connection = 2; connection < LISTED; connection += 2)
                subflow_watch_freed(watch, connection);
        assert(subflow_watch_misses(watch));
        subflow_watch_freed(watch, LISTED);
        assert(!subflow_watch_misses(watch));

        /* More than the list holds, or some whose names are not known: until a look finds them complete. */
        for (uint32_t connection = 1; connection <= LISTED + 1; connection++)
                subflow_watch_lost(watch, connection, false);
        for (uint32_t connection = 1; connection <= LISTED + 1; connection++)
                subflow_watch_proven(watch, connection);
        assert(subflow_watch_misses(watch));
        world.found = SUBFLOWS_COMPLETE;
        false_clock_pass(MINUTE);
        assert(!false_clock.armed && !subflow_watch_misses(watch));
        subflow_watch_lost(watch, 0, false);
        assert(subflow_watch_misses(watch));
        false_clock_pass(SECOND);
        assert(!false_clock.armed && !subflow_watch_misses(watch));
        end();
}

static void test_removal(void) {
        begin();
        world.found = SUBFLOWS_RETRIED;
        subflow_watch_proven(watch, 7);
        subflow_watch_lost(watch, 7, false);
        assert(false_clock.armed);
        end();
        begin();
        end();
        assert(!subflow_watch_free(NULL));
}

int main(void) {
        static const Test tests[] = {
                { "after an activation there are three looks", test_activation },
                { "pauses grow from a second to a minute", test_pauses },
                { "a path that is back is tried soon", test_hurry },
                { "endpoints in use wait for the end of a connection", test_in_use },
                { "it is known which connections miss a subflow", test_missing },
                { "a watch that goes leaves no timer", test_removal },
        };

        return run_tests(tests, ELEMENTS(tests));
}
