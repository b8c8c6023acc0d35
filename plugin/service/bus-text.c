/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus-text.h. */

#include "service/bus-text.h"

int bus_append_text(sd_bus_message *reply, const char *text) {
        _cleanup_(freep) char *english = message_english(text ?: "");

        return english ? sd_bus_message_append(reply, "s", english) : -ENOMEM;
}

int bus_append_texts(sd_bus_message *reply, char *const *texts) {
        int r = sd_bus_message_open_container(reply, 'a', "s");

        for (size_t i = 0; r >= 0 && i < strings_count(texts); i++)
                r = bus_append_text(reply, texts[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* Messages on their way into a reply. */
typedef struct Appending {
        sd_bus_message *reply;
        char **seen;      /* a key must not come twice */
} Appending;

static int append_message(const char *sentence, const char *msgid, const char *const *arguments,
                          size_t count, void *userdata) {
        Appending *appending = userdata;
        sd_bus_message *reply = appending->reply;
        int r;

        if (strings_contain(appending->seen, sentence))
                return 0;
        r = strings_add(&appending->seen, sentence);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'e', "s(sas)");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", sentence);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'r', "sas");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", msgid);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t i = 0; r >= 0 && i < count; i++)
                r = sd_bus_message_append(reply, "s", arguments[i]);
        for (unsigned open = 3; r >= 0 && open > 0; open--)
                r = sd_bus_message_close_container(reply);
        return r;
}

int bus_append_messages(sd_bus_message *reply, const char *const *texts, size_t count) {
        Appending appending = { .reply = reply };
        int r = sd_bus_message_open_container(reply, 'a', "{s(sas)}");

        for (size_t i = 0; r >= 0 && i < count; i++)
                if (texts[i])
                        r = message_each(texts[i], append_message, &appending);
        strings_free(appending.seen);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}
