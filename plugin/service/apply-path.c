/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which helper devices the packets of a link pass: the segmentation device when they are sent, the GRO pair
 * or the XDP attach point of the driver when they were received.
 */

#include <stdio.h>

#include "base/i18n.h"
#include "service/manager.h"

static TunnelPath path_of(const Link *link, const SegmentationDevice *device, enum underpass_receive mode) {
        const bool merge = mode == UNDERPASS_RECEIVE_AUTO || mode == UNDERPASS_RECEIVE_GRO;

        return (TunnelPath) {
                .device_ifindex = device->ifindex,
                .gro_ifindex = merge ? link->manager->pair.receive_ifindex : 0,
                .gro_all = mode == UNDERPASS_RECEIVE_GRO,
        };
}

TunnelPath link_path(const Link *link, const SegmentationDevice *device) {
        return path_of(link, device, link->receive);
}

/* Why XDP is not in use, as a sentence. */
static char *describe_xdp(const Link *link, int error) {
        const char *name = link_name(link);

        if (error == -EBUSY)
                return string_format(_("receive=xdp: another XDP program is attached to %s and stays "
                                       "there; datagrams are converted as with auto."),
                                     name);
        if (error == -EOPNOTSUPP)
                return string_format(_("receive=xdp: the driver of %s has no native XDP; datagrams are "
                                       "converted as with auto."),
                                     name);
        return string_format(_("receive=xdp: the driver of %s refuses the program (%s); datagrams are "
                               "converted as with auto."),
                             name, strerror(-error));
}

static enum underpass_receive choose(Link *link, char **ret_trouble) {
        const enum underpass_receive wanted = (enum underpass_receive) link->applied.link.receive;
        int r;

        if (link->applied.raw_ip) {
                if (wanted == UNDERPASS_RECEIVE_GRO || wanted == UNDERPASS_RECEIVE_XDP)
                        *ret_trouble = string_format(_("receive: %s has no Ethernet header, so its "
                                                       "datagrams are converted as with tc."),
                                                     link_name(link));
                return UNDERPASS_RECEIVE_TC;
        }
        if (wanted != UNDERPASS_RECEIVE_XDP)
                return wanted;
        r = tunnel_attach_xdp(link->manager->tunnel, link->ifindex);
        if (r >= 0)
                return wanted;
        *ret_trouble = describe_xdp(link, r);
        return UNDERPASS_RECEIVE_AUTO;
}

int link_choose_receive(Link *link) {
        char *trouble = NULL;
        TunnelPath path;
        int r;

        link->receive = choose(link, &trouble);
        free(link->receive_reason);
        link->receive_reason = trouble;
        path = link_path(link, &link->device);
        r = tunnel_route(link->manager->tunnel, link->ifindex, &path);
        /* Last: until then every datagram is converted by the one or the other. */
        if (link->receive != UNDERPASS_RECEIVE_XDP)
                (void) tunnel_detach_xdp(link->manager->tunnel, link->ifindex);
        return r;
}

const char *link_receive_reason(const Link *link) {
        static const char *const reasons[] = {
                [UNDERPASS_RECEIVE_AUTO] = N_("Bulk is merged into large segments on the way to the stack, "
                                              "single packets go there at once."),
                [UNDERPASS_RECEIVE_TC] = N_("Every packet goes to the stack at once: the lowest latency."),
                [UNDERPASS_RECEIVE_GRO] = N_("Everything is merged into large segments where it can be: the "
                                             "highest throughput."),
                [UNDERPASS_RECEIVE_XDP] = N_("Datagrams are converted in front of the driver's own GRO."),
        };

        return link->receive_reason ? link->receive_reason : _(reasons[link->receive]);
}

void link_leave_path(Link *link) {
        if (link->device.kind == SEGMENT_VLAN || link->device.ifindex == 0)
                manager_leave_segment(link->manager, link->ifindex);
        link->device = (SegmentationDevice) {};
        link->receive = UNDERPASS_RECEIVE_AUTO;
        free(link->receive_reason);
        link->receive_reason = NULL;
}

int link_adopt_path(Link *link, LinkStage *ret_stage, char **ret_error) {
        TunnelPath path;
        SegmentationDevice device = {};
        int r;

        r = manager_ensure_segment(link->manager, link->ifindex, link->applied.raw_ip, &device, ret_stage,
                               ret_error);
        if (r < 0)
                return r;
        path = link_path(link, &device);
        r = tunnel_route(link->manager->tunnel, link->ifindex, &path);
        if (r < 0)
                return r;
        link_take_segment(link, &device);
        return 0;
}

void link_take_segment(Link *link, const SegmentationDevice *device) {
        /* What an earlier service, or another kind, left on the link. */
        if (device->kind != SEGMENT_VLAN &&
            (link->device.ifindex == 0 ? link->adopted : link->device.kind == SEGMENT_VLAN))
                manager_leave_segment(link->manager, link->ifindex);
        link->device = *device;
        manager_sweep_segments(link->manager);
}
