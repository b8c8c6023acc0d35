/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See turns.h. */

#include "base/clock.h"
#include "service/turns.h"

enum {
        PRIORITY_LINKS = SD_EVENT_PRIORITY_NORMAL - 20,
        PRIORITY_BUS = SD_EVENT_PRIORITY_NORMAL + 10, /* of looks, when it is the bus's turn */
        ACCURACY_US = 1000,
};

struct Turns {
        sd_event_source *looks;
        sd_event_source *end;     /* of the bus's turn */
        TurnsLook look;
        void *userdata;
};

static int on_looks(sd_event_source *source, void *userdata) {
        const uint64_t begin_ns = clock_monotonic_ns();
        Turns *turns = userdata;
        bool more;

        do
                more = turns->look(turns->userdata);
        while (more && clock_monotonic_ns() - begin_ns < TURNS_LINKS_US * UINT64_C(1000));
        (void) sd_event_source_set_priority(source, more ? PRIORITY_BUS : PRIORITY_LINKS);
        if (!more)
                return sd_event_source_set_enabled(turns->end, SD_EVENT_OFF);
        /* The event loop's own time is that before the looks. */
        (void) sd_event_source_set_time(turns->end, clock_monotonic_ns() / 1000 + TURNS_BUS_US);
        (void) sd_event_source_set_enabled(turns->end, SD_EVENT_ONESHOT);
        turns_due(turns);
        return 0;
}

static int on_end(sd_event_source *source, uint64_t usec, void *userdata) {
        const Turns *turns = userdata;

        return sd_event_source_set_priority(turns->looks, PRIORITY_LINKS);
}

int turns_new(Turns **ret, sd_event *event, TurnsLook look, void *userdata) {
        _cleanup_(turns_freep) Turns *turns = calloc(1, sizeof(*turns));
        int r;

        if (!turns)
                return -ENOMEM;
        turns->look = look;
        turns->userdata = userdata;
        r = sd_event_add_defer(event, &turns->looks, on_looks, turns);
        if (r >= 0)
                r = sd_event_source_set_priority(turns->looks, PRIORITY_LINKS);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &turns->end, CLOCK_MONOTONIC, 0, ACCURACY_US, on_end,
                                               turns);
        if (r >= 0)
                r = sd_event_source_set_enabled(turns->end, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(turns->end, PRIORITY_LINKS);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(turns);
        return 0;
}

Turns *turns_free(Turns *turns) {
        if (!turns)
                return NULL;
        sd_event_source_disable_unref(turns->looks);
        sd_event_source_disable_unref(turns->end);
        free(turns);
        return NULL;
}

void turns_due(Turns *turns) {
        (void) sd_event_source_set_enabled(turns->looks, SD_EVENT_ONESHOT);
}
