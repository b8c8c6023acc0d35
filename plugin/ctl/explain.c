/* SPDX-License-Identifier: GPL-2.0-or-later */

/* "underpassctl explain": everything about one link, and what to do next. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bulk-form.h"
#include "ctl/bus.h"
#include "ctl/check-facts.h"
#include "ctl/destinations.h"
#include "ctl/explain.h"
#include "ctl/json.h"
#include "ctl/names.h"
#include "ctl/properties.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/words.h"
#include "plan/sctp.h"

/* What to do after an error, by the stage that LastStage names. %s: interface, as an argument of
 * underpassctl; about_ip: before that, as a word behind "dev". */
static const struct {
        const char *stage;
        const char *advice;
        bool about_ip;
} stage_advice[] = {
        { "profile", N_("Correct the value named in the error, then run `underpassctl activate %s`."),
          false },
        { "facts", N_("Check with `ip link show dev %s` that the interface exists."), true },
        { "load",
          N_("The kernel rejected the programs. Look for the reason in the journal with "
             "`journalctl -u underpass`, then run `underpassctl activate %s`."),
          false },
        { "segmentation",
          N_("Check with `ip link` that no other program has created an interface whose name begins with "
             "“underpass-”, then run `underpassctl activate %s`."),
          false },
        { "attach",
          N_("Check with `bpftool net show dev %s` what else is attached to the interface, then run "
             "`underpassctl activate %s`."),
          true },
        { "mtu", N_("Choose an MTU that the interface supports: `ip -d link show dev %s` prints its range."),
          true },
        { "endpoint",
          N_("`ip mptcp endpoint show` lists the endpoints. Remove one that is not needed or has an address "
             "of %s, then run `underpassctl activate %s`."),
          true },
};

static char *advise_failed(GVariant *link, GVariant *destinations, const char *fault) {
        g_autofree char *operand = text_shell_operand(property_string(link, "Name"));
        g_autofree char *word = text_shell_word(property_string(link, "Name"));
        const char *stage = property_string(link, "LastStage");

        for (size_t i = 0; i < ELEMENTS(stage_advice); i++)
                if (streq(stage_advice[i].stage, stage))
                        return g_strdup_printf(_(stage_advice[i].advice),
                                               stage_advice[i].about_ip ? word : operand, operand);

        return g_strdup_printf(_("Run `underpassctl activate %s` to try again."), operand);
}

/* NULL: the service warns of nothing. Caller frees. */
static char *first_warning(GVariant *link) {
        g_autoptr(GVariant) warnings = property_array(link, "Warnings", "as");
        char *warning;

        if (g_variant_n_children(warnings) == 0)
                return NULL;
        g_variant_get_child(warnings, 0, "s", &warning);
        return warning;
}

/* check has a line for each reason why a link is off, and nothing is wrong where only SCTP was asked for,
 * and is there. */
static char *advise_off(GVariant *link, GVariant *destinations, const char *fault) {
        g_autofree char *warning = first_warning(link);
        const char *sctp;
        Settings settings;

        property_settings(link, &settings);
        sctp = sctp_alone(&settings);
        if (!fault && sctp && warning)
                return g_steal_pointer(&warning);
        return g_strdup(fault ?: sctp ? _(sctp) : property_string(link, "Reason"));
}

static char *advise_waiting(GVariant *link, GVariant *destinations, const char *fault) {
        if (fault)
                return g_strdup(fault);
        return g_strdup_printf(
                        _("Add an MPTCP endpoint with an address of %s (`ip mptcp endpoint show` lists the "
                          "endpoints), or set mptcp-endpoint=subflow so that Underpass adds one, or set "
                          "tunnel=yes to attach the tunnel in any case."),
                        property_string(link, "Name"));
}

/* True for an on-demand link that has not seen MPTCP options get lost. */
static bool stays_plain(GVariant *link) {
        return streq(property_setting(link, "tunnel"), "on-demand") &&
               property_counter(link, "plain-on-demand") > 0 && property_counter(link, "stripped") == 0;
}

