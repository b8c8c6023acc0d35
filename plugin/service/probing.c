/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See probing.h. */

#include <arpa/inet.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/i18n.h"
#include "base/log.h"
#include "service/probe-message.h"
#include "service/probing.h"
#include "source/bus-owner.h"

#define PROBER "org.underpass1.Prober"
#define PROBER_PATH "/org/underpass1/Prober"

enum {
        MINUTE_SECONDS = 60,
        HOUR_SECONDS = 3600,
};

/* A probe that is under way. */
typedef struct Asked {
        struct Asked *next;
        Probing *probing;
        struct underpass_destination_key key;
        sd_bus_slot *slot;
        sd_bus_message *call; /* who waits for it; NULL: it is for a doubt */
        BusOwner caller;      /* whether that one is still there */
} Asked;

/* So many in a span of time, which begins with the first one. */
typedef struct Quota {
        uint64_t begin; /* CLOCK_MONOTONIC, seconds */
        unsigned used;
} Quota;

/* A destination that was probed for a doubt. */
typedef struct Doubt {
        struct underpass_destination_key key;
        uint64_t seconds; /* when; 0: none was */
} Doubt;

struct Probing {
        Manager *manager;
        Told *told;
        sd_bus *bus;
        Asked *asked;
        TunnelDoubts *doubts;
        sd_event_source *doubts_event;
        Quota requests, own;
        Doubt remembered[PROBING_REMEMBERED];
};

static uint64_t now_seconds(void) {
        return clock_monotonic_ns() / 1000000000;
}

/* Whether one more is within the limit; it counts then. */
static bool quota_take(Quota *quota, unsigned limit, uint64_t span, uint64_t now) {
        if (quota->used == 0 || now - quota->begin >= span)
                *quota = (Quota) { .begin = now };
        if (quota->used >= limit)
                return false;
        quota->used++;
        return true;
}

static void asked_end(Asked *asked) {
        for (Asked **position = &asked->probing->asked; *position; position = &(*position)->next)
                if (*position == asked) {
                        *position = asked->next;
                        break;
                }
        sd_bus_slot_unref(asked->slot);
        bus_owner_stop(&asked->caller);
        sd_bus_message_unref(asked->call);
        free(asked);
}

/* The programs learn from it, if the link still has its tunnel. */
static void teach(const Asked *asked, const ProbeReport *report) {
        const Link *link = manager_link(asked->probing->manager, asked->key.ifindex);
        char remote[INET6_ADDRSTRLEN];
        Address address;

        if (!link || !link_is_attached(link) ||
            tunnel_teach(manager_tunnel(asked->probing->manager), &asked->key, report) < 0)
                return;
        memcpy(address.word, asked->key.remote, sizeof(address.word));
        if (probe_shows_stripped(report))
                log_line(LOG_INFO, link_name(link), NULL,
                         "A probe shows that the path to %s takes MPTCP options away at port %u.",
                         address_text(&address, remote), ntohs(asked->key.remote_port));
}

static int reply(const Asked *asked, const ProbeReport *report) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r = sd_bus_message_new_method_return(asked->call, &message);

        if (r >= 0)
                r = probe_message_append(message, report);
        return r < 0 ? r : sd_bus_send(NULL, message, NULL);
}

static int on_answer(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Asked *asked = userdata;
        ProbeReport report;
        int r = sd_bus_message_is_method_error(message, NULL) ? -EIO : probe_message_read(message, &report);

        if (r >= 0 && asked->call) {
                teach(asked, &report);
                (void) reply(asked, &report);
        } else if (asked->call) {
                const sd_bus_error *said = sd_bus_message_get_error(message);

                (void) told_error(asked->probing->told, asked->call, SD_BUS_ERROR_FAILED,
                                  N_("The probe failed: %s."),
                                  said && said->message ? said->message : MESSAGE_ERRNO(r));
        } else if (r >= 0 && report.answers[PROBE_UDP].outcome == PROBE_OPTION) {
                /* The doubt arose because plain TCP was answered without the option. */
                report.answers[PROBE_TCP].outcome = PROBE_ANSWERED;
                report.answers[PROBE_MPTCP].outcome = PROBE_ANSWERED;
                teach(asked, &report);
        } else if (r < 0) {
                log_line(LOG_DEBUG, NULL, NULL, "A probe failed: %s.", strerror(-r));
        }
        asked_end(asked);
        return 0;
}

/* The prober asks nothing more by this link. It is not started for that, and need not answer. */
static void cancel(const Asked *asked) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        const Link *link = manager_link(asked->probing->manager, asked->key.ifindex);

        if (link &&
            sd_bus_message_new_method_call(asked->probing->bus, &message, PROBER, PROBER_PATH, PROBER,
                                           "Cancel") >= 0 &&
            sd_bus_message_set_auto_start(message, false) >= 0 &&
            sd_bus_message_append(message, "s", link_name(link)) >= 0)
                (void) sd_bus_send(asked->probing->bus, message, NULL);
}

