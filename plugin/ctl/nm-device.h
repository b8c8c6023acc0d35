/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What NetworkManager says of a link and of its profiles, over the bus: libnm takes longer to start than all
 * that is asked here.
 */

#include "ctl/ctl.h"

typedef struct NmDevice {
        bool known;       /* NetworkManager has such a device */
        bool managed;     /* by NetworkManager, which does more than mirror what others have set up */
        char *connection; /* id of the active one; "" */
        GPtrArray *profiles; /* ids of connections that could be activated there and ask for a tunnel, or
                              * have a tunnel profile that does; ends in NULL */
        char *first_uuid; /* of the first of these; NULL: there is none */
        bool first_is_unique; /* no other connection has its id */
        char *first_on;   /* the device, as NetworkManager calls it, if the first one names no interface, so
                           * it could be activated on others; else NULL */
} NmDevice;

/* Without NetworkManager the link is not managed. */
void nm_device_read(Ctl *ctl, const char *interface, NmDevice *ret);
void nm_device_done(NmDevice *device);

/* A connection of NetworkManager. */
typedef struct NmProfile {
        char *id;
        char *uuid;
        char *path;          /* on D-Bus */
        GVariant *settings;  /* all of them, a{sa{sv}} */
} NmProfile;

/* The value of the key tunnel in the settings of a connection; *ret_ours: whether it has any key of ours. */
const char *nm_profile_tunnel(GVariant *settings, bool *ret_ours);

/* Whether it is a tunnel profile: one that has the keys for another one. */
bool nm_profile_is_tunnel(const NmProfile *profile);

/* Every connection that this user may see, as NmProfile; none without NetworkManager. Caller frees. */
GPtrArray *nm_profiles_read(GDBusConnection *bus);

/* The same, read once for all that a command wants to know. There must be a bus. */
const GPtrArray *nm_profiles(Ctl *ctl);

/* Whether some connection asks for a tunnel. */
bool nm_profiles_any_tunnel(Ctl *ctl);

/* Where it is stored; "" when it is in memory only. Caller frees. */
char *nm_profile_file(GDBusConnection *bus, const NmProfile *profile);

/* Whether this connection only mirrors what another program has set up: NetworkManager does not store it, so
 * it takes no settings. */
bool nm_profile_is_mirror(const Ctl *ctl, const char *uuid);

/* The connections that a name means, an id or a UUID. */
typedef struct NmNamed {
        unsigned count;   /* how many they are; what follows is of the first one, and NULL without any */
        char *id;
        char *uuid;
        char *uuids;      /* of all: "UUID, UUID" */
        char *interface;  /* that it is for; "" for any */
        bool unique;      /* no other connection has its id */
        bool tunnel;      /* it asks for one, or its tunnel profile does */
} NmNamed;

/* Finds none without a bus. */
void nm_profile_find(Ctl *ctl, const char *name, NmNamed *ret);

/* A link on which the connection with this UUID is active; NULL: there is none. Caller frees. */
char *nm_profile_link(GDBusConnection *bus, const char *uuid);
void nm_named_done(NmNamed *named);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(NmNamed, nm_named_done)
