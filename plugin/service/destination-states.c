/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See destination-states.h. */

#include "base/clock.h"
#include "service/destination-states.h"

typedef struct Walk {
        Manager *manager;
        DestinationStateHandler handler;
        void *userdata;
} Walk;

static int look_at(const struct underpass_destination_key *key,
                   const struct underpass_destination *destination, void *userdata) {
        const Walk *walk = userdata;
        const Link *link = manager_link(walk->manager, key->ifindex);
        const uint32_t flags = link && link_is_attached(link) ? link_applied(link)->link.flags : 0;
        const uint64_t now_ns = clock_monotonic_ns(), second_ns = 1000000000;
        const struct underpass_block *blocks = destination->blocks;
        const struct {
                const char *name;
                uint64_t until_ns;
                uint32_t flag; /* of the link: without it the state has no effect; 0: it has in any case */
        } states[] = {
                { "silent", blocks[UNDERPASS_BLOCK_SILENCE].until * second_ns, UNDERPASS_LINK_FALLBACK },
                { "refused", blocks[UNDERPASS_BLOCK_REFUSED].until * second_ns, UNDERPASS_LINK_FALLBACK },
                { "filtered", blocks[UNDERPASS_BLOCK_FILTERED].until * second_ns, UNDERPASS_LINK_FALLBACK },
                { "stripped", destination->stripped_until_ns, UNDERPASS_LINK_ON_DEMAND },
                { "no-mptcp", destination->lacking_until_ns, UNDERPASS_LINK_ON_DEMAND },
                { "throttled", destination->throttled_until_ns, 0 },
        };
        DestinationState state = { .ifindex = key->ifindex, .remote_port = key->remote_port };
        int r = 0;

        memcpy(state.remote.word, key->remote, sizeof(state.remote.word));
        for (size_t i = 0; r >= 0 && i < ELEMENTS(states); i++) {
                if ((flags & states[i].flag) != states[i].flag || states[i].until_ns <= now_ns)
                        continue;
                state.name = states[i].name;
                state.seconds = (uint32_t) ((states[i].until_ns - now_ns) / second_ns);
                r = walk->handler(&state, walk->userdata);
        }
        return r < 0 ? r : 0;
}

int destination_states(Manager *manager, DestinationStateHandler handler, void *userdata) {
        Walk walk = { .manager = manager, .handler = handler, .userdata = userdata };

        return tunnel_destinations(manager_tunnel(manager), look_at, &walk);
}
