/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See endpoint-watch.h. */

#include "base/hash.h"
#include "service/endpoint-watch.h"

enum { COMPARE_US = 1000 * 1000 };

struct EndpointWatch {
        MptcpPm *pm;
        EndpointsCompared compared;
        void *userdata;
        sd_event_source *timer;
        uint64_t fingerprint; /* of all endpoints, when they were last compared */
};

/* Of all endpoints. */
static uint64_t fingerprint(MptcpPm *pm) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        uint64_t hash = HASH_EMPTY;
        size_t count = 0;

        if (!pm || mptcp_pm_dump(pm, &endpoints, &count) < 0)
                return 0;
        for (size_t i = 0; i < count; i++) {
                const uint32_t words[] = { endpoints[i].address.word[0], endpoints[i].address.word[1],
                                           endpoints[i].address.word[2], endpoints[i].address.word[3],
                                           endpoints[i].ifindex, endpoints[i].flags };

                hash = hash_bytes(hash, words, sizeof(words));
        }
        return hash;
}

static int run_again(sd_event_source *timer) {
        int r = sd_event_source_set_time_relative(timer, COMPARE_US);

        return r < 0 ? r : sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static int on_compare(sd_event_source *timer, uint64_t usec, void *userdata) {
        EndpointWatch *watch = userdata;
        const uint64_t now = fingerprint(watch->pm);
        const bool changed = now != watch->fingerprint;

        watch->fingerprint = now;
        return watch->compared(changed, watch->userdata) ? run_again(timer) : 0;
}

int endpoint_watch_new(EndpointWatch **ret, sd_event *event, MptcpPm *pm, EndpointsCompared compared,
                       void *userdata) {
        _cleanup_(endpoint_watch_freep) EndpointWatch *watch = calloc(1, sizeof(*watch));
        int r;

        if (!watch)
                return -ENOMEM;
        watch->pm = pm;
        watch->compared = compared;
        watch->userdata = userdata;
        r = sd_event_add_time_relative(event, &watch->timer, CLOCK_MONOTONIC, COMPARE_US, 0, on_compare,
                                       watch);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(watch);
        return 0;
}

EndpointWatch *endpoint_watch_free(EndpointWatch *watch) {
        if (!watch)
                return NULL;
        sd_event_source_disable_unref(watch->timer);
        free(watch);
        return NULL;
}

void endpoint_watch_start(EndpointWatch *watch) {
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(watch->timer, &enabled);
        if (enabled == SD_EVENT_OFF)
                (void) run_again(watch->timer);
}
