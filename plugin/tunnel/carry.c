/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See carry.h. */

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>

#include "base/message.h"
#include "tunnel/carry.h"
#include "tunnel/layout.h"
#include "tunnel/slots.h"

/* Layouts of this service. */
static const CarryMap layouts[] = {
        [MAP_LINKS] = { .type = BPF_MAP_TYPE_HASH, .key_size = sizeof(uint32_t),
                        .value_size = sizeof(struct underpass_link), .entries = UNDERPASS_LINKS_MAX },
        [MAP_SLOTS] = { .type = BPF_MAP_TYPE_ARRAY, .key_size = sizeof(uint32_t),
                        .value_size = sizeof(struct underpass_slot), .entries = UNDERPASS_LINKS_MAX + 1 },
        [MAP_LOADER] = { .type = BPF_MAP_TYPE_ARRAY, .key_size = sizeof(uint32_t),
                         .value_size = sizeof(struct underpass_loader), .entries = 1 },
        [MAP_FLOWS] = { .type = BPF_MAP_TYPE_LRU_HASH, .key_size = sizeof(struct underpass_flow_key),
                        .value_size = sizeof(struct underpass_flow), .entries = UNDERPASS_FLOWS_MAX },
        [MAP_HALF_OPEN] = { .type = BPF_MAP_TYPE_LRU_HASH, .key_size = sizeof(struct underpass_flow_key),
                            .value_size = sizeof(struct underpass_flow),
                            .entries = UNDERPASS_HALF_OPEN_MAX },
        [MAP_COUNTERS] = { .type = BPF_MAP_TYPE_PERCPU_ARRAY, .key_size = sizeof(uint32_t),
                           .value_size = sizeof(struct underpass_counters),
                           .entries = UNDERPASS_LINKS_MAX + 1 },
        [MAP_SAVED] = { .type = BPF_MAP_TYPE_HASH, .key_size = sizeof(uint32_t),
                        .value_size = sizeof(struct underpass_saved), .entries = UNDERPASS_LINKS_MAX },
        [MAP_DESTINATIONS] = { .type = BPF_MAP_TYPE_LRU_HASH,
                               .key_size = sizeof(struct underpass_destination_key),
                               .value_size = sizeof(struct underpass_destination),
                               .entries = UNDERPASS_DESTINATIONS_MAX },
        [MAP_SOURCES] = { .type = BPF_MAP_TYPE_LRU_HASH, .key_size = sizeof(struct underpass_source_key),
                          .value_size = sizeof(struct underpass_source), .entries = UNDERPASS_SOURCES_MAX },
        [MAP_UNCERTAIN] = { .type = BPF_MAP_TYPE_RINGBUF, .entries = UNDERPASS_UNCERTAIN_SIZE },
        [MAP_SOCKETS] = { .type = BPF_MAP_TYPE_HASH, .key_size = sizeof(struct underpass_socket_key),
                          .value_size = sizeof(uint32_t), .entries = UNDERPASS_SOCKETS_MAX },
        [MAP_SOCKET_PORTS] = { .type = BPF_MAP_TYPE_ARRAY, .key_size = sizeof(uint32_t),
                               .value_size = sizeof(uint64_t), .entries = UNDERPASS_SOCKET_WORDS + 1 },
        [MAP_UNANSWERED] = { .type = BPF_MAP_TYPE_RINGBUF, .entries = UNDERPASS_UNANSWERED_SIZE },
        [MAP_UNMERGED] = { .type = BPF_MAP_TYPE_RINGBUF, .entries = UNDERPASS_UNMERGED_SIZE },
};
ASSERT_TABLE_COMPLETE(layouts, _TUNNEL_MAP_MAX);

static void open_map(CarryMap *map, const Tunnel *tunnel, const char *name) {
        _cleanup_(freep) char *path = tunnel_pin_path(tunnel, name);
        struct bpf_map_info info = {};
        __u32 size = sizeof(info);

        map->fd = path ? bpf_obj_get(path) : -ENOMEM;
        if (map->fd < 0 || bpf_obj_get_info_by_fd(map->fd, &info, &size) < 0) {
                map->fd = close_fd(map->fd);
                return;
        }
        map->type = info.type;
        map->key_size = info.key_size;
        map->value_size = info.value_size;
        map->entries = info.max_entries;
}

/* Of a loader of any version, as far as it is known here. */
static void read_loader(Carry *carry) {
        const CarryMap *map = &carry->maps[MAP_LOADER];
        _cleanup_(freep) void *value = NULL;
        const uint32_t zero = 0;

        if (map->fd < 0 || map->key_size != sizeof(zero))
                return;
        value = calloc(1, MAX_OF(map->value_size, sizeof(carry->loader)));
        if (value && bpf_map_lookup_elem(map->fd, &zero, value) == 0)
                memcpy(&carry->loader, value, sizeof(carry->loader));
}

