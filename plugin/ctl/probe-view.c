/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See probe-view.h. */

#include "base/i18n.h"
#include "ctl/json.h"
#include "ctl/probe-advice.h"
#include "ctl/probe-rate.h"
#include "ctl/probe-view.h"
#include "ctl/text.h"

enum { COLUMN = 50 }; /* where what passes meets; the address of the destination is to its right */

/* What the picture is drawn with. */
typedef struct Pens {
        const char *first;   /* between the link and its forms */
        const char *middle;
        const char *last;
        const char *passes;
        const char *fails;
        const char *way;     /* to the destination, one column */
        const char *joins[2][2]; /* where a way ends: something passes above, below */
        const char *beside;  /* where another one's end is above and below */
        const char *arrow;
} Pens;

static const Pens utf8_pens = {
        .first = "─┬─", .middle = " ├─", .last = " └─", .passes = "✔", .fails = "✘", .way = "─",
        .joins = { { "─", "┬" }, { "┘", "┤" } }, .beside = "│", .arrow = "→",
};
static const Pens ascii_pens = {
        .first = "-+-", .middle = " +-", .last = " `-", .passes = "ok", .fails = "no", .way = "-",
        .joins = { { "-", "+" }, { "+", "+" } }, .beside = "|", .arrow = "=>",
};

static const char *const form_labels[] = {
        [PROBE_TCP] = N_("plain TCP"),
        [PROBE_MPTCP] = N_("plain MPTCP"),
        [PROBE_UDP] = N_("UDP form"),
};
ASSERT_TABLE_COMPLETE(form_labels, _PROBE_FORM_MAX);

/* What follows for one link. known: the server is known to have MPTCP. */
typedef struct Sentence {
        const char *text;
        const char *known;   /* in place of text, where the server is known to have MPTCP; NULL: the same */
} Sentence;

static const Sentence sentences[] = {
        [PROBE_NO_ROUTE] = { .text = N_("The host cannot be reached by this link.") },
        [PROBE_NOT_NEEDED] = { .text = N_("Plain MPTCP passes, so no tunnel is needed.") },
        [PROBE_HELPS] = { .text = N_("MPTCP passes only in the tunnel.") },
        [PROBE_SERVER_PLAIN] = { .text = N_("The server has Underpass, but its program does not use "
                                            "MPTCP.") },
        [PROBE_KERNEL_PLAIN] = { .text = N_("MPTCP is off on this host: run "
                                            "`sysctl net.mptcp.enabled=1`.") },
        [PROBE_NO_PEER] = {
                .text = N_("The server has no Underpass at this port. Either the path strips MPTCP options, "
                           "or the server has no MPTCP."),
                .known = N_("The path strips MPTCP options. Set up Underpass on the server: it refuses the "
                            "UDP form."),
        },
        [PROBE_UDP_FILTERED] = {
                .text = N_("A firewall on the path refuses UDP, and the answer to plain MPTCP has no MPTCP "
                           "option."),
                .known = N_("The path strips MPTCP options, and a firewall on it refuses UDP. Open this UDP "
                            "port in the firewall."),
        },
        [PROBE_UDP_SILENT] = {
                .text = N_("The UDP form gets no answer: a firewall drops UDP, or the server has no "
                           "Underpass. The answer to plain MPTCP has no MPTCP option, either."),
                .known = N_("The path strips MPTCP options. The UDP form gets no answer: a firewall drops "
                            "UDP, or the server has no Underpass."),
        },
        [PROBE_UDP_KEPT] = {
                .text = N_("The answer to plain MPTCP has no MPTCP option. The firewall of this host keeps "
                           "the UDP form of a probe back, but not that of a tunnel, which it sees as TCP."),
                .known = N_("The path strips MPTCP options. The firewall of this host keeps the UDP form of "
                            "a probe back, but not that of a tunnel, which it sees as TCP."),
        },
        [PROBE_CLOSED] = { .text = N_("Nothing listens at this port.") },
        [PROBE_UNREACHED] = { .text = N_("Nothing gets an answer: the server is down, or a firewall drops "
                                         "everything.") },
};
ASSERT_TABLE_COMPLETE(sentences, _PROBE_VERDICT_MAX);

static bool passes(const ProbeReport *report, ProbeForm form) {
        const ProbeOutcome outcome = report->answers[form].outcome;

        return outcome == PROBE_OPTION || (outcome == PROBE_ANSWERED && form != PROBE_MPTCP);
}

static bool server_has_mptcp(const ProbeView *views, size_t count) {
        for (size_t i = 0; i < count; i++)
                if (probe_shows_mptcp(&views[i].report))
                        return true;
        return false;
}

