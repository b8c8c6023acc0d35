/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See metrics.h. */

#include <stdio.h>

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/destinations.h"
#include "ctl/error.h"
#include "ctl/json.h"
#include "ctl/metrics.h"
#include "ctl/open-metrics.h"
#include "ctl/properties.h"
#include "plan/counters.h"

static const char *const link_states[] = { "off", "waiting", "active", "failed" };

/* In English, for whoever reads it is no person of this host. */
static const char *help_of(const char *counter) {
        for (int i = 0; i < UNDERPASS_COUNTER_COUNT; i++) {
                const CounterInfo *info = counter_info((enum underpass_counter) i);

                if (streq(info->name, counter))
                        return info->help;
        }
        return "A counter of a newer service.";
}

/* Counters of a link; "": of no link. */
static void add_counters(OpenMetrics *metrics, GVariant *properties, const char *interface) {
        g_autoptr(GVariant) counters = property_array(properties, "Counters", "a{st}");
        GVariantIter iterator;
        const char *name;
        guint64 value;

        g_variant_iter_init(&iterator, counters);
        while (g_variant_iter_next(&iterator, "{&st}", &name, &value)) {
                g_autofree char *family = g_strdup_printf("underpass_%s", name);

                g_strdelimit(family, "-", '_');
                open_metrics_family(metrics, family, true, NULL, help_of(name));
                open_metrics_add(metrics, value, "interface", interface, NULL);
        }
}

static void add_link(OpenMetrics *metrics, GVariant *link) {
        const char *name = property_string(link, "Name"), *state = property_string(link, "State");
        g_autoptr(GVariant) warnings = property_array(link, "Warnings", "as");

        open_metrics_family(metrics, "underpass_link_state", false, NULL,
                            "Whether the link is in this state.");
        for (size_t i = 0; i < ELEMENTS(link_states); i++)
                open_metrics_add(metrics, streq(state, link_states[i]), "interface", name, "state",
                                 link_states[i], NULL);
        open_metrics_family(metrics, "underpass_link_warnings", false, NULL,
                            "Warnings about the link that status shows.");
        open_metrics_add(metrics, g_variant_n_children(warnings), "interface", name, NULL);
        add_counters(metrics, link, name);
}

static const char *name_of(GPtrArray *links, guint32 ifindex) {
        for (guint i = 0; i < links->len; i++)
                if (property_number(g_ptr_array_index(links, i), "InterfaceIndex") == ifindex)
                        return property_string(g_ptr_array_index(links, i), "Name");
        return "";
}

static bool add_flows(Ctl *ctl, OpenMetrics *metrics, GPtrArray *links, GError **error) {
        g_autoptr(GVariant) reply =
                bus_call(ctl, "ListBusyFlows", g_variant_new("(u)", 0), "(a(sqsqsbuuutttttttt)a(uutt))",
                         BUS_READ_TIMEOUT_MS, NULL, error);
        if (!reply)
                return false;

        g_autoptr(GVariant) sums = g_variant_get_child_value(reply, 1);
        open_metrics_family(metrics, "underpass_link_flows", false, NULL,
                            "Connections that live, by the link that this host sends them by.");
        for (guint i = 0; i < links->len; i++) {
                GVariant *link = g_ptr_array_index(links, i);
                guint64 count = 0;

                for (size_t k = 0; k < g_variant_n_children(sums); k++) {
                        guint32 ifindex, flows;

                        g_variant_get_child(sums, k, "(uutt)", &ifindex, &flows, NULL, NULL);
                        if (ifindex == property_number(link, "InterfaceIndex"))
                                count = flows;
                }
                open_metrics_add(metrics, count, "interface", property_string(link, "Name"), NULL);
        }
        return true;
}

/* How many destinations of a link are in a state, and how long that lasts. */
typedef struct StateSum {
        const char *interface;
        const char *state;
        guint64 count;
        guint64 seconds;
} StateSum;

static void sum_state(GArray *sums, const Destination *destination, const char *interface) {
        const StateSum fresh = { .interface = interface, .state = destination->state };
        StateSum *sum = NULL;

        for (guint i = 0; i < sums->len && !sum; i++) {
                StateSum *each = &g_array_index(sums, StateSum, i);

                if (streq(each->interface, interface) && streq(each->state, destination->state))
                        sum = each;
        }
        if (!sum) {
                g_array_append_val(sums, fresh);
                sum = &g_array_index(sums, StateSum, sums->len - 1);
        }
        sum->count++;
        sum->seconds = MAX_OF(sum->seconds, (guint64) destination->seconds_left);
}

