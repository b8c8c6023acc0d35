/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Loading and pinning: one object per network namespace, its maps and programs pinned in a folder of their
 * own, so that the tunnel outlives the service and the next one adopts it.
 *
 * Part of the tunnel room (L3): libbpf and the BPF file system.
 */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "bpf/underpass.skel.h"
#include "tunnel/bpf.h"

enum { VERIFIER_LOG_SIZE = 64 * 1024 };

#define KEEPALIVE_PIN "keepalive"

static const char *const map_names[_TUNNEL_MAP_MAX] = {
        [MAP_LINKS] = "links",
        [MAP_SLOTS] = "slots",
        [MAP_LOADER] = "loader",
        [MAP_FLOWS] = "flows",
        [MAP_HALF_OPEN] = "half_open",
        [MAP_COUNTERS] = "counters",
        [MAP_SAVED] = "saved",
        [MAP_DESTINATIONS] = "destinations",
};

static const char *const program_names[_TUNNEL_PROGRAM_MAX] = {
        [PROGRAM_EGRESS_ETHERNET] = "underpass_egress_ethernet",
        [PROGRAM_EGRESS_RAW] = "underpass_egress_raw",
        [PROGRAM_INGRESS_ETHERNET] = "underpass_ingress_ethernet",
        [PROGRAM_INGRESS_RAW] = "underpass_ingress_raw",
        [PROGRAM_SEGMENT] = "underpass_segment",
        [PROGRAM_MERGED] = "underpass_merged",
        [PROGRAM_XDP] = "underpass_xdp",
        [PROGRAM_KEEPALIVE] = "underpass_keepalive",
};

void tunnel_set_error(Tunnel *tunnel, const char *format, ...) {
        char text[1024];
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        (void) string_replace(&tunnel->complaint, text);
}

char *tunnel_pins_path(const Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction) {
        static const char *const suffixes[_TUNNEL_DIRECTION_MAX] = {
                [DIRECTION_INGRESS] = "ingress",
                [DIRECTION_EGRESS] = "egress",
        };

        return string_format("%s/%u-%s", tunnel->folder, ifindex, suffixes[direction]);
}

char *tunnel_pins_named(const Tunnel *tunnel, const char *name) {
        return string_format("%s/%s", tunnel->folder, name);
}

/* FNV-1a of the embedded object: tells whether pinned programs are the ones that this service would load. */
static uint64_t object_id(void) {
        size_t size = 0;
        const uint8_t *bytes = underpass_bpf__elf_bytes(&size);
        uint64_t hash = 0xcbf29ce484222325ULL;

        for (size_t i = 0; i < size; i++)
                hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
        return hash;
}

static void close_all(Tunnel *tunnel) {
        for (size_t i = 0; i < _TUNNEL_MAP_MAX; i++)
                tunnel->maps[i] = close_fd(tunnel->maps[i]);
        for (size_t i = 0; i < _TUNNEL_PROGRAM_MAX; i++)
                tunnel->programs[i] = close_fd(tunnel->programs[i]);
        tunnel->loaded = false;
}

/* The last lines of the verifier's log say what it disliked. */
static const char *last_lines(const char *log) {
        const char *end = log + strlen(log);
        int lines = 0;

        while (end > log && lines < 4)
                if (*--end == '\n')
                        lines++;
        return *end == '\n' ? end + 1 : end;
}

static int take_descriptors(Tunnel *tunnel, struct bpf_object *object) {
        for (size_t i = 0; i < _TUNNEL_MAP_MAX; i++) {
                int fd = fcntl(bpf_object__find_map_fd_by_name(object, map_names[i]), F_DUPFD_CLOEXEC, 3);

                if (fd < 0)
                        return -errno;
                close_fd(tunnel->maps[i]);
                tunnel->maps[i] = fd;
        }
        for (size_t i = 0; i < _TUNNEL_PROGRAM_MAX; i++) {
                struct bpf_program *program = bpf_object__find_program_by_name(object, program_names[i]);
                int fd = program ? fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 3) : -1;

                if (fd < 0)
                        return program ? -errno : -ENOENT;
                close_fd(tunnel->programs[i]);
                tunnel->programs[i] = fd;
        }
        return 0;
}

