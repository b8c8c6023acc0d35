/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See subflow-watch.h. */

#include "service/subflow-watch.h"

enum {
        FIRST_LOOKS = 3,
        FIRST_US = 700 * 1000,
        PAUSE_US = 1000 * 1000,
        PAUSE_LONG_US = 16 * 1000 * 1000, /* the kernel repeats a SYN after 1, 2, 4 and 8 s */
        PAUSE_MAX_US = 60 * 1000 * 1000,
        PAUSE_SHARE = 32,
};

struct SubflowWatch {
        sd_event *event;
        sd_event_source *timer;
        unsigned first_looks; /* that are left of those after an activation */
        uint64_t pause_us;    /* before the next look; 0: nothing is missing */
        uint64_t lost_us;     /* when something began to be missing, monotonic */
        bool silent;          /* the attempt before the latest one has not been answered */
        bool refused;         /* the latest one has been answered, and still failed */
        bool proven;          /* a subflow of this link has been seen */
        bool held_up;         /* the latest look found endpoints that are in use */
        void (*due)(void *userdata);
        void *userdata;
};

int subflow_watch_new(SubflowWatch **ret, sd_event *event, void (*due)(void *userdata), void *userdata) {
        SubflowWatch *watch = calloc(1, sizeof(*watch));

        if (!watch)
                return -ENOMEM;
        *watch = (SubflowWatch) { .event = event, .due = due, .userdata = userdata };
        *ret = watch;
        return 0;
}

SubflowWatch *subflow_watch_free(SubflowWatch *watch) {
        if (!watch)
                return NULL;
        sd_event_source_disable_unref(watch->timer);
        free(watch);
        return NULL;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        SubflowWatch *watch = userdata;

        watch->timer = sd_event_source_disable_unref(watch->timer);
        watch->due(watch->userdata);
        return 0;
}

static void look_in(SubflowWatch *watch, uint64_t usec) {
        watch->timer = sd_event_source_disable_unref(watch->timer);
        (void) sd_event_add_time_relative(watch->event, &watch->timer, CLOCK_MONOTONIC, usec, 0, on_timer,
                                          watch);
}

void subflow_watch_begin(SubflowWatch *watch) {
        watch->first_looks = FIRST_LOOKS;
        watch->pause_us = 0;
        watch->held_up = false;
        look_in(watch, FIRST_US);
}

void subflow_watch_proven(SubflowWatch *watch) {
        watch->proven = true;
}

void subflow_watch_lost(SubflowWatch *watch, bool refused) {
        if (!watch->proven)
                return;
        if (!watch->timer) {
                (void) sd_event_now(watch->event, CLOCK_MONOTONIC, &watch->lost_us);
                watch->pause_us = PAUSE_US;
                look_in(watch, PAUSE_US);
                return;
        }
        /* The first answer after silence: the path is there again, and what took the silence for a reason to
         * leave the tunnel does not any more. Whoever refuses each attempt does not hurry the next one. */
        if (refused && watch->silent)
                subflow_watch_hurry(watch);
        watch->refused |= refused;
}

void subflow_watch_freed(SubflowWatch *watch) {
        if (watch->held_up)
                subflow_watch_lost(watch, false);
}

void subflow_watch_hurry(SubflowWatch *watch) {
        if (watch->pause_us == 0 || !watch->timer)
                return;
        watch->silent = false;
        watch->pause_us = PAUSE_US;
        look_in(watch, PAUSE_US);
}

static uint64_t longer_pause(const SubflowWatch *watch) {
        uint64_t now = watch->lost_us, limit;

        (void) sd_event_now(watch->event, CLOCK_MONOTONIC, &now);
        limit = MAX_OF((now - watch->lost_us) / PAUSE_SHARE, (uint64_t) PAUSE_LONG_US);
        limit = MIN_OF(limit, (uint64_t) PAUSE_MAX_US);
        return MIN_OF(watch->pause_us * 2, limit);
}

void subflow_watch_looked(SubflowWatch *watch, SubflowLook look) {
        watch->held_up = look == SUBFLOWS_IN_USE;
        if (watch->first_looks > 0 && --watch->first_looks > 0) {
                look_in(watch, FIRST_US);
                return;
        }
        if (look != SUBFLOWS_RETRIED) {
                watch->pause_us = 0;
                return;
        }
        if (!watch->proven)
                return;
        watch->silent = !watch->refused;
        watch->refused = false;
        if (watch->pause_us == 0) {
                subflow_watch_lost(watch, false);
                return;
        }
        watch->pause_us = longer_pause(watch);
        look_in(watch, watch->pause_us);
}
