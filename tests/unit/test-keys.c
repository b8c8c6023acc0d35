/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of the table of keys: its rows are complete, found by each of their names, and round-trip. May
 * touch: nothing.
 */

#include "unit.h"

#include <ctype.h>

#include "plan/counters.h"
#include "profile/keys.h"
#include "settings.h"

/*
 * What each key is tested with: the one table of the tests that a new key must be added to. At least two
 * values; one of them must differ from the default.
 */
static const struct Sample {
        const char *signature;   /* D-Bus type of the property */
        const char *words;       /* what is offered beside numbers and addresses, in that order */
        const char *values[12];  /* all of them are taken */
} samples[_KEY_ID_MAX] = {
        [KEY_ID_TUNNEL] = { "s", "no yes auto on-demand",
                            { "no", "yes", "auto", " AUTO\n", "on-demand", "On-Demand" } },
        [KEY_ID_REMOTE_PORTS] = { "a(qq)", "",
                                  { "", "443", "443,8000-8080", "1-65535", "65535 1", "80\t443,,444",
                                    "1-10000" } },
        [KEY_ID_LOCAL_PORTS] = { "a(qq)", "", { "", "1", "65535", "10-20,15-30,31", "5,4,3,2,1" } },
        [KEY_ID_REMOTE_ADDRESSES] = { "as", "",
                                      { "", "192.0.2.1", "192.0.2.0/24, 2001:db8::/32", "0.0.0.0/0",
                                        "2000::/3", "::ffff:10.0.0.0/104", "2001:db8::1", "::1/128",
                                        "fe80::/10 10.0.0.0/8" } },
        [KEY_ID_FWMARK] = { "s", "",
                            { "", "0", "16", "0x10", "0x10/0xff", "0x11/0xff", "0xFFFFFFFF", "4294967295",
                              "0/1", "0xf0/240" } },
        [KEY_ID_MPTCP_ONLY] = { "b", "yes no",
                                { "yes", "no", "true", "false", "on", "off", "1", "0", "Yes" } },
        [KEY_ID_MSS] = { "u", "auto", { "auto", "536", "1400", "9216" } },
        [KEY_ID_MTU] = { "u", "auto", { "auto", "576", "1280", "65535" } },
        [KEY_ID_MPTCP_ENDPOINT] = { "as", "none subflow signal backup fullmesh",
                                    { "none", "", "subflow", "signal", "subflow,backup", "fullmesh subflow",
                                      "backup,signal,subflow" } },
        [KEY_ID_FALLBACK] = { "b", "yes no", { "yes", "no", "on", "0" } },
        [KEY_ID_FALLBACK_AFTER] = { "u", "", { "1", "2", "10", " 5 " } },
        [KEY_ID_KEEPALIVE] = { "u", "no", { "no", "NO", "0", "5", "25", "7200" } },
        [KEY_ID_RECEIVE] = { "s", "auto tc gro xdp socket", { "auto", "tc", "gro", "socket", " XDP " } },
        [KEY_ID_BULK] = { "s", "auto no yes", { "auto", "no", "yes", " Yes " } },
        [KEY_ID_SCTP_UDP_PORT] = { "u", "no", { "no", "9899", "1", "65535", " 9899 " } },
        [KEY_ID_SCTP_ENCAP_PORT] = { "u", "no", { "no", "9899", "1", "65535" } },
};

static void every_key_has_samples(void) {
        for (size_t i = 0; i < _KEY_ID_MAX; i++) {
                if (samples[i].signature && samples[i].words && samples[i].values[0] && samples[i].values[1])
                        continue;
                printf("# the key \"%s\" lacks test values: give it a row in samples[] of "
                       "tests/unit/test-keys.c\n", key_get((KeyId) i)->name);
                fflush(stdout);
                assert(!"a key lacks test values");
        }
}

static void every_row_is_complete(void) {
        for (size_t i = 0; i < _KEY_ID_MAX; i++) {
                const Key *key = key_get((KeyId) i);

                assert(key->id == i);
                assert(key->name && key->section_name && key->default_text);
                assert(key->range_text && *key->range_text);
                assert(key->help[strlen(key->help) - 1] == '.');
                assert(key->type < _KEY_TYPE_MAX);
                assert(isupper((unsigned char) key->section_name[0]));
                for (const char *c = key->name; *c; c++)
                        assert(islower((unsigned char) *c) || *c == '-');
                if (key->type == KEY_NUMBER)
                        assert(key->minimum > 0 && key->minimum <= key->maximum);
        }
}

