/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of what "underpassctl check" says: a host and a link that are well, and one fact after the other
 * that is not. May touch: nothing.
 */

#include "unit.h"

#include "plan-world.h"
#include "plan/check-link.h"
#include "profile/keys.h"

enum { ENDPOINTS_MAX = 8 };

/* A host with one link, which is client and server; everything is well. */
typedef struct Facts {
        CheckHost host;
        CheckLink link;
        MptcpEndpoint endpoints[ENDPOINTS_MAX];
        Address addresses[1];
        char *profiles[3];
        char *warnings[2];
} Facts;

static const uint16_t listeners[] = { 22, 443 };
static const uint16_t without[] = { 22 };

static void set(Facts *facts, const char *key, const char *value) {
        _cleanup_(freep) char *error = NULL;

        assert(key_parse(key_find(key), value, &facts->link.settings, &error) == 0);
}

static void counted(Facts *facts, enum underpass_counter counter, uint64_t value) {
        facts->link.counters.value[counter] = value;
}

static void facts_begin(Facts *facts) {
        *facts = (Facts) {
                .host = {
                        .unit = CHECK_UNIT_ENABLED, .answers = true, .version = "0.1.0", .unit_error = "",
                        .bpf_error = "", .attach_point = "tcx", .kernel = "6.12", .mptcp = CHECK_MPTCP_ON,
                        .limits_known = true, .subflows_max = 2, .endpoints_known = true,
                        .endpoints_count = 2, .asked = 9, .links_active = 2, .links_building = 2,
                        .udp_ports = { .known = true },
                        .tcp_listeners = { .known = true, .ports = listeners, .count = 2 },
                        .mptcp_listeners = { .known = true, .ports = listeners, .count = 2 },
                },
                .link = {
                        .name = "wwan0", .mtu = 1500, .addresses_known = true, .addresses_count = 1,
                        .state = "active",
                        .reason = "Because.", .last_error = "", .last_stage = "", .connection = "LTE",
                        .connection_uuid = "1-2", .network_file = "", .managed = true,
                        .registers_endpoints = true, .blocked = { .first = "" }, .tunnel_origin = "LTE",
                },
        };
        facts->host.endpoints = facts->endpoints;
        facts->link.addresses = facts->addresses;
        facts->addresses[0] = address_of("192.0.2.1");
        facts->endpoints[0] = (MptcpEndpoint) { .address = facts->addresses[0], .flags = ENDPOINT_SUBFLOW };
        facts->endpoints[1] =
                (MptcpEndpoint) { .address = address_of("198.51.100.1"), .flags = ENDPOINT_SUBFLOW };
        settings_init(&facts->link.settings);
        set(facts, "tunnel", "yes");
        set(facts, "remote-ports", "443");
        set(facts, "local-ports", "443");
        counted(facts, UNDERPASS_COUNTER_FLOWS_OPENED, 3);
        counted(facts, UNDERPASS_COUNTER_FLOWS_ESTABLISHED, 3);
        counted(facts, UNDERPASS_COUNTER_RECEIVED, 9);
        counted(facts, UNDERPASS_COUNTER_FLOWS_ACCEPTED, 5);
}

static void judge(const Facts *facts, CheckLines *lines) {
        assert(check_host(&facts->host, lines) == 0);
        assert(check_link(&facts->host, &facts->link, lines) == 0);
}

static bool has_line(const CheckLines *lines, const char *id) {
        for (size_t i = 0; i < lines->count; i++)
                if (streq(lines->lines[i].id, id))
                        return true;
        return false;
}

static const CheckLine *line_of(const CheckLines *lines, const char *id, CheckResult result) {
        for (size_t i = 0; i < lines->count; i++)
                if (streq(lines->lines[i].id, id) && lines->lines[i].result == result)
                        return &lines->lines[i];
        return NULL;
}

static void all_is_well(void) {
        _cleanup_(check_lines_done) CheckLines lines = {};
        Facts facts;

        facts_begin(&facts);
        judge(&facts, &lines);
        assert(lines.count > 10);
        assert(!check_lines_first_bad(&lines));
        for (size_t i = 0; i < lines.count; i++) {
                if (lines.lines[i].result != CHECK_GOOD)
                        printf("# %s: %s\n", lines.lines[i].id, lines.lines[i].sentence);
                assert(lines.lines[i].result == CHECK_GOOD);
                assert(!lines.lines[i].command);
        }
}

static void no_answer(Facts *facts) {
        facts->host.answers = false;
        facts->host.version = facts->host.attach_point = "";
        facts->link.state = "";
        settings_init(&facts->link.settings);
}

static void missing(Facts *facts) {
        no_answer(facts);
        facts->host.unit = CHECK_UNIT_MISSING;
}

static void masked(Facts *facts) {
        no_answer(facts);
        facts->host.unit = CHECK_UNIT_MASKED;
}

