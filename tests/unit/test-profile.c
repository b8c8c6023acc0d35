/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of profiles and of what NetworkManager's pairs mean: who wins, who is named, what is said. May
 * touch: nothing.
 */

#include "unit.h"

#include "profile/nm-user.h"
#include "profile/profile.h"

#define NM PROFILE_SOURCE_NETWORK_MANAGER
#define LTE "LTE (6f0c)"
#define FILE_LINE "/etc/underpass/lte.conf:3"

static Profile *fresh(void) {
        Profile *profile = NULL;

        assert(profile_new(&profile) == 0);
        return profile;
}

static void set(Profile *profile, KeyId id, const char *text, ProfileSource source, const char *where) {
        assert(profile_set(profile, key_get(id), text, source, where) == 0);
}

static void a_new_profile_has_defaults(void) {
        _cleanup_(profile_freep) Profile *profile = fresh();

        for (size_t i = 0; i < _KEY_ID_MAX; i++) {
                assert(profile->origins[i].source == PROFILE_SOURCE_DEFAULT);
                assert_text(profile->origins[i].where, "");
                assert_text(profile->origins[i].text, key_get((KeyId) i)->default_text);
        }
        assert(!profile->error && !profile->warnings && !profile->connection_id);
        assert(profile_finish(profile) == 0);
        assert(!profile->error);
}

static void sources_have_the_names_that_d_bus_shows(void) {
        assert_all_named(_PROFILE_SOURCE_MAX, profile_source_name);
        assert_text(profile_source_name(PROFILE_SOURCE_DEFAULT), "default");
        assert_text(profile_source_name(PROFILE_SOURCE_FILE), "file");
        assert_text(profile_source_name(PROFILE_SOURCE_NETWORKD), "networkd");
        assert_text(profile_source_name(PROFILE_SOURCE_NETWORK_MANAGER), "NetworkManager");
        assert_text(profile_source_name(PROFILE_SOURCE_NM_TUNNEL), "tunnel-profile");
}

static void the_last_source_wins_and_is_named(void) {
        _cleanup_(profile_freep) Profile *profile = fresh();
        _cleanup_(freep) char *description = NULL, *other = NULL;

        set(profile, KEY_ID_MTU, "1400", PROFILE_SOURCE_FILE, FILE_LINE);
        set(profile, KEY_ID_REMOTE_PORTS, "443", PROFILE_SOURCE_FILE, FILE_LINE);
        other = profile_describe(profile, KEY_ID_MTU);
        assert_text(other, "MTU=1400 in " FILE_LINE);
        set(profile, KEY_ID_MTU, " 1300 ", NM, LTE);

        assert(profile->settings.mtu == 1300);
        assert(profile->origins[KEY_ID_MTU].source == NM);
        assert_text(profile->origins[KEY_ID_MTU].where, LTE);
        assert_text(profile->origins[KEY_ID_MTU].text, " 1300 ");
        assert(profile->origins[KEY_ID_REMOTE_PORTS].source == PROFILE_SOURCE_FILE);
        assert(profile->origins[KEY_ID_MSS].source == PROFILE_SOURCE_DEFAULT);
        description = profile_describe(profile, KEY_ID_MTU);
        assert_text(description, "underpass.mtu=1300 in " LTE);
        assert(!profile->error);
}

static void bad_values_are_named_as_their_source_spells_them(void) {
        static const struct {
                ProfileSource source;
                const char *where, *wanted;
        } cases[] = {
                { NM, LTE,
                  "underpass.remote-ports=70000 in LTE (6f0c): port 70000 is not in 1 … 65535; allowed: "
                  "ports 1 … 65535 and ranges FIRST-LAST such as 443,8000-8080, at most 32 ranges, or empty "
                  "for none." },
                { PROFILE_SOURCE_FILE, FILE_LINE,
                  "RemotePorts=70000 in /etc/underpass/lte.conf:3: port 70000 is not in 1 … 65535; allowed: "
                  "ports 1 … 65535 and ranges FIRST-LAST such as 443,8000-8080, at most 32 ranges, or empty "
                  "for none." },
                { PROFILE_SOURCE_NETWORKD, "/etc/systemd/network/10-lte.network:7",
                  "RemotePorts=70000 in /etc/systemd/network/10-lte.network:7: port 70000 is not in 1 … "
                  "65535; allowed: ports 1 … 65535 and ranges FIRST-LAST such as 443,8000-8080, at most 32 "
                  "ranges, or empty for none." },
                { PROFILE_SOURCE_DEFAULT, "test",
                  "remote-ports=70000 in test: port 70000 is not in 1 … 65535; allowed: ports 1 … 65535 and "
                  "ranges FIRST-LAST such as 443,8000-8080, at most 32 ranges, or empty for none." },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(profile_freep) Profile *profile = fresh();

                set(profile, KEY_ID_REMOTE_PORTS, "70000", cases[i].source, cases[i].where);
                assert_text(profile->error, cases[i].wanted);
                assert(profile->settings.remote_ports.count == 0);
                assert(profile->origins[KEY_ID_REMOTE_PORTS].source == PROFILE_SOURCE_DEFAULT);
        }
}

