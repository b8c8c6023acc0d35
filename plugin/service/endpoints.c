/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See endpoints.h. */

#include "base/log.h"
#include "kernel/sock-diag.h"
#include "service/endpoints.h"
#include "service/record.h"

/* The endpoint with this address on this link, or NULL. */
static const MptcpEndpoint *find_endpoint(const MptcpEndpoint *endpoints, size_t count, uint32_t ifindex,
                                          const Address *address) {
        for (size_t i = 0; i < count; i++)
                if (endpoints[i].ifindex == ifindex && address_equal(&endpoints[i].address, address))
                        return &endpoints[i];
        return NULL;
}

void endpoints_adopt(Target *target, const struct underpass_saved *saved) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        Applied *applied = &target->applied;
        size_t count = 0;

        if (target->mptcp_pm)
                (void) mptcp_pm_dump(target->mptcp_pm, &endpoints, &count);
        applied->endpoints_count = MIN_OF(saved->endpoints_count, ELEMENTS(applied->endpoints));
        for (size_t i = 0; i < applied->endpoints_count; i++) {
                const MptcpEndpoint *endpoint;

                memcpy(applied->endpoints[i].word, saved->endpoints[i], sizeof(saved->endpoints[i]));
                endpoint = find_endpoint(endpoints, count, target->ifindex, &applied->endpoints[i]);
                if (endpoint)
                        applied->endpoint_flags = endpoint->flags;
        }
}

/* Removes those of ours that are not wanted; goes on where one cannot be removed, and returns that error. */
static int remove_unwanted(Target *target, const Address *wanted, size_t wanted_count) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        Applied *applied = &target->applied;
        size_t count = 0, kept = 0;
        int result = 0, r;

        if (applied->endpoints_count == 0 || !target->mptcp_pm)
                return 0;
        r = mptcp_pm_dump(target->mptcp_pm, &endpoints, &count);
        if (r < 0)
                return r;
        for (size_t i = 0; i < applied->endpoints_count; i++) {
                const Address address = applied->endpoints[i];
                const MptcpEndpoint *endpoint = find_endpoint(endpoints, count, target->ifindex, &address);

                if (addresses_contain(wanted, wanted_count, &address)) {
                        applied->endpoints[kept++] = address;
                        continue;
                }
                r = endpoint ? mptcp_pm_remove(target->mptcp_pm, endpoint) : 0;
                if (r < 0 && r != -ENOENT) {
                        applied->endpoints[kept++] = address;
                        result = r;
                }
        }
        applied->endpoints_count = kept;
        return result;
}

/* Registers one that is missing, and records it before. */
static int add_one(Target *target, const Address *address, uint32_t flags) {
        const MptcpEndpoint endpoint = { .address = *address, .flags = flags, .ifindex = target->ifindex };
        Applied *applied = &target->applied;
        int r;

        if (!addresses_contain(applied->endpoints, applied->endpoints_count, address)) {
                if (applied->endpoints_count == ELEMENTS(applied->endpoints))
                        return -ENOSPC;
                applied->endpoints[applied->endpoints_count++] = *address;
        }
        r = record_write(target);
        if (r >= 0)
                r = mptcp_pm_add(target->mptcp_pm, &endpoint);
        if (r >= 0 || r == -EEXIST)
                return 0;
        for (size_t i = 0; i < applied->endpoints_count; i++)
                if (address_equal(&applied->endpoints[i], address))
                        applied->endpoints[i] = applied->endpoints[--applied->endpoints_count];
        (void) record_write(target);
        return r;
}

static int add_missing(Target *target, const Address *wanted, size_t wanted_count, uint32_t flags) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        size_t count = 0;
        int r;

        if (!target->mptcp_pm)
                return -EOPNOTSUPP;
        r = mptcp_pm_dump(target->mptcp_pm, &endpoints, &count);
        for (size_t i = 0; r >= 0 && i < wanted_count; i++)
                if (!find_endpoint(endpoints, count, target->ifindex, &wanted[i]))
                        r = add_one(target, &wanted[i], flags);
        return r;
}

int endpoints_put_back(Target *target, const Applied *before) {
        Applied *applied = &target->applied;
        const bool other_flags = applied->endpoint_flags != before->endpoint_flags;
        int removed, added = 0;

        removed = remove_unwanted(target, before->endpoints, other_flags ? 0 : before->endpoints_count);
        applied->endpoint_flags = before->endpoint_flags;
        if (before->endpoints_count > 0)
                added = add_missing(target, before->endpoints, before->endpoints_count,
                                    before->endpoint_flags);
        else
                (void) record_write(target);
        return added < 0 ? added : removed;
}

