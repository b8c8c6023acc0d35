/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is remembered about the network namespace as a whole: a map of one element that is pinned in its
 * folder, with or without tunnels beside it, only while there is something to remember.
 *
 * Part of the tunnel room (L3): libbpf and the BPF file system.
 */

#include <bpf/bpf.h>
#include <sys/stat.h>

#include "tunnel/bpf.h"

static char *sctp_path(const Tunnel *tunnel) {
        return string_format("%s/" TUNNEL_PIN_SCTP, tunnel->folder);
}

/* The pinned map, or -ENOENT. */
static int open_map(const char *path) {
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
        map = open_map(path);
        if (map < 0 && map != -ENOENT)
                return map;
        if (map < 0) {
                *ret = (struct underpass_saved_sctp) {};
                return 0;
        }
        return bpf_map_lookup_elem(map, &zero, ret);
}

static int make_map(const Tunnel *tunnel, const char *path, const struct underpass_saved_sctp *saved) {
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
        if ((mkdir(tunnel->root, 0700) < 0 && errno != EEXIST) ||
            (mkdir(tunnel->folder, 0700) < 0 && errno != EEXIST) || (unlink(path) < 0 && errno != ENOENT))
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
                /* Stay while a tunnel has pins there. */
                (void) rmdir(tunnel->folder);
                (void) rmdir(tunnel->root);
                return 0;
        }
        map = open_map(path);
        return map < 0 ? make_map(tunnel, path, saved) : bpf_map_update_elem(map, &zero, saved, BPF_ANY);
}
