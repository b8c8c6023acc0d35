/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Lists that everybody may ask for: pages of flows, which of them live, what has changed, and what they may
 * cost. May touch: nothing.
 */

#include "unit.h"

#include <netinet/tcp.h>

#include "base/clock.h"
#include "kernel/sock-diag.h"
#include "service/call-budget.h"
#include "service/flow-list.h"

enum { FLOWS = 2500 };

static unsigned walks;    /* how often the maps were read */
static size_t flows = FLOWS;

/* What the maps hold instead, if there is anything. */
static FlowEntry given[8];
static size_t given_count;

/* ---- the loop's clock, of a machine that has been up for long, for how long this one ever has */

enum { UP_SECONDS = 24 * 3600 };

static uint64_t stopped_ns; /* 0: it goes on */

static uint64_t now_ns(void) {
        return stopped_ns ? stopped_ns : clock_monotonic_ns() + UP_SECONDS * UINT64_C(1000000000);
}

int sd_event_now(sd_event *event, clockid_t clock, uint64_t *usec) {
        assert(clock == CLOCK_MONOTONIC);
        *usec = now_ns() / 1000;
        return 0;
}

/* What is due later is due at once, or never. */
static bool hurry;

int sd_event_add_time_relative(sd_event *event, sd_event_source **source, clockid_t clock, uint64_t usec,
                               uint64_t accuracy, sd_event_time_handler_t handler, void *userdata) {
        return sd_event_add_time(event, source, clock, hurry ? 0 : UINT64_MAX, accuracy, handler, userdata);
}

/* ---- twin of sock_diag: sockets by their local port; 0: there is none */

enum { SOCKETS = 16 };
static int sockets[SOCKETS];
static unsigned questions;

int netlink_open(Netlink **ret, int protocol) {
        *ret = (Netlink *) sockets;
        return 0;
}

Netlink *netlink_free(Netlink *netlink) {
        return NULL;
}

int sock_diag_find_tcp(Netlink *netlink, TcpConnection *connection) {
        const uint16_t port = ntohs(connection->local_port);

        questions++;
        if (port >= SOCKETS || sockets[port] == 0)
                return -ENOENT;
        if (sockets[port] < 0)
                return sockets[port];
        connection->state = (uint8_t) sockets[port];
        return 0;
}

/* ---- twin of the tunnel: flows in no order, as a hash has them */

int tunnel_flows(Tunnel *tunnel, TunnelFlowHandler handler, void *userdata) {
        walks++;
        for (size_t i = 0; i < given_count; i++) {
                int r = handler(&given[i].key, &given[i].flow, userdata);

                if (r != 0)
                        return r;
        }
        if (given_count > 0)
                return 0;
        for (size_t i = 0; i < flows; i++) {
                const uint16_t number = (uint16_t) (i * 7919 % flows);
                const struct underpass_flow_key key = { .local_port = number };
                const struct underpass_flow flow = { .sent = number };
                int r = handler(&key, &flow, userdata);

                if (r != 0)
                        return r;
        }
        return 0;
}

static void event_unrefp(sd_event **event) {
        sd_event_unref(*event);
}

/* Reads all pages; how many there were. */
static size_t read_all(FlowList *list, size_t limit, bool seen[static FLOWS]) {
        char cursor[FLOW_LIST_CURSOR_LENGTH + 1] = "";
        size_t pages = 0;
        FlowPage page;

        do {
                assert(flow_list_page(list, cursor, limit, &page) == 0);
                assert(page.count <= limit && page.count <= FLOW_LIST_PAGE_MAX);
                for (size_t i = 0; i < page.count; i++) {
                        assert(!seen[page.entries[i].flow.sent]);
                        seen[page.entries[i].flow.sent] = true;
                }
                if (page.more)
                        flow_list_cursor(&page.entries[page.count - 1], cursor);
                pages++;
        } while (page.more);
        return pages;
}

