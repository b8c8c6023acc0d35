/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See strays.h. */

#include <sys/epoll.h>

#include "base/clock.h"
#include "base/log.h"
#include "kernel/routes.h"
#include "kernel/sock-diag.h"
#include "service/strays.h"

enum {
        SETTLE_US = 100 * 1000,          /* one change of routes is many messages */
        APART_US = 1000 * 1000,          /* between two looks, and … */
        REST_FACTOR = 20,                /* … so many times what the last one took */
        AWAITED_US = 300 * 1000,
        CARRIED_US = 10 * 1000 * 1000,
        HALF_OPEN_SECONDS = 64,          /* between the last two SYNs that Linux sends */
        HALF_OPEN_MAX = 256,             /* of those, in one look: anybody can send SYNs */
        UNANSWERED_MAX = 64,             /* flows that the programs tell of, heard at a time, … */
        UNANSWERED_REST_US = 20 * 1000,  /* … and how long nobody listens then */
        SILENT_SECONDS = 600,            /* connections of others that say nothing for so long are over */
        QUESTIONS_MAX = 4000,            /* to the kernel, in one look */
        TRIES = 4,                       /* connections between the same two, until one has a socket */
};

/* A connection that may be alive. */
typedef struct Stray {
        struct underpass_flow_key key;
        uint64_t seen_ns;
        uint32_t ifindex;
        uint16_t service; /* the port that does not differ from one connection to the next */
} Stray;

struct Strays {
        Tunnel *tunnel;
        Routes *routes;
        Netlink *sockets;        /* while a look is under way */
        sd_event_source *changed;
        sd_event_source *timer;
        TunnelDoubts *unanswered;
        sd_event_source *told, *rest;
        size_t heard;            /* flows of "unanswered", since the rest */
        StrayHandler handler;
        StraysLooked looked;
        void *userdata;
        uint64_t next_us;        /* not before that */
        size_t questions;
        /* Several looks are one round, where there are too many connections for one. */
        bool cut;                /* the last look was: the next one goes on with this connection */
        Stray left;
        bool changed_since;      /* since the round began: what was asked before may have another answer */
        bool awaited;            /* in this round */
        Stray *found;
        size_t count, room;
        size_t half_open;        /* of those in "found" */
        uint64_t now_ns;
        /* The last answer about a local address. */
        Address local;
        uint32_t from;           /* link that it is reached by; 0: it is one of this host */
        bool local_known;
};

/* Whether a flow may need a link: it is established, or it was accepted and has yet to be answered. */
static bool is_wanted(Strays *strays, const struct underpass_flow *flow) {
        const bool ours = flow->flags & UNDERPASS_FLOW_OPENED_HERE;
        const uint64_t age_ns = strays->now_ns > flow->seen_ns ? strays->now_ns - flow->seen_ns : 0;

        if (flow->state == UNDERPASS_FLOW_TUNNELLED)
                return age_ns < SILENT_SECONDS * UINT64_C(1000000000);
        if (flow->state != UNDERPASS_FLOW_HALF_OPEN || ours ||
            age_ns >= HALF_OPEN_SECONDS * UINT64_C(1000000000) || strays->half_open >= HALF_OPEN_MAX)
                return false;
        strays->half_open++;
        return true;
}

static int collect(const struct underpass_flow_key *key, const struct underpass_flow *flow, void *userdata) {
        const bool ours = flow->flags & UNDERPASS_FLOW_OPENED_HERE;
        Strays *strays = userdata;

        if (!is_wanted(strays, flow))
                return 0;
        if (ROOM_FOR_ONE(strays->found, strays->count, strays->room) < 0)
                return -ENOMEM;
        strays->found[strays->count++] = (Stray) {
                .key = *key,
                .seen_ns = flow->seen_ns,
                .ifindex = flow->ifindex,
                .service = ours ? key->remote_port : key->local_port,
        };
        return 0;
}

/* Between the same two addresses, for the same service, on the same link: routes treat them alike. */
static int compare_ways(const Stray *a, const Stray *b) {
        int r = memcmp(a->key.local, b->key.local, sizeof(a->key.local));

        if (r == 0)
                r = memcmp(a->key.remote, b->key.remote, sizeof(a->key.remote));
        if (r == 0 && a->service != b->service)
                r = a->service < b->service ? -1 : 1;
        if (r == 0 && a->ifindex != b->ifindex)
                r = a->ifindex < b->ifindex ? -1 : 1;
        return r;
}

/* The latest first among those that go the same way. */
static int compare_strays(const void *a, const void *b) {
        const Stray *first = a, *second = b;
        const int r = compare_ways(first, second);

        return r != 0 ? r : first->seen_ns > second->seen_ns ? -1 : first->seen_ns < second->seen_ns;
}

static Address address_of(const __u32 words[4]) {
        Address address;

        memcpy(address.word, words, sizeof(address.word));
        return address;
}

