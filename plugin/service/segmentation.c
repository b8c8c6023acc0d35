/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The helper devices as the service sees them: made with the first link that is attached, of the best kind
 * that kernel and link allow, removed with the last one.
 */

#include <stdio.h>

#include "base/i18n.h"
#include "base/log.h"
#include "base/util.h"
#include "service/manager.h"

static TunnelHop tunnel_hop(const Hop *hop) {
        static const TunnelPlace places[] = {
                [HOP_PLACE_NONE] = TUNNEL_PLACE_NONE,
                [HOP_PLACE_INGRESS] = TUNNEL_PLACE_INGRESS,
                [HOP_PLACE_EGRESS] = TUNNEL_PLACE_EGRESS,
                [HOP_PLACE_NETKIT] = TUNNEL_PLACE_NETKIT,
        };

        return (TunnelHop) {
                .ifindex = hop->ifindex,
                .program_ifindex = hop->program_ifindex,
                .place = places[hop->place],
        };
}

/* A forced kind is the only one, except that a link which cannot have an 8021q device has a bridge. */
static bool may_use(const Manager *manager, HopKind kind, bool raw_ip) {
        const HopKind forced = manager->options.hop_kind;

        if (kind == HOP_VLAN && raw_ip)
                return false;
        if (forced == _HOP_KIND_MAX || forced == kind)
                return !manager->hop_denied[kind];
        return forced == HOP_VLAN && raw_ip && kind == HOP_BRIDGE;
}

/* Remembers why a kind was passed over, and says it once. Takes the reason. */
static void refuse(Manager *manager, HopKind kind, int error, char *reason) {
        _cleanup_(freep) char *said = manager->hop_refused[kind];

        manager->hop_refused[kind] = reason;
        manager->hop_denied[kind] |= error == -EOPNOTSUPP;
        if (reason && (!said || !streq(said, reason)))
                log_debug("No %s as segmentation hop: %s.", hop_kind_name(kind), reason);
}

/* One kind, from the devices to the program. */
static int try_kind(Manager *manager, HopKind kind, uint32_t ifindex, Hop *ret) {
        char *reason = NULL;
        TunnelHop target;
        Hop hop = {};
        int r;

        r = hop_ensure(kind, &manager->pair, ifindex, &hop, &reason);
        if (r < 0) {
                refuse(manager, kind, r, reason);
                return r;
        }
        target = tunnel_hop(&hop);
        r = hop_up(&hop);
        if (r >= 0)
                r = tunnel_set_hop(manager->tunnel, &target);
        if (r < 0) {
                refuse(manager, kind, -EIO, string_format("%s: %s", hop.name, strerror(-r)));
                if (manager->hops[kind].ifindex == 0) {
                        (void) tunnel_clear_hop(manager->tunnel, &target);
                        (void) hop_remove(kind, ifindex);
                }
                return r;
        }
        manager->hops[kind] = hop;
        *ret = hop;
        return 0;
}

static char *describe_refusals(const Manager *manager) {
        _cleanup_(freep) char *text = strdup("");

        for (HopKind kind = 0; text && kind < _HOP_KIND_MAX; kind++) {
                char *longer;

                if (!manager->hop_refused[kind])
                        continue;
                longer = string_format("%s%s%s: %s", text, *text ? "; " : "", hop_kind_name(kind),
                                       manager->hop_refused[kind]);
                free(text);
                text = longer;
        }
        return TAKE_PTR(text);
}

/* The merge pair with its program; the other devices stand on it. */
static int ensure_pair(Manager *manager, LinkStage *ret_stage, char **ret_error) {
        const bool first = manager->pair.send_ifindex == 0;
        HopPair pair = {};
        int r;

        r = hop_pair_ensure(&pair);
        if (r < 0) {
                *ret_stage = STAGE_HOP;
                if (r == -EEXIST)
                        *ret_error = string_format(_("A device named %s or %s exists and is not ours; "
                                                     "rename or remove it."),
                                                   HOP_NAME_SEND, HOP_NAME_RECEIVE);
                else
                        *ret_error = string_format(_("The segmentation hop %s cannot be made: %s."),
                                                   HOP_NAME_SEND, strerror(-r));
                return r;
        }
        r = tunnel_set_merge(manager->tunnel, pair.send_ifindex);
        if (r >= 0)
                r = hop_pair_up(&pair);
        if (r < 0) {
                *ret_stage = STAGE_LOAD;
                *ret_error = string_format(_("The BPF programs cannot be loaded: %s (%s). Needed are kernel "
                                             "6.1 or newer, CAP_BPF and CAP_NET_ADMIN."),
                                           strerror(-r), tunnel_complaint(manager->tunnel));
                manager_release_hop(manager);
                return r;
        }
        /* Said once, not for every link. */
        if (first && !streq(tunnel_complaint(manager->tunnel), ""))
                log_warning("The tunnel has %s.", tunnel_complaint(manager->tunnel));
        manager->pair = pair;
        return 0;
}