void carry_begin(Carry *carry, const Tunnel *tunnel) {
        *carry = (Carry) {};
        for (TunnelMap i = 0; i < _TUNNEL_MAP_MAX; i++)
                open_map(&carry->maps[i], tunnel, tunnel_map_name(i));
        read_loader(carry);
}

void carry_end(Carry *carry) {
        for (TunnelMap i = 0; i < _TUNNEL_MAP_MAX; i++)
                carry->maps[i].fd = close_fd(carry->maps[i].fd);
}

/* Like ours, but perhaps with more in each value. */
static bool is_like_ours(const Carry *carry, TunnelMap map) {
        const CarryMap *theirs = &carry->maps[map], *ours = &layouts[map];

        return theirs->fd >= 0 && theirs->type == ours->type && theirs->key_size == ours->key_size;
}

static bool can_be_kept(const Carry *carry, TunnelMap map) {
        const CarryMap *theirs = &carry->maps[map], *ours = &layouts[map];

        if (!is_like_ours(carry, map) || theirs->entries != ours->entries)
                return false;
        /* No program reads it, so it may be larger: what a newer service has appended stays in it. */
        if (map == MAP_SAVED)
                return theirs->value_size >= ours->value_size;
        if (theirs->value_size != ours->value_size)
                return false;
        return map == MAP_FLOWS || map == MAP_HALF_OPEN ?
                       carry->loader.flow_version == UNDERPASS_FLOW_VERSION :
                       carry->loader.abi_version == UNDERPASS_ABI_VERSION;
}

int carry_keep(Carry *carry, Tunnel *tunnel) {
        for (TunnelMap i = 0; i < _TUNNEL_MAP_MAX; i++) {
                int fd;

                if (!can_be_kept(carry, i))
                        continue;
                fd = fcntl(carry->maps[i].fd, F_DUPFD_CLOEXEC, 3);
                if (fd < 0)
                        return -errno;
                tunnel->maps[i] = fd;
                carry->maps[i].kept = true;
        }
        if (carry->maps[MAP_SAVED].kept)
                tunnel->saved_size = carry->maps[MAP_SAVED].value_size;
        return 0;
}

bool carry_is_whole(const Carry *carry) {
        for (TunnelMap i = 0; i < _TUNNEL_MAP_MAX; i++)
                if (!carry->maps[i].kept)
                        return false;
        return true;
}

/* A walk is bounded, because a map that is written meanwhile may restart it. */
static size_t walk_end(const CarryMap *map) {
        return (size_t) map->entries * 2;
}

size_t carry_links(const Carry *carry, void (*handler)(Tunnel *tunnel, uint32_t ifindex), Tunnel *tunnel) {
        const CarryMap *map = &carry->maps[MAP_SAVED];
        uint32_t ifindex = 0;
        size_t count = 0;

        if (map->fd < 0 || map->key_size != sizeof(ifindex) || map->type != BPF_MAP_TYPE_HASH)
                return 0;
        for (int r = bpf_map_get_next_key(map->fd, NULL, &ifindex); r == 0 && count < walk_end(map);
             r = bpf_map_get_next_key(map->fd, &ifindex, &ifindex), count++)
                handler(tunnel, ifindex);
        return count;
}

/* Reads a record, its bytes into value. -ENOENT: there is none. */
static int read_record(const CarryMap *map, uint32_t ifindex, void *value, struct underpass_saved *ret) {
        int r;

        r = bpf_map_lookup_elem(map->fd, &ifindex, value);
        return r < 0 ? r : layout_read(&layout_saved, value, map->value_size, ret);
}

bool carry_is_readable(const Carry *carry) {
        const CarryMap *map = &carry->maps[MAP_SAVED];
        _cleanup_(freep) void *value = NULL;
        struct underpass_saved saved;
        uint32_t ifindex = 0;
        size_t count = 0;

        if (!is_like_ours(carry, MAP_SAVED))
                return false;
        value = calloc(1, map->value_size);
        if (!value)
                return false;
        for (int r = bpf_map_get_next_key(map->fd, NULL, &ifindex); r == 0 && count < walk_end(map);
             r = bpf_map_get_next_key(map->fd, &ifindex, &ifindex), count++)
                if (read_record(map, ifindex, value, &saved) < 0)
                        return false;
        return true;
}

/* Programs of the helper devices find the link of a packet by its slot, and the service the link as attached
 * by its settings, which it replaces when it attaches the new programs. */
