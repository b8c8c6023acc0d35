/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See source-check.h. */

#include <unistd.h>

#include "ctl/source-check.h"
#include "kernel/sysctl.h"

/* The kernel's own judgment of a packet that comes from there: it knows of routes by several links, and of
 * tables of the link, and asks for no user. Kernels before 6.13 say -EXDEV, newer ones -EINVAL. */
static bool is_refused(Routes *routes, uint32_t ifindex, const Address *local, const Address *remote) {
        const RouteQuery query = { .local = *remote, .remote = *local, .from = ifindex };
        uint32_t unused;
        bool here;
        const int r = routes_find(routes, &query, &unused, &here);

        return r == -EXDEV || r == -EINVAL;
}

bool source_check_drops(Routes *routes, const LinkFacts *facts, const Address *remote) {
        bool strict = false;

        if (!address_is_ipv4(remote) || sysctl_strict_source(facts->name, &strict) < 0 || !strict)
                return false;
        for (size_t i = 0; i < facts->addresses_count; i++) {
                RouteQuery query = {
                        .local = facts->addresses[i].address,
                        .remote = *remote,
                        .user = getuid(),
                };
                uint32_t ifindex;
                bool here;

                /* Nobody far away talks to a link-local address. */
                if (!address_is_ipv4(&query.local) || !endpoint_address_suitable(&facts->addresses[i]) ||
                    routes_find(routes, &query, &ifindex, &here) < 0 || here || ifindex == facts->ifindex)
                        continue;
                query.bound = facts->ifindex;
                if (routes_lead(routes, &query) &&
                    is_refused(routes, facts->ifindex, &query.local, remote))
                        return true;
        }
        return false;
}
