/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The service's connection to the bus: made at start, made again whenever the bus has been away; tunnels do
 * not care.
 */

#include "base/log.h"
#include "service/manager.h"
#include "source/networkd.h"
#include "source/nm.h"

enum { BUS_RETRY_US = 300 * 1000 };

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *manager = userdata;
        int r;

        r = manager_bus_connect(manager);
        if (r >= 0) {
                log_info("The bus is back.");
                manager_mark_all(manager);
                return 0;
        }
        if (r == -EEXIST) {
                log_info("Another service has taken over meanwhile: leaving.");
                return sd_event_exit(manager->event, 0);
        }
        (void) sd_event_source_set_time_relative(source, BUS_RETRY_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void schedule_retry(Manager *manager) {
        if (manager->bus_retry) {
                (void) sd_event_source_set_time_relative(manager->bus_retry, BUS_RETRY_US);
                (void) sd_event_source_set_enabled(manager->bus_retry, SD_EVENT_ONESHOT);
                return;
        }
        (void) sd_event_add_time_relative(manager->event, &manager->bus_retry, CLOCK_MONOTONIC, BUS_RETRY_US,
                                          0, on_retry, manager);
}

/* NULL: the bus is gone. */
static int give_bus_to_sources(Manager *manager, sd_bus *bus) {
        int r;

        r = source_networkd_set_bus(manager->sources[SOURCE_NETWORKD], bus);
        return r < 0 ? r : source_nm_set_bus(manager->sources[SOURCE_NETWORK_MANAGER], bus);
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;

        log_warning("The bus has gone away: tunnels stay, waiting for it to come back.");
        (void) give_bus_to_sources(manager, NULL);
        for (Link *link = manager->links; link; link = link->next)
                link->exported = false;
        manager->bus = sd_bus_close_unref(manager->bus);
        schedule_retry(manager);
        return 0;
}

/* The host has slept, perhaps to wake up in another place, and no link need have noticed: what failed before
 * gets another try. */
static int on_prepare_for_sleep(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;
        int begins;

        if (sd_bus_message_read(message, "b", &begins) < 0 || begins)
                return 0;
        log_info("Resumed from sleep: looking at all links.");
        manager_mark_all(manager);
        return 0;
}

void manager_bus_retry(Manager *manager) {
        schedule_retry(manager);
}

static void bus_unrefp(sd_bus **bus) {
        sd_bus_close_unref(*bus);
}

static int open_bus(Manager *manager, sd_bus **ret) {
        if (manager->options.bus) {
                *ret = sd_bus_ref(manager->options.bus);
                return 0;
        }
        return sd_bus_open_system_with_description(ret, "underpassd");
}

int manager_bus_connect(Manager *manager) {
        _cleanup_(bus_unrefp) sd_bus *bus = NULL;
        int r;

        r = open_bus(manager, &bus);
        if (r < 0)
                return r;
        (void) sd_bus_set_exit_on_disconnect(bus, false);
        r = sd_bus_attach_event(bus, manager->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        manager->bus = bus;
        r = bus_manager_export(manager);
        if (r >= 0)
                r = bus_link_export(manager);
        if (r >= 0)
                r = sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                              "org.freedesktop.DBus.Local", "Disconnected", on_disconnected,
                                              NULL, manager);
        if (r >= 0)
                r = sd_bus_match_signal_async(bus, NULL, "org.freedesktop.login1", "/org/freedesktop/login1",
                                              "org.freedesktop.login1.Manager", "PrepareForSleep",
                                              on_prepare_for_sleep, NULL, manager);
        if (r >= 0)
                r = give_bus_to_sources(manager, bus);
        if (r >= 0 && !manager->options.bus)
                r = sd_bus_request_name(bus, BUS_NAME, 0);
        if (r < 0) {
                log_error("Cannot serve %s on the bus: %s.", BUS_NAME, strerror(-r));
                manager->bus = NULL;
                (void) give_bus_to_sources(manager, NULL);
                return r;
        }
        TAKE_PTR(bus); /* the manager has it now */
        for (Link *link = manager->links; link; link = link->next)
                if (link->facts)
                        bus_link_announce(link);
        return 0;
}
