/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See keepalive.h. */

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "tunnel/keepalive.h"
#include "tunnel/state.h"

/* Where cgroup2 is mounted: by itself, or beside the older hierarchies. */
static int open_cgroup_root(void) {
        static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

        for (size_t i = 0; i < ELEMENTS(roots); i++) {
                struct statfs info;

                if (statfs(roots[i], &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC) {
                        int fd = open(roots[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                        return fd < 0 ? -errno : fd;
                }
        }
        return -ENOENT;
}

int keepalive_attach(Tunnel *tunnel) {
        _cleanup_(close_fdp) int cgroup = -EBADF, attachment = -EBADF;
        _cleanup_(freep) char *pin = tunnel_pin_path(tunnel, tunnel_pin_name(PIN_KEEPALIVE));
        int r;

        if (!pin)
                return -ENOMEM;
        attachment = bpf_obj_get(pin);
        if (attachment >= 0)
                return bpf_link_update(attachment, tunnel->programs[PROGRAM_KEEPALIVE], NULL);
        cgroup = open_cgroup_root();
        if (cgroup < 0)
                return cgroup;
        attachment = bpf_link_create(tunnel->programs[PROGRAM_KEEPALIVE], cgroup, BPF_CGROUP_SOCK_OPS, NULL);
        if (attachment < 0)
                return attachment;
        r = bpf_obj_pin(attachment, pin);
        return r < 0 ? r : 0;
}

void keepalive_remove(Tunnel *tunnel) {
        _cleanup_(close_fdp) int attachment = -EBADF;
        _cleanup_(freep) char *pin = tunnel_pin_path(tunnel, tunnel_pin_name(PIN_KEEPALIVE));

        if (!pin)
                return;
        attachment = bpf_obj_get(pin);
        if (attachment < 0)
                return;
        (void) bpf_link_detach(attachment);
        (void) unlink(pin);
}
