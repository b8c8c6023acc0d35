/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus-watch.h. */

#include <systemd/sd-bus.h>

#include "base/clock.h"
#include "base/log.h"
#include "service/bus-flows.h"
#include "service/bus-watch.h"
#include "service/destination-states.h"

#define PATH "/org/underpass1"
#define INTERFACE "org.underpass1.Manager"

enum {
        SUBSCRIBERS_MAX = 64,
        APART_US = 1000 * 1000,  /* between two looks, and … */
        REST_FACTOR = 20,        /* … so many times what the last one took */
        CHANGES_MAX = 64,        /* of destinations, in one signal */
};

/* States of destinations, ascending. */
typedef struct Known {
        DestinationState *states;
        size_t count, room;
} Known;

struct BusWatch {
        Manager *manager;
        FlowList *flows;
        BusSubflows *subflows;
        sd_bus_track *subscribers; /* NULL: nobody has subscribed */
        sd_event_source *timer;
        Known known;
        bool looked;               /* known is what was told */
};

static void drop_known(Known *known) {
        free(known->states);
        *known = (Known) {};
}

void bus_watch_stop(BusWatch *watch) {
        bus_subflows_stop(watch->subflows);
        flow_list_unwatch(watch->flows);
        watch->timer = sd_event_source_disable_unref(watch->timer);
        watch->subscribers = sd_bus_track_unref(watch->subscribers);
        drop_known(&watch->known);
        watch->looked = false;
}

BusWatch *bus_watch_free(BusWatch *watch) {
        if (!watch)
                return NULL;
        if (watch->subflows)
                bus_watch_stop(watch);
        bus_subflows_free(watch->subflows);
        free(watch);
        return NULL;
}

int bus_watch_new(BusWatch **ret, Manager *manager, FlowList *flows, const BusLinks *links) {
        _cleanup_(bus_watch_freep) BusWatch *watch = calloc(1, sizeof(*watch));
        int r;

        if (!watch)
                return -ENOMEM;
        watch->manager = manager;
        watch->flows = flows;
        r = bus_subflows_new(&watch->subflows, manager, links);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(watch);
        return 0;
}

static int add_state(const DestinationState *state, void *userdata) {
        Known *known = userdata;

        if (ROOM_FOR_ONE(known->states, known->count, known->room) < 0)
                return -ENOMEM;
        known->states[known->count++] = *state;
        return 0;
}

static int compare_states(const void *a, const void *b) {
        const DestinationState *first = a, *second = b;
        int r = memcmp(&first->remote, &second->remote, sizeof(first->remote));

        if (r == 0 && first->ifindex != second->ifindex)
                r = first->ifindex < second->ifindex ? -1 : 1;
        if (r == 0 && first->remote_port != second->remote_port)
                r = first->remote_port < second->remote_port ? -1 : 1;
        return r != 0 ? r : strcmp(first->name, second->name);
}

/* A signal of the manager, opened for its array. */
static int begin_signal(BusWatch *watch, const char *member, const char *element, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        int r;

        r = sd_bus_message_new_signal(sd_bus_track_get_bus(watch->subscribers), &signal, PATH, INTERFACE,
                                      member);
        if (r >= 0)
                r = sd_bus_message_open_container(signal, 'a', element);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(signal);
        return 0;
}

static int append_change(sd_bus_message *signal, const FlowChange *change) {
        char local_text[INET6_ADDRSTRLEN], remote_text[INET6_ADDRSTRLEN];
        Address local, remote;

        memcpy(local.word, change->key.local, sizeof(local.word));
        memcpy(remote.word, change->key.remote, sizeof(remote.word));
        return sd_bus_message_append(signal, "(usqsqbss)", change->ifindex, address_text(&local, local_text),
                                     ntohs(change->key.local_port), address_text(&remote, remote_text),
                                     ntohs(change->key.remote_port), change->opened_here,
                                     bus_flows_state_name(change->before),
                                     bus_flows_state_name(change->now));
}