static void disabled(Facts *facts) {
        no_answer(facts);
        facts->host.unit = CHECK_UNIT_DISABLED;
}

static void disabled_but_runs(Facts *facts) {
        facts->host.unit = CHECK_UNIT_DISABLED;
}

static void dead(Facts *facts) {
        no_answer(facts);
        facts->host.unit_error = "Cannot open rtnetlink.";
}

static void dead_in_silence(Facts *facts) {
        no_answer(facts);
}

static void bpf_refused(Facts *facts) {
        facts->host.bpf_error = "BPF cannot be used: no.";
        facts->link.state = "failed";
        facts->link.last_error = "BPF cannot be used here: no.";
}

static void no_mptcp(Facts *facts) {
        facts->host.mptcp = CHECK_MPTCP_MISSING;
}

static void mptcp_off(Facts *facts) {
        facts->host.mptcp = CHECK_MPTCP_OFF;
}

static void mptcp_off_and_only_sctp(Facts *facts) {
        facts->host.mptcp = CHECK_MPTCP_OFF;
        facts->host.sctp_alone = true;
        facts->host.links_active = facts->host.links_building = 0;
        facts->link.state = "off";
        set(facts, "tunnel", "no");
        set(facts, "sctp-udp-port", "9899");
}

static void no_mptcp_and_only_sctp(Facts *facts) {
        mptcp_off_and_only_sctp(facts);
        facts->host.mptcp = CHECK_MPTCP_MISSING;
}

static void no_subflows(Facts *facts) {
        facts->host.subflows_max = 0;
}

/* Four links with endpoints: one begins, three join. */
static void too_few_subflows(Facts *facts) {
        facts->endpoints[2] = facts->endpoints[3] = facts->endpoints[1];
        facts->host.endpoints_count = 4;
}

/* No connection has subflows of both families, and what is only announced joins nothing. */
static void other_endpoints(Facts *facts) {
        facts->endpoints[2] = facts->endpoints[3] = (MptcpEndpoint) {
                .address = address_of("2001:db8::1"), .flags = ENDPOINT_SUBFLOW,
        };
        facts->endpoints[4] = (MptcpEndpoint) {
                .address = address_of("198.51.100.2"), .flags = ENDPOINT_SIGNAL,
        };
        facts->endpoints[5] = facts->endpoints[6] = facts->endpoints[4];
        facts->host.endpoints_count = 7;
        facts->host.subflows_max = 1;
}

/* From none of these a connection begins. */
static void temporary_addresses(Facts *facts) {
        other_endpoints(facts);
        facts->host.temporary = true;
}

static void eight_endpoints(Facts *facts) {
        facts->host.endpoints_count = 8;
}

static void nothing_opened(Facts *facts) {
        counted(facts, UNDERPASS_COUNTER_FLOWS_OPENED, 0);
        counted(facts, UNDERPASS_COUNTER_FLOWS_ESTABLISHED, 0);
        counted(facts, UNDERPASS_COUNTER_RECEIVED, 0);
}

static void all_fall_back(Facts *facts) {
        facts->host.fallen_back = 9;
}

static void some_fall_back(Facts *facts) {
        facts->host.fallen_back = 4;
}

/* As after a probe, before there was a tunnel. */
static void all_fall_back_and_no_tunnel_used(Facts *facts) {
        nothing_opened(facts);
        all_fall_back(facts);
}

static void none_asked(Facts *facts) {
        facts->host.asked = 0;
}

static void no_tunnels(Facts *facts) {
        facts->host.links_active = facts->host.links_building = 0;
}

static void profile_asks(Facts *facts) {
        no_tunnels(facts);
        facts->host.asking =
                (CheckProfile) { .id = "My LTE", .uuid = "3-4", .unique = true, .tunnel = true };
}

/* As a modem that is not plugged in. */
static void profile_asks_for_absent(Facts *facts) {
        profile_asks(facts);
        facts->host.asking.unique = false;
        facts->host.asking_link = "wwan9";
}

/* Of what it has the keys for, nothing is there. */
static void tunnel_profile_asks(Facts *facts) {
        profile_asks(facts);
        facts->host.asking.uuid = NULL;
}

static void off(Facts *facts) {
        facts->link.state = "off";
        facts->link.connection = facts->link.connection_uuid = "";
        set(facts, "tunnel", "no");
}

static void not_connected(Facts *facts) {
        off(facts);
        facts->profiles[0] = (char *) "My LTE";
        facts->profiles[1] = (char *) "Roaming";
        facts->link.profiles = facts->profiles;
        facts->link.candidate = (CheckProfile) { .id = "My LTE", .uuid = "3-4", .unique = true };
}

static void not_connected_twins(Facts *facts) {
        not_connected(facts);
        facts->link.candidate.unique = false;
}

