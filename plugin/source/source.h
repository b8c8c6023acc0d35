/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Where profiles come from. The manager has one array of sources in rising order of precedence: files,
 * networkd, NetworkManager.
 *
 *
 * A link is settled in three rounds: every source is asked (ask), then each says whose link it is
 * (identify), then each adds its values (apply), so that files can match what NetworkManager knows and yet
 * be overruled by it.
 */

#include "plan/facts.h"
#include "profile/profile.h"

typedef struct Source Source;

/* Called once for each ask(), perhaps before ask() returns. */
typedef void (*SourceDone)(void *userdata);

typedef struct SourceOps {
        ProfileSource source;

        /* Whether the source can be asked now. One that cannot keeps its last answers. */
        bool (*available)(Source *source);

        /* Asks the outside world about a link. NULL: there is nothing to wait for. */
        void (*ask)(Source *source, const LinkFacts *facts, SourceDone done, void *userdata);

        /* Fills in the connection_… fields of profile. NULL: this source knows no connections. */
        int (*identify)(Source *source, const LinkFacts *facts, Profile *profile);

        /* Adds values with profile_set(). Negative errno when that cannot be done (out of memory). */
        int (*apply)(Source *source, const LinkFacts *facts, Profile *profile);

        /* True while this source cannot say whether it has a profile for the link: what is attached stays
         * then. NULL: it can. */
        bool (*uncertain)(Source *source, uint32_t ifindex);

        /* True when a link that comes later could find a profile here: the service has to stay. NULL: no. */
        bool (*standing)(Source *source);

        /* The link is gone. NULL: nothing to forget. */
        void (*forget)(Source *source, uint32_t ifindex);

        void (*free)(Source *source);
} SourceOps;

struct Source {
        const SourceOps *ops;
};

/* Files: directories in rising order of precedence, ending in NULL; a file masks one of the same name in
 * an earlier directory. */
int source_file_new(Source **ret, const char *const *directories);
