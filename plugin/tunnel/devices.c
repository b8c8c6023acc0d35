/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The helper devices that packets pass, as the programs know them: the segmentation device, the GRO pair,
 * the slots of the links; and the XDP program of a link.
 */

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "base/message.h"
#include "tunnel/attach.h"
#include "tunnel/devices.h"
#include "tunnel/keepalive.h"
#include "tunnel/pins.h"
#include "tunnel/slots.h"
#include "tunnel/state.h"

/* Where the attachment to a segmentation device is pinned. NULL when out of memory. */
static char *segment_pin_path(const Tunnel *tunnel, SegmentPlace place) {
        static const TunnelPin pins[] = {
                [SEGMENT_PLACE_INGRESS] = PIN_SEGMENT_INGRESS,
                [SEGMENT_PLACE_EGRESS] = PIN_SEGMENT_EGRESS,
                [SEGMENT_PLACE_NETKIT] = PIN_SEGMENT_NETKIT,
        };

        return tunnel_pin_path(tunnel, tunnel_pin_name(pins[place]));
}

static int attach_helper(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction,
                         TunnelProgram program, const char *pin) {
        if (tunnel->attach_point == ATTACH_POINT_CLSACT) {
                int r = attach_point_make_clsact(ifindex);

                if (r < 0 && r != -EEXIST)
                        return r;
        }
        return attach_point_attach(tunnel, ifindex, direction, program, pin);
}

int tunnel_set_gro(Tunnel *tunnel, uint32_t ifindex) {
        _cleanup_(freep) char *pin = NULL;
        int r;

        tunnel_clear_error(tunnel);
        r = pins_ensure(tunnel);
        if (r < 0)
                return r;
        pin = tunnel_pin_path(tunnel, tunnel_pin_name(PIN_MERGED));
        if (!pin)
                return -ENOMEM;
        r = attach_helper(tunnel, ifindex, DIRECTION_INGRESS, PROGRAM_MERGED, pin);
        if (r < 0)
                return r;
        r = keepalive_attach(tunnel);
        if (r < 0)
                tunnel_set_error(tunnel, N_("no keepalive: cannot attach to the cgroup tree: %s"),
                                 MESSAGE_ERRNO(r));
        return 0;
}

/* A program at the egress of the pair's sending end would meet the super-packets of links whose
 * segmentation device is the pair itself: so these links are moved to the new device first. Until the
 * program is there, what they send crosses the pair, where the program at its ingress rewrites it. */
static int attach_egress(Tunnel *tunnel, const SegmentationDevice *device, const char *pin) {
        int r;

        r = slots_move(tunnel, device->program_ifindex, device->ifindex);
        return r < 0 ? r :
                       attach_helper(tunnel, device->program_ifindex, DIRECTION_EGRESS, PROGRAM_SEGMENT,
                                     pin);
}

/* The other way round: the program at the egress goes once that at the ingress is there. */
static int attach_ingress(Tunnel *tunnel, const SegmentationDevice *device, const char *pin) {
        const SegmentationDevice egress = {
                .ifindex = device->ifindex,
                .program_ifindex = device->ifindex,
                .place = SEGMENT_PLACE_EGRESS,
        };
        int r;

        r = attach_helper(tunnel, device->program_ifindex, DIRECTION_INGRESS, PROGRAM_SEGMENT, pin);
        return r < 0 ? r : tunnel_clear_device(tunnel, &egress);
}

int tunnel_set_device(Tunnel *tunnel, const SegmentationDevice *device) {
        _cleanup_(freep) char *pin = NULL;

        if (device->place == SEGMENT_PLACE_NONE)
                return 0;
        pin = segment_pin_path(tunnel, device->place);
        if (!pin)
                return -ENOMEM;
        switch (device->place) {
        case SEGMENT_PLACE_NONE:
                break;
        case SEGMENT_PLACE_INGRESS:
                return attach_ingress(tunnel, device, pin);
        case SEGMENT_PLACE_EGRESS:
                return attach_egress(tunnel, device, pin);
        case SEGMENT_PLACE_NETKIT:
                return attach_point_attach_netkit(tunnel, device->program_ifindex, PROGRAM_SEGMENT, pin);
        }
        return -EINVAL;
}

int tunnel_clear_device(Tunnel *tunnel, const SegmentationDevice *device) {
        _cleanup_(freep) char *pin = NULL;

        if (device->place == SEGMENT_PLACE_NONE)
                return 0;
        pin = segment_pin_path(tunnel, device->place);
        if (!pin)
                return -ENOMEM;
        if (device->place == SEGMENT_PLACE_NETKIT)
                return attach_point_unpin(tunnel, device->program_ifindex, pin);
        return attach_point_detach(
                tunnel, device->program_ifindex,
                device->place == SEGMENT_PLACE_EGRESS ? DIRECTION_EGRESS : DIRECTION_INGRESS, pin);
}

int devices_fill_slot(Tunnel *tunnel, uint32_t slot, uint32_t ifindex, const TunnelPath *path) {
        const uint32_t flags = (path->gro_all ? UNDERPASS_SLOT_GRO_ALL : 0) |
                               (path->bulk ? UNDERPASS_SLOT_BULK : 0) |
                               (path->bulk_all ? UNDERPASS_SLOT_BULK_ALL : 0) |
                               (path->tells ? UNDERPASS_SLOT_TELLS : 0) |
                               (path->bulk_unsent ? UNDERPASS_SLOT_BULK_UNSENT : 0);
        const struct underpass_slot entry = {
                .ifindex = ifindex,
                .device_ifindex = path->device_ifindex,
                .gro_ifindex = path->gro_ifindex,
                .flags = flags,
        };

        return bpf_map_update_elem(tunnel->maps[MAP_SLOTS], &slot, &entry, BPF_ANY);
}

int tunnel_route(Tunnel *tunnel, uint32_t ifindex, const TunnelPath *path) {
        struct underpass_saved saved = {};
        int r;

        r = tunnel_saved_get(tunnel, ifindex, &saved);
        if (r < 0)
                return r;
        return saved.slot != 0 ? devices_fill_slot(tunnel, saved.slot, ifindex, path) : -ENOENT;
}

static char *xdp_pin(const Tunnel *tunnel, uint32_t ifindex) {
        return string_format("%s/%u-xdp", tunnel->folder, ifindex);
}

int tunnel_attach_xdp(Tunnel *tunnel, uint32_t ifindex) {
        _cleanup_(freep) char *pin = xdp_pin(tunnel, ifindex);

        if (!pin)
                return -ENOMEM;
        return attach_point_attach_xdp(tunnel, ifindex, PROGRAM_XDP, pin);
}

int tunnel_detach_xdp(Tunnel *tunnel, uint32_t ifindex) {
        _cleanup_(freep) char *pin = xdp_pin(tunnel, ifindex);

        return pin ? attach_point_unpin(tunnel, ifindex, pin) : -ENOMEM;
}
