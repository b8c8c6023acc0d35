/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Reads values out of the properties (a{sv}) of the manager or of a link. A property that is missing or of
 * another type reads as "", 0 or an empty array. Strings belong to the properties.
 */

#include <glib.h>
#include <stdint.h>

#include "profile/settings.h"

const char *property_string(GVariant *properties, const char *name);
uint32_t property_number(GVariant *properties, const char *name);

/* An array of this type. Caller frees. */
GVariant *property_array(GVariant *properties, const char *name, const char *type);

/* The second string of the row of an a(s…s) whose first string is key; "" when there is no such row. */
const char *property_row(GVariant *properties, const char *name, const char *type, const char *key);

/* The value of a setting of a link. */
const char *property_setting(GVariant *link, const char *key);

/* All settings of a link; keys that are missing have their defaults. */
void property_settings(GVariant *link, Settings *ret);

/* The counter of this name; 0 when there is none. */
uint64_t property_counter(GVariant *properties, const char *name);
