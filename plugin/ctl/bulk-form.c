/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bulk-form.h. bpf/bulk.h decides for each connection; here its counters are read. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bulk-form.h"
#include "ctl/properties.h"

/* Datagrams of data; a probe is in the bulk form, too. */
static uint64_t sent_in_bulk(GVariant *link) {
        uint64_t sent = property_counter(link, "bulk-sent"), probes = property_counter(link, "bulk-probes");

        return sent > probes ? sent - probes : 0;
}

static bool is_off(GVariant *link) {
        return streq(property_setting(link, "bulk"), "no");
}

/* The service lets no bulk leave beside a pair that keeps packets for a moment. */
static bool only_takes(GVariant *link) {
        return g_str_has_prefix(property_row(link, "Applied", "a(ss)", "segmentation-device"), "veth");
}

static bool is_used(GVariant *link) {
        return sent_in_bulk(link) > 0 || property_counter(link, "bulk-received") > 0;
}

const char *bulk_form_state(GVariant *link) {
        return is_off(link) ? "off" : is_used(link) ? "used" : "unused";
}

static char *describe_use(GVariant *link) {
        g_autofree char *sent = g_strdup_printf("%" G_GUINT64_FORMAT, sent_in_bulk(link));
        g_autofree char *received =
                        g_strdup_printf("%" G_GUINT64_FORMAT, property_counter(link, "bulk-received"));

        return g_strdup_printf(_("Fast connections with peers that run Underpass, too, have used it "
                                 "(datagrams: %s sent, %s received). All others have the classic form."),
                               sent, received);
}

char *bulk_form_reason(GVariant *link) {
        if (is_off(link))
                return g_strdup(_("Every connection has the classic form: bulk=no."));
        if (is_used(link))
                return describe_use(link);
        if (only_takes(link))
                return g_strdup(_("Everything is sent in the classic form: bulk would overtake packets that "
                                  "are in the veth pair, the segmentation device of this link."));
        if (property_counter(link, "bulk-given-up") > 0)
                return g_strdup(_("Connections have the classic form: the bulk form does not arrive. Hosts "
                                  "to which it did not are not tried again for an hour."));
        if (streq(property_setting(link, "bulk"), "yes"))
                return g_strdup(_("Every connection had the classic form so far: none has sent much at once "
                                  "to a peer that runs Underpass and takes the bulk form."));
        return g_strdup(_("Every connection had the classic form so far: none was faster than 300 Mbit/s "
                          "with a peer that runs Underpass and takes the bulk form."));
}
