/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of plans: what is decided, and what is said about it. May touch: nothing.
 */

#include "unit.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "plan-world.h"

static void nothing_is_done_unless_it_is_asked_for(void) {
        _cleanup_(world_end) World world;

        world_begin(&world);
        world_set(&world, KEY_ID_TUNNEL, "no");
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_OFF);
        assert_text(world.plan->reason, "underpass.tunnel=no in LTE (6f0c).");
        assert(world.plan->mtu == 0 && world.plan->endpoints_count == 0 && !world.plan->warnings);

        profile_free(world.profile);
        assert(profile_new(&world.profile) == 0);
        world.input.profile = world.profile;
        world.facts.type = ARPHRD_LOOPBACK;
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_OFF);
        assert_text(world.plan->reason, "No profile asks for a tunnel.");
}

static void yes_attaches(void) {
        _cleanup_(world_end) World world;

        world_begin(&world);
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_ATTACH);
        assert_text(world.plan->reason, "underpass.tunnel=yes in LTE (6f0c).");
        assert(!world.plan->raw_ip);
        assert(world.plan->mtu == 0 && world.plan->endpoints_count == 0);
        assert(!world.plan->warnings);
}

static void the_user_can_hold_it_off(void) {
        _cleanup_(world_end) World world;

        world_begin(&world);
        world.input.held_off = true;
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_OFF);
        assert_contains(world.plan->reason, "Deactivated by hand");

        /* Also when the profile has become bad since. */
        world_set(&world, KEY_ID_MTU, "1");
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_OFF);
}

static void a_link_without_tunnel_takes_connections_in(void) {
        static const struct underpass_link nothing;
        _cleanup_(world_end) World world;

        world_begin(&world);
        world_add_address(&world, "10.0.1.2");
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "subflow");
        world_set(&world, KEY_ID_TUNNEL, "no");
        world.input.taken_in = true;
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_ATTACH && world.plan->taken_in && !world.plan->raw_ip);
        assert_contains(world.plan->reason, "Tunnelled connections whose route has moved to eth1");
        assert_contains(world.plan->reason, "underpass.tunnel=no in LTE (6f0c).");
        /* Settings that begin no connection, and nothing else of the profile. */
        assert(memcmp(&world.plan->link, &nothing, sizeof(nothing)) == 0);
        assert(world.plan->mtu == 0 && world.plan->endpoints_count == 0 && !world.plan->warnings);

        world.facts.type = ARPHRD_NONE;
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_ATTACH && world.plan->raw_ip);

        /* Not where there are no programs for it, nor against the user's word. */
        world.facts.type = ARPHRD_INFINIBAND;
        assert(!plan_can_attach(&world.facts));
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_OFF && !world.plan->taken_in);
        world.facts.type = ARPHRD_ETHER;
        world.facts.flags |= IFF_LOOPBACK;
        assert(!plan_can_attach(&world.facts));
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_OFF);
        world.facts.flags &= ~(uint32_t) IFF_LOOPBACK;
        assert(plan_can_attach(&world.facts));
        world.input.held_off = true;
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_OFF);

        /* A tunnel of its own has its own settings. */
        world.input.held_off = false;
        world_set(&world, KEY_ID_TUNNEL, "yes");
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_ATTACH && !world.plan->taken_in);
        assert(world.plan->endpoints_count == 1);
}

static void a_bad_profile_makes_no_plan(void) {
        _cleanup_(world_end) World world;

        world_begin(&world);
        world_set(&world, KEY_ID_MTU, "1");
        assert(world_plan(&world) == -EINVAL);
        assert(!world.plan);
        assert(streq(world.error, world.profile->error));
        assert(world.error != world.profile->error);
}

