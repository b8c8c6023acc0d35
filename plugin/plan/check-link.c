/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The checks of a link: its profile, its tunnel, and what became of the connections that use it. */

#include "plan/check-link.h"
#include "base/i18n.h"
#include "config.h"
#include "plan/sctp.h"
#include "profile/keys.h"
#include "profile/nm-name.h"

enum {
        PORTS_NAMED_MAX = 8, /* in one sentence */
};

static uint64_t counted(const CheckLink *link, enum underpass_counter counter) {
        return link->counters.value[counter];
}

static bool is_active(const CheckLink *link) {
        return streq(link->state, "active");
}

/* For connections that begin here, or behind this router. */
static bool is_client(const CheckLink *link) {
        return is_active(link) && link->settings.remote_ports.count > 0;
}

static bool is_server(const CheckLink *link) {
        return is_active(link) && link->settings.local_ports.count > 0;
}

/* NULL where the profile is no connection of NetworkManager: a file has to be edited. */
static char *set_command(const CheckLink *link, const char *pairs) {
        _cleanup_(freep) char *words = NULL;

        if (!*link->connection_uuid)
                return NULL;
        words = nm_name_words(NULL, link->connection_uuid);
        return words ? string_format("underpassctl profile set %s %s --reapply", words, pairs) : NULL;
}

/* A command about a link, whose name may be anything. NULL when memory is short. */
static char *command_about(const char *name, const char *command) {
        _cleanup_(freep) char *operand = string_shell_operand(name);

        return operand ? string_format("%s %s", command, operand) : NULL;
}

static char *link_command(const CheckLink *link, const char *command) {
        return command_about(link->name, command);
}

/* Where the tunnel of a port belongs. Takes the command over. */
static void name_upper(const CheckLink *link, CheckResult result, char *command, CheckLines *lines) {
        check_lines_add(lines, result, command,
                        _("%s is a port of %s, which has the addresses: a tunnel belongs in the profile of "
                          "%s."),
                        link->name, link->upper, link->upper);
}

static char *activate_command(const CheckLink *link) {
        return link_command(link, "underpassctl activate");
}

static char *forget_command(const CheckLink *link) {
        return link_command(link, "underpassctl forget");
}

static char *endpoint_command(const CheckLink *link) {
        _cleanup_(freep) char *word = string_shell_word(link->name);

        return word ? string_format("ip mptcp endpoint add ADDRESS dev %s subflow", word) : NULL;
}

/* What the connection lacks to register an endpoint that builds subflows, whatever NetworkManager's own
 * configuration says. */
static char *flags_command(const CheckLink *link) {
        _cleanup_(freep) char *words = nm_name_words(NULL, link->connection_uuid);

        return words ? string_format("nmcli connection modify %s +connection.mptcp-flags "
                                     "subflow,also-without-default-route && nmcli connection up %s",
                                     words, words) :
                       NULL;
}

/* The value of a key as text; "" when memory is short. */
static char *value_of(const CheckLink *link, KeyId id) {
        return key_format(key_get(id), &link->settings) ?: strdup("");
}

static char *join(char *const *words) {
        char *text = strdup("");

        for (size_t i = 0; text && words && words[i]; i++) {
                char *longer = string_format("%s%s%s", text, i > 0 ? ", " : "", words[i]);

                free(text);
                text = longer;
        }
        return text;
}

/* NetworkManager could activate a profile with a tunnel. */
static bool waits(const CheckLink *link) {
        return link->managed && !*link->connection && link->profiles && link->profiles[0];
}

static void no_connection(const CheckLink *link, CheckLines *lines) {
        const CheckResult result = link->spare ? CHECK_NOTE : CHECK_BAD;
        _cleanup_(freep) char *profiles = join(link->profiles);

        if (link->profiles && link->profiles[0])
                check_lines_add(
                        lines, result, check_profile_up_command(&link->candidate),
                        _("NetworkManager manages %s, and no connection is active on it. Profiles with a "
                          "tunnel: %s."),
                        link->name, profiles ?: "");
        else
                check_lines_add(
                        lines, result,
                        strdup("underpassctl profile set PROFILE tunnel=yes remote-ports=PORTS "
                               "remote-addresses=ADDRESSES"),
                        _("NetworkManager manages %s, and none of its profiles for it has a tunnel."),
                        link->name);
}

