/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of SCTP over UDP as decided: who asks, whose value counts, what is set and given back, what is said.
 * May touch: nothing.
 */

#include "unit.h"

#include "plan-world.h"

static Profile *profile_with(const char *udp, const char *encap, const char *where) {
        Profile *profile;

        assert(profile_new(&profile) == 0);
        if (udp)
                assert(profile_set(profile, key_get(KEY_ID_SCTP_UDP_PORT), udp, PROFILE_SOURCE_FILE,
                                   where) == 0);
        if (encap)
                assert(profile_set(profile, key_get(KEY_ID_SCTP_ENCAP_PORT), encap, PROFILE_SOURCE_FILE,
                                   where) == 0);
        return profile;
}

static void a_link_asks_while_it_is_up(void) {
        static const struct {
                const char *tunnel, *udp, *encap;
                uint32_t flags;
                bool held_off, network_down;
                uint16_t udp_port, encap_port;
        } cases[] = {
                { "yes", "9899", "9899", IFF_UP, false, false, 9899, 9899 },
                { "no", "9899", "no", IFF_UP, false, false, 9899, 0 },
                { "no", "no", "65535", IFF_UP, false, false, 0, 65535 },
                { "auto", "1", "2", IFF_UP, false, false, 1, 2 },
                { "yes", "no", "no", IFF_UP, false, false, 0, 0 },
                { "yes", "9899", "9899", 0, false, false, 0, 0 },
                { "no", "9899", "9899", IFF_UP, true, false, 0, 0 },
                { "no", "9899", "9899", IFF_UP, false, true, 0, 0 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(world_end) World world;
                uint16_t ports[_SCTP_PORT_MAX] = { 7, 8 };

                world_begin(&world);
                world_set(&world, KEY_ID_TUNNEL, cases[i].tunnel);
                world_set(&world, KEY_ID_SCTP_UDP_PORT, cases[i].udp);
                world_set(&world, KEY_ID_SCTP_ENCAP_PORT, cases[i].encap);
                world.facts.flags = cases[i].flags;
                world.input.held_off = cases[i].held_off;
                world.profile->network_down = cases[i].network_down;
                plan_sctp(&world.input, ports);
                assert(ports[SCTP_PORT_UDP] == cases[i].udp_port);
                assert(ports[SCTP_PORT_ENCAP] == cases[i].encap_port);
        }
}

/* What it has asked for goes on while it is up. */
static void sctp_may_be_alone(void) {
        Settings settings;

        settings_init(&settings);
        assert(!sctp_alone(&settings));
        settings.sctp_udp_port = 9899;
        assert_contains(sctp_alone(&settings), "for no tunnel");
        settings.tunnel = TUNNEL_ON_DEMAND;
        assert(!sctp_alone(&settings));
        settings_init(&settings);
        settings.sctp_encap_port = 9899;
        assert(sctp_alone(&settings));
}

static void a_wrong_profile_asks_for_nothing_new(void) {
        _cleanup_(world_end) World world;
        uint16_t ports[_SCTP_PORT_MAX] = { 7, 8 };

        world_begin(&world);
        world_set(&world, KEY_ID_SCTP_UDP_PORT, "9899");
        world.profile->error = strdup("a key is wrong");
        assert(world.profile->error);
        plan_sctp(&world.input, ports);
        assert(ports[SCTP_PORT_UDP] == 7 && ports[SCTP_PORT_ENCAP] == 8);
        world.facts.flags = 0;
        plan_sctp(&world.input, ports);
        assert(ports[SCTP_PORT_UDP] == 0 && ports[SCTP_PORT_ENCAP] == 0);
}

static void the_tunnel_does_not_need_sctp(void) {
        _cleanup_(world_end) World world;

        world_begin(&world);
        world_set(&world, KEY_ID_SCTP_UDP_PORT, "9899");
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_ATTACH && !world.plan->warnings);
        world_set(&world, KEY_ID_TUNNEL, "no");
        assert(world_plan(&world) == 0);
        assert(world.plan->decision == PLAN_OFF && !world.plan->warnings);
}

