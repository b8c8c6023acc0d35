/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is remembered for the next service: a record of each link, in a map of the tunnel; and one of the
 * network namespace as a whole, in a map of one element that is pinned only while there is something to
 * remember, whether there is a tunnel or not.
 */

#include <bpf/bpf.h>

#include "tunnel/state.h"

static int compare_indexes(const void *a, const void *b) {
        uint32_t first = *(const uint32_t *) a, second = *(const uint32_t *) b;

        return first < second ? -1 : first > second;
}

int tunnel_saved_links(Tunnel *tunnel, uint32_t **ret_ifindexes, size_t *ret_count) {
        _cleanup_(freep) uint32_t *indexes = calloc(UNDERPASS_LINKS_MAX, sizeof(uint32_t));
        uint32_t ifindex = 0;
        size_t count = 0;

        if (!indexes)
                return -ENOMEM;
        if (tunnel->loaded)
                for (int r = bpf_map_get_next_key(tunnel->maps[MAP_SAVED], NULL, &ifindex);
                     r == 0 && count < UNDERPASS_LINKS_MAX;
                     r = bpf_map_get_next_key(tunnel->maps[MAP_SAVED], &ifindex, &ifindex))
                        indexes[count++] = ifindex;
        qsort(indexes, count, sizeof(uint32_t), compare_indexes);
        *ret_ifindexes = TAKE_PTR(indexes);
        *ret_count = count;
        return 0;
}

int tunnel_saved_get(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *ret) {
        if (!tunnel->loaded)
                return -ENOENT;
        return bpf_map_lookup_elem(tunnel->maps[MAP_SAVED], &ifindex, ret);
}

int tunnel_saved_set(Tunnel *tunnel, uint32_t ifindex, const struct underpass_saved *saved) {
        if (!tunnel->loaded)
                return -ENOENT;
        return bpf_map_update_elem(tunnel->maps[MAP_SAVED], &ifindex, saved, BPF_ANY);
}

static char *sctp_path(const Tunnel *tunnel) {
        return tunnel_pin_path(tunnel, tunnel_pin_name(PIN_SCTP));
}

/* The pinned map, or -ENOENT. */
static int open_sctp_map(const char *path) {
        struct bpf_map_info info = {};
        __u32 size = sizeof(info);
        _cleanup_(close_fdp) int map = bpf_obj_get(path);

        if (map < 0)
                return map;
        /* Of a release with another layout: nothing that could be understood. */
        if (bpf_obj_get_info_by_fd(map, &info, &size) < 0 || info.type != BPF_MAP_TYPE_ARRAY ||
            info.value_size != sizeof(struct underpass_saved_sctp))
                return -ENOENT;
        return TAKE_FD(map);
}

int tunnel_saved_sctp_get(Tunnel *tunnel, struct underpass_saved_sctp *ret) {
        _cleanup_(freep) char *path = sctp_path(tunnel);
        _cleanup_(close_fdp) int map = -EBADF;
        const uint32_t zero = 0;

        if (!path)
                return -ENOMEM;
        map = open_sctp_map(path);
        if (map < 0 && map != -ENOENT)
                return map;
        if (map < 0) {
                *ret = (struct underpass_saved_sctp) {};
                return 0;
        }
        return bpf_map_lookup_elem(map, &zero, ret);
}

static int make_sctp_map(const Tunnel *tunnel, const char *path, const struct underpass_saved_sctp *saved) {
        _cleanup_(close_fdp) int map = -EBADF;
        const uint32_t zero = 0;
        int r;

        map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "underpass_sctp", sizeof(zero), sizeof(*saved), 1, NULL);
        if (map < 0)
                return map;
        /* First the value, then the name under which others find it. */
        r = bpf_map_update_elem(map, &zero, saved, BPF_ANY);
        if (r < 0)
                return r;
        r = tunnel_make_folder(tunnel);
        if (r < 0)
                return r;
        if (unlink(path) < 0 && errno != ENOENT)
                return -errno;
        return bpf_obj_pin(map, path);
}

int tunnel_saved_sctp_set(Tunnel *tunnel, const struct underpass_saved_sctp *saved) {
        _cleanup_(freep) char *path = sctp_path(tunnel);
        _cleanup_(close_fdp) int map = -EBADF;
        const uint32_t zero = 0;
        bool any = false;

        if (!path)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(saved->ports); i++)
                any = any || saved->ports[i].changed;
        if (!any) {
                if (unlink(path) < 0 && errno != ENOENT)
                        return -errno;
                /* Stays while a tunnel has pins there. */
                (void) tunnel_remove_folder(tunnel);
                return 0;
        }
        map = open_sctp_map(path);
        return map < 0 ? make_sctp_map(tunnel, path, saved) :
                         bpf_map_update_elem(map, &zero, saved, BPF_ANY);
}
