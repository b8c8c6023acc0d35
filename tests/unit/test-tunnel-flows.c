/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is read of the maps of flows while the programs go on: a flow whose handshake is finished meanwhile
 * changes its map. Both maps exist in this file only. May touch: nothing.
 */

#include "unit.h"

#include <bpf/bpf.h>

#include "tunnel/state.h"

enum {
        FLOWS = 5,           /* other ones, in each map */
        ROOM = FLOWS + 1,
        BATCH = 2,           /* so many at a time */
        CALLS = 2 * (ROOM / BATCH + 1),
        PORT = 100,          /* of the flow whose handshake is finished meanwhile */
        STOP = 7,
};

typedef struct Map {
        struct underpass_flow_key keys[ROOM];
        struct underpass_flow flows[ROOM];
        bool used[ROOM];
} Map;

static struct {
        Map maps[_TUNNEL_MAP_MAX]; /* their descriptors are indexes */
        size_t place;              /* of the flow, in either map */
        unsigned calls;
        unsigned inserted, deleted; /* before which call the programs do that */
        unsigned seen[2 * PORT];   /* by the local port */
        uint8_t state;             /* of the flow, as it was seen last */
        unsigned left;             /* flows that the reader wants to have; then it stops */
} world;

static void put(TunnelMap map, size_t place, uint16_t port, uint8_t state) {
        Map *of = &world.maps[map];

        of->keys[place] = (struct underpass_flow_key) { .local_port = port };
        of->flows[place] = (struct underpass_flow) { .state = state };
        of->used[place] = true;
}

/* ---- twin of the maps: bucket by bucket, with one flow at most in each */

int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values, __u32 *count,
                         const struct bpf_map_batch_opts *opts) {
        const Map *map = &world.maps[fd];
        uint32_t position = 0, found = 0;

        if (world.calls == world.inserted)
                put(MAP_FLOWS, world.place, PORT, UNDERPASS_FLOW_TUNNELLED);
        if (world.calls == world.deleted)
                world.maps[MAP_HALF_OPEN].used[world.place] = false;
        world.calls++;
        if (in_batch)
                memcpy(&position, in_batch, sizeof(position));
        for (uint32_t end = position + BATCH; position < MIN_OF(end, (uint32_t) ROOM); position++) {
                if (!map->used[position])
                        continue;
                ((struct underpass_flow_key *) keys)[found] = map->keys[position];
                ((struct underpass_flow *) values)[found++] = map->flows[position];
        }
        assert(found <= *count);
        *count = found;
        memcpy(out_batch, &position, sizeof(position));
        return position == ROOM ? -ENOENT : 0;
}

int bpf_map_lookup_elem(int fd, const void *key, void *value) {
        return -ENOENT;
}

static int note(const struct underpass_flow_key *key, const struct underpass_flow *flow, void *userdata) {
        assert(key->local_port < ELEMENTS(world.seen));
        world.seen[key->local_port]++;
        if (key->local_port == PORT)
                world.state = flow->state;
        return --world.left == 0 ? STOP : 0;
}

/* A new world, and what comes of reading it. */
static int read_maps(size_t place, unsigned inserted, unsigned deleted, unsigned left) {
        Tunnel tunnel = { .loaded = true };

        memset(&world, 0, sizeof(world));
        world.place = place;
        world.inserted = inserted;
        world.deleted = deleted;
        world.left = left;
        for (size_t i = 0, port = 1; i < ROOM; i++)
                if (i != place) {
                        put(MAP_HALF_OPEN, i, (uint16_t) port++, UNDERPASS_FLOW_HALF_OPEN);
                        put(MAP_FLOWS, i, (uint16_t) (PORT + port), UNDERPASS_FLOW_TUNNELLED);
                }
        put(MAP_HALF_OPEN, place, PORT, UNDERPASS_FLOW_HALF_OPEN);
        for (int i = 0; i < _TUNNEL_MAP_MAX; i++)
                tunnel.maps[i] = i;
        return tunnel_flows(&tunnel, note, NULL);
}

/* First it is put into the one map, then it is taken out of the other. */
static void a_flow_that_is_established_meanwhile_is_read_once(void) {
        for (size_t place = 0; place < ROOM; place++)
                for (unsigned inserted = 0; inserted <= CALLS; inserted++)
                        for (unsigned deleted = inserted; deleted <= CALLS; deleted++) {
                                assert(read_maps(place, inserted, deleted, UINT32_MAX) == 0);
                                if (world.seen[PORT] != 1)
                                        fprintf(stderr, "place %zu, inserted before call %u, deleted %u\n",
                                                place, inserted, deleted);
                                assert(world.seen[PORT] == 1);
                                for (size_t port = 0; port < ELEMENTS(world.seen); port++)
                                        assert(world.seen[port] <= 1);
                        }
}

/* It has both records for a moment. */
static void the_established_record_counts(void) {
        assert(read_maps(0, 0, CALLS + 1, UINT32_MAX) == 0);
        assert(world.seen[PORT] == 1 && world.state == UNDERPASS_FLOW_TUNNELLED);
        assert(read_maps(0, CALLS + 1, CALLS + 1, UINT32_MAX) == 0);
        assert(world.seen[PORT] == 1 && world.state == UNDERPASS_FLOW_HALF_OPEN);
}

static void the_reader_stops_it(void) {
        for (unsigned left = 1; left <= 2 * FLOWS + 1; left++)
                assert(read_maps(0, CALLS + 1, CALLS + 1, left) == STOP && world.left == 0);
}

static void without_programs_there_are_no_flows(void) {
        Tunnel tunnel = {};

        assert(tunnel_flows(&tunnel, note, NULL) == 0);
}

int main(void) {
        static const Test tests[] = {
                { "a flow that is established meanwhile is read once",
                  a_flow_that_is_established_meanwhile_is_read_once },
                { "the established record counts", the_established_record_counts },
                { "the reader stops it", the_reader_stops_it },
                { "without programs there are no flows", without_programs_there_are_no_flows },
        };

        return run_tests(tests, ELEMENTS(tests));
}
