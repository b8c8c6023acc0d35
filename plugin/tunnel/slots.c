/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See slots.h. */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tunnel/flows.h"
#include "tunnel/layout.h"
#include "tunnel/slots.h"

/* What is known of each slot. */
typedef struct SlotUse {
        bool taken[UNDERPASS_LINKS_MAX + 1];       /* by a link that has a record */
        bool rests[UNDERPASS_LINKS_MAX + 1];
        uint64_t seen_ns[UNDERPASS_LINKS_MAX + 1]; /* last packet of a flow that names it; 0: none does */
} SlotUse;

/*
 * All values of a map, which has at most max elements with keys of 32 bits, by one system call: a thousand
 * links would need a million otherwise. The caller frees *ret_keys and *ret_values.
 */
static int read_all(int map, size_t max, size_t value_size, uint32_t **ret_keys, void **ret_values,
                    uint32_t *ret_count) {
        _cleanup_(freep) uint32_t *keys = calloc(max, sizeof(*keys));
        _cleanup_(freep) void *values = calloc(max, value_size);
        uint32_t count = (uint32_t) max;
        uint32_t position; /* of the next call, which is not needed */
        int r;

        if (!keys || !values)
                return -ENOMEM;
        r = bpf_map_lookup_batch(map, NULL, &position, keys, values, &count, NULL);
        if (r < 0 && r != -ENOENT) /* that is the end, with the last elements */
                return r;
        *ret_keys = TAKE_PTR(keys);
        *ret_values = TAKE_PTR(values);
        *ret_count = count;
        return 0;
}

static int read_links(Tunnel *tunnel, SlotUse *use) {
        _cleanup_(freep) uint32_t *indexes = NULL;
        _cleanup_(freep) void *values = NULL;
        uint32_t count;
        int r;

        r = read_all(tunnel->maps[MAP_SAVED], UNDERPASS_LINKS_MAX, tunnel->saved_size, &indexes, &values,
                     &count);
        if (r < 0)
                return r;
        for (size_t i = 0; i < count; i++) {
                struct underpass_saved saved;

                r = layout_read(&layout_saved, (const char *) values + i * tunnel->saved_size,
                                tunnel->saved_size, &saved);
                if (r < 0)
                        return r;
                if (saved.slot <= UNDERPASS_LINKS_MAX)
                        use->taken[saved.slot] = true;
        }
        return 0;
}

static int note_flow(const struct underpass_flow_key *key, const struct underpass_flow *flow,
                     void *userdata) {
        SlotUse *use = userdata;

        if (flow->slot <= UNDERPASS_LINKS_MAX)
                use->seen_ns[flow->slot] = MAX_OF(use->seen_ns[flow->slot], MAX_OF(flow->seen_ns, 1ULL));
        return 0;
}

static int read_slots(Tunnel *tunnel, uint32_t **ret_slots, void **ret_entries, uint32_t *ret_count) {
        return read_all(tunnel->maps[MAP_SLOTS], UNDERPASS_LINKS_MAX + 1, sizeof(struct underpass_slot),
                        ret_slots, ret_entries, ret_count);
}

static int read_rests(Tunnel *tunnel, SlotUse *use) {
        _cleanup_(freep) uint32_t *slots = NULL;
        _cleanup_(freep) void *values = NULL;
        uint32_t count = 0;
        int r;

        /* What cannot be read is not given away. */
        memset(use->rests, true, sizeof(use->rests));
        r = read_slots(tunnel, &slots, &values, &count);
        for (uint32_t i = 0; i < count; i++) {
                const struct underpass_slot *entry = (const struct underpass_slot *) values + i;

                if (slots[i] <= UNDERPASS_LINKS_MAX)
                        use->rests[slots[i]] = entry->flags & UNDERPASS_SLOT_RESTS;
        }
        return r;
}

static int set_flags(Tunnel *tunnel, uint32_t slot, uint32_t flags) {
        const struct underpass_slot entry = { .flags = flags };

        return bpf_map_update_elem(tunnel->maps[MAP_SLOTS], &slot, &entry, BPF_ANY);
}

/* The first slot without link that does not rest; 0: there is none. */
static uint32_t find_fresh(const SlotUse *use) {
        for (uint32_t slot = 1; slot <= UNDERPASS_LINKS_MAX; slot++)
                if (!use->taken[slot] && !use->rests[slot])
                        return slot;
        return 0;
}

