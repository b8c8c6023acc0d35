/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See message-size.h. */

#include <stdint.h>
#include <string.h>

#include "service/message-size.h"

int message_size_add(sd_bus_message *message, size_t limit, size_t *size) {
        const char *contents;
        char type;
        int r = 0;

        while (*size <= limit && (r = sd_bus_message_peek_type(message, &type, &contents)) > 0) {
                union {
                        const char *text;
                        uint64_t number;
                } value;

                *size += sizeof(value);
                if (contents) {
                        r = sd_bus_message_enter_container(message, type, contents);
                        if (r >= 0)
                                r = message_size_add(message, limit, size);
                        if (r < 0 || *size > limit)
                                return r;
                        r = sd_bus_message_exit_container(message);
                } else {
                        r = sd_bus_message_read_basic(message, type, &value);
                        if (r >= 0 && strchr("sog", type))
                                *size += strlen(value.text);
                }
                if (r < 0)
                        return r;
        }
        return *size > limit ? 0 : r;
}