/* A profile that is not active; its settings are not known here, but for what it asks for. */
static void asked_profile(const CheckLink *link, CheckLines *lines) {
        const CheckProfile *asked = &link->candidate;
        _cleanup_(freep) char *words = nm_name_words(asked->unique ? asked->id : NULL, asked->uuid);

        if (!asked->tunnel)
                check_lines_add(
                        lines, CHECK_BAD,
                        words ? string_format("underpassctl profile set %s tunnel=yes remote-ports=PORTS "
                                              "remote-addresses=ADDRESSES",
                                              words) :
                                NULL,
                        _("The profile “%s” does not ask for a tunnel."), asked->id);
        if (link->absent)
                check_lines_add(lines, CHECK_BAD, NULL,
                                _("The profile “%s” is for the link %s, which is not there now."), asked->id,
                                link->name);
        else if (*link->connection)
                check_lines_add(lines, CHECK_BAD, check_profile_up_command(asked),
                                _("The profile “%s” is not active: on %s it is “%s”."), asked->id,
                                link->name, link->connection);
        else if (asked->tunnel)
                no_connection(link, lines);
}

/* A link that is down or not connected is nothing wrong while others have tunnels, unless somebody has taken
 * its tunnel off. */
static void no_tunnel(const CheckLink *link, CheckLines *lines) {
        const CheckResult result = link->spare ? CHECK_NOTE : CHECK_BAD;
        const char *sctp = sctp_alone(&link->settings);

        if (link->settings.tunnel != TUNNEL_NO && *link->network_file && link->down)
                check_lines_add(lines, result, link_command(link, "networkctl up"), "%s", link->reason);
        else if (link->settings.tunnel != TUNNEL_NO)
                check_lines_add(lines, CHECK_BAD, activate_command(link), "%s", link->reason);
        else if (sctp && (link->spare || !waits(link)))
                check_lines_add(lines, strings_count(link->warnings) > 0 ? CHECK_NOTE : CHECK_GOOD, NULL,
                                "%s", _(sctp));
        else if (*link->upper)
                name_upper(link, result, command_about(link->upper, "underpassctl check"), lines);
        else if (*link->connection)
                check_lines_add(
                        lines, result,
                        set_command(link, "tunnel=yes remote-ports=PORTS remote-addresses=ADDRESSES"),
                        _("The active profile “%s” does not ask for a tunnel."), link->connection);
        else if (link->managed)
                no_connection(link, lines);
        else if (*link->network_file)
                check_lines_add(
                        lines, result, strdup("networkctl reload"),
                        _("No profile asks for a tunnel: set Tunnel=yes, RemotePorts= and RemoteAddresses= "
                          "(on a server LocalPorts=) in [X-Underpass] of %s or of a drop-in for it."),
                        link->network_file);
        else
                check_lines_add(
                        lines, result, strdup("underpassctl reload"),
                        _("No profile asks for a tunnel: create %s/%s.conf with Name=%s in "
                          "[Match], and Tunnel=yes, RemotePorts= and RemoteAddresses= (on a server "
                          "LocalPorts=) in [X-Underpass]."),
                        PROFILES_FOLDER, link->name, link->name);
}

static void check_profile(const CheckHost *host, const CheckLink *link, CheckLines *lines) {
        if (link->asked)
                asked_profile(link, lines);
        else if (streq(link->state, "off") || (!*link->state && link->managed && !*link->connection))
                no_tunnel(link, lines);
        else if (link->settings.tunnel != TUNNEL_NO)
                check_lines_add(lines, CHECK_GOOD, NULL, _("The profile “%s” asks for a tunnel."),
                                link->tunnel_origin);
}

