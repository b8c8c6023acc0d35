/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Attaching to helper devices at once. A tcx link waits for an RCU grace period, some ten milliseconds; a
 * filter in a clsact qdisc does not. So a program comes as a filter, is at work, and is moved to tcx, where it
 * costs packets less, when nobody waits for it.
 *
 * Not for links: a clsact qdisc that comes or goes makes the kernel throw away what is queued at the device.
 * What was not moved before the service ended is moved by the next one, which attaches all programs anew.
 *
 * Part of the tunnel room (L3); libbpf only in tunnel-hook.c.
 */

#include "tunnel-bpf.h"

struct TunnelLate {
        uint32_t ifindex;
        TunnelDirection direction;
        TunnelProgram program;
        char *pin;
        TunnelLate *next;
};

static TunnelLate *late_free(TunnelLate *late) {
        if (!late)
                return NULL;
        free(late->pin);
        free(late);
        return NULL;
}

DEFINE_CLEANUP(TunnelLate *, late_free);

static TunnelLate *late_find(const Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction) {
        for (TunnelLate *late = tunnel->late; late; late = late->next)
                if (late->ifindex == ifindex && late->direction == direction)
                        return late;
        return NULL;
}

bool tunnel_late_may(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, const char *pin) {
        return tunnel->hook == TUNNEL_HOOK_TCX && !tunnel_hook_attached(tunnel, ifindex, direction, pin);
}

int tunnel_late_attach(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, TunnelProgram program,
                       const char *pin) {
        _cleanup_(late_freep) TunnelLate *late = NULL;
        TunnelLate **end = &tunnel->late;
        int r;

        late = calloc(1, sizeof(*late));
        if (!late)
                return -ENOMEM;
        *late = (TunnelLate) { .ifindex = ifindex, .direction = direction, .program = program };
        late->pin = strdup(pin);
        if (!late->pin)
                return -ENOMEM;
        r = tunnel_hook_attach_filter(tunnel, ifindex, direction, program);
        if (r < 0)
                return r;
        if (late_find(tunnel, ifindex, direction))
                return 0;
        while (*end)
                end = &(*end)->next;
        *end = TAKE_PTR(late);
        return 0;
}

void tunnel_late_forget(Tunnel *tunnel, uint32_t ifindex) {
        TunnelLate **place = &tunnel->late;

        while (*place) {
                TunnelLate *late = *place;

                if (ifindex != 0 && late->ifindex != ifindex) {
                        place = &late->next;
                        continue;
                }
                *place = late->next;
                late_free(late);
        }
}

bool tunnel_unsettled(const Tunnel *tunnel) {
        return tunnel->late != NULL;
}

int tunnel_settle(Tunnel *tunnel) {
        _cleanup_(late_freep) TunnelLate *late = tunnel->late;
        int r;

        if (!late)
                return 0;
        tunnel->late = late->next;
        tunnel_complain(tunnel, "%s", "");
        r = tunnel_hook_attach(tunnel, late->ifindex, late->direction, late->program, late->pin);
        return r < 0 ? r : tunnel_unsettled(tunnel);
}