/* Called where all slots without link rest: those that no flow names any more have rested enough. */
static int wake(Tunnel *tunnel, SlotUse *use) {
        int r;

        r = flows_each_record(tunnel, note_flow, use);
        for (uint32_t slot = 1; r == 0 && slot <= UNDERPASS_LINKS_MAX; slot++)
                if (!use->taken[slot] && use->seen_ns[slot] == 0) {
                        r = set_flags(tunnel, slot, 0);
                        use->rests[slot] = r < 0;
                }
        return r;
}

/* Deletes the flows of a slot from a map. The walk steps on before it deletes, or it would begin anew; flows
 * that come and go meanwhile may do that, so it is bounded. */
static void forget_flows(int map, uint32_t slot) {
        struct underpass_flow_key key = {}, next = {};
        struct underpass_flow flow;
        int r = bpf_map_get_next_key(map, NULL, &key);

        for (size_t i = 0; r == 0 && i < 2 * UNDERPASS_FLOWS_MAX; i++) {
                const bool ours = bpf_map_lookup_elem(map, &key, &flow) == 0 && flow.slot == slot;

                r = bpf_map_get_next_key(map, &key, &next);
                if (ours)
                        (void) bpf_map_delete_elem(map, &key);
                key = next;
        }
}

static uint32_t free_one(Tunnel *tunnel, const SlotUse *use) {
        uint32_t silent = 0;

        for (uint32_t slot = 1; slot <= UNDERPASS_LINKS_MAX; slot++)
                if (!use->taken[slot] && (silent == 0 || use->seen_ns[slot] < use->seen_ns[silent]))
                        silent = slot;
        if (silent != 0) {
                /* In the order in which a flow goes whose handshake is finished meanwhile. */
                forget_flows(tunnel->maps[MAP_HALF_OPEN], silent);
                forget_flows(tunnel->maps[MAP_FLOWS], silent);
        }
        return silent;
}

static int clear_counters(Tunnel *tunnel, uint32_t slot) {
        _cleanup_(freep) struct underpass_counters *zero = NULL;
        const int cpus = libbpf_num_possible_cpus();

        if (cpus < 0)
                return cpus;
        zero = calloc((size_t) cpus, sizeof(*zero));
        if (!zero)
                return -ENOMEM;
        return bpf_map_update_elem(tunnel->maps[MAP_COUNTERS], &slot, zero, BPF_ANY);
}

int slots_choose(Tunnel *tunnel, uint32_t *ret) {
        _cleanup_(freep) SlotUse *use = calloc(1, sizeof(*use));
        uint32_t slot;
        int r;

        if (!use)
                return -ENOMEM;
        r = read_links(tunnel, use);
        if (r == 0)
                r = read_rests(tunnel, use);
        if (r < 0)
                return r;
        slot = find_fresh(use);
        if (slot == 0) {
                r = wake(tunnel, use);
                if (r < 0)
                        return r;
                slot = find_fresh(use);
        }
        if (slot == 0)
                slot = free_one(tunnel, use);
        if (slot == 0)
                return -ENOSPC;
        r = clear_counters(tunnel, slot);
        if (r < 0)
                return r;
        *ret = slot;
        return 0;
}

int slots_move(Tunnel *tunnel, uint32_t from, uint32_t to) {
        _cleanup_(freep) uint32_t *slots = NULL;
        _cleanup_(freep) void *values = NULL;
        uint32_t count = 0;
        int r;

        r = read_slots(tunnel, &slots, &values, &count);
        for (uint32_t i = 0; r == 0 && i < count; i++) {
                struct underpass_slot *entry = (struct underpass_slot *) values + i;

                if (slots[i] == 0 || entry->device_ifindex != from)
                        continue;
                entry->device_ifindex = to;
                r = bpf_map_update_elem(tunnel->maps[MAP_SLOTS], &slots[i], entry, BPF_ANY);
        }
        return r;
}

int slots_rest(Tunnel *tunnel, uint32_t slot) {
        return set_flags(tunnel, slot, UNDERPASS_SLOT_RESTS);
}

int slots_rest_all(Tunnel *tunnel) {
        _cleanup_(freep) SlotUse *use = calloc(1, sizeof(*use));
        int r;

        if (!use)
                return -ENOMEM;
        r = read_links(tunnel, use);
        for (uint32_t slot = 1; r == 0 && slot <= UNDERPASS_LINKS_MAX; slot++)
                if (!use->taken[slot])
                        r = slots_rest(tunnel, slot);
        return r;
}
