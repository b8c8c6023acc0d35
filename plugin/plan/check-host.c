/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The checks of a host. */

#include "plan/check-host.h"
#include "base/i18n.h"
#include "profile/nm-name.h"
#include "profile/settings.h"

#define UNIT "underpass.service"

enum {
        MPTCP_ENDPOINTS_MAX = 8, /* MPTCP_PM_ADDR_MAX of the kernel */
};

char *check_profile_up_command(const CheckProfile *profile) {
        _cleanup_(freep) char *words = nm_name_words(profile->unique ? profile->id : NULL, profile->uuid);
        _cleanup_(freep) char *device = profile->on ? string_shell_word(profile->on) : NULL;

        if (!words || (profile->on && !device))
                return NULL;
        return device ? string_format("nmcli connection up %s ifname %s", words, device) :
                        string_format("nmcli connection up %s", words);
}

static void check_service(const CheckHost *host, CheckLines *lines) {
        switch (host->unit) {
        case CHECK_UNIT_MISSING:
                check_lines_add(
                        lines, CHECK_BAD, NULL,
                        _("Underpass is not installed as a service: there is no unit %s. Install it again."),
                        UNIT);
                return;
        case CHECK_UNIT_MASKED:
                check_lines_add(lines, CHECK_BAD,
                                strdup("systemctl unmask " UNIT " && systemctl enable --now " UNIT),
                                _("The service is masked, so nothing can start it."));
                return;
        case CHECK_UNIT_DISABLED:
                check_lines_add(
                        lines, CHECK_BAD, strdup("systemctl enable --now " UNIT), "%s",
                        host->answers ?
                                _("The service runs but is not enabled, so it will not start at the next "
                                  "boot.") :
                                _("The service is installed, but not enabled, so nothing starts it."));
                return;
        case CHECK_UNIT_UNKNOWN:
        case CHECK_UNIT_FAILED:
        case CHECK_UNIT_ENABLED:
        case _CHECK_UNIT_MAX:
                break;
        }
        if (host->answers)
                check_lines_add(lines, CHECK_GOOD, NULL, _("The service %s runs."), host->version);
        else if (*host->unit_error)
                check_lines_add(lines, CHECK_BAD, strdup("systemctl restart " UNIT),
                                _("The service does not run: %s"), host->unit_error);
        else
                check_lines_add(
                        lines, CHECK_BAD, strdup("systemctl restart " UNIT),
                        _("The service does not run; as root, see `journalctl -u underpass` for the "
                          "reason."));
}

static void check_bpf(const CheckHost *host, CheckLines *lines) {
        if (*host->bpf_error)
                check_lines_add(lines, CHECK_BAD, NULL, "%s", host->bpf_error);
        else if (!host->answers)
                check_lines_add(lines, CHECK_NOTE, NULL,
                                _("Only the service can tell whether kernel %s accepts its programs."),
                                host->kernel);
        else
                check_lines_add(lines, CHECK_GOOD, NULL,
                                _("Kernel %s accepts the programs, which are attached by %s."), host->kernel,
                                host->attach_point);
}

/* SCTP needs none, but other programs of the host may miss it. */
static void check_mptcp(const CheckHost *host, CheckLines *lines) {
        switch (host->mptcp) {
        case CHECK_MPTCP_MISSING:
                check_lines_add(lines, host->sctp_alone ? CHECK_NOTE : CHECK_BAD, NULL,
                                _("Kernel %s has no MPTCP (CONFIG_MPTCP); use one that has it."),
                                host->kernel);
                return;
        case CHECK_MPTCP_OFF:
                check_lines_add(lines, host->sctp_alone ? CHECK_NOTE : CHECK_BAD,
                                host->sctp_alone ? NULL : strdup("sysctl net.mptcp.enabled=1"),
                                _("MPTCP is switched off (net.mptcp.enabled=0), so no program can use it."));
                return;
        case CHECK_MPTCP_ON:
                check_lines_add(lines, CHECK_GOOD, NULL, _("MPTCP is switched on."));
                return;
        }
}

/* Whether the program is there, and what it does, is not known. */
static void check_path_manager(const CheckHost *host, CheckLines *lines) {
        if (host->mptcp != CHECK_MPTCP_ON || !host->subflows_by_program || host->sctp_alone)
                return;
        check_lines_add(lines, CHECK_NOTE, strdup("sysctl net.mptcp.pm_type=0"),
                        _("Additional subflows are left to a program such as mptcpd (net.mptcp.pm_type=1), "
                          "and MPTCP endpoints do nothing. If there is no such program:"));
}

/* Additional subflows that the endpoints of one address family ask for: all but the one that the connection
 * itself begins from. A server needs to allow at least one. */
static uint32_t subflows_wanted(const CheckHost *host) {
        uint32_t ipv4 = 0, ipv6 = 0;

        for (size_t i = 0; i < host->endpoints_count; i++) {
                if (!(host->endpoints[i].flags & ENDPOINT_SUBFLOW))
                        continue;
                if (address_is_ipv4(&host->endpoints[i].address))
                        ipv4++;
                else
                        ipv6++;
        }
        if (ipv6 > 0 && host->temporary)
                ipv6++;
        return MAX_OF(MAX_OF(ipv4, ipv6), 2U) - 1;
}

