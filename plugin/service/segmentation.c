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

/* A forced kind is the only one, except that a link which cannot have an 8021q device has a bridge. */
static bool may_use(const Manager *manager, SegmentKind kind, bool raw_ip) {
        const SegmentKind forced = manager->options.segment_kind;

        if (kind == SEGMENT_VLAN && raw_ip)
                return false;
        if (forced == _SEGMENT_KIND_MAX || forced == kind)
                return !manager->segment_denied[kind];
        return forced == SEGMENT_VLAN && raw_ip && kind == SEGMENT_BRIDGE;
}

/* Remembers why a kind was passed over, and says it once. Takes the reason. */
static void refuse(Manager *manager, SegmentKind kind, int error, char *reason) {
        _cleanup_(freep) char *said = manager->segment_refused[kind];

        manager->segment_refused[kind] = reason;
        manager->segment_denied[kind] |= error == -EOPNOTSUPP;
        if (reason && (!said || !streq(said, reason)))
                log_debug("No %s as segmentation device: %s.", segment_kind_name(kind), reason);
}

/* One kind, from the devices to the program. */
static int try_kind(Manager *manager, SegmentKind kind, uint32_t ifindex, SegmentationDevice *ret) {
        char *reason = NULL;
        SegmentationDevice device = {};
        int r;

        r = segment_ensure(kind, &manager->pair, ifindex, &device, &reason);
        if (r < 0) {
                refuse(manager, kind, r, reason);
                return r;
        }
        r = segment_up(&device);
        if (r >= 0)
                r = tunnel_set_device(manager->tunnel, &device);
        if (r < 0) {
                refuse(manager, kind, -EIO, string_format("%s: %s", device.name, strerror(-r)));
                if (manager->devices[kind].ifindex == 0) {
                        (void) tunnel_clear_device(manager->tunnel, &device);
                        (void) segment_remove(kind, ifindex);
                }
                return r;
        }
        manager->devices[kind] = device;
        *ret = device;
        return 0;
}

static char *describe_refusals(const Manager *manager) {
        _cleanup_(freep) char *text = strdup("");

        for (SegmentKind kind = 0; text && kind < _SEGMENT_KIND_MAX; kind++) {
                char *longer;

                if (!manager->segment_refused[kind])
                        continue;
                longer = string_format("%s%s%s: %s", text, *text ? "; " : "", segment_kind_name(kind),
                                       manager->segment_refused[kind]);
                free(text);
                text = longer;
        }
        return TAKE_PTR(text);
}

/* The GRO pair with its program; the other devices stand on it. */
static int ensure_pair(Manager *manager, LinkStage *ret_stage, char **ret_error) {
        const bool first = manager->pair.send_ifindex == 0;
        GroPair pair = {};
        int r;

        r = gro_pair_ensure(&pair);
        if (r < 0) {
                *ret_stage = STAGE_SEGMENTATION;
                if (r == -EEXIST)
                        *ret_error = string_format(_("A device named %s or %s exists and is not ours; "
                                                     "rename or remove it."),
                                                   SEGMENT_NAME_SEND, SEGMENT_NAME_RECEIVE);
                else
                        *ret_error = string_format(_("The segmentation hop %s cannot be made: %s."),
                                                   SEGMENT_NAME_SEND, strerror(-r));
                return r;
        }
        r = tunnel_set_gro(manager->tunnel, pair.send_ifindex);
        if (r >= 0)
                r = gro_pair_up(&pair);
        if (r < 0) {
                *ret_stage = STAGE_LOAD;
                *ret_error = string_format(_("The BPF programs cannot be loaded: %s (%s). Needed are kernel "
                                             "6.1 or newer, CAP_BPF and CAP_NET_ADMIN."),
                                           strerror(-r), tunnel_error(manager->tunnel));
                manager_release_segment(manager);
                return r;
        }
        /* Said once, not for every link. */
        if (first && !streq(tunnel_error(manager->tunnel), ""))
                log_warning("The tunnel has %s.", tunnel_error(manager->tunnel));
        manager->pair = pair;
        return 0;
}

int manager_ensure_segment(Manager *manager, uint32_t ifindex, bool raw_ip, SegmentationDevice *ret,
                           LinkStage *ret_stage, char **ret_error) {
        _cleanup_(freep) char *refusals = NULL;
        int r;

        if (manager->options.fake) {
                manager->pair = (GroPair) { .send_ifindex = UINT32_MAX, .receive_ifindex = UINT32_MAX };
                *ret = (SegmentationDevice){ .kind = SEGMENT_VETH,
                                             .ifindex = UINT32_MAX,
                                             .name = SEGMENT_NAME_SEND };
                manager->devices[SEGMENT_VETH] = *ret;
                return 0;
        }
        r = ensure_pair(manager, ret_stage, ret_error);
        if (r < 0)
                return r;
        r = -EOPNOTSUPP;
        for (SegmentKind kind = 0; r < 0 && kind < _SEGMENT_KIND_MAX; kind++)
                if (may_use(manager, kind, raw_ip))
                        r = try_kind(manager, kind, ifindex, ret);
        if (r >= 0)
                return 0;
        refusals = describe_refusals(manager);
        *ret_stage = STAGE_SEGMENTATION;
        *ret_error = string_format(_("No segmentation hop can be made: %s."), refusals ?: strerror(-r));
        manager_release_segment(manager);
        return r;
}