static void pages_hold_each_flow_once(void) {
        static const struct {
                size_t limit, pages;
        } cases[] = { { 1000, 3 }, { 2000, 3 }, { 1, FLOWS }, { 2499, 3 }, { 7, 358 } };
        _cleanup_(event_unrefp) sd_event *event = NULL;
        _cleanup_(flow_list_freep) FlowList *list = NULL;
        uint64_t begin, seconds;

        assert(sd_event_default(&event) >= 0);
        assert(flow_list_new(&list, event, NULL) == 0);
        begin = clock_monotonic_ns();
        walks = 0;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                bool seen[FLOWS] = {};

                assert(read_all(list, cases[i].limit, seen) == cases[i].pages);
                for (size_t k = 0; k < FLOWS; k++)
                        assert(seen[k]);
        }
        /* One serves everybody for a second, and so all of this, unless an emulator runs it. */
        seconds = (clock_monotonic_ns() - begin) / 1000000000;
        assert(walks >= 1 && walks <= 1 + seconds);
}

static void no_flow_is_one_empty_page(void) {
        _cleanup_(event_unrefp) sd_event *event = NULL;
        _cleanup_(flow_list_freep) FlowList *list = NULL;
        FlowPage page;

        assert(sd_event_default(&event) >= 0);
        assert(flow_list_new(&list, event, NULL) == 0);
        flows = 0;
        assert(flow_list_page(list, "", 10, &page) == 0);
        assert(page.count == 0 && !page.more);
        flows = FLOWS;
}

static void wrong_cursors_are_turned_down(void) {
        static const char *const wrong[] = { "0", "zz", "-1", " ", "%s%n" };
        char cursor[FLOW_LIST_CURSOR_LENGTH + 2];
        _cleanup_(event_unrefp) sd_event *event = NULL;
        _cleanup_(flow_list_freep) FlowList *list = NULL;
        FlowPage page;

        assert(sd_event_default(&event) >= 0);
        assert(flow_list_new(&list, event, NULL) == 0);
        for (size_t i = 0; i < ELEMENTS(wrong); i++)
                assert(flow_list_page(list, wrong[i], 10, &page) == -EINVAL);
        memset(cursor, '0', sizeof(cursor));
        cursor[FLOW_LIST_CURSOR_LENGTH + 1] = '\0';
        assert(flow_list_page(list, cursor, 10, &page) == -EINVAL);
        cursor[FLOW_LIST_CURSOR_LENGTH] = '\0';
        cursor[3] = '+';
        assert(flow_list_page(list, cursor, 10, &page) == -EINVAL);
        cursor[3] = 'f';
        assert(flow_list_page(list, cursor, 10, &page) == 0);
}

/* What is remembered of a flow with this local port. */
static FlowEntry *give(uint16_t port, uint8_t state, uint8_t flags, uint8_t socket, unsigned idle_s) {
        FlowEntry *entry = &given[given_count++];

        *entry = (FlowEntry) {
                .key.local_port = htons(port),
                .flow.state = state,
                .flow.flags = flags,
                .flow.socket = socket,
                .flow.opened_ns = 1,
                .flow.seen_ns = now_ns() - idle_s * UINT64_C(1000000000),
        };
        return entry;
}

enum {
        TUNNELLED = UNDERPASS_FLOW_TUNNELLED,
        HALF_OPEN = UNDERPASS_FLOW_HALF_OPEN,
        PLAIN = UNDERPASS_FLOW_WATCHED,
        CLAIMED = UNDERPASS_FLOW_CLAIMED,
        FINS = UNDERPASS_FLOW_OUR_FIN | UNDERPASS_FLOW_PEER_FIN,
        HOUR = 3600,
        REFUSED = -1, /* the kernel does not answer */
};

