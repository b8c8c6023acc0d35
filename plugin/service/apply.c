/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The steps of a plan, done in order and undone in reverse: tunnel, MTU, MPTCP endpoints. Each change is
 * recorded before it is made, so that a service that is killed in between leaves nothing that the next one
 * does not know of.
 */

#include <stdio.h>

#include "base/i18n.h"
#include "base/log.h"
#include "kernel/link-tune.h"
#include "service/manager.h"

static int save(const Link *link) {
        Tunnel *tunnel = link->manager->tunnel;
        struct underpass_saved saved = {};
        int r;

        r = tunnel_saved_get(tunnel, link->ifindex, &saved);
        if (r < 0)
                return r;
        saved.mtu_original = link->applied.mtu_original;
        saved.mtu_set = link->applied.mtu_set;
        saved.endpoints_count = (uint32_t) link->applied.endpoints_count;
        for (size_t i = 0; i < link->applied.endpoints_count; i++)
                memcpy(saved.endpoints[i], link->applied.endpoints[i].word, sizeof(saved.endpoints[i]));
        return tunnel_saved_set(tunnel, link->ifindex, &saved);
}

static bool contains(const Address *addresses, size_t count, const Address *address) {
        for (size_t i = 0; i < count; i++)
                if (address_equal(&addresses[i], address))
                        return true;
        return false;
}

/* The endpoint with this address on this link, or NULL. */
static const MptcpEndpoint *find_endpoint(const MptcpEndpoint *endpoints, size_t count, uint32_t ifindex,
                                          const Address *address) {
        for (size_t i = 0; i < count; i++)
                if (endpoints[i].ifindex == ifindex && address_equal(&endpoints[i].address, address))
                        return &endpoints[i];
        return NULL;
}

/* Removes endpoints of ours that are not among the wanted ones. */
static int remove_endpoints(Link *link, const Address *wanted, size_t wanted_count) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        MptcpPm *pm = link->manager->mptcp_pm;
        Applied *applied = &link->applied;
        size_t count = 0, kept = 0;
        int result = 0, r;

        if (applied->endpoints_count == 0 || !pm)
                return 0;
        r = mptcp_pm_dump(pm, &endpoints, &count);
        if (r < 0)
                return r;
        for (size_t i = 0; i < applied->endpoints_count; i++) {
                const MptcpEndpoint *endpoint =
                        find_endpoint(endpoints, count, link->ifindex, &applied->endpoints[i]);

                if (contains(wanted, wanted_count, &applied->endpoints[i])) {
                        applied->endpoints[kept++] = applied->endpoints[i];
                        continue;
                }
                r = endpoint ? mptcp_pm_remove(pm, endpoint) : 0;
                if (r < 0 && r != -ENOENT) {
                        applied->endpoints[kept++] = applied->endpoints[i];
                        result = r;
                }
        }
        applied->endpoints_count = kept;
        return result;
}

void link_remove_endpoints(Link *link) {
        (void) remove_endpoints(link, NULL, 0);
}

void link_adopt_endpoints(Link *link, const struct underpass_saved *saved) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        Applied *applied = &link->applied;
        size_t count = 0;

        if (link->manager->mptcp_pm)
                (void) mptcp_pm_dump(link->manager->mptcp_pm, &endpoints, &count);
        applied->endpoints_count = MIN_OF(saved->endpoints_count, ELEMENTS(applied->endpoints));
        for (size_t i = 0; i < applied->endpoints_count; i++) {
                const MptcpEndpoint *endpoint;

                memcpy(applied->endpoints[i].word, saved->endpoints[i], sizeof(saved->endpoints[i]));
                endpoint = find_endpoint(endpoints, count, link->ifindex, &applied->endpoints[i]);
                if (endpoint)
                        applied->endpoint_flags = endpoint->flags;
        }
}

static int add_endpoints(Link *link, const Plan *plan) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        MptcpPm *pm = link->manager->mptcp_pm;
        Applied *applied = &link->applied;
        size_t count = 0;
        int r;

        if (!pm)
                return -EOPNOTSUPP;
        r = mptcp_pm_dump(pm, &endpoints, &count);
        if (r < 0)
                return r;
        for (size_t i = 0; i < plan->endpoints_count; i++) {
                MptcpEndpoint endpoint = {
                        .address = plan->endpoints[i],
                        .flags = plan->endpoint_flags,
                        .ifindex = link->ifindex,
                };

                if (find_endpoint(endpoints, count, link->ifindex, &endpoint.address))
                        continue; /* ours already, or somebody else's: left to them */
                if (!contains(applied->endpoints, applied->endpoints_count, &endpoint.address)) {
                        if (applied->endpoints_count == ELEMENTS(applied->endpoints))
                                return -ENOSPC;
                        applied->endpoints[applied->endpoints_count++] = endpoint.address;
                }
                r = save(link);
                if (r >= 0)
                        r = mptcp_pm_add(pm, &endpoint);
                if (r < 0 && r != -EEXIST)
                        return r;
        }
        applied->endpoint_flags = plan->endpoint_flags;
        return 0;
}

/* Gives the MTU back, but only if it still is what we set. */
static int restore_mtu(Link *link) {
        Applied *applied = &link->applied;
        int r = 0;

        if (applied->mtu_original != 0 && link->facts->mtu == applied->mtu_set)
                r = link_tune_set_mtu(link->ifindex, applied->mtu_original);
        if (r < 0)
                return r;
        applied->mtu_original = 0;
        applied->mtu_set = 0;
        (void) save(link);
        return 0;
}