/* nmcli has words of its own. */
static void not_connected_keyword(Facts *facts) {
        not_connected(facts);
        facts->link.candidate.id = facts->profiles[0] = (char *) "uuid";
}

/* A profile was asked for. */
static void asked(Facts *facts) {
        not_connected(facts);
        facts->link.state = "";
        facts->link.asked = true;
        facts->link.candidate.tunnel = true;
        facts->profiles[1] = NULL;
}

static void asked_without_tunnel(Facts *facts) {
        asked(facts);
        facts->link.candidate.tunnel = false;
}

static void asked_and_another_active(Facts *facts) {
        asked(facts);
        facts->link.connection = "Office";
}

static void asked_of_no_link(Facts *facts) {
        asked(facts);
        facts->link.absent = true;
}

/* Whoever may add a profile chooses its name; root pastes the command. */
static void not_connected_hostile(Facts *facts) {
        not_connected(facts);
        facts->link.candidate.id = facts->profiles[0] = (char *) "a\"$(b)'c";
        facts->profiles[1] = NULL;
}

static void not_connected_service_dead(Facts *facts) {
        not_connected(facts);
        no_answer(facts);
}

static void not_connected_no_profile(Facts *facts) {
        off(facts);
}

static void profile_without_tunnel(Facts *facts) {
        off(facts);
        facts->link.connection = "LTE";
        facts->link.connection_uuid = "1-2";
}

static void deactivated(Facts *facts) {
        facts->link.state = "off";
}

static void unmanaged(Facts *facts) {
        off(facts);
        facts->link.managed = false;
}

/* An example of underpass.conf(5). */
static void only_sctp(Facts *facts) {
        unmanaged(facts);
        set(facts, "sctp-udp-port", "9899");
}

static void only_sctp_to_peers(Facts *facts) {
        profile_without_tunnel(facts);
        set(facts, "sctp-encap-port", "9899");
}

/* As without the module sctp: what was asked for is not there. */
static void only_sctp_warned(Facts *facts) {
        only_sctp(facts);
        facts->warnings[0] = (char *) "Load the module.";
        facts->link.warnings = facts->warnings;
}

/* The profile of a file does not hide the one that is not active. */
static void only_sctp_not_connected(Facts *facts) {
        not_connected(facts);
        set(facts, "sctp-udp-port", "9899");
}

static void only_sctp_spare(Facts *facts) {
        only_sctp_not_connected(facts);
        facts->link.spare = true;
}

static void networkd_down(Facts *facts) {
        facts->link.state = "off";
        facts->link.down = true;
        facts->link.network_file = "/etc/systemd/network/10-lte.network";
        facts->link.connection = facts->link.connection_uuid = "";
}

/* As an uplink that is kept for later, while others have tunnels. */
static void networkd_spare(Facts *facts) {
        networkd_down(facts);
        facts->link.spare = true;
}

static void deactivated_spare(Facts *facts) {
        deactivated(facts);
        facts->link.spare = true;
}

static void networkd_without_tunnel(Facts *facts) {
        off(facts);
        facts->link.managed = false;
        facts->link.network_file = "/etc/systemd/network/10-lte.network";
}

static void failed(Facts *facts) {
        facts->link.state = "failed";
        facts->link.last_stage = "attach";
        facts->link.last_error = "The attach point is taken.";
}

/* Trying again does not help before the value is another one. */
static void bad_value(Facts *facts) {
        facts->link.state = "failed";
        facts->link.last_stage = "profile";
        facts->link.last_error = "LTE: underpass.mtu: 9 is too small.";
}

/* The active profile has no keys. */
static void profile_elsewhere(Facts *facts) {
        facts->link.tunnel_origin = "/etc/underpass/a.conf:3";
}

static void waiting(Facts *facts) {
        facts->link.state = "waiting";
}

static void warned(Facts *facts) {
        facts->warnings[0] = (char *) "Mind the port.";
        facts->link.warnings = facts->warnings;
}

/* Links of which only that is to be told. */
static void spare_with_warning(Facts *facts) {
        warned(facts);
        profile_without_tunnel(facts);
        facts->link.spare = true;
}

/* Its profile could as well be activated on another link. */
static void not_connected_anywhere(Facts *facts) {
        not_connected(facts);
        facts->link.candidate.on = "cdc-wdm0";
}

static void not_connected_spare(Facts *facts) {
        not_connected(facts);
        facts->link.spare = true;
}

static void unmanaged_spare(Facts *facts) {
        unmanaged(facts);
        facts->link.spare = true;
}

static void no_endpoint(Facts *facts) {
        facts->addresses[0] = address_of("192.0.2.77");
}

static void no_endpoint_by_manager(Facts *facts) {
        no_endpoint(facts);
        facts->link.registers_endpoints = false;
}