/* Whether a link uses a kind. Unknown of a link that is not looked at yet: yes. */
static bool in_use(const Manager *manager, SegmentKind kind) {
        for (const Link *link = manager->links; link; link = link->next)
                if ((link->applied.attached || link->adopted) &&
                    (link->device.ifindex == 0 || link->device.kind == kind))
                        return true;
        return false;
}

/* What the programs of another kind sit on has to be told where its devices may be an earlier service's. */
static SegmentationDevice leftover(const Manager *manager, SegmentKind kind) {
        const uint32_t send = manager->pair.send_ifindex, receive = manager->pair.receive_ifindex;
        const SegmentationDevice devices[_SEGMENT_KIND_MAX] = {
                [SEGMENT_NETKIT] = { .program_ifindex = manager->devices[SEGMENT_NETKIT].ifindex,
                                     .place = SEGMENT_PLACE_NETKIT },
                [SEGMENT_VLAN] = { .place = SEGMENT_PLACE_NONE },
                [SEGMENT_BRIDGE] = { .program_ifindex = send, .place = SEGMENT_PLACE_EGRESS },
                [SEGMENT_VETH] = { .program_ifindex = receive, .place = SEGMENT_PLACE_INGRESS },
        };

        return devices[kind];
}

void manager_sweep_segments(Manager *manager) {
        if (manager->options.fake || manager->pair.send_ifindex == 0)
                return;
        for (SegmentKind kind = 0; kind < _SEGMENT_KIND_MAX; kind++) {
                const SegmentationDevice device = leftover(manager, kind);
                int r;

                if (in_use(manager, kind) ||
                    (manager->segments_swept && manager->devices[kind].ifindex == 0))
                        continue;
                manager->devices[kind] = (SegmentationDevice) {};
                r = segment_remove(kind, 0);
                if (r >= 0)
                        r = tunnel_clear_device(manager->tunnel, &device);
                if (r < 0)
                        log_warning("The %s segmentation device cannot be removed: %s.",
                                    segment_kind_name(kind), strerror(-r));
        }
        /* All that an earlier service made has been looked at once every link has. */
        for (const Link *link = manager->links; link; link = link->next)
                if ((link->applied.attached || link->adopted) && link->device.ifindex == 0)
                        return;
        manager->segments_swept = true;
}

void manager_leave_segment(Manager *manager, uint32_t ifindex) {
        int r;

        if (manager->options.fake)
                return;
        r = segment_remove(SEGMENT_VLAN, ifindex);
        if (r < 0)
                log_warning("The 8021q device of link %u cannot be removed: %s.", ifindex, strerror(-r));
}

bool manager_is_helper(const Manager *manager, uint32_t ifindex) {
        if (ifindex == 0)
                return false; /* that of what is not there */
        if (ifindex == manager->pair.send_ifindex || ifindex == manager->pair.receive_ifindex)
                return true;
        for (SegmentKind kind = 0; kind < _SEGMENT_KIND_MAX; kind++)
                if (ifindex == manager->devices[kind].ifindex)
                        return true;
        for (const Link *link = manager->links; link; link = link->next)
                if (link->device.kind == SEGMENT_VLAN && ifindex == link->device.ifindex)
                        return true;
        return false;
}

void manager_forget_segments(Manager *manager) {
        manager->pair = (GroPair) {};
        manager->segments_swept = false;
        for (SegmentKind kind = 0; kind < _SEGMENT_KIND_MAX; kind++) {
                manager->devices[kind] = (SegmentationDevice) {};
                manager->segment_denied[kind] = false;
                free(manager->segment_refused[kind]);
                manager->segment_refused[kind] = NULL;
        }
}

void manager_release_segment(Manager *manager) {
        int r;

        for (Link *link = manager->links; link; link = link->next)
                if (link->applied.attached || link->adopted)
                        return;
        r = tunnel_release(manager->tunnel);
        if (r < 0)
                log_warning("The pins cannot be removed: %s.", strerror(-r));
        for (SegmentKind kind = 0; !manager->options.fake && kind < _SEGMENT_KIND_MAX; kind++) {
                r = segment_remove(kind, 0);
                if (r < 0)
                        log_warning("The %s segmentation device cannot be removed: %s.",
                                    segment_kind_name(kind), strerror(-r));
        }
        r = manager->options.fake ? 0 : gro_pair_remove();
        if (r < 0)
                log_warning("The merge pair cannot be removed: %s.", strerror(-r));
        manager_forget_segments(manager);
}
