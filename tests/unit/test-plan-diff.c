/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of the steps from what is applied to what is wanted, and of warnings. May touch: nothing.
 */

#include "unit.h"

#include "plan-world.h"

/* What the service remembers after it has carried the plan out. */
static Applied applied_of(const Plan *plan) {
        Applied applied = {
                .attached = true,
                .raw_ip = plan->raw_ip,
                .link = plan->link,
                .mtu_original = plan->mtu != 0 ? 1500 : 0,
                .mtu_set = plan->mtu,
                .endpoint_flags = plan->endpoint_flags,
                .endpoints_count = plan->endpoints_count,
        };

        applied.link.slot = 3;
        memcpy(applied.endpoints, plan->endpoints, sizeof(applied.endpoints));
        return applied;
}

/* The steps on a link that is up, with this MTU, and as this service left it. */
static uint32_t steps(const Applied *applied, const Plan *plan, uint32_t mtu) {
        const PlanSituation situation = { .mtu = mtu, .up = true, .grace_over = true };

        return plan_diff(applied, plan, &situation);
}

static void the_first_plan_takes_all_steps(void) {
        _cleanup_(world_end) World world;
        const Applied nothing = { 0 };

        world_begin(&world);
        assert(world_plan(&world) == 0);
        assert(steps(&nothing, world.plan, 1500) == (STEP_ATTACH | STEP_REANNOUNCE | STEP_WATCH_SUBFLOWS));

        world_set(&world, KEY_ID_MTU, "1400");
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "subflow");
        assert(world_plan(&world) == 0);
        /* No address yet, so others may have registered something. */
        assert(steps(&nothing, world.plan, 1500) ==
               (STEP_ATTACH | STEP_REANNOUNCE | STEP_WATCH_SUBFLOWS | STEP_MTU));
        world_add_address(&world, "10.0.1.2");
        assert(world_plan(&world) == 0);
        assert(steps(&nothing, world.plan, 1500) ==
               (STEP_ATTACH | STEP_MTU | STEP_ENDPOINTS | STEP_WATCH_SUBFLOWS));
        /* Somebody else has set this MTU already; it is not ours to restore. */
        assert(steps(&nothing, world.plan, 1400) == (STEP_ATTACH | STEP_ENDPOINTS | STEP_WATCH_SUBFLOWS));

        /* Subflows of an on-demand link begin as plain TCP: nothing is gained by building them anew. */
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "none");
        world_set(&world, KEY_ID_TUNNEL, "on-demand");
        assert(world_plan(&world) == 0);
        assert(steps(&nothing, world.plan, 1400) == STEP_ATTACH);
}

/* Programs for connections that are there already change nothing for new ones. */
static void taking_in_takes_one_step(void) {
        _cleanup_(world_end) World world;
        const Applied nothing = { 0 };
        const Applied taken_in = { .attached = true, .taken_in = true };
        Applied applied = taken_in;

        world_begin(&world);
        world_set(&world, KEY_ID_TUNNEL, "no");
        world_set(&world, KEY_ID_MTU, "1400");
        world.input.taken_in = true;
        assert(world_plan(&world) == 0);
        assert(steps(&nothing, world.plan, 1500) == STEP_ATTACH);
        assert(steps(&applied, world.plan, 1500) == 0);

        /* A tunnel of its own is a beginning, also where programs are there already. */
        world_set(&world, KEY_ID_TUNNEL, "yes");
        assert(world_plan(&world) == 0);
        assert(steps(&applied, world.plan, 1400) ==
               (STEP_SETTINGS | STEP_FORGET | STEP_REANNOUNCE | STEP_WATCH_SUBFLOWS));
        applied.taken_in = false;
        applied.link = world.plan->link;
        assert(steps(&applied, world.plan, 1400) == 0);
        applied = taken_in;

        world.input.taken_in = false;
        world_set(&world, KEY_ID_TUNNEL, "no");
        assert(world_plan(&world) == 0);
        assert(steps(&applied, world.plan, 1500) == STEP_DETACH);
}

static void the_same_plan_takes_no_step(void) {
        _cleanup_(world_end) World world;
        Applied applied;

        world_begin(&world);
        world_add_address(&world, "10.0.1.2");
        world_add_address(&world, "10.0.1.3");
        world_set(&world, KEY_ID_MTU, "1400");
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "subflow");
        assert(world_plan(&world) == 0);
        applied = applied_of(world.plan);
        assert(steps(&applied, world.plan, 1400) == 0);
        /* Another order is no change. */
        applied.endpoints[0] = world.plan->endpoints[1];
        applied.endpoints[1] = world.plan->endpoints[0];
        assert(steps(&applied, world.plan, 1400) == 0);
        /* A changed MTU is set again. */
        assert(steps(&applied, world.plan, 1500) == STEP_MTU);
}

