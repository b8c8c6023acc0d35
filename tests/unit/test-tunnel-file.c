/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Tunnel profiles as files: there and back, and what is refused with which sentence. */

#include "unit.h"

#include "base/util.h"
#include "editor/tunnel-file.h"

#define UUID "6f0c1f9e-0000-4000-8000-000000000001"
#define KEYS "[X-Underpass]\nTunnel=yes\nRemotePorts=443\n"

static const char *value_of(const TunnelData *data, const char *key) {
        for (size_t i = 0; i < strings_count(data->keys); i++)
                if (streq(data->keys[i], key))
                        return data->values[i];
        return NULL;
}

static void parse(const char *text, TunnelData *ret) {
        char *error = NULL;

        *ret = (TunnelData) {};
        assert(tunnel_file_parse(text, strlen(text), "x.conf", ret, &error) == 0);
        assert(!error);
}

/* The sentence that refuses a text. */
static char *refused(const char *text) {
        TunnelData data = {};
        char *error = NULL;

        assert(tunnel_file_parse(text, strlen(text), "x.conf", &data, &error) == -EINVAL);
        assert(error && *error && !data.keys);
        return error;
}

static void a_file_becomes_vpn_data(void) {
        _cleanup_(tunnel_data_done) TunnelData data;

        parse("# comment\n[Match]\nConnection=LTE\n"
              "[X-Underpass]\nTunnel=yes\nRemotePorts=443, 8000-8080,9000\n"
              "RemoteAddresses=203.0.113.7 2001:db8:7::/48\nMPTCPOnly=no\n",
              &data);
        assert(strings_count(data.keys) == 5);
        assert_text(value_of(&data, "link"), "LTE");
        assert_text(value_of(&data, "tunnel"), "yes");
        assert_text(value_of(&data, "remote-ports"), "443  8000-8080 9000");
        assert_text(value_of(&data, "remote-addresses"), "203.0.113.7 2001:db8:7::/48");
        assert_text(value_of(&data, "mptcp-only"), "no");
}

static void one_condition_names_the_link(void) {
        static const char *const conditions[][2] = {
                { "Name", "wwan* ppp*" }, { "Connection", "Mobile 2" }, { "UUID", UUID },
        };

        for (size_t i = 0; i < ELEMENTS(conditions); i++) {
                const char *key = conditions[i][0], *value = conditions[i][1];
                _cleanup_(freep) char *text = string_format("[Match]\n%s=%s\n" KEYS, key, value);
                _cleanup_(tunnel_data_done) TunnelData data;

                parse(text, &data);
                assert_text(value_of(&data, "link"), value);
        }
}

static void mistakes_are_refused_with_their_line(void) {
        static const struct {
                const char *text, *word;
        } cases[] = {
                { "[Match]\nName=wwan0\n[X-Underpass]\nTunnel=yes\nRemotePorts=70000\n", "x.conf:5" },
                { "[Match]\nName=wwan0\n[X-Underpass]\nRemotePort=443\n", "did you mean RemotePorts?" },
                { "[Match]\nName=wwan0\nUUID=" UUID "\n" KEYS, "x.conf:3" },
                { "[Match]\nType=wwan\n" KEYS, "\"Type\"" },
                { "[Link]\nName=wwan0\n" KEYS, "stands outside" },
                { "Name=wwan0\n" KEYS, "stands outside" },
                { "[Match]\nName=wwan0\nnonsense\n" KEYS, "x.conf:3" },
                { "[Match]\nName=wwan0\n[X-Underpass]\nTunnel=yes\n", "RemotePorts" },
                { KEYS, "[Match] is missing" },
                { "", "[Match] is missing" },
                { "[Match]\nName=\xff\n" KEYS, "Name=\\xff" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(freep) char *error = refused(cases[i].text);

                if (!strstr(error, cases[i].word))
                        fprintf(stderr, "%s: %s\n", cases[i].word, error);
                assert(strstr(error, cases[i].word));
        }
}

static void the_same_comes_back(void) {
        static const char *const texts[] = {
                "[Match]\nConnection=LTE\n\n" KEYS,
                "[Match]\nUUID=" UUID "\n\n" KEYS "RemoteAddresses=203.0.113.7 2001:db8:7::/48\nMSS=1300\n",
                "[Match]\nName=wwan* ppp?\n\n[X-Underpass]\nTunnel=auto\nLocalPorts=443 8000-8080\n",
        };

        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                _cleanup_(tunnel_data_done) TunnelData data;
                _cleanup_(freep) char *text = NULL;
                char *error = NULL;

                parse(texts[i], &data);
                assert(tunnel_file_format(&data, NULL, &text, &error) == 0);
                assert_text(text, texts[i]);
        }
}

static void put(TunnelData *data, const char *key, const char *value) {
        assert(strings_add(&data->keys, key) == 0 && strings_add(&data->values, value) == 0);
}

static void an_interface_stands_for_the_link(void) {
        _cleanup_(tunnel_data_done) TunnelData data = {};
        _cleanup_(freep) char *text = NULL, *error = NULL;

        put(&data, "tunnel", "yes");
        put(&data, "remote-ports", "443");
        assert(tunnel_file_format(&data, "wwan0", &text, &error) == 0);
        assert_text(text, "[Match]\nName=wwan0\n\n" KEYS);
        assert(tunnel_file_format(&data, "", &text, &error) == -EINVAL);
        assert(strstr(error, "link="));
}

static void mistakes_are_not_written(void) {
        _cleanup_(tunnel_data_done) TunnelData data = {};
        _cleanup_(freep) char *text = NULL, *error = NULL;

        put(&data, "link", "LTE");
        put(&data, "remote-ports", "0");
        assert(tunnel_file_format(&data, NULL, &text, &error) == -EINVAL);
        assert(!text && strstr(error, "remote-ports=0 in vpn.data"));
}

int main(void) {
        static const Test tests[] = {
                { "a file becomes vpn.data", a_file_becomes_vpn_data },
                { "one condition names the link", one_condition_names_the_link },
                { "mistakes are refused with their line", mistakes_are_refused_with_their_line },
                { "the same comes back", the_same_comes_back },
                { "an interface stands for the link", an_interface_stands_for_the_link },
                { "mistakes are not written", mistakes_are_not_written },
        };

        return run_tests(tests, ELEMENTS(tests));
}
