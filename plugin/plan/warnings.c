/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Warnings: sentences about what works, but was perhaps not meant.
 */

#include "base/message.h"
#include "plan/warnings.h"

static char *key_name(const PlanInput *input, KeyId id) {
        return profile_key_name(key_get(id), input->profile->origins[id].source);
}

/* The kernel may give an ephemeral port to another program at any time. sentence takes the key, the range of
 * the profile and that of the kernel. */
static int warn_ephemeral(const PlanInput *input, Plan *plan, KeyId id, const PortSet *set,
                          const char *sentence) {
        const struct underpass_port_range *ephemeral = &input->ephemeral_ports, *range;

        if (ephemeral->first == 0)
                return 0;
        range = port_set_overlap(set, ephemeral->first, ephemeral->last);
        if (!range)
                return 0;

        _cleanup_(freep) char *key = key_name(input, id);
        if (!key)
                return -ENOMEM;
        return message_add(&plan->warnings, sentence, key, range->first, range->last, ephemeral->first,
                           ephemeral->last);
}

static int warn_endpoints(const PlanInput *input, Plan *plan) {
        const Profile *profile = input->profile;
        size_t suitable = 0;

        if (profile->settings.mptcp_endpoint == 0)
                return 0;

        _cleanup_(freep) char *key = profile_describe(profile, KEY_ID_MPTCP_ENDPOINT);
        if (!key)
                return -ENOMEM;

        if (profile->connection_endpoints) {
                int r = message_add(&plan->warnings,
                                    N_("%s: NetworkManager also registers MPTCP endpoints for this "
                                       "connection, and does so before the tunnel is attached; set "
                                       "connection.mptcp-flags=disabled."),
                                    key);
                if (r < 0)
                        return r;
        }

        for (size_t i = 0; i < input->facts->addresses_count; i++)
                suitable += endpoint_address_suitable(&input->facts->addresses[i]);
        if (suitable > UNDERPASS_SAVED_ENDPOINTS_MAX)
                return message_add(&plan->warnings,
                                   N_("%s: the link has %zu suitable addresses; only the first %d become "
                                      "MPTCP endpoints."),
                                   key, suitable, UNDERPASS_SAVED_ENDPOINTS_MAX);
        return 0;
}

/* NetworkManager sets its own MTU at each reapply, so the two values would alternate. */
static int warn_mtu(const PlanInput *input, Plan *plan) {
        const Profile *profile = input->profile;

        if (profile->settings.mtu == 0 || profile->connection_mtu == 0 ||
            profile->settings.mtu == profile->connection_mtu)
                return 0;

        _cleanup_(freep) char *key = profile_describe(profile, KEY_ID_MTU);
        if (!key)
                return -ENOMEM;
        return message_add(&plan->warnings,
                           N_("%s: the connection itself sets an MTU of %u, which NetworkManager restores "
                              "at each reapply; set only one of them."),
                           key, profile->connection_mtu);
}

int plan_warn(const PlanInput *input, Plan *plan) {
        const Settings *settings = &input->profile->settings;

        int r = warn_ephemeral(input, plan, KEY_ID_LOCAL_PORTS, &settings->local_ports,
                               N_("%s: %u-%u overlaps net.ipv4.ip_local_port_range (%u-%u), so the kernel "
                                 "may give such a port to another program; choose ports outside this range, "
                                 "or reserve them with net.ipv4.ip_local_reserved_ports."));
        if (r < 0)
                return r;
        r = warn_ephemeral(input, plan, KEY_ID_REMOTE_PORTS, &settings->remote_ports,
                           N_("%s: %u-%u overlaps the ports that kernels give to outgoing connections (here "
                             "%u-%u, net.ipv4.ip_local_port_range), so another program on the peer may use "
                             "such a port; choose ports outside this range, or reserve them on the peer "
                             "with net.ipv4.ip_local_reserved_ports."));
        if (r < 0)
                return r;
        r = warn_endpoints(input, plan);
        return r < 0 ? r : warn_mtu(input, plan);
}
