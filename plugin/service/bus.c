/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus.h. */

#include "base/log.h"
#include "service/authority.h"
#include "service/bus-link.h"
#include "service/bus-manager.h"
#include "service/bus-pace.h"
#include "service/bus.h"
#include "source/bus-owner.h"

#define LOCAL_NAME "org.freedesktop.DBus.Local"
#define LOGIND_NAME "org.freedesktop.login1"
#define SYSTEM_BUS "unix:path=/run/dbus/system_bus_socket"

enum {
        RETRY_US = 300 * 1000,
        HEAR_MAX = 256,       /* messages that are read before the first look, … */
        HEAR_US = 500 * 1000, /* … which waits so long at most for a bus that does not say who has called */
};

struct Bus {
        Manager *manager;
        sd_bus *connection;        /* NULL: there is none now */
        sd_event_source *retry;
        BusOwner logind;
        Authority *authority;
        BusPace *pace;
        BusManager self;
        Told told;                 /* what self tells its callers */
};

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata);

static void schedule_retry(Bus *bus) {
        if (bus->retry) {
                (void) sd_event_source_set_time_relative(bus->retry, RETRY_US);
                (void) sd_event_source_set_enabled(bus->retry, SD_EVENT_ONESHOT);
                return;
        }
        (void) sd_event_add_time_relative(manager_event(bus->manager), &bus->retry, CLOCK_MONOTONIC,
                                          RETRY_US, 0, on_retry, bus);
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;

        /* The library says this itself; from the bus it would be somebody's forgery. */
        if (!bus_message_is_from(message, LOCAL_NAME))
                return 0;
        log_warning("The bus has gone away: tunnels stay, waiting for it to come back.");
        (void) manager_set_bus(bus->manager, NULL);
        (void) bus_links_set_bus(bus->self.links, NULL);
        (void) authority_set_bus(bus->authority, NULL);
        (void) bus_pace_set_bus(bus->pace, NULL);
        bus_watch_stop(bus->self.watch);
        probing_set_bus(bus->self.probing, NULL);
        bus_owner_stop(&bus->logind);
        bus->connection = sd_bus_close_unref(bus->connection);
        schedule_retry(bus);
        return 0;
}

/* The host has slept, perhaps to wake up in another place, and no link need have noticed: what failed
 * before gets another try. */
static int on_prepare_for_sleep(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;
        int begins;

        if (!bus_message_is_from(message, bus->logind.unique) ||
            sd_bus_message_read(message, "b", &begins) < 0 || begins)
                return 0;
        log_info("Resumed from sleep: looking at all links.");
        manager_insist_all(bus->manager);
        return 0;
}

static void close_unrefp(sd_bus **connection) {
        sd_bus_close_unref(*connection);
}

