/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Sentences on D-Bus: in English for everybody, and taken apart for programs that translate them.
 */

#include <systemd/sd-bus.h>

#include "base/message.h"

/* A message, or other text, as "s"; NULL: "". */
int bus_append_text(sd_bus_message *reply, const char *text);

/* The same for a list that ends in NULL, or is NULL, as "as". */
int bus_append_texts(sd_bus_message *reply, char *const *texts);

/*
 * a{s(sas)}: each message of these texts as bus_append_text() sends it, with its msgid and its arguments. An
 * argument that is a message itself has an entry of its own.
 */
int bus_append_messages(sd_bus_message *reply, const char *const *texts, size_t count);