static void every_row_is_found_by_each_name(void) {
        for (size_t i = 0; i < _KEY_ID_MAX; i++) {
                const Key *key = key_get((KeyId) i);
                _cleanup_(freep) char *user_data = string_format("underpass.%s", key->name);

                assert(key_find(key->name) == key);
                assert(key_find_section(key->section_name) == key);
                assert(key_find_user_data(user_data) == key);
                assert(!key_find(user_data));
                assert(!key_find_user_data(key->name));
                assert(key_suggest(key->name) == key);
                assert(key_suggest(user_data) == key);
                assert(key_suggest(key->section_name) == key);
        }
        assert(!key_find(""));
        assert(!key_find_section("remoteports"));
        assert(!key_find_section("remote-ports"));
        assert(!key_find_user_data("underpass."));
        assert(!key_find_user_data("Underpass.mtu"));
}

static void misspelt_names_are_recognised(void) {
        static const struct {
                const char *name;
                const char *meant;  /* NULL: nothing alike */
        } cases[] = {
                { "underpass.remote-port", "remote-ports" },
                { "underpass.remote_ports", "remote-ports" },
                { "underpass.remoteports", "remote-ports" },
                { "RemotePort", "remote-ports" },
                { "remoteports", "remote-ports" },
                { "LocalPort", "local-ports" },
                { "fw-mark", "fwmark" },
                { "firewall-mark", "fwmark" },
                { "tunel", "tunnel" },
                { "tunenl", "tunnel" },
                { "mptcponly", "mptcp-only" },
                { "mtu-", "mtu" },
                { "keep-alive", "keepalive" },
                { "KeepAlives", "keepalive" },
                { "receiv", "receive" },
                { "recieve", "receive" },
                { "fall-back", "fallback" },
                { "fallback_after", "fallback-after" },
                { "", NULL },
                { "m", NULL },
                { "underpass.", NULL },
                { "password", NULL },
                { "\xff\xfe\xfd", NULL },
                { "remote-ports-remote-ports-remote-ports-remote-ports-remote-ports", NULL },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const Key *key = key_suggest(cases[i].name);

                if (cases[i].meant)
                        assert_text(key ? key->name : NULL, cases[i].meant);
                else
                        assert(!key);
        }
}

static void defaults_are_those_of_the_table(void) {
        Settings settings;

        settings_init(&settings);
        assert(settings.tunnel == TUNNEL_NO);
        assert(settings.mptcp_only);
        assert(settings.remote_ports.count == 0 && settings.local_ports.count == 0);
        assert(settings.remote_addresses.count == 0 && !settings.fwmark.set);
        assert(settings.mss == 0 && settings.mtu == 0 && settings.mptcp_endpoint == 0);
        assert(settings.fallback && settings.fallback_after == 2 && settings.keepalive == 25);
        assert(settings.receive == UNDERPASS_RECEIVE_AUTO);
        assert(settings.sctp_udp_port == 0 && settings.sctp_encap_port == 0);
        for (size_t i = 0; i < _KEY_ID_MAX; i++) {
                _cleanup_(freep) char *text = key_format(key_get((KeyId) i), &settings);
                assert_text(text, key_get((KeyId) i)->default_text);
        }
}

static void every_row_round_trips(void) {
        for (size_t i = 0; i < _KEY_ID_MAX; i++) {
                const Key *key = key_get((KeyId) i);
                size_t differing = 0;

                for (size_t k = 0; k < ELEMENTS(samples[i].values) && samples[i].values[k]; k++) {
                        _cleanup_(freep) char *reason = NULL, *once = NULL, *twice = NULL;
                        Settings first, second, untouched;

                        settings_init(&first);
                        settings_init(&second);
                        settings_init(&untouched);
                        assert(key_parse(key, samples[i].values[k], &first, &reason) == 0);
                        assert(!reason);
                        once = key_format(key, &first);
                        assert(key_parse(key, once, &second, &reason) == 0);
                        twice = key_format(key, &second);
                        assert_text(twice, once);
                        assert(setting_equal(key, &first, &second));
                        /* No other field has changed. */
                        for (size_t other = 0; other < _KEY_ID_MAX; other++)
                                if (other != i)
                                        assert(setting_equal(key_get((KeyId) other), &first, &untouched));
                        differing += !setting_equal(key, &first, &untouched);
                }
                assert(differing > 0);
        }
}

