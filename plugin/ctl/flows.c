/* SPDX-License-Identifier: GPL-2.0-or-later */

/* "underpassctl flows": remembered connections and destinations. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/destinations.h"
#include "ctl/error.h"
#include "ctl/flows.h"
#include "ctl/json.h"
#include "ctl/table.h"
#include "ctl/text.h"

#define FLOW_TYPE "(sqsqsbutttt)"
#define FLOWS_TYPE "a" FLOW_TYPE

enum { PAGE_FLOWS = 1000 };

/* One row of ListFlows; the strings belong to the reply. */
typedef struct Flow {
        const char *local;
        guint16 local_port;
        const char *remote;
        guint16 remote_port;
        const char *state;
        gboolean opened_here;
        guint32 ifindex;
        guint64 age_ms;
        guint64 idle_ms;
        guint64 sent;
        guint64 received;
} Flow;

static void flow_read(GVariant *flows, size_t row, Flow *ret) {
        g_variant_get_child(flows, row, "(&sq&sq&sbutttt)", &ret->local, &ret->local_port, &ret->remote,
                            &ret->remote_port, &ret->state, &ret->opened_here, &ret->ifindex, &ret->age_ms,
                            &ret->idle_ms, &ret->sent, &ret->received);
}

/* All pages of ListFlows as one array; NULL with an error. */
static GVariant *list_flows(Ctl *ctl, GError **error) {
        g_auto(GVariantBuilder) builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE(FLOWS_TYPE));
        g_autofree char *cursor = g_strdup("");

        do {
                g_autoptr(GVariant) reply =
                        bus_call(ctl, "ListFlows", g_variant_new("(su)", cursor, PAGE_FLOWS),
                                 "(" FLOWS_TYPE "s)", BUS_READ_TIMEOUT_MS, NULL, error);
                if (!reply)
                        return NULL;

                g_autoptr(GVariant) page = g_variant_get_child_value(reply, 0);
                for (size_t i = 0; i < g_variant_n_children(page); i++) {
                        g_autoptr(GVariant) flow = g_variant_get_child_value(page, i);
                        g_variant_builder_add_value(&builder, flow);
                }
                g_clear_pointer(&cursor, g_free);
                g_variant_get_child(reply, 1, "s", &cursor);
        } while (cursor[0]);

        return g_variant_ref_sink(g_variant_builder_end(&builder));
}

/* The name of the link with this index; "" when it no longer exists. */
static const char *name_of_link(GVariant *links, guint32 ifindex) {
        for (size_t i = 0; i < g_variant_n_children(links); i++) {
                guint32 index;
                const char *name;

                g_variant_get_child(links, i, "(u&s&s&o)", &index, &name, NULL, NULL);
                if (index == ifindex)
                        return name;
        }

        return "";
}

static bool link_known(GVariant *links, const char *name) {
        for (size_t i = 0; i < g_variant_n_children(links); i++) {
                const char *known;

                g_variant_get_child(links, i, "(u&s&s&o)", NULL, &known, NULL, NULL);
                if (streq(known, name))
                        return true;
        }

        return false;
}

static const char *const flow_headings[] = {
        N_("LINK"), N_("STATE"), N_("LOCAL"), N_("REMOTE"),    N_("OPENED BY"),
        N_("AGE"),  N_("IDLE"),  N_("SENT"),  N_("RECEIVED"), NULL,
};

static void add_row(Table *table, const Flow *flow, const char *link) {
        g_autofree char *local = text_endpoint(flow->local, flow->local_port);
        g_autofree char *remote = text_endpoint(flow->remote, flow->remote_port);
        g_autofree char *age = text_duration(flow->age_ms);
        g_autofree char *idle = text_duration(flow->idle_ms);
        g_autofree char *sent = g_strdup_printf("%" G_GUINT64_FORMAT, flow->sent);
        g_autofree char *received = g_strdup_printf("%" G_GUINT64_FORMAT, flow->received);
        g_autofree char *index = g_strdup_printf("#%u", flow->ifindex);

        table_add(table, link[0] ? link : index, flow->state, local, remote,
                  flow->opened_here ? _("this host") : _("peer"), age, idle, sent, received);
}

