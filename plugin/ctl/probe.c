/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * "underpassctl probe": does MPTCP pass to a host, as such and in the tunnel, by each link? The sockets that
 * ask are ordinary ones of the user, so it needs neither the service nor root.
 */

#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "base/i18n.h"
#include "ctl/bus.h"
#include "ctl/endpoint.h"
#include "ctl/error.h"
#include "ctl/nm-device.h"
#include "ctl/probe-rate.h"
#include "ctl/probe-view.h"
#include "ctl/probe.h"
#include "ctl/properties.h"
#include "ctl/source-check.h"
#include "ctl/text.h"
#include "kernel/probe.h"
#include "kernel/routes.h"
#include "kernel/rtnl.h"

#define OWN_DEVICES "underpass-" /* helper devices of the tunnel */

enum {
        PORT_DEFAULT = 443,
        ADDRESSES_MAX = 8, /* of the host; further ones are not asked */
        SERVICE_TIMEOUT_MS = 15 * 1000,
};

/* What is to be probed. */
typedef struct Host {
        char *name;
        uint16_t port;
        Address addresses[ADDRESSES_MAX]; /* the best one first */
        size_t count;
} Host;

/* Who is asked about links. */
typedef struct Kernel {
        Rtnl *rtnl;
        Routes *routes;
} Kernel;

/* One link and what is found on it. */
typedef struct Asked {
        char link[IF_NAMESIZE];
        Address address;
        GVariant *properties; /* of the link; NULL: the service does not run */
        bool mirrored;        /* NetworkManager only mirrors the connection of the link */
        bool drops_answers;   /* this host does, for where they come from (rp_filter) */
        bool told;            /* by the service, in report */
        ProbeReport report;
        Probe *probe;         /* our own */
        RateReport rate;
} Asked;

static void host_clear(Host *host) {
        g_free(host->name);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Host, host_clear)

static void kernel_clear(Kernel *kernel) {
        rtnl_free(kernel->rtnl);
        routes_free(kernel->routes);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Kernel, kernel_clear)

static void asked_clear(gpointer data) {
        Asked *asked = data;

        asked->probe = probe_free(asked->probe);
        g_clear_pointer(&asked->properties, g_variant_unref);
}

/* HOST, HOST:PORT, [ADDRESS]:PORT, or HOST and PORT apart; *ret_words: how many of the arguments it took. */
static bool read_host(char **arguments, Host *host, unsigned *ret_words, GError **error) {
        uint16_t port = 0;

        *ret_words = 1;
        if (!endpoint_split(arguments[0], &host->name, &port)) {
                ctl_error_add(error, CTL_BAD_VALUE,
                              _("“%s” is not a host; write example.org, example.org:443, 192.0.2.1:443 or "
                                "[2001:db8::1]:443."),
                              arguments[0]);
                return false;
        }
        if (port == 0 && arguments[1] && endpoint_port(arguments[1], &port))
                *ret_words = 2;
        host->port = port != 0 ? port : PORT_DEFAULT;
        return true;
}

static bool resolve(Host *host, GError **error) {
        const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
        struct addrinfo *list = NULL;
        const int r = getaddrinfo(host->name, NULL, &hints, &list);

        if (r != 0) {
                ctl_error_add(error, CTL_FAILED, _("Cannot find the address of “%s”: %s."), host->name,
                              r == EAI_SYSTEM ? g_strerror(errno) : gai_strerror(r));
                return false;
        }
        for (const struct addrinfo *each = list; each && host->count < ADDRESSES_MAX; each = each->ai_next) {
                Address *address = &host->addresses[host->count];

                if (each->ai_family == AF_INET)
                        *address = address_from_ipv4(
                                        ((const struct sockaddr_in *) (const void *) each->ai_addr)
                                                        ->sin_addr.s_addr);
                else if (each->ai_family == AF_INET6)
                        memcpy(address->word,
                               &((const struct sockaddr_in6 *) (const void *) each->ai_addr)->sin6_addr,
                               sizeof(address->word));
                else
                        continue;
                host->count++;
        }
        freeaddrinfo(list);
        return true;
}

/*
 * Whether the link has an address of this family and a route to the address, be it in a table for what has
 * an address of the link.
 */
