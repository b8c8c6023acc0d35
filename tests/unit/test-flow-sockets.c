/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which flows get tunnel sockets of the kernel, and for how long, on a clock that only the test moves. The
 * flows, what the programs tell, and the sockets exist in this file only. May touch: nothing.
 */

#include "unit.h"

#include <arpa/inet.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "false-clock.h"
#include "service/flow-sockets.h"

enum {
        LINK = 7,
        OTHER_LINK = 8,
        SECOND = 1000 * 1000,
        ROOM = 200,
};

/* A flow, what the programs know of it, and its socket. */
typedef struct Known {
        struct underpass_flow_key key;
        struct underpass_flow flow;
        uint32_t socket;        /* the link that its socket is bound to; 0: none */
        bool forgotten;
} Known;

static struct {
        Known flows[ROOM];
        size_t count;
        size_t pending;         /* the first flow that the service has not been told of yet */
        int refused;            /* what making a socket fails with */
        unsigned asked;
        unsigned logged;
        unsigned changes;       /* that were reported */
        bool unwanted;          /* the link has another receive mode */
        bool unloaded;          /* there are no programs */
        bool deaf;              /* the event loop takes no descriptor */
        unsigned looks;         /* at the sockets, to see which can go */
        TunnelToldHandler handler;
        void *userdata;
        sd_event_io_handler_t on_told;
        void *on_told_userdata;
} world;

static int no_doubts, no_sockets;
static FlowSockets *flow_sockets;

/* ---- twins */

static Known *find(const struct underpass_flow_key *key) {
        for (size_t i = 0; i < world.count; i++)
                if (memcmp(&world.flows[i].key, key, sizeof(*key)) == 0)
                        return &world.flows[i];
        return NULL;
}

int tunnel_flow(Tunnel *tunnel, const struct underpass_flow_key *key, struct underpass_flow *ret) {
        const Known *known = find(key);

        if (!known || known->forgotten)
                return -ENOENT;
        *ret = known->flow;
        return 0;
}

int tunnel_unmerged_open(Tunnel *tunnel, TunnelDoubts **ret, TunnelToldHandler handler, void *userdata) {
        if (world.unloaded)
                return -ENOENT;
        assert(!world.handler);
        world.handler = handler;
        world.userdata = userdata;
        *ret = (TunnelDoubts *) &no_doubts;
        return 0;
}

TunnelDoubts *tunnel_doubts_free(TunnelDoubts *doubts) {
        if (doubts)
                world.handler = NULL;
        return NULL;
}

int tunnel_doubts_fd(const TunnelDoubts *doubts) {
        return 0;
}

void tunnel_doubts_read(TunnelDoubts *doubts) {
        while (world.pending < world.count)
                world.handler(&world.flows[world.pending++].key, world.userdata);
}

void log_line(int level, const char *interface, const char *stage, const char *format, ...) {
        world.logged++;
}

int sd_event_add_io(sd_event *event, sd_event_source **source, int fd, uint32_t events,
                    sd_event_io_handler_t handler, void *userdata) {
        assert(events == EPOLLIN);
        if (world.deaf)
                return -ENOMEM;
        world.on_told = handler;
        world.on_told_userdata = userdata;
        return 0;
}

int sockets_add_flow(Sockets *sockets, const struct underpass_socket_key *key) {
        Known *known = find(&key->flow);

        assert(sockets == (Sockets *) &no_sockets && known);
        world.asked++;
        if (world.refused)
                return world.refused;
        if (known->socket)
                return 0;
        known->socket = key->ifindex;
        return 1;
}

size_t sockets_sift_flows(Sockets *sockets, SocketsFlowTest is_needed, void *userdata, size_t *gone) {
        const size_t limit = *gone;
        size_t left = 0;

        world.looks++;
        *gone = 0;
        for (size_t i = 0; i < world.count; i++) {
                Known *known = &world.flows[i];
                const struct underpass_socket_key key = { .flow = known->key, .ifindex = known->socket };

                if (known->socket && *gone < limit && !is_needed(&key, userdata)) {
                        known->socket = 0;
                        (*gone)++;
                }
                left += known->socket != 0;
        }
        return left;
}

/* ---- the story */

static bool on_wanted(uint32_t ifindex, void *userdata) {
        assert(userdata == &world);
        return ifindex == LINK && !world.unwanted;
}

static void on_changed(void *userdata) {
        assert(userdata == &world);
        world.changes++;
}

static void begin(void) {
        memset(&world, 0, sizeof(world));
        false_clock_set(UINT64_C(5000) * SECOND);
        assert(flow_sockets_new(&flow_sockets, NULL, NULL, (Sockets *) &no_sockets, on_wanted, on_changed,
                                &world) == 0);
        flow_sockets_listen(flow_sockets);
}

static size_t count_sockets(void) {
        size_t count = 0;

        for (size_t i = 0; i < world.count; i++)
                count += world.flows[i].socket != 0;
        return count;
}