static void changed_settings_take_one_step(void) {
        _cleanup_(world_end) World world;
        Applied applied;

        world_begin(&world);
        assert(world_plan(&world) == 0);
        applied = applied_of(world.plan);
        world_set(&world, KEY_ID_REMOTE_PORTS, "444");
        assert(world_plan(&world) == 0);
        assert(steps(&applied, world.plan, 1500) == (STEP_SETTINGS | STEP_FORGET));

        world.facts.mtu = 1400;  /* mss=auto follows */
        world_set(&world, KEY_ID_REMOTE_PORTS, "443");
        assert(world_plan(&world) == 0);
        assert(steps(&applied, world.plan, 1400) == (STEP_SETTINGS | STEP_FORGET));

        world.facts.type = ARPHRD_PPP;
        assert(world_plan(&world) == 0);
        assert(steps(&applied, world.plan, 1400) ==
               (STEP_DETACH | STEP_ATTACH | STEP_REANNOUNCE | STEP_WATCH_SUBFLOWS));
}

static void other_programs_take_all_steps(void) {
        _cleanup_(world_end) World world;
        Applied applied;

        world_begin(&world);
        world_add_address(&world, "10.0.1.2");
        world_set(&world, KEY_ID_MTU, "1400");
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "subflow");
        assert(world_plan(&world) == 0);
        applied = applied_of(world.plan);
        world.facts.type = ARPHRD_PPP;
        assert(world_plan(&world) == 0);
        assert(steps(&applied, world.plan, 1400) ==
               (STEP_REMOVE_ENDPOINTS | STEP_RESTORE_MTU | STEP_DETACH | STEP_ATTACH | STEP_MTU |
                STEP_ENDPOINTS | STEP_WATCH_SUBFLOWS));
}

static void what_is_no_longer_wanted_is_restored(void) {
        _cleanup_(world_end) World world;
        Applied applied;

        world_begin(&world);
        world_add_address(&world, "10.0.1.2");
        world_set(&world, KEY_ID_MTU, "1400");
        world_set(&world, KEY_ID_MSS, "1000");
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "subflow");
        assert(world_plan(&world) == 0);
        applied = applied_of(world.plan);

        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "signal");
        assert(world_plan(&world) == 0);
        assert(steps(&applied, world.plan, 1400) ==
               (STEP_REMOVE_ENDPOINTS | STEP_ENDPOINTS | STEP_WATCH_SUBFLOWS));

        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "subflow");
        world_add_address(&world, "10.0.1.3");
        assert(world_plan(&world) == 0);
        assert(steps(&applied, world.plan, 1400) == (STEP_ENDPOINTS | STEP_WATCH_SUBFLOWS));

        world.addresses[0] = world.addresses[1];
        assert(world_plan(&world) == 0);
        assert(steps(&applied, world.plan, 1400) ==
               (STEP_REDUCE_ENDPOINTS | STEP_ENDPOINTS | STEP_WATCH_SUBFLOWS));

        world_set(&world, KEY_ID_MTU, "auto");
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "none");
        assert(world_plan(&world) == 0);
        assert(steps(&applied, world.plan, 1400) == (STEP_REMOVE_ENDPOINTS | STEP_RESTORE_MTU));

        world_set(&world, KEY_ID_TUNNEL, "no");
        assert(world_plan(&world) == 0);
        assert(steps(&applied, world.plan, 1400) ==
               (STEP_REMOVE_ENDPOINTS | STEP_RESTORE_MTU | STEP_DETACH));
        applied.endpoints_count = 0;
        applied.mtu_original = 0;
        assert(steps(&applied, world.plan, 1400) == STEP_DETACH);
        /* Half undone: the rest is undone too. */
        applied.attached = false;
        assert(steps(&applied, world.plan, 1400) == 0);
        applied.mtu_original = 1500;
        assert(steps(&applied, world.plan, 1400) == STEP_RESTORE_MTU);
}

static void waiting_takes_the_tunnel_off(void) {
        _cleanup_(world_end) World world;
        Applied applied;

        world_begin(&world);
        assert(world_plan(&world) == 0);
        applied = applied_of(world.plan);
        world_set(&world, KEY_ID_TUNNEL, "auto");
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_WAIT);
        assert(steps(&applied, world.plan, 1500) == STEP_DETACH);
}