/* What to do about destinations that UDP does not reach; NULL: there are none. Each reason has another
 * remedy; what somebody has said comes before what silence may mean. */
static char *advise_blocked(const char *link, uint32_t ifindex, GVariant *destinations) {
        unsigned refused = destinations_count(destinations, ifindex, "refused"),
                 filtered = destinations_count(destinations, ifindex, "filtered"),
                 silent = destinations_count(destinations, ifindex, "silent");

        if (refused > 0)
                return g_strdup_printf(
                                P_("%u destination of %s says that nothing takes UDP at this port, so "
                                   "connections to it use plain TCP for now. Set up Underpass there with "
                                   "this port in local-ports, or leave the destination out "
                                   "(remote-addresses, remote-ports).",
                                   "%u destinations of %s say that nothing takes UDP at these ports, so "
                                   "connections to them use plain TCP for now. Set up Underpass there with "
                                   "these ports in local-ports, or leave the destinations out "
                                   "(remote-addresses, remote-ports).",
                                   refused),
                                refused, link);
        if (filtered > 0)
                return g_strdup_printf(
                                P_("A firewall on the path to %u destination of %s refuses UDP, so "
                                   "connections to it use plain TCP for now. Have the firewall let UDP to "
                                   "this port pass, or use another link for it.",
                                   "A firewall on the path to %u destinations of %s refuses UDP, so "
                                   "connections to them use plain TCP for now. Have the firewall let UDP to "
                                   "these ports pass, or use another link for them.",
                                   filtered),
                                filtered, link);
        if (silent > 0)
                return g_strdup_printf(
                                P_("%u destination of %s does not answer over UDP, so connections to it "
                                   "use plain TCP for now. Check that the peer has a tunnel on this port "
                                   "(its key local-ports) and that no firewall drops UDP. UDP is tried "
                                   "again when the time listed for the destination is over.",
                                   "%u destinations of %s do not answer over UDP, so connections to them "
                                   "use plain TCP for now. Check that the peers have a tunnel on these "
                                   "ports (their key local-ports) and that no firewall drops UDP. UDP is "
                                   "tried again when the time listed for a destination is over.",
                                   silent),
                                silent, link);
        return NULL;
}

/* UDP gets there, but much of it gets lost on the way. NULL: there is no such destination. */
static char *advise_throttled(const char *link, uint32_t ifindex, GVariant *destinations) {
        unsigned throttled = destinations_count(destinations, ifindex, "throttled");

        if (throttled == 0)
                return NULL;
        return g_strdup_printf(
                        P_("Much of what %s sends over UDP to %u destination is lost for seconds at a time, "
                           "so connections to it are slow. If plain TCP on the same link is fast "
                           "(`underpassctl probe --rate` compares), the operator throttles UDP: leave the "
                           "destination out (remote-addresses, remote-ports), use another link for it, or "
                           "set tunnel=on-demand, which prefers plain MPTCP where that passes.",
                           "Much of what %s sends over UDP to %u destinations is lost for seconds at a "
                           "time, so connections to them are slow. If plain TCP on the same link is fast "
                           "(`underpassctl probe --rate` compares), the operator throttles UDP: leave the "
                           "destinations out (remote-addresses, remote-ports), use another link for them, "
                           "or set tunnel=on-demand, which prefers plain MPTCP where that passes.",
                           throttled),
                        link, throttled);
}