/* Also called while the caller is there. */
static void on_caller(BusOwner *owner) {
        Asked *asked = (Asked *) ((char *) owner - offsetof(Asked, caller));

        if (owner->unique)
                return;
        cancel(asked);
        asked_end(asked);
}

static bool is_under_way(const Probing *probing, uint32_t ifindex) {
        for (const Asked *asked = probing->asked; asked; asked = asked->next)
                if (asked->key.ifindex == ifindex)
                        return true;
        return false;
}

/* Has the prober ask. call: who waits for all three answers; NULL: only the UDP form is asked. */
static int begin(Probing *probing, const Link *link, const struct underpass_destination_key *key,
                 sd_bus_message *call) {
        char remote[INET6_ADDRSTRLEN];
        Address address;
        Asked *asked;
        int r;

        asked = calloc(1, sizeof(*asked));
        if (!asked)
                return -ENOMEM;
        *asked = (Asked) { .next = probing->asked, .probing = probing, .key = *key };
        memcpy(address.word, key->remote, sizeof(address.word));
        probing->asked = asked;
        asked->call = sd_bus_message_ref(call);
        asked->caller.changed = on_caller;
        r = sd_bus_call_method_async(probing->bus, &asked->slot, PROBER, PROBER_PATH, PROBER, "Ask",
                                     on_answer, asked, "ssqb", link_name(link),
                                     address_text(&address, remote), ntohs(key->remote_port), call != NULL);
        if (r >= 0 && call)
                r = bus_owner_watch(&asked->caller, probing->bus, sd_bus_message_get_sender(call) ?: "");
        if (r < 0)
                asked_end(asked);
        return r < 0 ? r : 0;
}

int probing_ask(Probing *probing, Link *link, const Address *remote, uint16_t port, sd_bus_message *call) {
        struct underpass_destination_key key = {
                .ifindex = link_ifindex(link),
                .remote_port = htons(port),
        };

        if (!link_is_attached(link))
                return -ENOENT;
        if (is_under_way(probing, key.ifindex))
                return -EBUSY;
        memcpy(key.remote, remote->word, sizeof(key.remote));
        if (!quota_take(&probing->requests, PROBING_MINUTE_MAX, MINUTE_SECONDS, now_seconds()))
                return -EDQUOT;
        return begin(probing, link, &key, call);
}

/* The place where a doubt is remembered; NULL: it was probed a short while ago, or so many others were. */
static Doubt *place_for(Probing *probing, const struct underpass_destination_key *key, uint64_t now) {
        Doubt *oldest = &probing->remembered[0];

        for (size_t i = 0; i < PROBING_REMEMBERED; i++) {
                Doubt *doubt = &probing->remembered[i];

                if (doubt->seconds != 0 && memcmp(&doubt->key, key, sizeof(*key)) == 0) {
                        oldest = doubt;
                        break;
                }
                if (doubt->seconds < oldest->seconds)
                        oldest = doubt;
        }
        return oldest->seconds != 0 && now - oldest->seconds < PROBING_PAUSE_SECONDS ? NULL : oldest;
}

static void on_doubt(const struct underpass_destination_key *key, void *userdata) {
        Probing *probing = userdata;
        const Link *link = manager_link(probing->manager, key->ifindex);
        const uint64_t now = now_seconds();
        Doubt *doubt;

        if (!probing->bus || is_under_way(probing, key->ifindex) || !link || !link_is_attached(link) ||
            !(link_applied(link)->link.flags & UNDERPASS_LINK_ON_DEMAND))
                return;
        doubt = place_for(probing, key, now);
        if (!doubt || !quota_take(&probing->own, PROBING_DOUBTS_HOUR_MAX, HOUR_SECONDS, now) ||
            begin(probing, link, key, NULL) < 0)
                return;
        *doubt = (Doubt) { .key = *key, .seconds = now };
}

static int on_doubts(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Probing *probing = userdata;

        tunnel_doubts_read(probing->doubts);
        return 0;
}

void probing_follow(Probing *probing) {
        if (probing->doubts ||
            tunnel_doubts_open(manager_tunnel(probing->manager), &probing->doubts, on_doubt, probing) < 0)
                return;
        if (sd_event_add_io(manager_event(probing->manager), &probing->doubts_event,
                            tunnel_doubts_fd(probing->doubts), EPOLLIN, on_doubts, probing) < 0)
                probing->doubts = tunnel_doubts_free(probing->doubts);
}

void probing_set_bus(Probing *probing, sd_bus *bus) {
        while (probing->asked)
                asked_end(probing->asked);
        probing->bus = bus;
}

bool probing_is_busy(const Probing *probing) {
        return probing->asked != NULL;
}

int probing_new(Probing **ret, Manager *manager, Told *told) {
        Probing *probing = calloc(1, sizeof(*probing));

        if (!probing)
                return -ENOMEM;
        probing->manager = manager;
        probing->told = told;
        *ret = probing;
        return 0;
}

Probing *probing_free(Probing *probing) {
        if (!probing)
                return NULL;
        probing_set_bus(probing, NULL);
        sd_event_source_disable_unref(probing->doubts_event);
        tunnel_doubts_free(probing->doubts);
        free(probing);
        return NULL;
}
