/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the two files of the NetworkManager source share. */

#include <systemd/sd-bus.h>

#include "source/source.h"

/* What an applied connection says, as far as it concerns Underpass. */
typedef struct NmConnection {
        char *id;
        char *uuid;
        uint32_t mptcp_flags; /* connection.mptcp-flags */
        uint32_t mtu;         /* of whatever setting has one */
        char **keys;          /* user.data, pairs */
        char **values;
} NmConnection;

typedef struct NmDevice {
        struct NmDevice *next;
        void *owner;
        uint32_t ifindex;
        char name[IF_NAMESIZE];
        char *path;           /* object path, once known */
        uint32_t state;       /* NM_DEVICE_STATE_*, by signal; 0: not heard yet */
        bool held_down;       /* the "down" hook has run, nothing has come up since */
        bool answered;        /* NetworkManager has said something about this device */
        bool has_connection;
        NmConnection connection;
        sd_bus_slot *call;    /* question under way */
        SourceDone done;      /* somebody waits for the answer */
        void *done_userdata;
} NmDevice;

void nm_connection_done(NmConnection *connection);

/* Reads the answer to GetAppliedConnection: a{sa{sv}}t. */
int nm_connection_read(sd_bus_message *message, NmConnection *ret);

/* An asynchronous method call to NetworkManager; never starts it. */
int nm_call(sd_bus *bus, sd_bus_slot **ret_slot, const char *path, const char *interface, const char *member,
            sd_bus_message_handler_t handler, void *userdata, uint64_t timeout_us, const char *types, ...);

/* The device with this index, or NULL; nm_device_get() adds it when it is not there, or NULL: -ENOMEM. */
NmDevice *nm_device_find(NmDevice *devices, uint32_t ifindex);
NmDevice *nm_device_get(NmDevice **devices, void *owner, uint32_t ifindex);

/* Forgets its connection. */
void nm_device_clear(NmDevice *device);

/* No question is under way any more: who waits for an answer goes on with what is known. */
void nm_device_finish(NmDevice *device);
void nm_device_free(NmDevice *device);
