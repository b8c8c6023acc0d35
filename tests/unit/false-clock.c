/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See false-clock.h. */

#include <assert.h>
#include <stddef.h>

#include "false-clock.h"

struct FalseClock false_clock;

int sd_event_now(sd_event *event, clockid_t clock, uint64_t *usec) {
        assert(clock == CLOCK_MONOTONIC);
        *usec = false_clock.now_us;
        return 0;
}

int sd_event_add_time_relative(sd_event *event, sd_event_source **source, clockid_t clock, uint64_t usec,
                               uint64_t accuracy, sd_event_time_handler_t handler, void *userdata) {
        assert(clock == CLOCK_MONOTONIC && !false_clock.armed);
        false_clock.timer = (sd_event_source) { false_clock.now_us + usec, handler, userdata };
        false_clock.armed = true;
        *source = &false_clock.timer;
        return 0;
}

sd_event_source *sd_event_source_disable_unref(sd_event_source *source) {
        assert(!source || (source == &false_clock.timer && false_clock.armed));
        if (source)
                false_clock.armed = false;
        return NULL;
}

void false_clock_set(uint64_t now_us) {
        false_clock = (struct FalseClock) { .now_us = now_us };
}

void false_clock_pass(uint64_t usec) {
        const uint64_t then = false_clock.now_us + usec;

        while (false_clock.armed && false_clock.timer.due_us <= then) {
                false_clock.now_us = false_clock.timer.due_us;
                false_clock.timer.handler(&false_clock.timer, false_clock.now_us,
                                          false_clock.timer.userdata);
        }
        false_clock.now_us = then;
}
