/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See nm-tunnel.h. */

#include "profile/ini.h"
#include "profile/nm-tunnel.h"

NmTunnelMatch nm_tunnel_match(const char *link, const char *interface_name, const NmTunnelBase *base) {
        const char *pattern = link ?: interface_name;
        IniMatch names = {}; /* nothing is written there */

        if (!pattern || !*pattern)
                return NM_TUNNEL_OTHER;
        if (link && base->uuid && streq(link, base->uuid))
                return NM_TUNNEL_UUID;
        if (link && base->id && streq(link, base->id))
                return NM_TUNNEL_ID;
        if (!base->interface)
                return NM_TUNNEL_OTHER;
        if (streq(pattern, base->interface))
                return NM_TUNNEL_INTERFACE;
        names.name = (char *) link;
        return ini_match(&names, base->interface, NULL, NULL, NULL) > 0 ? NM_TUNNEL_GLOB : NM_TUNNEL_OTHER;
}

int nm_tunnel_add(Profile *profile, const char *key, const char *value, const char *where) {
        const Key *row = key_find(key);

        if (streq(key, NM_TUNNEL_LINK))
                return 0;
        return row ? profile_set(profile, row, value, PROFILE_SOURCE_NM_TUNNEL, where)
                   : profile_unknown_key(profile, key, PROFILE_SOURCE_NM_TUNNEL, where);
}