/* Whether the local address is one of this host (*ret_from: 0), or of a host that it forwards for. */
static int find_origin(Strays *strays, const Address *local, uint32_t *ret_from) {
        const RouteQuery query = { .remote = *local };
        uint32_t ifindex;
        bool here;
        int r;

        if (!strays->local_known || !address_equal(&strays->local, local)) {
                strays->questions++;
                r = routes_find(strays->routes, &query, &ifindex, &here);
                if (r < 0)
                        return r;
                strays->local = *local;
                strays->from = here ? 0 : ifindex;
                strays->local_known = true;
        }
        *ret_from = strays->from;
        return 0;
}

/* The socket of a connection of this host. -ENOENT: it is over. */
static int find_socket(Strays *strays, const Stray *stray, TcpConnection *ret) {
        TcpConnection connection = {
                .local = address_of(stray->key.local),
                .remote = address_of(stray->key.remote),
                .local_port = stray->key.local_port,
                .remote_port = stray->key.remote_port,
                .bound = stray->ifindex,
        };
        int r;

        strays->questions++;
        r = sock_diag_find_tcp(strays->sockets, &connection);
        if (r >= 0)
                *ret = connection;
        return r;
}

/* The link that a connection leaves by. Negative: it is over, or has no way. */
static int find_way(Strays *strays, const Stray *stray, uint32_t *ret_ifindex) {
        RouteQuery query = {
                .local = address_of(stray->key.local),
                .remote = address_of(stray->key.remote),
                .local_port = stray->key.local_port,
                .remote_port = stray->key.remote_port,
        };
        TcpConnection connection;
        uint32_t ifindex;
        bool here;
        int r;

        r = find_origin(strays, &query.local, &query.from);
        if (r < 0)
                return r;
        if (query.from == 0) {
                r = find_socket(strays, stray, &connection);
                if (r < 0)
                        return r;
                query.bound = connection.bound;
                query.mark = connection.mark;
                query.user = connection.user;
        }
        strays->questions++;
        r = routes_find(strays->routes, &query, &ifindex, &here);
        if (r < 0)
                return r;
        if (here)
                return -ENOENT;
        *ret_ifindex = ifindex;
        return 0;
}

static void end_all(Strays *strays, const Stray *first, size_t count) {
        TcpConnection connection;

        for (size_t i = 0; i < count && strays->questions < QUESTIONS_MAX; i++)
                if (find_socket(strays, &first[i], &connection) >= 0)
                        (void) sock_diag_end_tcp(strays->sockets, &connection);
}

/* Connections that go the same way: one that is alive speaks for all. */
static void judge(Strays *strays, const Stray *first, size_t count) {
        uint32_t ifindex;
        int r = -ENOENT;

        for (size_t i = 0; r < 0 && i < MIN_OF(count, (size_t) TRIES); i++)
                r = find_way(strays, &first[i], &ifindex);
        if (r < 0)
                return;
        switch (strays->handler(ifindex, ifindex != first->ifindex, strays->userdata)) {
        case STRAY_CARRIED:
                return;
        case STRAY_AWAITED:
                strays->awaited = true;
                return;
        case STRAY_ENDS:
                end_all(strays, first, count);
                return;
        }
}

/* Goes on where the last look was cut, or else whoever has many connections decides which ones are never
 * asked about. Returns whether this one came to the end. */
static bool judge_on(Strays *strays) {
        size_t first = 0;

        if (strays->cut)
                while (first < strays->count && compare_ways(&strays->found[first], &strays->left) < 0)
                        first++;
        for (size_t i = first + 1; i <= strays->count; i++) {
                if (i < strays->count && compare_ways(&strays->found[i], &strays->found[first]) == 0)
                        continue;
                if (strays->questions >= QUESTIONS_MAX) {
                        strays->left = strays->found[first];
                        return false;
                }
                judge(strays, &strays->found[first], i - first);
                first = i;
        }
        return true;
}

/* 1: the round ends with this look; 0: it goes on. Negative: nothing was looked at. */
static int look(Strays *strays) {
        int r;

        strays->now_ns = clock_monotonic_ns();
        r = tunnel_flows(strays->tunnel, collect, strays);
        if (r >= 0 && strays->count > 0)
                r = netlink_open(&strays->sockets, NETLINK_SOCK_DIAG);
        if (r < 0)
                return r;
        if (strays->count > 0)
                qsort(strays->found, strays->count, sizeof(*strays->found), compare_strays);
        strays->cut = !judge_on(strays);
        return !strays->cut;
}