static bool leads_to(const Kernel *kernel, const LinkFacts *facts, const Host *host, const Address *remote) {
        RouteQuery query = {
                .remote = *remote,
                .remote_port = htons(host->port),
                .user = getuid(),
                .bound = facts->ifindex,
        };
        bool has_address = false, leads = false;

        for (size_t i = 0; !leads && i < facts->addresses_count; i++) {
                if (address_is_ipv4(&facts->addresses[i].address) != address_is_ipv4(remote))
                        continue;
                if (!has_address)
                        leads = routes_lead(kernel->routes, &query);
                has_address = true;
                query.local = facts->addresses[i].address;
                leads = leads || routes_lead(kernel->routes, &query);
        }
        return leads;
}

/* The first address of the host that the link leads to; NULL: none. */
static const Address *address_for(const Kernel *kernel, const LinkFacts *facts, const Host *host) {
        for (size_t i = 0; i < host->count; i++)
                if (leads_to(kernel, facts, host, &host->addresses[i]))
                        return &host->addresses[i];
        return NULL;
}

static void add_asked(GArray *list, const Kernel *kernel, const LinkFacts *facts, const Address *address) {
        Asked asked = {
                .address = *address,
                .drops_answers = source_check_drops(kernel->routes, facts, address),
        };

        g_strlcpy(asked.link, facts->name, sizeof(asked.link));
        g_array_append_val(list, asked);
}

/* All links by which the host may be reached. */
static bool add_all_links(GArray *list, const Kernel *kernel, const Host *host, GError **error) {
        g_autofree uint32_t *indexes = NULL;
        size_t count = 0;
        int r = rtnl_links(kernel->rtnl, &indexes, &count);

        for (size_t i = 0; r >= 0 && i < count; i++) {
                _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;
                const Address *address;

                if (rtnl_link(kernel->rtnl, indexes[i], &facts) < 0 || !(facts->flags & IFF_UP) ||
                    (facts->flags & IFF_LOOPBACK) || g_str_has_prefix(facts->name, OWN_DEVICES))
                        continue;
                address = address_for(kernel, facts, host);
                if (address)
                        add_asked(list, kernel, facts, address);
        }
        if (list->len > 0)
                return true;
        ctl_error_add(error, CTL_NOT_FOUND, _("No link leads to %s: none that is up has an address and a "
                                              "route for it."),
                      host->name);
        return false;
}

static bool add_named_link(GArray *list, const Kernel *kernel, const Host *host, const char *name,
                           GError **error) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;
        const unsigned index = strlen(name) < IF_NAMESIZE ? if_nametoindex(name) : 0;
        const Address *address;

        if (index == 0 || rtnl_link(kernel->rtnl, index, &facts) < 0) {
                ctl_error_unknown_link(error, name);
                return false;
        }
        address = address_for(kernel, facts, host);
        add_asked(list, kernel, facts, address ?: &host->addresses[0]);
        return true;
}

static bool choose_links(GArray *list, const Host *host, char **names, GError **error) {
        g_auto(Kernel) kernel = {};
        int r = rtnl_open(&kernel.rtnl);

        if (r >= 0)
                r = routes_open(&kernel.routes);
        if (r < 0) {
                ctl_error_add(error, CTL_FAILED, _("Cannot list the links: %s."), g_strerror(-r));
                return false;
        }
        if (!names[0])
                return add_all_links(list, &kernel, host, error);
        for (; *names; names++)
                if (!add_named_link(list, &kernel, host, *names, error))
                        return false;
        return true;
}

/* One line that stays until the answers are there, on a terminal only. */
static void show_progress(const Ctl *ctl, const Host *host, size_t done, size_t count) {
        if (ctl->json || !isatty(STDERR_FILENO))
                return;
        if (done == count) {
                fputs("\r\033[K", stderr);
        } else {
                g_autofree char *text = g_strdup_printf(_("Asking %s: %zu of %zu links have answered."),
                                                        host->name, done, count);
                g_autofree char *clean = text_clean(text);
                g_autofree char *local = g_locale_from_utf8(clean, -1, NULL, NULL, NULL);

                fprintf(stderr, "\r\033[K%s", local ?: "");
        }
        fflush(stderr);
}

