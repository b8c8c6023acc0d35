/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * MPTCP endpoints registered anew, so that the kernel builds their subflows through the tunnel: those that
 * NetworkManager had registered before the tunnel was there, and those whose subflow did not come up, for
 * the kernel tries each endpoint only once.
 */

#include "base/log.h"
#include "kernel/sock-diag.h"
#include "service/manager.h"
#include "source/nm.h"

enum {
        CHECK_US = 700 * 1000, /* time that a subflow gets before its endpoint is announced again */
        CHECKS_MAX = 3,
};

static size_t subflows_from(const Address *address) {
        size_t count = 0;

        return sock_diag_mptcp_subflows(address, &count) < 0 ? 0 : count;
}

static bool builds_subflows(const Link *link, const MptcpEndpoint *endpoint) {
        return endpoint->ifindex == link->ifindex && (endpoint->flags & ENDPOINT_SUBFLOW);
}

static void announce(Link *link, const MptcpEndpoint *endpoint) {
        int r;

        r = mptcp_pm_remove(link->manager->mptcp_pm, endpoint);
        if (r >= 0)
                r = mptcp_pm_add(link->manager->mptcp_pm, endpoint);
        if (r < 0 && r != -ENOENT && r != -EEXIST)
                log_line(LOG_WARNING, link_name(link), link_stage_name(STAGE_ENDPOINT),
                         "An MPTCP endpoint cannot be announced anew: %s; new connections use the tunnel "
                         "all the same.",
                         strerror(-r));
}

/* Whether there is an MPTCP connection over another link that a subflow of this endpoint could join. */
static bool could_join(const Link *link, const MptcpEndpoint *endpoint) {
        for (const Link *other = link->manager->links; other; other = other->next)
                for (size_t i = 0; other != link && i < other->facts->addresses_count; i++) {
                        const Address *address = &other->facts->addresses[i].address;

                        if (address_is_ipv4(address) == address_is_ipv4(&endpoint->address) &&
                            subflows_from(address) > 0)
                                return true;
                }
        return false;
}

static void check_subflows(Link *link) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        size_t count = 0;

        if (mptcp_pm_dump(link->manager->mptcp_pm, &endpoints, &count) < 0)
                return;
        for (size_t i = 0; i < count; i++)
                if (builds_subflows(link, &endpoints[i]) && subflows_from(&endpoints[i].address) == 0 &&
                    could_join(link, &endpoints[i]))
                        announce(link, &endpoints[i]);
}

static int on_check(sd_event_source *source, uint64_t usec, void *userdata) {
        Link *link = userdata;

        link->check = sd_event_source_disable_unref(link->check);
        if (link->applied.attached) {
                check_subflows(link);
                link_watch_subflows(link, link->checks_left - 1);
        }
        return 0;
}

void link_watch_subflows(Link *link, unsigned checks) {
        link->check = sd_event_source_disable_unref(link->check);
        link->checks_left = MIN_OF(checks, (unsigned) CHECKS_MAX);
        if (link->checks_left > 0 && link->manager->mptcp_pm)
                (void) sd_event_add_time_relative(link->manager->event, &link->check, CLOCK_MONOTONIC,
                                                  CHECK_US, 0, on_check, link);
}

void link_announce_endpoints(Link *link) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        size_t count = 0;

        if (!link->manager->mptcp_pm || mptcp_pm_dump(link->manager->mptcp_pm, &endpoints, &count) < 0)
                return;
        for (size_t i = 0; i < count; i++) {
                size_t subflows;

                if (!builds_subflows(link, &endpoints[i]))
                        continue;
                subflows = subflows_from(&endpoints[i].address);
                /* Those of a link that is just coming up are young and have another link to fall back on. */
                if (subflows > 0 &&
                    !source_nm_activating(link->manager->sources[SOURCE_NETWORK_MANAGER], link->ifindex))
                        log_line(LOG_INFO, link_name(link), NULL,
                                 "%zu subflows are established outside of the tunnel and stay there until "
                                 "they end.",
                                 subflows);
                else
                        announce(link, &endpoints[i]);
        }
}
