/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which slot a new link gets: the maps of records, slots and flows exist in this file only. May touch:
 * nothing.
 */

#include "unit.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tunnel/slots.h"
#include "tunnel/state.h"

enum {
        FLOWS_MAX = 2 * UNDERPASS_LINKS_MAX,
        ONE = 7,             /* a slot that rests, … */
        OTHER = 1000,        /* … and another one */
        SEEN = 1000,         /* when a flow was seen, nanoseconds */
};

typedef struct Record {
        struct underpass_flow_key key;
        struct underpass_flow flow;
} Record;

typedef struct Records {
        Record records[FLOWS_MAX];
        size_t count;
} Records;

static struct {
        bool taken[UNDERPASS_LINKS_MAX + 1];
        struct underpass_slot slots[UNDERPASS_LINKS_MAX + 1];
        bool cleared[UNDERPASS_LINKS_MAX + 1]; /* its counters are 0 */
        Records half_open, flows;
        bool fails;                            /* the maps of flows cannot be read */
} world;

static Records *records_of(int fd) {
        assert(fd == MAP_HALF_OPEN || fd == MAP_FLOWS);
        return fd == MAP_FLOWS ? &world.flows : &world.half_open;
}

static size_t place_of(const Records *records, const struct underpass_flow_key *key) {
        size_t i = 0;

        while (i < records->count && memcmp(&records->records[i].key, key, sizeof(*key)) != 0)
                i++;
        return i;
}

/* ---- twins: libbpf. A map has its TunnelMap as descriptor. */

static uint32_t read_saved(uint32_t *keys, struct underpass_saved *values) {
        uint32_t count = 0;

        for (uint32_t slot = 1; slot <= UNDERPASS_LINKS_MAX; slot++)
                if (world.taken[slot]) {
                        keys[count] = slot + 1;
                        values[count++] = (struct underpass_saved) {
                                .slot = slot,
                                .version = UNDERPASS_RECORD_VERSION,
                        };
                }
        return count;
}

static uint32_t read_slots(uint32_t *keys, struct underpass_slot *values) {
        for (uint32_t slot = 0; slot <= UNDERPASS_LINKS_MAX; slot++) {
                keys[slot] = slot;
                values[slot] = world.slots[slot];
        }
        return UNDERPASS_LINKS_MAX + 1;
}

static int read_flows(const Records *records, uint32_t from, struct underpass_flow_key *keys,
                      struct underpass_flow *values, uint32_t *count) {
        const uint32_t found = MIN_OF((uint32_t) records->count - from, *count);

        for (uint32_t i = 0; i < found; i++) {
                keys[i] = records->records[from + i].key;
                values[i] = records->records[from + i].flow;
        }
        *count = found;
        return from + found == records->count ? -ENOENT : 0;
}

int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values, __u32 *count,
                         const struct bpf_map_batch_opts *opts) {
        uint32_t position = 0;
        int r;

        if (fd == MAP_SAVED)
                *count = read_saved(keys, values);
        else if (fd == MAP_SLOTS)
                *count = read_slots(keys, values);
        if (fd == MAP_SAVED || fd == MAP_SLOTS)
                return -ENOENT;
        if (world.fails)
                return -EPERM;
        if (in_batch)
                memcpy(&position, in_batch, sizeof(position));
        r = read_flows(records_of(fd), position, keys, values, count);
        position += *count;
        memcpy(out_batch, &position, sizeof(position));
        return r;
}

int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags) {
        const uint32_t slot = *(const uint32_t *) key;

        assert(slot > 0 && slot <= UNDERPASS_LINKS_MAX && !world.taken[slot]);
        if (fd == MAP_COUNTERS)
                world.cleared[slot] = true;
        else {
                assert(fd == MAP_SLOTS);
                memcpy(&world.slots[slot], value, sizeof(world.slots[slot]));
        }
        return 0;
}

int bpf_map_delete_elem(int fd, const void *key) {
        Records *records = records_of(fd);
        const size_t place = place_of(records, key);

        assert(place < records->count);
        records->records[place] = records->records[--records->count];
        return 0;
}

int bpf_map_lookup_elem(int fd, const void *key, void *value) {
        const Records *records = records_of(fd);
        const size_t place = place_of(records, key);

        if (place == records->count)
                return -ENOENT;
        memcpy(value, &records->records[place].flow, sizeof(records->records[place].flow));
        return 0;
}

/* In the order of the ports, so that a walk goes on whatever is deleted. */
int bpf_map_get_next_key(int fd, const void *key, void *next) {
        const struct underpass_flow_key *last = key;
        const Records *records = records_of(fd);
        const Record *found = NULL;

        for (size_t i = 0; i < records->count; i++) {
                const Record *record = &records->records[i];

                if ((!last || record->key.local_port > last->local_port) &&
                    (!found || record->key.local_port < found->key.local_port))
                        found = record;
        }
        if (!found)
                return -ENOENT;
        memcpy(next, &found->key, sizeof(found->key));
        return 0;
}

