/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * underpass-prober: sends and reads the packets of probes for the service, in a process of its own without
 * capabilities. The service itself has no socket that a packet of others could reach. Started by the bus
 * when the service asks, and gone soon after.
 *
 * Its user stays root: only root may have its name on the bus, or others could answer in its place. To
 * become somebody else later would take capabilities, and its connection would be root's on the bus all the
 * same.
 */

#include <net/if.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include "kernel/probe.h"
#include "service/probe-message.h"

#define NAME "org.underpass1.Prober"
#define PATH "/org/underpass1/Prober"

enum {
        QUIET_US = 5 * 1000 * 1000, /* without a probe, before it leaves */
        PROBES_MAX = 16,
};

typedef struct Prober {
        sd_event *event;
        sd_bus *bus;
        sd_event_source *quiet;
        struct Running *running;
        unsigned count;
} Prober;

/* A probe whose caller waits. */
typedef struct Running {
        struct Running *next;
        Prober *prober;
        char link[IF_NAMESIZE];
        Probe *probe;
        sd_event_source *event;
        sd_bus_message *call;
} Running;

static Running *running_free(Running *running) {
        sd_event_source_disable_unref(running->event);
        probe_free(running->probe);
        sd_bus_message_unref(running->call);
        free(running);
        return NULL;
}
DEFINE_CLEANUP(Running *, running_free);

static int on_quiet(sd_event_source *source, uint64_t usec, void *userdata) {
        const Prober *prober = userdata;

        return prober->count == 0 ? sd_event_exit(prober->event, 0) : 0;
}

static void wait_for_more(Prober *prober) {
        (void) sd_event_source_set_time_relative(prober->quiet, QUIET_US);
        (void) sd_event_source_set_enabled(prober->quiet, SD_EVENT_ONESHOT);
}

/* It is among those of the prober. */
static void end(Running *running) {
        Prober *prober = running->prober;

        for (Running **position = &prober->running; *position; position = &(*position)->next)
                if (*position == running) {
                        *position = running->next;
                        break;
                }
        prober->count--;
        running_free(running);
        wait_for_more(prober);
}

static int on_probe(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Running *running = userdata;
        int r;

        if (!probe_process(running->probe))
                return 0;
        r = sd_bus_message_new_method_return(running->call, &reply);
        if (r >= 0)
                r = probe_message_append(reply, probe_report(running->probe));
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        end(running);
        return r < 0 ? r : 0;
}

static int read_target(sd_bus_message *message, ProbeTarget *target) {
        const char *link, *address;
        int everything, r;

        r = sd_bus_message_read(message, "ssqb", &link, &address, &target->port, &everything);
        if (r < 0)
                return r;
        if (strlen(link) >= sizeof(target->link) || address_from_text(address, &target->remote) < 0)
                return -EINVAL;
        memcpy(target->link, link, strlen(link) + 1);
        target->only_udp = !everything;
        return 0;
}

static int method_ask(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(running_freep) Running *running = calloc(1, sizeof(*running));
        Prober *prober = userdata;
        ProbeTarget target = {};
        int r;

        if (!running)
                return -ENOMEM;
        if (prober->count >= PROBES_MAX)
                return -EBUSY;
        r = read_target(message, &target);
        if (r >= 0)
                r = probe_new(&running->probe, &target);
        if (r >= 0)
                r = sd_event_add_io(prober->event, &running->event, probe_fd(running->probe), EPOLLIN,
                                    on_probe, running);
        if (r < 0)
                return r;
        running->next = prober->running;
        running->prober = prober;
        memcpy(running->link, target.link, sizeof(running->link));
        running->call = sd_bus_message_ref(message);
        prober->count++;
        prober->running = TAKE_PTR(running);
        return 1;
}

/* Nobody waits for what the caller has asked for by this link. */
static int method_cancel(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *sender = sd_bus_message_get_sender(message) ?: "", *link;
        const Prober *prober = userdata;
        int r;

        r = sd_bus_message_read(message, "s", &link);
        for (Running *running = prober->running, *next; r >= 0 && running; running = next) {
                next = running->next;
                if (streq(running->link, link) &&
                    streq(sd_bus_message_get_sender(running->call) ?: "", sender))
                        end(running);
        }
        return r < 0 ? r : sd_bus_reply_method_return(message, "");
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Ask", SD_BUS_ARGS("s", interface, "s", address, "q", port, "b", everything),
                                SD_BUS_RESULT("a(ssusu)", answers, "a{su}", figures), method_ask, 0),
        SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_ARGS("s", interface), SD_BUS_NO_RESULT, method_cancel, 0),
        SD_BUS_VTABLE_END,
};

static int run(Prober *prober) {
        int r;

        r = sd_event_default(&prober->event);
        if (r >= 0)
                r = sd_bus_open_system(&prober->bus);
        if (r >= 0)
                r = sd_bus_attach_event(prober->bus, prober->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_event_add_time_relative(prober->event, &prober->quiet, CLOCK_MONOTONIC, QUIET_US, 0,
                                               on_quiet, prober);
        if (r >= 0)
                r = sd_bus_add_object_vtable(prober->bus, NULL, PATH, NAME, vtable, prober);
        if (r >= 0)
                r = sd_bus_request_name(prober->bus, NAME, 0);
        return r < 0 ? r : sd_event_loop(prober->event);
}

int main(void) {
        Prober prober = {};
        const int r = run(&prober);

        sd_event_source_disable_unref(prober.quiet);
        sd_bus_flush_close_unref(prober.bus);
        sd_event_unref(prober.event);
        return r < 0;
}
