/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The helper devices that packets pass, as the programs know them: the segmentation hop, the merge pair, the
 * slots of the links; and the XDP program of a link.
 *
 * Part of the tunnel room (L3): libbpf.
 */

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "tunnel/bpf.h"

#define MERGED_PIN "merged-ingress"

static const char *const hop_pins[] = {
        [TUNNEL_PLACE_NONE] = NULL,
        [TUNNEL_PLACE_INGRESS] = "hop-ingress",
        [TUNNEL_PLACE_EGRESS] = "hop-egress",
        [TUNNEL_PLACE_NETKIT] = "hop-netkit",
};

static int attach_helper(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction,
                         TunnelProgram program, const char *pin) {
        if (tunnel->hook == TUNNEL_HOOK_CLSACT) {
                int r = tunnel_hook_make_clsact(ifindex);

                if (r < 0 && r != -EEXIST)
                        return r;
        }
        return tunnel_hook_attach(tunnel, ifindex, direction, program, pin);
}

int tunnel_set_merge(Tunnel *tunnel, uint32_t ifindex) {
        _cleanup_(freep) char *pin = NULL;
        int r;

        tunnel_complain(tunnel, "%s", "");
        r = tunnel_pins_ensure(tunnel);
        if (r < 0)
                return r;
        pin = tunnel_pins_named(tunnel, MERGED_PIN);
        if (!pin)
                return -ENOMEM;
        r = attach_helper(tunnel, ifindex, DIRECTION_INGRESS, PROGRAM_MERGED, pin);
        if (r < 0)
                return r;
        r = tunnel_pins_keepalive(tunnel);
        if (r < 0)
                tunnel_complain(tunnel, "no keepalive: cannot attach to the cgroup tree: %s", strerror(-r));
        return 0;
}

/* All links that redirect to one device redirect to another one. */
static int move_slots(Tunnel *tunnel, uint32_t from, uint32_t to) {
        int map = tunnel->maps[MAP_SLOTS];

        for (uint32_t slot = 1; slot <= UNDERPASS_LINKS_MAX; slot++) {
                struct underpass_slot entry;
                int r;

                r = bpf_map_lookup_elem(map, &slot, &entry);
                if (r < 0)
                        return r;
                if (entry.hop_ifindex != from)
                        continue;
                entry.hop_ifindex = to;
                r = bpf_map_update_elem(map, &slot, &entry, BPF_ANY);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The program in the way out of the pair's sending end meets super-packets that a veth hop would have cut
 * behind it: that hop is left before it comes. Until then what a bridge sends crosses the pair, where the
 * other program waits. */
static int attach_egress(Tunnel *tunnel, const TunnelHop *hop, const char *pin) {
        int r;

        r = move_slots(tunnel, hop->program_ifindex, hop->ifindex);
        return r < 0 ? r
                     : attach_helper(tunnel, hop->program_ifindex, DIRECTION_EGRESS, PROGRAM_HOP, pin);
}

/* The other way round. */
static int attach_ingress(Tunnel *tunnel, const TunnelHop *hop, const char *pin) {
        const TunnelHop egress = {
                .ifindex = hop->ifindex,
                .program_ifindex = hop->ifindex,
                .place = TUNNEL_PLACE_EGRESS,
        };
        int r;

        r = attach_helper(tunnel, hop->program_ifindex, DIRECTION_INGRESS, PROGRAM_HOP, pin);
        return r < 0 ? r : tunnel_clear_hop(tunnel, &egress);
}

int tunnel_set_hop(Tunnel *tunnel, const TunnelHop *hop) {
        _cleanup_(freep) char *pin = NULL;

        if (hop->place == TUNNEL_PLACE_NONE)
                return 0;
        pin = tunnel_pins_named(tunnel, hop_pins[hop->place]);
        if (!pin)
                return -ENOMEM;
        switch (hop->place) {
        case TUNNEL_PLACE_NONE:
                break;
        case TUNNEL_PLACE_INGRESS:
                return attach_ingress(tunnel, hop, pin);
        case TUNNEL_PLACE_EGRESS:
                return attach_egress(tunnel, hop, pin);
        case TUNNEL_PLACE_NETKIT:
                return tunnel_hook_attach_netkit(tunnel, hop->program_ifindex, PROGRAM_HOP, pin);
        }
        return -EINVAL;
}

int tunnel_clear_hop(Tunnel *tunnel, const TunnelHop *hop) {
        _cleanup_(freep) char *pin = NULL;

        if (hop->place == TUNNEL_PLACE_NONE)
                return 0;
        pin = tunnel_pins_named(tunnel, hop_pins[hop->place]);
        if (!pin)
                return -ENOMEM;
        if (hop->place == TUNNEL_PLACE_NETKIT)
                return tunnel_hook_unpin(hop->program_ifindex, pin);
        return tunnel_hook_detach(hop->program_ifindex,
                                  hop->place == TUNNEL_PLACE_EGRESS ? DIRECTION_EGRESS : DIRECTION_INGRESS,
                                  pin);
}

void tunnel_hop_remove(Tunnel *tunnel) {
        static const char *const merged = MERGED_PIN;

        for (size_t i = 0; i <= ELEMENTS(hop_pins); i++) {
                const char *name = i < ELEMENTS(hop_pins) ? hop_pins[i] : merged;
                _cleanup_(freep) char *pin = name ? tunnel_pins_named(tunnel, name) : NULL;

                if (pin)
                        (void) unlink(pin);
        }
}

int tunnel_hop_fill_slot(Tunnel *tunnel, uint32_t slot, uint32_t ifindex, const TunnelPath *path) {
        const struct underpass_slot entry = {
                .ifindex = ifindex,
                .hop_ifindex = path->hop_ifindex,
                .merge_ifindex = path->merge_ifindex,
                .flags = path->merge_all ? UNDERPASS_SLOT_MERGE_ALL : 0,
        };

        return bpf_map_update_elem(tunnel->maps[MAP_SLOTS], &slot, &entry, BPF_ANY);
}

int tunnel_route(Tunnel *tunnel, uint32_t ifindex, const TunnelPath *path) {
        struct underpass_saved saved = {};
        int r;

        r = tunnel_saved_get(tunnel, ifindex, &saved);
        if (r < 0)
                return r;
        return saved.slot != 0 ? tunnel_hop_fill_slot(tunnel, saved.slot, ifindex, path) : -ENOENT;
}

static char *xdp_pin(const Tunnel *tunnel, uint32_t ifindex) {
        return string_format("%s/%u-xdp", tunnel->folder, ifindex);
}

int tunnel_attach_xdp(Tunnel *tunnel, uint32_t ifindex) {
        _cleanup_(freep) char *pin = xdp_pin(tunnel, ifindex);

        if (!pin)
                return -ENOMEM;
        return tunnel_hook_attach_xdp(tunnel, ifindex, PROGRAM_XDP, pin);
}

int tunnel_detach_xdp(Tunnel *tunnel, uint32_t ifindex) {
        _cleanup_(freep) char *pin = xdp_pin(tunnel, ifindex);

        return pin ? tunnel_hook_unpin(ifindex, pin) : -ENOMEM;
}