static void end(void) {
        flow_sockets = flow_sockets_free(flow_sockets);
        assert(count_sockets() == 0);
        assert(!false_clock.armed && !world.handler);
        assert(!flow_sockets_free(NULL)); /* of a service that could not start */
}

static void bulk_arrives(Known *known) {
        known->flow.bulk_arrived_ms = (uint32_t) (false_clock.now_us / 1000) | 1;
}

/* A download of which the programs tell. */
static Known *download(void) {
        Known *known = &world.flows[world.count];

        assert(world.count < ROOM);
        *known = (Known) {
                .key = { .local_port = htons((uint16_t) (40000 + world.count)), .remote_port = htons(443) },
                .flow = {
                        .state = UNDERPASS_FLOW_TUNNELLED, .flags = UNDERPASS_FLOW_OPENED_HERE,
                        .socket = 1, .ifindex = LINK,
                },
        };
        bulk_arrives(known);
        world.count++;
        return known;
}

static void tell(void) {
        assert(world.on_told(NULL, 0, 0, world.on_told_userdata) == 0);
}

static void tell_again(const Known *known) {
        world.pending = (size_t) (known - world.flows);
        tell();
}

static void a_download_gets_a_socket_until_it_ends(void) {
        Known *known;

        begin();
        assert(!false_clock.armed);
        known = download();
        tell();
        assert(known->socket == LINK && world.changes == 1 && false_clock.armed);
        for (int i = 0; i < 60; i++) {
                bulk_arrives(known);
                false_clock_pass(SECOND);
        }
        assert(known->socket == LINK && world.changes == 1);
        known->flow.ends = UNDERPASS_FLOW_OUR_FIN;
        bulk_arrives(known);
        false_clock_pass(5 * SECOND);
        assert(known->socket == LINK); /* what the peer still sends may be bulk */
        known->flow.ends |= UNDERPASS_FLOW_PEER_FIN;
        false_clock_pass(5 * SECOND);
        assert(!known->socket && world.changes == 2);
        /* Nobody looks for what is not there. */
        assert(!false_clock.armed);
        end();
}

static void it_goes_with_what_it_is_for(void) {
        enum { RESET, FORGOTTEN, ANEW, MOVED, QUIET, KINDS };

        for (int kind = 0; kind < KINDS; kind++) {
                Known *known;

                begin();
                known = download();
                tell();
                assert(known->socket == LINK);
                false_clock_pass(4 * SECOND);
                if (kind != QUIET)
                        bulk_arrives(known);
                if (kind == RESET)
                        known->flow.ends = UNDERPASS_FLOW_PEER_RST;
                known->forgotten = kind == FORGOTTEN;
                if (kind == ANEW)
                        known->flow.state = UNDERPASS_FLOW_HALF_OPEN;
                if (kind == MOVED)
                        known->flow.ifindex = OTHER_LINK;
                false_clock_pass((kind == QUIET ? 10 : 4) * SECOND);
                assert(!known->socket && !false_clock.armed);
                end();
        }
}

static void bulk_that_pauses_gets_another(void) {
        Known *known;

        begin();
        known = download();
        tell();
        false_clock_pass(30 * SECOND);
        assert(!known->socket);
        bulk_arrives(known);
        tell_again(known);
        assert(known->socket == LINK && world.changes == 3);
        /* What is there is not made again. */
        tell_again(known);
        assert(known->socket == LINK && world.changes == 3);
        end();
}

static void who_gets_none(void) {
        Known *half_open, *forwarded, *accepted, *elsewhere, *over, *quiet;

        begin();
        half_open = download();
        half_open->flow.state = UNDERPASS_FLOW_HALF_OPEN;
        forwarded = download();
        forwarded->flow.socket = 0;
        accepted = download();
        accepted->flow.flags = 0;
        elsewhere = download();
        elsewhere->flow.ifindex = OTHER_LINK;
        over = download();
        over->flow.ends = UNDERPASS_FLOW_OUR_RST;
        quiet = download();
        quiet->flow.bulk_arrived_ms -= FLOW_SOCKETS_QUIET_MS + 1000;
        download()->forgotten = true;
        tell();
        assert(world.asked == 0 && world.changes == 0);
        world.unwanted = true;
        (void) download();
        tell();
        assert(world.asked == 0 && world.changes == 0 && !false_clock.armed);
        /* Nothing is known of the second one, and so not what was known of the first. */
        world.unwanted = false;
        (void) download();
        download()->forgotten = true;
        tell();
        assert(world.asked == 1 && count_sockets() == 1);
        end();
}

