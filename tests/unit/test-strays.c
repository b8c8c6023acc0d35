/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Looks at where connections leave, when there are more than one look can ask about: which links get the
 * answers, when all have been asked about, and what is left out. Clock, event loop, kernel and flows exist
 * in this file only. May touch: nothing.
 */

#include "unit.h"

#include <arpa/inet.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/log.h"
#include "kernel/routes.h"
#include "kernel/sock-diag.h"
#include "service/strays.h"

enum {
        WAYS = 5000,
        FEW = 10,
        QUESTIONS = 4000,    /* in one look, and a few more for the way that it ends with */
        LOOKS_OF_A_ROUND = 4, /* at most, for all ways */
        LATER_US = 9 * 1000 * 1000,
        LINK_A = 5,          /* has a tunnel */
        LINK_B,              /* has programs for strays only */
        LINK_C,              /* is about to get programs */
        HALF_OPEN_SECONDS = 64, /* so long a SYN that was accepted is of interest, … */
        HALF_OPEN_MAX = 256,    /* … and so many of them, … */
        SILENT_SECONDS = 600,   /* … and a connection that says nothing */
};

struct sd_event_source {
        bool enabled;
        uint64_t in_us;
        sd_event_time_handler_t on_time;
        sd_event_io_handler_t on_io;
        void *userdata;
};

static struct {
        struct sd_event_source timer, monitor;
        size_t ways;
        uint32_t first, last; /* the link that the first and the last way lead to; all others: LINK_A */
        bool closed;         /* all connections but the first and the last one are over */
        int no_flows, no_sockets; /* what reading flows and opening the socket fails with */
        size_t half_open;    /* the first ones have yet to be answered */
        bool ours;           /* and are connections that this host opens */
        unsigned silent_s;   /* nothing has been seen of any for so long */
        size_t questions;    /* of this look */
        size_t asked;        /* ways, of this look */
        bool unheard;        /* routes have changed, and the timer comes before the news */
        unsigned looked;
        unsigned awaited;    /* how often LINK_C was told of a connection */
        bool taken_in, strayed; /* LINK_B, as link_take_in() and link_let_go() treat it */
} world;

static int no_routes, no_netlink;
static Strays *strays;

/* ---- twin of the clock: it stands still, on a machine that has been up for long */

int clock_gettime(clockid_t clock, struct timespec *ret) {
        assert(clock == CLOCK_MONOTONIC);
        *ret = (struct timespec) { .tv_sec = 24 * 3600 };
        return 0;
}

/* ---- twin of the event loop: the timer is due when the test says so */

int sd_event_add_time_relative(sd_event *event, sd_event_source **source, clockid_t clock, uint64_t usec,
                               uint64_t accuracy, sd_event_time_handler_t handler, void *userdata) {
        assert(clock == CLOCK_MONOTONIC);
        world.timer = (struct sd_event_source) {
                .enabled = true, .in_us = usec, .on_time = handler, .userdata = userdata,
        };
        *source = &world.timer;
        return 0;
}

int sd_event_add_io(sd_event *event, sd_event_source **source, int fd, uint32_t events,
                    sd_event_io_handler_t handler, void *userdata) {
        assert(events == EPOLLIN);
        world.monitor = (struct sd_event_source) { .enabled = true, .on_io = handler, .userdata = userdata };
        *source = &world.monitor;
        return 0;
}

int sd_event_source_get_enabled(sd_event_source *source, int *ret) {
        *ret = source->enabled ? SD_EVENT_ONESHOT : SD_EVENT_OFF;
        return source->enabled;
}

int sd_event_source_set_enabled(sd_event_source *source, int enabled) {
        source->enabled = enabled != SD_EVENT_OFF;
        return 0;
}

int sd_event_source_get_time(sd_event_source *source, uint64_t *usec) {
        *usec = clock_monotonic_ns() / 1000 + source->in_us;
        return 0;
}

int sd_event_source_set_time_relative(sd_event_source *source, uint64_t usec) {
        source->in_us = usec;
        return 0;
}

sd_event *sd_event_source_get_event(sd_event_source *source) {
        return NULL;
}

sd_event_source *sd_event_source_disable_unref(sd_event_source *source) {
        if (source)
                source->enabled = false;
        return NULL;
}

/* ---- twin of the kernel: a way is the last word of its remote address */

static const __u32 local_address[4] = { 0, 0, 0xffff0000, 0x0100000a };

static uint32_t way_of(const Address *remote) {
        const uint32_t way = ntohl(remote->word[3]);

        assert(way < world.ways);
        return way;
}

int routes_open(Routes **ret) {
        *ret = (Routes *) &no_routes;
        return 0;
}

Routes *routes_free(Routes *routes) {
        return NULL;
}

int routes_monitor_fd(Routes *routes) {
        return 0;
}

bool routes_drain(Routes *routes) {
        const bool changed = world.unheard;

        world.unheard = false;
        return changed;
}

