/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How much is told of subflows in a second, on a clock that only the test moves. */

#include "unit.h"

#include "false-clock.h"
#include "service/subflow-news.h"

enum { SECOND = 1000 * 1000, LINKS = 1000 };

static struct {
        uint32_t told[LINKS + 1], left_out[LINKS + 1]; /* by interface index */
        uint32_t sums;                                 /* numbers of those that were left out */
        uint32_t all;                                  /* events that were told */
        MptcpEventKind last;
} world;

static SubflowNews *news;

static void on_news(uint32_t ifindex, const MptcpEvent *event, uint32_t left_out, void *userdata) {
        assert(userdata == &world && ifindex <= LINKS);
        if (event) {
                assert(left_out == 0);
                world.told[ifindex]++;
                world.all++;
                world.last = event->kind;
                return;
        }
        assert(left_out > 0);
        world.left_out[ifindex] += left_out;
        world.sums++;
}

static void begin(void) {
        memset(&world, 0, sizeof(world));
        false_clock_set(1000 * UINT64_C(1000000));
        assert(subflow_news_new(&news, NULL, on_news, &world) == 0);
}

static void end(void) {
        news = subflow_news_free(news);
        assert(!news && !false_clock.armed);
}

static void add(uint32_t ifindex, MptcpEventKind kind, size_t times) {
        const MptcpEvent event = { .kind = kind };

        for (size_t i = 0; i < times; i++)
                subflow_news_add(news, ifindex, &event);
}

static void test_few(void) {
        begin();
        assert(!false_clock.armed);
        add(1, MPTCP_SUBFLOW_UP, 1);
        assert(world.told[1] == 1 && world.last == MPTCP_SUBFLOW_UP);
        add(1, MPTCP_SUBFLOW_GONE, SUBFLOW_NEWS_LINK_MAX - 1);
        assert(world.told[1] == SUBFLOW_NEWS_LINK_MAX && world.last == MPTCP_SUBFLOW_GONE);
        /* Nothing was left out, so nothing more is said, and nothing wakes the service any more. */
        false_clock_pass(10 * SECOND);
        assert(world.sums == 0 && !false_clock.armed);
        end();
}

static void test_flood(void) {
        begin();
        /* A million in ten seconds: 20 in each, and how many there were besides. */
        for (size_t i = 0; i < 1000; i++) {
                add(1, MPTCP_SUBFLOW_UP, 1000);
                if (i == 50)
                        add(2, MPTCP_SUBFLOW_GONE, 3);
                false_clock_pass(SECOND / 100);
        }
        assert(world.told[1] <= 11 * SUBFLOW_NEWS_LINK_MAX && world.told[1] >= 9 * SUBFLOW_NEWS_LINK_MAX);
        assert(world.sums >= 9 && world.sums <= 11);
        /* The flood of one link does not silence another one. */
        assert(world.told[2] == 3 && world.left_out[2] == 0);
        false_clock_pass(SECOND);
        assert(world.told[1] + world.left_out[1] == 1000 * 1000);
        assert(!false_clock.armed);
        end();
}

static void test_all_links(void) {
        begin();
        for (uint32_t ifindex = 1; ifindex <= LINKS; ifindex++)
                add(ifindex, MPTCP_SUBFLOW_UP, 2);
        assert(world.all == SUBFLOW_NEWS_ALL_MAX);
        false_clock_pass(SECOND);
        assert(world.sums == LINKS - SUBFLOW_NEWS_ALL_MAX / 2);
        for (uint32_t ifindex = 1; ifindex <= LINKS; ifindex++)
                assert(world.told[ifindex] + world.left_out[ifindex] == 2);
        end();
}

static void test_nobody(void) {
        begin();
        add(1, MPTCP_SUBFLOW_UP, 2 * SUBFLOW_NEWS_LINK_MAX);
        subflow_news_clear(news);
        assert(!false_clock.armed);
        false_clock_pass(10 * SECOND);
        assert(world.sums == 0);
        add(1, MPTCP_SUBFLOW_UP, 1);
        assert(world.told[1] == SUBFLOW_NEWS_LINK_MAX + 1);
        end();
        assert(!subflow_news_free(NULL));
}

int main(void) {
        static const Test tests[] = {
                { "a few are told at once", test_few },
                { "of a flood twenty a second are told, and the number of the others", test_flood },
                { "floods on all links together have a limit, too", test_all_links },
                { "what nobody wants to know is forgotten", test_nobody },
        };

        return run_tests(tests, ELEMENTS(tests));
}