static int set_mtu(Link *link, uint32_t mtu) {
        Applied *applied = &link->applied;
        int r;

        /* What others have set since is what they will want to have back. */
        if (link->facts->mtu != applied->mtu_set)
                applied->mtu_original = link->facts->mtu;
        applied->mtu_set = mtu;
        r = save(link);
        if (r < 0)
                return r;
        r = link_tune_set_mtu(link->ifindex, mtu);
        if (r >= 0)
                link->facts->mtu = mtu;
        return r;
}

static int attach(Link *link, const Plan *plan, LinkStage *ret_stage, char **ret_error) {
        struct underpass_link settings = plan->link;
        TunnelPath path;
        SegmentationDevice device = {};
        int r;

        r = manager_ensure_segment(link->manager, link->ifindex, plan->raw_ip, &device, ret_stage,
                                   ret_error);
        if (r < 0)
                return r;
        path = link_path(link, &device);
        r = tunnel_attach(link->manager->tunnel, link->ifindex, plan->raw_ip, &path, &settings);
        if (r < 0) {
                *ret_stage = STAGE_ATTACH;
                if (r == -ENODEV)
                        *ret_error = string_format(_("%s vanished while the tunnel was being attached."),
                                                   link_name(link));
                else
                        *ret_error = string_format(_("The tunnel cannot be attached to %s: %s (%s). "
                                                     "`underpassctl status` shows what the kernel can do."),
                                                   link_name(link), strerror(-r),
                                                   tunnel_error(link->manager->tunnel));
                return r;
        }
        link->applied.attached = true;
        link->applied.raw_ip = plan->raw_ip;
        link->applied.link = settings;
        link_take_segment(link, &device);
        (void) link_choose_receive(link);
        return 0;
}

static int detach(Link *link) {
        int r;

        r = tunnel_detach(link->manager->tunnel, link->ifindex);
        link_leave_path(link);
        link->applied = (Applied) {};
        link->adopted = false;
        manager_sweep_segments(link->manager);
        manager_release_segment(link->manager);
        return r;
}

static char *describe(LinkStage stage, const Link *link, const Plan *plan, int r) {
        switch (stage) {
        case STAGE_MTU:
                return string_format(_("The MTU of %s cannot be set to %u: %s. Choose a value that the "
                                       "device allows, or remove underpass.mtu."),
                                     link_name(link), plan->mtu, strerror(-r));
        case STAGE_ENDPOINT:
                return string_format(_("MPTCP endpoints cannot be set for %s: %s. Is net.mptcp.enabled=1, "
                                       "and are there fewer than eight endpoints?"),
                                     link_name(link), strerror(-r));
        case STAGE_ATTACH:
                return string_format(_("The tunnel cannot be taken off %s: %s."), link_name(link),
                                     strerror(-r));
        case STAGE_NONE:
        case STAGE_FACTS:
        case STAGE_PROFILE:
        case STAGE_LOAD:
        case STAGE_SEGMENTATION:
        case _LINK_STAGE_MAX:
                break;
        }
        return string_format("%s", strerror(-r));
}

/* Back to what was in force before this call. What cannot be undone is left to the delayed retry. */
static void undo(Link *link, const Applied *before) {
        (void) remove_endpoints(link, before->endpoints, before->endpoints_count);
        if (link->applied.mtu_set != before->mtu_set)
                (void) restore_mtu(link);
        if (!before->attached && link->applied.attached) {
                (void) detach(link);
        } else if (before->attached) {
                const TunnelPath path = link_path(link, &link->device);
                struct underpass_link settings = before->link;

                if (tunnel_attach(link->manager->tunnel, link->ifindex, before->raw_ip, &path, &settings) >=
                    0) {
                        link->applied.link = settings;
                        (void) link_choose_receive(link);
                }
        }
        manager_release_segment(link->manager);
}

static int run_step(Link *link, const Plan *plan, PlanStep step, LinkStage *ret_stage, char **ret_error) {
        switch (step) {
        case STEP_RESTORE_ENDPOINTS:
                *ret_stage = STAGE_ENDPOINT;
                return remove_endpoints(
                        link, plan->endpoints,
                        plan->endpoint_flags == link->applied.endpoint_flags ? plan->endpoints_count : 0);
        case STEP_RESTORE_MTU:
                *ret_stage = STAGE_MTU;
                return restore_mtu(link);
        case STEP_DETACH:
                *ret_stage = STAGE_ATTACH;
                return detach(link);
        case STEP_ATTACH:
        case STEP_SETTINGS:
                return attach(link, plan, ret_stage, ret_error);
        case STEP_MTU:
                *ret_stage = STAGE_MTU;
                return set_mtu(link, plan->mtu);
        case STEP_ENDPOINTS:
                *ret_stage = STAGE_ENDPOINT;
                return add_endpoints(link, plan);
        case STEP_ANNOUNCE:
                return 0; /* not here: announce.c */
        }
        return -EINVAL;
}

int link_apply(Link *link, const Plan *plan, uint32_t steps, LinkStage *ret_stage, char **ret_error) {
        const PlanStep order[] = {
                STEP_RESTORE_ENDPOINTS, STEP_RESTORE_MTU, STEP_DETACH, STEP_ATTACH,
                STEP_SETTINGS,          STEP_MTU,         STEP_ENDPOINTS,
        };
        Applied before = link->applied;

        for (size_t i = 0; i < ELEMENTS(order); i++) {
                LinkStage stage = STAGE_NONE;
                char *error = NULL;
                int r;

                if (!(steps & order[i]))
                        continue;
                r = run_step(link, plan, order[i], &stage, &error);
                if (r < 0) {
                        *ret_stage = stage;
                        *ret_error = error ?: describe(stage, link, plan, r);
                        undo(link, &before);
                        return r;
                }
        }
        return 0;
}