static const char *sentence_of(const ProbeView *view, uint16_t port, bool known) {
        const ProbeVerdict verdict = probe_judge(&view->report);
        const Sentence *sentence = &sentences[verdict];

        if (verdict == PROBE_NOT_NEEDED && probe_advice_carries(view, port))
                return N_("MPTCP passes. What is called plain here may have used the tunnel of the link.");
        return known && sentence->known ? sentence->known : sentence->text;
}

static char *round_trip(uint32_t rtt_us) {
        if (rtt_us < 100)
                return g_strdup(_("<0.1 ms"));
        return rtt_us < 10000 ? g_strdup_printf(_("%.1f ms"), rtt_us / 1000.0) :
                                g_strdup_printf(_("%u ms"), rtt_us / 1000);
}

static char *why_not_sent(const ProbeReport *report, ProbeForm form) {
        const int error = report->answers[form].error;

        if (form == PROBE_MPTCP && report->answers[PROBE_TCP].outcome != PROBE_NOT_SENT)
                return g_strdup(_("off on this host"));
        if (form == PROBE_UDP && error == EPERM)
                return g_strdup(_("kept back by the firewall of this host"));
        return g_strdup(g_strerror(error));
}

static char *who_refused(const ProbeAnswer *answer) {
        char text[INET6_ADDRSTRLEN];
        static const Address nobody;

        if (address_equal(&answer->from, &nobody))
                return g_strdup(_("refused on the path"));
        return answer->outcome == PROBE_REFUSED ?
                       g_strdup(_("refused by the host")) :
                       g_strdup_printf(_("refused by %s"), address_text(&answer->from, text));
}

/* What became of one form, behind its mark. */
static char *describe(const ProbeReport *report, ProbeForm form, bool known) {
        const ProbeAnswer *answer = &report->answers[form];

        switch (answer->outcome) {
        case PROBE_NOT_SENT:
                return why_not_sent(report, form);
        case PROBE_REFUSED:
        case PROBE_FILTERED:
                return who_refused(answer);
        case PROBE_ANSWERED:
                if (form == PROBE_MPTCP)
                        return g_strdup(known ? _("option lost") : _("no option in the answer"));
                return round_trip(answer->rtt_us);
        case PROBE_OPTION:
                return round_trip(answer->rtt_us);
        case PROBE_SILENCE:
        case _PROBE_OUTCOME_MAX:
                break;
        }
        return g_strdup(_("no answer"));
}

/* Appends the way from here to COLUMN and where it ends there. */
static void draw_end(GString *line, const Pens *pens, const ProbeReport *report, ProbeForm form,
                     const char *endpoint) {
        bool above = false, below = false;
        size_t width = text_width(line->str);

        for (ProbeForm other = 0; other < _PROBE_FORM_MAX; other++) {
                above |= other < form && passes(report, other);
                below |= other > form && passes(report, other);
        }
        if (!passes(report, form)) {
                if (above && below && width < COLUMN)
                        g_string_append_printf(line, "%*s%s", (int) (COLUMN - width), "", pens->beside);
                return;
        }
        g_string_append_c(line, ' ');
        for (width++; width < COLUMN; width++)
                g_string_append(line, pens->way);
        g_string_append(line, pens->joins[above][below]);
        if (!above)
                g_string_append_printf(line, "%s %s", pens->way, endpoint);
}

static void print_form(const Ctl *ctl, const Pens *pens, const ProbeView *view, ProbeForm form,
                       const char *endpoint, bool known) {
        const bool good = passes(&view->report, form);
        const char *mark = good ? pens->passes : pens->fails, *label = _(form_labels[form]);
        g_autofree char *detail = describe(&view->report, form, known);
        GString *line = g_string_new(NULL);
        int widest = 0;

        for (ProbeForm other = 0; other < _PROBE_FORM_MAX; other++)
                widest = MAX_OF(widest, (int) text_width(_(form_labels[other])));
        g_string_append_printf(line, " %*s %s %s%*s %s %s", (int) -(form == 0 ? 0 : text_width(view->link)),
                               form == 0 ? view->link : "",
                               form == 0                        ? pens->first :
                               form + 1 < _PROBE_FORM_MAX ? pens->middle :
                                                                  pens->last,
                               label, widest - (int) text_width(label), "", mark, detail);
        draw_end(line, pens, &view->report, form, endpoint);
        /* The mark is coloured last, for colours take no columns. */
        g_autofree char *clean = text_clean(line->str);
        char *at = ctl->color ? strstr(clean, mark) : NULL;
        if (at)
                g_print("%.*s\033[%dm%s\033[0m%s\n", (int) (at - clean), clean, good ? 32 : 31, mark,
                        at + strlen(mark));
        else
                g_print("%s\n", clean);
        g_string_free(line, TRUE);
}