int libbpf_num_possible_cpus(void) {
        return 1;
}

/* ---- */

static void add(Records *records, uint16_t port, uint32_t slot, uint64_t seen_ns) {
        records->records[records->count++] = (Record) {
                .key = { .local_port = port },
                .flow = { .slot = slot, .seen_ns = seen_ns },
        };
}

/* All slots are taken but these two, which rest. */
static Tunnel two_rest(void) {
        Tunnel tunnel = { .loaded = true, .saved_size = sizeof(struct underpass_saved) };

        memset(&world, 0, sizeof(world));
        for (TunnelMap map = 0; map < _TUNNEL_MAP_MAX; map++)
                tunnel.maps[map] = (int) map;
        for (uint32_t slot = 1; slot <= UNDERPASS_LINKS_MAX; slot++)
                world.taken[slot] = true;
        for (size_t i = 0; i < 2; i++) {
                const uint32_t slot = i == 0 ? ONE : OTHER;

                world.taken[slot] = false;
                assert(slots_rest(&tunnel, slot) == 0);
        }
        return tunnel;
}

static uint32_t choose(Tunnel *tunnel) {
        uint32_t slot = 0;

        assert(slots_choose(tunnel, &slot) == 0);
        assert(world.cleared[slot] && !world.taken[slot]);
        return slot;
}

static void one_that_no_link_has_had_comes_first(void) {
        Tunnel tunnel = two_rest();

        world.taken[5] = world.taken[900] = false;
        assert(choose(&tunnel) == 5);
        world.taken[5] = true;
        assert(choose(&tunnel) == 900);
        assert(world.slots[ONE].flags == UNDERPASS_SLOT_RESTS);
}

/* Whichever of the two flows name, in whichever map. */
static void one_that_no_flow_names_comes_next(void) {
        for (size_t i = 0; i < 4; i++) {
                Tunnel tunnel = two_rest();
                const uint32_t named = i % 2 == 0 ? ONE : OTHER, other = ONE + OTHER - named;

                add(i / 2 == 0 ? &world.flows : &world.half_open, 1, named, 0);
                assert(choose(&tunnel) == other);
                assert(world.slots[named].flags == UNDERPASS_SLOT_RESTS && world.slots[other].flags == 0);
                assert(world.flows.count + world.half_open.count == 1);
        }
}

/* A SYN beside a connection that may live: programs go by either record. */
static void both_records_of_a_flow_count(void) {
        for (size_t i = 0; i < 2; i++) {
                Tunnel tunnel = two_rest();
                const uint32_t named = i == 0 ? ONE : OTHER, other = ONE + OTHER - named;

                add(&world.flows, 1, 3, SEEN);
                add(&world.half_open, 1, named, SEEN);
                assert(choose(&tunnel) == other);
                assert(world.slots[named].flags == UNDERPASS_SLOT_RESTS);
        }
}

/* Its flows are forgotten, and no others. */
static void the_silent_one_is_freed(void) {
        for (size_t i = 0; i < 2; i++) {
                Tunnel tunnel = two_rest();
                const uint32_t silent = i == 0 ? ONE : OTHER, other = ONE + OTHER - silent;

                add(&world.flows, 1, silent, SEEN);
                add(&world.half_open, 2, silent, SEEN - 1);
                add(&world.flows, 3, 3, 1);
                add(&world.flows, 4, silent, SEEN - 2);
                add(&world.half_open, 5, other, SEEN + 1);
                assert(choose(&tunnel) == silent);
                assert(world.flows.count == 1 && world.flows.records[0].flow.slot == 3);
                assert(world.half_open.count == 1 && world.half_open.records[0].flow.slot == other);
        }
}

/* What is not known is not given away. */
static void flows_that_cannot_be_read_keep_their_slots(void) {
        Tunnel tunnel = two_rest();
        uint32_t slot = 0;

        world.fails = true;
        assert(slots_choose(&tunnel, &slot) == -EPERM && slot == 0);
        for (slot = 1; slot <= UNDERPASS_LINKS_MAX; slot++)
                assert(!world.cleared[slot] && (world.taken[slot] || world.slots[slot].flags));
}

static void there_is_an_end(void) {
        Tunnel tunnel = two_rest();
        uint32_t slot = 0;

        world.taken[ONE] = world.taken[OTHER] = true;
        assert(slots_choose(&tunnel, &slot) == -ENOSPC && slot == 0);
}

int main(void) {
        static const Test tests[] = {
                { "one that no link has had comes first", one_that_no_link_has_had_comes_first },
                { "one that no flow names comes next", one_that_no_flow_names_comes_next },
                { "both records of a flow count", both_records_of_a_flow_count },
                { "the silent one is freed", the_silent_one_is_freed },
                { "flows that cannot be read keep their slots", flows_that_cannot_be_read_keep_their_slots },
                { "there is an end", there_is_an_end },
        };

        return run_tests(tests, ELEMENTS(tests));
}
