/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See source-check.h. */

#include <unistd.h>

#include "ctl/source-check.h"
#include "kernel/sysctl.h"

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

                if (!address_is_ipv4(&query.local) || routes_find(routes, &query, &ifindex, &here) < 0 ||
                    here || ifindex == facts->ifindex)
                        continue;
                query.bound = facts->ifindex;
                if (routes_lead(routes, &query))
                        return true;
        }
        return false;
}
