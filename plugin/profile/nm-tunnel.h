/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Tunnel profiles: profiles of NetworkManager's VPN type whose service type is ours. They hold the keys of
 * another profile, the base, in vpn.data, because nmcli can edit vpn.data and cannot edit user.data.
 */

#include "profile/profile.h"

#define NM_TUNNEL_SERVICE "org.freedesktop.NetworkManager.underpass"

/* The key of vpn.data that names the base: connection.id, connection.uuid, or interface
 * names as Name= in files has them. */
#define NM_TUNNEL_LINK "link"

/* A link, and the profile that is active on it. Strings may be NULL. */
typedef struct NmTunnelBase {
        const char *interface;
        const char *id;
        const char *uuid;
} NmTunnelBase;

/* How exactly a tunnel profile names a base; more exact ones are greater. */
typedef enum NmTunnelMatch {
        NM_TUNNEL_OTHER,      /* it does not name this base */
        NM_TUNNEL_GLOB,
        NM_TUNNEL_INTERFACE,
        NM_TUNNEL_ID,
        NM_TUNNEL_UUID,
} NmTunnelMatch;

/* Whether a tunnel profile with this link= (NULL: it has none) and this connection.interface-name (NULL or
 * "": it has none) is for this base. interface-name counts only without link=. */
NmTunnelMatch nm_tunnel_match(const char *link, const char *interface_name, const NmTunnelBase *base);

/* One pair of vpn.data; 0 or -ENOMEM. where: "LTE-tunnel (uuid)". */
int nm_tunnel_add(Profile *profile, const char *key, const char *value, const char *where);
