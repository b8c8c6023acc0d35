/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the tunnels remember about destinations, in words. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/destinations.h"
#include "ctl/json.h"
#include "ctl/text.h"

#define DESTINATIONS_TYPE "(a(usqsu))"

/* States of ListDestinations. %s: the time until the state is forgotten. */
static const struct {
        const char *state;
        const char *sentence;
} state_sentences[] = {
        { "silent", N_("UDP gets no answer, plain TCP for %s") },
        { "refused", N_("UDP refused by the destination, plain TCP for %s") },
        { "filtered", N_("UDP refused by a firewall, plain TCP for %s") },
        { "no-mptcp", N_("no MPTCP there, not tunnelled for %s") },
        { "stripped", N_("MPTCP stripped, tunnelled for %s") },
        { "throttled", N_("much of UDP gets lost, remembered for %s") },
};

GVariant *destinations_list(Ctl *ctl, GError **error) {
        g_autoptr(GVariant) reply = bus_call(ctl, "ListDestinations", NULL, DESTINATIONS_TYPE,
                                             BUS_READ_TIMEOUT_MS, NULL, error);

        return reply ? g_variant_get_child_value(reply, 0) : NULL;
}

void destinations_read(GVariant *destinations, size_t row, Destination *ret) {
        g_variant_get_child(destinations, row, "(u&sq&su)", &ret->ifindex, &ret->remote, &ret->remote_port,
                            &ret->state, &ret->seconds_left);
}

unsigned destinations_count(GVariant *destinations, uint32_t ifindex, const char *state) {
        unsigned count = 0;

        for (size_t i = 0; i < g_variant_n_children(destinations); i++) {
                Destination destination;

                destinations_read(destinations, i, &destination);
                count += destination.ifindex == ifindex && streq(destination.state, state);
        }

        return count;
}

char *destinations_describe(const Destination *destination) {
        g_autofree char *left = text_duration((uint64_t) destination->seconds_left * 1000);

        for (size_t i = 0; i < ELEMENTS(state_sentences); i++)
                if (streq(state_sentences[i].state, destination->state))
                        return g_strdup_printf(_(state_sentences[i].sentence), left);

        /* The service is newer than this command. */
        return g_strdup_printf("%s, %s", destination->state, left);
}

void destinations_add_json(JsonBuilder *builder, const Destination *destination, const char *link) {
        json_builder_begin_object(builder);
        json_member_string(builder, "interface", link);
        json_member_number(builder, "interface_index", destination->ifindex);
        json_member_string(builder, "remote_address", destination->remote);
        json_member_number(builder, "remote_port", destination->remote_port);
        json_member_string(builder, "state", destination->state);
        json_member_number(builder, "seconds_left", destination->seconds_left);
        json_builder_end_object(builder);
}
