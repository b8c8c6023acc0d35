/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A NetworkManager profile as plain data, and how it is shown. */

#include <json-glib/json-glib.h>
#include <stdint.h>

#include "ctl/ctl.h"

typedef struct ProfileView {
        char *id;
        char *uuid;
        char *path;           /* of its D-Bus object */
        char *file;           /* "" without one */
        bool id_unique;       /* no other profile has this id */
        bool unsaved;         /* in memory only, or changed in memory only … */
        bool generated;       /* … as NetworkManager has made it itself; it is saved with its first change */
        uint32_t mptcp_flags; /* connection.mptcp-flags */
        GPtrArray *mtus;      /* of char *[3]: { "802-3-ethernet.mtu", "1400", NULL } */
        char **interfaces;    /* on which it is active */

        /* The profile that holds the keys: this one, or the tunnel profile for it. */
        bool tunnel;          /* it is a tunnel profile */
        char *link;           /* … and this is the link that it names; NULL: none */
        char *home_id;
        char *home_uuid;
        char *home_path;      /* of its D-Bus object */
        bool home_in_memory;  /* in memory only, as somebody wants it */
        char *where;          /* "LTE (6f0c…)": its id and UUID, as errors name it */
        GHashTable *data;     /* the keys, as user-data.h has them */
} ProfileView;

void profile_view_free(ProfileView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ProfileView, profile_view_free)

/* Whether it is itself a tunnel profile. */
bool profile_view_is_tunnel(const ProfileView *view);

/* The profile as arguments of nmcli, as nm_name_words() has them. Caller frees. */
char *profile_view_words(const ProfileView *view);

/*
 * What the keys and NetworkManager's own properties together call for: warnings, and shell commands that
 * remove their causes. Adds to both lists.
 */
void profile_view_advise(const ProfileView *view, char ***warnings, char ***commands);

/* Prints the profile, with errors and warnings. */
void profile_view_print(const Ctl *ctl, const ProfileView *view);

/* Adds the profile as the member "profile" of the open object. */
void profile_view_add_json(JsonBuilder *builder, const ProfileView *view);
