/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Fuzz target: what the kernel says by netlink. The first byte chooses who asks, the rest is the datagram
 * that answers each of its requests; this file stands in for the socket (base/netlink.c). May touch: the
 * sockets of the monitors, from which nothing is read.
 */

#include "unit.h"

#include "base/netlink-answer.h"
#include "base/netlink.h"
#include "fuzz.h"
#include "kernel/mptcp-events.h"
#include "kernel/mptcp-pm.h"
#include "kernel/rtnl.h"
#include "kernel/sock-diag.h"

enum {
        SEQUENCE = 1,
        IFINDEX = 3,
        ERRNO_MAX = 4095,
};

struct Netlink {
        NetlinkAnswer state;
};

/* The datagram that is answered with. */
static const void *answer;
static size_t answer_length;

int netlink_open(Netlink **ret, int protocol) {
        *ret = calloc(1, sizeof(**ret));
        assert(*ret);
        return 0;
}

Netlink *netlink_free(Netlink *netlink) {
        free(netlink);
        return NULL;
}

const char *netlink_error(const Netlink *netlink) {
        return netlink->state.error;
}

/* A datagram that does not end the call is as good as a time limit that has passed. */
int netlink_call(Netlink *netlink, struct nlmsghdr *message, mnl_cb_t callback, void *userdata) {
        NetlinkAnswer *state = &netlink->state;

        *state = (NetlinkAnswer) { .sequence = SEQUENCE, .callback = callback, .userdata = userdata };
        netlink_answer_read(state, answer, answer_length);
        assert(strnlen(state->error, sizeof(state->error)) < sizeof(state->error));
        if (!state->finished)
                return -ETIMEDOUT;

        int r = netlink_answer_result(state);
        assert(r <= 0 && r >= -ERRNO_MAX);
        return r;
}

static void on_change(RtnlChange change, uint32_t ifindex, void *userdata) {
        assert(change == RTNL_LINK || change == RTNL_LINK_GONE || change == RTNL_ADDRESS ||
               change == RTNL_ROUTE || change == RTNL_QDISC || change == RTNL_FILTER);
        assert(ifindex > 0);
}

static Rtnl *open_rtnl(void) {
        static Rtnl *rtnl;

        if (!rtnl)
                assert(rtnl_open(&rtnl) == 0);
        return rtnl;
}

static void read_notification(void) {
        rtnl_notify(answer, answer_length, on_change, NULL);
}

static void read_link(void) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;

        if (rtnl_link(open_rtnl(), IFINDEX, &facts) < 0) {
                assert(!facts);
                return;
        }
        assert(facts->ifindex == IFINDEX && facts->type_name);
        assert(memchr(facts->name, 0, sizeof(facts->name)) && memchr(facts->kind, 0, sizeof(facts->kind)));
        assert(facts->addresses || facts->addresses_count == 0);
}

static void read_links(void) {
        _cleanup_(freep) uint32_t *indexes = NULL;
        size_t count = 0;

        if (rtnl_links(open_rtnl(), &indexes, &count) < 0) {
                assert(!indexes && count == 0);
                return;
        }
        for (size_t i = 0; i < count; i++)
                assert(indexes[i] > 0 && (i == 0 || indexes[i] >= indexes[i - 1]));
}

static void read_endpoints(void) {
        _cleanup_(mptcp_pm_freep) MptcpPm *pm = NULL;
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        size_t count = 0;

        if (mptcp_pm_open(&pm) < 0) {
                assert(!pm);
                return;
        }
        if (mptcp_pm_dump(pm, &endpoints, &count) < 0)
                assert(!endpoints && count == 0);
        for (size_t i = 0; i < count; i++)
                (void) mptcp_pm_add(pm, &endpoints[i]);
        if (count > 0)
                (void) mptcp_pm_remove(pm, &endpoints[0]);
}

static void read_ports(void) {
        _cleanup_(freep) uint16_t *ports = NULL;
        size_t count = 0;

        if (sock_diag_udp_ports(&ports, &count) < 0)
                assert(!ports && count == 0);
        for (size_t i = 0; i < count; i++)
                assert(ports[i] > 0 && (i == 0 || ports[i] > ports[i - 1]));
}

static void read_subflows(void) {
        const Address local[] = {
                { .word = { 0, 0, htobe32(0xffff), htobe32(0x0a050002) } },
                { .word = { htobe32(0x20010db8), 0, 0, htobe32(2) } },
        };

        for (size_t i = 0; i < ELEMENTS(local); i++) {
                size_t count = 77;

                if (sock_diag_mptcp_subflows(&local[i], &count) < 0)
                        assert(count == 77);
        }
}

static void on_mptcp_event(const MptcpEvent *event, void *userdata) {
        const Address none = {};

        assert(event->kind <= MPTCP_SUBFLOW_GONE);
        assert(event->has_local || address_equal(&event->local, &none));
        assert(!event->refused || event->error == 0 || event->error == ECONNREFUSED);
}

static void read_mptcp_events(void) {
        mptcp_events_notify(answer, answer_length, on_mptcp_event, NULL);
}

static void read_mptcp_groups(void) {
        _cleanup_(mptcp_events_freep) MptcpEvents *events = NULL;

        assert(mptcp_events_open(&events) < 0 || mptcp_events_fd(events) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static void (*const readers[])(void) = {
                read_notification, read_link,     read_links,        read_endpoints,
                read_ports,        read_subflows, read_mptcp_events, read_mptcp_groups,
        };

        if (size == 0)
                return 0;
        /* A copy: aligned, and of exactly this size, so that a sanitizer sees a read beyond it. */
        _cleanup_(freep) uint8_t *copy = malloc(MAX_OF(size - 1, (size_t) 1));
        assert(copy);
        memcpy(copy, data + 1, size - 1);
        answer = copy;
        answer_length = size - 1;
        readers[data[0] % ELEMENTS(readers)]();
        return 0;
}