static void what_is_set_stays_while_a_link_wants_it(void) {
        static const struct {
                uint16_t ports[3];
                uint16_t set;
                uint32_t holder;  /* interface index: 30, 10, 20 */
        } cases[] = {
                { { 0, 0, 0 }, 0, 0 },
                { { 0, 0, 0 }, 9899, 0 },
                { { 9899, 0, 0 }, 0, 30 },
                { { 9899, 9899, 9899 }, 0, 10 },
                { { 9899, 9899, 9899 }, 9899, 10 },
                { { 9000, 0, 9001 }, 0, 20 },
                { { 9000, 0, 9001 }, 9000, 30 },
                { { 9000, 9001, 9000 }, 9000, 20 },
                { { 9000, 9001, 9002 }, 9002, 20 },
                { { 9000, 9001, 9002 }, 7, 10 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                SctpClaim claims[] = { { .ifindex = 30 }, { .ifindex = 10 }, { .ifindex = 20 } };
                const SctpClaim *holder;

                for (size_t k = 0; k < ELEMENTS(claims); k++)
                        claims[k].ports[SCTP_PORT_ENCAP] = cases[i].ports[k];
                holder = sctp_choose(claims, ELEMENTS(claims), SCTP_PORT_ENCAP, cases[i].set);
                assert((holder ? holder->ifindex : 0) == cases[i].holder);
                assert(!sctp_choose(claims, ELEMENTS(claims), SCTP_PORT_UDP, cases[i].set));
        }
        assert(!sctp_choose(NULL, 0, SCTP_PORT_UDP, 9899));
}

static void what_was_there_before_is_remembered(void) {
        static const struct {
                struct underpass_saved_sysctl saved;
                uint16_t wanted, now, value;
                struct underpass_saved_sysctl next;
        } cases[] = {
                /* first link, last link */
                { { 0 }, 9899, 0, 9899, { 1, 0, 9899, 0 } },
                { { 0 }, 9899, 7000, 9899, { 1, 7000, 9899, 0 } },
                { { 1, 7000, 9899, 0 }, 0, 9899, 7000, { 0 } },
                { { 1, 0, 9899, 0 }, 0, 9899, 0, { 0 } },
                /* nothing was needed, and nothing is taken away */
                { { 0 }, 9899, 9899, 9899, { 1, 9899, 9899, 0 } },
                { { 1, 9899, 9899, 0 }, 0, 9899, 9899, { 0 } },
                { { 0 }, 0, 7000, 7000, { 0 } },
                /* one more link */
                { { 1, 7000, 9899, 0 }, 9899, 9899, 9899, { 1, 7000, 9899, 0 } },
                /* somebody else has set it meanwhile */
                { { 1, 7000, 9899, 0 }, 0, 5000, 5000, { 0 } },
                { { 1, 7000, 9899, 0 }, 9899, 5000, 9899, { 1, 5000, 9899, 0 } },
                /* killed between remembering and setting, between giving back and forgetting */
                { { 1, 7000, 9899, 0 }, 9899, 7000, 9899, { 1, 7000, 9899, 0 } },
                { { 1, 7000, 9899, 0 }, 0, 7000, 7000, { 0 } },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct underpass_saved_sysctl next = { 0 };

                assert(sctp_next(&cases[i].saved, cases[i].wanted, cases[i].now, &next) == cases[i].value);
                assert(memcmp(&next, &cases[i].next, sizeof(next)) == 0);
        }
}

typedef struct Pair {
        Profile *profiles[2];
        SctpClaim claims[2];
        SctpStatus status[_SCTP_PORT_MAX];
        char **warnings;
} Pair;

/* up0 is what is asked about, up1 the other link. */
static void pair_begin(Pair *pair, const char *udp, const char *encap, const char *other_udp) {
        const char *const values[2][2] = { { udp, encap }, { other_udp, NULL } };

        *pair = (Pair) { 0 };
        for (size_t i = 0; i < 2; i++) {
                pair->profiles[i] =
                        profile_with(values[i][0], values[i][1], i == 0 ? "a.conf:5" : "b.conf:6");
                pair->claims[i] = (SctpClaim) {
                        .ifindex = (uint32_t) i + 1,
                        .link = i == 0 ? "up0" : "up1",
                        .profile = pair->profiles[i],
                };
                for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++)
                        pair->claims[i].ports[port] = sctp_setting(&pair->profiles[i]->settings, port);
        }
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++)
                if (pair->claims[0].ports[port] != 0)
                        pair->status[port] = (SctpStatus) { .holder = &pair->claims[0],
                                                            .in_force = pair->claims[0].ports[port] };
}

