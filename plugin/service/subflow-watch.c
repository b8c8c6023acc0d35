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
        MISSING_MAX = 64,
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
        uint32_t missing[MISSING_MAX]; /* tokens of connections that have lost a subflow, … */
        size_t missing_count;          /* … and not got it back */
        bool more_missing;    /* there are or were some that are not in the list */
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

static size_t find_missing(const SubflowWatch *watch, uint32_t connection) {
        size_t i = 0;

        while (i < watch->missing_count && watch->missing[i] != connection)
                i++;
        return i;
}

static void add_missing(SubflowWatch *watch, uint32_t connection) {
        if (find_missing(watch, connection) < watch->missing_count)
                return;
        if (connection == 0 || watch->missing_count == MISSING_MAX)
                watch->more_missing = true;
        else
                watch->missing[watch->missing_count++] = connection;
}

static void remove_missing(SubflowWatch *watch, uint32_t connection) {
        const size_t i = find_missing(watch, connection);

        if (i < watch->missing_count)
                watch->missing[i] = watch->missing[--watch->missing_count];
}

bool subflow_watch_misses(const SubflowWatch *watch) {
        return watch->missing_count > 0 || watch->more_missing;
}

void subflow_watch_proven(SubflowWatch *watch, uint32_t connection) {
        watch->proven = true;
        remove_missing(watch, connection);
}

/* Something may be missing: a look follows, if none does already. */
static void look_soon(SubflowWatch *watch, bool refused) {
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

void subflow_watch_lost(SubflowWatch *watch, uint32_t connection, bool refused) {
        if (!watch->proven)
                return;
        add_missing(watch, connection);
        look_soon(watch, refused);
}

void subflow_watch_freed(SubflowWatch *watch, uint32_t connection) {
        remove_missing(watch, connection);
        if (watch->held_up && watch->proven)
                look_soon(watch, false);
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
        if (look == SUBFLOWS_COMPLETE) {
                watch->missing_count = 0;
                watch->more_missing = false;
        }
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
                look_soon(watch, false);
                return;
        }
        watch->pause_us = longer_pause(watch);
        look_in(watch, watch->pause_us);
}
