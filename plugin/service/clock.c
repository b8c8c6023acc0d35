/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the service does by the clock: looks whether MPTCP endpoints have changed, and leaves when there is
 * nothing to do.
 */

#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/log.h"
#include "service/manager.h"

enum {
        ENDPOINT_POLL_US = 1000 * 1000,
        LEAVE_US = 100 * 1000,
};

static uint64_t now_us(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

void manager_reset_idle(Manager *manager) {
        manager->last_work_us = now_us();
}

/* Lets a timer fire once more. */
static int again(sd_event_source *source, uint64_t delay_us) {
        int r = sd_event_source_set_time_relative(source, delay_us);

        return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* FNV-1a over all endpoints: tells whether anything has changed. */
static uint64_t endpoints_fingerprint(Manager *manager) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        uint64_t hash = 0xcbf29ce484222325ULL;
        size_t count = 0;

        if (!manager->mptcp_pm || mptcp_pm_dump(manager->mptcp_pm, &endpoints, &count) < 0)
                return 0;
        for (size_t i = 0; i < count; i++) {
                const uint32_t words[] = { endpoints[i].address.word[0], endpoints[i].address.word[1],
                                           endpoints[i].address.word[2], endpoints[i].address.word[3],
                                           endpoints[i].ifindex, endpoints[i].flags };

                for (size_t word = 0; word < ELEMENTS(words); word++)
                        hash = (hash ^ words[word]) * 0x100000001b3ULL;
        }
        return hash;
}

static bool depends_on_endpoints(const Link *link) {
        return link->profile && link->profile->settings.tunnel == TUNNEL_AUTO && !link->held_off;
}

/* The kernel announces no endpoints, so while a link depends on them they are compared now and then. */
static int on_poll(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *manager = userdata;
        uint64_t fingerprint = endpoints_fingerprint(manager);
        bool depends = false;

        for (Link *link = manager->links; link; link = link->next) {
                depends |= depends_on_endpoints(link);
                if (depends_on_endpoints(link) && fingerprint != manager->endpoints_fingerprint)
                        manager_mark(manager, link->ifindex);
        }
        manager->endpoints_fingerprint = fingerprint;
        return depends ? again(source, ENDPOINT_POLL_US) : 0;
}

void manager_watch_endpoints(Manager *manager) {
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(manager->poll_event, &enabled);
        if (enabled == SD_EVENT_OFF)
                (void) again(manager->poll_event, ENDPOINT_POLL_US);
}

/* Whether there is a reason to stay: a link with a tunnel or one that waits for it, or a profile that a
 * later link may match. */
static bool is_needed(Manager *manager) {
        for (Link *link = manager->links; link; link = link->next)
                if (link->dirty || link->asking > 0 || link->applied.attached ||
                    link->state == LINK_FAILED ||
                    (link->profile && link->profile->settings.tunnel != TUNNEL_NO))
                        return true;
        if (manager_sctp_busy(manager))
                return true;
        for (size_t i = 0; i < _MANAGER_SOURCE_MAX; i++)
                if (manager->sources[i]->ops->standing &&
                    manager->sources[i]->ops->standing(manager->sources[i]))
                        return true;
        return false;
}

/* The name is given back and systemd has been told, so there is no way back. What came in before that is
 * done; when it is a reason to stay, the next service stays for it. */
static int on_leaving(Manager *manager, sd_event_source *source) {
        for (Link *link = manager->links; link; link = link->next)
                if (link->dirty || link->asking > 0)
                        return again(source, LEAVE_US);
        if (is_needed(manager) && manager->bus)
                (void) sd_bus_call_method_async(manager->bus, NULL, "org.freedesktop.DBus",
                                                "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                                "StartServiceByName", NULL, NULL, "su", BUS_NAME, 0);
        return sd_event_exit(manager->event, 0);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *manager = userdata;
        uint64_t quiet;

        if (manager->leaving)
                return on_leaving(manager, source);
        if (is_needed(manager))
                manager_reset_idle(manager);
        quiet = now_us() - manager->last_work_us;
        if (quiet < manager->options.idle_us)
                return again(source, manager->options.idle_us - quiet + 1000);

        /* First the bus lets the name go, then we leave: a call that comes in between starts the next
         * service. */
        log_info("Nothing to do: leaving.");
        manager->leaving = true;
        sd_notify(false, "STOPPING=1");
        if (!manager->bus || sd_bus_release_name(manager->bus, BUS_NAME) < 0)
                return sd_event_exit(manager->event, 0);
        return again(source, LEAVE_US);
}

int manager_add_timers(Manager *manager) {
        int r;

        r = sd_event_add_time_relative(manager->event, &manager->poll_event, CLOCK_MONOTONIC,
                                       ENDPOINT_POLL_US, 0, on_poll, manager);
        if (r < 0 || manager->options.idle_us == 0)
                return r;
        return sd_event_add_time_relative(manager->event, &manager->idle_event, CLOCK_MONOTONIC,
                                          manager->options.idle_us, 0, on_idle, manager);
}