/* The new object uses the map descriptors that are open already: flows and settings survive an upgrade. */
static int reuse_maps(Tunnel *tunnel, struct bpf_object *object) {
        for (size_t i = 0; i < _TUNNEL_MAP_MAX; i++) {
                int r;

                if (tunnel->maps[i] < 0)
                        continue;
                r = bpf_map__reuse_fd(bpf_object__find_map_by_name(object, map_names[i]), tunnel->maps[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void destroy_skeleton(struct underpass_bpf **skeleton) {
        underpass_bpf__destroy(*skeleton);
}

static int load(Tunnel *tunnel) {
        _cleanup_(destroy_skeleton) struct underpass_bpf *skeleton = NULL;
        _cleanup_(freep) char *log = calloc(1, VERIFIER_LOG_SIZE);
        LIBBPF_OPTS(bpf_object_open_opts, options, .kernel_log_buf = log,
                    .kernel_log_size = VERIFIER_LOG_SIZE);
        struct underpass_loader loader = {};
        uint32_t zero = 0;
        int r;

        if (!log)
                return -ENOMEM;
        libbpf_set_print(NULL);
        skeleton = underpass_bpf__open_opts(&options);
        if (!skeleton)
                return -errno;
        r = reuse_maps(tunnel, skeleton->obj);
        if (r < 0)
                return r;
        r = underpass_bpf__load(skeleton);
        if (r < 0) {
                tunnel_set_error(tunnel, "the kernel refuses the programs: %s: %s", strerror(-r),
                                last_lines(log));
                return r;
        }
        r = take_descriptors(tunnel, skeleton->obj);
        if (r < 0)
                return r;
        tunnel->loaded = true;
        loader.abi_version = UNDERPASS_ABI_VERSION;
        loader.object_id = object_id();
        loader.namespace_cookie = tunnel->cookie;
        return bpf_map_update_elem(tunnel->maps[MAP_LOADER], &zero, &loader, BPF_ANY);
}

static int pin_one(const Tunnel *tunnel, const char *name, int fd) {
        _cleanup_(freep) char *path = tunnel_pins_named(tunnel, name);

        if (!path)
                return -ENOMEM;
        if (unlink(path) < 0 && errno != ENOENT)
                return -errno;
        return bpf_obj_pin(fd, path);
}

static int make_folder(const char *path) {
        return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int pin_all(Tunnel *tunnel) {
        int r;

        r = make_folder(tunnel->root);
        if (r == 0)
                r = make_folder(tunnel->folder);
        for (size_t i = 0; r == 0 && i < _TUNNEL_MAP_MAX; i++)
                r = pin_one(tunnel, map_names[i], tunnel->maps[i]);
        for (size_t i = 0; r == 0 && i < _TUNNEL_PROGRAM_MAX; i++)
                r = pin_one(tunnel, program_names[i], tunnel->programs[i]);
        if (r < 0) {
                tunnel_set_error(tunnel, "cannot pin below %s: %s; is a bpf file system mounted there?",
                                tunnel->root, strerror(-r));
                (void) tunnel_pins_remove(tunnel);
                return r;
        }
        tunnel->pinned = true;
        return 0;
}

int tunnel_pins_ensure(Tunnel *tunnel) {
        int r;

        if (!tunnel->loaded) {
                r = load(tunnel);
                if (r < 0) {
                        close_all(tunnel);
                        return r;
                }
        }
        return tunnel->pinned ? 0 : pin_all(tunnel);
}

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

int tunnel_pins_keepalive(Tunnel *tunnel) {
        _cleanup_(close_fdp) int cgroup = -EBADF, link = -EBADF;
        _cleanup_(freep) char *pin = tunnel_pins_named(tunnel, KEEPALIVE_PIN);
        int r;

        if (!pin)
                return -ENOMEM;
        link = bpf_obj_get(pin);
        if (link >= 0)
                return bpf_link_update(link, tunnel->programs[PROGRAM_KEEPALIVE], NULL);
        cgroup = open_cgroup_root();
        if (cgroup < 0)
                return cgroup;
        link = bpf_link_create(tunnel->programs[PROGRAM_KEEPALIVE], cgroup, BPF_CGROUP_SOCK_OPS, NULL);
        if (link < 0)
                return link;
        r = bpf_obj_pin(link, pin);
        return r < 0 ? r : 0;
}

static void remove_keepalive(Tunnel *tunnel) {
        _cleanup_(close_fdp) int link = -EBADF;
        _cleanup_(freep) char *pin = tunnel_pins_named(tunnel, KEEPALIVE_PIN);

        if (!pin)
                return;
        link = bpf_obj_get(pin);
        if (link < 0)
                return;
        (void) bpf_link_detach(link);
        (void) unlink(pin);
}

int tunnel_pins_remove(Tunnel *tunnel) {
        const char *const *const tables[] = { map_names, program_names };
        const size_t counts[] = { _TUNNEL_MAP_MAX, _TUNNEL_PROGRAM_MAX };

        tunnel_devices_remove(tunnel);
        remove_keepalive(tunnel);
        for (size_t t = 0; t < ELEMENTS(tables); t++)
                for (size_t i = 0; i < counts[t]; i++) {
                        _cleanup_(freep) char *path = tunnel_pins_named(tunnel, tables[t][i]);

                        if (!path)
                                return -ENOMEM;
                        if (unlink(path) < 0 && errno != ENOENT)
                                return -errno;
                }
        tunnel->pinned = false;
        /* Stays while there is something to remember that belongs to no tunnel. */
        if (rmdir(tunnel->folder) < 0 && errno != ENOENT && errno != ENOTEMPTY)
                return -errno;
        /* Stays while another network namespace has pins, and where a sandbox has mounted it. */
        (void) rmdir(tunnel->root);
        return 0;
}

/* Opens the pinned maps. False when one is missing or has another layout. */
static bool adopt_maps(Tunnel *tunnel) {
        static const uint32_t value_sizes[_TUNNEL_MAP_MAX] = {
                [MAP_LINKS] = sizeof(struct underpass_link),
                [MAP_SLOTS] = sizeof(struct underpass_slot),
                [MAP_LOADER] = sizeof(struct underpass_loader),
                [MAP_FLOWS] = sizeof(struct underpass_flow),
                [MAP_HALF_OPEN] = sizeof(struct underpass_flow),
                [MAP_COUNTERS] = sizeof(struct underpass_counters),
                [MAP_SAVED] = sizeof(struct underpass_saved),
                [MAP_DESTINATIONS] = sizeof(struct underpass_destination),
        };
        struct underpass_loader loader = {};
        uint32_t zero = 0;

        for (size_t i = 0; i < _TUNNEL_MAP_MAX; i++) {
                _cleanup_(freep) char *path = tunnel_pins_named(tunnel, map_names[i]);
                struct bpf_map_info info = {};
                __u32 size = sizeof(info);

                tunnel->maps[i] = path ? bpf_obj_get(path) : -ENOMEM;
                if (tunnel->maps[i] < 0 || bpf_obj_get_info_by_fd(tunnel->maps[i], &info, &size) < 0 ||
                    info.value_size != value_sizes[i])
                        return false;
        }
        return bpf_map_lookup_elem(tunnel->maps[MAP_LOADER], &zero, &loader) == 0 &&
               loader.abi_version == UNDERPASS_ABI_VERSION;
}

static bool adopt_programs(Tunnel *tunnel) {
        struct underpass_loader loader = {};
        uint32_t zero = 0;

        if (bpf_map_lookup_elem(tunnel->maps[MAP_LOADER], &zero, &loader) < 0 ||
            loader.object_id != object_id())
                return false;
        for (size_t i = 0; i < _TUNNEL_PROGRAM_MAX; i++) {
                _cleanup_(freep) char *path = tunnel_pins_named(tunnel, program_names[i]);

                tunnel->programs[i] = path ? bpf_obj_get(path) : -ENOMEM;
                if (tunnel->programs[i] < 0)
                        return false;
        }
        return true;
}

/* What an incompatible release left behind: every pin goes, and with the pinned links the programs leave
 * their hooks. What is remembered of no tunnel has a layout of its own. */
static int remove_everything(Tunnel *tunnel) {
        DIR *folder = opendir(tunnel->folder);

        if (!folder)
                return errno == ENOENT ? 0 : -errno;
        for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
                _cleanup_(freep) char *path = tunnel_pins_named(tunnel, entry->d_name);

                if (path && entry->d_name[0] != '.' && !streq(entry->d_name, TUNNEL_PIN_SCTP))
                        (void) unlink(path);
        }
        closedir(folder);
        return tunnel_pins_remove(tunnel);
}

int tunnel_pins_adopt(Tunnel *tunnel) {
        int r;

        if (access(tunnel->folder, F_OK) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!adopt_maps(tunnel)) {
                close_all(tunnel);
                return remove_everything(tunnel);
        }
        tunnel->pinned = true;
        if (adopt_programs(tunnel)) {
                tunnel->loaded = true;
                return 0;
        }
        /* Another build with the same layouts: its maps stay, the programs are replaced link by link by
         * tunnel_attach(). */
        r = load(tunnel);
        if (r < 0)
                return r;
        return pin_all(tunnel);
}
