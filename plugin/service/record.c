/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See record.h. */

#include "service/record.h"

int record_adopt(Target *target, struct underpass_saved *ret) {
        Applied *applied = &target->applied;
        struct underpass_saved saved = {};
        int r;

        r = tunnel_saved_get(target->tunnel, target->ifindex, &saved);
        if (r < 0)
                return r;
        applied->raw_ip = saved.flags & UNDERPASS_SAVED_RAW_IP;
        applied->taken_in = saved.flags & UNDERPASS_SAVED_TAKEN_IN;
        applied->mtu_original = saved.mtu_original;
        applied->mtu_set = saved.mtu_set;
        /* The service was killed before it had set the one MTU in the place of the other. */
        if ((saved.flags & UNDERPASS_SAVED_MTU_CHANGES) && target->mtu != saved.mtu_set)
                applied->mtu_set = target->mtu;
        /* A record without attachment is what a service leaves that was killed in between: undone or
         * completed by the next plan. */
        applied->attached = tunnel_link(target->tunnel, target->ifindex, &applied->link) == 0;
        *ret = saved;
        return 0;
}

int record_write(const Target *target) {
        const Applied *applied = &target->applied;
        struct underpass_saved saved = {};
        int r;

        r = tunnel_saved_get(target->tunnel, target->ifindex, &saved);
        if (r < 0)
                return r;
        saved.mtu_original = applied->mtu_original;
        saved.mtu_set = applied->mtu_set;
        saved.flags &= ~(uint32_t) UNDERPASS_SAVED_MTU_CHANGES;
        saved.flags |= applied->mtu_changes ? UNDERPASS_SAVED_MTU_CHANGES : 0;
        saved.endpoints_count = (uint32_t) applied->endpoints_count;
        for (size_t i = 0; i < applied->endpoints_count; i++)
                memcpy(saved.endpoints[i], applied->endpoints[i].word, sizeof(saved.endpoints[i]));
        return tunnel_saved_set(target->tunnel, target->ifindex, &saved);
}

/* Why the link has a tunnel, as the record says it. */
static uint32_t reason_flags(const Target *target) {
        return target->asked_by | (target->taken_in ? UNDERPASS_SAVED_TAKEN_IN : 0);
}

int record_begin(const Target *target) {
        struct underpass_saved saved = {};
        int r;

        r = tunnel_saved_get(target->tunnel, target->ifindex, &saved);
        if (r != -ENOENT)
                return r;
        saved.flags = reason_flags(target);
        return tunnel_saved_set(target->tunnel, target->ifindex, &saved);
}

int record_write_reason(const Target *target) {
        const uint32_t mask = UNDERPASS_SAVED_FROM | UNDERPASS_SAVED_TAKEN_IN, flags = reason_flags(target);
        struct underpass_saved saved = {};
        int r;

        r = tunnel_saved_get(target->tunnel, target->ifindex, &saved);
        if (r < 0 || (saved.flags & mask) == flags)
                return r;
        saved.flags = (saved.flags & ~mask) | flags;
        return tunnel_saved_set(target->tunnel, target->ifindex, &saved);
}