/* Everything that has to be there before others may call. */
static int set_up(Bus *bus, sd_bus *connection) {
        int r;

        (void) sd_bus_set_exit_on_disconnect(connection, false);
        /* At the end of the loop there are still calls to answer; bus_free() closes it. */
        (void) sd_bus_set_close_on_exit(connection, false);
        r = sd_bus_attach_event(connection, manager_event(bus->manager), SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = authority_set_bus(bus->authority, connection);
        if (r >= 0)
                r = bus_manager_export(&bus->self, connection);
        if (r >= 0)
                r = bus_pace_set_bus(bus->pace, connection);
        if (r >= 0)
                r = bus_links_set_bus(bus->self.links, connection);
        if (r >= 0)
                r = sd_bus_match_signal_async(connection, NULL, LOCAL_NAME, NULL, LOCAL_NAME, "Disconnected",
                                              on_disconnected, NULL, bus);
        if (r >= 0)
                r = sd_bus_match_signal_async(connection, NULL, LOGIND_NAME, "/org/freedesktop/login1",
                                              LOGIND_NAME ".Manager", "PrepareForSleep",
                                              on_prepare_for_sleep, NULL, bus);
        if (r >= 0)
                r = bus_owner_watch(&bus->logind, connection, LOGIND_NAME);
        if (r >= 0)
                r = manager_set_bus(bus->manager, connection);
        return r < 0 ? r : sd_bus_request_name(connection, BUS_NAME, 0);
}

/* As sd_bus_open_system(), but descriptors are not taken: no call has any, and calls that are kept for a
 * while would hold them open. */
static int open_bus(sd_bus **ret) {
        _cleanup_(close_unrefp) sd_bus *connection = NULL;
        int r;

        r = sd_bus_new(&connection);
        if (r >= 0)
                r = sd_bus_set_description(connection, "underpassd");
        if (r >= 0)
                r = sd_bus_set_address(connection, secure_getenv("DBUS_SYSTEM_BUS_ADDRESS") ?: SYSTEM_BUS);
        if (r >= 0)
                r = sd_bus_set_bus_client(connection, true);
        if (r >= 0)
                r = sd_bus_negotiate_fds(connection, false);
        if (r >= 0)
                r = sd_bus_start(connection);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(connection);
        return 0;
}

static int connect_bus(Bus *bus) {
        _cleanup_(close_unrefp) sd_bus *connection = NULL;
        int r;

        r = open_bus(&connection);
        if (r < 0)
                return r;
        r = set_up(bus, connection);
        if (r < 0) {
                log_error("Cannot serve %s on the bus: %s.", BUS_NAME, strerror(-r));
                bus_owner_stop(&bus->logind);
                (void) bus_links_set_bus(bus->self.links, NULL);
                (void) authority_set_bus(bus->authority, NULL);
                (void) bus_pace_set_bus(bus->pace, NULL);
                (void) manager_set_bus(bus->manager, NULL);
                return r;
        }
        bus->connection = TAKE_PTR(connection);
        probing_set_bus(bus->self.probing, bus->connection);
        bus_links_announce(bus->self.links);
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Bus *bus = userdata;
        int r;

        r = connect_bus(bus);
        if (r >= 0) {
                log_info("The bus is back.");
                manager_insist_all(bus->manager);
                return 0;
        }
        if (r == -EEXIST) {
                log_info("Another service has taken over meanwhile: leaving.");
                return sd_event_exit(manager_event(bus->manager), 0);
        }
        schedule_retry(bus);
        return 0;
}

static void on_report(ManagerReport what, Link *link, void *userdata) {
        Bus *bus = userdata;

        switch (what) {
        case MANAGER_LINK_ADDED:
                (void) bus_links_add(bus->self.links, link);
                return;
        case MANAGER_LINK_CHANGED:
                probing_follow(bus->self.probing);
                bus_links_change(bus->self.links, link);
                return;
        case MANAGER_LINK_REMOVED:
                bus_links_remove(bus->self.links, link);
                return;
        case MANAGER_BPF_CHANGED:
                if (bus->connection)
                        bus_manager_announce_bpf(bus->connection);
                return;
        }
}

int bus_new(Bus **ret, Manager *manager) {
        _cleanup_(bus_freep) Bus *bus = calloc(1, sizeof(*bus));
        int r;

        if (!bus)
                return -ENOMEM;
        bus->manager = manager;
        bus->self.manager = manager;
        bus->self.told = &bus->told;
        r = bus_links_new(&bus->self.links, manager);
        if (r >= 0)
                r = authority_new(&bus->authority, &bus->told);
        if (r >= 0)
                r = bus_pace_new(&bus->pace, manager_event(manager), bus->authority);
        if (r >= 0)
                r = flow_list_new(&bus->self.flows, manager_event(manager), manager_tunnel(manager));
        if (r >= 0)
                r = bus_watch_new(&bus->self.watch, manager, bus->self.flows, bus->self.links);
        if (r >= 0)
                r = probing_new(&bus->self.probing, manager, &bus->told);
        if (r < 0)
                return r;
        manager_set_handler(manager, on_report, bus);
        *ret = TAKE_PTR(bus);
        return 0;
}

Bus *bus_free(Bus *bus) {
        if (!bus)
                return NULL;
        manager_set_handler(bus->manager, NULL, NULL);
        sd_event_source_disable_unref(bus->retry);
        if (bus->connection)
                (void) manager_set_bus(bus->manager, NULL);
        bus_owner_stop(&bus->logind);
        authority_free(bus->authority);
        bus_pace_free(bus->pace);
        if (bus->self.watch)
                bus_watch_stop(bus->self.watch);
        probing_free(bus->self.probing);
        sd_bus_flush_close_unref(bus->connection);
        bus_watch_free(bus->self.watch);
        bus_links_free(bus->self.links);
        flow_list_free(bus->self.flows);
        told_done(&bus->told);
        free(bus);
        return NULL;
}

int bus_start(Bus *bus) {
        int r = connect_bus(bus);

        if (r != -ENOENT && r != -ECONNREFUSED)
                return r;
        log_warning("No bus yet (%s): trying again until it is there.", strerror(-r));
        schedule_retry(bus);
        return 0;
}

void bus_hear(Bus *bus) {
        unsigned heard = 0;

        while (bus->connection && heard < HEAR_MAX) {
                int r = sd_bus_process(bus->connection, NULL);

                if (r > 0)
                        heard++;
                else if (r == 0)
                        r = authority_is_identifying(bus->authority) ?
                                    sd_bus_wait(bus->connection, HEAR_US) :
                                    0;
                if (r <= 0)
                        return;
        }
}

bool bus_is_busy(const Bus *bus) {
        return authority_is_asking(bus->authority) || bus_pace_is_keeping(bus->pace) ||
               probing_is_busy(bus->self.probing);
}

int bus_release_name(Bus *bus) {
        authority_close(bus->authority);
        return bus->connection ? sd_bus_release_name(bus->connection, BUS_NAME) : -ENOTCONN;
}

void bus_start_successor(Bus *bus) {
        if (bus->connection)
                (void) sd_bus_call_method_async(bus->connection, NULL, "org.freedesktop.DBus",
                                                "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                                "StartServiceByName", NULL, NULL, "su", BUS_NAME, 0);
}