/* What is said of endpoints does not matter then. */
static void subflows_by_program(Facts *facts) {
        no_endpoint(facts);
        facts->host.subflows_by_program = true;
        facts->host.subflows_max = 0;
}

static void port_with_tunnel(Facts *facts) {
        no_endpoint(facts);
        strcpy(facts->link.upper, "br0");
}

static void port_without_tunnel(Facts *facts) {
        profile_without_tunnel(facts);
        strcpy(facts->link.upper, "br0");
}

static void drops_answers(Facts *facts) {
        facts->link.drops_answers = true;
}

static void no_endpoint_by_flags(Facts *facts) {
        no_endpoint(facts);
        facts->link.flags_fall_short = true;
}

static void no_endpoint_unmanaged(Facts *facts) {
        no_endpoint(facts);
        facts->link.connection = facts->link.connection_uuid = "";
}

/* It signals, which builds nothing. */
static void endpoint_signals(Facts *facts) {
        facts->endpoints[0].flags = ENDPOINT_SIGNAL;
}

static void black_hole(Facts *facts) {
        counted(facts, UNDERPASS_COUNTER_BLACK_HOLE, 2);
}

static void plain_program(Facts *facts) {
        nothing_opened(facts);
        counted(facts, UNDERPASS_COUNTER_PLAIN_NOT_MPTCP, 12);
}

static void one_plain_program(Facts *facts) {
        counted(facts, UNDERPASS_COUNTER_PLAIN_NOT_MPTCP, 12);
}

static void refused(Facts *facts) {
        facts->link.blocked = (CheckBlocked) { .refused = 1, .silent = 3, .first = "192.0.2.9:443" };
}

static void filtered(Facts *facts) {
        facts->link.blocked = (CheckBlocked) { .filtered = 2, .silent = 1, .first = "192.0.2.9:443" };
}

static void silent(Facts *facts) {
        facts->link.blocked = (CheckBlocked) { .silent = 1, .first = "192.0.2.9:443" };
}

static void throttled(Facts *facts) {
        facts->link.blocked = (CheckBlocked) { .throttled = 1, .first = "192.0.2.9:443" };
}

static void nothing_came_back(Facts *facts) {
        nothing_opened(facts);
        counted(facts, UNDERPASS_COUNTER_FLOWS_OPENED, 1);
}

static void server_plain(Facts *facts) {
        counted(facts, UNDERPASS_COUNTER_SERVER_NOT_MPTCP, 3);
}

static void one_server_plain(Facts *facts) {
        counted(facts, UNDERPASS_COUNTER_SERVER_NOT_MPTCP, 1);
}

static void other_port(Facts *facts) {
        counted(facts, UNDERPASS_COUNTER_FLOWS_ACCEPTED, 0);
        counted(facts, UNDERPASS_COUNTER_PASS_PORT, 7);
}

static void also_other_port(Facts *facts) {
        counted(facts, UNDERPASS_COUNTER_PASS_PORT, 7);
}

static void clients_plain(Facts *facts) {
        counted(facts, UNDERPASS_COUNTER_FLOWS_ACCEPTED, 0);
        counted(facts, UNDERPASS_COUNTER_PASS_NOT_MPTCP, 1);
}

static void no_client(Facts *facts) {
        counted(facts, UNDERPASS_COUNTER_FLOWS_ACCEPTED, 0);
}

static void listener_plain(Facts *facts) {
        facts->host.mptcp_listeners.ports = without;
        facts->host.mptcp_listeners.count = ELEMENTS(without);
}

static void no_listener(Facts *facts) {
        facts->host.tcp_listeners.count = facts->host.mptcp_listeners.count = 1;
}

static void shared_port(Facts *facts) {
        facts->host.udp_ports.ports = listeners;
        facts->host.udp_ports.count = ELEMENTS(listeners);
}

/* It is the kernel's own, or a warning of the service says whose. */
static void tunnel_socket(Facts *facts) {
        shared_port(facts);
        set(facts, "receive", "socket");
}

static void taken_socket(Facts *facts) {
        tunnel_socket(facts);
        facts->link.holder = (CheckHolder) { .port = 443, .process = 812, .name = "nginx" };
}

static void shared_ports(Facts *facts) {
        static const uint16_t ports[] = { 53, 443, 8001, 8002, 8003, 8004, 8005, 8006, 8007, 8008, 8009 };

        set(facts, "local-ports", "443,8000-8080");
        facts->host.udp_ports.ports = ports;
        facts->host.udp_ports.count = ELEMENTS(ports);
}

