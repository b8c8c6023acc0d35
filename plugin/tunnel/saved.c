/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is remembered for the next service: a record of each link, in a map of the tunnel; and one of the
 * network namespace as a whole, in a map of one element that is pinned only while there is something to
 * remember, whether there is a tunnel or not.
 */

#include <bpf/bpf.h>

#include "tunnel/layout.h"
#include "tunnel/state.h"

static int compare_indexes(const void *a, const void *b) {
        uint32_t first = *(const uint32_t *) a, second = *(const uint32_t *) b;

        return first < second ? -1 : first > second;
}

int tunnel_saved_links(Tunnel *tunnel, uint32_t **ret_ifindexes, size_t *ret_count) {
        _cleanup_(freep) uint32_t *indexes = calloc(UNDERPASS_LINKS_MAX, sizeof(uint32_t));
        uint32_t ifindex = 0;
        size_t count = 0;
        int r = -ENOENT;

        if (!indexes)
                return -ENOMEM;
        if (tunnel->loaded)
                for (r = bpf_map_get_next_key(tunnel->maps[MAP_SAVED], NULL, &ifindex);
                     r == 0 && count < UNDERPASS_LINKS_MAX;
                     r = bpf_map_get_next_key(tunnel->maps[MAP_SAVED], &ifindex, &ifindex))
                        indexes[count++] = ifindex;
        /* A list that lacks a link would give its slot away. */
        if (r < 0 && r != -ENOENT)
                return r;
        qsort(indexes, count, sizeof(uint32_t), compare_indexes);
        *ret_ifindexes = TAKE_PTR(indexes);
        *ret_count = count;
        return 0;
}

int tunnel_saved_get(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *ret) {
        _cleanup_(freep) void *value = NULL;
        int r;

        if (!tunnel->loaded)
                return -ENOENT;
        value = calloc(1, tunnel->saved_size);
        if (!value)
                return -ENOMEM;
        r = bpf_map_lookup_elem(tunnel->maps[MAP_SAVED], &ifindex, value);
        return r < 0 ? r : layout_read(&layout_saved, value, tunnel->saved_size, ret);
}

int tunnel_saved_set(Tunnel *tunnel, uint32_t ifindex, const struct underpass_saved *saved) {
        _cleanup_(freep) void *value = NULL;
        int r;

        if (!tunnel->loaded)
                return -ENOENT;
        value = calloc(1, tunnel->saved_size);
        if (!value)
                return -ENOMEM;
        /* The map may be a newer service's, which finds what it has appended when it comes back. */
        r = bpf_map_lookup_elem(tunnel->maps[MAP_SAVED], &ifindex, value);
        if (r < 0 && r != -ENOENT)
                return r;
        layout_write(&layout_saved, value, tunnel->saved_size, saved);
        r = bpf_map_update_elem(tunnel->maps[MAP_SAVED], &ifindex, value, BPF_ANY);
        return r == -E2BIG ? -ENOSPC : r;
}

static char *sctp_path(const Tunnel *tunnel) {
        return tunnel_pin_path(tunnel, tunnel_pin_name(PIN_SCTP));
}

/* The record that is pinned, as bytes, at least as many as this service writes; zeros when there is none.
 * *ret_map is -EBADF then, and when the map is too small for them. */
static int read_sctp_map(const char *path, void **ret_value, size_t *ret_size, int *ret_map) {
        struct bpf_map_info info = {};
        __u32 info_size = sizeof(info);
        _cleanup_(close_fdp) int map = bpf_obj_get(path);
        _cleanup_(freep) void *value = NULL;
        const uint32_t zero = 0;
        size_t size = sizeof(struct underpass_saved_sctp);
        int r;

        if (map < 0 && map != -ENOENT)
                return map;
        /* What is no array was put there by somebody else. */
        if (map >= 0 && (bpf_obj_get_info_by_fd(map, &info, &info_size) < 0 ||
                         info.type != BPF_MAP_TYPE_ARRAY || info.key_size != sizeof(zero)))
                map = close_fd(map);
        size = MAX_OF(size, (size_t) info.value_size);
        value = calloc(1, size);
        if (!value)
                return -ENOMEM;
        r = map >= 0 ? bpf_map_lookup_elem(map, &zero, value) : 0;
        if (r < 0)
                return r;
        *ret_value = TAKE_PTR(value);
        *ret_size = size;
        *ret_map = info.value_size == size ? TAKE_FD(map) : -EBADF;
        return 0;
}

int tunnel_saved_sctp_get(Tunnel *tunnel, struct underpass_saved_sctp *ret) {
        _cleanup_(freep) char *path = sctp_path(tunnel);
        _cleanup_(close_fdp) int map = -EBADF;
        _cleanup_(freep) void *value = NULL;
        size_t size;
        int r;

        if (!path)
                return -ENOMEM;
        r = read_sctp_map(path, &value, &size, &map);
        /* A record of an older service was completed by zeros. */
        return r < 0 ? r : layout_read(&layout_saved_sctp, value, size, ret);
}

static int make_sctp_map(const Tunnel *tunnel, const void *value, size_t size) {
        _cleanup_(close_fdp) int map = -EBADF;
        const uint32_t zero = 0;
        int r;

        map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "underpass_sctp", sizeof(zero), (__u32) size, 1, NULL);
        if (map < 0)
                return map;
        /* First the value, then the name under which others find it. */
        r = bpf_map_update_elem(map, &zero, value, BPF_ANY);
        if (r >= 0)
                r = tunnel_make_folder(tunnel);
        return r < 0 ? r : tunnel_pin_again(tunnel, tunnel_pin_name(PIN_SCTP), map);
}

int tunnel_saved_sctp_set(Tunnel *tunnel, const struct underpass_saved_sctp *saved) {
        _cleanup_(freep) char *path = sctp_path(tunnel);
        _cleanup_(close_fdp) int map = -EBADF;
        _cleanup_(freep) void *value = NULL;
        const uint32_t zero = 0;
        size_t size;
        bool any;
        int r;

        if (!path)
                return -ENOMEM;
        r = read_sctp_map(path, &value, &size, &map);
        if (r < 0)
                return r;
        any = layout_has_more(&layout_saved_sctp, value, size); /* for a newer service to put back */
        for (size_t i = 0; i < ELEMENTS(saved->ports); i++)
                any = any || saved->ports[i].changed;
        if (!any) {
                if (unlink(path) < 0 && errno != ENOENT)
                        return -errno;
                /* Stays while a tunnel has pins there. */
                (void) tunnel_remove_folder(tunnel);
                return 0;
        }
        layout_write(&layout_saved_sctp, value, size, saved);
        return map < 0 ? make_sctp_map(tunnel, value, size) :
                         bpf_map_update_elem(map, &zero, value, BPF_ANY);
}
