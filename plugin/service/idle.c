/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See idle.h. */

#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/log.h"
#include "service/idle.h"

enum { LEAVE_US = 100 * 1000 };

struct Idle {
        Manager *manager;
        Bus *bus;
        uint64_t after_us;
        sd_event_source *timer;
        bool leaving;   /* the name is given back, and the service ends soon */
};

static int run_again(sd_event_source *timer, uint64_t delay_us) {
        int r = sd_event_source_set_time_relative(timer, delay_us);

        return r < 0 ? r : sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

/* The name is given back and systemd has been told, so there is no way back. What came in before that is
 * done; when it is a reason to stay, the next service stays for it. */
static int leave(Idle *idle) {
        if (manager_is_busy(idle->manager) || bus_is_busy(idle->bus))
                return run_again(idle->timer, LEAVE_US);
        if (manager_is_needed(idle->manager))
                bus_start_successor(idle->bus);
        return sd_event_exit(manager_event(idle->manager), 0);
}

static int on_timer(sd_event_source *timer, uint64_t usec, void *userdata) {
        Idle *idle = userdata;
        uint64_t quiet;

        if (idle->leaving)
                return leave(idle);
        if (manager_is_needed(idle->manager) || bus_is_busy(idle->bus))
                manager_reset_idle(idle->manager);
        quiet = clock_monotonic_ns() / 1000 - manager_last_work_us(idle->manager);
        if (quiet < idle->after_us)
                return run_again(timer, idle->after_us - quiet + 1000);

        /* First the bus lets the name go, then we leave: a call that comes in between starts the next
         * service. */
        log_info("Nothing to do: leaving.");
        idle->leaving = true;
        sd_notify(false, "STOPPING=1");
        if (bus_release_name(idle->bus) < 0)
                return sd_event_exit(manager_event(idle->manager), 0);
        return run_again(timer, LEAVE_US);
}

int idle_new(Idle **ret, Manager *manager, Bus *bus, uint64_t after_us) {
        _cleanup_(idle_freep) Idle *idle = calloc(1, sizeof(*idle));
        int r = 0;

        if (!idle)
                return -ENOMEM;
        *idle = (Idle) { .manager = manager, .bus = bus, .after_us = after_us };
        if (after_us > 0)
                r = sd_event_add_time_relative(manager_event(manager), &idle->timer, CLOCK_MONOTONIC,
                                               after_us, 0, on_timer, idle);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(idle);
        return 0;
}

Idle *idle_free(Idle *idle) {
        if (!idle)
                return NULL;
        sd_event_source_disable_unref(idle->timer);
        free(idle);
        return NULL;
}