/* One thing that is not as in a world that is well, and the line that says so. command NULL: none. */
static const struct {
        void (*change)(Facts *facts);
        const char *id;
        CheckResult result;
        const char *sentence;
        const char *command;
} cases[] = {
        { missing, "service", CHECK_BAD, "there is no unit underpass.service", NULL },
        { masked, "service", CHECK_BAD, "masked",
          "systemctl unmask underpass.service && systemctl enable --now underpass.service" },
        { disabled, "service", CHECK_BAD, "not enabled, so nothing starts it",
          "systemctl enable --now underpass.service" },
        { disabled_but_runs, "service", CHECK_BAD, "runs but is not enabled",
          "systemctl enable --now underpass.service" },
        { dead, "service", CHECK_BAD, "does not run: Cannot open rtnetlink.",
          "systemctl restart underpass.service" },
        { dead_in_silence, "service", CHECK_BAD, "journalctl", "systemctl restart underpass.service" },
        { dead, "bpf", CHECK_NOTE, "Only the service can tell", NULL },
        { bpf_refused, "bpf", CHECK_BAD, "BPF cannot be used: no.", NULL },
        { bpf_refused, "tunnel", CHECK_BAD, "BPF cannot be used here: no.", NULL },
        { no_mptcp, "mptcp", CHECK_BAD, "has no MPTCP", NULL },
        { mptcp_off, "mptcp", CHECK_BAD, "net.mptcp.enabled=0", "sysctl net.mptcp.enabled=1" },
        { mptcp_off_and_only_sctp, "mptcp", CHECK_NOTE, "switched off", NULL },
        { mptcp_off_and_only_sctp, "profile", CHECK_GOOD, "SCTP over UDP, and for no tunnel.", NULL },
        { no_mptcp_and_only_sctp, "mptcp", CHECK_NOTE, "has no MPTCP", NULL },
        { subflows_by_program, "path-manager", CHECK_NOTE, "left to a program such as mptcpd",
          "sysctl net.mptcp.pm_type=0" },
        { no_subflows, "limits", CHECK_BAD, "limit is 0", "ip mptcp limits set subflow 1" },
        { too_few_subflows, "limits", CHECK_BAD, "have 2 additional subflows, but the endpoints ask for 3",
          "ip mptcp limits set subflow 3" },
        { other_endpoints, "limits", CHECK_GOOD, "may have 1 additional subflow.", NULL },
        { temporary_addresses, "limits", CHECK_BAD, "have 1 additional subflows, but the endpoints ask for",
          "ip mptcp limits set subflow 2" },
        { eight_endpoints, "endpoints", CHECK_NOTE, "the kernel accepts no more", NULL },
        { all_fall_back, "answers", CHECK_NOTE, "booted: 9, of these answered without MPTCP: 9.", NULL },
        { all_fall_back_and_no_tunnel_used, "answers", CHECK_NOTE, "answered without MPTCP: 9.", NULL },
        { some_fall_back, "answers", CHECK_NOTE, "booted: 9, of these answered without MPTCP: 4.", NULL },
        { none_asked, "answers", CHECK_NOTE, "No program has opened", NULL },
        { no_tunnels, "tunnels", CHECK_BAD, "No link has a tunnel.",
          "underpassctl profile set PROFILE tunnel=yes remote-ports=PORTS remote-addresses=ADDRESSES" },
        { profile_asks, "tunnels", CHECK_BAD, "“My LTE” asks for a tunnel, and is active on no link.",
          "nmcli connection up id 'My LTE'" },
        { profile_asks_for_absent, "tunnels", CHECK_BAD,
          "“My LTE” asks for a tunnel, and its link wwan9 is not there now. Once it is:",
          "nmcli connection up uuid 3-4" },
        { tunnel_profile_asks, "tunnels", CHECK_BAD, "“My LTE” asks for a tunnel, and is active", NULL },
        { not_connected, "profile", CHECK_BAD,
          "NetworkManager manages wwan0, and no connection is active on it. Profiles with a tunnel: My LTE, "
          "Roaming.",
          "nmcli connection up id 'My LTE'" },
        { not_connected_anywhere, "profile", CHECK_BAD, "Profiles with a tunnel: My LTE, Roaming.",
          "nmcli connection up id 'My LTE' ifname cdc-wdm0" },
        { not_connected_twins, "profile", CHECK_BAD, "Profiles with a tunnel: My LTE, Roaming.",
          "nmcli connection up uuid 3-4" },
        { not_connected_keyword, "profile", CHECK_BAD, "Profiles with a tunnel: uuid, Roaming.",
          "nmcli connection up id uuid" },
        { not_connected_hostile, "profile", CHECK_BAD, "Profiles with a tunnel: a\"$(b)'c.",
          "nmcli connection up id 'a\"$(b)'\\''c'" },
        { not_connected_service_dead, "profile", CHECK_BAD, "no connection is active on it",
          "nmcli connection up id 'My LTE'" },
        { asked, "profile", CHECK_BAD, "active on it. Profiles with a tunnel: My LTE.",
          "nmcli connection up id 'My LTE'" },
        { asked_without_tunnel, "profile", CHECK_BAD, "The profile “My LTE” does not ask for a tunnel.",
          "underpassctl profile set id 'My LTE' tunnel=yes remote-ports=PORTS "
          "remote-addresses=ADDRESSES" },
        { asked_and_another_active, "profile", CHECK_BAD,
          "The profile “My LTE” is not active: on wwan0 it is “Office”.",
          "nmcli connection up id 'My LTE'" },
        { asked_of_no_link, "profile", CHECK_BAD,
          "The profile “My LTE” is for the link wwan0, which is not there now.", NULL },
        { not_connected_no_profile, "profile", CHECK_BAD, "none of its profiles for it has a tunnel",
          "underpassctl profile set PROFILE tunnel=yes remote-ports=PORTS remote-addresses=ADDRESSES" },
        { profile_without_tunnel, "profile", CHECK_BAD, "The active profile “LTE” does not ask",
          "underpassctl profile set uuid 1-2 tunnel=yes remote-ports=PORTS remote-addresses=ADDRESSES "
          "--reapply" },
        { deactivated, "profile", CHECK_BAD, "Because.", "underpassctl activate wwan0" },
        { only_sctp, "profile", CHECK_GOOD, "asks for SCTP over UDP, and for no tunnel.", NULL },
        { only_sctp_to_peers, "profile", CHECK_GOOD, "asks for SCTP over UDP, and for no tunnel.", NULL },
        { only_sctp_warned, "profile", CHECK_NOTE, "asks for SCTP over UDP, and for no tunnel.", NULL },
        { only_sctp_warned, "tunnel", CHECK_NOTE, "Load the module.", NULL },
        { only_sctp_not_connected, "profile", CHECK_BAD,
          "no connection is active on it. Profiles with a tunnel: My LTE, Roaming.",
          "nmcli connection up id 'My LTE'" },
        { only_sctp_spare, "profile", CHECK_GOOD, "asks for SCTP over UDP, and for no tunnel.", NULL },
        { networkd_down, "profile", CHECK_BAD, "Because.", "networkctl up wwan0" },
        { networkd_spare, "profile", CHECK_NOTE, "Because.", "networkctl up wwan0" },
        { deactivated_spare, "profile", CHECK_BAD, "Because.", "underpassctl activate wwan0" },
        { spare_with_warning, "profile", CHECK_NOTE, "The active profile “LTE” does not ask",
          "underpassctl profile set uuid 1-2 tunnel=yes remote-ports=PORTS remote-addresses=ADDRESSES "
          "--reapply" },
        { not_connected_spare, "profile", CHECK_NOTE, "no connection is active on it",
          "nmcli connection up id 'My LTE'" },
        { unmanaged_spare, "profile", CHECK_NOTE, "/etc/underpass/wwan0.conf", "underpassctl reload" },
        { networkd_without_tunnel, "profile", CHECK_BAD, "/etc/systemd/network/10-lte.network",
          "networkctl reload" },
        { unmanaged, "profile", CHECK_BAD, "/etc/underpass/wwan0.conf", "underpassctl reload" },
        { failed, "tunnel", CHECK_BAD, "The attach point is taken.", "underpassctl activate wwan0" },
        { bad_value, "tunnel", CHECK_BAD, "underpass.mtu: 9 is too small. Correct the profile, then:",
          "underpassctl activate wwan0" },
        { profile_elsewhere, "profile", CHECK_GOOD, "“/etc/underpass/a.conf:3” asks for a tunnel.", NULL },
        { waiting, "tunnel", CHECK_NOTE, "Because.", "ip mptcp endpoint add ADDRESS dev wwan0 subflow" },
        { warned, "tunnel", CHECK_NOTE, "Mind the port.", NULL },
        { no_endpoint, "endpoint", CHECK_BAD, "No address of wwan0", "nmcli connection up uuid 1-2" },
        { no_endpoint_by_flags, "endpoint", CHECK_BAD, "No address of wwan0",
          "nmcli connection modify uuid 1-2 +connection.mptcp-flags subflow,also-without-default-route && "
          "nmcli connection up uuid 1-2" },
        { port_with_tunnel, "endpoint", CHECK_NOTE, "wwan0 is a port of br0, which has", NULL },
        { port_without_tunnel, "profile", CHECK_BAD, "a tunnel belongs in the profile of br0.",
          "underpassctl check br0" },
        { drops_answers, "rp-filter", CHECK_BAD, "This host drops what comes in by wwan0: rp_filter is 1",
          "sysctl net/ipv4/conf/wwan0/rp_filter=2" },
        { no_endpoint_by_manager, "endpoint", CHECK_BAD, "No address of wwan0",
          "underpassctl profile set uuid 1-2 mptcp-endpoint=subflow --reapply" },
        { no_endpoint_unmanaged, "endpoint", CHECK_BAD, "No address of wwan0",
          "ip mptcp endpoint add ADDRESS dev wwan0 subflow" },
        { endpoint_signals, "endpoint", CHECK_BAD, "No address of wwan0", "nmcli connection up uuid 1-2" },
        { black_hole, "path-mtu", CHECK_NOTE, "2 packets were too large", NULL },
        { nothing_opened, "program", CHECK_NOTE, "No connection to port 443 has left by wwan0 yet.", NULL },
        { plain_program, "program", CHECK_BAD, "12 connections to port 443 were plain TCP",
          "mptcpize run PROGRAM" },
        { one_plain_program, "program", CHECK_NOTE, "15 connections to port 443, 3 of them MPTCP.", NULL },
        { refused, "udp", CHECK_BAD, "1 destination (192.0.2.9:443) says that nothing takes UDP",
          "underpassctl forget wwan0" },
        { filtered, "udp", CHECK_BAD, "A firewall refuses UDP to 2 destinations",
          "underpassctl forget wwan0" },
        { silent, "udp", CHECK_BAD, "does not answer over UDP", "underpassctl forget wwan0" },
        { throttled, "udp", CHECK_NOTE, "192.0.2.9:443 is lost", NULL },
        { nothing_came_back, "udp", CHECK_BAD, "1 SYN has left over UDP, and no handshake", NULL },
        { server_plain, "server", CHECK_BAD, "3 handshakes over UDP were answered without MPTCP",
          "mptcpize enable UNIT" },
        { one_server_plain, "server", CHECK_NOTE, "Of 3 handshakes over UDP 1 were answered", NULL },
        { other_port, "clients", CHECK_BAD, "7 SYNs over UDP came to ports that are not in local-ports",
          "underpassctl profile set uuid 1-2 local-ports=PORTS --reapply" },
        { also_other_port, "clients", CHECK_NOTE, "7 SYNs over UDP came",
          "underpassctl profile set uuid 1-2 local-ports=PORTS --reapply" },
        { clients_plain, "clients", CHECK_BAD, "1 SYN over UDP had no MPTCP option",
          "underpassctl profile set uuid 1-2 mptcp-only=no --reapply" },
        { no_client, "clients", CHECK_NOTE, "No SYN over UDP has come to port 443 yet.", NULL },
        { listener_plain, "listener", CHECK_BAD, "listens at port 443 does not use MPTCP",
          "mptcpize enable UNIT" },
        { no_listener, "listener", CHECK_NOTE, "No program of this host listens at port 443.", NULL },
        { shared_port, "udp-sockets", CHECK_NOTE, "A UDP socket shares port 443,", NULL },
        { taken_socket, "udp-sockets", CHECK_NOTE,
          "UDP port 443, which receive=socket asks for, belongs to nginx, process 812.", NULL },
        { shared_ports, "udp-sockets", CHECK_NOTE,
          "UDP sockets share ports 443, 8001, 8002, 8003, 8004, 8005, 8006, 8007 …, as for HTTP/3", NULL },
};