static char *advise_active(GVariant *link, GVariant *destinations, const char *fault) {
        const char *name = property_string(link, "Name");
        uint64_t opened = property_counter(link, "flows-opened"),
                 accepted = property_counter(link, "flows-accepted");
        uint32_t ifindex = property_number(link, "InterfaceIndex");
        char *blocked = advise_blocked(name, ifindex, destinations);

        char *throttled = blocked ? NULL : advise_throttled(name, ifindex, destinations);
        g_autofree char *warning = first_warning(link);

        if (blocked || throttled)
                return blocked ?: throttled;
        if (fault)
                return g_strdup(fault);
        if (opened + accepted == 0 && stays_plain(link) && warning)
                return g_strdup_printf(_("See the warnings. MPTCP options have passed on %s so far, so its "
                                         "connections stay plain TCP."),
                                       name);
        if (opened + accepted == 0 && stays_plain(link))
                return g_strdup_printf(_("Nothing: MPTCP options have passed on %s so far, so its "
                                         "connections stay plain TCP."),
                                       name);
        if (opened + accepted == 0)
                return g_strdup_printf(_("No connection has used the tunnel of %s yet; open one that "
                                         "matches its settings."),
                                       name);
        if (property_counter(link, "flows-established") == 0)
                return g_strdup_printf(
                                _("No handshake has completed through the tunnel of %s. Check that the peer "
                                  "has a tunnel on these ports and that the path lets UDP pass."),
                                name);

        g_autofree char *operand = text_shell_operand(name);
        if (warning)
                return g_strdup_printf(
                                _("See the warnings; `underpassctl flows %s` lists the connections."),
                                operand);
        return g_strdup_printf(_("Nothing: `underpassctl flows %s` lists the connections."), operand);
}

static const struct {
        const char *state;
        char *(*advise)(GVariant *link, GVariant *destinations, const char *fault);
} state_advice[] = {
        { "active", advise_active },
        { "failed", advise_failed },
        { "off", advise_off },
        { "waiting", advise_waiting },
};

static char *advise(GVariant *link, GVariant *destinations, const char *fault) {
        const char *state = property_string(link, "State");

        for (size_t i = 0; i < ELEMENTS(state_advice); i++)
                if (streq(state_advice[i].state, state))
                        return state_advice[i].advise(link, destinations, fault);

        return g_strdup_printf(_("Unknown state “%s”: this command is older than the service. Upgrade it."),
                               state);
}

static void print_title(const char *title) {
        g_print("\n%s\n", title);
}

static const char *const setting_headings[] = { N_("KEY"), N_("VALUE"), N_("SOURCE"), N_("ORIGIN"), NULL };
static const char *const pair_headings[] = { "", "", NULL };
static const char *const counter_headings[] = { "", "", "", NULL };

/* What nobody can act on. */
static bool is_internal(const char *applied) {
        return streq(applied, "attach-point") || streq(applied, "segmentation-device");
}

/* Prints rows of a(s…) as a table with as many columns as headings; without rows, nothing. */
static void print_rows(const Ctl *ctl, const char *title, GVariant *rows, const char *const *headings) {
        const bool settings = headings == setting_headings;
        g_autoptr(Table) table = table_new(headings, 0);

        for (size_t i = 0; i < g_variant_n_children(rows); i++) {
                g_autoptr(GVariant) row = g_variant_get_child_value(rows, i);
                const char *cells[4] = { "", "", "", "" };

                for (size_t column = 0; column < MIN_OF(g_variant_n_children(row), ELEMENTS(cells));
                     column++)
                        g_variant_get_child(row, column, "&s", &cells[column]);
                if (!ctl->verbose && is_internal(cells[0]))
                        continue;
                table_add(table, cells[0], cells[1], settings ? words_translate(cells[2]) : cells[2],
                          cells[3]);
        }

        if (g_variant_n_children(rows) == 0)
                return;
        print_title(title);
        table_print(table, ctl, 2, headings[0][0] && !ctl->no_legend);
}

static void print_counters(const Ctl *ctl, GVariant *link, GVariant *explanations) {
        g_autoptr(Table) table = table_new(counter_headings, TABLE_COLUMN(1));
        bool any = false;

        for (size_t i = 0; i < g_variant_n_children(explanations); i++) {
                const char *name, *sentence;
                g_variant_get_child(explanations, i, "(&s&s)", &name, &sentence);

                uint64_t value = property_counter(link, name);
                if (value == 0)
                        continue;

                g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, value);
                table_add(table, name, number, _(sentence));
                any = true;
        }

        print_title(_("Packets"));
        if (any)
                table_print(table, ctl, 2, false);
        else
                g_print("  %s\n", _("None so far."));
}

