/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Sentences of the service in the user's language: the service sends them in English, and in its property
 * Messages what they are made of.
 */

#include <gio/gio.h>

/* The properties of the manager or a link with all sentences translated that Messages has. Caller unrefs. */
GVariant *messages_translate(GVariant *properties);

/* One sentence. Without an entry in Messages, of properties or NULL, it is looked up as it stands. Caller
 * frees. */
char *messages_translate_text(GVariant *properties, const char *sentence);