/* What the service has found out, as data/org.underpass1.xml has it. */
static void read_report(GVariant *reply, ProbeReport *report) {
        g_autoptr(GVariant) answers = g_variant_get_child_value(reply, 0);
        g_autoptr(GVariant) figures = g_variant_get_child_value(reply, 1);
        guint32 speaks = 0;

        for (size_t i = 0; i < MIN_OF(g_variant_n_children(answers), (size_t) _PROBE_FORM_MAX); i++) {
                ProbeAnswer *answer = &report->answers[i];
                const char *outcome, *from;
                guint32 error;

                g_variant_get_child(answers, i, "(&s&su&su)", NULL, &outcome, &answer->rtt_us, &from,
                                    &error);
                (void) probe_outcome_from_name(outcome, &answer->outcome);
                (void) address_from_text(from, &answer->from);
                answer->error = (int) error;
        }
        g_variant_lookup(figures, "mtu", "u", &report->mtu);
        g_variant_lookup(figures, "mtu-there", "u", &report->mtu_there);
        g_variant_lookup(figures, "mtu-lost", "u", &report->mtu_lost);
        g_variant_lookup(figures, "mtu-back", "u", &report->mtu_back);
        g_variant_lookup(figures, "mss", "u", &report->mss);
        g_variant_lookup(figures, "packets", "u", &report->packets);
        g_variant_lookup(figures, "speaks-underpass", "u", &speaks);
        report->speaks = speaks != 0;
}

static bool is_mirrored(const Ctl *ctl, GVariant *link) {
        const char *id, *uuid = "";

        g_variant_lookup(link, "Connection", "(&s&s)", &id, &uuid);
        return nm_profile_is_mirror(ctl, uuid);
}

/* The tunnel of a link has to learn what is found, so the service asks there, if this user may have it do
 * that. The first failure that concerns the service as a whole ends this. */
static void ask_service(Ctl *ctl, const Host *host, GArray *list) {
        g_autoptr(GError) unknown = NULL;

        for (guint i = 0; i < list->len && !unknown; i++) {
                Asked *asked = &g_array_index(list, Asked, i);
                g_autoptr(GError) refused = NULL;
                char text[INET6_ADDRSTRLEN];

                asked->properties = bus_link(ctl, asked->link, &unknown);
                asked->mirrored = asked->properties && is_mirrored(ctl, asked->properties);
                if (!asked->properties || !streq(property_string(asked->properties, "State"), "active"))
                        continue;
                show_progress(ctl, host, 0, list->len);
                g_autoptr(GVariant) reply = bus_call(
                                ctl, "Probe",
                                g_variant_new("(ssq)", asked->link, address_text(&asked->address, text),
                                              host->port),
                                "(a(ssusu)a{su})", SERVICE_TIMEOUT_MS, asked->link, &refused);
                if (!reply)
                        continue;
                read_report(reply, &asked->report);
                asked->told = true;
        }
}

/* Goes on with all of them; how many are done. */
static size_t process(GArray *list) {
        size_t done = 0;

        for (guint i = 0; i < list->len; i++) {
                const Asked *asked = &g_array_index(list, Asked, i);

                done += asked->told || probe_process(asked->probe);
        }
        return done;
}

/* Ctrl-C and the like come here from now on. */
static int open_signals(void) {
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGTERM);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Asks by all links at a time. False with an error when that cannot be; *ret_signal: the signal that ended
 * it early, 0: none did. */
static bool ask(const Ctl *ctl, const Host *host, GArray *list, int signals, int *ret_signal,
                GError **error) {
        g_autofree struct pollfd *polled = g_new0(struct pollfd, list->len + 1);
        struct signalfd_siginfo signal;
        size_t done = 0;

        polled[list->len] = (struct pollfd) { .fd = signals, .events = POLLIN };
        for (guint i = 0; i < list->len; i++) {
                Asked *asked = &g_array_index(list, Asked, i);
                ProbeTarget target = { .remote = asked->address, .port = host->port };
                int r;

                polled[i].fd = -1;
                if (asked->told)
                        continue;
                g_strlcpy(target.link, asked->link, sizeof(target.link));
                r = probe_new(&asked->probe, &target);
                if (r < 0) {
                        ctl_error_add(error, CTL_FAILED, _("Cannot probe %s: %s."), asked->link,
                                      g_strerror(-r));
                        return false;
                }
                polled[i] = (struct pollfd) { .fd = probe_fd(asked->probe), .events = POLLIN };
        }
        for (done = process(list); done < list->len && *ret_signal == 0;) {
                show_progress(ctl, host, done, list->len);
                if (poll(polled, list->len + 1, -1) < 0 && errno != EINTR)
                        break;
                if (read(signals, &signal, sizeof(signal)) == sizeof(signal))
                        *ret_signal = (int) signal.ssi_signo;
                done = process(list);
        }
        show_progress(ctl, host, list->len, list->len);
        return true;
}