static void each_fact_has_its_line(void) {
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(check_lines_done) CheckLines lines = {};
                const CheckLine *line;
                Facts facts;

                facts_begin(&facts);
                cases[i].change(&facts);
                judge(&facts, &lines);
                printf("# %s: %s\n", cases[i].id, cases[i].sentence);
                line = line_of(&lines, cases[i].id, cases[i].result);
                assert(line);
                assert_contains(line->sentence, cases[i].sentence);
                if (cases[i].command)
                        assert_text(line->command, cases[i].command);
                else
                        assert(!line->command);
                assert((cases[i].result == CHECK_BAD) <= (check_lines_first_bad(&lines) != NULL));
        }
}

/* Where endpoints do nothing, none is found fault with, or praised. */
static void endpoints_do_nothing(void) {
        _cleanup_(check_lines_done) CheckLines lines = {};
        Facts facts;

        facts_begin(&facts);
        subflows_by_program(&facts);
        judge(&facts, &lines);
        assert(!check_lines_first_bad(&lines));
        assert(!has_line(&lines, "endpoint") && !has_line(&lines, "endpoints"));
        assert(!has_line(&lines, "limits"));
}

/* So may whoever may add a device: "$" and brackets are fine in the name of a link. */
static void links_are_words(void) {
        static const char hostile[] = "a$(sh<x)", quoted[] = "'a$(sh<x)'";

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(check_lines_done) CheckLines lines = {};
                const char *name;
                Facts facts;

                facts_begin(&facts);
                cases[i].change(&facts);
                facts.link.name = hostile;
                judge(&facts, &lines);
                for (size_t k = 0; k < lines.count; k++) {
                        name = lines.lines[k].command ? strstr(lines.lines[k].command, hostile) : NULL;
                        if (name)
                                assert(strncmp(name - 1, quoted, strlen(quoted)) == 0);
                }
        }
}