static void check_tunnel(const CheckHost *host, const CheckLink *link, CheckLines *lines) {
        if (is_active(link))
                check_lines_add(lines, CHECK_GOOD, NULL, _("The tunnel is attached."));
        else if (streq(link->state, "waiting"))
                check_lines_add(lines, CHECK_NOTE, endpoint_command(link), "%s", link->reason);
        else if (*link->last_error && streq(link->last_stage, "profile"))
                check_lines_add(lines, CHECK_BAD, activate_command(link), _("%s Correct the profile, then:"),
                                link->last_error);
        else if (*link->last_error)
                check_lines_add(lines, CHECK_BAD, *host->bpf_error ? NULL : activate_command(link), "%s",
                                link->last_error);
        for (size_t i = 0; link->warnings && link->warnings[i]; i++)
                check_lines_add(lines, CHECK_NOTE, NULL, "%s", link->warnings[i]);
}

static bool has_endpoint(const CheckHost *host, const CheckLink *link) {
        for (size_t i = 0; i < host->endpoints_count; i++)
                if ((host->endpoints[i].flags & ENDPOINT_SUBFLOW) &&
                    addresses_contain(link->addresses, link->addresses_count, &host->endpoints[i].address))
                        return true;
        return false;
}

/* One link alone builds no additional subflow, so it needs no endpoint. */
static void check_endpoint(const CheckHost *host, const CheckLink *link, CheckLines *lines) {
        char *command;

        if (!is_client(link) || host->mptcp != CHECK_MPTCP_ON || host->subflows_by_program ||
            !host->endpoints_known || !link->addresses_known)
                return;
        if (has_endpoint(host, link)) {
                check_lines_add(lines, CHECK_GOOD, NULL, _("An address of %s is an MPTCP endpoint."),
                                link->name);
                return;
        }
        if (*link->upper) {
                name_upper(link, CHECK_NOTE, NULL, lines);
                return;
        }
        if (host->endpoints_count == 0 && host->links_building < 2)
                return;
        if (*link->connection_uuid && link->registers_endpoints && link->flags_fall_short)
                command = flags_command(link);
        else if (*link->connection_uuid && link->registers_endpoints)
                command = check_profile_up_command(&(CheckProfile) { .uuid = link->connection_uuid });
        else
                command = set_command(link, "mptcp-endpoint=subflow") ?: endpoint_command(link);
        check_lines_add(lines, CHECK_BAD, command,
                        _("No address of %s is an MPTCP endpoint, so no additional subflow uses it."),
                        link->name);
}

static void check_rp_filter(const CheckHost *host, const CheckLink *link, CheckLines *lines) {
        _cleanup_(freep) char *word = string_shell_word(link->name);

        if (!is_active(link) || !link->drops_answers)
                return;
        check_lines_add(lines, CHECK_BAD,
                        word ? string_format("sysctl net/ipv4/conf/%s/rp_filter=2", word) : NULL,
                        _("This host drops what comes in by %s: rp_filter is 1 (strict), and the route to "
                          "where it comes from is by another link."),
                        link->name);
}

static void check_path_mtu(const CheckHost *host, const CheckLink *link, CheckLines *lines) {
        const unsigned long long lost =
                counted(link, UNDERPASS_COUNTER_BLACK_HOLE) + counted(link, UNDERPASS_COUNTER_DROP_FRAGMENT);

        if (!is_active(link) || link->mtu == 0)
                return;
        if (lost == 0)
                check_lines_add(lines, CHECK_GOOD, NULL,
                                _("The MTU is %u, and no packet was too large for a path."), link->mtu);
        else
                check_lines_add(
                        lines, CHECK_NOTE, NULL,
                        P_("The MTU is %u, and %llu packet was too large for a path that did not say so. "
                           "Smaller ones are sent there now; a smaller mtu saves the first connection the "
                           "wait.",
                           "The MTU is %u, and %llu packets were too large for a path that did not say so. "
                           "Smaller ones are sent there now; a smaller mtu saves the first connection the "
                           "wait.",
                           lost),
                        link->mtu, lost);
}

