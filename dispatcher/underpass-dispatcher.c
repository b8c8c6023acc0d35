/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Dispatcher script of NetworkManager and of networkd-dispatcher: tells the service that something happened
 * to a link.
 *
 * It reads its arguments and environment and makes one call of org.underpass1.Manager.Dispatch. It never
 * calls NetworkManager, which may be waiting for this script.
 *
 * NetworkManager runs its dispatcher scripts one after the other and waits for those of pre-up. So this
 * program is limited in time, and exits with 0 even when it could not deliver: the service also listens to
 * rtnetlink, so a lost event only costs a moment.
 */

#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <systemd/sd-bus.h>

#include "base/clock.h"
#include "base/util.h"

#define TIME_LIMIT_USEC UINT64_C(800000)
#define LAST_RESORT_USEC UINT64_C(900000)

enum {
        EXIT_USAGE = 2,
};

typedef enum Delivery {
        DELIVER_AND_WAIT, /* starts the service if need be, and waits for its answer */
        DELIVER,          /* starts the service if need be */
        DELIVER_IF_UP,    /* a service that is not running has nothing to take down */
} Delivery;

typedef struct Event {
        const char *name;     /* as the dispatcher says it */
        const char *action;   /* as org.underpass1.Manager.Dispatch takes it */
        Delivery delivery;
} Event;

/* Actions of NetworkManager that matter to a tunnel; all others are ignored. */
static const Event nm_events[] = {
        { "pre-up", "pre-up", DELIVER_AND_WAIT },
        { "up", "up", DELIVER },
        { "reapply", "reapply", DELIVER },
        { "dhcp4-change", "dhcp4-change", DELIVER },
        { "dhcp6-change", "dhcp6-change", DELIVER },
        { "pre-down", "pre-down", DELIVER_IF_UP },
        { "down", "down", DELIVER_IF_UP },
};

/* Operational states of networkd (networkctl(1)). They are about a link, not about a profile that goes up or
 * down. */
static const Event networkd_events[] = {
        { "off", "changed", DELIVER_IF_UP },
        { "no-carrier", "changed", DELIVER_IF_UP },
        { "carrier", "changed", DELIVER },
        { "degraded-carrier", "changed", DELIVER },
        { "degraded", "changed", DELIVER },
        { "routable", "changed", DELIVER },
};

typedef struct Request {
        const Event *event;
        const char *interface;
        const char *uuid;
} Request;

typedef struct Reply {
        bool arrived;
        bool failed;    /* the error has been printed */
        const char *interface;
} Reply;

static uint64_t now_usec(void) {
        return clock_monotonic_ns() / 1000;
}

static const Event *event_find(const Event *events, size_t count, const char *name) {
        for (size_t i = 0; i < count; i++)
                if (streq(events[i].name, name))
                        return &events[i];

        return NULL;
}

/* False for what can never get a tunnel: loopback, our own helper devices, "none", and names that D-Bus does
 * not carry. */
static bool interface_concerns_us(const char *name) {
        size_t length = strlen(name);

        return length > 0 && length < IF_NAMESIZE && utf8_valid(name, length) &&
               !streq(name, "lo") && !streq(name, "none") &&
               strncmp(name, "underpass-", strlen("underpass-")) != 0;
}

static const char *environment(const char *name) {
        const char *value = getenv(name);

        return value ? value : "";
}

/* 1: there is an event to report; 0: there is none; -EINVAL: neither dispatcher calls like this. */
static int request_read(int argc, char *argv[], Request *ret) {
        const char *interface = getenv("IFACE"), *state = getenv("OperationalState");
        Request request = { .uuid = "" };

        if (argc == 3) {
                /* Modems and the like: packets run over another device than the profile names. */
                const char *ip_interface = environment("DEVICE_IP_IFACE");

                request.interface = ip_interface[0] ? ip_interface : argv[1];
                request.event = event_find(nm_events, ELEMENTS(nm_events), argv[2]);
                request.uuid = environment("CONNECTION_UUID");
        } else if (argc == 1 && interface && state) {
                request.interface = interface;
                request.event = event_find(networkd_events, ELEMENTS(networkd_events), state);
        } else
                return -EINVAL;

        if (!request.event || !interface_concerns_us(request.interface) ||
            !utf8_valid(request.uuid, strlen(request.uuid)))
                return 0;

        *ret = request;
        return 1;
}