static void the_first_error_stays(void) {
        _cleanup_(profile_freep) Profile *profile = fresh();

        set(profile, KEY_ID_TUNNEL, "perhaps", PROFILE_SOURCE_FILE, FILE_LINE);
        set(profile, KEY_ID_TUNNEL, "yes", NM, LTE);
        set(profile, KEY_ID_MTU, "1", NM, LTE);
        assert(profile_unknown_key(profile, "underpass.foo", NM, LTE) == 0);
        assert(profile_finish(profile) == 0);
        assert_text(profile->error, "Tunnel=perhaps in /etc/underpass/lte.conf:3: “perhaps” is neither no, "
                                    "yes, auto nor on-demand; allowed: no, yes, auto or on-demand.");
}

static void hostile_text_is_never_repeated_as_it_is(void) {
        _cleanup_(profile_freep) Profile *profile = fresh();
        _cleanup_(profile_freep) Profile *unknown = fresh();

        set(profile, KEY_ID_REMOTE_PORTS, "\xff\x1b]0;owned\x07", NM, "evil\n\x1b[2J (6f0c)");
        assert_contains(profile->error, "underpass.remote-ports=\\xff\\x1b]0;owned\\x07 in "
                                        "evil\\x0a\\x1b[2J (6f0c): the value is not UTF-8 text; allowed: ");
        assert(utf8_valid(profile->error, strlen(profile->error)));

        assert(profile_unknown_key(unknown, "\xff\n%n", PROFILE_SOURCE_FILE, FILE_LINE) == 0);
        assert_contains(unknown->error, "\\xff\\x0a%n in " FILE_LINE ": there is no such key");
}

static void unknown_keys_are_errors_with_a_suggestion(void) {
        static const struct {
                const char *name;
                ProfileSource source;
                const char *wanted;
        } cases[] = {
                { "underpass.remote-port", NM,
                  "underpass.remote-port in there: there is no such key; did you mean "
                  "underpass.remote-ports? `underpassctl keys` lists all." },
                { "RemotePort", PROFILE_SOURCE_FILE,
                  "RemotePort in there: there is no such key; did you mean RemotePorts? `underpassctl keys` "
                  "lists all." },
                { "underpass.color", NM,
                  "underpass.color in there: there is no such key; `underpassctl keys` lists all." },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(profile_freep) Profile *profile = fresh();

                assert(profile_unknown_key(profile, cases[i].name, cases[i].source, "there") == 0);
                assert_text(profile->error, cases[i].wanted);
        }
}

static void a_tunnel_needs_ports(void) {
        static const struct {
                const char *tunnel;
                KeyId ports;
                const char *value;
                bool good;
        } cases[] = {
                { "yes", KEY_ID_REMOTE_PORTS, "", false }, { "auto", KEY_ID_LOCAL_PORTS, "", false },
                { "yes", KEY_ID_REMOTE_PORTS, "443", true }, { "auto", KEY_ID_LOCAL_PORTS, "443", true },
                { "no", KEY_ID_LOCAL_PORTS, "", true },
                { "on-demand", KEY_ID_REMOTE_PORTS, "", false },
                { "on-demand", KEY_ID_REMOTE_PORTS, "443", true },
                { "on-demand", KEY_ID_LOCAL_PORTS, "443", true },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(profile_freep) Profile *profile = fresh();

                set(profile, KEY_ID_TUNNEL, cases[i].tunnel, NM, LTE);
                set(profile, cases[i].ports, cases[i].value, NM, LTE);
                assert(profile_finish(profile) == 0);
                assert(!profile->error == cases[i].good);
                if (!cases[i].good) {
                        assert_contains(profile->error, cases[i].tunnel);
                        assert_contains(profile->error, "in LTE (6f0c): ");
                        assert_contains(profile->error, "set underpass.remote-ports");
                        assert_contains(profile->error, "underpass.local-ports");
                }
        }
}

static void on_demand_needs_mptcp_options_to_look_at(void) {
        static const struct {
                const char *tunnel, *mptcp_only;
                bool good;
        } cases[] = {
                { "on-demand", "no", false }, { "on-demand", "yes", true }, { "yes", "no", true },
                { "auto", "no", true },       { "no", "no", true },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(profile_freep) Profile *profile = fresh();

                set(profile, KEY_ID_TUNNEL, cases[i].tunnel, NM, LTE);
                set(profile, KEY_ID_REMOTE_PORTS, "443", NM, LTE);
                set(profile, KEY_ID_MPTCP_ONLY, cases[i].mptcp_only, PROFILE_SOURCE_FILE, FILE_LINE);
                assert(profile_finish(profile) == 0);
                assert(!profile->error == cases[i].good);
                if (!cases[i].good)
                        assert_text(profile->error,
                                    "underpass.tunnel=on-demand in " LTE ": this tunnel is used where MPTCP "
                                    "options get lost, so it cannot be combined with MPTCPOnly=no in "
                                    FILE_LINE "; choose tunnel=yes, or mptcp-only=yes.");
        }

        /* What is missing altogether is said first. */
        _cleanup_(profile_freep) Profile *empty = fresh();
        set(empty, KEY_ID_TUNNEL, "on-demand", NM, LTE);
        set(empty, KEY_ID_MPTCP_ONLY, "no", NM, LTE);
        assert(profile_finish(empty) == 0);
        assert_contains(empty->error, "set underpass.remote-ports");
}