static bool add_destinations(Ctl *ctl, OpenMetrics *metrics, GPtrArray *links, GError **error) {
        g_autoptr(GVariant) rows = destinations_list(ctl, error);
        if (!rows)
                return false;

        g_autoptr(GArray) sums = g_array_new(FALSE, TRUE, sizeof(StateSum));
        for (size_t i = 0; i < g_variant_n_children(rows); i++) {
                Destination destination;

                destinations_read(rows, i, &destination);
                const char *interface = name_of(links, destination.ifindex);
                if (interface[0])
                        sum_state(sums, &destination, interface);
        }
        open_metrics_family(metrics, "underpass_link_destinations", false, NULL,
                            "Destinations in a state that has an effect now.");
        for (guint i = 0; i < sums->len; i++) {
                const StateSum *sum = &g_array_index(sums, StateSum, i);
                open_metrics_add(metrics, sum->count, "interface", sum->interface, "state", sum->state,
                                 NULL);
        }
        open_metrics_family(metrics, "underpass_link_destinations_remaining_seconds", false, "seconds",
                            "Time until the last destination in a state leaves it.");
        for (guint i = 0; i < sums->len; i++) {
                const StateSum *sum = &g_array_index(sums, StateSum, i);
                open_metrics_add(metrics, sum->seconds, "interface", sum->interface, "state", sum->state,
                                 NULL);
        }
        return true;
}

static bool add_service(Ctl *ctl, OpenMetrics *metrics, GError **error) {
        g_autoptr(GVariant) manager = bus_manager(ctl, error);
        g_autoptr(GPtrArray) links = manager ? bus_links(ctl, error) : NULL;
        if (!links)
                return false;

        open_metrics_family(metrics, "underpass_build_info", false, NULL, "The running service.");
        open_metrics_add(metrics, 1, "version", property_string(manager, "Version"), "kernel",
                         property_string(manager, "KernelVersion"), "attach_point",
                         property_string(manager, "AttachPoint"), NULL);
        for (guint i = 0; i < links->len; i++)
                add_link(metrics, g_ptr_array_index(links, i));
        add_counters(metrics, manager, "");
        return add_flows(ctl, metrics, links, error) && add_destinations(ctl, metrics, links, error);
}

static void add_json(const char *name, const char *const *labels, uint64_t value, void *userdata) {
        JsonBuilder *builder = userdata;

        json_builder_begin_object(builder);
        json_member_string(builder, "name", name);
        json_builder_set_member_name(builder, "labels");
        json_builder_begin_object(builder);
        for (; labels[0]; labels += 2)
                json_member_string(builder, labels[0], labels[1]);
        json_builder_end_object(builder);
        json_member_number(builder, "value", value);
        json_builder_end_object(builder);
}

/* The document as text, which caller frees. */
static char *document(const Ctl *ctl, const OpenMetrics *metrics) {
        g_autoptr(JsonBuilder) builder = NULL;

        if (!ctl->json)
                return open_metrics_text(metrics);
        builder = json_builder_new();
        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "metrics");
        json_builder_begin_array(builder);
        open_metrics_each(metrics, add_json, builder);
        json_builder_end_array(builder);
        json_builder_end_object(builder);

        g_autofree char *line = json_line(builder);
        return g_strconcat(line, "\n", NULL);
}

/* Whoever reads the file sees the old or the new one, never a part. */
static bool write_document(const char *path, const char *text, GError **error) {
        GError *local = NULL;

        if (g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644, &local))
                return true;
        ctl_error_add(error, CTL_FAILED, _("Cannot write %s: %s."), path, local->message);
        g_error_free(local);
        return false;
}

static OpenMetrics *begin_metrics(bool up) {
        OpenMetrics *metrics = open_metrics_new();

        open_metrics_family(metrics, "underpass_up", false, NULL, "Whether the service answers.");
        open_metrics_add(metrics, up, NULL);
        return metrics;
}

bool ctl_metrics(Ctl *ctl, char **arguments, GError **error) {
        g_autoptr(OpenMetrics) metrics = begin_metrics(true);
        GError *local = NULL;

        /* That there is no service is a number, too; half of the numbers are none. */
        if (!add_service(ctl, metrics, &local)) {
                open_metrics_free(metrics);
                metrics = begin_metrics(false);
        }

        g_autofree char *text = document(ctl, metrics);
        bool written = !ctl->output || write_document(ctl->output, text, error);
        /* Not g_print(), as in json_print(): OpenMetrics text is UTF-8, too. */
        if (!ctl->output)
                fputs(text, stdout);
        if (local)
                ctl_error_take(error, local);
        return written && !local;
}