static int on_reply(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *error = sd_bus_message_get_error(message);
        Reply *reply = userdata;

        reply->arrived = true;
        if (error) {
                fprintf(stderr, "50-underpass: %s: no tunnel so far: %s\n",
                        reply->interface, error->message ? error->message : error->name);
                reply->failed = true;
        }

        return 0;
}

/* Nothing is sent yet: the connection is not even authenticated. */
static int request_queue(sd_bus *bus, const Request *request, uint64_t time_left, Reply *reply) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &message, "org.underpass1", "/org/underpass1",
                                           "org.underpass1.Manager", "Dispatch");
        if (r < 0)
                return r;

        r = sd_bus_message_append(message, "sss", request->interface, request->event->action, request->uuid);
        if (r < 0)
                return r;

        if (request->event->delivery == DELIVER_AND_WAIT)
                return sd_bus_call_async(bus, NULL, message, on_reply, reply, time_left);

        r = sd_bus_message_set_expect_reply(message, false);
        if (r < 0)
                return r;

        r = sd_bus_message_set_auto_start(message, request->event->delivery != DELIVER_IF_UP);
        if (r < 0)
                return r;

        return sd_bus_send(bus, message, NULL);
}

/* 1 once everything that was queued has been sent and, if an answer is awaited, answered. */
static int request_done(sd_bus *bus, const Request *request, const Reply *reply) {
        uint64_t queued;
        int r;

        if (request->event->delivery == DELIVER_AND_WAIT)
                return reply->arrived;

        r = sd_bus_is_ready(bus);
        if (r <= 0)
                return r;

        r = sd_bus_get_n_queued_write(bus, &queued);
        return r < 0 ? r : queued == 0;
}

/*
 * Connecting, authenticating, sending and waiting are all driven from this loop, because sd_bus_flush() and
 * sd_bus_call() have no time limit that covers the connection itself.
 *
 * If a call without an answer has to start the service, the bus may drop that call when this program exits
 * first. That does no harm: a service that starts looks at every link anyway.
 */
static int request_send(const Request *request, uint64_t deadline, Reply *reply) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        uint64_t now = now_usec();
        int r;

        r = sd_bus_open_system(&bus);
        if (r < 0)
                return r;

        r = request_queue(bus, request, deadline > now ? deadline - now : 1, reply);
        if (r < 0)
                return r;

        while ((r = request_done(bus, request, reply)) == 0) {
                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;

                now = now_usec();
                if (now >= deadline)
                        return -ETIMEDOUT;

                r = sd_bus_wait(bus, deadline - now);
                if (r < 0 && r != -EINTR)
                        return r;
        }

        return r < 0 ? r : 0;
}

static void on_alarm(int signal_number) {
        static const char text[] = "50-underpass: gave up after 900 ms\n";
        ssize_t n;

        n = write(STDERR_FILENO, text, sizeof(text) - 1);
        (void) n;
        _exit(EXIT_SUCCESS);
}

/* Something may block where no other time limit reaches; it must not hold up the activation of a
 * connection. */
static void arm_last_resort(void) {
        const struct itimerval timer = { .it_value.tv_usec = LAST_RESORT_USEC };
        struct sigaction action = { .sa_handler = on_alarm };
        sigset_t signals;

        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGALRM);
        (void) sigaction(SIGALRM, &action, NULL);
        (void) sigprocmask(SIG_UNBLOCK, &signals, NULL);
        (void) setitimer(ITIMER_REAL, &timer, NULL);
}

int main(int argc, char *argv[]) {
        uint64_t deadline = now_usec() + TIME_LIMIT_USEC;
        Request request;
        Reply reply = {};
        int r;

        arm_last_resort();

        r = request_read(argc, argv, &request);
        if (r < 0) {
                fprintf(stderr,
                        "50-underpass: called neither as a dispatcher script of NetworkManager (INTERFACE "
                        "ACTION) nor as one of networkd-dispatcher (IFACE and OperationalState in the "
                        "environment)\n");
                return EXIT_USAGE;
        }
        if (r == 0)
                return EXIT_SUCCESS;

        reply.interface = request.interface;
        r = request_send(&request, deadline, &reply);
        if (r < 0 && !reply.failed)
                fprintf(stderr, "50-underpass: %s: could not tell the service about \"%s\": %s\n",
                        request.interface, request.event->name, strerror(-r));

        return EXIT_SUCCESS;
}
