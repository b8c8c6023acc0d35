/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See path.h. */

#include "base/message.h"
#include "service/path.h"

TunnelPath path_by(const Target *target, const SegmentationDevice *device) {
        const enum underpass_receive mode = target->receive;
        const bool bulk = target->applied.link.flags & UNDERPASS_LINK_BULK;
        const bool merges = mode == UNDERPASS_RECEIVE_AUTO || mode == UNDERPASS_RECEIVE_GRO ||
                            (mode == UNDERPASS_RECEIVE_SOCKET && !target->applied.raw_ip);

        return (TunnelPath) {
                .device_ifindex = device->ifindex,
                .gro_ifindex = merges ? segmentation_gro_ifindex(target->segmentation) : 0,
                .gro_all = mode == UNDERPASS_RECEIVE_GRO,
                .bulk = bulk,
                .bulk_all = target->applied.link.flags & UNDERPASS_LINK_BULK_ALL,
                /* A veth pair keeps packets for a moment: bulk that follows would overtake them. */
                .bulk_unsent = device->kind == SEGMENT_VETH,
                .tells = bulk && path_gives_flows_sockets(target),
        };
}

bool path_gives_flows_sockets(const Target *target) {
        return target->receive == UNDERPASS_RECEIVE_SOCKET && target->applied.link.remote_ports_count > 0;
}

/* Why XDP is not in use, as a sentence. */
static char *describe_xdp(const Target *target, int error) {
        if (error == -EBUSY)
                return message_format(N_("receive=xdp: another XDP program is attached to %s and stays "
                                         "there; datagrams are converted as with auto."),
                                      target->name);
        if (error == -EOPNOTSUPP)
                return message_format(N_("receive=xdp: the driver of %s has no native XDP; datagrams are "
                                         "converted as with auto."),
                                      target->name);
        return message_format(N_("receive=xdp: the driver of %s rejects the program (%s); datagrams are "
                                 "converted as with auto."),
                              target->name, MESSAGE_ERRNO(error));
}

/* The sockets take ports from other programs, so they are there only where they are of use. */
static int serve(const Target *target, char **ret_error) {
        const struct underpass_link *link = &target->applied.link;

        if (link->flags & UNDERPASS_LINK_BULK)
                return sockets_serve(target->sockets, target->ifindex, target->name, link, ret_error);
        *ret_error = message_format(N_("receive=socket on %s: it is for the bulk form, and bulk=no; "
                                       "datagrams are converted as with auto."),
                                    target->name);
        return -EINVAL;
}

static enum underpass_receive choose(const Target *target, char **ret_error) {
        const enum underpass_receive wanted = (enum underpass_receive) target->applied.link.receive;
        int r;

        if (wanted == UNDERPASS_RECEIVE_SOCKET && serve(target, ret_error) >= 0)
                return wanted;
        sockets_leave(target->sockets, target->ifindex);
        if (wanted == UNDERPASS_RECEIVE_SOCKET)
                return target->applied.raw_ip ? UNDERPASS_RECEIVE_TC : UNDERPASS_RECEIVE_AUTO;
        if (target->applied.raw_ip) {
                if (wanted == UNDERPASS_RECEIVE_GRO || wanted == UNDERPASS_RECEIVE_XDP)
                        *ret_error = message_format(N_("receive: %s has no Ethernet header, so its "
                                                       "datagrams are converted as with tc."),
                                                    target->name);
                return UNDERPASS_RECEIVE_TC;
        }
        if (wanted != UNDERPASS_RECEIVE_XDP)
                return wanted;
        r = tunnel_attach_xdp(target->tunnel, target->ifindex);
        if (r >= 0)
                return wanted;
        *ret_error = describe_xdp(target, r);
        return UNDERPASS_RECEIVE_AUTO;
}

