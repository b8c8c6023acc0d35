/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A module of the kernel that systemd is asked for: it comes, it does not, or systemd is not there. The bus
 * and the clock are in this file, or moved by it. May touch: nothing.
 */

#include "unit.h"

#include "false-clock.h"
#include "service/module-load.h"

enum { SECOND = 1000 * 1000 };

static struct {
        sd_bus_message_handler_t on_answer;
        void *answer_userdata;
        unsigned asked;
        int broken;             /* what the call fails with */
        bool refused;           /* the answer is an error */
        bool there;
        unsigned settled;
        bool awaited_then;
} world;

static int no_bus, no_slot, no_message;
static ModuleLoad *load;

/* ---- twins */

int sd_bus_call_method_async(sd_bus *bus, sd_bus_slot **slot, const char *destination, const char *path,
                             const char *interface, const char *member, sd_bus_message_handler_t handler,
                             void *userdata, const char *types, ...) {
        assert(streq(member, "StartUnit"));
        if (world.broken)
                return world.broken;
        world.asked++;
        world.on_answer = handler;
        world.answer_userdata = userdata;
        *slot = (sd_bus_slot *) &no_slot;
        return 0;
}

int sd_bus_message_is_method_error(sd_bus_message *message, const char *name) {
        return world.refused;
}

sd_bus_slot *sd_bus_slot_unref(sd_bus_slot *slot) {
        return NULL;
}

int sd_event_source_set_time_relative(sd_event_source *source, uint64_t usec) {
        source->due_us = false_clock.now_us + usec;
        return 0;
}

/* A timer that has run and is not set again never runs. */
int sd_event_source_set_enabled(sd_event_source *source, int enabled) {
        assert(enabled == SD_EVENT_ONESHOT && source->due_us > false_clock.now_us);
        return 0;
}

/* ---- the story */

static bool is_there(void *userdata) {
        assert(userdata == &world);
        return world.there;
}

static void on_settled(void *userdata) {
        assert(userdata == &world);
        world.settled++;
        world.awaited_then = module_load_is_awaited(load);
        if (false_clock.armed)
                false_clock.timer.due_us = UINT64_MAX;
}

static void begin(void) {
        memset(&world, 0, sizeof(world));
        false_clock_set(SECOND);
        assert(module_load_new(&load, NULL, "modprobe@fou.service", is_there, on_settled, &world) == 0);
        module_load_ask(load, NULL);
        assert(!world.asked && !module_load_is_awaited(load));
        module_load_ask(load, (sd_bus *) &no_bus);
        module_load_ask(load, (sd_bus *) &no_bus);
        assert(world.asked == 1 && module_load_is_awaited(load) && world.settled == 0);
}

static void answer(bool refused) {
        world.refused = refused;
        assert(world.on_answer((sd_bus_message *) &no_message, world.answer_userdata, NULL) == 0);
}

/* Nobody asks again for what has come, or is not there. */
static void end(void) {
        assert(world.settled == 1 && !world.awaited_then && !module_load_is_awaited(load));
        false_clock_pass(600 * SECOND);
        assert(world.settled == 1);
        module_load_ask(load, (sd_bus *) &no_bus);
        assert(world.asked == 1);
        load = module_load_free(load);
}

static void it_comes_a_moment_later(void) {
        begin();
        answer(false);
        assert(module_load_is_awaited(load) && world.settled == 0);
        world.there = true;
        false_clock_pass(SECOND);
        end();
}

/* For now; links that look again at once do not ask without end. */
static void nobody_can_load_it(void) {
        begin();
        answer(true);
        for (unsigned i = 1; i < 4; i++) {
                assert(world.settled == i && !world.awaited_then && !module_load_is_awaited(load));
                module_load_ask(load, (sd_bus *) &no_bus);
                false_clock_pass(59 * SECOND);
                module_load_ask(load, (sd_bus *) &no_bus);
                assert(world.asked == i && world.settled == i);
                false_clock_pass(SECOND);
                module_load_ask(load, (sd_bus *) &no_bus);
                assert(world.asked == i + 1 && module_load_is_awaited(load));
                answer(true);
        }
        false_clock_pass(60 * SECOND);
        module_load_ask(load, (sd_bus *) &no_bus);
        world.settled = 0;
        world.asked = 1;
        answer(false);
        world.there = true;
        false_clock_pass(SECOND);
        end();
}

static void the_bus_is_gone(void) {
        assert(module_load_new(&load, NULL, "modprobe@fou.service", is_there, on_settled, &world) == 0);
        memset(&world, 0, sizeof(world));
        false_clock_set(SECOND);
        world.broken = -ENOTCONN;
        module_load_ask(load, (sd_bus *) &no_bus);
        assert(!module_load_is_awaited(load) && world.settled == 0);
        world.broken = 0;
        module_load_ask(load, (sd_bus *) &no_bus);
        assert(world.asked == 1 && module_load_is_awaited(load));
        answer(false);
        world.there = true;
        false_clock_pass(SECOND);
        end();
}

static void there_is_no_such_module(void) {
        begin();
        answer(false);
        assert(module_load_is_awaited(load));
        false_clock_pass(60 * SECOND);
        end();
}

int main(void) {
        static const Test tests[] = {
                { "it comes a moment later", it_comes_a_moment_later },
                { "nobody can load it", nobody_can_load_it },
                { "the bus is gone", the_bus_is_gone },
                { "there is no such module", there_is_no_such_module },
        };

        return run_tests(tests, ELEMENTS(tests));
}
