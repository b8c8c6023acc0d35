/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the sources together say about a link, who of them asked for its tunnel, and whether it is better to
 * wait for one that is silent.
 */

#include "kernel/link-tune.h"
#include "profile/nm-user.h"
#include "service/manager.h"

/* How the record of a link says whose profile asked for the tunnel. Records without a word about it are
 * NetworkManager's, or of a time when there was nobody else. */
static const uint32_t saved_flags[_MANAGER_SOURCE_MAX] = {
        [SOURCE_FILE] = UNDERPASS_SAVED_FROM_FILE,
        [SOURCE_NETWORKD] = UNDERPASS_SAVED_FROM_NETWORKD,
        [SOURCE_NETWORK_MANAGER] = 0,
};

int link_build_profile(const Link *link, Profile **ret) {
        _cleanup_(profile_freep) Profile *profile = NULL;
        bool sysctl_enabled = false;
        int r;

        r = profile_new(&profile);
        for (size_t i = 0; r >= 0 && i < _MANAGER_SOURCE_MAX; i++) {
                Source *source = link->manager->sources[i];

                if (source->ops->identify)
                        r = source->ops->identify(source, link->facts, profile);
        }
        (void) link_tune_mptcp_enabled(&sysctl_enabled);
        if (r >= 0 && profile->connection_id)
                profile->connection_endpoints =
                        nm_mptcp_flags_active(profile->connection_mptcp_flags, sysctl_enabled);
        for (size_t i = 0; r >= 0 && i < _MANAGER_SOURCE_MAX; i++)
                r = link->manager->sources[i]->ops->apply(link->manager->sources[i], link->facts, profile);
        if (r >= 0)
                r = profile_finish(profile);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(profile);
        return 0;
}

void link_record_source(Link *link) {
        Tunnel *tunnel = link->manager->tunnel;
        const char *name = link->profile->origins[KEY_ID_TUNNEL].source;
        struct underpass_saved saved = {};
        uint32_t flags = link->asked_by;

        for (size_t i = 0; i < _MANAGER_SOURCE_MAX; i++)
                if (streq(link->manager->sources[i]->ops->name, name))
                        flags = saved_flags[i];
        if (tunnel_saved_get(tunnel, link->ifindex, &saved) < 0 ||
            (saved.flags & UNDERPASS_SAVED_FROM) == flags)
                return;
        saved.flags = (saved.flags & ~(uint32_t) UNDERPASS_SAVED_FROM) | flags;
        if (tunnel_saved_set(tunnel, link->ifindex, &saved) >= 0)
                link->asked_by = flags;
}

bool link_better_wait(const Link *link) {
        const char *tunnel_from = link->profile->origins[KEY_ID_TUNNEL].source;
        /* One manager speaks for the link: another one that is not there has nothing to add. NetworkManager
         * also has connections for links that it only watches, so there it takes a key. */
        const bool claimed = link->profile->network_file || streq(tunnel_from, "NetworkManager");

        if (!link->applied.attached || !link->adopted || link->held_off ||
            link->profile->settings.tunnel != TUNNEL_NO)
                return false;
        for (size_t i = 0; i < _MANAGER_SOURCE_MAX; i++) {
                Source *source = link->manager->sources[i];

                if (saved_flags[i] == link->asked_by && source->ops->uncertain &&
                    source->ops->uncertain(source, link->ifindex))
                        return !claimed || source->ops->available(source);
        }
        return false;
}
