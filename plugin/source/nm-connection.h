/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What NetworkManager says of a connection: one that is applied to a device, or one that is stored. */

#include <systemd/sd-bus.h>

#include "base/util.h"

/* Any user may store a profile that is as large as a message of the bus can be. */
enum {
        NM_CONNECTION_LIST_MAX = 1024,          /* elements of a list, pairs of a dictionary */
        NM_CONNECTION_LIST_BYTES = 64 * 1024,   /* of their texts */
        NM_CONNECTION_TEXT_BYTES = 4096,        /* of each other text; what is longer is cut */
};

/* As far as it concerns Underpass. */
typedef struct NmConnection {
        char *id;
        char *uuid;
        uint32_t mptcp_flags; /* connection.mptcp-flags */
        uint32_t mtu;         /* of the link: of whatever setting has one, but ipv6 */
        char *interface_name; /* connection.interface-name */
        char **users;         /* connection.permissions: who may see and use it; none: everybody */
        bool users_lost;      /* ... and others: there are more than are kept */
        char **secondaries;   /* connection.secondaries: UUIDs of profiles that are activated with it */
        bool no_autoconnect;  /* connection.autoconnect */
        bool addressed;       /* it has addresses, routes or name servers of its own */
        char **keys;          /* user.data, pairs: those for Underpass */
        char **values;
        char *vpn_service;    /* vpn.service-type */
        char *vpn_link;       /* vpn.data: link */
        char **vpn_keys;      /* vpn.data, all other pairs */
        char **vpn_values;
        bool pairs_lost;      /* there are more pairs for Underpass than are kept */
} NmConnection;

void nm_connection_done(NmConnection *connection);

/* Whether its user.data has keys for Underpass. */
bool nm_connection_has_keys(const NmConnection *connection);

/* Whether two are the same in everything above. */
bool nm_connection_equal(const NmConnection *a, const NmConnection *b);

/* Reads the answer to GetAppliedConnection or GetSettings, which begins with a{sa{sv}}. */
int nm_connection_read(sd_bus_message *message, NmConnection *ret);