static void auto_waits_for_an_endpoint(void) {
        static const struct {
                const char *endpoint;
                uint32_t ifindex;
                const char *own;  /* mptcp-endpoint */
                PlanDecision verdict;
                const char *reason;
        } cases[] = {
                { NULL, 0, "none", PLAN_WAIT, "and eth1 carries no MPTCP endpoint yet." },
                { "10.9.9.9", 0, "none", PLAN_WAIT, "no MPTCP endpoint yet" },
                { "10.9.9.9", 8, "none", PLAN_WAIT, "no MPTCP endpoint yet" },
                { "10.0.1.2", 0, "none", PLAN_ATTACH, "and eth1 carries the MPTCP endpoint 10.0.1.2." },
                { "2001:db8::2", 0, "none", PLAN_ATTACH,
                  "and eth1 carries the MPTCP endpoint 2001:db8::2." },
                { "10.9.9.9", 7, "none", PLAN_ATTACH, "and eth1 carries the MPTCP endpoint 10.9.9.9." },
                { NULL, 0, "subflow", PLAN_ATTACH, "underpass.tunnel=auto in LTE (6f0c)." },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(world_end) World world;
                MptcpEndpoint endpoint = { .ifindex = cases[i].ifindex, .flags = ENDPOINT_SIGNAL };

                world_begin(&world);
                world_add_address(&world, "10.0.1.2");
                world_add_address(&world, "2001:db8::2");
                world_set(&world, KEY_ID_TUNNEL, "auto");
                world_set(&world, KEY_ID_MPTCP_ENDPOINT, cases[i].own);
                if (cases[i].endpoint) {
                        endpoint.address = address_of(cases[i].endpoint);
                        world.input.endpoints = &endpoint;
                        world.input.endpoints_count = 1;
                }
                assert(world_plan(&world) == 0);
                assert(world.plan->decision == cases[i].verdict);
                assert_contains(world.plan->reason, cases[i].reason);
        }
}