static void only_what_lives_is_listed(void) {
        static const struct {
                uint8_t state, ends, socket;
                unsigned idle_s;
                int in_kernel;
                bool lives;
        } cases[] = {
                /* With a socket of this host, which says more than the record. */
                { TUNNELLED, 0, 1, 0, TCP_ESTABLISHED, true },
                { TUNNELLED, 0, 1, HOUR, TCP_ESTABLISHED, true },
                { TUNNELLED, 0, 1, HOUR, 0, false },
                { TUNNELLED, 0, 1, 5, TCP_FIN_WAIT2, true },
                { TUNNELLED, 0, 1, 5, TCP_CLOSE_WAIT, true },
                { TUNNELLED, FINS, 1, 0, TCP_TIME_WAIT, false },
                { TUNNELLED, FINS, 1, 0, TCP_LAST_ACK, false },
                { TUNNELLED, FINS, 1, 0, 0, false },
                { TUNNELLED, UNDERPASS_FLOW_PEER_RST, 1, 0, 0, false },
                { TUNNELLED, UNDERPASS_FLOW_PEER_RST, 1, 0, TCP_ESTABLISHED, true }, /* it was forged */
                { TUNNELLED, UNDERPASS_FLOW_OUR_FIN, 1, 5, TCP_FIN_WAIT2, true },
                { TUNNELLED, 0, 1, HOUR, REFUSED, true },
                { TUNNELLED, FINS, 1, HOUR, REFUSED, false },
                { HALF_OPEN, 0, 1, 1, TCP_SYN_SENT, true },
                { HALF_OPEN, 0, 1, 1, 0, false },
                { PLAIN, 0, 1, 1, TCP_SYN_SENT, true },
                { PLAIN, 0, 1, 1, TCP_ESTABLISHED, false }, /* it is plain TCP by now */
                /* Forwarded: nobody else knows. */
                { TUNNELLED, 0, 0, 0, 0, true },
                { TUNNELLED, 0, 0, 2 * HOUR, 0, true },
                { TUNNELLED, 0, 0, 3 * HOUR, 0, false },
                { TUNNELLED, UNDERPASS_FLOW_OUR_FIN, 0, 0, 0, true },
                { TUNNELLED, UNDERPASS_FLOW_PEER_FIN, 0, 0, 0, true },
                { TUNNELLED, FINS, 0, 0, 0, false },
                { TUNNELLED, UNDERPASS_FLOW_OUR_RST, 0, 0, 0, false },
                { HALF_OPEN, 0, 0, 5, 0, true },
                { HALF_OPEN, 0, 0, 65, 0, false },
                { CLAIMED, 0, 0, 0, 0, false },
        };
        _cleanup_(event_unrefp) sd_event *event = NULL;

        assert(sd_event_default(&event) >= 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(flow_list_freep) FlowList *list = NULL;
                FlowLivePage page;

                given_count = 0;
                sockets[1] = cases[i].in_kernel;
                give(1, cases[i].state, 0, cases[i].socket, cases[i].idle_s)->flow.ends = cases[i].ends;
                assert(flow_list_new(&list, event, NULL) == 0);
                assert(flow_list_live_page(list, "", 10, &page) == 0);
                if (page.count != cases[i].lives)
                        fprintf(stderr, "case %zu\n", i);
                assert(page.count == cases[i].lives && !page.more);
        }
        given_count = 0;
}

/* Lets a second pass. */
static void next_reading(sd_event *event) {
        uint64_t now_us = 0;

        usleep(1010 * 1000);
        assert(sd_event_run(event, 0) >= 0);
        assert(sd_event_now(event, CLOCK_MONOTONIC, &now_us) >= 0);
}

static void pages_of_what_lives(void) {
        _cleanup_(event_unrefp) sd_event *event = NULL;
        _cleanup_(flow_list_freep) FlowList *list = NULL;
        char cursor[FLOW_LIST_CURSOR_LENGTH + 1];
        FlowLivePage page;

        assert(sd_event_default(&event) >= 0);
        assert(flow_list_new(&list, event, NULL) == 0);
        given_count = 0;
        for (uint16_t port = 1; port <= 5; port++)
                give(port, TUNNELLED, 0, 0, 0)->flow.ends = port == 2 || port == 5 ? FINS : 0;
        assert(flow_list_live_page(list, "", 2, &page) == 0);
        assert(page.count == 2 && page.more && page.entries[1]->key.local_port == htons(3));
        flow_list_cursor(page.entries[1], cursor);
        assert(flow_list_live_page(list, cursor, 2, &page) == 0);
        assert(page.count == 1 && !page.more && page.entries[0]->key.local_port == htons(4));
        given_count = 0;
}

/* The maps may be read again between two calls, by whoever asks: what is there all the while is listed
 * once. */
