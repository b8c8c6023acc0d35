/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See messages.h. */

#include "base/message.h"
#include "ctl/messages.h"

enum { DEPTH_MAX = 16 };   /* of messages in messages; a service may send a circle */

static GVariant *messages_of(GVariant *properties) {
        return g_variant_lookup_value(properties, "Messages", G_VARIANT_TYPE("a{s(sas)}"));
}

/* The sentence in the user's language; NULL: there is no such message. */
static char *translate(GVariant *messages, const char *sentence, unsigned depth) {
        g_autoptr(GVariant) parts = g_variant_lookup_value(messages, sentence, G_VARIANT_TYPE("(sas)"));
        if (!parts || depth == DEPTH_MAX)
                return NULL;

        const char *msgid;
        g_autoptr(GVariant) list = NULL;
        g_variant_get(parts, "(&s@as)", &msgid, &list);

        const size_t count = g_variant_n_children(list);
        g_auto(GStrv) arguments = g_new0(char *, count + 1);
        for (size_t i = 0; i < count; i++) {
                const char *argument;

                g_variant_get_child(list, i, "&s", &argument);
                arguments[i] = translate(messages, argument, depth + 1) ?: g_strdup(argument);
        }

        _cleanup_(freep) char *text =
                message_fill(message_lookup(msgid), (const char *const *) arguments, count);
        return g_strdup(text);
}

static GVariant *translate_value(GVariant *messages, GVariant *value);

/* A container with all that is in it. Of a dictionary's entries the keys stay. */
static GVariant *translate_container(GVariant *messages, GVariant *value) {
        const bool entry = g_variant_is_of_type(value, G_VARIANT_TYPE_DICT_ENTRY);
        GVariantBuilder builder;

        g_variant_builder_init(&builder, g_variant_get_type(value));
        for (size_t i = 0; i < g_variant_n_children(value); i++) {
                g_autoptr(GVariant) child = g_variant_get_child_value(value, i);
                g_autoptr(GVariant) translated =
                        entry && i == 0 ? g_variant_ref(child) : translate_value(messages, child);

                g_variant_builder_add_value(&builder, translated);
        }
        return g_variant_ref_sink(g_variant_builder_end(&builder));
}

static GVariant *translate_value(GVariant *messages, GVariant *value) {
        if (g_variant_is_of_type(value, G_VARIANT_TYPE_STRING)) {
                char *text = translate(messages, g_variant_get_string(value, NULL), 0);

                return text ? g_variant_ref_sink(g_variant_new_take_string(text)) : g_variant_ref(value);
        }
        return strpbrk(g_variant_get_type_string(value), "sv") ? translate_container(messages, value)
                                                               : g_variant_ref(value);
}

GVariant *messages_translate(GVariant *properties) {
        g_autoptr(GVariant) messages = messages_of(properties);

        if (!messages || g_variant_n_children(messages) == 0)
                return g_variant_ref(properties);
        return translate_value(messages, properties);
}

char *messages_translate_text(GVariant *properties, const char *sentence) {
        g_autoptr(GVariant) messages = properties ? messages_of(properties) : NULL;
        char *text = messages ? translate(messages, sentence, 0) : NULL;

        return text ?: g_strdup(message_lookup(sentence));
}