int routes_find(Routes *routes, const RouteQuery *query, uint32_t *ret_ifindex, bool *ret_here) {
        world.questions++;
        *ret_here = memcmp(query->remote.word, local_address, sizeof(local_address)) == 0;
        if (*ret_here) {
                *ret_ifindex = 1;
                return 0;
        }
        world.asked++;
        *ret_ifindex = way_of(&query->remote) == 0              ? world.first :
                       way_of(&query->remote) == world.ways - 1 ? world.last :
                                                                  LINK_A;
        return 0;
}

int netlink_open(Netlink **ret, int protocol) {
        if (world.no_sockets)
                return world.no_sockets;
        *ret = (Netlink *) &no_netlink;
        return 0;
}

Netlink *netlink_free(Netlink *netlink) {
        return NULL;
}

int sock_diag_find_tcp(Netlink *netlink, TcpConnection *connection) {
        const uint32_t way = way_of(&connection->remote);

        world.questions++;
        return world.closed && way != 0 && way != world.ways - 1 ? -ENOENT : 0;
}

int sock_diag_end_tcp(Netlink *netlink, const TcpConnection *connection) {
        assert(!"nothing has to end");
        return 0;
}

void log_line(int level, const char *interface, const char *stage, const char *format, ...) {
}

/* ---- twin of the tunnel: in no order, as a hash has them */

int tunnel_flows(Tunnel *tunnel, TunnelFlowHandler handler, void *userdata) {
        if (world.no_flows)
                return world.no_flows;
        for (size_t i = 0; i < world.ways; i++) {
                const uint32_t way = (uint32_t) (i * 7919 % world.ways);
                struct underpass_flow_key key = {
                        .remote = { htonl(0x20010db8), 0, 0, htonl(way) },
                        .local_port = htons(443),
                        .remote_port = htons(40000),
                };
                const struct underpass_flow flow = {
                        .state = way < world.half_open ? UNDERPASS_FLOW_HALF_OPEN :
                                                         UNDERPASS_FLOW_TUNNELLED,
                        .flags = world.ours ? UNDERPASS_FLOW_OPENED_HERE : UNDERPASS_FLOW_ANSWERED,
                        .seen_ns = clock_monotonic_ns() - world.silent_s * UINT64_C(1000000000),
                        .ifindex = LINK_A,
                };
                int r;

                memcpy(key.local, local_address, sizeof(key.local));
                r = handler(&key, &flow, userdata);
                if (r != 0)
                        return r;
        }
        return 0;
}

int tunnel_unanswered_open(Tunnel *tunnel, TunnelDoubts **ret, TunnelToldHandler handler, void *userdata) {
        return -ENOENT;
}

TunnelDoubts *tunnel_doubts_free(TunnelDoubts *doubts) {
        return NULL;
}

int tunnel_doubts_fd(const TunnelDoubts *doubts) {
        return 0;
}

void tunnel_doubts_read(TunnelDoubts *doubts) {
}

/* ---- the story */

static StrayFate on_stray(uint32_t ifindex, bool moved, void *userdata) {
        assert(userdata == &world);
        if (ifindex == LINK_B)
                world.strayed = true;
        if (ifindex != LINK_C)
                return STRAY_CARRIED;
        world.awaited++;
        return STRAY_AWAITED;
}

static bool on_looked(void *userdata) {
        assert(userdata == &world);
        world.looked++;
        world.taken_in = world.taken_in && world.strayed;
        world.strayed = false;
        return world.taken_in;
}

static void begin(size_t ways) {
        memset(&world, 0, sizeof(world));
        world.ways = ways;
        world.first = world.last = LINK_A;
        world.taken_in = true;
        assert(strays_new(&strays, NULL, NULL, on_stray, on_looked, &world) == 0);
}

static void end(void) {
        strays = strays_free(strays);
        assert(!world.timer.enabled && !world.monitor.enabled);
}

/* The timer is due. */
static void look(void) {
        assert(world.timer.enabled);
        world.timer.enabled = false;
        world.questions = world.asked = 0;
        assert(world.timer.on_time(&world.timer, 0, world.timer.userdata) == 0);
        assert(world.questions <= QUESTIONS + 16);
}

/* Until all have been asked about. */
static void look_round(void) {
        const unsigned before = world.looked;

        for (unsigned i = 0; world.looked == before; i++) {
                assert(i < LOOKS_OF_A_ROUND);
                look();
        }
}

static void routes_change(void) {
        if (world.monitor.enabled)
                assert(world.monitor.on_io(&world.monitor, 0, EPOLLIN, world.monitor.userdata) == 0);
}

static void few_are_one_look(void) {
        begin(FEW);
        world.last = LINK_B;
        for (unsigned i = 1; i < 4; i++) {
                look();
                assert(world.looked == i && world.taken_in && world.timer.enabled);
        }
        world.last = LINK_A;
        look();
        assert(world.looked == 4 && !world.taken_in && !world.timer.enabled);
        end();
}