static void pages_of_different_moments(void) {
        static const uint16_t first[] = { 1, 2, 3, 5 }, second[] = { 0, 1, 4, 5, 6 };
        static const uint16_t expected[] = { 1, 2, 4, 5, 6 };
        _cleanup_(event_unrefp) sd_event *event = NULL;
        _cleanup_(flow_list_freep) FlowList *list = NULL;
        char cursor[FLOW_LIST_CURSOR_LENGTH + 1] = "";
        size_t listed = 0;
        FlowPage page;

        assert(sd_event_default(&event) >= 0);
        assert(flow_list_new(&list, event, NULL) == 0);
        stopped_ns = now_ns();
        walks = 0;
        for (size_t i = 0; i < ELEMENTS(first); i++)
                give(first[i], TUNNELLED, 0, 0, 0);
        do {
                assert(flow_list_page(list, cursor, 2, &page) == 0);
                for (size_t i = 0; i < page.count; i++)
                        assert(page.entries[i].key.local_port == htons(expected[listed++]));
                flow_list_cursor(&page.entries[page.count - 1], cursor);
                stopped_ns += 2 * UINT64_C(1000000000);
                given_count = 0;
                for (size_t i = 0; i < ELEMENTS(second); i++)
                        give(second[i], TUNNELLED, 0, 0, 0);
        } while (page.more);
        assert(listed == ELEMENTS(expected) && walks == 3);
        stopped_ns = given_count = 0;
}

static void the_busiest_come_first(void) {
        _cleanup_(event_unrefp) sd_event *event = NULL;
        _cleanup_(flow_list_freep) FlowList *list = NULL;
        const FlowSum *sums;
        FlowLivePage page;
        size_t count;

        assert(sd_event_default(&event) >= 0);
        assert(flow_list_new(&list, event, NULL) == 0);
        given_count = 0;
        for (uint16_t port = 1; port <= 4; port++) {
                FlowEntry *entry = give(port, TUNNELLED, 0, 0, 0);

                entry->flow.ifindex = port % 2 + 5;
                entry->flow.begin = entry->flow.next = entry->flow.peer_begin = entry->flow.acknowledged = 9;
        }
        assert(flow_list_busy(list, 10, &page, &sums, &count) == 0);
        assert(page.count == 4 && count == 2 && sums[0].sent_rate == 0);
        next_reading(event);
        given[0].flow.next += 2000000;
        given[2].flow.acknowledged += 3000000;
        given[2].flow.next += 500;
        given[3].flow.ends = FINS;
        assert(flow_list_busy(list, 2, &page, &sums, &count) == 0);
        assert(page.count == 2 && page.more);
        assert(page.entries[0]->key.local_port == htons(3) && page.entries[1]->key.local_port == htons(1));
        assert(page.entries[0]->received_rate > 2500000 && page.entries[0]->received_rate < 3000000);
        assert(page.entries[0]->sent_rate > 400 && page.entries[0]->sent_rate < 500);
        assert(count == 2 && sums[0].ifindex == 5 && sums[0].count == 1 && sums[0].received_rate == 0);
        assert(sums[1].ifindex == 6 && sums[1].count == 2 && sums[1].sent_rate > 1500000);
        given_count = 0;
}

/* Numbers of TCP pass 0, and a FIN has one. */
static void data_is_a_distance(void) {
        struct underpass_flow flow = { .begin = 0xfffffff1, .next = 0xfffffff1, .peer_begin = 7 };

        flow.acknowledged = 7;
        assert(flow_list_bytes_sent(&flow) == 0 && flow_list_bytes_received(&flow) == 0);
        flow.next = 10;
        flow.begun_anew = 1;
        assert(flow_list_bytes_sent(&flow) == 25);
        flow.ends = FINS;
        flow.acknowledged = 108;
        flow.peer_begun_anew = 3;
        assert(flow_list_bytes_sent(&flow) == 24);
        assert(flow_list_bytes_received(&flow) == (UINT64_C(3) << 32) + 100);
        flow = (struct underpass_flow) { .next = 5, .acknowledged = 5, .sent = 3, .more_sent = 40 };
        assert(flow_list_bytes_sent(&flow) == 0 && flow_list_bytes_received(&flow) == 0);
        assert(flow_list_segments_sent(&flow) == 43);
}

static const FlowChange *change_of(const FlowChanges *changes, uint16_t port) {
        for (size_t i = 0; i < changes->count; i++)
                if (changes->changes[i].key.local_port == htons(port))
                        return &changes->changes[i];
        return NULL;
}

