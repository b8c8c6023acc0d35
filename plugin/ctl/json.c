/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The JSON that underpassctl prints with --json. */

#include <stdio.h>

#include "base/message.h"
#include "ctl/json.h"

/* In English: programs read it. */
static char *to_text(const char *value) {
        _cleanup_(freep) char *english = message_english(value);

        return g_utf8_make_valid(english, -1);
}

void json_member_string(JsonBuilder *builder, const char *name, const char *value) {
        g_autofree char *valid = to_text(value ?: "");

        json_builder_set_member_name(builder, name);
        json_builder_add_string_value(builder, valid);
}

void json_member_number(JsonBuilder *builder, const char *name, uint64_t value) {
        json_builder_set_member_name(builder, name);
        json_builder_add_int_value(builder, (gint64) MIN_OF(value, (uint64_t) G_MAXINT64));
}

void json_member_boolean(JsonBuilder *builder, const char *name, bool value) {
        json_builder_set_member_name(builder, name);
        json_builder_add_boolean_value(builder, value);
}

void json_member_strings(JsonBuilder *builder, const char *name, char *const *values) {
        json_builder_set_member_name(builder, name);
        json_builder_begin_array(builder);

        for (; values && *values; values++) {
                g_autofree char *valid = to_text(*values);
                json_builder_add_string_value(builder, valid);
        }

        json_builder_end_array(builder);
}

static void json_member_variant(JsonBuilder *builder, const char *name, GVariant *value) {
        json_builder_set_member_name(builder, name);
        json_builder_add_value(builder, json_gvariant_serialize(value));
}

void json_member_rows(JsonBuilder *builder, const char *name, GVariant *rows, const char *const *names) {
        json_builder_set_member_name(builder, name);
        json_builder_begin_array(builder);

        for (size_t i = 0; i < g_variant_n_children(rows); i++) {
                g_autoptr(GVariant) row = g_variant_get_child_value(rows, i);

                json_builder_begin_object(builder);
                for (size_t column = 0; names[column]; column++) {
                        g_autoptr(GVariant) cell = g_variant_get_child_value(row, column);
                        json_member_variant(builder, names[column], cell);
                }
                json_builder_end_object(builder);
        }

        json_builder_end_array(builder);
}

/* How a property of the bus appears in the JSON. */
typedef struct Member {
        const char *property;
        const char *type;
        const char *name;
        const char *columns[5]; /* of a(…): one object per row */
} Member;

static const Member link_members[] = {
        { "Name", "s", "interface", {} },
        { "InterfaceIndex", "u", "interface_index", {} },
        { "Type", "s", "type", {} },
        { "State", "s", "state", {} },
        { "Reason", "s", "reason", {} },
        { "Settings", "a(ssss)", "settings", { "key", "value", "source", "origin" } },
        { "ConnectionSettings", "a(ss)", "connection_settings", { "key", "value" } },
        { "Applied", "a(ss)", "applied", { "key", "value" } },
        { "Programs", "a(ss)", "programs", { "attach_point", "program" } },
        { "Warnings", "as", "warnings", {} },
        { "LastError", "s", "last_error", {} },
        { "LastStage", "s", "last_stage", {} },
        { "Counters", "a{st}", "counters", {} },
};

static const Member manager_members[] = {
        { "Version", "s", "version", {} },
        { "KernelVersion", "s", "kernel_version", {} },
        { "Features", "a{sb}", "features", {} },
        { "AttachPoint", "s", "attach_point", {} },
        { "BpfError", "s", "bpf_error", {} },
        { "SegmentationDevicesSkipped", "a(ss)", "segmentation_devices_skipped", { "kind", "reason" } },
        { "Sources", "a(sb)", "sources", { "name", "available" } },
        { "Counters", "a{st}", "counters", {} },
};

/* A property that the service does not have is null: the member is always there. */
static void add_members(JsonBuilder *builder, GVariant *dictionary, const Member *members, size_t count) {
        for (const Member *member = members; member < members + count; member++) {
                g_autoptr(GVariant) value = g_variant_lookup_value(dictionary, member->property,
                                                                   G_VARIANT_TYPE(member->type));

                if (!value) {
                        json_builder_set_member_name(builder, member->name);
                        json_builder_add_null_value(builder);
                } else if (member->columns[0]) {
                        json_member_rows(builder, member->name, value, member->columns);
                } else {
                        json_member_variant(builder, member->name, value);
                }
        }
}

/* A property of type (ss) as an object of two members. */
static void add_pair(JsonBuilder *builder, GVariant *dictionary, const char *property, const char *name,
                     const char *first_name, const char *second_name) {

        const char *first = "", *second = "";
        g_variant_lookup(dictionary, property, "(&s&s)", &first, &second);

        json_builder_set_member_name(builder, name);
        json_builder_begin_object(builder);
        json_member_string(builder, first_name, first);
        json_member_string(builder, second_name, second);
        json_builder_end_object(builder);
}

void json_link(JsonBuilder *builder, GVariant *link) {
        add_members(builder, link, link_members, ELEMENTS(link_members));
        add_pair(builder, link, "Connection", "connection", "id", "uuid");
        add_pair(builder, link, "TunnelProfile", "tunnel_profile", "id", "uuid");
        add_pair(builder, link, "ReceiveMode", "receive_mode", "mode", "reason");
}

void json_links(JsonBuilder *builder, GPtrArray *links) {
        json_builder_set_member_name(builder, "links");
        json_builder_begin_array(builder);
        for (guint i = 0; i < links->len; i++) {
                json_builder_begin_object(builder);
                json_link(builder, g_ptr_array_index(links, i));
                json_builder_end_object(builder);
        }
        json_builder_end_array(builder);
}

void json_manager(JsonBuilder *builder, GVariant *manager) {
        add_members(builder, manager, manager_members, ELEMENTS(manager_members));
        add_pair(builder, manager, "SegmentationDevice", "segmentation_device", "kind", "interface");
}

static char *generate(JsonBuilder *builder, bool pretty) {
        g_autoptr(JsonNode) root = json_builder_get_root(builder);
        g_autoptr(JsonGenerator) generator = json_generator_new();

        json_generator_set_pretty(generator, pretty);
        json_generator_set_root(generator, root);
        return json_generator_to_data(generator, NULL);
}

void json_print(JsonBuilder *builder) {
        g_autofree char *text = generate(builder, true);

        /* Not g_print(), which would convert to the character set of the locale: JSON is UTF-8. */
        fprintf(stdout, "%s\n", text);
}

char *json_line(JsonBuilder *builder) {
        return generate(builder, false);
}
