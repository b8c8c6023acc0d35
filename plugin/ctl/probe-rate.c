/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See probe-rate.h. */

#include <poll.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "base/i18n.h"
#include "ctl/error.h"
#include "ctl/json.h"
#include "ctl/probe-rate.h"
#include "ctl/text.h"
#include "kernel/rate.h"

enum {
        PATH_MAX_LENGTH = 1024,
        STATUS_GOOD = 200,
};

static const char *const form_labels[] = {
        [RATE_PLAIN] = N_("Plain TCP: %s"),
        [RATE_UDP] = N_("UDP form: %s"),
};
ASSERT_TABLE_COMPLETE(form_labels, _RATE_FORM_MAX);

static const char *const verdicts[] = {
        [RATE_UNKNOWN] = N_("The two forms cannot be compared."),
        [RATE_ALIKE] = N_("UDP is not throttled: it is at least a third as fast as plain TCP."),
        [RATE_UDP_THROTTLED] = N_("UDP is throttled on this path: plain TCP is at least 3 times as fast."),
        [RATE_PLAIN_THROTTLED] = N_("Plain TCP is throttled on this path: the UDP form is at least 3 times "
                                    "as fast."),
};
ASSERT_TABLE_COMPLETE(verdicts, _RATE_VERDICT_MAX);

bool probe_rate_path_fits(const char *path, GError **error) {
        bool good = !path[0] || (path[0] == '/' && strlen(path) <= PATH_MAX_LENGTH);

        for (const char *each = path; *each; each++)
                good = good && *each > ' ' && *each < 0x7f;
        if (!good)
                ctl_error_add(error, CTL_BAD_VALUE,
                              _("“%s” is not a path for --rate; write it as in a URL, as in "
                                "--rate=/large.file."),
                              path);
        return good;
}

void probe_rate_announce(const Ctl *ctl, size_t links) {
        g_autofree char *each = text_bytes(RATE_BYTES_MAX);
        g_autofree char *all = text_bytes((uint64_t) RATE_BYTES_MAX * _RATE_FORM_MAX * links);

        if (ctl->json || ctl->no_legend)
                return;
        g_printerr(_("Measuring uses up to %d seconds and %s of data for each form on each link, %s in "
                     "all.\n"),
                   RATE_MS / 1000, each, all);
}

/* What is asked of an HTTP server; a server of another kind gets zeros. Caller frees. */
static char *request_for(const ProbeRate *what) {
        if (!what->path[0])
                return g_strdup("");
        g_autofree char *host = text_endpoint(what->host, what->port);
        return g_strdup_printf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: underpassctl\r\n"
                               "Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
                               what->path, host);
}

static bool passes(const ProbeReport *found, ProbeForm form) {
        const ProbeOutcome outcome = found->answers[form].outcome;

        return outcome == PROBE_ANSWERED || outcome == PROBE_OPTION;
}

bool probe_rate_run(const ProbeRate *what, int signals, RateReport *ret, int *ret_signal, GError **error) {
        g_autofree char *request = request_for(what);
        _cleanup_(rate_freep) Rate *rate = NULL;
        RateTarget target = {
                .probe = { .remote = *what->address, .port = what->port },
                .mtu = what->found->mtu_back && what->found->mtu_back < what->found->mtu_there ?
                                       what->found->mtu_back :
                                       what->found->mtu_there,
                .request = request,
                .download = what->path[0] != '\0',
                .asked = {
                        [RATE_PLAIN] = passes(what->found, PROBE_TCP) && !what->plain_tunnelled,
                        [RATE_UDP] = passes(what->found, PROBE_UDP),
                },
        };
        struct signalfd_siginfo signal;
        struct pollfd polled[2];
        int r;

        g_strlcpy(target.probe.link, what->link, sizeof(target.probe.link));
        r = rate_new(&rate, &target);
        if (r < 0) {
                ctl_error_add(error, CTL_FAILED, _("Cannot measure on %s: %s."), what->link, g_strerror(-r));
                return false;
        }
        polled[0] = (struct pollfd) { .fd = rate_fd(rate), .events = POLLIN };
        polled[1] = (struct pollfd) { .fd = signals, .events = POLLIN };
        while (!rate_process(rate)) {
                if (poll(polled, ELEMENTS(polled), -1) < 0 && errno != EINTR)
                        break;
                if (read(signals, &signal, sizeof(signal)) != sizeof(signal))
                        continue;
                if (*ret_signal != 0)
                        break; /* who asks twice does not want to wait for the server */
                *ret_signal = (int) signal.ssi_signo;
                rate_stop(rate);
        }
        *ret = *rate_report(rate);
        return true;
}

