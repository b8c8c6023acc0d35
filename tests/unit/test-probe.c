/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of what follows from the answers to a probe, and of the segments that it sends and reads. May touch:
 * nothing.
 */

#include "unit.h"

#include "plan/probe-form.h"
#include "plan/probe.h"

enum {
        SEQUENCE = 0xfffffffe, /* wraps */
        FLAGS_SYN_ACK = 0x12,
        FLAGS_RST_ACK = 0x14,
        FLAGS_ACK = 0x10,
};

static ProbeReport report_of(ProbeOutcome tcp, ProbeOutcome mptcp, ProbeOutcome udp) {
        return (ProbeReport) {
                .answers = { [PROBE_TCP] = { tcp }, [PROBE_MPTCP] = { mptcp }, [PROBE_UDP] = { udp } },
                .speaks = udp == PROBE_OPTION || udp == PROBE_ANSWERED,
        };
}

static ProbeVerdict judge(ProbeOutcome tcp, ProbeOutcome mptcp, ProbeOutcome udp) {
        const ProbeReport report = report_of(tcp, mptcp, udp);

        return probe_judge(&report);
}

static void names_are_there(void) {
        ProbeOutcome outcome;

        assert_all_named(_PROBE_FORM_MAX, probe_form_name);
        assert_all_named(_PROBE_OUTCOME_MAX, probe_outcome_name);
        assert_all_named(_PROBE_VERDICT_MAX, probe_verdict_name);
        for (int i = 0; i < _PROBE_OUTCOME_MAX; i++) {
                assert(probe_outcome_from_name(probe_outcome_name((ProbeOutcome) i), &outcome) == 0);
                assert(outcome == (ProbeOutcome) i);
        }
        assert(probe_outcome_from_name("", &outcome) == -EINVAL);
}

