/* SPDX-License-Identifier: GPL-2.0-or-later */

/* "underpassctl flows": remembered connections and destinations. */

#include <stdio.h>

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/destinations.h"
#include "ctl/error.h"
#include "ctl/flows.h"
#include "ctl/json-list.h"
#include "ctl/json.h"
#include "ctl/live-flows.h"
#include "ctl/names.h"
#include "ctl/properties.h"
#include "ctl/table.h"
#include "ctl/text.h"

/* The names of links by index. A look through the list for each connection would take longest. */
static GHashTable *names_of_links(GVariant *links) {
        GHashTable *names = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);

        for (size_t i = 0; i < g_variant_n_children(links); i++) {
                guint32 index;
                char *name;

                g_variant_get_child(links, i, "(us&s&o)", &index, &name, NULL, NULL);
                g_hash_table_insert(names, GUINT_TO_POINTER(index), name);
        }

        return names;
}

/* The name of the link with this index; "" when it no longer exists. */
static const char *name_of_link(GHashTable *names, guint32 ifindex) {
        return g_hash_table_lookup(names, GUINT_TO_POINTER(ifindex)) ?: "";
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

/* "half-open, 5 tries": SYNs that got no answer yet. */
static char *describe_state(const LiveFlow *flow) {
        if (!flow->opened_here || flow->syns < 2 || streq(flow->state, "tunnelled"))
                return g_strdup(flow->state);
        return g_strdup_printf(P_("%s, %u try", "%s, %u tries", flow->syns), flow->state, flow->syns);
}

/* How many columns of text all of a row needs; with less, the last two columns go. */
enum { WIDE_COLUMNS = 110 };

static const char *const flow_headings[] = {
        N_("LINK"), N_("STATE"), N_("LOCAL"), N_("REMOTE"),    N_("OPENED BY"),
        N_("AGE"),  N_("IDLE"),  N_("SENT"),  N_("RECEIVED"), N_("DATA SENT"), N_("DATA RECEIVED"), NULL,
};
static const char *const narrow_headings[] = {
        N_("LINK"), N_("STATE"), N_("LOCAL"), N_("REMOTE"),    N_("OPENED BY"),
        N_("AGE"),  N_("IDLE"),  N_("SENT"),  N_("RECEIVED"), NULL,
};
/* While it is watched, it is rates that matter. */
static const char *const rate_headings[] = {
        N_("LINK"), N_("STATE"), N_("LOCAL"), N_("REMOTE"),    N_("OPENED BY"),
        N_("AGE"),  N_("IDLE"),  N_("SENDS"), N_("RECEIVES"), N_("SENT"), N_("RECEIVED"), NULL,
};
static const char *const narrow_rate_headings[] = {
        N_("LINK"), N_("STATE"), N_("LOCAL"), N_("REMOTE"),    N_("OPENED BY"),
        N_("AGE"),  N_("IDLE"),  N_("SENDS"), N_("RECEIVES"), NULL,
};

static const char *const *choose_headings(bool rates) {
        const bool narrow = text_columns() > 0 && text_columns() < WIDE_COLUMNS;

        if (rates)
                return narrow ? narrow_rate_headings : rate_headings;
        return narrow ? narrow_headings : flow_headings;
}

static void add_row(Table *table, const LiveFlow *flow, const char *link, bool rates) {
        g_autofree char *state = describe_state(flow);
        g_autofree char *local = text_endpoint(flow->local, flow->local_port);
        g_autofree char *remote = text_endpoint(flow->remote, flow->remote_port);
        g_autofree char *age = text_duration(flow->age_ms);
        g_autofree char *idle = text_duration(flow->idle_ms);
        g_autofree char *sent = g_strdup_printf("%" G_GUINT64_FORMAT, flow->segments_sent);
        g_autofree char *received = g_strdup_printf("%" G_GUINT64_FORMAT, flow->segments_received);
        g_autofree char *data_sent = rates ? text_rate(flow->sent_rate) : text_bytes(flow->bytes_sent);
        g_autofree char *data_received =
                rates ? text_rate(flow->received_rate) : text_bytes(flow->bytes_received);
        g_autofree char *index = g_strdup_printf("#%u", flow->ifindex);

        table_add(table, link[0] ? link : index, state, local, remote,
                  flow->opened_here ? _("this host") : _("peer"), age, idle, rates ? data_sent : sent,
                  rates ? data_received : received, rates ? sent : data_sent,
                  rates ? received : data_received);
}

static void add_object(JsonBuilder *builder, const LiveFlow *flow, const char *link) {
        json_builder_begin_object(builder);
        json_member_string(builder, "interface", link);
        json_member_number(builder, "interface_index", flow->ifindex);
        json_member_string(builder, "state", flow->state);
        json_member_string(builder, "local_address", flow->local);
        json_member_number(builder, "local_port", flow->local_port);
        json_member_string(builder, "remote_address", flow->remote);
        json_member_number(builder, "remote_port", flow->remote_port);
        json_member_boolean(builder, "opened_here", flow->opened_here);
        json_member_number(builder, "attempts", flow->attempts);
        json_member_number(builder, "syns", flow->syns);
        json_member_number(builder, "age_ms", flow->age_ms);
        json_member_number(builder, "idle_ms", flow->idle_ms);
        json_member_number(builder, "segments_sent", flow->segments_sent);
        json_member_number(builder, "segments_received", flow->segments_received);
        json_member_number(builder, "bytes_sent", flow->bytes_sent);
        json_member_number(builder, "bytes_received", flow->bytes_received);
        json_member_number(builder, "bytes_per_second_sent", flow->sent_rate);
        json_member_number(builder, "bytes_per_second_received", flow->received_rate);
        json_builder_end_object(builder);
}

/* What is shown of the answers. */
typedef struct Shown {
        GHashTable *names; /* of links by index */
        const char *only;  /* this link only; NULL: all */
        const LiveFlows *flows;
        GVariant *destinations;
} Shown;

/* The next connection to show, from number *i on, and its link's name. NULL: that was all. */
static const LiveFlow *next_flow(const Shown *shown, guint *i, const char **ret_link) {
        while (*i < shown->flows->flows->len) {
                const LiveFlow *flow = &g_array_index(shown->flows->flows, LiveFlow, (*i)++);
                const char *name = name_of_link(shown->names, flow->ifindex);

                if (shown->only && !streq(name, shown->only))
                        continue;
                *ret_link = name;
                return flow;
        }
        return NULL;
}

/* The same with destinations. */
static bool next_destination(const Shown *shown, size_t *i, Destination *ret, const char **ret_link) {
        while (*i < g_variant_n_children(shown->destinations)) {
                destinations_read(shown->destinations, (*i)++, ret);
                const char *name = name_of_link(shown->names, ret->ifindex);

                if (shown->only && !streq(name, shown->only))
                        continue;
                *ret_link = name;
                return true;
        }
        return false;
}

/* Row by row: there may be very many connections. */
static void show_json(const Shown *shown, bool pretty) {
        g_autoptr(JsonList) list = json_list_new(pretty);
        const LiveFlow *flow;
        Destination destination;
        const char *link;

        json_list_begin(list, "flows");
        for (guint i = 0; (flow = next_flow(shown, &i, &link));) {
                add_object(json_list_builder(list), flow, link);
                json_list_add(list);
        }
        json_list_begin(list, "destinations");
        for (size_t i = 0; next_destination(shown, &i, &destination, &link);) {
                destinations_add_json(json_list_builder(list), &destination, link);
                json_list_add(list);
        }
}

static const char *const destination_headings[] = { N_("LINK"), N_("DESTINATION"), N_("STATE"), NULL };

static void add_destination(Table *table, const Destination *destination, const char *link) {
        g_autofree char *remote = text_endpoint(destination->remote, destination->remote_port);
        g_autofree char *sentence = destinations_describe(destination);
        g_autofree char *index = g_strdup_printf("#%u", destination->ifindex);

        table_add(table, link[0] ? link : index, remote, sentence);
}

/* rates: how much data is on its way, not how much there was. */
static void show_tables(const Ctl *ctl, const Shown *shown, bool rates) {
        unsigned numbers = 0x3f << 5; /* from the sixth column to the last one */
        g_autoptr(Table) flows = table_new(choose_headings(rates), numbers);
        g_autoptr(Table) destinations = table_new(destination_headings, 0);
        size_t upper = 0, lower = 0;
        const LiveFlow *flow;
        Destination destination;
        const char *link;

        table_color_states(flows, 1);
        for (guint i = 0; (flow = next_flow(shown, &i, &link)); upper++)
                add_row(flows, flow, link, rates);
        for (size_t i = 0; next_destination(shown, &i, &destination, &link); lower++)
                add_destination(destinations, &destination, link);

        if (upper == 0 && !ctl->no_legend)
                g_print("%s\n", _("No connections are tunnelled."));
        table_print(flows, ctl, 0, !ctl->no_legend);
        if (lower > 0 && (upper > 0 || !ctl->no_legend))
                g_print("\n");
        table_print(destinations, ctl, 0, !ctl->no_legend);
}

/* One look. *list is the one before, or NULL, and then this one. */
static bool look(Ctl *ctl, const char *only, LiveFlows **list, GError **error) {
        g_autoptr(GVariant) link_reply =
                        bus_call(ctl, "ListLinks", NULL, "(a(usso))", BUS_READ_TIMEOUT_MS, NULL, error);
        if (!link_reply)
                return false;

        g_autoptr(GVariant) links = g_variant_get_child_value(link_reply, 0);
        g_autoptr(GVariant) named = NULL;
        if (only && !link_known(links, only)) {
                named = names_link(ctl, only, error);
                if (!named)
                        return false;
                only = property_string(named, "Name");
        }

        g_autoptr(LiveFlows) flows = live_flows_list(ctl, error);
        if (!flows)
                return false;

        g_autoptr(GVariant) destinations = destinations_list(ctl, error);
        if (!destinations)
                return false;

        live_flows_measure(flows, *list);
        live_flows_merge_attempts(flows);
        /* A terminal shows the last look only. */
        if (ctl->watch > 0 && !ctl->json && isatty(STDOUT_FILENO))
                g_print("\033[H\033[2J");
        else if (*list && !ctl->json)
                g_print("\n");
        g_autoptr(GHashTable) names = names_of_links(links);
        const Shown shown = { names, only, flows, destinations };
        if (ctl->json)
                show_json(&shown, ctl->watch == 0);
        else
                show_tables(ctl, &shown, ctl->watch > 0);
        live_flows_free(*list);
        *list = g_steal_pointer(&flows);
        return true;
}

bool ctl_flows(Ctl *ctl, char **arguments, GError **error) {
        g_autoptr(LiveFlows) list = NULL;

        do {
                if (list)
                        g_usleep((gulong) (ctl->watch * G_USEC_PER_SEC));
                if (!look(ctl, arguments[0], &list, error))
                        return false;
        } while (ctl->watch > 0 && fflush(stdout) == 0 && !ferror(stdout));
        return true;
}