/* With mptcp-only=no all programs use the tunnel. */
static void check_program(const CheckHost *host, const CheckLink *link, CheckLines *lines) {
        const unsigned long long plain = counted(link, UNDERPASS_COUNTER_PLAIN_NOT_MPTCP),
                                 mptcp = counted(link, UNDERPASS_COUNTER_FLOWS_OPENED) +
                                         counted(link, UNDERPASS_COUNTER_PLAIN_BLOCKED) +
                                         counted(link, UNDERPASS_COUNTER_PLAIN_ON_DEMAND);
        _cleanup_(freep) char *ports = NULL;

        if (!is_client(link) || !link->settings.mptcp_only || host->mptcp != CHECK_MPTCP_ON)
                return;
        ports = value_of(link, KEY_ID_REMOTE_PORTS);
        if (plain + mptcp == 0)
                check_lines_add(lines, CHECK_NOTE, NULL, _("No connection to port %s has left by %s yet."),
                                ports ?: "", link->name);
        else if (mptcp == 0)
                check_lines_add(
                        lines, CHECK_BAD, strdup("mptcpize run PROGRAM"),
                        P_("%llu connection to port %s was plain TCP: the program does not use MPTCP. Start "
                           "it by mptcpize (a program in Go with GODEBUG=multipathtcp=1), or set "
                           "mptcp-only=no.",
                           "%llu connections to port %s were plain TCP: the program does not use MPTCP. "
                           "Start it by mptcpize (a program in Go with GODEBUG=multipathtcp=1), or set "
                           "mptcp-only=no.",
                           plain),
                        plain, ports ?: "");
        else
                check_lines_add(lines, plain == 0 ? CHECK_GOOD : CHECK_NOTE, NULL,
                                P_("%llu connection to port %s, %llu of them MPTCP.",
                                   "%llu connections to port %s, %llu of them MPTCP.", plain + mptcp),
                                plain + mptcp, ports ?: "", mptcp);
}

/* What somebody has said comes before what silence may mean. */
static bool blocked(const CheckLink *link, CheckLines *lines) {
        const CheckBlocked *blocked = &link->blocked;

        if (blocked->refused > 0)
                check_lines_add(
                        lines, CHECK_BAD, forget_command(link),
                        P_("%zu destination (%s) says that nothing takes UDP at its port: Underpass is not "
                           "set up there. Add the port to its local-ports, or leave it out of "
                           "remote-addresses here; then:",
                           "%zu destinations (%s …) say that nothing takes UDP at their ports: Underpass is "
                           "not set up there. Add the ports to their local-ports, or leave them out of "
                           "remote-addresses here; then:",
                           blocked->refused),
                        blocked->refused, blocked->first);
        else if (blocked->filtered > 0)
                check_lines_add(
                        lines, CHECK_BAD, forget_command(link),
                        P_("A firewall refuses UDP to %zu destination (%s). Let UDP to its port pass there, "
                           "or use another link; then:",
                           "A firewall refuses UDP to %zu destinations (%s …). Let UDP to their ports pass "
                           "there, or use another link; then:",
                           blocked->filtered),
                        blocked->filtered, blocked->first);
        else if (blocked->silent > 0)
                check_lines_add(
                        lines, CHECK_BAD, forget_command(link),
                        P_("%zu destination (%s) does not answer over UDP: something on the path drops it, "
                           "or the host is down. Let UDP to its port pass; then:",
                           "%zu destinations (%s …) do not answer over UDP: something on the path drops it, "
                           "or the hosts are down. Let UDP to their ports pass; then:",
                           blocked->silent),
                        blocked->silent, blocked->first);
        else
                return false;
        return true;
}