/* How large packets may be, each way; NULL: nothing is known. */
static char *describe_sizes(const ProbeReport *report) {
        GString *text = g_string_new(NULL);

        if (report->mtu_there)
                g_string_append_printf(text, _("Packets of %u bytes get there."), report->mtu_there);
        if (report->mtu_lost)
                g_string_append_printf(text, " %s", _("Larger ones do not."));
        if (report->mtu_back)
                g_string_append_printf(text, " ");
        if (report->mtu_back)
                g_string_append_printf(text, _("Packets of %u bytes come back."), report->mtu_back);
        if (text->len > 0 && report->mss)
                g_string_append_c(text, ' ');
        if (report->mss)
                g_string_append_printf(text, _("Segments of plain TCP have %u bytes."), report->mss);
        if (text->len > 0)
                return g_string_free(text, FALSE);
        g_string_free(text, TRUE);
        return NULL;
}

/* Prints a text behind an indent, at most 80 columns wide. */
static void print_wrapped(unsigned indent, const char *first, const char *text) {
        g_auto(GStrv) words = g_strsplit(text, " ", -1);
        GString *line = g_string_new(NULL);
        const unsigned hang = indent + (unsigned) text_width(first);

        g_string_append_printf(line, "%*s%s", (int) indent, "", first);
        for (char **word = words; *word; word++) {
                if (text_width(line->str) + 1 + text_width(*word) > 80 && word != words) {
                        text_line("%s", line->str);
                        g_string_printf(line, "%*s", (int) hang, "");
                } else if (word != words) {
                        g_string_append_c(line, ' ');
                }
                g_string_append(line, *word);
        }
        text_line("%s", line->str);
        g_string_free(line, TRUE);
}

/* The answers may have come, and were dropped here. */
static char *dropped_here(const ProbeView *view) {
        g_autofree char *word = text_shell_word(view->link);

        return g_strdup_printf(_("Nothing gets an answer, for this host drops what comes in by %1$s: "
                                 "rp_filter is 1 (strict), and the route to there is by another link. Run "
                                 "`sysctl net/ipv4/conf/%2$s/rp_filter=2`."),
                               view->link, word);
}

static void print_link(const Ctl *ctl, const Pens *pens, const ProbeView *view, uint16_t port, bool known) {
        g_autofree char *endpoint = text_endpoint(view->address, port);
        g_autofree char *sizes = describe_sizes(&view->report);
        const unsigned indent = (unsigned) text_width(view->link) + 2;

        for (ProbeForm form = 0; form < _PROBE_FORM_MAX; form++)
                print_form(ctl, pens, view, form, endpoint, known);
        if (sizes)
                print_wrapped(indent + 3, "", sizes);
        if (view->drops_answers && probe_judge(&view->report) == PROBE_UNREACHED) {
                g_autofree char *text = dropped_here(view);

                print_wrapped(indent + 3, "", text);
        } else {
                print_wrapped(indent + 3, "", _(sentence_of(view, port, known)));
        }
        if (view->rate) {
                g_auto(GStrv) lines = probe_rate_describe(view->rate, view->download);

                for (char **line = lines; *line; line++)
                        print_wrapped(indent + 3, "", *line);
        }
        g_print("\n");
}

/* The names of the links that need a tunnel; NULL: there are none. */
static char *links_in_need(const ProbeView *views, size_t count, uint16_t port) {
        GString *names = g_string_new(NULL);

        for (size_t i = 0; i < count; i++)
                if (probe_advice_need(&views[i], port) == PROBE_NEED_TUNNEL)
                        g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", views[i].link);
        return g_string_free(names, names->len == 0);
}

/* What follows for all links together, where nothing can be done. */
static const char *summary_of(const ProbeView *views, size_t count, uint16_t port) {
        size_t good = 0, helped = 0;
        bool carried = false, kept = false;

        for (size_t i = 0; i < count; i++) {
                carried |= probe_advice_carries(&views[i], port);
                good += probe_judge(&views[i].report) == PROBE_NOT_NEEDED;
                helped += probe_judge(&views[i].report) == PROBE_HELPS;
                kept |= probe_judge(&views[i].report) == PROBE_UDP_KEPT;
        }
        if (kept)
                return N_("Whether a tunnel helps to reach %1$s by MPTCP is not known: let this host send "
                          "UDP to port %2$u, and probe again.");
        if (good + helped < count && good + helped > 0)
                return N_("A tunnel does not help the other links to reach %1$s by MPTCP; the reasons are "
                          "above.");
        if (helped > 0)
                return N_("Nothing to do: the tunnel carries MPTCP to %1$s.");
        if (good > 0 && carried)
                return N_("Nothing to do: MPTCP reaches %1$s.");
        return good > 0 ? N_("Nothing to do: plain MPTCP reaches %1$s.") :
                          N_("A tunnel does not help to reach %1$s by MPTCP now; the reasons are above.");
}

