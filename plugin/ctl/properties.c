/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Values out of the properties of the manager or of a link. */

#include "base/util.h"
#include "ctl/properties.h"
#include "profile/keys.h"

const char *property_string(GVariant *properties, const char *name) {
        const char *value = "";

        g_variant_lookup(properties, name, "&s", &value);
        return value;
}

uint32_t property_number(GVariant *properties, const char *name) {
        uint32_t value = 0;

        g_variant_lookup(properties, name, "u", &value);
        return value;
}

GVariant *property_array(GVariant *properties, const char *name, const char *type) {
        GVariant *value = g_variant_lookup_value(properties, name, G_VARIANT_TYPE(type));
        if (value)
                return value;

        const GVariantType *element = g_variant_type_element(G_VARIANT_TYPE(type));
        return g_variant_ref_sink(g_variant_new_array(element, NULL, 0));
}

const char *property_row(GVariant *properties, const char *name, const char *type, const char *key) {
        g_autoptr(GVariant) rows = property_array(properties, name, type);

        for (size_t i = 0; i < g_variant_n_children(rows); i++) {
                g_autoptr(GVariant) row = g_variant_get_child_value(rows, i);
                const char *first, *second;

                g_variant_get_child(row, 0, "&s", &first);
                g_variant_get_child(row, 1, "&s", &second);
                if (streq(first, key))
                        return second;
        }

        return "";
}

const char *property_setting(GVariant *link, const char *key) {
        return property_row(link, "Settings", "a(ssss)", key);
}

void property_settings(GVariant *link, Settings *ret) {
        g_autoptr(GVariant) rows = property_array(link, "Settings", "a(ssss)");

        settings_init(ret);
        for (size_t i = 0; i < g_variant_n_children(rows); i++) {
                _cleanup_(freep) char *error = NULL;
                const char *name, *value;
                const Key *key;

                g_variant_get_child(rows, i, "(&s&s&s&s)", &name, &value, NULL, NULL);
                key = key_find(name);
                if (key)
                        (void) key_parse(key, value, ret, &error);
        }
}

uint64_t property_counter(GVariant *properties, const char *name) {
        g_autoptr(GVariant) counters = property_array(properties, "Counters", "a{st}");
        uint64_t value = 0;

        g_variant_lookup(counters, name, "t", &value);
        return value;
}