static void pair_end(Pair *pair) {
        for (size_t i = 0; i < 2; i++)
                profile_free(pair->profiles[i]);
        strings_free(pair->warnings);
}

static void all_is_well_without_a_word(void) {
        _cleanup_(pair_end) Pair pair;

        pair_begin(&pair, "9899", "9899", NULL);
        assert(sctp_warn(&pair.claims[0], pair.status, &pair.warnings) == 0);
        assert(sctp_warn(&pair.claims[1], pair.status, &pair.warnings) == 0);
        assert(!pair.warnings);
}

static void another_value_names_both_links(void) {
        _cleanup_(pair_end) Pair pair;

        pair_begin(&pair, "9899", NULL, "9900");
        assert(sctp_warn(&pair.claims[0], pair.status, &pair.warnings) == 0);
        assert(!pair.warnings);
        assert(sctp_warn(&pair.claims[1], pair.status, &pair.warnings) == 0);
        assert(strings_count(pair.warnings) == 1);
        assert_text(pair.warnings[0],
                    "SCTPUDPPort=9900 in b.conf:6 on up1 has no effect: all links of a host share this "
                    "port, and up0 came first with SCTPUDPPort=9899 in a.conf:5; give both links the same "
                    "value.");
}

static void what_the_kernel_refuses_is_said(void) {
        static const struct {
                int error;
                size_t count;
                const char *part;
        } cases[] = {
                { -ENOENT, 1, "this kernel has no SCTP over UDP (net.sctp.udp_port does not exist)" },
                { -EADDRINUSE, 2, "another program holds this UDP port" },
                { -EACCES, 2, "net.sctp.udp_port cannot be set (Permission denied)" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(pair_end) Pair pair;

                pair_begin(&pair, "9899", "9899", NULL);
                for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++)
                        pair.status[port].error = cases[i].error;
                assert(sctp_warn(&pair.claims[0], pair.status, &pair.warnings) == 0);
                assert(strings_count(pair.warnings) == cases[i].count);
                assert_contains(pair.warnings[0], cases[i].part);
                assert_contains(pair.warnings[0], "SCTPUDPPort=9899 in a.conf:5: ");
        }
}

static void sending_needs_listening(void) {
        _cleanup_(pair_end) Pair pair;

        pair_begin(&pair, NULL, "9899", NULL);
        pair.status[SCTP_PORT_UDP].in_force = 9899; /* by hand, or by another link */
        assert(sctp_warn(&pair.claims[0], pair.status, &pair.warnings) == 0);
        assert(!pair.warnings);
        pair.status[SCTP_PORT_UDP].in_force = 0;
        assert(sctp_warn(&pair.claims[0], pair.status, &pair.warnings) == 0);
        assert(strings_count(pair.warnings) == 1);
        assert_contains(pair.warnings[0], "SCTPEncapPort=9899 in a.conf:5 has no effect");
        assert_contains(pair.warnings[0], "set SCTPUDPPort as well (RFC 6951 assigns 9899).");
}

int main(void) {
        static const Test tests[] = {
                { "a link asks while it is up, tunnel or not", a_link_asks_while_it_is_up },
                { "SCTP may be alone", sctp_may_be_alone },
                { "a wrong profile asks for nothing new", a_wrong_profile_asks_for_nothing_new },
                { "the tunnel does not need SCTP", the_tunnel_does_not_need_sctp },
                { "what is set stays while a link wants it", what_is_set_stays_while_a_link_wants_it },
                { "what was there before is remembered", what_was_there_before_is_remembered },
                { "all is well without a word", all_is_well_without_a_word },
                { "another value names both links", another_value_names_both_links },
                { "what the kernel refuses is said", what_the_kernel_refuses_is_said },
                { "sending needs listening", sending_needs_listening },
        };

        return run_tests(tests, ELEMENTS(tests));
}