static void add_object(JsonBuilder *builder, const Flow *flow, const char *link) {
        json_builder_begin_object(builder);
        json_member_string(builder, "interface", link);
        json_member_number(builder, "interface_index", flow->ifindex);
        json_member_string(builder, "state", flow->state);
        json_member_string(builder, "local_address", flow->local);
        json_member_number(builder, "local_port", flow->local_port);
        json_member_string(builder, "remote_address", flow->remote);
        json_member_number(builder, "remote_port", flow->remote_port);
        json_member_boolean(builder, "opened_here", flow->opened_here);
        json_member_number(builder, "age_ms", flow->age_ms);
        json_member_number(builder, "idle_ms", flow->idle_ms);
        json_member_number(builder, "packets_sent", flow->sent);
        json_member_number(builder, "packets_received", flow->received);
        json_builder_end_object(builder);
}

/* What is printed row by row: a table, or a member of the JSON document. */
typedef struct Output {
        GVariant *links;
        const char *only; /* shows this link only; NULL: all */
        Table *table;
        JsonBuilder *builder;
        size_t rows;
} Output;

static void show_flows(GVariant *flows, Output *output) {
        json_builder_set_member_name(output->builder, "flows");
        json_builder_begin_array(output->builder);
        table_color_states(output->table, 1);

        for (size_t i = 0; i < g_variant_n_children(flows); i++) {
                Flow flow;
                flow_read(flows, i, &flow);
                const char *name = name_of_link(output->links, flow.ifindex);

                if (output->only && !streq(name, output->only))
                        continue;
                add_row(output->table, &flow, name);
                add_object(output->builder, &flow, name);
                output->rows++;
        }

        json_builder_end_array(output->builder);
}

static const char *const destination_headings[] = { N_("LINK"), N_("DESTINATION"), N_("STATE"), NULL };

static void show_destinations(GVariant *destinations, Output *output) {
        json_builder_set_member_name(output->builder, "destinations");
        json_builder_begin_array(output->builder);

        for (size_t i = 0; i < g_variant_n_children(destinations); i++) {
                Destination destination;
                destinations_read(destinations, i, &destination);
                const char *name = name_of_link(output->links, destination.ifindex);

                if (output->only && !streq(name, output->only))
                        continue;

                g_autofree char *remote = text_endpoint(destination.remote, destination.remote_port);
                g_autofree char *sentence = destinations_describe(&destination);
                g_autofree char *index = g_strdup_printf("#%u", destination.ifindex);
                table_add(output->table, name[0] ? name : index, remote, sentence);
                destinations_add_json(output->builder, &destination, name);
                output->rows++;
        }

        json_builder_end_array(output->builder);
}

static void show(const Ctl *ctl, GVariant *links, const char *only, GVariant *flows,
                 GVariant *destinations) {
        unsigned numbers = TABLE_COLUMN(5) | TABLE_COLUMN(6) | TABLE_COLUMN(7) | TABLE_COLUMN(8);
        g_autoptr(Table) flow_table = table_new(flow_headings, numbers);
        g_autoptr(Table) destination_table = table_new(destination_headings, 0);
        g_autoptr(JsonBuilder) builder = json_builder_new();
        Output upper = { links, only, flow_table, builder, 0 };
        Output lower = { links, only, destination_table, builder, 0 };

        json_builder_begin_object(builder);
        show_flows(flows, &upper);
        show_destinations(destinations, &lower);
        json_builder_end_object(builder);

        if (ctl->json) {
                json_print(builder);
                return;
        }
        if (upper.rows == 0 && !ctl->no_legend)
                g_print("%s\n", _("No connections are tunnelled."));
        table_print(flow_table, ctl, 0, !ctl->no_legend);
        if (lower.rows > 0 && (upper.rows > 0 || !ctl->no_legend))
                g_print("\n");
        table_print(destination_table, ctl, 0, !ctl->no_legend);
}

bool ctl_flows(Ctl *ctl, char **arguments, GError **error) {
        g_autoptr(GVariant) link_reply =
                        bus_call(ctl, "ListLinks", NULL, "(a(usso))", BUS_READ_TIMEOUT_MS, NULL, error);
        if (!link_reply)
                return false;

        g_autoptr(GVariant) links = g_variant_get_child_value(link_reply, 0);
        if (arguments[0] && !link_known(links, arguments[0])) {
                ctl_error_unknown_link(error, arguments[0]);
                return false;
        }

        g_autoptr(GVariant) flows = list_flows(ctl, error);
        if (!flows)
                return false;

        g_autoptr(GVariant) destinations = destinations_list(ctl, error);
        if (!destinations)
                return false;

        show(ctl, links, arguments[0], flows, destinations);
        return true;
}
