/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Keeps MPTCP endpoints for a moment whose addresses have just gone: systemd-networkd 252 takes all
 * addresses from a link and gives them back when it configures the link anew, as DHCP clients do when they
 * replace a lease. With its endpoint a subflow would end; without an address it only has to wait.
 */

#include "service/manager.h"

enum { SPARE_US = 1000 * 1000 };

static int on_over(sd_event_source *source, uint64_t usec, void *userdata) {
        Link *link = userdata;

        link->spare = sd_event_source_disable_unref(link->spare);
        link->spared = true;
        manager_mark(link->manager, link->ifindex);
        return 0;
}

/* Whether nothing but addresses has gone: the link is up, and the profile asks for the same as before. */
static bool only_addresses_are_missing(const Link *link, const Plan *plan, uint32_t steps) {
        return (steps & STEP_RESTORE_ENDPOINTS) && plan->decision == PLAN_ATTACH &&
               (link->facts->flags & IFF_UP) && plan->endpoint_flags == link->applied.endpoint_flags;
}

uint32_t link_spare_endpoints(Link *link, const Plan *plan, uint32_t steps) {
        const bool over = link->spared;

        link->spared = false;
        if (!only_addresses_are_missing(link, plan, steps) || over) {
                link->spare = sd_event_source_disable_unref(link->spare);
                return steps;
        }
        if (!link->spare &&
            sd_event_add_time_relative(link->manager->event, &link->spare, CLOCK_MONOTONIC, SPARE_US, 0,
                                       on_over, link) < 0)
                return steps;
        return steps & ~(uint32_t) STEP_RESTORE_ENDPOINTS;
}