/* The programs' milliseconds begin anew after 49.7 days. */
static void a_host_runs_for_months(void) {
        Known *known, *never;

        begin();
        false_clock_set(((UINT64_C(1) << 32) - 3000) * 1000);
        known = download();
        never = download();
        never->flow.bulk_arrived_ms = 0;
        tell();
        assert(known->socket == LINK && !never->socket);
        false_clock_pass(7 * SECOND);
        assert(known->socket == LINK);
        false_clock_pass(10 * SECOND);
        assert(!known->socket);
        end();
}

/* Links of another receive mode take nobody's turn. */
static void others_do_not_count(void) {
        Known *known;

        begin();
        for (int i = 0; i < FLOW_SOCKETS_TRIES_MAX; i++)
                download()->flow.ifindex = OTHER_LINK;
        known = download();
        tell();
        assert(known->socket == LINK && world.asked == 1);
        end();
}

static void go_on(Known *first, Known *second, int seconds) {
        for (int i = 0; i < seconds; i++) {
                bulk_arrives(first);
                bulk_arrives(second);
                false_clock_pass(SECOND);
        }
}

/* Where nothing happens, the service wakes up rarely; where something has, more is to be expected. */
static void looks_are_rare_where_nothing_changes(void) {
        Known *first, *second, *third;

        begin();
        first = download();
        second = download();
        tell();
        go_on(first, second, 60);
        assert(world.looks > 10 && world.looks < 20);
        third = download();
        tell();
        third->forgotten = true;
        false_clock_pass(SECOND);
        assert(!third->socket && count_sockets() == 2);
        go_on(first, second, 20);
        first->forgotten = true;
        while (first->socket) {
                bulk_arrives(second);
                false_clock_pass(SECOND / 10);
        }
        second->forgotten = true;
        false_clock_pass(SECOND);
        assert(!second->socket);
        end();
}

static void what_fails_is_not_tried_on_and_on(void) {
        Known *known;

        begin();
        world.refused = -EADDRINUSE;
        known = download();
        tell();
        assert(world.asked == 1 && !known->socket && !false_clock.armed && world.changes == 0);
        assert(world.logged == 1);
        false_clock_pass(60 * SECOND);
        assert(world.asked == 1);
        /* Only as often as the programs tell, and for all flows together so often in a second. */
        while (world.count < ROOM)
                (void) download();
        tell();
        assert(world.asked == 1 + FLOW_SOCKETS_TRIES_MAX);
        false_clock_pass(SECOND);
        world.refused = 0;
        bulk_arrives(known);
        tell_again(known);
        assert(known->socket == LINK);
        end();
}

static void many_that_end_go_a_few_at_a_time(void) {
        begin();
        for (int i = 0; i < 40; i++)
                (void) download();
        tell();
        for (size_t i = 0; i < world.count; i++)
                world.flows[i].forgotten = true;
        false_clock_pass(SECOND);
        assert(count_sockets() >= 30 && count_sockets() < 40);
        /* Others have their turn in between. */
        false_clock_pass(SECOND / 4);
        assert(count_sockets() > 0);
        false_clock_pass(SECOND);
        assert(count_sockets() == 0 && !false_clock.armed);
        end();
}

/* Others that come each moment do not put off the look. */
static void who_comes_does_not_keep_who_has_gone(void) {
        Known *first;

        begin();
        first = download();
        tell();
        first->forgotten = true;
        for (int i = 0; i < 20; i++) {
                (void) download();
                tell();
                false_clock_pass(SECOND / 5);
        }
        assert(!first->socket);
        end();
}

static void programs_may_come_later(void) {
        memset(&world, 0, sizeof(world));
        world.unloaded = true;
        assert(flow_sockets_new(&flow_sockets, NULL, NULL, (Sockets *) &no_sockets, on_wanted, on_changed,
                                &world) == 0);
        flow_sockets_listen(flow_sockets);
        assert(!world.on_told);
        world.unloaded = false;
        world.deaf = true;
        flow_sockets_listen(flow_sockets);
        assert(!world.on_told && !world.handler);
        world.deaf = false;
        flow_sockets_listen(flow_sockets);
        assert(world.on_told && world.handler);
        flow_sockets_listen(flow_sockets); /* once is enough */
        end();
}

int main(void) {
        static const Test tests[] = {
                { "a download gets a socket until it ends", a_download_gets_a_socket_until_it_ends },
                { "it goes with what it is for", it_goes_with_what_it_is_for },
                { "bulk that pauses gets another", bulk_that_pauses_gets_another },
                { "who gets none", who_gets_none },
                { "a host runs for months", a_host_runs_for_months },
                { "others do not count", others_do_not_count },
                { "looks are rare where nothing changes", looks_are_rare_where_nothing_changes },
                { "what fails is not tried on and on", what_fails_is_not_tried_on_and_on },
                { "many that end go a few at a time", many_that_end_go_a_few_at_a_time },
                { "who comes does not keep who has gone", who_comes_does_not_keep_who_has_gone },
                { "programs may come later", programs_may_come_later },
        };

        return run_tests(tests, ELEMENTS(tests));
}