/* Why there is no figure, or why it may be wrong; NULL: it is as it should be. Caller frees. */
static char *describe_doubt(const RateFigure *figure, bool download) {
        g_autofree char *bytes = text_bytes(figure->bytes);

        if (figure->status != 0 && figure->status != STATUS_GOOD)
                return g_strdup_printf(_("the server answered with HTTP status %u"), figure->status);
        switch (figure->outcome) {
        case RATE_NOT_ASKED:
                return g_strdup(_("not measured"));
        case RATE_NO_CONNECTION:
                return g_strdup(_("no connection"));
        case RATE_CLOSED:
                return g_strdup_printf(_("no figure, as the server closed after %s"), bytes);
        case RATE_STALLED:
                return g_strdup_printf(figure->window_full && !download ?
                                               _("no figure, as the server took %s and no more") :
                                               _("nothing more got through after %s"),
                                       bytes);
        case RATE_MEASURED:
        case _RATE_OUTCOME_MAX:
                break;
        }
        return NULL;
}

static char *describe_figure(const RateFigure *figure, bool download) {
        g_autofree char *rate = text_rate(figure->bytes_per_second);
        g_autofree char *bytes = text_bytes(figure->bytes);
        g_autofree char *time = text_duration(figure->ms);
        char *doubt = describe_doubt(figure, download);

        if (doubt)
                return doubt;
        return g_strdup_printf(download ? _("%s down (%s in %s)") : _("%s up (%s in %s)"), rate, bytes,
                               time);
}

/* What a user can do to get a figure; NULL: nothing. */
static const char *advise(const RateReport *report, bool download) {
        bool stopped = false;

        for (RateForm form = 0; form < _RATE_FORM_MAX; form++) {
                const RateFigure *figure = &report->figures[form];

                stopped |= figure->outcome == RATE_CLOSED || figure->outcome == RATE_STALLED;
        }
        if (!stopped)
                return NULL;
        return download ? N_("Give the path of a large file, as in --rate=/large.file.") :
                          N_("Give the path of a large file, as in --rate=/large.file, or have a program "
                             "listen at the port that reads everything.");
}

/* Why there is no verdict, or what to do about it; NULL: nothing. Caller frees. */
static char *describe_reason(const RateReport *report, bool download) {
        g_autofree char *fast = text_rate(RATE_UDP_FAST);
        const char *advice = advise(report, download);

        switch (rate_reason(report)) {
        case RATE_REASON_NO_FIGURE:
                return advice ? g_strdup(_(advice)) : NULL;
        case RATE_REASON_LOST_HERE:
                return g_strdup(_("This host was too slow for the UDP form."));
        case RATE_REASON_FAST:
                return g_strdup_printf(_("From %s on, this host may be what slows the UDP form down, and "
                                         "not the path."),
                                       fast);
        case RATE_REASON_NONE:
        case _RATE_REASON_MAX:
                break;
        }
        return NULL;
}

char **probe_rate_describe(const RateReport *report, bool download) {
        g_autofree char *volume = text_bytes(report->figures[RATE_PLAIN].volume +
                                             report->figures[RATE_UDP].volume);
        char *reason = describe_reason(report, download);
        char **lines = NULL;

        for (RateForm form = 0; form < _RATE_FORM_MAX; form++) {
                g_autofree char *figure = describe_figure(&report->figures[form], download);

                text_append(&lines, g_strdup_printf(_(form_labels[form]), figure));
        }
        text_append(&lines, g_strdup(_(verdicts[rate_judge(report)])));
        if (reason)
                text_append(&lines, reason);
        text_append(&lines, g_strdup_printf(_("This used %s of data."), volume));
        return lines;
}

void probe_rate_json(JsonBuilder *builder, const RateReport *report, bool download) {
        json_builder_set_member_name(builder, "rate");
        json_builder_begin_object(builder);
        json_member_string(builder, "direction", download ? "download" : "upload");
        for (RateForm form = 0; form < _RATE_FORM_MAX; form++) {
                const RateFigure *figure = &report->figures[form];

                json_builder_set_member_name(builder, rate_form_name(form));
                json_builder_begin_object(builder);
                json_member_string(builder, "outcome", rate_outcome_name(figure->outcome));
                json_member_number(builder, "bytes_per_second", figure->bytes_per_second);
                json_member_number(builder, "bytes", figure->bytes);
                json_member_number(builder, "bytes_used", figure->volume);
                json_member_number(builder, "milliseconds", figure->ms);
                json_member_boolean(builder, "server_closed", figure->ended);
                json_member_number(builder, "http_status", figure->status);
                json_member_number(builder, "lost_on_this_host", figure->lost_here);
                json_builder_end_object(builder);
        }
        json_member_string(builder, "verdict", rate_verdict_name(rate_judge(report)));
        json_member_string(builder, "reason", rate_reason_name(rate_reason(report)));
        json_builder_end_object(builder);
}