static void the_type_of_the_link_decides_the_programs(void) {
        static const struct {
                uint16_t type;
                uint32_t flags;
                int result;
                bool raw_ip;
                const char *error;
        } cases[] = {
                { ARPHRD_ETHER, IFF_UP, 0, false, NULL },
                { ARPHRD_ETHER, 0, 0, false, NULL },
                { 65534, IFF_UP, 0, true, NULL },
                { ARPHRD_PPP, IFF_UP, 0, true, NULL },
                { 519, IFF_UP, 0, true, NULL },
                { ARPHRD_TUNNEL, IFF_UP, 0, true, NULL },
                { ARPHRD_TUNNEL6, IFF_UP, 0, true, NULL },
                { ARPHRD_SIT, IFF_UP, 0, true, NULL },
                { ARPHRD_IPGRE, IFF_UP | IFF_POINTOPOINT, 0, true, NULL },
                { 823, IFF_UP | IFF_POINTOPOINT, 0, true, NULL },
                { ARPHRD_IPGRE, IFF_UP, -EINVAL, false, "eth1 is a GRE tunnel to many ends;" },
                { 823, IFF_UP, -EINVAL, false, "with a local and a remote address." },
                { ARPHRD_IPGRE, IFF_UP | IFF_POINTOPOINT | IFF_BROADCAST, -EINVAL, false,
                  "eth1 is a GRE tunnel to many ends;" },
                { ARPHRD_LOOPBACK, IFF_UP, -EINVAL, false, "eth1 is a loopback device" },
                { ARPHRD_ETHER, IFF_UP | IFF_LOOPBACK, -EINVAL, false, "eth1 is a loopback device" },
                { 280, IFF_UP, -EINVAL, false,
                  "eth1 has type 280; Underpass works on Ethernet and raw-IP devices." },
                { ARPHRD_INFINIBAND, IFF_UP, -EINVAL, false, "eth1 has type 32;" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(world_end) World world;

                world_begin(&world);
                world.facts.type = cases[i].type;
                world.facts.flags = cases[i].flags;
                assert(world_plan(&world) == cases[i].result);
                if (cases[i].error)
                        assert_contains(world.error, cases[i].error);
                else
                        assert(world.plan->raw_ip == cases[i].raw_ip);
        }
}

static void the_mtu_must_suit_ipv6_and_the_device(void) {
        static const struct {
                const char *mtu;
                bool ipv6;
                uint32_t minimum, maximum;
                const char *error;
        } cases[] = {
                { "1280", true, 68, 9000, NULL },
                { "1200", false, 68, 9000, NULL },
                { "1200", true, 0, 0,
                  "underpass.mtu=1200 on eth1: IPv6 is enabled there and needs at least 1280; choose 1280 "
                  "or more, or disable IPv6 on the connection." },
                { "9001", true, 68, 9000,
                  "underpass.mtu=9001 on eth1: the device takes 68 … 9000; choose a value in this range, or "
                  "auto." },
                { "1400", true, 1500, 9000, "the device takes 1500 … 9000" },
                { "1400", true, 1500, 0,
                  "underpass.mtu=1400 on eth1: the device takes 1500 or more; choose such a value, or "
                  "auto." },
                { "65535", true, 0, 0, NULL },
                { "1500", true, 1500, 1500, NULL },
                { "auto", true, 2000, 2000, NULL },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(world_end) World world;

                world_begin(&world);
                world_set(&world, KEY_ID_MTU, cases[i].mtu);
                world.input.ipv6_enabled = cases[i].ipv6;
                world.facts.minimum_mtu = cases[i].minimum;
                world.facts.maximum_mtu = cases[i].maximum;
                if (cases[i].error) {
                        assert(world_plan(&world) == -EINVAL);
                        assert_contains(world.error, cases[i].error);
                        continue;
                }
                assert(world_plan(&world) == 0);
                assert(world.plan->mtu ==
                       (streq(cases[i].mtu, "auto") ? 0U : (uint32_t) atoi(cases[i].mtu)));
        }
}

static void segments_follow_the_mtu(void) {
        static const struct {
                const char *mss, *mtu;
                uint32_t facts_mtu;
                uint16_t ipv4, ipv6;
                uint32_t mtu_before;
        } cases[] = {
                { "auto", "auto", 1500, 1460, 1440 }, { "auto", "1400", 1500, 1360, 1340 },
                { "1000", "1400", 1500, 1000, 1000 }, { "9216", "auto", 9256, 9216, 9216 },
                { "auto", "auto", 0, 0, 0 },          { "auto", "auto", 50, 10, 0 },
                { "auto", "auto", 1U << 31, 65535, 65535 },
                { "auto", "auto", 1400, 1460, 1440, 1500 }, /* the key has gone */
                { "auto", "1300", 1400, 1260, 1240, 1500 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(world_end) World world;

                world_begin(&world);
                world_set(&world, KEY_ID_MSS, cases[i].mss);
                world_set(&world, KEY_ID_MTU, cases[i].mtu);
                world.facts.mtu = cases[i].facts_mtu;
                world.input.mtu_before = cases[i].mtu_before;
                assert(world_plan(&world) == 0);
                assert(world.plan->link.mss_ipv4 == cases[i].ipv4);
                assert(world.plan->link.mss_ipv6 == cases[i].ipv6);
                assert(!(world.plan->link.flags & UNDERPASS_LINK_MSS_AUTO) == !streq(cases[i].mss, "auto"));
        }
}

/* The MTU of the profile counts, and that of the link where it has none: the one that comes back. */
static void segments_must_fit_the_mtu(void) {
        static const struct {
                const char *mss, *mtu;
                uint32_t facts_mtu;
                const char *error;
                uint32_t mtu_before;
        } cases[] = {
                { "1460", "auto", 1500, NULL },
                { "1461", "auto", 1500,
                  "underpass.mss=1461 in LTE (6f0c): segments of this size do not fit the MTU of eth1, "
                  "1500; choose at most 1460, or auto." },
                { "1400", "1440", 1300, NULL },
                { "1400", "auto", 1300, "choose at most 1260, or auto." },
                { "1400", "auto", 0, NULL }, /* not known */
                { "1460", "auto", 1400, NULL, 1500 },
                { "1461", "auto", 1400, "MTU of eth1, 1500; choose at most 1460, or auto.", 1500 },
                { "1460", "auto", 1500, "MTU of eth1, 1400; choose at most 1360, or auto.", 1400 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(world_end) World world;

                world_begin(&world);
                world_set(&world, KEY_ID_MSS, cases[i].mss);
                world_set(&world, KEY_ID_MTU, cases[i].mtu);
                world.facts.mtu = cases[i].facts_mtu;
                world.input.mtu_before = cases[i].mtu_before;
                assert(world_plan(&world) == (cases[i].error ? -EINVAL : 0));
                if (cases[i].error)
                        assert_contains(world.error, cases[i].error);
        }
}

static void the_programs_get_every_setting(void) {
        _cleanup_(world_end) World world;
        const struct underpass_link *link;

        world_begin(&world);
        world_set(&world, KEY_ID_REMOTE_PORTS, "443,8000-8080");
        world_set(&world, KEY_ID_LOCAL_PORTS, "22");
        world_set(&world, KEY_ID_REMOTE_ADDRESSES, "10.0.0.0/8");
        world_set(&world, KEY_ID_FWMARK, "0x10/0xff");
        assert(world_plan(&world) == 0);
        link = &world.plan->link;
        assert(link->slot == 0);
        assert(link->flags ==
               (UNDERPASS_LINK_MPTCP_ONLY | UNDERPASS_LINK_FWMARK | UNDERPASS_LINK_FALLBACK |
                UNDERPASS_LINK_MSS_AUTO | UNDERPASS_LINK_BULK));
        assert(link->mark == 0x10 && link->mark_mask == 0xff);
        assert(link->remote_ports_count == 2 && link->remote_ports[1].first == 8000 &&
               link->remote_ports[1].last == 8080);
        assert(link->local_ports_count == 1 && link->local_ports[0].first == 22 &&
               link->local_ports[0].last == 22);
        assert(link->remote_addresses_count == 1 &&
               link->remote_addresses[0].address[3] == htonl(0x0a000000));

        world_set(&world, KEY_ID_MPTCP_ONLY, "no");
        world_set(&world, KEY_ID_FWMARK, "");
        world_set(&world, KEY_ID_FALLBACK, "no");
        world_set(&world, KEY_ID_MSS, "1400");
        world_set(&world, KEY_ID_BULK, "no");
        assert(world_plan(&world) == 0);
        assert(world.plan->link.flags == 0 && world.plan->link.mark_mask == 0);
}

static void the_programs_learn_how_to_give_in_and_keep_alive(void) {
        static const struct {
                const char *tunnel, *fallback, *after, *keepalive, *receive;
                const char *bulk; /* NULL: by default */
                uint32_t flags;
                uint16_t after_number, keepalive_number, receive_number;
        } cases[] = {
                { "yes", "yes", "2", "25", "auto", NULL, UNDERPASS_LINK_FALLBACK | UNDERPASS_LINK_BULK, 2,
                  25, UNDERPASS_RECEIVE_AUTO },
                { "yes", "no", "10", "7200", "xdp", "no", 0, 10, 7200, UNDERPASS_RECEIVE_XDP },
                { "on-demand", "yes", "1", "no", "gro", "yes",
                  UNDERPASS_LINK_FALLBACK | UNDERPASS_LINK_ON_DEMAND | UNDERPASS_LINK_BULK |
                          UNDERPASS_LINK_BULK_ALL,
                  1, 0, UNDERPASS_RECEIVE_GRO },
                { "on-demand", "no", "2", "0", "tc", "auto", UNDERPASS_LINK_ON_DEMAND | UNDERPASS_LINK_BULK,
                  2, 0, UNDERPASS_RECEIVE_TC },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(world_end) World world;

                world_begin(&world);
                world_set(&world, KEY_ID_TUNNEL, cases[i].tunnel);
                world_set(&world, KEY_ID_FALLBACK, cases[i].fallback);
                world_set(&world, KEY_ID_FALLBACK_AFTER, cases[i].after);
                world_set(&world, KEY_ID_KEEPALIVE, cases[i].keepalive);
                world_set(&world, KEY_ID_RECEIVE, cases[i].receive);
                if (cases[i].bulk)
                        world_set(&world, KEY_ID_BULK, cases[i].bulk);
                assert(world_plan(&world) == 0);
                assert(world.plan->decision == PLAN_ATTACH);
                assert(world.plan->link.flags ==
                       (UNDERPASS_LINK_MPTCP_ONLY | UNDERPASS_LINK_MSS_AUTO | cases[i].flags));
                assert(world.plan->link.fallback_after == cases[i].after_number);
                assert(world.plan->link.keepalive == cases[i].keepalive_number);
                assert(world.plan->link.receive == cases[i].receive_number);
        }
}

static void on_demand_waits_for_nothing(void) {
        _cleanup_(world_end) World world;

        world_begin(&world);
        world_set(&world, KEY_ID_TUNNEL, "on-demand");
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_ATTACH);
        assert_text(world.plan->reason, "underpass.tunnel=on-demand in LTE (6f0c).");

        world_set(&world, KEY_ID_MPTCP_ONLY, "no");
        assert(world_plan(&world) == -EINVAL);
        assert_contains(world.error, "cannot be combined with underpass.mptcp-only=no in LTE (6f0c)");
}

static void only_suitable_addresses_become_endpoints(void) {
        static const struct {
                const char *address;
                uint32_t flags;
                uint8_t scope;
                bool suitable;
        } cases[] = {
                { "10.0.1.2", 0, RT_SCOPE_UNIVERSE, true },
                { "10.0.1.2", IFA_F_SECONDARY | IFA_F_PERMANENT, RT_SCOPE_UNIVERSE, true },
                { "10.0.1.2", 0, RT_SCOPE_LINK, false },
                { "10.0.1.2", IFA_F_DEPRECATED, RT_SCOPE_UNIVERSE, false },
                { "127.0.0.2", 0, RT_SCOPE_UNIVERSE, false },
                { "127.255.0.2", 0, RT_SCOPE_UNIVERSE, false },
                { "169.254.1.1", 0, RT_SCOPE_UNIVERSE, false },
                { "169.253.1.1", 0, RT_SCOPE_UNIVERSE, true },
                { "0.0.0.0", 0, RT_SCOPE_UNIVERSE, false },
                { "224.0.0.1", 0, RT_SCOPE_UNIVERSE, false },
                { "223.255.0.1", 0, RT_SCOPE_UNIVERSE, true },
                { "2001:db8::1", 0, RT_SCOPE_UNIVERSE, true },
                { "2001:db8::1", IFA_F_TEMPORARY, RT_SCOPE_UNIVERSE, false },
                { "2001:db8::1", IFA_F_TENTATIVE, RT_SCOPE_UNIVERSE, false },
                { "2001:db8::1", IFA_F_DADFAILED, RT_SCOPE_UNIVERSE, false },
                { "2001:db8::1", 0, RT_SCOPE_SITE, false },
                { "::1", 0, RT_SCOPE_UNIVERSE, false },
                { "::", 0, RT_SCOPE_UNIVERSE, false },
                { "fe80::1", 0, RT_SCOPE_UNIVERSE, false },
                { "febf::1", 0, RT_SCOPE_UNIVERSE, false },
                { "fc00::1", 0, RT_SCOPE_UNIVERSE, false },
                { "fdff::1", 0, RT_SCOPE_UNIVERSE, false },
                { "ff02::1", 0, RT_SCOPE_UNIVERSE, false },
                { "fbff::1", 0, RT_SCOPE_UNIVERSE, true },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                LinkAddress address = { address_of(cases[i].address), cases[i].flags, cases[i].scope, 24 };

                printf("# %s %#x\n", cases[i].address, cases[i].flags);
                assert(endpoint_address_suitable(&address) == cases[i].suitable);
        }
}

static void endpoints_are_those_of_the_link(void) {
        _cleanup_(world_end) World world;
        Address first = address_of("10.0.1.2"), second = address_of("2001:db8::2");

        world_begin(&world);
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "subflow,backup");
        world_add_address(&world, "10.0.1.2");
        world_add_address(&world, "fe80::2");
        world_add_address(&world, "10.0.1.2");
        world_add_address(&world, "2001:db8::2");
        assert(world_plan(&world) == 0);
        assert(world.plan->endpoint_flags == (ENDPOINT_SUBFLOW | ENDPOINT_BACKUP));
        assert(world.plan->endpoints_count == 2);
        assert(address_equal(&world.plan->endpoints[0], &first));
        assert(address_equal(&world.plan->endpoints[1], &second));

        world.facts.flags = 0;
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_ATTACH && world.plan->endpoints_count == 0);

        world.facts.flags = IFF_UP;
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "none");
        assert(world_plan(&world) == 0);
        assert(world.plan->endpoints_count == 0 && world.plan->endpoint_flags == 0);
}

