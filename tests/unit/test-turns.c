/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Links and the bus take turns: service/turns.c, in a real event loop. */

#include <time.h>

#include "unit.h"

#include "service/turns.h"

enum {
        LOOK_MS = 5,
        LOOKS = 3 * TURNS_LINKS_US / 1000 / LOOK_MS, /* three turns and more */
};

typedef struct World {
        sd_event *event;
        Turns *turns;
        unsigned due, looks; /* to be taken, and taken */
        unsigned calls, calls_between; /* served; while looks were due and some had been taken */
        unsigned looks_before_call;    /* taken before the first call was served */
} World;

static void sleep_ms(unsigned ms) {
        const struct timespec time = { .tv_nsec = ms * 1000000L };

        (void) nanosleep(&time, NULL);
}

static bool on_look(void *userdata) {
        World *world = userdata;

        if (world->due == 0)
                return false;
        sleep_ms(LOOK_MS);
        world->due--;
        world->looks++;
        return true;
}

/* Somebody who calls without end. */
static int on_call(sd_event_source *source, void *userdata) {
        World *world = userdata;

        if (world->calls++ == 0)
                world->looks_before_call = world->looks;
        world->calls_between += world->due > 0 && world->looks > 0;
        return 0;
}

static int on_end(sd_event_source *source, void *userdata) {
        World *world = userdata;

        return world->due == 0 && world->calls > 0 ? sd_event_exit(world->event, 0) : 0;
}

static void begin(World *world, unsigned due) {
        *world = (World) { .due = due };
        assert(sd_event_new(&world->event) >= 0);
        assert(turns_new(&world->turns, world->event, on_look, world) >= 0);
        turns_due(world->turns);
}

/* Runs until all looks are taken, beside calls that come as given. */
static void run(World *world, int calls) {
        sd_event_source *source = NULL, *end = NULL;

        assert(sd_event_add_defer(world->event, &source, on_call, world) >= 0);
        assert(sd_event_source_set_enabled(source, calls) >= 0);
        assert(sd_event_add_post(world->event, &end, on_end, world) >= 0);
        assert(sd_event_source_set_priority(end, SD_EVENT_PRIORITY_IMPORTANT) >= 0);
        assert(sd_event_loop(world->event) == 0);
        sd_event_source_disable_unref(source);
        sd_event_source_disable_unref(end);
        turns_free(world->turns);
        sd_event_unref(world->event);
}

static void test_one(void) {
        World world;

        begin(&world, 1);
        run(&world, SD_EVENT_ON);
        assert(world.looks == 1);
        assert(world.looks_before_call == 1);
}

/* A call is served while most looks are still due. */
static void test_call_between(void) {
        World world;

        begin(&world, LOOKS);
        run(&world, SD_EVENT_ONESHOT);
        assert(world.looks == LOOKS);
        assert(world.calls_between == 1);
        assert(world.looks_before_call < LOOKS);
}

/* Calls without end do not keep the service from its links. */
static void test_calls_without_end(void) {
        World world;

        begin(&world, LOOKS);
        run(&world, SD_EVENT_ON);
        assert(world.looks == LOOKS);
        assert(world.calls_between > 1);
}

/* What comes due later comes first again. */
static void test_again(void) {
        World world;

        begin(&world, LOOKS);
        while (world.due > 0)
                assert(sd_event_run(world.event, 0) >= 0);
        assert(sd_event_run(world.event, 0) >= 0);
        world.looks = 0;
        world.due = 1;
        turns_due(world.turns);
        run(&world, SD_EVENT_ON);
        assert(world.looks_before_call == 1);
}

int main(void) {
        static const Test tests[] = {
                { "one look comes before calls", test_one },
                { "a call is served between many looks", test_call_between },
                { "calls without end let looks be taken", test_calls_without_end },
                { "what comes due later comes first again", test_again },
        };

        return run_tests(tests, ELEMENTS(tests));
}
