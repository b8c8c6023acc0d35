/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See endpoint.h. */

#include <string.h>

#include "ctl/endpoint.h"

bool endpoint_port(const char *text, uint16_t *ret) {
        guint64 number;

        if (!g_ascii_string_to_unsigned(text, 10, 1, G_MAXUINT16, &number, NULL))
                return false;
        *ret = (uint16_t) number;
        return true;
}

bool endpoint_split(const char *text, char **ret_host, uint16_t *ret_port) {
        const char *begin = text, *end, *rest;

        if (text[0] == '[') {
                begin++;
                end = strchr(begin, ']');
                if (!end)
                        return false;
                rest = end + 1;
        } else {
                end = strchr(text, ':');
                if (!end || strchr(end + 1, ':')) /* two: an IPv6 address by itself */
                        end = text + strlen(text);
                rest = end;
        }
        if (end == begin || (*rest && (*rest != ':' || !endpoint_port(rest + 1, ret_port))))
                return false;
        *ret_host = g_strndup(begin, (gsize) (end - begin));
        return true;
}
