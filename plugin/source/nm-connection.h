/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What NetworkManager says of a connection: one that is applied to a device, or one that is stored. */

#include <systemd/sd-bus.h>

#include "base/util.h"

/* As far as it concerns Underpass. */
typedef struct NmConnection {
        char *id;
        char *uuid;
        uint32_t mptcp_flags; /* connection.mptcp-flags */
        uint32_t mtu;         /* of whatever setting has one */
        char *interface_name; /* connection.interface-name */
        char **users;         /* connection.permissions: who may see and use it; none: everybody */
        char **secondaries;   /* connection.secondaries: UUIDs of profiles that are activated with it */
        bool no_autoconnect;  /* connection.autoconnect */
        bool addressed;       /* it has addresses, routes or name servers of its own */
        char **keys;          /* user.data, pairs */
        char **values;
        char *vpn_service;    /* vpn.service-type */
        char **vpn_keys;      /* vpn.data, pairs */
        char **vpn_values;
} NmConnection;

void nm_connection_done(NmConnection *connection);

/* The value of a key of vpn.data; NULL: it has none. */
const char *nm_connection_vpn_value(const NmConnection *connection, const char *key);

/* Whether two are the same in everything above. */
bool nm_connection_equal(const NmConnection *a, const NmConnection *b);

/* Reads the answer to GetAppliedConnection or GetSettings, which begins with a{sa{sv}}. */
int nm_connection_read(sd_bus_message *message, NmConnection *ret);