static void values_are_equal_when_their_text_is(void) {
        for (size_t i = 0; i < _KEY_ID_MAX; i++) {
                const Key *key = key_get((KeyId) i);

                for (size_t k = 0; k < ELEMENTS(samples[i].values) && samples[i].values[k]; k++)
                        for (size_t l = 0; l < ELEMENTS(samples[i].values) && samples[i].values[l]; l++) {
                                _cleanup_(freep) char *reason = NULL, *one_text = NULL, *other_text = NULL;
                                Settings one, other;

                                settings_init(&one);
                                settings_init(&other);
                                assert(key_parse(key, samples[i].values[k], &one, &reason) == 0);
                                assert(key_parse(key, samples[i].values[l], &other, &reason) == 0);
                                one_text = key_format(key, &one);
                                other_text = key_format(key, &other);
                                assert(setting_equal(key, &one, &other) == streq(one_text, other_text));
                        }
        }
}

static void signatures_follow_the_type(void) {
        for (size_t i = 0; i < _KEY_ID_MAX; i++)
                assert_text(key_signature(key_get((KeyId) i)), samples[i].signature);
}

/* So that what is written can be told from nothing. */
static void defaults_of_lists_are_empty(void) {
        size_t lists = 0;

        for (size_t i = 0; i < _KEY_ID_MAX; i++) {
                const Key *key = key_get((KeyId) i);
                _cleanup_(freep) char *reason = NULL, *text = NULL;
                Settings settings;

                if (!key_is_list(key))
                        continue;
                lists++;
                settings_init(&settings);
                assert(key_parse(key, "", &settings, &reason) == 0);
                text = key_format(key, &settings);
                assert_text(text, key->default_text);
        }
        assert(lists > 0);
        assert(!key_is_list(key_find("tunnel")) && key_is_list(key_find("mptcp-endpoint")));
}

static void words_are_those_that_are_taken(void) {
        for (size_t i = 0; i < _KEY_ID_MAX; i++) {
                const Key *key = key_get((KeyId) i);
                _cleanup_(freep) char *words = strdup("");

                for (size_t number = 0; key_word(key, number); number++) {
                        _cleanup_(freep) char *reason = NULL;
                        Settings settings;

                        settings_init(&settings);
                        assert(key_parse(key, key_word(key, number), &settings, &reason) == 0);

                        char *more = string_format("%s%s%s", words, *words ? " " : "",
                                                   key_word(key, number));
                        free(words);
                        words = more;
                }
                assert_text(words, samples[i].words);
                assert(!key_word(key, 1000));
        }
}

static void every_counter_has_a_name_of_its_own(void) {
        for (size_t i = 0; i < UNDERPASS_COUNTER_COUNT; i++) {
                const CounterInfo *info = counter_info((enum underpass_counter) i);

                assert(info->name && info->help);
                assert(info->help[strlen(info->help) - 1] == '.');
                for (size_t k = 0; k < i; k++)
                        assert(!streq(info->name, counter_info((enum underpass_counter) k)->name));
        }
        assert_text(counter_info(UNDERPASS_COUNTER_SENT)->name, "sent");
        assert_text(counter_info(UNDERPASS_COUNTER_PASS_PORT)->name, "pass-port");
        assert_text(counter_info(UNDERPASS_COUNTER_DROP_HEADER)->name, "drop-header");
}

int main(void) {
        static const Test tests[] = {
                { "every key has test values", every_key_has_samples },
                { "every row is complete", every_row_is_complete },
                { "every row is found by each of its names", every_row_is_found_by_each_name },
                { "misspelt names are recognised", misspelt_names_are_recognised },
                { "defaults are those of the table", defaults_are_those_of_the_table },
                { "every row round-trips and touches its own field only", every_row_round_trips },
                { "values are equal when their text is", values_are_equal_when_their_text_is },
                { "signatures follow the type", signatures_follow_the_type },
                { "defaults of lists are empty", defaults_of_lists_are_empty },
                { "words are those that are taken", words_are_those_that_are_taken },
                { "every counter has a name of its own", every_counter_has_a_name_of_its_own },
        };

        return run_tests(tests, ELEMENTS(tests));
}