static void changes_are_told_once(void) {
        static const struct {
                uint8_t before, now;
        } wanted[] = {
                [1] = { TUNNELLED, 0 },         /* ended */
                [2] = { HALF_OPEN, TUNNELLED },
                [3] = { HALF_OPEN, PLAIN },     /* fell back, and the plain answer has come */
                [4] = { HALF_OPEN, 0 },         /* gave up */
                [5] = { TUNNELLED, 0 },         /* pushed out of the map, or the socket is gone */
                [6] = { 0, TUNNELLED },         /* new */
        };
        _cleanup_(event_unrefp) sd_event *event = NULL;
        _cleanup_(flow_list_freep) FlowList *list = NULL;
        FlowChanges changes;

        assert(sd_event_default(&event) >= 0);
        assert(flow_list_new(&list, event, NULL) == 0);
        given_count = 0;
        memset(sockets, 0, sizeof(sockets));
        sockets[4] = sockets[3] = sockets[2] = TCP_SYN_SENT;
        give(1, TUNNELLED, UNDERPASS_FLOW_OPENED_HERE, 0, 0);
        give(2, HALF_OPEN, UNDERPASS_FLOW_OPENED_HERE, 1, 0);
        give(3, HALF_OPEN, UNDERPASS_FLOW_OPENED_HERE, 1, 0);
        give(4, HALF_OPEN, UNDERPASS_FLOW_OPENED_HERE, 1, 0);
        give(5, TUNNELLED, 0, 0, 0);
        give(7, HALF_OPEN, 0, 0, 0);            /* the peer's: anybody can begin some */
        assert(flow_list_watch(list, &changes) == 0);
        assert(changes.count == 0 && changes.more == 0);

        next_reading(event);
        given[0].flow.ends = FINS;
        given[1].flow.state = TUNNELLED;
        given[2] = given[5];
        sockets[3] = TCP_ESTABLISHED;
        sockets[4] = 0;
        given[4].key.local_port = htons(6);
        given_count = 5;
        assert(flow_list_watch(list, &changes) == 0);
        assert(changes.count == 6 && changes.more == 0);
        for (uint16_t port = 1; port < ELEMENTS(wanted); port++) {
                const FlowChange *change = change_of(&changes, port);

                assert(change && change->before == wanted[port].before && change->now == wanted[port].now);
        }
        assert(flow_list_watch(list, &changes) == 0);
        assert(changes.count == 0);
        given_count = 0;
        memset(sockets, 0, sizeof(sockets));
}

/* Where a look takes long, the next one is far away. */
static void changes_wait_for_who_watches(void) {
        _cleanup_(event_unrefp) sd_event *event = NULL;
        _cleanup_(flow_list_freep) FlowList *list = NULL;
        FlowChanges changes;

        assert(sd_event_default(&event) >= 0);
        assert(flow_list_new(&list, event, NULL) == 0);
        given_count = 0;
        hurry = true;
        give(1, TUNNELLED, 0, 0, 0);
        assert(flow_list_watch(list, &changes) == 0);
        assert(changes.count == 0);
        assert(sd_event_run(event, UINT64_MAX) > 0); /* it is time to forget what was read */
        next_reading(event);
        given[0].flow.ends = FINS;
        assert(flow_list_watch(list, &changes) == 0);
        assert(changes.count == 1 && changes.changes[0].before == TUNNELLED && changes.changes[0].now == 0);
        assert(sd_event_run(event, UINT64_MAX) > 0);
        flow_list_unwatch(list);
        given[0].flow.ends = 0;
        assert(flow_list_watch(list, &changes) == 0); /* nothing is known of before */
        assert(changes.count == 0);
        flow_list_unwatch(list);
        hurry = false;
        given_count = 0;
}