int path_choose_receive(Target *target) {
        char *error = NULL;
        TunnelPath path;
        int r;

        target->receive = choose(target, &error);
        free(target->receive_error);
        target->receive_error = error;
        path = path_by(target, &target->device);
        r = tunnel_route(target->tunnel, target->ifindex, &path);
        /* Last: until then every datagram is converted by the one or the other. */
        if (target->receive != UNDERPASS_RECEIVE_XDP)
                (void) tunnel_detach_xdp(target->tunnel, target->ifindex);
        return r;
}

void path_leave_xdp(Target *target) {
        TunnelPath path;

        if (target->receive == UNDERPASS_RECEIVE_XDP) {
                target->receive = UNDERPASS_RECEIVE_AUTO;
                path = path_by(target, &target->device);
                (void) tunnel_route(target->tunnel, target->ifindex, &path);
        }
        (void) tunnel_detach_xdp(target->tunnel, target->ifindex);
}

static const char *describe_sockets(const Target *target) {
        const struct underpass_link *link = &target->applied.link;

        if (link->local_ports_count == 0)
                return M_("The driver's own GRO merges bulk, by UDP sockets of the kernel: each connection "
                          "of this host that bulk comes for has one, at its own port, while it comes.");
        if (link->remote_ports_count == 0)
                return M_("The driver's own GRO merges bulk, by UDP sockets of the kernel. They have taken "
                          "the UDP ports of local-ports on this link from all other programs, and what else "
                          "comes there is dropped.");
        return M_("The driver's own GRO merges bulk, by UDP sockets of the kernel. They have taken the UDP "
                  "ports of local-ports on this link from all other programs, and what else comes there is "
                  "dropped. Each connection of this host that bulk comes for has one, too, at its own port, "
                  "while it comes.");
}

const char *path_receive_reason(const Target *target) {
        const char *const reasons[] = {
                [UNDERPASS_RECEIVE_AUTO] = M_("Bulk data is merged into large segments before it reaches "
                                              "the stack; single packets are passed on at once."),
                [UNDERPASS_RECEIVE_TC] = M_("Every packet goes to the stack at once: the lowest latency."),
                [UNDERPASS_RECEIVE_GRO] = M_("Everything that can be merged is merged into large segments: "
                                             "the highest throughput."),
                [UNDERPASS_RECEIVE_XDP] = M_("Datagrams are converted in front of the driver's own GRO."),
                [UNDERPASS_RECEIVE_SOCKET] = describe_sockets(target),
        };
        ASSERT_TABLE_COMPLETE(reasons, UNDERPASS_RECEIVE_COUNT);

        return target->receive_error ? target->receive_error : reasons[target->receive];
}

void path_take(Target *target, const SegmentationDevice *device) {
        target->device = *device;
        (void) segmentation_use(target->segmentation, target->ifindex, device);
}

int path_adopt(Target *target, LinkStage *ret_stage, char **ret_error) {
        SegmentationDevice device = {};
        TunnelPath path;
        int r;

        r = segmentation_ensure(target->segmentation, target->ifindex, target->applied.raw_ip, &device,
                                ret_stage, ret_error);
        if (r < 0)
                return r;
        path = path_by(target, &device);
        r = tunnel_route(target->tunnel, target->ifindex, &path);
        if (r >= 0)
                path_take(target, &device);
        return r;
}

void path_lose(Target *target) {
        target->device = (SegmentationDevice) {};
}

static void forget_receive(Target *target) {
        target->receive = UNDERPASS_RECEIVE_AUTO;
        free(TAKE_PTR(target->receive_error));
}

void path_prepare_leave(Target *target) {
        sockets_leave(target->sockets, target->ifindex);
        if (target->receive == UNDERPASS_RECEIVE_SOCKET)
                target->receive = UNDERPASS_RECEIVE_AUTO;
}

void path_leave(Target *target) {
        path_lose(target);
        forget_receive(target);
        segmentation_leave(target->segmentation, target->ifindex);
}
