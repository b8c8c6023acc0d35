/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which helper devices the packets of a link pass: the segmentation hop when they are sent, the merge pair
 * or the XDP hook of the driver when they were received.
 */

#include <stdio.h>

#include "base/i18n.h"
#include "service/manager.h"

static TunnelPath path_of(const Link *link, const Hop *hop, enum underpass_ingress ingress) {
        const bool merge = ingress == UNDERPASS_INGRESS_AUTO || ingress == UNDERPASS_INGRESS_GRO;

        return (TunnelPath) {
                .hop_ifindex = hop->ifindex,
                .merge_ifindex = merge ? link->manager->pair.receive_ifindex : 0,
                .merge_all = ingress == UNDERPASS_INGRESS_GRO,
        };
}

TunnelPath link_path(const Link *link, const Hop *hop) {
        return path_of(link, hop, link->ingress);
}

/* Why XDP is not in use, as a sentence. */
static char *describe_xdp(const Link *link, int error) {
        const char *name = link_name(link);

        if (error == -EBUSY)
                return string_format(_("ingress-hook=xdp: another XDP program is attached to %s and stays "
                                       "there; datagrams are converted as with auto."),
                                     name);
        if (error == -EOPNOTSUPP)
                return string_format(_("ingress-hook=xdp: the driver of %s has no native XDP; datagrams are "
                                       "converted as with auto."),
                                     name);
        return string_format(_("ingress-hook=xdp: the driver of %s refuses the program (%s); datagrams are "
                               "converted as with auto."),
                             name, strerror(-error));
}

static enum underpass_ingress choose(Link *link, char **ret_trouble) {
        const enum underpass_ingress wanted = (enum underpass_ingress) link->applied.link.ingress;
        int r;

        if (link->applied.raw_ip) {
                if (wanted == UNDERPASS_INGRESS_GRO || wanted == UNDERPASS_INGRESS_XDP)
                        *ret_trouble = string_format(_("ingress-hook: %s has no Ethernet header, so its "
                                                       "datagrams are converted as with tc."),
                                                     link_name(link));
                return UNDERPASS_INGRESS_TC;
        }
        if (wanted != UNDERPASS_INGRESS_XDP)
                return wanted;
        r = tunnel_attach_xdp(link->manager->tunnel, link->ifindex);
        if (r >= 0)
                return wanted;
        *ret_trouble = describe_xdp(link, r);
        return UNDERPASS_INGRESS_AUTO;
}

int link_choose_ingress(Link *link) {
        char *trouble = NULL;
        TunnelPath path;
        int r;

        link->ingress = choose(link, &trouble);
        free(link->ingress_trouble);
        link->ingress_trouble = trouble;
        path = link_path(link, &link->hop);
        r = tunnel_route(link->manager->tunnel, link->ifindex, &path);
        /* Last: until then every datagram is converted by the one or the other. */
        if (link->ingress != UNDERPASS_INGRESS_XDP)
                (void) tunnel_detach_xdp(link->manager->tunnel, link->ifindex);
        return r;
}

const char *link_ingress_reason(const Link *link) {
        static const char *const reasons[] = {
                [UNDERPASS_INGRESS_AUTO] = N_("Bulk is merged into large segments on the way to the stack, "
                                              "single packets go there at once."),
                [UNDERPASS_INGRESS_TC] = N_("Every packet goes to the stack at once: the lowest latency."),
                [UNDERPASS_INGRESS_GRO] = N_("Everything is merged into large segments where it can be: the "
                                             "highest throughput."),
                [UNDERPASS_INGRESS_XDP] = N_("Datagrams are converted in front of the driver's own GRO."),
        };

        return link->ingress_trouble ? link->ingress_trouble : _(reasons[link->ingress]);
}

void link_leave_path(Link *link) {
        if (link->hop.kind == HOP_VLAN || link->hop.ifindex == 0)
                manager_leave_hop(link->manager, link->ifindex);
        link->hop = (Hop) {};
        link->ingress = UNDERPASS_INGRESS_AUTO;
        free(link->ingress_trouble);
        link->ingress_trouble = NULL;
}

int link_adopt_path(Link *link, LinkStage *ret_stage, char **ret_error) {
        TunnelPath path;
        Hop hop = {};
        int r;

        r = manager_ensure_hop(link->manager, link->ifindex, link->applied.raw_ip, &hop, ret_stage,
                               ret_error);
        if (r < 0)
                return r;
        path = link_path(link, &hop);
        r = tunnel_route(link->manager->tunnel, link->ifindex, &path);
        if (r < 0)
                return r;
        link_take_hop(link, &hop);
        return 0;
}

void link_take_hop(Link *link, const Hop *hop) {
        /* What an earlier service, or another kind, left on the link. */
        if (hop->kind != HOP_VLAN && (link->hop.ifindex == 0 ? link->adopted : link->hop.kind == HOP_VLAN))
                manager_leave_hop(link->manager, link->ifindex);
        link->hop = *hop;
        manager_sweep_hops(link->manager);
}