/* Others come whenever they like. */
static void memory_is_given_back(void) {
        _cleanup_(event_unrefp) sd_event *event = NULL;
        _cleanup_(flow_list_freep) FlowList *list = NULL;
        FlowChanges changes;
        FlowPage page;

        assert(sd_event_default(&event) >= 0);
        assert(flow_list_new(&list, event, NULL) == 0);
        flow_list_unwatch(list);
        hurry = true;
        stopped_ns = now_ns();
        walks = 0;
        assert(flow_list_page(list, "", 1, &page) == 0);
        assert(flow_list_watch(list, &changes) == 0);
        flow_list_unwatch(list);
        assert(flow_list_page(list, "", 1, &page) == 0);
        assert(walks == 1); /* one who asks for pages may still come */
        assert(sd_event_run(event, UINT64_MAX) > 0);
        assert(flow_list_watch(list, &changes) == 0);
        assert(walks == 2);
        assert(sd_event_run(event, UINT64_MAX) > 0);
        assert(flow_list_page(list, "", 1, &page) == 0);
        assert(walks == 2); /* one watches */
        flow_list_unwatch(list);
        assert(flow_list_page(list, "", 1, &page) == 0);
        assert(walks == 3);
        hurry = false;
        stopped_ns = 0;
}

/* Sockets are asked seldom: not again about what is over, and not each time about what is silent. */
static void questions_are_few(void) {
        _cleanup_(event_unrefp) sd_event *event = NULL;
        _cleanup_(flow_list_freep) FlowList *list = NULL;
        FlowLivePage page;

        assert(sd_event_default(&event) >= 0);
        assert(flow_list_new(&list, event, NULL) == 0);
        given_count = 0;
        sockets[2] = TCP_ESTABLISHED;
        give(1, TUNNELLED, 0, 1, 60)->flow.ends = FINS;
        give(2, TUNNELLED, 0, 1, 60);
        give(3, TUNNELLED, 0, 1, 0);
        questions = 0;
        for (int i = 0; i < 2; i++) {
                assert(flow_list_live_page(list, "", 10, &page) == 0);
                assert(page.count == 2 && questions == 2);
                given[2].flow.seen_ns += 2000000000;
                next_reading(event);
        }
        given[0].flow.seen_ns = now_ns(); /* something came late */
        assert(flow_list_live_page(list, "", 10, &page) == 0);
        assert(page.count == 2 && questions == 3);
        given_count = 0;
        sockets[2] = 0;
}

static void one_caller_leaves_time_for_others(void) {
        CallBudget budget = {};
        uint64_t now_us = 5 * CALL_BUDGET_WINDOW_US;

        assert(call_budget_allows(&budget, ":1.5", now_us));
        call_budget_charge(&budget, ":1.5", CALL_BUDGET_CALLER_US - 1);
        assert(call_budget_allows(&budget, ":1.5", now_us));
        call_budget_charge(&budget, ":1.5", 1);
        assert(!call_budget_allows(&budget, ":1.5", now_us));
        assert(call_budget_allows(&budget, ":1.6", now_us));
        assert(call_budget_allows(&budget, ":1.55", now_us)); /* not ":1.5" with something behind it */
        now_us += CALL_BUDGET_WINDOW_US;
        assert(call_budget_allows(&budget, ":1.5", now_us));
}

/* Many names of one user get no more than all together. */
static void many_callers_together_are_bounded(void) {
        CallBudget budget = {};
        uint64_t served_us = 0;

        for (unsigned i = 0; i < 1000; i++) {
                char name[16];

                snprintf(name, sizeof(name), ":1.%u", i);
                if (!call_budget_allows(&budget, name, CALL_BUDGET_WINDOW_US))
                        continue;
                call_budget_charge(&budget, name, 1000);
                served_us += 1000;
        }
        assert(served_us == CALL_BUDGET_ALL_US);
}

int main(void) {
        static const Test tests[] = {
                { "pages hold each flow once", pages_hold_each_flow_once },
                { "no flow is one empty page", no_flow_is_one_empty_page },
                { "wrong cursors are turned down", wrong_cursors_are_turned_down },
                { "only what lives is listed", only_what_lives_is_listed },
                { "pages of different moments", pages_of_different_moments },
                { "pages of what lives", pages_of_what_lives },
                { "the busiest come first", the_busiest_come_first },
                { "data is a distance", data_is_a_distance },
                { "changes are told once", changes_are_told_once },
                { "changes wait for who watches", changes_wait_for_who_watches },
                { "memory is given back", memory_is_given_back },
                { "questions are few", questions_are_few },
                { "one caller leaves time for others", one_caller_leaves_time_for_others },
                { "many callers together are bounded", many_callers_together_are_bounded },
        };

        return run_tests(tests, ELEMENTS(tests));
}