static void print_destinations(const Ctl *ctl, GVariant *link, GVariant *destinations) {
        g_autoptr(Table) table = table_new(pair_headings, 0);
        bool any = false;

        for (size_t i = 0; i < g_variant_n_children(destinations); i++) {
                Destination destination;
                destinations_read(destinations, i, &destination);
                if (destination.ifindex != property_number(link, "InterfaceIndex"))
                        continue;

                g_autofree char *remote = text_endpoint(destination.remote, destination.remote_port);
                g_autofree char *sentence = destinations_describe(&destination);
                table_add(table, remote, sentence);
                any = true;
        }

        if (!any)
                return;
        print_title(_("Destinations"));
        table_print(table, ctl, 2, false);
}

static void print_messages(GVariant *link) {
        g_autoptr(GVariant) warnings = property_array(link, "Warnings", "as");
        const char *stage = property_string(link, "LastStage");
        const char *last_error = property_string(link, "LastError");

        if (g_variant_n_children(warnings) > 0)
                print_title(_("Warnings"));
        for (size_t i = 0; i < g_variant_n_children(warnings); i++) {
                const char *warning;
                g_variant_get_child(warnings, i, "&s", &warning);
                text_line("  %s", warning);
        }

        if (last_error[0]) {
                print_title(_("Last error"));
                text_line(stage[0] ? _("  %s (stage: %s)") : "  %s", last_error,
                          words_translate(stage));
        }
}

/* What check finds worth knowing, but for the warnings, which stand above. */
static void print_notes(const CheckLines *lines) {
        bool any = false;

        for (size_t i = 0; i < lines->count; i++) {
                const CheckLine *line = &lines->lines[i];

                if (line->result != CHECK_NOTE || streq(line->id, "tunnel"))
                        continue;
                if (!any)
                        print_title(_("Notes"));
                any = true;
                text_line("  %s", line->sentence);
        }
}

static void print_receive_mode(GVariant *link) {
        const char *mode = "", *reason = "";

        g_variant_lookup(link, "ReceiveMode", "(&s&s)", &mode, &reason);
        if (!mode[0])
                return;
        print_title(_("Receive mode"));
        text_line("  %s: %s", mode, reason);
}

static void print_bulk_form(GVariant *link) {
        if (!streq(property_string(link, "State"), "active"))
                return;

        g_autofree char *reason = bulk_form_reason(link);
        print_title(_("Bulk form"));
        text_line("  %s", reason);
}

static void print_text(const Ctl *ctl, GVariant *link, GVariant *explanations, GVariant *destinations,
                       const CheckLines *lines, const char *advice) {
        const char *id = "", *uuid = "";
        g_variant_lookup(link, "Connection", "(&s&s)", &id, &uuid);
        g_autoptr(GVariant) settings = property_array(link, "Settings", "a(ssss)");
        g_autoptr(GVariant) connection = property_array(link, "ConnectionSettings", "a(ss)");
        g_autoptr(GVariant) applied = property_array(link, "Applied", "a(ss)");
        g_autoptr(GVariant) programs = property_array(link, "Programs", "a(ss)");
        g_autofree char *title =
                        id[0] || uuid[0] ? g_strdup_printf(_("NetworkManager profile %s (%s)"), id, uuid)
                                         : g_strdup(_("Network manager"));
        g_autofree char *clean = text_clean(title);

        text_line(_("%s (type %s, index %u): %s"), property_string(link, "Name"),
                  property_string(link, "Type"), property_number(link, "InterfaceIndex"),
                  words_translate(property_string(link, "State")));
        text_line("%s", property_string(link, "Reason"));

        print_rows(ctl, _("Settings"), settings, setting_headings);
        print_rows(ctl, clean, connection, pair_headings);
        print_rows(ctl, _("Applied"), applied, pair_headings);
        if (ctl->verbose)
                print_rows(ctl, _("Attached programs"), programs, pair_headings);
        print_receive_mode(link);
        print_bulk_form(link);
        print_counters(ctl, link, explanations);
        print_destinations(ctl, link, destinations);
        print_messages(link);
        print_notes(lines);

        print_title(_("What to do next"));
        text_line("  %s", advice);
}

