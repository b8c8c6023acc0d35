/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of what tells one network from another. May touch: nothing.
 */

#include "unit.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "plan-world.h"
#include "plan/network.h"

/* What a link shows: up to two addresses, gateways of both families, the connection. NULL: not there. */
typedef struct Look {
        const char *addresses[2];
        const char *gateways[_FACTS_FAMILY_MAX];
        const char *connection;
        const char *file;
        uint32_t flags; /* of the addresses */
        uint8_t scope;
} Look;

static int look(Network *network, const Look *seen) {
        _cleanup_(world_end) World world;

        world_begin(&world);
        for (size_t i = 0; i < ELEMENTS(seen->addresses) && seen->addresses[i]; i++) {
                world_add_address(&world, seen->addresses[i]);
                world.addresses[i].flags = seen->flags;
                world.addresses[i].scope = seen->scope;
        }
        for (FactsFamily family = 0; family < _FACTS_FAMILY_MAX; family++)
                if (seen->gateways[family])
                        world.facts.gateways[family] = address_of(seen->gateways[family]);
        assert(string_replace(&world.profile->connection_uuid, seen->connection) == 0);
        assert(string_replace(&world.profile->network_file, seen->file) == 0);
        return network_follow(network, &world.facts, world.profile);
}

static const Look nothing = {};
static const Look home = {
        .addresses = { "10.0.0.7", "2001:db8:1::7" },
        .gateways = { "10.0.0.1", "fe80::1" },
        .connection = "6f0c",
};

/* Whether the link is in another network when it shows this after home. */
static int after_home(const Look *seen) {
        _cleanup_(network_clear) Network network = {};
        int another;

        assert(look(&network, &home) == 0);
        assert(look(&network, &home) == 0);
        another = look(&network, seen);
        assert(look(&network, seen) == 0);
        return another;
}

static void each_difference_tells(void) {
        Look seen = home;

        assert(after_home(&seen) == 0);
        seen.connection = "7a1b";
        assert(after_home(&seen) == 1);

        seen = home;
        seen.gateways[FACTS_IPV4] = "10.0.0.254";
        assert(after_home(&seen) == 1);
        seen = home;
        seen.gateways[FACTS_IPV6] = "fe80::2";
        assert(after_home(&seen) == 1);

        seen = home;
        seen.addresses[0] = "10.0.0.8";
        assert(after_home(&seen) == 1);
        seen = home;
        seen.addresses[1] = "2001:db8:2::7";
        assert(after_home(&seen) == 1);
}

static void another_file_of_networkd_tells(void) {
        _cleanup_(network_clear) Network network = {};

        assert(look(&network, &(Look) { .file = "/etc/systemd/network/a.network" }) == 0);
        assert(look(&network, &(Look) { .file = "/etc/systemd/network/a.network" }) == 0);
        assert(look(&network, &(Look) { .file = "/etc/systemd/network/b.network" }) == 1);
}

static void what_is_missing_does_not_tell(void) {
        _cleanup_(network_clear) Network network = {};
        Look seen = home;

        assert(look(&network, &nothing) == 0);
        assert(look(&network, &home) == 0);
        assert(look(&network, &nothing) == 0);
        assert(look(&network, &home) == 0);
        /* But it was not forgotten: one thing after the other comes back, and one is another. */
        assert(look(&network, &nothing) == 0);
        seen.gateways[FACTS_IPV4] = NULL;
        assert(look(&network, &seen) == 0);
        seen.gateways[FACTS_IPV4] = "10.0.0.254";
        assert(look(&network, &seen) == 1);
}

static void after_a_change_only_the_new_network_counts(void) {
        _cleanup_(network_clear) Network network = {};
        Look seen = { .addresses = { "192.168.1.7" }, .connection = "7a1b" };

        assert(look(&network, &home) == 0);
        assert(look(&network, &seen) == 1);
        /* The route comes after the address; the IPv6 address, too. */
        seen.gateways[FACTS_IPV4] = "192.168.1.1";
        assert(look(&network, &seen) == 0);
        seen.addresses[1] = "2001:db8:2::7";
        assert(look(&network, &seen) == 0);
        assert(look(&network, &home) == 1);
}

static void one_address_after_the_other_tells(void) {
        _cleanup_(network_clear) Network network = {};

        assert(look(&network, &(Look) { .addresses = { "10.0.0.7" } }) == 0);
        assert(look(&network, &(Look) { .addresses = { "10.0.0.7", "10.0.0.8" } }) == 0);
        assert(look(&network, &(Look) { .addresses = { "10.0.0.8", "10.0.0.7" } }) == 0);
        assert(look(&network, &(Look) { .addresses = { "10.0.0.8" } }) == 1);
        assert(look(&network, &(Look) { .addresses = { "10.0.0.8" } }) == 0);
}

static void other_addresses_do_not_count(void) {
        _cleanup_(network_clear) Network network = {};
        Look seen = { .addresses = { "2001:db8:1::7" }, .flags = IFA_F_TEMPORARY };

        assert(look(&network, &seen) == 0);
        seen.addresses[0] = "2001:db8:1::8";
        assert(look(&network, &seen) == 0);
        seen = (Look) { .addresses = { "fe80::7" }, .scope = RT_SCOPE_LINK };
        assert(look(&network, &seen) == 0);
        seen.addresses[0] = "fe80::8";
        assert(look(&network, &seen) == 0);
        /* The same bit means "secondary" for IPv4. */
        seen = (Look) { .addresses = { "10.0.0.7" }, .flags = IFA_F_SECONDARY };
        assert(look(&network, &seen) == 0);
        seen.addresses[0] = "10.0.0.8";
        assert(look(&network, &seen) == 1);
}

int main(void) {
        static const Test tests[] = {
                { "each difference tells", each_difference_tells },
                { "another file of networkd tells", another_file_of_networkd_tells },
                { "what is missing does not tell", what_is_missing_does_not_tell },
                { "after a change only the new network counts", after_a_change_only_the_new_network_counts },
                { "one address after the other tells", one_address_after_the_other_tells },
                { "other addresses do not count", other_addresses_do_not_count },
        };

        return run_tests(tests, ELEMENTS(tests));
}