static void check_limits(const CheckHost *host, CheckLines *lines) {
        const uint32_t wanted = subflows_wanted(host);
        char *command;

        if (host->mptcp != CHECK_MPTCP_ON || host->subflows_by_program || !host->limits_known ||
            host->sctp_alone)
                return;
        if (host->subflows_max >= wanted) {
                check_lines_add(lines, CHECK_GOOD, NULL,
                                P_("A connection may have %u additional subflow.",
                                   "A connection may have %u additional subflows.", host->subflows_max),
                                host->subflows_max);
                return;
        }
        command = string_format("ip mptcp limits set subflow %u", wanted);
        if (host->subflows_max == 0)
                check_lines_add(lines, CHECK_BAD, command,
                                _("No connection may have additional subflows: their limit is 0."));
        else
                check_lines_add(
                        lines, CHECK_BAD, command,
                        _("A connection may have %u additional subflows, but the endpoints ask for %u, so "
                          "some links get none."),
                        host->subflows_max, wanted);
}

static void check_endpoints(const CheckHost *host, CheckLines *lines) {
        if (host->mptcp != CHECK_MPTCP_ON || host->subflows_by_program || !host->endpoints_known ||
            host->endpoints_count == 0)
                return;
        if (host->endpoints_count < MPTCP_ENDPOINTS_MAX)
                check_lines_add(lines, CHECK_GOOD, NULL,
                                P_("There is %zu MPTCP endpoint of at most %d.",
                                   "There are %zu MPTCP endpoints of at most %d.", host->endpoints_count),
                                host->endpoints_count, MPTCP_ENDPOINTS_MAX);
        else
                check_lines_add(
                        lines, CHECK_NOTE, NULL,
                        _("There are %zu MPTCP endpoints, and the kernel accepts no more; if a link gets "
                          "none, remove one with `ip mptcp endpoint delete id ID`."),
                        host->endpoints_count);
}

/* Where the first subflow of a connection leaves by a link without tunnel, nothing else tells that MPTCP
 * gets lost. Whose fault that is the numbers do not tell: they are also of connections from before there was
 * a tunnel, of probes, and of those that on-demand links begin as plain TCP to learn what the path does. */
static void check_answers(const CheckHost *host, CheckLines *lines) {
        const unsigned long long asked = host->asked, fallen_back = host->fallen_back;

        if (host->mptcp != CHECK_MPTCP_ON || host->links_building == 0)
                return;
        if (asked == 0)
                check_lines_add(lines, CHECK_NOTE, NULL,
                                _("No program has opened an MPTCP connection yet."));
        else if (fallen_back == 0)
                check_lines_add(lines, CHECK_GOOD, NULL,
                                P_("%llu MPTCP connection was opened, and none lost MPTCP.",
                                   "%llu MPTCP connections were opened, and none lost MPTCP.", asked),
                                asked);
        else
                check_lines_add(
                        lines, CHECK_NOTE, NULL,
                        _("MPTCP connections opened since this host booted: %llu, of these answered without "
                          "MPTCP: %llu. The servers do not use it, or the path strips its options where "
                          "there is no tunnel, as before it was set up."),
                        asked, fallen_back);
}

/* A profile is there, so none is to be written. */
static void profile_asks(const CheckHost *host, CheckLines *lines) {
        char *command = host->asking.uuid ? check_profile_up_command(&host->asking) : NULL;

        if (host->asking_link)
                check_lines_add(
                        lines, CHECK_BAD, command,
                        _("The profile “%s” asks for a tunnel, and its link %s is not there now. Once it "
                          "is:"),
                        host->asking.id, host->asking_link);
        else
                check_lines_add(lines, CHECK_BAD, command,
                                _("The profile “%s” asks for a tunnel, and is active on no link."),
                                host->asking.id);
}

static void check_tunnels(const CheckHost *host, CheckLines *lines) {
        if (!host->answers)
                return;
        if (host->links_active == 0 && (host->about_links || host->sctp_alone))
                return;
        if (host->links_active == 0 && host->asking.id)
                profile_asks(host, lines);
        else if (host->links_active == 0)
                check_lines_add(lines, CHECK_BAD,
                                strdup("underpassctl profile set PROFILE tunnel=yes remote-ports=PORTS "
                                       "remote-addresses=ADDRESSES"),
                                _("No link has a tunnel."));
        else
                check_lines_add(lines, CHECK_GOOD, NULL,
                                P_("%zu link has a tunnel.", "%zu links have a tunnel.", host->links_active),
                                host->links_active);
}

/* Those that no link has. */
static void check_files(const CheckHost *host, CheckLines *lines) {
        for (size_t i = 0; i < host->files_count; i++) {
                const CheckFile *file = &host->files[i];

                if (file->has_links)
                        continue;
                for (size_t k = 0; k < strings_count(file->complaints); k++)
                        check_lines_add(lines, CHECK_BAD, NULL, "%s", file->complaints[k]);
                if (strings_count(file->complaints) == 0)
                        check_lines_add(lines, CHECK_NOTE, NULL, _("%s matches no link that is there now."),
                                        file->path);
        }
}

static const struct {
        const char *id;
        void (*run)(const CheckHost *host, CheckLines *lines); /* no line: nothing to say */
} checks[] = {
        { "service", check_service },     { "bpf", check_bpf },
        { "mptcp", check_mptcp },         { "path-manager", check_path_manager },
        { "limits", check_limits },       { "endpoints", check_endpoints },
        { "answers", check_answers },     { "tunnels", check_tunnels },
        { "files", check_files },
};

int check_host(const CheckHost *host, CheckLines *lines) {
        for (size_t i = 0; i < ELEMENTS(checks); i++) {
                lines->id = checks[i].id;
                checks[i].run(host, lines);
        }
        return lines->error;
}
