/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus-flows.h. */

#include "base/clock.h"
#include "base/i18n.h"
#include "plan/facts.h"
#include "service/bus-flows.h"
#include "service/bus-reply.h"

const char *bus_flows_state_name(uint8_t state) {
        static const char *const names[] = {
                [0] = "",
                [UNDERPASS_FLOW_HALF_OPEN] = "half-open",
                [UNDERPASS_FLOW_TUNNELLED] = "tunnelled",
                [UNDERPASS_FLOW_WATCHED] = "plain",
                [UNDERPASS_FLOW_CLAIMED] = "half-open",
        };

        return state < ELEMENTS(names) && names[state] ? names[state] : "?";
}

static const char *format_address(const uint32_t words[4], char buffer[static INET6_ADDRSTRLEN]) {
        Address address;

        memcpy(address.word, words, sizeof(address.word));
        return address_text(&address, buffer);
}

static uint64_t milliseconds_since(uint64_t then_ns, uint64_t now_ns) {
        return now_ns > then_ns ? (now_ns - then_ns) / 1000000 : 0;
}

/* What the rows of all three methods begin with. */
static int append_flow(sd_bus_message *reply, const FlowEntry *entry) {
        const struct underpass_flow_key *key = &entry->key;
        const struct underpass_flow *flow = &entry->flow;
        char local[INET6_ADDRSTRLEN], remote[INET6_ADDRSTRLEN];

        return sd_bus_message_append(reply, "sqsqsbu", format_address(key->local, local),
                                     ntohs(key->local_port), format_address(key->remote, remote),
                                     ntohs(key->remote_port), bus_flows_state_name(flow->state),
                                     (flow->flags & UNDERPASS_FLOW_OPENED_HERE) != 0, flow->ifindex);
}

/* What the rows of flows that live go on with. */
static int append_live(sd_bus_message *reply, const FlowEntry *entry, uint64_t now_ns) {
        const struct underpass_flow *flow = &entry->flow;

        return sd_bus_message_append(reply, "uutttttt", (uint32_t) flow->syns, (uint32_t) flow->socket,
                                     milliseconds_since(flow->opened_ns, now_ns),
                                     milliseconds_since(flow->seen_ns, now_ns),
                                     flow_list_segments_sent(flow), flow->received,
                                     flow_list_bytes_sent(flow), flow_list_bytes_received(flow));
}

static int append_remembered_row(sd_bus_message *reply, const FlowEntry *entry, uint64_t now_ns) {
        const struct underpass_flow *flow = &entry->flow;
        int r;

        r = sd_bus_message_open_container(reply, 'r', "sqsqsbutttt");
        if (r >= 0)
                r = append_flow(reply, entry);
        if (r >= 0)
                r = sd_bus_message_append(reply, "tttt", milliseconds_since(flow->opened_ns, now_ns),
                                          milliseconds_since(flow->seen_ns, now_ns), flow->sent,
                                          flow->received);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_live_row(sd_bus_message *reply, const FlowEntry *entry, uint64_t now_ns) {
        int r;

        r = sd_bus_message_open_container(reply, 'r', "sqsqsbuuutttttt");
        if (r >= 0)
                r = append_flow(reply, entry);
        if (r >= 0)
                r = append_live(reply, entry, now_ns);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_busy_row(sd_bus_message *reply, const FlowEntry *entry, uint64_t now_ns) {
        int r;

        r = sd_bus_message_open_container(reply, 'r', "sqsqsbuuutttttttt");
        if (r >= 0)
                r = append_flow(reply, entry);
        if (r >= 0)
                r = append_live(reply, entry, now_ns);
        if (r >= 0)
                r = sd_bus_message_append(reply, "tt", entry->sent_rate, entry->received_rate);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* Reads the arguments of a method that gives one page. */
static int read_page(sd_bus_message *message, const char **ret_cursor, size_t *ret_limit) {
        uint32_t limit;
        int r;

        r = sd_bus_message_read(message, "su", ret_cursor, &limit);
        if (r < 0)
                return r;
        *ret_limit = limit == 0 ? FLOW_LIST_PAGE_MAX : limit;
        return 0;
}

static int wrong_cursor(sd_bus_error *error) {
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 N_("The cursor is not one that this method has returned."));
}

/* The page is complete: the cursor that leads to the next one, and out. last: NULL, there is no next one. */
static int send_page(sd_bus_message *reply, const FlowEntry *last) {
        char next[FLOW_LIST_CURSOR_LENGTH + 1] = "";
        int r;

        if (last)
                flow_list_cursor(last, next);
        r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", next);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int bus_flows_list(sd_bus_message *message, FlowList *flows, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const uint64_t now_ns = clock_monotonic_ns();
        const char *cursor;
        FlowPage page;
        size_t limit;
        int r;

        r = read_page(message, &cursor, &limit);
        if (r >= 0)
                r = flow_list_page(flows, cursor, limit, &page);
        if (r == -EINVAL)
                return wrong_cursor(error);
        if (r >= 0)
                r = bus_list_begin(message, "(sqsqsbutttt)", &reply);
        for (size_t i = 0; r >= 0 && i < page.count; i++)
                r = append_remembered_row(reply, &page.entries[i], now_ns);
        return r < 0 ? r : send_page(reply, page.more ? &page.entries[page.count - 1] : NULL);
}

int bus_flows_list_live(sd_bus_message *message, FlowList *flows, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const uint64_t now_ns = clock_monotonic_ns();
        const char *cursor;
        FlowLivePage page;
        size_t limit;
        int r;

        r = read_page(message, &cursor, &limit);
        if (r >= 0)
                r = flow_list_live_page(flows, cursor, limit, &page);
        if (r == -EINVAL)
                return wrong_cursor(error);
        if (r >= 0)
                r = bus_list_begin(message, BUS_LIVE_FLOW, &reply);
        for (size_t i = 0; r >= 0 && i < page.count; i++)
                r = append_live_row(reply, page.entries[i], now_ns);
        return r < 0 ? r : send_page(reply, page.more ? page.entries[page.count - 1] : NULL);
}

int bus_flows_list_busy(sd_bus_message *message, FlowList *flows, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const uint64_t now_ns = clock_monotonic_ns();
        const FlowSum *sums = NULL;
        size_t sums_count = 0;
        FlowLivePage page = {};
        uint32_t limit;
        int r;

        r = sd_bus_message_read(message, "u", &limit);
        if (r >= 0)
                r = flow_list_busy(flows, limit, &page, &sums, &sums_count);
        if (r >= 0)
                r = bus_list_begin(message, BUS_BUSY_FLOW, &reply);
        for (size_t i = 0; r >= 0 && i < page.count; i++)
                r = append_busy_row(reply, page.entries[i], now_ns);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(uutt)");
        for (size_t i = 0; r >= 0 && i < sums_count; i++)
                r = sd_bus_message_append(reply, "(uutt)", sums[i].ifindex, sums[i].count,
                                          sums[i].sent_rate, sums[i].received_rate);
        return r < 0 ? r : bus_list_send(reply);
}
