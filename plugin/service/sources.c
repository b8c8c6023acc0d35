/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See sources.h. */

#include "kernel/sysctl.h"
#include "profile/nm-user.h"
#include "service/sources.h"
#include "source/nm.h"

typedef enum SourceId {
        SOURCE_FILE,             /* rising order of precedence */
        SOURCE_NETWORKD,
        SOURCE_NETWORK_MANAGER,
        _SOURCE_ID_MAX,
} SourceId;

struct Sources {
        Source *all[_SOURCE_ID_MAX];
};

/* Records without a word about it are NetworkManager's, or of a time when there was nobody else. */
static const uint32_t asked_by_flags[] = {
        [SOURCE_FILE] = UNDERPASS_SAVED_FROM_FILE,
        [SOURCE_NETWORKD] = UNDERPASS_SAVED_FROM_NETWORKD,
        [SOURCE_NETWORK_MANAGER] = 0,
};
ASSERT_TABLE_COMPLETE(asked_by_flags, _SOURCE_ID_MAX);

/* NetworkManager's two kinds of profiles come from one source. */
static bool speaks(const Source *source, ProfileSource from) {
        return source->ops->source == from || (source->ops->source == PROFILE_SOURCE_NETWORK_MANAGER &&
                                               from == PROFILE_SOURCE_NM_TUNNEL);
}

int sources_new(Sources **ret, const char *const *directories, SourceChanged changed, void *userdata) {
        _cleanup_(sources_freep) Sources *sources = calloc(1, sizeof(*sources));
        int r;

        if (!sources)
                return -ENOMEM;
        r = source_file_new(&sources->all[SOURCE_FILE], directories);
        if (r >= 0)
                r = source_networkd_new(&sources->all[SOURCE_NETWORKD], changed, userdata);
        if (r >= 0)
                r = source_nm_new(&sources->all[SOURCE_NETWORK_MANAGER], changed, userdata);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(sources);
        return 0;
}

Sources *sources_free(Sources *sources) {
        if (!sources)
                return NULL;
        for (SourceId id = 0; id < _SOURCE_ID_MAX; id++)
                if (sources->all[id])
                        sources->all[id]->ops->free(sources->all[id]);
        free(sources);
        return NULL;
}

int sources_set_bus(Sources *sources, sd_bus *bus) {
        int r = 0;

        for (SourceId id = 0; r >= 0 && id < _SOURCE_ID_MAX; id++)
                if (sources->all[id]->ops->set_bus)
                        r = sources->all[id]->ops->set_bus(sources->all[id], bus);
        return r;
}

void sources_ask(Sources *sources, const LinkFacts *facts, SourceDone done, void *userdata,
                 unsigned *ret_count) {
        /* All are counted first, because the first answer may come before the last question. */
        *ret_count = 0;
        for (SourceId id = 0; id < _SOURCE_ID_MAX; id++)
                *ret_count += sources->all[id]->ops->ask != NULL;
        if (*ret_count == 0) {
                *ret_count = 1;
                done(userdata);
                return;
        }
        for (SourceId id = 0; id < _SOURCE_ID_MAX; id++)
                if (sources->all[id]->ops->ask)
                        sources->all[id]->ops->ask(sources->all[id], facts, done, userdata);
}

int sources_profile(Sources *sources, const LinkFacts *facts, Profile **ret) {
        _cleanup_(profile_freep) Profile *profile = NULL;
        bool sysctl_enabled = false;
        int r;

        r = profile_new(&profile);
        for (SourceId id = 0; r >= 0 && id < _SOURCE_ID_MAX; id++)
                if (sources->all[id]->ops->identify)
                        r = sources->all[id]->ops->identify(sources->all[id], facts, profile);
        (void) sysctl_mptcp_enabled(&sysctl_enabled);
        if (r >= 0 && profile->connection_id)
                profile->connection_endpoints =
                        nm_mptcp_flags_active(profile->connection_mptcp_flags, sysctl_enabled);
        for (SourceId id = 0; r >= 0 && id < _SOURCE_ID_MAX; id++)
                r = sources->all[id]->ops->apply(sources->all[id], facts, profile);
        if (r >= 0)
                r = profile_finish(profile);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(profile);
        return 0;
}