static void print_command(const ProbeView *view, uint16_t port) {
        g_autofree char *command = probe_advice_command(view, port);
        g_autofree char *operand = text_shell_operand(view->link);

        if (command)
                text_line("  %s", command);
        else
                text_line("  underpassctl explain %s", operand);
}

static void print_advice(const Pens *pens, const char *host, uint16_t port, const ProbeView *views,
                         size_t count) {
        g_autofree char *names = links_in_need(views, count, port);
        g_autofree char *first = g_strdup_printf("%s ", pens->arrow);
        bool any = names;

        if (names) {
                g_autofree char *text = g_strdup_printf(_("Set tunnel=on-demand on %2$s, where MPTCP "
                                                          "reaches %1$s only in the tunnel."),
                                                        host, names);
                print_wrapped(0, first, text);
        }
        for (size_t i = 0; i < count && names; i++)
                if (probe_advice_need(&views[i], port) == PROBE_NEED_TUNNEL)
                        print_command(&views[i], port);
        for (size_t i = 0; i < count; i++) {
                g_autofree char *sentence = probe_advice_sentence(&views[i], port);

                if (!sentence)
                        continue;
                any = true;
                print_wrapped(0, first, sentence);
                print_command(&views[i], port);
        }
        if (!any) {
                g_autofree char *text = g_strdup_printf(_(summary_of(views, count, port)), host, port);

                print_wrapped(0, first, text);
        }
}

void probe_view_print(const Ctl *ctl, const char *host, uint16_t port, const ProbeView *views,
                      size_t count) {
        const Pens *pens = g_get_charset(NULL) ? &utf8_pens : &ascii_pens;
        const bool known = server_has_mptcp(views, count);

        for (size_t i = 0; i < count; i++)
                print_link(ctl, pens, &views[i], port, known);
        if (!ctl->no_legend)
                print_advice(pens, host, port, views, count);
}

static void add_answer(JsonBuilder *builder, const ProbeReport *report, ProbeForm form) {
        const ProbeAnswer *answer = &report->answers[form];
        static const Address nobody;
        char from[INET6_ADDRSTRLEN];

        json_builder_set_member_name(builder, probe_form_name(form));
        json_builder_begin_object(builder);
        json_member_string(builder, "outcome", probe_outcome_name(answer->outcome));
        json_member_number(builder, "rtt_us", answer->rtt_us);
        json_member_string(builder, "from", address_equal(&answer->from, &nobody) ?
                                                    "" : address_text(&answer->from, from));
        json_member_string(builder, "error", answer->error ? strerrorname_np(answer->error) ?: "" : "");
        json_builder_end_object(builder);
}

static void add_link(JsonBuilder *builder, const ProbeView *view, uint16_t port) {
        const ProbeReport *report = &view->report;
        g_autofree char *command = probe_advice_command(view, port);

        json_builder_begin_object(builder);
        json_member_string(builder, "interface", view->link);
        json_member_string(builder, "address", view->address);
        for (ProbeForm form = 0; form < _PROBE_FORM_MAX; form++)
                add_answer(builder, report, form);
        json_member_boolean(builder, "speaks_underpass", report->speaks);
        json_member_number(builder, "mtu", report->mtu);
        json_member_number(builder, "mtu_there", report->mtu_there);
        json_member_number(builder, "mtu_lost", report->mtu_lost);
        json_member_number(builder, "mtu_back", report->mtu_back);
        json_member_number(builder, "mss", report->mss);
        json_member_number(builder, "packets", report->packets);
        json_member_string(builder, "verdict", probe_verdict_name(probe_judge(report)));
        json_member_boolean(builder, "drops_answers", view->drops_answers);
        json_member_boolean(builder, "has_tunnel", probe_advice_has_tunnel(view));
        json_member_boolean(builder, "tunnel_carries", probe_advice_carries(view, port));
        json_member_string(builder, "command", command ?: "");
        if (view->rate)
                probe_rate_json(builder, view->rate, view->download);
        json_builder_end_object(builder);
}

void probe_view_json(const char *host, uint16_t port, const ProbeView *views, size_t count) {
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        json_member_string(builder, "host", host);
        json_member_number(builder, "port", port);
        json_builder_set_member_name(builder, "links");
        json_builder_begin_array(builder);
        for (size_t i = 0; i < count; i++)
                add_link(builder, &views[i], port);
        json_builder_end_array(builder);
        json_builder_end_object(builder);
        json_print(builder);
}