static void cases_that_people_meet(void) {
        const struct {
                ProbeOutcome tcp, mptcp, udp;
                ProbeVerdict verdict;
        } cases[] = {
                { PROBE_ANSWERED, PROBE_OPTION, PROBE_OPTION, PROBE_NOT_NEEDED },
                { PROBE_ANSWERED, PROBE_OPTION, PROBE_REFUSED, PROBE_NOT_NEEDED },
                { PROBE_ANSWERED, PROBE_ANSWERED, PROBE_OPTION, PROBE_HELPS },
                { PROBE_ANSWERED, PROBE_SILENCE, PROBE_OPTION, PROBE_HELPS },
                { PROBE_SILENCE, PROBE_SILENCE, PROBE_OPTION, PROBE_HELPS },
                { PROBE_REFUSED, PROBE_FILTERED, PROBE_OPTION, PROBE_HELPS },
                { PROBE_ANSWERED, PROBE_ANSWERED, PROBE_ANSWERED, PROBE_SERVER_PLAIN },
                { PROBE_ANSWERED, PROBE_ANSWERED, PROBE_REFUSED, PROBE_NO_PEER },
                { PROBE_ANSWERED, PROBE_ANSWERED, PROBE_FILTERED, PROBE_UDP_FILTERED },
                { PROBE_ANSWERED, PROBE_ANSWERED, PROBE_SILENCE, PROBE_UDP_SILENT },
                { PROBE_ANSWERED, PROBE_SILENCE, PROBE_SILENCE, PROBE_UDP_SILENT },
                { PROBE_ANSWERED, PROBE_ANSWERED, PROBE_NOT_SENT, PROBE_UDP_KEPT },
                { PROBE_ANSWERED, PROBE_NOT_SENT, PROBE_REFUSED, PROBE_KERNEL_PLAIN },
                { PROBE_ANSWERED, PROBE_NOT_SENT, PROBE_OPTION, PROBE_KERNEL_PLAIN },
                { PROBE_SILENCE, PROBE_NOT_SENT, PROBE_OPTION, PROBE_HELPS },
                { PROBE_REFUSED, PROBE_REFUSED, PROBE_REFUSED, PROBE_CLOSED },
                { PROBE_REFUSED, PROBE_NOT_SENT, PROBE_SILENCE, PROBE_CLOSED },
                { PROBE_FILTERED, PROBE_FILTERED, PROBE_FILTERED, PROBE_UNREACHED },
                { PROBE_SILENCE, PROBE_SILENCE, PROBE_SILENCE, PROBE_UNREACHED },
                { PROBE_NOT_SENT, PROBE_NOT_SENT, PROBE_NOT_SENT, PROBE_NO_ROUTE },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert(judge(cases[i].tcp, cases[i].mptcp, cases[i].udp) == cases[i].verdict);
}

/* What must hold whatever is answered. */
static void check_combination(const ProbeReport *report) {
        const ProbeOutcome tcp = report->answers[PROBE_TCP].outcome;
        const ProbeOutcome mptcp = report->answers[PROBE_MPTCP].outcome;
        const ProbeOutcome udp = report->answers[PROBE_UDP].outcome;
        const ProbeVerdict verdict = probe_judge(report);
        const bool plain = tcp == PROBE_ANSWERED || mptcp == PROBE_ANSWERED;

        assert((verdict == PROBE_NOT_NEEDED) == (mptcp == PROBE_OPTION));
        const bool unasked = tcp == PROBE_ANSWERED && mptcp == PROBE_NOT_SENT;
        assert((verdict == PROBE_HELPS) == (mptcp != PROBE_OPTION && udp == PROBE_OPTION && !unasked));
        assert(!probe_shows_stripped(report) || (verdict == PROBE_HELPS && mptcp != PROBE_NOT_SENT));
        assert((verdict == PROBE_SERVER_PLAIN) == (mptcp != PROBE_OPTION && udp == PROBE_ANSWERED));
        if (verdict == PROBE_UNREACHED || verdict == PROBE_CLOSED || verdict == PROBE_NO_ROUTE)
                assert(!plain);
        if (verdict == PROBE_NO_PEER || verdict == PROBE_UDP_FILTERED || verdict == PROBE_UDP_SILENT ||
            verdict == PROBE_UDP_KEPT)
                assert(plain && mptcp != PROBE_NOT_SENT);
        if (verdict == PROBE_NO_PEER)
                assert(udp == PROBE_REFUSED);
        if (verdict == PROBE_UDP_KEPT)
                assert(udp == PROBE_NOT_SENT);
        if (verdict == PROBE_CLOSED)
                assert(tcp == PROBE_REFUSED || mptcp == PROBE_REFUSED || report->speaks);
        assert(probe_shows_mptcp(report) == (mptcp == PROBE_OPTION || udp == PROBE_OPTION));
}

static void all_combinations(void) {
        size_t seen[_PROBE_VERDICT_MAX] = {};

        for (int tcp = 0; tcp < _PROBE_OUTCOME_MAX; tcp++)
                for (int mptcp = 0; mptcp < _PROBE_OUTCOME_MAX; mptcp++)
                        for (int udp = 0; udp < _PROBE_OUTCOME_MAX; udp++) {
                                ProbeReport report = report_of((ProbeOutcome) tcp, (ProbeOutcome) mptcp,
                                                               (ProbeOutcome) udp);

                                check_combination(&report);
                                report.speaks = true;
                                check_combination(&report);
                                seen[probe_judge(&report)]++;
                                report.speaks = false;
                                seen[probe_judge(&report)]++;
                        }
        for (size_t i = 0; i < ELEMENTS(seen); i++)
                assert(seen[i] > 0);
}

enum { NOW_S = 1000 };
#define NOW_NS (NOW_S * UINT64_C(1000000000))

static void lessons_of_a_path_that_strips(void) {
        struct underpass_destination way = { .blocks = { { .until = NOW_S + 5, .pause = 10 } } };
        struct underpass_destination server = {};
        ProbeReport report = report_of(PROBE_ANSWERED, PROBE_ANSWERED, PROBE_OPTION);

        way.lacking_until_ns = NOW_NS + 1;
        way.stripped_join = 1;
        report.answers[PROBE_UDP].rtt_us = 41000;
        report.answers[PROBE_TCP].rtt_us = 1000;
        report.mtu = 1500;
        report.mtu_there = report.mtu_back = 1400;
        report.mtu_lost = 1500;
        probe_teach(&report, NOW_NS, &way, &server);
        assert(way.stripped_until_ns > NOW_NS && !way.stripped_join && way.lacking_until_ns == 0);
        assert(way.blocks[0].until == 0 && way.blocks[0].pause == 0 && way.opened == NOW_S);
        assert(server.spoken_until_ns > NOW_NS && way.rtt_us == 41000);
        assert(way.mtu == 1400 && way.mtu_until_ns > NOW_NS);
}

static void lessons_of_a_path_without_udp(void) {
        static const struct {
                ProbeOutcome udp;
                enum underpass_block_reason reason;
        } cases[] = {
                { PROBE_SILENCE, UNDERPASS_BLOCK_SILENCE },
                { PROBE_REFUSED, UNDERPASS_BLOCK_REFUSED },
                { PROBE_FILTERED, UNDERPASS_BLOCK_FILTERED },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct underpass_destination way = {}, server = {};
                ProbeReport report = report_of(PROBE_ANSWERED, PROBE_ANSWERED, cases[i].udp);

                probe_teach(&report, NOW_NS, &way, &server);
                for (int reason = 0; reason < UNDERPASS_BLOCK_REASON_COUNT; reason++)
                        assert((way.blocks[reason].until > NOW_S) == (reason == (int) cases[i].reason));
                assert(way.stripped_until_ns == 0 && way.opened == 0 && server.spoken_until_ns == 0);
                /* A pause that is longer already stays. */
                way.blocks[cases[i].reason].until = NOW_S + 600;
                probe_teach(&report, NOW_NS, &way, &server);
                assert(way.blocks[cases[i].reason].until == NOW_S + 600);
                /* Where nothing passes at all, UDP is not what is in the way. */
                way = (struct underpass_destination) {};
                report = report_of(PROBE_SILENCE, PROBE_SILENCE, cases[i].udp);
                probe_teach(&report, NOW_NS, &way, &server);
                assert(way.blocks[cases[i].reason].until == 0);
        }
}

/* A probe takes back nothing that only plain MPTCP without a tunnel could show. */
static void what_passes_is_no_lesson(void) {
        struct underpass_destination way = { .stripped_until_ns = NOW_NS + 1 }, server = {};
        ProbeReport report = report_of(PROBE_ANSWERED, PROBE_OPTION, PROBE_OPTION);

        probe_teach(&report, NOW_NS, &way, &server);
        assert(way.stripped_until_ns == NOW_NS + 1 && server.spoken_until_ns > NOW_NS && way.rtt_us == 0);
        report = report_of(PROBE_ANSWERED, PROBE_ANSWERED, PROBE_ANSWERED);
        way = (struct underpass_destination) {};
        probe_teach(&report, NOW_NS, &way, &server);
        assert(way.stripped_until_ns == 0 && way.opened == NOW_S && way.mtu == 0);
}

/* With MPTCP switched off, plain MPTCP was not asked, so nothing is known of it. */
static void what_is_not_asked_is_no_lesson(void) {
        static const ProbeOutcome outcomes[] = { PROBE_ANSWERED, PROBE_SILENCE, PROBE_NOT_SENT };

        for (size_t i = 0; i < ELEMENTS(outcomes); i++) {
                struct underpass_destination way = { .stripped_join = 1 }, server = {};
                const ProbeReport report = report_of(outcomes[i], PROBE_NOT_SENT, PROBE_OPTION);

                probe_teach(&report, NOW_NS, &way, &server);
                assert(way.stripped_until_ns == 0 && way.stripped_join == 1);
                assert(way.opened == NOW_S && server.spoken_until_ns > NOW_NS);
        }
}

static void addresses_are_read(void) {
        char text[INET6_ADDRSTRLEN];
        Address address;

        assert(address_from_text("192.0.2.1", &address) == 0 && address_is_ipv4(&address));
        assert_text(address_text(&address, text), "192.0.2.1");
        assert(address_from_text("2001:db8::1", &address) == 0 && !address_is_ipv4(&address));
        assert_text(address_text(&address, text), "2001:db8::1");
        assert(address_from_text("", &address) == -EINVAL);
        assert(address_from_text("192.0.2", &address) == -EINVAL);
        assert(address_from_text("example.org", &address) == -EINVAL);
}

/* The SYN as an Underpass server's programs see it: bpf/rewrite.h. */
static void syn_has_the_form(void) {
        static const uint8_t wanted[PROBE_FORM_SYN] = {
                0x90, 0x02, 0xfa, 0xf0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0,
                2, 4, 0x05, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7, 30, 4, 0x01, 0x01,
        };
        static const uint8_t wanted_reset[PROBE_FORM_HEADER] = { 0x50, 0x04, 0, 0, 0x12, 0x34, 0x56, 0x79 };
        uint8_t buffer[PROBE_FORM_SYN + 1];

        memset(buffer, 0x55, sizeof(buffer));
        probe_form_syn(buffer, 0x12345678, 1460);
        assert(memcmp(buffer, wanted, sizeof(wanted)) == 0 && buffer[PROBE_FORM_SYN] == 0x55);
        memset(buffer, 0x55, sizeof(buffer));
        probe_form_reset(buffer, 0x12345679);
        assert(memcmp(buffer, wanted_reset, sizeof(wanted_reset)) == 0 && buffer[PROBE_FORM_HEADER] == 0x55);
}

/* An answer with these flags and options that acknowledges so many bytes beyond the SYN's number. */
static ProbeFormAnswer answer(uint8_t flags, uint32_t beyond, const char *options, size_t length,
                              uint32_t carried) {
        const uint32_t number = (uint32_t) SEQUENCE + beyond;
        uint8_t data[60] = { (uint8_t) ((20 + length) / 4 << 4), flags };

        for (size_t i = 0; i < 4; i++)
                data[8 + i] = (uint8_t) (number >> (24 - 8 * i));
        memcpy(data + PROBE_FORM_HEADER, options, length);
        return probe_form_read(data, PROBE_FORM_HEADER + length, SEQUENCE, carried);
}

static void answers_are_read(void) {
        static const char full[] = "\2\4\5\264\36\14\1\1key-key-\1\3\3\7";
        ProbeFormAnswer got = answer(FLAGS_SYN_ACK, 1, full, sizeof(full) - 1, 0);

        assert(got.kind == PROBE_FORM_ACCEPT && got.mptcp && got.mss == 1460);
        got = answer(FLAGS_SYN_ACK, 1, "\2\4\5\264", 4, 0);
        assert(got.kind == PROBE_FORM_ACCEPT && !got.mptcp && got.mss == 1460);
        got = answer(FLAGS_SYN_ACK, 1, "", 0, 0);
        assert(got.kind == PROBE_FORM_ACCEPT && !got.mptcp && got.mss == 0);
        assert(answer(FLAGS_RST_ACK, 1, "", 0, 0).kind == PROBE_FORM_REFUSE);
        /* Data of the SYN may be acknowledged, more may not. */
        assert(answer(FLAGS_SYN_ACK, 101, "", 0, 100).kind == PROBE_FORM_ACCEPT);
        assert(answer(FLAGS_SYN_ACK, 102, "", 0, 100).kind == PROBE_FORM_OTHER);
        assert(answer(FLAGS_SYN_ACK, 0, "", 0, 100).kind == PROBE_FORM_OTHER);
        assert(answer(FLAGS_ACK, 1, "", 0, 0).kind == PROBE_FORM_OTHER);
        assert(answer(0x02, 1, "", 0, 0).kind == PROBE_FORM_OTHER);
}

static void broken_answers_are_none(void) {
        static const uint8_t short_header[] = { 0x40, FLAGS_SYN_ACK, 0, 0,    0,    0,
                                                0,    0,             255, 255, 255, 255 };
        static const uint8_t long_header[] = { 0xf0, FLAGS_SYN_ACK, 0, 0,    0,    0,
                                               0,    0,             255, 255, 255, 255 };
        static const char *const options[] = {
                "\36\0\0\0", "\36\377\0\0", "\36\5\0\0", "\36\2\0\0",
                "\36\4\20\0", "\1\1\1\36", "\0\36\3\0",
        };

        assert(probe_form_read(short_header, sizeof(short_header), SEQUENCE, 0).kind == PROBE_FORM_OTHER);
        assert(probe_form_read(long_header, sizeof(long_header), SEQUENCE, 0).kind == PROBE_FORM_OTHER);
        assert(probe_form_read(NULL, 0, SEQUENCE, 0).kind == PROBE_FORM_OTHER);
        for (size_t i = 0; i < ELEMENTS(options); i++) {
                const ProbeFormAnswer got = answer(FLAGS_SYN_ACK, 1, options[i], 4, 0);

                assert(got.kind == PROBE_FORM_ACCEPT && !got.mptcp && got.mss == 0);
        }
}

int main(void) {
        static const Test tests[] = {
                { "every value has a name", names_are_there },
                { "the usual cases lead to their verdicts", cases_that_people_meet },
                { "all combinations of answers are judged", all_combinations },
                { "a path that strips is remembered, and that UDP passes", lessons_of_a_path_that_strips },
                { "a path without UDP is blocked, by its reason", lessons_of_a_path_without_udp },
                { "what passes takes nothing back", what_passes_is_no_lesson },
                { "what is not asked teaches nothing", what_is_not_asked_is_no_lesson },
                { "addresses are read", addresses_are_read },
                { "SYN and reset have the UDP form", syn_has_the_form },
                { "answers are told apart", answers_are_read },
                { "broken answers are no answers", broken_answers_are_none },
        };

        return run_tests(tests, ELEMENTS(tests));
}
