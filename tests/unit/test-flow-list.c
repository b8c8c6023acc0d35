/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Lists that everybody may ask for: pages of flows, and what they may cost. May touch: nothing.
 */

#include "unit.h"

#include "service/call-budget.h"
#include "service/flow-list.h"

enum { FLOWS = 2500 };

static unsigned walks;    /* how often the maps were read */
static size_t flows = FLOWS;

/* ---- twin of the tunnel: flows in no order, as a hash has them */

int tunnel_flows(Tunnel *tunnel, TunnelFlowHandler handler, void *userdata) {
        walks++;
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

        assert(sd_event_default(&event) >= 0);
        assert(flow_list_new(&list, event, NULL) == 0);
        walks = 0;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                bool seen[FLOWS] = {};

                assert(read_all(list, cases[i].limit, seen) == cases[i].pages);
                for (size_t k = 0; k < FLOWS; k++)
                        assert(seen[k]);
        }
        assert(walks == 1);  /* within one second, and so for all */
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
                { "one caller leaves time for others", one_caller_leaves_time_for_others },
                { "many callers together are bounded", many_callers_together_are_bounded },
        };

        return run_tests(tests, ELEMENTS(tests));
}