static void schedule(Strays *strays, uint64_t in_us) {
        const uint64_t now_us = clock_monotonic_ns() / 1000;
        int enabled = SD_EVENT_OFF;
        uint64_t at_us = 0;

        in_us = MAX_OF(now_us + in_us, strays->next_us) - now_us;
        (void) sd_event_source_get_enabled(strays->timer, &enabled);
        (void) sd_event_source_get_time(strays->timer, &at_us);
        if (enabled != SD_EVENT_OFF && at_us <= now_us + in_us)
                return;
        (void) sd_event_source_set_time_relative(strays->timer, in_us);
        (void) sd_event_source_set_enabled(strays->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        const uint64_t begin_us = clock_monotonic_ns() / 1000;
        Strays *strays = userdata;
        bool all, carried;
        uint64_t end_us;
        int r;

        if (routes_drain(strays->routes))
                strays->changed_since = true;
        (void) sd_event_source_set_enabled(strays->changed, SD_EVENT_ON);
        if (!strays->cut)
                strays->awaited = strays->changed_since = false;
        r = look(strays);
        if (r < 0)
                log_debug("Cannot look where connections leave: %s.", strerror(-r));
        strays->sockets = netlink_free(strays->sockets);
        free(TAKE_PTR(strays->found));
        strays->count = strays->room = strays->half_open = strays->questions = 0;
        strays->local_known = false;
        /* Not found does not mean not there, unless everything was looked at. */
        all = r > 0 && !strays->changed_since;
        carried = all && strays->looked(strays->userdata);
        end_us = clock_monotonic_ns() / 1000;
        strays->next_us = end_us + (end_us - begin_us) * REST_FACTOR;
        if (r < 0)
                schedule(strays, CARRIED_US);
        else if (strays->awaited)
                schedule(strays, AWAITED_US);
        else if (!all)
                schedule(strays, APART_US);
        else if (carried)
                schedule(strays, CARRIED_US);
        strays->next_us = MAX_OF(strays->next_us, end_us + APART_US);
        return 0;
}

/* One message tells as much as a thousand: the monitor is not read before the next look. */
static int on_changed(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        strays_look(userdata);
        return 0;
}

/* A flow whose answers may leave by a link without programs. The next one leaves within a second, so the
 * question is not put off. */
static void on_unanswered(const struct underpass_flow_key *key, void *userdata) {
        Strays *strays = userdata;
        const Stray stray = { .key = *key };
        uint32_t ifindex;

        if (strays->heard >= UNANSWERED_MAX)
                return;
        strays->heard++;
        if (find_way(strays, &stray, &ifindex) >= 0 &&
            strays->handler(ifindex, true, strays->userdata) != STRAY_CARRIED)
                schedule(strays, AWAITED_US);
}

static int on_told(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Strays *strays = userdata;

        if (netlink_open(&strays->sockets, NETLINK_SOCK_DIAG) >= 0)
                tunnel_doubts_read(strays->unanswered);
        strays->sockets = netlink_free(strays->sockets);
        strays->questions = 0;
        strays->local_known = false;
        /* Whoever sends SYNs does not decide what this service is busy with. */
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        (void) sd_event_source_set_time_relative(strays->rest, UNANSWERED_REST_US);
        (void) sd_event_source_set_enabled(strays->rest, SD_EVENT_ONESHOT);
        return 0;
}

static int on_rested(sd_event_source *source, uint64_t usec, void *userdata) {
        Strays *strays = userdata;

        strays->heard = 0;
        return sd_event_source_set_enabled(strays->told, SD_EVENT_ON);
}

void strays_listen(Strays *strays) {
        sd_event *event = sd_event_source_get_event(strays->timer);
        int r;

        if (strays->unanswered ||
            tunnel_unanswered_open(strays->tunnel, &strays->unanswered, on_unanswered, strays) < 0)
                return;
        r = sd_event_add_time_relative(event, &strays->rest, CLOCK_MONOTONIC, 0, 0, on_rested, strays);
        if (r >= 0)
                r = sd_event_source_set_enabled(strays->rest, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_io(event, &strays->told, tunnel_doubts_fd(strays->unanswered), EPOLLIN,
                                    on_told, strays);
        if (r < 0) {
                strays->rest = sd_event_source_disable_unref(strays->rest);
                strays->unanswered = tunnel_doubts_free(strays->unanswered);
        }
}

int strays_new(Strays **ret, sd_event *event, Tunnel *tunnel, StrayHandler handler, StraysLooked looked,
               void *userdata) {
        _cleanup_(strays_freep) Strays *strays = calloc(1, sizeof(*strays));
        int r;

        if (!strays)
                return -ENOMEM;
        strays->tunnel = tunnel;
        strays->handler = handler;
        strays->looked = looked;
        strays->userdata = userdata;
        r = routes_open(&strays->routes);
        if (r >= 0)
                r = sd_event_add_io(event, &strays->changed, routes_monitor_fd(strays->routes), EPOLLIN,
                                    on_changed, strays);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &strays->timer, CLOCK_MONOTONIC, SETTLE_US, 0,
                                               on_timer, strays);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(strays);
        return 0;
}

Strays *strays_free(Strays *strays) {
        if (!strays)
                return NULL;
        sd_event_source_disable_unref(strays->changed);
        sd_event_source_disable_unref(strays->timer);
        sd_event_source_disable_unref(strays->told);
        sd_event_source_disable_unref(strays->rest);
        tunnel_doubts_free(strays->unanswered);
        routes_free(strays->routes);
        free(strays);
        return NULL;
}

void strays_look(Strays *strays) {
        strays->changed_since = true;
        schedule(strays, SETTLE_US);
}