static int prepare_link(const Carry *carry, Tunnel *tunnel, uint32_t ifindex, uint32_t slot) {
        const CarryMap *links = &carry->maps[MAP_LINKS];
        const struct underpass_slot entry = { .ifindex = ifindex };
        const struct underpass_link settings = { .slot = slot };
        _cleanup_(freep) void *value = NULL;
        int r = 0;

        if (slot == 0 || slot > UNDERPASS_LINKS_MAX)
                return 0;
        if (!carry->maps[MAP_SLOTS].kept)
                r = bpf_map_update_elem(tunnel->maps[MAP_SLOTS], &slot, &entry, BPF_ANY);
        if (r < 0 || links->kept || links->fd < 0 || links->key_size != sizeof(ifindex))
                return r;
        value = calloc(1, links->value_size);
        if (!value)
                return -ENOMEM;
        r = bpf_map_lookup_elem(links->fd, &ifindex, value);
        if (r < 0)
                return r == -ENOENT ? 0 : r; /* not attached: the service was killed before it was */
        return bpf_map_update_elem(tunnel->maps[MAP_LINKS], &ifindex, &settings, BPF_ANY);
}

/* One record. *more is increased when it has something that this service does not know. */
static int carry_record(const Carry *carry, Tunnel *tunnel, uint32_t ifindex, void *value, size_t *more) {
        const CarryMap *map = &carry->maps[MAP_SAVED];
        struct underpass_saved saved;
        int r;

        r = read_record(map, ifindex, value, &saved);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (layout_has_more(&layout_saved, value, map->value_size))
                (*more)++;
        if (!map->kept || layout_version(&layout_saved, value, map->value_size) < UNDERPASS_RECORD_VERSION) {
                memset(value, 0, MAX_OF(map->value_size, tunnel->saved_size));
                layout_write(&layout_saved, value, tunnel->saved_size, &saved);
                r = bpf_map_update_elem(tunnel->maps[MAP_SAVED], &ifindex, value, BPF_ANY);
                if (r < 0)
                        return r;
        }
        return prepare_link(carry, tunnel, ifindex, saved.slot);
}

static int carry_records(const Carry *carry, Tunnel *tunnel) {
        const CarryMap *map = &carry->maps[MAP_SAVED];
        _cleanup_(freep) void *value = calloc(1, MAX_OF(map->value_size, tunnel->saved_size));
        uint32_t ifindex = 0;
        size_t count = 0, more = 0;
        int r;

        if (!value)
                return -ENOMEM;
        for (int next = bpf_map_get_next_key(map->fd, NULL, &ifindex); next == 0 && count < walk_end(map);
             next = bpf_map_get_next_key(map->fd, &ifindex, &ifindex), count++) {
                r = carry_record(carry, tunnel, ifindex, value, &more);
                if (r < 0)
                        return r;
        }
        if (more > 0)
                tunnel_set_error(tunnel,
                                 N_("a newer release has changed more on %zu links than this one can "
                                    "restore; to restore it, install the newer release again and run "
                                    "`underpassctl deactivate --all` before you return to this one"),
                                 more);
        return 0;
}

/* Flows of another size: what both know of them. They are few or many, and the old programs go on with
 * theirs: what begins or ends meanwhile is learnt again, or forgotten in time. */
static int carry_flows(const Carry *carry, const Tunnel *tunnel, TunnelMap which) {
        const CarryMap *map = &carry->maps[which];
        _cleanup_(freep) void *value = NULL;
        struct underpass_flow_key key = {};
        size_t count = 0;

        if (map->kept || !is_like_ours(carry, which) || carry->loader.flow_version != UNDERPASS_FLOW_VERSION)
                return 0;
        value = calloc(1, MAX_OF(map->value_size, sizeof(struct underpass_flow)));
        if (!value)
                return -ENOMEM;
        for (int r = bpf_map_get_next_key(map->fd, NULL, &key); r == 0 && count < walk_end(map);
             r = bpf_map_get_next_key(map->fd, &key, &key), count++)
                if (bpf_map_lookup_elem(map->fd, &key, value) == 0)
                        (void) bpf_map_update_elem(tunnel->maps[which], &key, value, BPF_NOEXIST);
        return 0;
}

int carry_over(const Carry *carry, Tunnel *tunnel) {
        int r;

        tunnel_clear_error(tunnel);
        r = carry_records(carry, tunnel);
        if (r >= 0 && !carry->maps[MAP_SLOTS].kept)
                r = slots_rest_all(tunnel);
        if (r >= 0)
                r = carry_flows(carry, tunnel, MAP_HALF_OPEN);
        if (r >= 0)
                r = carry_flows(carry, tunnel, MAP_FLOWS);
        return r;
}
