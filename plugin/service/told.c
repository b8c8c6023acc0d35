/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See told.h. */

#include <stdio.h>

#include "service/told.h"

void told_done(Told *told) {
        for (size_t i = 0; i < TOLD_MAX; i++)
                free(told->entries[i].text);
        *told = (Told) {};
}

/* text is taken. */
static void remember(Told *told, const char *caller, char *text) {
        const size_t place = told->next;

        free(told->entries[place].text);
        told->entries[place].text = text;
        snprintf(told->entries[place].caller, TOLD_NAME_LENGTH, "%s", caller);
        told->next = (place + 1) % TOLD_MAX;
}

int told_error(Told *told, sd_bus_message *call, const char *name, const char *msgid, ...) {
        const char *caller = sd_bus_message_get_sender(call);
        _cleanup_(freep) char *text = NULL, *english = NULL;
        va_list arguments;
        int r;

        va_start(arguments, msgid);
        text = message_vformat(msgid, arguments);
        va_end(arguments);
        english = text ? message_english(text) : NULL;
        if (!english)
                return -ENOMEM;
        /* Before the answer, so that it is there when the caller asks. A name that was cut would be that of
         * somebody else. */
        if (caller && strlen(caller) < TOLD_NAME_LENGTH)
                remember(told, caller, TAKE_PTR(text));
        r = sd_bus_reply_method_errorf(call, name, "%s", english);
        return r < 0 ? r : 1;
}

void told_collect(const Told *told, const char *caller, const char **texts, size_t *count) {
        for (size_t i = 0; i < TOLD_MAX; i++)
                if (told->entries[i].text && streq(told->entries[i].caller, caller))
                        texts[(*count)++] = told->entries[i].text;
}