uint32_t sources_asked_by(const Sources *sources, const Profile *profile, uint32_t asked_by) {
        for (SourceId id = 0; id < _SOURCE_ID_MAX; id++)
                if (speaks(sources->all[id], profile->origins[KEY_ID_TUNNEL].source))
                        return asked_by_flags[id];
        return asked_by;
}

bool sources_better_wait(const Sources *sources, uint32_t ifindex, const Profile *profile,
                         uint32_t asked_by) {
        const ProfileSource tunnel_from = profile->origins[KEY_ID_TUNNEL].source;
        /* One manager speaks for the link: another one that is not there has nothing to add. NetworkManager
         * also has connections for links that it only watches, so there it takes a key. */
        const bool claimed =
                profile->network_file || speaks(sources->all[SOURCE_NETWORK_MANAGER], tunnel_from);

        if (profile->settings.tunnel != TUNNEL_NO)
                return false;
        for (SourceId id = 0; id < _SOURCE_ID_MAX; id++) {
                Source *source = sources->all[id];

                if (asked_by_flags[id] == asked_by && source->ops->uncertain &&
                    source->ops->uncertain(source, ifindex))
                        return !claimed || source->ops->available(source);
        }
        return false;
}

bool sources_uncertain(const Sources *sources, uint32_t ifindex) {
        for (SourceId id = 0; id < _SOURCE_ID_MAX; id++) {
                Source *source = sources->all[id];

                if (source->ops->uncertain && source->ops->available(source) &&
                    source->ops->uncertain(source, ifindex))
                        return true;
        }
        return false;
}

bool sources_standing(const Sources *sources) {
        for (SourceId id = 0; id < _SOURCE_ID_MAX; id++)
                if (sources->all[id]->ops->standing && sources->all[id]->ops->standing(sources->all[id]))
                        return true;
        return false;
}

void sources_forget(Sources *sources, uint32_t ifindex) {
        for (SourceId id = 0; id < _SOURCE_ID_MAX; id++)
                if (sources->all[id]->ops->forget)
                        sources->all[id]->ops->forget(sources->all[id], ifindex);
}

void sources_dispatched(Sources *sources, uint32_t ifindex, const char *action) {
        source_nm_dispatched(sources->all[SOURCE_NETWORK_MANAGER], ifindex, action);
}

bool sources_activating(Sources *sources, uint32_t ifindex) {
        return source_nm_activating(sources->all[SOURCE_NETWORK_MANAGER], ifindex);
}

bool sources_deactivating(Sources *sources, uint32_t ifindex) {
        return source_nm_deactivating(sources->all[SOURCE_NETWORK_MANAGER], ifindex);
}

void sources_show(Sources *sources, uint32_t ifindex, bool wanted) {
        source_nm_show(sources->all[SOURCE_NETWORK_MANAGER], ifindex, wanted);
}

bool sources_take_wish(Sources *sources, uint32_t ifindex, bool *ret_off) {
        return source_nm_take_wish(sources->all[SOURCE_NETWORK_MANAGER], ifindex, ret_off);
}

const char *sources_tunnel_link(const Sources *sources, const char *uuid) {
        return source_nm_tunnel_link(sources->all[SOURCE_NETWORK_MANAGER], uuid);
}

int sources_each(const Sources *sources, int (*handler)(const char *name, bool available, void *userdata),
                 void *userdata) {
        int r = 0;

        for (SourceId id = 0; r >= 0 && id < _SOURCE_ID_MAX; id++)
                r = handler(profile_source_name(sources->all[id]->ops->source),
                            sources->all[id]->ops->available(sources->all[id]), userdata);
        return r;
}