static void no_more_endpoints_than_can_be_remembered(void) {
        _cleanup_(world_end) World world;

        world_begin(&world);
        world_set(&world, KEY_ID_MPTCP_ENDPOINT, "subflow");
        for (unsigned i = 1; i <= UNDERPASS_SAVED_ENDPOINTS_MAX + 1; i++) {
                _cleanup_(freep) char *text = string_format("10.0.1.%u", i);
                world_add_address(&world, text);
        }
        assert(world_plan(&world) == 0);
        assert(world.plan->endpoints_count == UNDERPASS_SAVED_ENDPOINTS_MAX);
        assert(strings_count(world.plan->warnings) == 1);
        assert_contains(world.plan->warnings[0], "has 17 suitable addresses; only the first 16 become MPTCP "
                                                 "endpoints");
}

int main(void) {
        static const Test tests[] = {
                { "nothing is done unless it is asked for", nothing_is_done_unless_it_is_asked_for },
                { "tunnel=yes attaches", yes_attaches },
                { "the user can hold the tunnel off", the_user_can_hold_it_off },
                { "a link without tunnel takes connections in", a_link_without_tunnel_takes_connections_in },
                { "a bad profile makes no plan", a_bad_profile_makes_no_plan },
                { "tunnel=auto waits for an endpoint", auto_waits_for_an_endpoint },
                { "the type of the link decides the programs", the_type_of_the_link_decides_the_programs },
                { "the MTU must suit IPv6 and the device", the_mtu_must_suit_ipv6_and_the_device },
                { "segments follow the MTU", segments_follow_the_mtu },
                { "segments must fit the MTU", segments_must_fit_the_mtu },
                { "the programs get every setting", the_programs_get_every_setting },
                { "the programs learn how to give in and to keep alive",
                  the_programs_learn_how_to_give_in_and_keep_alive },
                { "tunnel=on-demand waits for nothing", on_demand_waits_for_nothing },
                { "only suitable addresses become endpoints", only_suitable_addresses_become_endpoints },
                { "endpoints are the addresses of the link", endpoints_are_those_of_the_link },
                { "no more endpoints than can be remembered", no_more_endpoints_than_can_be_remembered },
        };

        return run_tests(tests, ELEMENTS(tests));
}