static void a_segment_must_fit_the_mtu(void) {
        static const struct {
                const char *mss, *mtu;
                bool good;
        } cases[] = {
                { "1360", "1400", true }, { "1361", "1400", false }, { "auto", "1400", true },
                { "9000", "auto", true },  { "536", "576", true },    { "537", "576", false },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(profile_freep) Profile *profile = fresh();

                set(profile, KEY_ID_MSS, cases[i].mss, PROFILE_SOURCE_FILE, FILE_LINE);
                set(profile, KEY_ID_MTU, cases[i].mtu, NM, LTE);
                assert(profile_finish(profile) == 0);
                assert(!profile->error == cases[i].good);
                if (i == 1)
                        assert_text(profile->error,
                                    "MSS=1361 in " FILE_LINE ": segments of this size do not fit "
                                                             "underpass.mtu=1400 in " LTE "; choose at most "
                                                                                          "1360, or auto.");
        }
}

static void user_data_of_others_is_left_alone(void) {
        static const char *const foreign[] = { "org.example.owner", "underpas.mtu", "Underpass.mtu",
                                               "underpass", "" };
        _cleanup_(profile_freep) Profile *profile = fresh();

        for (size_t i = 0; i < ELEMENTS(foreign); i++)
                assert(nm_user_add(profile, foreign[i], "\xff", LTE) == 0);
        assert(!profile->error);

        assert(nm_user_add(profile, "underpass.mtu", "1400", LTE) == 0);
        assert(profile->settings.mtu == 1400);
        assert(profile->origins[KEY_ID_MTU].source == NM);
        assert(nm_user_add(profile, "underpass.mut", "1400", LTE) == 0);
        assert_contains(profile->error, "underpass.mut in " LTE ": there is no such key; did you mean "
                                                                "underpass.mtu?");
}

static void mptcp_flags_are_read_as_network_manager_does(void) {
        static const struct {
                uint32_t flags;
                bool sysctl, active;
                const char *text;
        } cases[] = {
                { 0, true, true, "default" },
                { 0, false, false, "default" },
                { NM_MPTCP_DISABLED, true, false, "disabled" },
                { NM_MPTCP_ENABLED | NM_MPTCP_SUBFLOW, true, true, "enabled, subflow" },
                { NM_MPTCP_ENABLED | NM_MPTCP_SUBFLOW, false, false, "enabled, subflow" },
                { NM_MPTCP_ALSO_WITHOUT_SYSCTL | NM_MPTCP_SIGNAL, false, true,
                  "also-without-sysctl, signal" },
                { NM_MPTCP_DISABLED | NM_MPTCP_ALSO_WITHOUT_SYSCTL, false, false,
                  "disabled, also-without-sysctl" },
                { 0x80000100, true, true, "laminar, 0x80000000" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(freep) char *text = nm_mptcp_flags_format(cases[i].flags);

                assert_text(text, cases[i].text);
                assert(nm_mptcp_flags_active(cases[i].flags, cases[i].sysctl) == cases[i].active);
        }

        _cleanup_(freep) char *all = nm_mptcp_flags_format(UINT32_MAX);
        assert_contains(all, "fullmesh, laminar, 0xfffffe00");
}

int main(void) {
        static const Test tests[] = {
                { "a new profile has defaults", a_new_profile_has_defaults },
                { "sources have the names that D-Bus shows", sources_have_the_names_that_d_bus_shows },
                { "the last source wins and is named", the_last_source_wins_and_is_named },
                { "bad values are named as their source spells them",
                  bad_values_are_named_as_their_source_spells_them },
                { "the first error stays", the_first_error_stays },
                { "hostile text is never repeated as it is", hostile_text_is_never_repeated_as_it_is },
                { "unknown keys are errors with a suggestion", unknown_keys_are_errors_with_a_suggestion },
                { "a tunnel needs ports", a_tunnel_needs_ports },
                { "on-demand needs MPTCP options to look at", on_demand_needs_mptcp_options_to_look_at },
                { "a segment must fit the MTU", a_segment_must_fit_the_mtu },
                { "user.data of others is left alone", user_data_of_others_is_left_alone },
                { "mptcp-flags are read as NetworkManager does",
                  mptcp_flags_are_read_as_network_manager_does },
        };

        return run_tests(tests, ELEMENTS(tests));
}