int endpoints_remove_others(Target *target, const Address *wanted, size_t count) {
        const Applied before = target->applied;
        int r;

        r = remove_unwanted(target, wanted, count);
        if (r < 0)
                (void) endpoints_put_back(target, &before);
        else
                (void) record_write(target);
        return r;
}

int endpoints_add_missing(Target *target, const Address *wanted, size_t count, uint32_t flags) {
        const Applied before = target->applied;
        int r;

        /* Written first: what is undone has these flags. */
        target->applied.endpoint_flags = flags;
        r = add_missing(target, wanted, count, flags);
        if (r < 0)
                (void) endpoints_put_back(target, &before);
        return r;
}

void endpoints_remove_all(Target *target) {
        (void) remove_unwanted(target, NULL, 0);
}

static size_t subflows_from(const Address *address) {
        size_t count = 0;

        return sock_diag_mptcp_subflows(address, &count) < 0 ? 0 : count;
}

static bool builds_subflows(const Target *target, const MptcpEndpoint *endpoint) {
        return endpoint->ifindex == target->ifindex && (endpoint->flags & ENDPOINT_SUBFLOW);
}

/* The same, or announces it, so that peers build subflows to it. */
static bool brings_subflows(const Target *target, const MptcpEndpoint *endpoint) {
        return endpoint->ifindex == target->ifindex &&
               (endpoint->flags & (ENDPOINT_SUBFLOW | ENDPOINT_SIGNAL));
}

static void register_again(const Target *target, const MptcpEndpoint *endpoint) {
        MptcpEndpoint again = *endpoint;
        int r;

        r = mptcp_pm_remove(target->mptcp_pm, endpoint);
        if (r >= 0)
                r = mptcp_pm_add(target->mptcp_pm, &again);
        if (r == -EBUSY) {
                /* Between the two requests somebody has registered an address, and it got the id. */
                again.id = 0;
                r = mptcp_pm_add(target->mptcp_pm, &again);
        }
        if (r < 0 && r != -ENOENT && r != -EEXIST)
                log_line(LOG_WARNING, target->name, link_stage_name(STAGE_ENDPOINT),
                         "An MPTCP endpoint cannot be registered again: %s; new connections use the tunnel "
                         "all the same.",
                         strerror(-r));
}

void endpoints_reannounce(Target *target, bool young) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        size_t count = 0;

        if (!target->mptcp_pm || mptcp_pm_dump(target->mptcp_pm, &endpoints, &count) < 0)
                return;
        for (size_t i = 0; i < count; i++) {
                size_t subflows;

                if (!builds_subflows(target, &endpoints[i]))
                        continue;
                subflows = subflows_from(&endpoints[i].address);
                if (subflows > 0 && !young)
                        log_line(LOG_INFO, target->name, NULL,
                                 "%zu subflows were established outside of the tunnel and stay there until "
                                 "they end.",
                                 subflows);
                else
                        register_again(target, &endpoints[i]);
        }
}

/* Whether there are more than this many MPTCP connections that a subflow of this endpoint could join. */
static bool could_join(const MptcpEndpoint *endpoint, const Address *others, size_t others_count,
                       size_t connections) {
        for (size_t i = 0; i < others_count; i++)
                if (address_is_ipv4(&others[i]) == address_is_ipv4(&endpoint->address) &&
                    subflows_from(&others[i]) > connections)
                        return true;
        return false;
}

bool endpoints_bring_subflows(const Target *target, const MptcpEndpoint *endpoints, size_t count) {
        for (size_t i = 0; i < count; i++)
                if (brings_subflows(target, &endpoints[i]))
                        return true;
        return false;
}

SubflowLook endpoints_retry_subflows(Target *target, const Address *others, size_t others_count,
                                     bool missed) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        SubflowLook look = SUBFLOWS_COMPLETE;
        size_t count = 0;

        if (!target->mptcp_pm || mptcp_pm_dump(target->mptcp_pm, &endpoints, &count) < 0)
                return look;
        for (size_t i = 0; i < count; i++) {
                size_t subflows;

                if (!brings_subflows(target, &endpoints[i]))
                        continue;
                subflows = subflows_from(&endpoints[i].address);
                if (builds_subflows(target, &endpoints[i]) ?
                            !could_join(&endpoints[i], others, others_count, subflows) :
                            !missed)
                        continue;
                if (subflows > 0) {
                        look = MAX_OF(look, SUBFLOWS_IN_USE);
                        continue;
                }
                register_again(target, &endpoints[i]);
                look = SUBFLOWS_RETRIED;
        }
        return look;
}
