/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of values: what they are read as, and what is said of bad ones. May touch: nothing.
 */

#include "unit.h"

#include <arpa/inet.h>
#include <time.h>

#include "profile/keys.h"
#include "settings.h"

static void values_have_one_canonical_form(void) {
        static const struct {
                KeyId id;
                const char *text;
                const char *wanted;
        } cases[] = {
                { KEY_ID_REMOTE_PORTS, "8080 , 443", "443,8080" },
                { KEY_ID_REMOTE_PORTS, "10-20,15-30", "10-30" },
                { KEY_ID_REMOTE_PORTS, "10-20,21,22", "10-22" },
                { KEY_ID_REMOTE_PORTS, "5,4,3,2,1", "1-5" },
                { KEY_ID_REMOTE_PORTS, "63-64,127-129", "63-64,127-129" },
                { KEY_ID_REMOTE_PORTS, "1-65535,443", "1-65535" },
                { KEY_ID_REMOTE_PORTS, "443-443", "443" },
                { KEY_ID_REMOTE_PORTS, " \n", "" },
                { KEY_ID_REMOTE_PORTS, ",443,", "443" },
                { KEY_ID_REMOTE_ADDRESSES, "192.0.2.1", "192.0.2.1/32" },
                { KEY_ID_REMOTE_ADDRESSES, "192.0.0.0/2", "192.0.0.0/2" }, /* with multicast in it */
                { KEY_ID_REMOTE_ADDRESSES, "fe00::/7", "fe00::/7" },
                { KEY_ID_REMOTE_ADDRESSES, "2001:DB8::/32", "2001:db8::/32" },
                { KEY_ID_REMOTE_ADDRESSES, "::ffff:10.0.0.0/104", "10.0.0.0/8" },
                { KEY_ID_REMOTE_ADDRESSES, "::ffff:0:0/96", "0.0.0.0/0" },
                { KEY_ID_REMOTE_ADDRESSES, "2001:db8::1 10.0.0.0/8 10.0.0.0/8",
                  "10.0.0.0/8,2001:db8::1/128" },
                { KEY_ID_FWMARK, "16", "0x10" },
                { KEY_ID_FWMARK, "0X1f/0xFF", "0x1f/0xff" },
                { KEY_ID_FWMARK, "1/0xffffffff", "0x1" },
                { KEY_ID_FWMARK, "0x90aF", "0x90af" },
                { KEY_ID_FWMARK, " \t", "" },
                { KEY_ID_MPTCP_ONLY, "off", "no" },
                { KEY_ID_MPTCP_ONLY, "TRUE", "yes" },
                { KEY_ID_MSS, " 1400 ", "1400" },
                { KEY_ID_MPTCP_ENDPOINT, "backup subflow backup", "subflow,backup" },
                { KEY_ID_MPTCP_ENDPOINT, "fullmesh,backup,subflow", "subflow,backup,fullmesh" },
                { KEY_ID_TUNNEL, "Auto", "auto" },
                { KEY_ID_TUNNEL, " ON-demand", "on-demand" },
                { KEY_ID_FALLBACK, "OFF", "no" },
                { KEY_ID_KEEPALIVE, "0", "no" },
                { KEY_ID_KEEPALIVE, " 0 ", "no" },
                { KEY_ID_KEEPALIVE, "No", "no" },
                { KEY_ID_RECEIVE, "\tGRO ", "gro" },
                { KEY_ID_RECEIVE, "Xdp", "xdp" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(freep) char *reason = NULL, *text = NULL;
                Settings settings;

                settings_init(&settings);
                assert(key_parse(key_get(cases[i].id), cases[i].text, &settings, &reason) == 0);
                text = key_format(key_get(cases[i].id), &settings);
                assert_text(text, cases[i].wanted);
        }
}

static const struct {
        KeyId id;
        const char *text;
        int error;
        const char *reason;
} bad_values[] = {
        { KEY_ID_TUNNEL, "", -EINVAL, "“” is neither no, yes, auto nor on-demand" },
        { KEY_ID_TUNNEL, "maybe", -EINVAL, "“maybe” is neither no, yes, auto nor on-demand" },
        { KEY_ID_TUNNEL, "on", -EINVAL, "“on” is neither no, yes, auto nor on-demand" },
        { KEY_ID_TUNNEL, "ondemand", -EINVAL, "“ondemand” is neither no, yes, auto nor on-demand" },
        { KEY_ID_REMOTE_PORTS, "0", -ERANGE, "port 0 is not in 1 … 65535" },
        { KEY_ID_REMOTE_PORTS, "70000", -ERANGE, "port 70000 is not in 1 … 65535" },
        { KEY_ID_REMOTE_PORTS, "443,65536", -ERANGE, "port 65536 is not in 1 … 65535" },
        { KEY_ID_REMOTE_PORTS, "99999999999999999999", -ERANGE,
          "port 99999999999999999999 is not in 1 … 65535" },
        { KEY_ID_REMOTE_PORTS, "0-5", -ERANGE, "port 0 is not in 1 … 65535" },
        { KEY_ID_REMOTE_PORTS, "a-b", -EINVAL,
          "“a-b” is neither a port nor a range of ports such as 8000-8080" },
        { KEY_ID_REMOTE_PORTS, "80-", -EINVAL, "“80-” is neither" },
        { KEY_ID_REMOTE_PORTS, "-80", -EINVAL, "“-80” is neither" },
        { KEY_ID_REMOTE_PORTS, "-", -EINVAL, "“-” is neither" },
        { KEY_ID_REMOTE_PORTS, "1-2-3", -EINVAL, "“1-2-3” is neither" },
        { KEY_ID_REMOTE_PORTS, "+80", -EINVAL, "“+80” is neither" },
        { KEY_ID_REMOTE_PORTS, "0x50", -EINVAL, "“0x50” is neither" },
        { KEY_ID_REMOTE_PORTS, "0443", -EINVAL,
          "“0443” begins with a zero, which some programs take for octal" },
        { KEY_ID_REMOTE_PORTS, "1-0120", -EINVAL, "“0120” begins with a zero" },
        { KEY_ID_REMOTE_PORTS, "00", -EINVAL, "“00” begins with a zero" },
        { KEY_ID_REMOTE_PORTS, ",", -EINVAL, "a comma without values; leave the value empty for none" },
        { KEY_ID_REMOTE_PORTS, " , \n,", -EINVAL, "a comma without values" },
        { KEY_ID_REMOTE_ADDRESSES, ",", -EINVAL, "a comma without values" },
        { KEY_ID_MPTCP_ENDPOINT, ",", -EINVAL, "a comma without values" },
        { KEY_ID_MPTCP_ONLY, ",", -EINVAL, "“,” is neither yes nor no" },
        { KEY_ID_MSS, "01400", -EINVAL, "“01400” begins with a zero" },
        { KEY_ID_KEEPALIVE, "000", -EINVAL, "“000” begins with a zero" },
        { KEY_ID_MTU, "0x500", -EINVAL, "“0x500” is not a number" },
        { KEY_ID_REMOTE_ADDRESSES, "10.0.0.0/08", -EINVAL, "“10.0.0.0/08” is neither" },
        { KEY_ID_REMOTE_ADDRESSES, "224.0.0.1", -EINVAL, "224.0.0.1 is a multicast address" },
        { KEY_ID_REMOTE_ADDRESSES, "::ffff:239.1.2.3", -EINVAL, "is a multicast address" },
        { KEY_ID_REMOTE_ADDRESSES, "224.0.0.0/4", -EINVAL, "224.0.0.0/4 is a multicast address" },
        { KEY_ID_REMOTE_ADDRESSES, "192.0.2.1,ff02::1", -EINVAL, "ff02::1 is a multicast address" },
        { KEY_ID_REMOTE_PORTS, "443;8080", -EINVAL, "“443;8080” is neither" },
        { KEY_ID_REMOTE_PORTS, "%n%s", -EINVAL, "“%n%s” is neither" },
        { KEY_ID_REMOTE_PORTS, "\x1b[2J", -EINVAL, "“\\x1b[2J” is neither" },
        { KEY_ID_REMOTE_PORTS, "\xff", -EINVAL, "the value is not UTF-8 text" },
        { KEY_ID_LOCAL_PORTS, "8080-8000", -EINVAL, "range 8080-8000 is reversed; write 8000-8080" },
        { KEY_ID_REMOTE_ADDRESSES, "10.1.2.3/8", -EINVAL,
          "10.1.2.3/8 has bits set beyond its prefix length; write 10.0.0.0/8" },
        { KEY_ID_REMOTE_ADDRESSES, "2001:db8::1/32", -EINVAL, "write 2001:db8::/32" },
        { KEY_ID_REMOTE_ADDRESSES, "10.0.0.1/0", -EINVAL, "write 0.0.0.0/0" },
        { KEY_ID_REMOTE_ADDRESSES, "10.0.0.0/33", -ERANGE, "prefix length that is not in 0 … 32" },
        { KEY_ID_REMOTE_ADDRESSES, "2001:db8::/129", -ERANGE, "0 … 128 (IPv6)" },
        { KEY_ID_REMOTE_ADDRESSES, "10.0.0.0/", -EINVAL, "“10.0.0.0/” is neither an IPv4" },
        { KEY_ID_REMOTE_ADDRESSES, "/8", -EINVAL, "“/8” is neither an IPv4" },
        { KEY_ID_REMOTE_ADDRESSES, "10.0.0", -EINVAL, "“10.0.0” is neither an IPv4" },
        { KEY_ID_REMOTE_ADDRESSES, "fe80::1%eth0", -EINVAL, "“fe80::1%eth0” is neither an IPv4" },
        { KEY_ID_REMOTE_ADDRESSES, "example.org", -EINVAL, "“example.org” is neither an IPv4" },
        { KEY_ID_REMOTE_ADDRESSES, "::/0", -EINVAL, "::/0 would take in all of IPv4" },
        { KEY_ID_REMOTE_ADDRESSES, "::/80", -EINVAL, "::/80 would take in all of IPv4" },
        { KEY_ID_REMOTE_ADDRESSES, "::8000:0:0/81", -EINVAL, "would take in all of IPv4" },
        { KEY_ID_FWMARK, "0x", -EINVAL, "“0x” is not a mark" },
        { KEY_ID_FWMARK, "010", -EINVAL, "“010” is not a mark" },
        { KEY_ID_FWMARK, "-1", -EINVAL, "“-1” is not a mark" },
        { KEY_ID_FWMARK, "0x10/", -EINVAL, "“0x10/” is not a mark" },
        { KEY_ID_FWMARK, "/0xff", -EINVAL, "“/0xff” is not a mark" },
        { KEY_ID_FWMARK, "0x1g", -EINVAL, "“0x1g” is not a mark" },
        { KEY_ID_FWMARK, "0x100000000", -ERANGE, "does not fit 32 bits" },
        { KEY_ID_FWMARK, "4294967296", -ERANGE, "does not fit 32 bits" },
        { KEY_ID_FWMARK, "0/0", -ERANGE, "mask 0 would match every packet" },
        { KEY_ID_FWMARK, "0x1ff/0xff", -ERANGE, "mark 0x1ff has bits outside mask 0xff" },
        { KEY_ID_MPTCP_ONLY, "", -EINVAL, "“” is neither yes nor no" },
        { KEY_ID_MPTCP_ONLY, "y", -EINVAL, "“y” is neither yes nor no" },
        { KEY_ID_MSS, "535", -ERANGE, "535 is not in 536 … 9216" },
        { KEY_ID_MSS, "9217", -ERANGE, "9217 is not in 536 … 9216" },
        { KEY_ID_MSS, "0", -ERANGE, "0 is not in 536 … 9216" },
        { KEY_ID_MSS, "", -EINVAL, "“” is not a number" },
        { KEY_ID_MSS, "1400 bytes", -EINVAL, "“1400 bytes” is not a number" },
        { KEY_ID_MTU, "575", -ERANGE, "575 is not in 576 … 65535" },
        { KEY_ID_MTU, "65536", -ERANGE, "65536 is not in 576 … 65535" },
        { KEY_ID_MTU, "184467440737095516161400", -ERANGE, "is not in 576 … 65535" },
        { KEY_ID_MTU, "-1", -EINVAL, "“-1” is not a number" },
        { KEY_ID_MPTCP_ENDPOINT, "subflows", -EINVAL, "“subflows” is not a flag of an MPTCP endpoint" },
        { KEY_ID_MPTCP_ENDPOINT, "none,subflow", -EINVAL, "none cannot be combined with flags" },
        { KEY_ID_MPTCP_ENDPOINT, "signal fullmesh", -EINVAL,
          "refuses signal together with fullmesh" },
        { KEY_ID_MTU, "0", -ERANGE, "0 is not in 576 … 65535" },
        { KEY_ID_FALLBACK, "plain", -EINVAL, "“plain” is neither yes nor no" },
        { KEY_ID_FALLBACK_AFTER, "0", -ERANGE, "0 is not in 1 … 10" },
        { KEY_ID_FALLBACK_AFTER, "11", -ERANGE, "11 is not in 1 … 10" },
        { KEY_ID_FALLBACK_AFTER, "no", -EINVAL, "“no” is not a number" },
        { KEY_ID_KEEPALIVE, "4", -ERANGE, "4 is not in 5 … 7200" },
        { KEY_ID_KEEPALIVE, "7201", -ERANGE, "7201 is not in 5 … 7200" },
        { KEY_ID_SCTP_UDP_PORT, "65536", -ERANGE, "65536 is not in 1 … 65535" },
        { KEY_ID_SCTP_ENCAP_PORT, "9899-9900", -EINVAL, "9899-9900" },
        { KEY_ID_KEEPALIVE, "4294967296", -ERANGE, "4294967296 is not in 5 … 7200" },
        { KEY_ID_KEEPALIVE, "-0", -EINVAL, "“-0” is not a number" },
        { KEY_ID_KEEPALIVE, "off", -EINVAL, "“off” is not a number" },
        { KEY_ID_KEEPALIVE, "25 s", -EINVAL, "“25 s” is not a number" },
        { KEY_ID_RECEIVE, "", -EINVAL, "“” is neither auto, tc, gro, xdp nor socket" },
        { KEY_ID_RECEIVE, "tc,gro", -EINVAL, "“tc,gro” is neither auto, tc, gro, xdp nor socket" },
        { KEY_ID_RECEIVE, "yes", -EINVAL, "“yes” is neither auto, tc, gro, xdp nor socket" },
};

static void bad_values_are_refused_with_a_reason(void) {
        for (size_t i = 0; i < ELEMENTS(bad_values); i++) {
                const Key *key = key_get(bad_values[i].id);
                _cleanup_(freep) char *reason = NULL;
                Settings settings, before;

                settings_init(&settings);
                settings_init(&before);
                printf("# %s=%zu\n", key->name, i);
                assert(key_parse(key, bad_values[i].text, &settings, &reason) == bad_values[i].error);
                assert_contains(reason, bad_values[i].reason);
                for (size_t other = 0; other < _KEY_ID_MAX; other++)
                        assert(setting_equal(key_get((KeyId) other), &settings, &before));
        }
}

/* A key that takes one word out of several: the error about another one, and the range, have all of them. */
static void errors_name_all_words(void) {
        size_t choices = 0;

        for (size_t i = 0; i < _KEY_ID_MAX; i++) {
                const Key *key = key_get((KeyId) i);
                _cleanup_(freep) char *reason = NULL;
                Settings settings;
                const char *word;

                if (key->type != KEY_BOOLEAN && key->type != KEY_TUNNEL_MODE &&
                    key->type != KEY_RECEIVE_MODE && key->type != KEY_BULK_MODE)
                        continue;
                choices++;
                settings_init(&settings);
                assert(key_parse(key, "?", &settings, &reason) == -EINVAL);
                printf("# %s: %s\n", key->name, reason);
                for (size_t number = 0; (word = key_word(key, number)); number++) {
                        assert_contains(reason, word);
                        assert_contains(key->range_text, word);
                }
        }
        assert(choices >= 4);
}

/* "1,3,5,…": as many ranges as ports. */
static char *odd_ports(size_t count) {
        char *text = strdup("");

        for (size_t i = 0, used = 0; i < count; i++) {
                text = realloc(text, used + 8);
                used += (size_t) sprintf(text + used, "%s%zu", i > 0 ? "," : "", 1 + 2 * i);
        }
        return text;
}

static void port_sets_hold_32_ranges(void) {
        const Key *key = key_get(KEY_ID_REMOTE_PORTS);
        _cleanup_(freep) char *most = odd_ports(UNDERPASS_PORT_RANGES_MAX), *more = odd_ports(33),
                              *reason = NULL;
        Settings settings;

        settings_init(&settings);
        assert(key_parse(key, most, &settings, &reason) == 0);
        assert(settings.remote_ports.count == UNDERPASS_PORT_RANGES_MAX);
        assert(port_set_contains(&settings.remote_ports, 63));
        assert(!port_set_contains(&settings.remote_ports, 64));
        assert(key_parse(key, more, &settings, &reason) == -E2BIG);
        assert_text(reason, "33 ports in 33 separate ranges; at most 32 ranges, write neighbouring ports as "
                            "FIRST-LAST");
        assert(settings.remote_ports.count == UNDERPASS_PORT_RANGES_MAX);
}

/* Of the processor: that the machine is busy with something else is no fault. */
static double seconds_used(void) {
        struct timespec used;

        assert(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0);
        return (double) used.tv_sec + (double) used.tv_nsec / 1e9;
}

static void huge_lists_are_refused_at_once(void) {
        const Key *key = key_get(KEY_ID_REMOTE_PORTS);
        _cleanup_(freep) char *ports = odd_ports(10000), *reason = NULL, *other = NULL;
        _cleanup_(freep) char *ranges = calloc(1, 1000001), *huge = calloc(1, 2000001);
        const double start = seconds_used();
        Settings settings;

        settings_init(&settings);
        assert(key_parse(key, ports, &settings, &reason) == -E2BIG);
        assert_text(reason, "10000 ports in 10000 separate ranges; at most 32 ranges, write neighbouring "
                            "ports as FIRST-LAST");

        for (size_t i = 0; i + 8 <= 1000000; i += 8)
                memcpy(ranges + i, "1-65535 ", 8);
        assert(key_parse(key, ranges, &settings, &other) == -E2BIG);
        assert_contains(other, "the value is 1000000 bytes long; at most 8192 bytes are allowed");
        free(TAKE_PTR(other));

        memset(huge, '1', 2000000);
        for (size_t i = 0; i < _KEY_ID_MAX; i++) {
                assert(key_parse(key_get((KeyId) i), huge, &settings, &other) == -E2BIG);
                assert_contains(other, "longer than 8192 bytes");
                assert(strlen(other) < 256);
                free(TAKE_PTR(other));
        }
        assert(seconds_used() - start < 5);
}

static void long_values_are_refused_even_when_they_are_right(void) {
        const Key *key = key_get(KEY_ID_MTU);
        _cleanup_(freep) char *text = malloc(8194), *reason = NULL;
        Settings settings;

        settings_init(&settings);
        memset(text, ' ', 8193);
        memcpy(text, "1400", 4);
        text[8192] = 0;
        assert(key_parse(key, text, &settings, &reason) == 0);
        assert(settings.mtu == 1400);
        text[8192] = ' ';
        text[8193] = 0;
        settings.mtu = 7;
        assert(key_parse(key, text, &settings, &reason) == -E2BIG);
        assert(settings.mtu == 7);
}

static void overlaps_are_found(void) {
        static const struct {
                uint16_t first, last, found;  /* found: first port of the range, 0: none */
        } cases[] = {
                { 1, 9, 0 },    { 1, 10, 10 },  { 20, 20, 10 }, { 21, 29, 0 },  { 15, 35, 10 },
                { 21, 30, 30 }, { 31, 65535, 0 }, { 1, 65535, 10 },
        };
        _cleanup_(freep) char *reason = NULL;
        Settings settings;

        settings_init(&settings);
        assert(key_parse(key_get(KEY_ID_LOCAL_PORTS), "10-20,30", &settings, &reason) == 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct underpass_port_range *range =
                        port_set_overlap(&settings.local_ports, cases[i].first, cases[i].last);
                assert((range ? range->first : 0) == cases[i].found);
        }
        assert(port_set_contains(&settings.local_ports, 30));
        assert(!port_set_contains(&settings.local_ports, 0));
        assert(!port_set_contains(&settings.remote_ports, 30));
}

/* As flow_matches() in bpf/flow.h. */
static void settings_cover_destinations(void) {
        static const struct {
                const char *ports, *addresses;
                uint32_t word[4];
                uint16_t port;
                bool covered;
        } cases[] = {
                { "", "", { 0, 0, 0xffff, 0xcb007107 }, 443, false },
                { "443", "", { 0, 0, 0xffff, 0xcb007107 }, 443, true },
                { "443", "", { 0, 0, 0xffff, 0xcb007107 }, 8443, false },
                { "1-65535", "203.0.113.7", { 0, 0, 0xffff, 0xcb007107 }, 65535, true },
                { "443", "203.0.113.7", { 0, 0, 0xffff, 0xcb007109 }, 443, false },
                { "443", "203.0.113.0/29,2001:db8::/32", { 0, 0, 0xffff, 0xcb007107 }, 443, true },
                { "443", "203.0.113.0/29,2001:db8::/32", { 0x20010db8, 0, 0, 1 }, 443, true },
                { "443", "203.0.113.0/29", { 0x20010db8, 0, 0, 1 }, 443, false },
                { "443", "0.0.0.0/0", { 0x20010db8, 0, 0, 1 }, 443, false },
                { "443", "2000::/3", { 0x20010db8, 0, 0, 1 }, 443, true },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(freep) char *reason = NULL;
                uint32_t address[4];
                Settings settings;

                settings_init(&settings);
                for (size_t k = 0; k < ELEMENTS(address); k++)
                        address[k] = htonl(cases[i].word[k]);
                assert(key_parse(key_get(KEY_ID_REMOTE_PORTS), cases[i].ports, &settings, &reason) == 0);
                assert(key_parse(key_get(KEY_ID_REMOTE_ADDRESSES), cases[i].addresses, &settings,
                                 &reason) == 0);
                assert(settings_cover(&settings, address, cases[i].port) == cases[i].covered);
        }
}

static void prefixes_are_stored_as_the_programs_want_them(void) {
        _cleanup_(freep) char *reason = NULL, *text = strdup("");
        const Key *key = key_get(KEY_ID_REMOTE_ADDRESSES);
        const PrefixSet *set;
        Settings settings;

        settings_init(&settings);
        set = &settings.remote_addresses;
        assert(key_parse(key, "10.32.0.0/11,2001:db8::/33", &settings, &reason) == 0);
        assert(set->count == 2);
        assert(set->prefixes[0].address[0] == 0 && set->prefixes[0].address[1] == 0);
        assert(set->prefixes[0].address[2] == htonl(0xffff));
        assert(set->prefixes[0].address[3] == htonl(0x0a200000));
        assert(set->prefixes[0].mask[2] == UINT32_MAX && set->prefixes[0].mask[3] == htonl(0xffe00000));
        assert(set->prefixes[1].address[0] == htonl(0x20010db8));
        assert(set->prefixes[1].mask[0] == UINT32_MAX && set->prefixes[1].mask[1] == htonl(0x80000000));
        assert(set->prefixes[1].mask[2] == 0 && set->prefixes[1].mask[3] == 0);

        for (unsigned i = 0; i < 17; i++) {
                char *longer = string_format("%s 10.%u.0.0/16", text, 2 * i);
                free(text);
                text = longer;
                if (i == 15)
                        assert(key_parse(key, text, &settings, &reason) == 0);
        }
        assert(key_parse(key, text, &settings, &reason) == -E2BIG);
        assert_contains(reason, "more than 16 prefixes");
        assert(set->count == 16);
}

static void hostile_values_are_excerpted(void) {
        _cleanup_(freep) char *long_text = calloc(1, 5001), *excerpt = NULL,
                              *control = value_excerpt("a\r\nb\x7f");

        memset(long_text, 'x', 5000);
        excerpt = value_excerpt(long_text);
        assert(strlen(excerpt) == 63 + strlen("…"));
        assert_text(control, "a\\x0d\\x0ab\\x7f");
}

int main(void) {
        static const Test tests[] = {
                { "values have one canonical form", values_have_one_canonical_form },
                { "bad values are refused with a reason and change nothing",
                  bad_values_are_refused_with_a_reason },
                { "errors name all words", errors_name_all_words },
                { "port sets hold 32 ranges", port_sets_hold_32_ranges },
                { "huge lists are refused at once", huge_lists_are_refused_at_once },
                { "long values are refused even when they are right",
                  long_values_are_refused_even_when_they_are_right },
                { "overlaps of ports are found", overlaps_are_found },
                { "settings cover destinations", settings_cover_destinations },
                { "prefixes are stored as the programs want them",
                  prefixes_are_stored_as_the_programs_want_them },
                { "hostile values are excerpted", hostile_values_are_excerpted },
        };

        return run_tests(tests, ELEMENTS(tests));
}