static void a_link_of_networkd_that_goes_down_is_restored(void) {
        _cleanup_(world_end) World world;
        Applied applied;

        world_begin(&world);
        world_set(&world, KEY_ID_MTU, "1400");
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "subflow");
        world_add_address(&world, "10.0.1.2");
        assert(string_replace(&world.profile->network_file, "/etc/systemd/network/10-lte.network") == 0);
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_ATTACH);
        applied = applied_of(world.plan);

        world.profile->network_down = true;
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_OFF);
        assert_contains(world.plan->reason, "10-lte.network");
        assert(steps(&applied, world.plan, 1400) ==
               (STEP_REMOVE_ENDPOINTS | STEP_RESTORE_MTU | STEP_DETACH));
        /* Also when the profile has become bad since. */
        world_set(&world, KEY_ID_MTU, "1");
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_OFF);
}

static void equal_plans_ask_for_the_same(void) {
        static const struct {
                KeyId key;
                const char *text;
        } changes[] = {
                { KEY_ID_REMOTE_PORTS, "444" },
                { KEY_ID_MTU, "1401" },
                { KEY_ID_MPTCP_ENDPOINT, "signal" },
                { KEY_ID_TUNNEL, "no" },
        };
        _cleanup_(world_end) World world;

        world_begin(&world);
        world_add_address(&world, "10.0.1.2");
        for (size_t i = 0; i < ELEMENTS(changes); i++) {
                _cleanup_(plan_freep) Plan *before = NULL;

                assert(world_plan(&world) == 0);
                before = TAKE_PTR(world.plan);
                assert(world_plan(&world) == 0);
                assert(plan_equal(before, world.plan));
                world_set(&world, changes[i].key, changes[i].text);
                assert(world_plan(&world) == 0);
                assert(!plan_equal(before, world.plan));
        }
}

static void what_is_unconfirmed_gets_its_settings_again(void) {
        PlanSituation situation = { .mtu = 1500, .up = true, .unconfirmed = true };
        const Applied nothing = { 0 };
        _cleanup_(world_end) World world;
        Applied applied;

        world_begin(&world);
        assert(world_plan(&world) == 0);
        applied = applied_of(world.plan);
        assert(plan_diff(&applied, world.plan, &situation) == STEP_SETTINGS);
        situation = (PlanSituation) { .mtu = 1500, .up = true, .receive_differs = true };
        assert(plan_diff(&applied, world.plan, &situation) == STEP_RECEIVE);

        /* What an earlier service left half done is taken off, too. */
        world_set(&world, KEY_ID_TUNNEL, "no");
        assert(world_plan(&world) == 0);
        assert(plan_diff(&nothing, world.plan, &situation) == 0);
        situation = (PlanSituation) { .mtu = 1500, .up = true, .unconfirmed = true };
        assert(plan_diff(&nothing, world.plan, &situation) == STEP_DETACH);
}

static void another_network_is_begun_without_memory(void) {
        const PlanSituation situation = { .mtu = 1500, .up = true, .moved = true };
        const Applied nothing = { 0 };
        _cleanup_(world_end) World world;
        Applied applied;

        world_begin(&world);
        assert(world_plan(&world) == 0);
        applied = applied_of(world.plan);
        assert(plan_diff(&applied, world.plan, &situation) == STEP_FORGET);
        /* What begins, or ends, has none. */
        assert(!(plan_diff(&nothing, world.plan, &situation) & STEP_FORGET));
        world_set(&world, KEY_ID_TUNNEL, "no");
        assert(world_plan(&world) == 0);
        assert(plan_diff(&applied, world.plan, &situation) == STEP_DETACH);
}