/* Nor is what a file of NetworkManager has for a UUID more than a word. */
static void uuids_are_words(void) {
        static const char hostile[] = "1;$(reboot)", quoted[] = "uuid '1;$(reboot)'";
        size_t commands = 0;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(check_lines_done) CheckLines lines = {};
                Facts facts;

                facts_begin(&facts);
                cases[i].change(&facts);
                if (*facts.link.connection_uuid)
                        facts.link.connection_uuid = hostile;
                facts.link.candidate.uuid = hostile;
                judge(&facts, &lines);
                for (size_t k = 0; k < lines.count; k++) {
                        if (!lines.lines[k].command || !strstr(lines.lines[k].command, "reboot"))
                                continue;
                        assert_contains(lines.lines[k].command, quoted);
                        commands++;
                }
        }
        assert(commands > 0);
}

/* A command takes no link for an option. */
static void links_are_no_options(void) {
        static void (*const changes[])(Facts *facts) = { deactivated, refused, networkd_down };

        for (size_t i = 0; i < ELEMENTS(changes); i++) {
                _cleanup_(check_lines_done) CheckLines lines = {};
                Facts facts;

                facts_begin(&facts);
                changes[i](&facts);
                facts.link.name = "--all";
                judge(&facts, &lines);
                assert_contains(check_lines_first_bad(&lines)->command, " -- --all");
        }
}