static void add_bulk_form(JsonBuilder *builder, GVariant *link) {
        g_autofree char *reason = bulk_form_reason(link);

        json_builder_set_member_name(builder, "bulk_form");
        json_builder_begin_object(builder);
        json_member_string(builder, "state", bulk_form_state(link));
        json_member_string(builder, "reason", reason);
        json_builder_end_object(builder);
}

static void print_json(GVariant *link, GVariant *explanations, GVariant *destinations, const char *advice) {
        static const char *const names[] = { "name", "help", NULL };
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "link");
        json_builder_begin_object(builder);
        json_link(builder, link);
        json_builder_end_object(builder);
        json_member_rows(builder, "counter_help", explanations, names);
        add_bulk_form(builder, link);

        json_builder_set_member_name(builder, "destinations");
        json_builder_begin_array(builder);
        for (size_t i = 0; i < g_variant_n_children(destinations); i++) {
                Destination destination;
                destinations_read(destinations, i, &destination);
                if (destination.ifindex == property_number(link, "InterfaceIndex"))
                        destinations_add_json(builder, &destination, property_string(link, "Name"));
        }
        json_builder_end_array(builder);

        json_member_string(builder, "advice", advice);
        json_builder_end_object(builder);

        json_print(builder);
}

/* What check says of the link, which was asked for by this name, and what to do next; NULL with an error. */
static char *check_and_advise(Ctl *ctl, GVariant *link, const char *asked, GVariant *destinations,
                              CheckLines *lines, GError **error) {
        g_autoptr(GVariant) manager = bus_manager(ctl, error);
        if (!manager)
                return NULL;

        g_autoptr(GPtrArray) links = bus_links(ctl, error);
        if (!links)
                return NULL;

        g_autoptr(CheckFacts) facts =
                        check_facts_new(ctl, CHECK_DEPTH_LINKS, manager, links, destinations, "");
        check_facts_link(facts, link, true, lines);
        if (streq(asked, property_string(link, "Name")))
                names_add_namesake(ctl, links, asked, lines);
        check_facts_host(facts, lines);
        if (*property_string(manager, "BpfError") && streq(property_string(link, "State"), "failed"))
                return g_strdup(_("Once BPF can be used here, run `underpassctl reload`."));

        g_autofree char *fault = check_facts_fault(lines);
        return advise(link, destinations, fault);
}

bool ctl_explain(Ctl *ctl, char **arguments, GError **error) {
        g_autoptr(GVariant) link = names_link(ctl, arguments[0], error);
        if (!link)
                return false;

        g_autoptr(GVariant) reply =
                        bus_call(ctl, "ListCounters", NULL, "(a(ss))", BUS_READ_TIMEOUT_MS, NULL, error);
        if (!reply)
                return false;

        g_autoptr(GVariant) explanations = g_variant_get_child_value(reply, 0);
        g_autoptr(GVariant) destinations = destinations_list(ctl, error);
        if (!destinations)
                return false;

        _cleanup_(check_lines_done) CheckLines lines = {};
        g_autofree char *advice = check_and_advise(ctl, link, arguments[0], destinations, &lines, error);
        if (!advice)
                return false;

        if (ctl->json)
                print_json(link, explanations, destinations, advice);
        else
                print_text(ctl, link, explanations, destinations, &lines, advice);
        return true;
}