static int tell_flows(BusWatch *watch) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        FlowChanges changes;
        int r;

        r = flow_list_watch(watch->flows, &changes);
        if (r < 0 || changes.count == 0)
                return r;
        r = begin_signal(watch, "FlowsChanged", BUS_FLOW_CHANGES + 1, &signal);
        for (size_t i = 0; r >= 0 && i < changes.count; i++)
                r = append_change(signal, &changes.changes[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(signal);
        if (r >= 0)
                r = sd_bus_message_append(signal, "u", (uint32_t) changes.more);
        return r < 0 ? r : sd_bus_send(NULL, signal, NULL);
}

/* What is news in one list of states against the other one. seconds: what is told of it; negative: its
 * own. */
static int append_news(sd_bus_message *signal, const Known *of, const Known *against, int64_t seconds,
                       size_t *count) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < of->count && *count < CHANGES_MAX; i++) {
                const DestinationState *state = &of->states[i];
                char remote[INET6_ADDRSTRLEN];

                if (against->count > 0 && bsearch(state, against->states, against->count, sizeof(*state),
                                                  compare_states))
                        continue;
                r = sd_bus_message_append(signal, BUS_DESTINATION_CHANGES + 1, state->ifindex,
                                          address_text(&state->remote, remote), ntohs(state->remote_port),
                                          state->name, seconds < 0 ? state->seconds : (uint32_t) seconds);
                (*count)++;
        }
        return r < 0 ? r : 0;
}

/* What was known goes to *known. */
static int tell_destinations(BusWatch *watch, Known *known) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
        Known before = watch->known;
        size_t count = 0;
        int r;

        r = destination_states(watch->manager, add_state, known);
        if (r < 0)
                return r;
        if (known->count > 0)
                qsort(known->states, known->count, sizeof(*known->states), compare_states);
        if (watch->looked) {
                r = begin_signal(watch, "DestinationsChanged", BUS_DESTINATION_CHANGES + 1, &signal);
                if (r >= 0)
                        r = append_news(signal, known, &before, -1, &count);
                if (r >= 0)
                        r = append_news(signal, &before, known, 0, &count);
                if (r >= 0)
                        r = sd_bus_message_close_container(signal);
                if (r >= 0 && count > 0)
                        r = sd_bus_send(NULL, signal, NULL);
        }
        watch->known = *known;
        *known = before;
        watch->looked = true;
        return r;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        const uint64_t begin_us = clock_monotonic_ns() / 1000;
        BusWatch *watch = userdata;
        Known known = {};
        uint64_t took_us;
        int r;

        if (sd_bus_track_count(watch->subscribers) == 0) {
                bus_watch_stop(watch);
                return 0;
        }
        manager_reset_idle(watch->manager);
        r = tell_flows(watch);
        if (r >= 0)
                r = tell_destinations(watch, &known);
        drop_known(&known);
        if (r < 0)
                log_debug("Cannot tell what has changed: %s.", strerror(-r));
        took_us = clock_monotonic_ns() / 1000 - begin_us;
        (void) sd_event_source_set_time_relative(source, MAX_OF(took_us * REST_FACTOR, (uint64_t) APART_US));
        (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

int bus_watch_subscribe(BusWatch *watch, sd_bus_message *message) {
        int r = 0;

        if (!watch->subscribers)
                r = sd_bus_track_new(sd_bus_message_get_bus(message), &watch->subscribers, NULL, NULL);
        if (r >= 0 && sd_bus_track_count(watch->subscribers) >= SUBSCRIBERS_MAX &&
            !sd_bus_track_contains(watch->subscribers, sd_bus_message_get_sender(message)))
                return -EUSERS;
        if (r >= 0)
                r = sd_bus_track_add_sender(watch->subscribers, message);
        if (r < 0 || watch->timer)
                return r;
        bus_subflows_start(watch->subflows, sd_bus_message_get_bus(message));
        return sd_event_add_time_relative(manager_event(watch->manager), &watch->timer, CLOCK_MONOTONIC, 0,
                                          0, on_timer, watch);
}