static const ProbeReport *report_of(const Asked *asked) {
        return asked->told ? &asked->report : probe_report(asked->probe);
}

/* Whether the tunnel of the link carries TCP to there that is not MPTCP. */
static bool tunnels_plain(const Asked *asked, uint16_t port) {
        Settings settings;

        if (!asked->properties || !streq(property_string(asked->properties, "State"), "active"))
                return false;
        property_settings(asked->properties, &settings);
        return !settings.mptcp_only && settings_cover(&settings, asked->address.word, port);
}

/* One link after the other, so that they do not slow each other down. */
static bool measure(const Ctl *ctl, const Host *host, GArray *list, int signals, int *ret_signal,
                    GError **error) {
        probe_rate_announce(ctl, list->len);
        for (guint i = 0; i < list->len && *ret_signal == 0; i++) {
                Asked *asked = &g_array_index(list, Asked, i);
                const ProbeRate what = {
                        .link = asked->link,
                        .address = &asked->address,
                        .host = host->name,
                        .port = host->port,
                        .path = ctl->rate,
                        .found = report_of(asked),
                        .plain_tunnelled = tunnels_plain(asked, host->port),
                };

                if (!probe_rate_run(&what, signals, &asked->rate, ret_signal, error))
                        return false;
        }
        return true;
}

/* What has been found, as long as the list is there; answered: whether anything was. */
static ProbeView *view(const Ctl *ctl, const GArray *list, bool *ret_answered) {
        ProbeView *views = g_new0(ProbeView, list->len);

        for (guint i = 0; i < list->len; i++) {
                const Asked *asked = &g_array_index(list, Asked, i);
                char text[INET6_ADDRSTRLEN];
                ProbeVerdict verdict;

                memcpy(views[i].link, asked->link, sizeof(views[i].link));
                views[i].address = g_strdup(address_text(&asked->address, text));
                views[i].report = *report_of(asked);
                views[i].rate = ctl->rate ? &asked->rate : NULL;
                views[i].download = ctl->rate && ctl->rate[0];
                views[i].properties = asked->properties;
                views[i].mirrored = asked->mirrored;
                views[i].drops_answers = asked->drops_answers;
                verdict = probe_judge(&views[i].report);
                *ret_answered |= verdict != PROBE_NO_ROUTE && verdict != PROBE_CLOSED &&
                                 verdict != PROBE_UNREACHED;
        }
        return views;
}

/* As if the signal had not been waited for. */
static void die_by(int number) {
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, number);
        signal(number, SIG_DFL);
        raise(number);
        sigprocmask(SIG_UNBLOCK, &mask, NULL);
}

bool ctl_probe(Ctl *ctl, char **arguments, GError **error) {
        g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(Asked));
        _cleanup_(close_fdp) int signals = -EBADF;
        g_auto(Host) host = {};
        bool answered = false;
        unsigned words = 0;
        int signal = 0;

        g_array_set_clear_func(list, asked_clear);
        if ((ctl->rate && !probe_rate_path_fits(ctl->rate, error)) ||
            !read_host(arguments, &host, &words, error) || !resolve(&host, error) ||
            !choose_links(list, &host, arguments + words, error))
                return false;
        ask_service(ctl, &host, list);
        signals = open_signals();
        if (!ask(ctl, &host, list, signals, &signal, error) ||
            (ctl->rate && signal == 0 && !measure(ctl, &host, list, signals, &signal, error)))
                return false;
        if (signal != 0) {
                g_array_set_size(list, 0);
                die_by(signal);
                return false;
        }

        ProbeView *views = view(ctl, list, &answered);
        if (ctl->json)
                probe_view_json(host.name, host.port, views, list->len);
        else
                probe_view_print(ctl, host.name, host.port, views, list->len);
        for (guint i = 0; i < list->len; i++)
                g_free(views[i].address);
        g_free(views);
        if (!answered)
                ctl_error_add(error, CTL_FAILED, _("%s does not answer at port %u."), host.name, host.port);
        return answered;
}