static void the_last_of_many_keeps_its_link(void) {
        for (int closed = 0; closed < 2; closed++) {
                begin(WAYS);
                world.closed = closed;
                world.last = LINK_B;
                for (unsigned i = 0; i < 4; i++) {
                        look();
                        assert(world.looked == i); /* one look is not enough */
                        look_round();
                        assert(world.taken_in);
                }
                world.last = LINK_A;
                look_round();
                assert(!world.taken_in && !world.timer.enabled);
                end();
        }
}

static void who_cannot_look_does_not_know(void) {
        begin(FEW);
        world.last = LINK_B;
        look();
        assert(world.looked == 1 && world.taken_in);
        world.no_flows = -ENOMEM;
        look();
        assert(world.looked == 1 && world.timer.enabled && world.timer.in_us >= LATER_US);
        world.no_flows = 0;
        world.no_sockets = -EMFILE;
        look();
        assert(world.looked == 1 && world.timer.enabled && world.timer.in_us >= LATER_US);
        world.no_sockets = 0;
        look();
        assert(world.looked == 2 && world.taken_in);
        end();
}

/* What was asked before may have another answer by now. */
static void a_change_meanwhile_is_heeded(void) {
        for (int heard = 0; heard < 2; heard++) {
                begin(WAYS);
                look();
                assert(world.looked == 0);
                world.first = LINK_B;
                world.unheard = !heard;
                if (heard)
                        routes_change();
                for (unsigned i = 0; i < 2 * LOOKS_OF_A_ROUND && world.looked == 0; i++)
                        look();
                assert(world.looked == 1 && world.taken_in);
                end();
        }
}

/* Changes without end do not keep the last ones from getting their turn. */
static void changes_without_end_leave_turns(void) {
        begin(WAYS);
        world.last = LINK_B;
        for (unsigned i = 0; i < LOOKS_OF_A_ROUND; i++) {
                look();
                routes_change();
        }
        assert(world.strayed && world.taken_in);
        end();
}

static void the_rest_may_be_gone(void) {
        begin(WAYS);
        look();
        assert(world.looked == 0);
        world.ways = FEW;
        look();
        assert(world.looked == 1);
        end();
        begin(WAYS);
        look();
        world.ways = 0;
        look();
        assert(world.looked == 1);
        end();
}

/* Who is awaited is asked about again, also when others have to be asked about first. */
static void who_is_awaited_is_remembered(void) {
        begin(WAYS);
        world.first = LINK_C;
        look_round();
        assert(world.awaited == 1 && world.timer.enabled);
        world.first = LINK_A;
        look_round();
        assert(world.awaited == 1 && !world.timer.enabled);
        end();
}

/* What says nothing any more needs no link, and what this host opens has yet to be answered by one. */
static void what_is_silent_is_over(void) {
        static const struct {
                bool half_open, ours;
                unsigned silent_s;
                bool asked;
        } cases[] = {
                { true, false, 0, true },
                { true, false, HALF_OPEN_SECONDS - 1, true },
                { true, false, HALF_OPEN_SECONDS, false },
                { true, true, 0, false },
                { false, false, HALF_OPEN_SECONDS, true },
                { false, false, SILENT_SECONDS - 1, true },
                { false, false, SILENT_SECONDS, false },
                { false, true, SILENT_SECONDS - 1, true },
                { false, true, SILENT_SECONDS, false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                begin(FEW);
                world.half_open = cases[i].half_open ? FEW : 0;
                world.ours = cases[i].ours;
                world.silent_s = cases[i].silent_s;
                look();
                assert(world.looked == 1 && world.asked == (cases[i].asked ? FEW : 0));
                end();
        }
}

/* Who sends SYNs does not decide how much there is to ask, nor that others are left out. */
static void half_open_ones_are_few(void) {
        begin(HALF_OPEN_MAX + 1 + FEW);
        world.half_open = HALF_OPEN_MAX + 1;
        world.last = LINK_B;
        for (unsigned i = 0; i < 2; i++) {
                look();
                assert(world.looked == i + 1 && world.asked == HALF_OPEN_MAX + FEW && world.taken_in);
        }
        end();
}

int main(void) {
        static const Test tests[] = {
                { "few are one look", few_are_one_look },
                { "the last of many keeps its link", the_last_of_many_keeps_its_link },
                { "who cannot look does not know", who_cannot_look_does_not_know },
                { "a change meanwhile is heeded", a_change_meanwhile_is_heeded },
                { "changes without end leave turns", changes_without_end_leave_turns },
                { "the rest may be gone", the_rest_may_be_gone },
                { "who is awaited is remembered", who_is_awaited_is_remembered },
                { "what is silent is over", what_is_silent_is_over },
                { "half-open ones are few", half_open_ones_are_few },
        };

        return run_tests(tests, ELEMENTS(tests));
}
