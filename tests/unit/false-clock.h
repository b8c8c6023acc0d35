/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The event loop of modules that have one timer each, on a clock that only the test moves: in place of
 * libsystemd's. */

#include <stdbool.h>
#include <systemd/sd-event.h>

/* The only timer there is, and what runs when it is due. */
struct sd_event_source {
        uint64_t due_us;
        sd_event_time_handler_t handler;
        void *userdata;
};

extern struct FalseClock {
        uint64_t now_us;
        sd_event_source timer;
        bool armed;
} false_clock;

/* A new clock without timer. */
void false_clock_set(uint64_t now_us);

/* Time goes by, and the timer runs whenever it is due. */
void false_clock_pass(uint64_t usec);
