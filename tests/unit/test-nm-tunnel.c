/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Tunnel profiles of NetworkManager: which base they name, what their keys say. */

#include "unit.h"

#include "profile/nm-tunnel.h"

#define UUID "6f0c1f9e-0000-4000-8000-000000000001"

static void a_link_names_profiles_and_interfaces(void) {
        const NmTunnelBase base = { .interface = "wwan0", .id = "LTE", .uuid = UUID };
        static const struct {
                const char *link, *interface_name;
                NmTunnelMatch match;
        } cases[] = {
                { UUID, NULL, NM_TUNNEL_UUID },
                { "LTE", NULL, NM_TUNNEL_ID },
                { "wwan0", NULL, NM_TUNNEL_INTERFACE },
                { "wwan*", NULL, NM_TUNNEL_GLOB },
                { "*", NULL, NM_TUNNEL_GLOB },
                { "[!e]*", NULL, NM_TUNNEL_GLOB },
                { "ppp* wwan*", NULL, NM_TUNNEL_GLOB }, /* as Name= in files */
                { "!eth* en*", NULL, NM_TUNNEL_GLOB },
                { "!wwan*", NULL, NM_TUNNEL_OTHER },
                { "lte", NULL, NM_TUNNEL_OTHER },
                { "LT*", NULL, NM_TUNNEL_OTHER }, /* names are no globs */
                { "", NULL, NM_TUNNEL_OTHER },
                { "wwan", NULL, NM_TUNNEL_OTHER },
                { "[", NULL, NM_TUNNEL_OTHER },
                { NULL, "wwan0", NM_TUNNEL_INTERFACE },
                { NULL, "wwan*", NM_TUNNEL_OTHER },
                { NULL, "LTE", NM_TUNNEL_OTHER },
                { NULL, "", NM_TUNNEL_OTHER },
                { NULL, NULL, NM_TUNNEL_OTHER },
                { "eth0", "wwan0", NM_TUNNEL_OTHER }, /* link= counts */
                { "LTE", "eth0", NM_TUNNEL_ID },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert(nm_tunnel_match(cases[i].link, cases[i].interface_name, &base) == cases[i].match);
}

/* A profile can be called like an interface. */
static void a_profile_counts_more_than_an_interface(void) {
        const NmTunnelBase base = { .interface = "wwan0", .id = "wwan0" };

        assert(nm_tunnel_match("wwan0", NULL, &base) == NM_TUNNEL_ID);
        assert(nm_tunnel_match(NULL, "wwan0", &base) == NM_TUNNEL_INTERFACE);
}

static void an_unknown_base_has_no_tunnel_profile(void) {
        const NmTunnelBase base = {};

        assert(nm_tunnel_match("LTE", "wwan0", &base) == NM_TUNNEL_OTHER);
        assert(nm_tunnel_match("*", NULL, &base) == NM_TUNNEL_OTHER);
}

static Profile *fresh(void) {
        Profile *profile;

        assert(profile_new(&profile) == 0);
        return profile;
}

static void keys_have_no_prefix(void) {
        _cleanup_(profile_freep) Profile *profile = fresh();

        assert(nm_tunnel_add(profile, "tunnel", "yes", "T (u)") == 0);
        assert(nm_tunnel_add(profile, "remote-ports", "443 8000-8080", "T (u)") == 0);
        assert(nm_tunnel_add(profile, "link", "no port, no tunnel, no key", "T (u)") == 0);
        assert(!profile->error);
        assert(profile->settings.tunnel == TUNNEL_YES && profile->settings.remote_ports.count == 2);
        assert(profile->origins[KEY_ID_TUNNEL].source == PROFILE_SOURCE_NM_TUNNEL);
        assert_text(profile->origins[KEY_ID_TUNNEL].where, "T (u)");
}

static void errors_name_the_key_as_it_is_spelt_there(void) {
        _cleanup_(profile_freep) Profile *value = fresh(), *key = fresh(), *prefixed = fresh();

        assert(nm_tunnel_add(value, "mtu", "12", "T (u)") == 0);
        assert_contains(value->error, "mtu=12 in T (u): ");
        assert(nm_tunnel_add(key, "remote-port", "443", "T (u)") == 0);
        assert_contains(key->error, "did you mean remote-ports?");
        assert(nm_tunnel_add(prefixed, "underpass.mtu", "1400", "T (u)") == 0);
        assert_contains(prefixed->error, "did you mean mtu?");
}

int main(void) {
        static const Test tests[] = {
                { "a link names profiles and interfaces", a_link_names_profiles_and_interfaces },
                { "a profile counts more than an interface", a_profile_counts_more_than_an_interface },
                { "an unknown base has no tunnel profile", an_unknown_base_has_no_tunnel_profile },
                { "keys have no prefix", keys_have_no_prefix },
                { "errors name the key as it is spelt there",
                  errors_name_the_key_as_it_is_spelt_there },
        };

        return run_tests(tests, ELEMENTS(tests));
}