static void check_udp(const CheckHost *host, const CheckLink *link, CheckLines *lines) {
        const unsigned long long opened = counted(link, UNDERPASS_COUNTER_FLOWS_OPENED),
                                 established = counted(link, UNDERPASS_COUNTER_FLOWS_ESTABLISHED);

        if (!is_active(link) || blocked(link, lines) || !is_client(link))
                return;
        if (link->blocked.throttled > 0)
                check_lines_add(
                        lines, CHECK_NOTE, NULL,
                        _("Much of what is sent over UDP to %s is lost for seconds at a time, as on paths "
                          "that throttle UDP."),
                        link->blocked.first);
        else if (opened > 0 && established == 0)
                check_lines_add(lines, CHECK_BAD, NULL,
                                P_("%llu SYN has left over UDP, and no handshake was completed. Check that "
                                   "the server has "
                                   "this port in local-ports, and that the path lets UDP pass.",
                                   "%llu SYNs have left over UDP, and no handshake was completed. Check "
                                   "that the server has "
                                   "this port in local-ports, and that the path lets UDP pass.",
                                   opened),
                                opened);
        else if (established > 0)
                check_lines_add(lines, CHECK_GOOD, NULL,
                                P_("%llu handshake was completed over UDP.",
                                   "%llu handshakes were completed over UDP.", established),
                                established);
}

static void check_server_mptcp(const CheckHost *host, const CheckLink *link, CheckLines *lines) {
        const unsigned long long without = counted(link, UNDERPASS_COUNTER_SERVER_NOT_MPTCP),
                                 established = counted(link, UNDERPASS_COUNTER_FLOWS_ESTABLISHED);

        if (!is_client(link) || without == 0)
                return;
        if (without < established)
                check_lines_add(
                        lines, CHECK_NOTE, NULL,
                        _("Of %llu handshakes over UDP %llu were answered without MPTCP: the programs of "
                          "these servers do not use it."),
                        established, without);
        else
                check_lines_add(
                        lines, CHECK_BAD, strdup("mptcpize enable UNIT"),
                        P_("%llu handshake over UDP was answered without MPTCP: the program of the server "
                           "does not use it, so there is no second subflow. On the server:",
                           "%llu handshakes over UDP were answered without MPTCP: the programs of the "
                           "servers do not use it, so there is no second subflow. On the server:",
                           without),
                        without);
}

static void check_clients(const CheckHost *host, const CheckLink *link, CheckLines *lines) {
        const unsigned long long accepted = counted(link, UNDERPASS_COUNTER_FLOWS_ACCEPTED),
                                 other_port = counted(link, UNDERPASS_COUNTER_PASS_PORT),
                                 not_mptcp = counted(link, UNDERPASS_COUNTER_PASS_NOT_MPTCP);
        const CheckResult result = accepted == 0 ? CHECK_BAD : CHECK_NOTE;
        _cleanup_(freep) char *ports = NULL;

        if (!is_server(link))
                return;
        ports = value_of(link, KEY_ID_LOCAL_PORTS);
        if (other_port > 0)
                check_lines_add(lines, result, set_command(link, "local-ports=PORTS"),
                                P_("%llu SYN over UDP came to a port that is not in local-ports (%s).",
                                   "%llu SYNs over UDP came to ports that are not in local-ports (%s).",
                                   other_port),
                                other_port, ports ?: "");
        if (not_mptcp > 0 && link->settings.mptcp_only)
                check_lines_add(lines, result, set_command(link, "mptcp-only=no"),
                                P_("%llu SYN over UDP had no MPTCP option and was not taken, because of "
                                   "mptcp-only=yes.",
                                   "%llu SYNs over UDP had no MPTCP option and were not taken, because of "
                                   "mptcp-only=yes.",
                                   not_mptcp),
                                not_mptcp);
        if (accepted > 0)
                check_lines_add(lines, CHECK_GOOD, NULL,
                                P_("%llu SYN over UDP was taken at port %s.",
                                   "%llu SYNs over UDP were taken at port %s.", accepted),
                                accepted, ports ?: "");
        else if (other_port == 0 && (not_mptcp == 0 || !link->settings.mptcp_only))
                check_lines_add(lines, CHECK_NOTE, NULL, _("No SYN over UDP has come to port %s yet."),
                                ports ?: "");
}

