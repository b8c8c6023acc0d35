/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What NetworkManager says of the connection that is applied to a device. */

#include <systemd/sd-bus.h>

#include "base/util.h"

/* As far as it concerns Underpass. */
typedef struct NmConnection {
        char *id;
        char *uuid;
        uint32_t mptcp_flags; /* connection.mptcp-flags */
        uint32_t mtu;         /* of whatever setting has one */
        char **keys;          /* user.data, pairs */
        char **values;
} NmConnection;

void nm_connection_done(NmConnection *connection);

/* Reads the answer to GetAppliedConnection: a{sa{sv}}t. */
int nm_connection_read(sd_bus_message *message, NmConnection *ret);
