/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The keys in the settings of a NetworkManager profile, a{sa{sv}}: in user.data or, of tunnel profiles, in
 * vpn.data. Outside of this module both look the same: names begin with KEY_USER_DATA_PREFIX.
 */

#include "ctl/user-data.h"

/* The name that an entry of vpn.data has in user.data, and the other way round. Entries of other names
 * than keys have, such as link=, are the same in both. Caller frees. */
char *profile_data_name(const char *vpn_name);

/* All entries, not only the keys of Underpass. */
GHashTable *profile_data_read(GVariant *settings, bool tunnel);

/* The keys of Underpass alone. */
GHashTable *profile_data_read_ours(GVariant *settings, bool tunnel);

/* The same settings with other entries, everything else as it is, known to this libnm or not. */
GVariant *profile_data_replace(GVariant *settings, GHashTable *data, bool tunnel);

/* Edits as they can be stored: nmcli cannot edit a value of vpn.data that has a comma in it. Changes the
 * set. */
void profile_data_adapt(GHashTable *edits, bool tunnel);