static bool ports_contain(const CheckPorts *ports, uint16_t port) {
        for (size_t i = 0; i < ports->count; i++)
                if (ports->ports[i] == port)
                        return true;
        return false;
}

/* Behind a router it is another host that listens. */
static void check_listener(const CheckHost *host, const CheckLink *link, CheckLines *lines) {
        const CheckPorts *all = &host->tcp_listeners;
        _cleanup_(freep) char *ports = NULL;
        size_t listeners = 0, without = 0;

        if (!is_server(link) || !all->known || !host->mptcp_listeners.known)
                return;
        for (size_t i = 0; i < all->count; i++) {
                if (!port_set_contains(&link->settings.local_ports, all->ports[i]))
                        continue;
                listeners++;
                if (ports_contain(&host->mptcp_listeners, all->ports[i]) || without++ > 0)
                        continue;
                check_lines_add(
                        lines, CHECK_BAD, strdup("mptcpize enable UNIT"),
                        _("The program that listens at port %u does not use MPTCP, so clients get no second "
                          "subflow."),
                        all->ports[i]);
        }
        ports = value_of(link, KEY_ID_LOCAL_PORTS);
        if (listeners == 0)
                check_lines_add(lines, CHECK_NOTE, NULL, _("No program of this host listens at port %s."),
                                ports ?: "");
        else if (without == 0)
                check_lines_add(lines, CHECK_GOOD, NULL, _("A program listens with MPTCP at port %s."),
                                ports ?: "");
}

/* "443, 8001 …": ports of the set at which UDP sockets are, and how many. */
static char *shared_ports(const CheckPorts *all, const PortSet *set, size_t *ret_count) {
        char *text = strdup("");
        size_t count = 0;

        for (size_t i = 0; text && i < all->count; i++) {
                char *longer;

                if (!port_set_contains(set, all->ports[i]) || count++ > PORTS_NAMED_MAX)
                        continue;
                if (count > PORTS_NAMED_MAX)
                        longer = string_format("%s …", text);
                else
                        longer = string_format("%s%s%u", text, *text ? ", " : "", all->ports[i]);
                free(text);
                text = longer;
        }
        *ret_count = count;
        return text;
}

static void check_udp_sockets(const CheckHost *host, const CheckLink *link, CheckLines *lines) {
        _cleanup_(freep) char *ports = NULL;
        size_t count = 0;

        /* With receive=socket it is the kernel's own, or the service warns, which sees less than root. */
        if (link->holder.port != 0)
                check_lines_add(lines, CHECK_NOTE, NULL,
                                _("UDP port %u, which receive=socket asks for, belongs to %s, process %d."),
                                link->holder.port, link->holder.name, link->holder.process);
        if (!is_server(link) || !host->udp_ports.known || link->settings.receive == UNDERPASS_RECEIVE_SOCKET)
                return;
        ports = shared_ports(&host->udp_ports, &link->settings.local_ports, &count);
        if (count > 0)
                check_lines_add(lines, CHECK_NOTE, NULL,
                                P_("A UDP socket shares port %s, as for HTTP/3: it gets all datagrams but "
                                   "those of the tunnel.",
                                   "UDP sockets share ports %s, as for HTTP/3: they get all datagrams but "
                                   "those of the tunnel.",
                                   count),
                                ports ?: "");
}

static const struct {
        const char *id;
        void (*run)(const CheckHost *host, const CheckLink *link, CheckLines *lines);
} checks[] = {
        { "profile", check_profile },     { "tunnel", check_tunnel },     { "endpoint", check_endpoint },
        { "rp-filter", check_rp_filter }, { "path-mtu", check_path_mtu }, { "program", check_program },
        { "udp", check_udp },             { "server", check_server_mptcp }, { "clients", check_clients },
        { "listener", check_listener },   { "udp-sockets", check_udp_sockets },
};

int check_link(const CheckHost *host, const CheckLink *link, CheckLines *lines) {
        for (size_t i = 0; i < ELEMENTS(checks); i++) {
                lines->id = checks[i].id;
                checks[i].run(host, link, lines);
        }
        return lines->error;
}
