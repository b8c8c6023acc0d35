/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See network.h. */

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "base/util.h"
#include "plan/network.h"

static FactsFamily family_of(const Address *address) {
        return address_is_ipv4(address) ? FACTS_IPV4 : FACTS_IPV6;
}

static bool is_set(const Address *address) {
        const Address none = {};

        return !address_equal(address, &none);
}

/* Temporary addresses change in one and the same network. */
static bool counts(const LinkAddress *address) {
        return address->scope == RT_SCOPE_UNIVERSE &&
               (address_is_ipv4(&address->address) || !(address->flags & IFA_F_TEMPORARY));
}

static int read_network(Network *network, const LinkFacts *facts, const Profile *profile) {
        const char *name = profile->connection_uuid ?: profile->network_file;

        memcpy(network->gateways, facts->gateways, sizeof(network->gateways));
        network->addresses = calloc(facts->addresses_count + 1, sizeof(*network->addresses));
        if (!network->addresses)
                return -ENOMEM;
        for (size_t i = 0; i < facts->addresses_count; i++)
                if (counts(&facts->addresses[i]))
                        network->addresses[network->addresses_count++] = facts->addresses[i].address;
        return string_replace(&network->profile, name);
}

/* Whether both have addresses of the family, and none in common. */
static bool addresses_differ(const Network *a, const Network *b, FactsFamily family) {
        size_t in_a = 0, in_b = 0;

        for (size_t i = 0; i < a->addresses_count; i++) {
                if (family_of(&a->addresses[i]) != family)
                        continue;
                if (addresses_contain(b->addresses, b->addresses_count, &a->addresses[i]))
                        return false;
                in_a++;
        }
        for (size_t i = 0; i < b->addresses_count; i++)
                in_b += family_of(&b->addresses[i]) == family;
        return in_a > 0 && in_b > 0;
}

static bool is_another(const Network *known, const Network *now) {
        if (known->profile && now->profile && !streq(known->profile, now->profile))
                return true;
        for (FactsFamily family = 0; family < _FACTS_FAMILY_MAX; family++) {
                const Address *before = &known->gateways[family], *after = &now->gateways[family];

                if (is_set(before) && is_set(after) && !address_equal(before, after))
                        return true;
                if (addresses_differ(known, now, family))
                        return true;
        }
        return false;
}

/*
 * Learns what was not known before. The addresses of a family stay those that the link had first: one that
 * is added later, and then is the only one, shows that the link has moved.
 */
static int complete(Network *known, Network *now) {
        bool had[_FACTS_FAMILY_MAX] = {};
        const size_t most = known->addresses_count + now->addresses_count + 1;
        Address *all;

        all = reallocarray(known->addresses, most, sizeof(*all));
        if (!all)
                return -ENOMEM;
        known->addresses = all;
        for (size_t i = 0; i < known->addresses_count; i++)
                had[family_of(&all[i])] = true;
        for (size_t i = 0; i < now->addresses_count; i++)
                if (!had[family_of(&now->addresses[i])])
                        all[known->addresses_count++] = now->addresses[i];
        for (FactsFamily family = 0; family < _FACTS_FAMILY_MAX; family++)
                if (!is_set(&known->gateways[family]))
                        known->gateways[family] = now->gateways[family];
        if (!known->profile)
                known->profile = TAKE_PTR(now->profile);
        return 0;
}

int network_follow(Network *network, const LinkFacts *facts, const Profile *profile) {
        _cleanup_(network_clear) Network now = {};
        int r;

        r = read_network(&now, facts, profile);
        if (r < 0)
                return r;
        if (!is_another(network, &now))
                return complete(network, &now);
        network_clear(network);
        *network = now;
        now = (Network) {};
        return 1;
}

void network_clear(Network *network) {
        free(network->profile);
        free(network->addresses);
        *network = (Network) {};
}