static void endpoints_whose_address_has_gone_get_a_grace(void) {
        PlanSituation situation = { .mtu = 1500, .up = true };
        _cleanup_(world_end) World world;
        Applied applied;

        world_begin(&world);
        world_add_address(&world, "10.0.1.2");
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "subflow");
        assert(world_plan(&world) == 0);
        applied = applied_of(world.plan);

        world.facts.addresses_count = 0;
        assert(world_plan(&world) == 0);
        assert(plan_diff(&applied, world.plan, &situation) == STEP_GRACE);
        situation.grace_over = true;
        assert(plan_diff(&applied, world.plan, &situation) == STEP_REDUCE_ENDPOINTS);
        situation = (PlanSituation) { .mtu = 1500, .up = false };
        assert(plan_diff(&applied, world.plan, &situation) == STEP_REDUCE_ENDPOINTS);

        /* Another address instead: it gets its endpoint at once. */
        situation.up = true;
        world_add_address(&world, "10.0.1.3");
        world.addresses[0].address = address_of("10.0.1.3");
        assert(world_plan(&world) == 0);
        assert(plan_diff(&applied, world.plan, &situation) ==
               (STEP_GRACE | STEP_ENDPOINTS | STEP_WATCH_SUBFLOWS));

        /* Other flags are another wish of the profile, and so is no endpoint at all. */
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "subflow,backup");
        assert(world_plan(&world) == 0);
        assert(plan_diff(&applied, world.plan, &situation) ==
               (STEP_REMOVE_ENDPOINTS | STEP_ENDPOINTS | STEP_WATCH_SUBFLOWS));
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "none");
        assert(world_plan(&world) == 0);
        assert(plan_diff(&applied, world.plan, &situation) == STEP_REMOVE_ENDPOINTS);
}

static void ephemeral_ports_are_warned_of(void) {
        static const struct {
                const char *remote, *local;
                size_t warnings;
                const char *first;
        } cases[] = {
                { "443", "22", 0, NULL },
                { "443", "60999", 1,
                  "underpass.local-ports: 60999-60999 overlaps net.ipv4.ip_local_port_range (32768-60999), "
                  "so the kernel" },
                { "30000-32768,40000-40010", "22", 1,
                  "underpass.remote-ports: 30000-32768 overlaps the ports" },
                { "1-65535", "40000,50000", 2, "underpass.local-ports: 40000-40000 overlaps" },
                { "61000", "32767", 0, NULL },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(world_end) World world;

                world_begin(&world);
                world.input.ephemeral_ports = (struct underpass_port_range) { 32768, 60999 };
                world_set(&world, KEY_ID_REMOTE_PORTS, cases[i].remote);
                world_set(&world, KEY_ID_LOCAL_PORTS, cases[i].local);
                assert(world_plan(&world) == 0);
                assert(strings_count(world.plan->warnings) == cases[i].warnings);
                if (cases[i].first) {
                        assert_contains(world.plan->warnings[0], cases[i].first);
                        assert_contains(world.plan->warnings[0], "net.ipv4.ip_local_reserved_ports.");
                }
                /* Unknown range: nothing to say. */
                world.input.ephemeral_ports.first = 0;
                assert(world_plan(&world) == 0);
                assert(!world.plan->warnings);
        }
}

static void two_masters_are_warned_of(void) {
        _cleanup_(world_end) World world;

        world_begin(&world);
        world.profile->connection_endpoints = true;
        world.profile->connection_mtu = 1450;
        assert(world_plan(&world) == 0);
        assert(!world.plan->warnings);

        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "subflow");
        world_set(&world, KEY_ID_MTU, "1400");
        assert(world_plan(&world) == 0);
        assert(strings_count(world.plan->warnings) == 2);
        assert_contains(world.plan->warnings[0], "underpass.mptcp-endpoint=subflow in LTE (6f0c): ");
        assert_contains(world.plan->warnings[0], "set connection.mptcp-flags=disabled.");
        assert_contains(world.plan->warnings[1], "the connection itself sets an MTU of 1450");

        world.profile->connection_mtu = 1400;
        world.profile->connection_endpoints = false;
        assert(world_plan(&world) == 0);
        assert(!world.plan->warnings);
}

int main(void) {
        static const Test tests[] = {
                { "the first plan takes all steps", the_first_plan_takes_all_steps },
                { "taking connections in takes one step", taking_in_takes_one_step },
                { "the same plan takes no step", the_same_plan_takes_no_step },
                { "changed settings take one step", changed_settings_take_one_step },
                { "other programs take all steps", other_programs_take_all_steps },
                { "what is no longer wanted is restored", what_is_no_longer_wanted_is_restored },
                { "waiting takes the tunnel off", waiting_takes_the_tunnel_off },
                { "a link of networkd that goes down is restored",
                  a_link_of_networkd_that_goes_down_is_restored },
                { "equal plans ask for the same", equal_plans_ask_for_the_same },
                { "what is unconfirmed gets its settings again",
                  what_is_unconfirmed_gets_its_settings_again },
                { "another network is begun without memory", another_network_is_begun_without_memory },
                { "endpoints whose address has gone get a grace",
                  endpoints_whose_address_has_gone_get_a_grace },
                { "ephemeral ports are warned of", ephemeral_ports_are_warned_of },
                { "two masters are warned of", two_masters_are_warned_of },
        };

        return run_tests(tests, ELEMENTS(tests));
}