/* A note is not something wrong. */
static void notes_are_not_bad(void) {
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(check_lines_done) CheckLines lines = {};
                bool bad = false;
                Facts facts;

                for (size_t k = 0; k < ELEMENTS(cases); k++)
                        bad = bad || (cases[k].change == cases[i].change && cases[k].result == CHECK_BAD);
                facts_begin(&facts);
                cases[i].change(&facts);
                judge(&facts, &lines);
                assert(bad == (check_lines_first_bad(&lines) != NULL));
        }
}

/* Where MPTCP is off, what follows from that is not said once more. */
static void one_cause_one_line(void) {
        _cleanup_(check_lines_done) CheckLines lines = {};
        size_t bad = 0;
        Facts facts;

        facts_begin(&facts);
        mptcp_off(&facts);
        no_subflows(&facts);
        no_endpoint(&facts);
        plain_program(&facts);
        judge(&facts, &lines);
        for (size_t i = 0; i < lines.count; i++)
                bad += lines.lines[i].result == CHECK_BAD;
        assert(bad == 1);
        assert_text(check_lines_first_bad(&lines)->id, "mptcp");
}

/* A link may have failed at something else, and its profile says tunnel=no, or nothing is known of it. */
static void nobody_asks_nothing_is_good(void) {
        static const char *const states[] = { "failed", "active", "" };

        for (size_t i = 0; i < ELEMENTS(states); i++) {
                _cleanup_(check_lines_done) CheckLines lines = {};
                Facts facts;

                facts_begin(&facts);
                facts.link.state = states[i];
                set(&facts, "tunnel", "no");
                judge(&facts, &lines);
                assert(!line_of(&lines, "profile", CHECK_GOOD));
        }
}

/* With mptcp-only=no every program uses the tunnel, whatever was counted before. */
static void plain_programs_may(void) {
        _cleanup_(check_lines_done) CheckLines lines = {};
        Facts facts;

        facts_begin(&facts);
        plain_program(&facts);
        clients_plain(&facts);
        set(&facts, "mptcp-only", "no");
        judge(&facts, &lines);
        assert(!check_lines_first_bad(&lines));
        assert(!has_line(&lines, "program"));
}

/* The kernel's own socket shares its port with nobody. */
static void tunnel_sockets_share_nothing(void) {
        _cleanup_(check_lines_done) CheckLines lines = {};
        Facts facts;

        facts_begin(&facts);
        tunnel_socket(&facts);
        judge(&facts, &lines);
        assert(!has_line(&lines, "udp-sockets"));
}

static void results_have_names(void) {
        assert_all_named(_CHECK_RESULT_MAX, check_lines_result_name);
}

int main(void) {
        static const Test tests[] = {
                { "all is well", all_is_well },
                { "each fact has its line", each_fact_has_its_line },
                { "endpoints do nothing", endpoints_do_nothing },
                { "links are words", links_are_words },
                { "links are no options", links_are_no_options },
                { "UUIDs are words", uuids_are_words },
                { "notes are not bad", notes_are_not_bad },
                { "one cause, one line", one_cause_one_line },
                { "nobody asks, nothing is good", nobody_asks_nothing_is_good },
                { "plain programs may", plain_programs_may },
                { "tunnel sockets share nothing", tunnel_sockets_share_nothing },
                { "results have names", results_have_names },
        };

        return run_tests(tests, ELEMENTS(tests));
}
