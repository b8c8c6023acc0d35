/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A profile is what all sources together say about one link: settings, and for each of them where the value
 * came from. Sources add values in rising order of precedence; the last one wins.
 */

#include "base/util.h"
#include "profile/keys.h"

/* Who says something, in rising order of precedence. */
typedef enum ProfileSource {
        PROFILE_SOURCE_DEFAULT,         /* nobody: the default of the key */
        PROFILE_SOURCE_FILE,            /* underpass/NAME.conf */
        PROFILE_SOURCE_NETWORKD,
        PROFILE_SOURCE_NETWORK_MANAGER, /* user.data of the active profile */
        PROFILE_SOURCE_NM_TUNNEL,       /* vpn.data of the tunnel profile for it */
        _PROFILE_SOURCE_MAX,
} ProfileSource;

/* "default", "file", "networkd", "NetworkManager" or "tunnel-profile": part of the D-Bus API. */
const char *profile_source_name(ProfileSource source);

typedef struct ProfileOrigin {
        ProfileSource source;
        char *where;   /* "/etc/underpass/lte.conf:3" or "LTE (6f0c…)"; "" for defaults */
        char *text;    /* the value as it stands there */
} ProfileOrigin;

typedef struct Profile {
        Settings settings;
        ProfileOrigin origins[_KEY_ID_MAX];

        /* What the network manager says by its own properties: shown, and honoured by plan.c. */
        char *connection_id;          /* NULL: no managed connection */
        char *connection_uuid;
        bool connection_endpoints;    /* NetworkManager registers MPTCP endpoints (connection.mptcp-flags) */
        uint32_t connection_mptcp_flags; /* as in the profile, 0: NetworkManager's default */
        uint32_t connection_mtu;      /* 802-3-ethernet.mtu and the like, 0: automatic */
        char *tunnel_id;              /* NetworkManager's tunnel profile for the link; NULL: there is none */
        char *tunnel_uuid;

        char *network_file;           /* by which systemd-networkd manages the link; NULL: it does not */
        bool network_section;         /* there is a profile in it, or in a drop-in, and it counts */
        bool network_down;            /* ... but the link is administratively down */

        /* The first value that could not be taken; the link is left untouched while this is set. */
        char *error;                  /* complete sentence: key, value, source, reason, what to do */
        char **warnings;              /* e.g. unknown keys in files */

        /* What cannot be read or may not be used, a sentence that is among the warnings, too; NULL: nothing.
         * Where it may have been this that asked for a tunnel, the link is left as it is. */
        char *unread;
} Profile;

int profile_new(Profile **ret);       /* all defaults */
Profile *profile_free(Profile *profile);
DEFINE_CLEANUP(Profile *, profile_free);

/*
 * Sets one value. A bad value is recorded in profile->error (the first one wins) and is not an error of this
 * function. 0 or -ENOMEM.
 */
int profile_set(Profile *profile, const Key *key, const char *text, ProfileSource source,
                const char *where);

/* An unknown key: recorded as error with the key that was probably meant. name may be hostile. */
int profile_unknown_key(Profile *profile, const char *name, ProfileSource source, const char *where);

/* The source has more keys for us, or longer ones in total, than it reads: recorded as error. */
int profile_too_many_keys(Profile *profile, unsigned keys, unsigned bytes, const char *where);

/*
 * Rules over several keys, called once when all sources have spoken: a tunnel needs remote-ports or
 * local-ports; tunnel=on-demand needs mptcp-only; mss must fit mtu; and so on. Records profile->error. 0 or
 * -ENOMEM.
 */
int profile_finish(Profile *profile);

/* The key's name as a source spells it: "underpass.mtu" (NetworkManager), "MTU" (file, networkd), "mtu"
 * (default). Caller frees; NULL when out of memory. */
char *profile_key_name(const Key *key, ProfileSource source);

/* The setting and where it came from: "underpass.mtu=1400 in LTE (6f0c…)". Caller frees;
 * NULL when out of memory. */
char *profile_describe(const Profile *profile, KeyId id);
