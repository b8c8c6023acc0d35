/* SPDX-License-Identifier: GPL-2.0-or-later */

/* "underpassctl forget": drops what was learnt about destinations. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/bus.h"
#include "ctl/endpoint.h"
#include "ctl/error.h"
#include "ctl/forget.h"
#include "ctl/json.h"
#include "ctl/names.h"
#include "ctl/properties.h"
#include "ctl/text.h"

/* ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; the port is 0 where there is none. */
static bool read_endpoint(const char *text, char **ret_address, uint16_t *ret_port) {
        g_autofree char *address = NULL;
        uint16_t port = 0;

        if (!endpoint_split(text, &address, &port) || !g_hostname_is_ip_address(address) ||
            (text[0] == '[' && !strchr(address, ':')))
                return false;
        *ret_address = g_steal_pointer(&address);
        *ret_port = port;
        return true;
}

static GVariant *forget_link(Ctl *ctl, const char *interface, const char *address, uint16_t port,
                             GError **error) {
        return bus_call(ctl, "Forget", g_variant_new("(ssq)", interface, address, port), "(u)",
                        BUS_CHANGE_TIMEOUT_MS, *interface ? interface : NULL, error);
}

/* name: of an interface, or of the profile that is active there; "": all. */
static GVariant *forget(Ctl *ctl, const char *name, const char *address, uint16_t port, GError **error) {
        g_autoptr(GError) first = NULL;
        GVariant *reply = forget_link(ctl, name, address, port, &first);

        if (reply)
                return reply;
        if (first->code != CTL_NOT_FOUND) {
                ctl_error_take(error, g_steal_pointer(&first));
                return NULL;
        }

        g_autoptr(GVariant) link = names_link(ctl, name, error);
        return link ? forget_link(ctl, property_string(link, "Name"), address, port, error) : NULL;
}

bool ctl_forget(Ctl *ctl, char **arguments, GError **error) {
        const char *interface = arguments[0] ?: "";
        g_autofree char *address = g_strdup("");
        uint16_t port = 0;
        uint32_t count;

        if (!g_utf8_validate(interface, -1, NULL)) {
                ctl_error_unknown_link(error, interface);
                return false;
        }
        if (arguments[0] && arguments[1]) {
                g_clear_pointer(&address, g_free);
                if (!read_endpoint(arguments[1], &address, &port)) {
                        ctl_error_add(error, CTL_BAD_VALUE,
                                      _("“%s” is not an address; write 192.0.2.1, 192.0.2.1:443, "
                                        "2001:db8::1 or [2001:db8::1]:443."),
                                      arguments[1]);
                        return false;
                }
        }

        g_autoptr(GVariant) reply = forget(ctl, interface, address, port, error);
        if (!reply)
                return false;
        g_variant_get(reply, "(u)", &count);

        if (ctl->json) {
                g_autoptr(JsonBuilder) builder = json_builder_new();
                json_builder_begin_object(builder);
                json_member_number(builder, "forgotten_destinations", count);
                json_builder_end_object(builder);
                json_print(builder);
        } else {
                text_line(P_("%u destination was forgotten.", "%u destinations were forgotten.", count),
                          count);
        }

        return true;
}