int manager_ensure_hop(Manager *manager, uint32_t ifindex, bool raw_ip, Hop *ret, LinkStage *ret_stage,
                       char **ret_error) {
        _cleanup_(freep) char *refusals = NULL;
        int r;

        if (manager->options.fake) {
                manager->pair = (HopPair) { .send_ifindex = UINT32_MAX, .receive_ifindex = UINT32_MAX };
                *ret = (Hop) { .kind = HOP_VETH, .ifindex = UINT32_MAX, .name = HOP_NAME_SEND };
                manager->hops[HOP_VETH] = *ret;
                return 0;
        }
        r = ensure_pair(manager, ret_stage, ret_error);
        if (r < 0)
                return r;
        r = -EOPNOTSUPP;
        for (HopKind kind = 0; r < 0 && kind < _HOP_KIND_MAX; kind++)
                if (may_use(manager, kind, raw_ip))
                        r = try_kind(manager, kind, ifindex, ret);
        if (r >= 0)
                return 0;
        refusals = describe_refusals(manager);
        *ret_stage = STAGE_HOP;
        *ret_error = string_format(_("No segmentation hop can be made: %s."), refusals ?: strerror(-r));
        manager_release_hop(manager);
        return r;
}

/* Whether a link uses a kind. Unknown of a link that is not looked at yet: yes. */
static bool in_use(const Manager *manager, HopKind kind) {
        for (const Link *link = manager->links; link; link = link->next)
                if ((link->applied.attached || link->adopted) &&
                    (link->hop.ifindex == 0 || link->hop.kind == kind))
                        return true;
        return false;
}

/* What the programs of another kind sit on has to be told where its devices may be an earlier service's. */
static TunnelHop leftover(const Manager *manager, HopKind kind) {
        const uint32_t send = manager->pair.send_ifindex, receive = manager->pair.receive_ifindex;
        const TunnelHop hops[_HOP_KIND_MAX] = {
                [HOP_NETKIT] = { 0, manager->hops[HOP_NETKIT].ifindex, TUNNEL_PLACE_NETKIT },
                [HOP_VLAN] = { 0, 0, TUNNEL_PLACE_NONE },
                [HOP_BRIDGE] = { 0, send, TUNNEL_PLACE_EGRESS },
                [HOP_VETH] = { 0, receive, TUNNEL_PLACE_INGRESS },
        };

        return hops[kind];
}

void manager_sweep_hops(Manager *manager) {
        if (manager->options.fake || manager->pair.send_ifindex == 0)
                return;
        for (HopKind kind = 0; kind < _HOP_KIND_MAX; kind++) {
                const TunnelHop hop = leftover(manager, kind);
                int r;

                if (in_use(manager, kind) || (manager->hops_swept && manager->hops[kind].ifindex == 0))
                        continue;
                manager->hops[kind] = (Hop) {};
                r = hop_remove(kind, 0);
                if (r >= 0)
                        r = tunnel_clear_hop(manager->tunnel, &hop);
                if (r < 0)
                        log_warning("The %s hop cannot be removed: %s.", hop_kind_name(kind), strerror(-r));
        }
        /* All that an earlier service made has been looked at once every link has. */
        for (const Link *link = manager->links; link; link = link->next)
                if ((link->applied.attached || link->adopted) && link->hop.ifindex == 0)
                        return;
        manager->hops_swept = true;
}

void manager_leave_hop(Manager *manager, uint32_t ifindex) {
        int r;

        if (manager->options.fake)
                return;
        r = hop_remove(HOP_VLAN, ifindex);
        if (r < 0)
                log_warning("The 8021q device of link %u cannot be removed: %s.", ifindex, strerror(-r));
}

bool manager_is_helper(const Manager *manager, uint32_t ifindex) {
        if (ifindex == 0)
                return false; /* that of what is not there */
        if (ifindex == manager->pair.send_ifindex || ifindex == manager->pair.receive_ifindex)
                return true;
        for (HopKind kind = 0; kind < _HOP_KIND_MAX; kind++)
                if (ifindex == manager->hops[kind].ifindex)
                        return true;
        for (const Link *link = manager->links; link; link = link->next)
                if (link->hop.kind == HOP_VLAN && ifindex == link->hop.ifindex)
                        return true;
        return false;
}

void manager_forget_hops(Manager *manager) {
        manager->pair = (HopPair) {};
        manager->hops_swept = false;
        for (HopKind kind = 0; kind < _HOP_KIND_MAX; kind++) {
                manager->hops[kind] = (Hop) {};
                manager->hop_denied[kind] = false;
                free(manager->hop_refused[kind]);
                manager->hop_refused[kind] = NULL;
        }
}

void manager_release_hop(Manager *manager) {
        int r;

        for (Link *link = manager->links; link; link = link->next)
                if (link->applied.attached || link->adopted)
                        return;
        r = tunnel_release(manager->tunnel);
        if (r < 0)
                log_warning("The pins cannot be removed: %s.", strerror(-r));
        for (HopKind kind = 0; !manager->options.fake && kind < _HOP_KIND_MAX; kind++) {
                r = hop_remove(kind, 0);
                if (r < 0)
                        log_warning("The %s hop cannot be removed: %s.", hop_kind_name(kind), strerror(-r));
        }
        r = manager->options.fake ? 0 : hop_pair_remove();
        if (r < 0)
                log_warning("The merge pair cannot be removed: %s.", strerror(-r));
        manager_forget_hops(manager);
}
