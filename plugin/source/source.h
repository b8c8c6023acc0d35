/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Where profiles come from: files, networkd, NetworkManager, in rising order of precedence.
 *
 * A link's profile is made in three passes over the sources: each is asked (ask), then each says whose link
 * it is (identify), then each adds its values (apply). So files can match what NetworkManager knows and are
 * still overruled by it.
 */

#include "plan/facts.h"
#include "profile/profile.h"

typedef struct sd_bus sd_bus; /* only a source that speaks to a bus includes its header */

typedef struct Source Source;

/* Called once for each ask(), perhaps before ask() returns. */
typedef void (*SourceDone)(void *userdata);

/* Something may have changed for the link; ifindex 0: for any. */
typedef void (*SourceChanged)(uint32_t ifindex, void *userdata);

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
         * attached. NULL: it always can. */
        bool (*uncertain)(Source *source, uint32_t ifindex);

        /* True when a link that appears later could find a profile here, so that the service has to keep
         * running. NULL: no. */
        bool (*standing)(Source *source);

        /* The link is gone. NULL: nothing to forget. */
        void (*forget)(Source *source, uint32_t ifindex);

        /* Hands over a connection to the bus and subscribes there; NULL: the bus is gone. What was learnt
         * stays. Negative errno. NULL: this source does not use the bus. */
        int (*set_bus)(Source *source, sd_bus *bus);

        void (*free)(Source *source);
} SourceOps;

struct Source {
        const SourceOps *ops;
};

/* Files: directories in rising order of precedence, ending in NULL; a file masks one of the same name in
 * an earlier directory. */
int source_file_new(Source **ret, const char *const *directories);

/* systemd-networkd: the sections [X-Underpass] of the .network file, and of its drop-ins, by which it
 * manages a link. */
int source_networkd_new(Source **ret, SourceChanged changed, void *userdata);

/* NetworkManager: user.data of the connection that is applied to a device. nm.h has what only it can do. */
int source_nm_new(Source **ret, SourceChanged changed, void *userdata);
