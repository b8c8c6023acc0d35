/* SPDX-License-Identifier: GPL-2.0-or-later */

/* When subflows are looked for, on a clock that only the test moves: this file is the event loop of
 * subflow-watch.c. */

#include "unit.h"

#include "service/subflow-watch.h"

enum {
        MILLISECOND = 1000,
        SECOND = 1000 * 1000,
        MINUTE = 60 * SECOND,
        LISTED = 64, /* connections that a watch knows by name */
};

/* The only timer there is, and what runs when it is due. */
struct sd_event_source {
        uint64_t due_us;
        sd_event_time_handler_t handler;
        void *userdata;
};

static struct {
        uint64_t now_us;
        sd_event_source timer;
        bool armed;
        unsigned looks;         /* that were due */
        uint64_t looked_us;     /* the last one */
        SubflowLook found;      /* what each of them finds */
} world;

int sd_event_now(sd_event *event, clockid_t clock, uint64_t *usec) {
        assert(clock == CLOCK_MONOTONIC);
        *usec = world.now_us;
        return 0;
}

int sd_event_add_time_relative(sd_event *event, sd_event_source **source, clockid_t clock, uint64_t usec,
                               uint64_t accuracy, sd_event_time_handler_t handler, void *userdata) {
        assert(clock == CLOCK_MONOTONIC && !world.armed);
        world.timer = (sd_event_source) { world.now_us + usec, handler, userdata };
        world.armed = true;
        *source = &world.timer;
        return 0;
}

sd_event_source *sd_event_source_disable_unref(sd_event_source *source) {
        assert(!source || (source == &world.timer && world.armed));
        if (source)
                world.armed = false;
        return NULL;
}

static SubflowWatch *watch;

static void on_due(void *userdata) {
        assert(userdata == &world);
        world.looks++;
        world.looked_us = world.now_us;
        subflow_watch_looked(watch, world.found);
}

static void begin(void) {
        memset(&world, 0, sizeof(world));
        world.now_us = 5 * MINUTE;
        assert(subflow_watch_new(&watch, NULL, on_due, &world) == 0);
}

static void end(void) {
        watch = subflow_watch_free(watch);
        assert(!watch && !world.armed);
}

/* Time goes by. */
static void pass(uint64_t usec) {
        const uint64_t then = world.now_us + usec;

        while (world.armed && world.timer.due_us <= then) {
                world.now_us = world.timer.due_us;
                world.timer.handler(&world.timer, world.now_us, world.timer.userdata);
        }
        world.now_us = then;
}

/* Time goes by until the next look; how long it was since the last one, or since this began. */
static uint64_t next_pause(void) {
        const uint64_t before = MAX_OF(world.looked_us, (uint64_t) 5 * MINUTE);

        assert(world.armed);
        pass(world.timer.due_us - world.now_us);
        return world.looked_us - before;
}

static void test_activation(void) {
        begin();
        assert(!world.armed);
        subflow_watch_begin(watch);
        assert(next_pause() == 700 * MILLISECOND);
        assert(next_pause() == 700 * MILLISECOND);
        assert(next_pause() == 700 * MILLISECOND);
        assert(!world.armed && world.looks == 3);

        /* A subflow never came up: who refuses all of them is not asked for ever. */
        world.found = SUBFLOWS_RETRIED;
        subflow_watch_begin(watch);
        pass(MINUTE);
        assert(!world.armed && world.looks == 6);
        subflow_watch_lost(watch, 7, true);
        assert(!world.armed && !subflow_watch_misses(watch));
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
        pass((uint64_t) 16 * MINUTE);
        pause = next_pause();
        assert(pause > 16 * SECOND && pause <= 32 * SECOND);
        pass((uint64_t) 60 * MINUTE);
        for (int i = 0; i < 10; i++)
                assert(next_pause() == MINUTE);

        subflow_watch_proven(watch, 7);
        world.found = SUBFLOWS_COMPLETE;
        assert(next_pause() == MINUTE);
        assert(!world.armed);

        /* The next outage begins with short pauses again. */
        world.found = SUBFLOWS_RETRIED;
        subflow_watch_lost(watch, 7, false);
        world.looked_us = world.now_us;
        assert(next_pause() == SECOND && next_pause() == 2 * SECOND);
        end();
}

static void test_hurry(void) {
        begin();
        subflow_watch_hurry(watch);
        assert(!world.armed);
        world.found = SUBFLOWS_RETRIED;
        subflow_watch_proven(watch, 7);
        subflow_watch_lost(watch, 7, false);
        pass(5 * MINUTE);
        next_pause();

        /* The link can send again. */
        subflow_watch_hurry(watch);
        assert(next_pause() == SECOND && next_pause() == 2 * SECOND);

        /* The first answer after silence says that the path is back; more of them hurry nothing. */
        pass(5 * MINUTE);
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
        assert(!world.armed && subflow_watch_misses(watch));
        pass(MINUTE);
        subflow_watch_freed(watch, 9);
        assert(world.armed && subflow_watch_misses(watch));
        world.found = SUBFLOWS_COMPLETE;
        world.looked_us = world.now_us;
        assert(next_pause() == SECOND);
        assert(!world.armed && !subflow_watch_misses(watch));
        subflow_watch_freed(watch, 8);
        assert(!world.armed);
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
        pass(MINUTE);
        assert(!world.armed && !subflow_watch_misses(watch));
        subflow_watch_lost(watch, 0, false);
        assert(subflow_watch_misses(watch));
        pass(SECOND);
        assert(!world.armed && !subflow_watch_misses(watch));
        end();
}

static void test_removal(void) {
        begin();
        world.found = SUBFLOWS_RETRIED;
        subflow_watch_proven(watch, 7);
        subflow_watch_lost(watch, 7, false);
        assert(world.armed);
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
