/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Loading and pinning: one object per network namespace, its maps and programs pinned in a folder of their
 * own, so that the tunnel outlives the service and the next one adopts it.
 */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>

#include "base/hash.h"
#include "bpf/underpass.skel.h"
#include "tunnel/keepalive.h"
#include "tunnel/pins.h"
#include "tunnel/state.h"

enum { VERIFIER_LOG_SIZE = 64 * 1024 };

/* Hash of the embedded object: tells whether pinned programs are those that this service would load. */
static uint64_t object_id(void) {
        size_t size = 0;
        const void *bytes = underpass_bpf__elf_bytes(&size);

        return hash_bytes(HASH_EMPTY, bytes, size);
}

static void close_all(Tunnel *tunnel) {
        for (TunnelMap i = 0; i < _TUNNEL_MAP_MAX; i++)
                tunnel->maps[i] = close_fd(tunnel->maps[i]);
        for (TunnelProgram i = 0; i < _TUNNEL_PROGRAM_MAX; i++)
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

static int copy_descriptors(Tunnel *tunnel, struct bpf_object *object) {
        for (TunnelMap i = 0; i < _TUNNEL_MAP_MAX; i++) {
                int found = bpf_object__find_map_fd_by_name(object, tunnel_map_name(i));
                int fd = fcntl(found, F_DUPFD_CLOEXEC, 3);

                if (fd < 0)
                        return -errno;
                close_fd(tunnel->maps[i]);
                tunnel->maps[i] = fd;
        }
        for (TunnelProgram i = 0; i < _TUNNEL_PROGRAM_MAX; i++) {
                struct bpf_program *program =
                        bpf_object__find_program_by_name(object, tunnel_program_name(i));
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
        for (TunnelMap i = 0; i < _TUNNEL_MAP_MAX; i++) {
                struct bpf_map *map;
                int r;

                if (tunnel->maps[i] < 0)
                        continue;
                map = bpf_object__find_map_by_name(object, tunnel_map_name(i));
                r = bpf_map__reuse_fd(map, tunnel->maps[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void destroy_skeleton(struct underpass_bpf **skeleton) {
        underpass_bpf__destroy(*skeleton);
}

static int load_programs(Tunnel *tunnel) {
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
        r = copy_descriptors(tunnel, skeleton->obj);
        if (r < 0)
                return r;
        tunnel->loaded = true;
        loader.abi_version = UNDERPASS_ABI_VERSION;
        loader.object_id = object_id();
        loader.namespace_cookie = tunnel->cookie;
        return bpf_map_update_elem(tunnel->maps[MAP_LOADER], &zero, &loader, BPF_ANY);
}

static int unpin(const Tunnel *tunnel, const char *name) {
        _cleanup_(freep) char *path = tunnel_pin_path(tunnel, name);

        if (!path)
                return -ENOMEM;
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int pin_again(const Tunnel *tunnel, const char *name, int fd) {
        _cleanup_(freep) char *path = tunnel_pin_path(tunnel, name);
        int r;

        r = unpin(tunnel, name);
        if (r < 0)
                return r;
        return path ? bpf_obj_pin(fd, path) : -ENOMEM;
}

static int pin_all(Tunnel *tunnel) {
        int r;

        r = tunnel_make_folder(tunnel);
        for (TunnelMap i = 0; r == 0 && i < _TUNNEL_MAP_MAX; i++)
                r = pin_again(tunnel, tunnel_map_name(i), tunnel->maps[i]);
        for (TunnelProgram i = 0; r == 0 && i < _TUNNEL_PROGRAM_MAX; i++)
                r = pin_again(tunnel, tunnel_program_name(i), tunnel->programs[i]);
        if (r < 0) {
                tunnel_set_error(tunnel, "cannot pin below %s: %s; is a bpf file system mounted there?",
                                tunnel->root, strerror(-r));
                (void) pins_remove(tunnel);
                return r;
        }
        tunnel->pinned = true;
        return 0;
}

int pins_ensure(Tunnel *tunnel) {
        int r;

        if (!tunnel->loaded) {
                r = load_programs(tunnel);
                if (r < 0) {
                        close_all(tunnel);
                        return r;
                }
        }
        return tunnel->pinned ? 0 : pin_all(tunnel);
}

/* Takes the programs off the helper devices; what is no BPF link there may be gone already. */
static void unpin_devices(Tunnel *tunnel) {
        static const TunnelPin pins[] = { PIN_SEGMENT_INGRESS, PIN_SEGMENT_EGRESS, PIN_SEGMENT_NETKIT,
                                          PIN_MERGED };

        for (size_t i = 0; i < ELEMENTS(pins); i++)
                (void) unpin(tunnel, tunnel_pin_name(pins[i]));
}

int pins_remove(Tunnel *tunnel) {
        int r = 0;

        unpin_devices(tunnel);
        keepalive_remove(tunnel);
        for (TunnelMap i = 0; r == 0 && i < _TUNNEL_MAP_MAX; i++)
                r = unpin(tunnel, tunnel_map_name(i));
        for (TunnelProgram i = 0; r == 0 && i < _TUNNEL_PROGRAM_MAX; i++)
                r = unpin(tunnel, tunnel_program_name(i));
        if (r < 0)
                return r;
        tunnel->pinned = false;
        /* Stays while there is something to remember that belongs to no tunnel. */
        return tunnel_remove_folder(tunnel);
}

/* Opens the pinned maps. False when one is missing or has another layout. */
static bool adopt_maps(Tunnel *tunnel) {
        static const uint32_t value_sizes[] = {
                [MAP_LINKS] = sizeof(struct underpass_link),
                [MAP_SLOTS] = sizeof(struct underpass_slot),
                [MAP_LOADER] = sizeof(struct underpass_loader),
                [MAP_FLOWS] = sizeof(struct underpass_flow),
                [MAP_HALF_OPEN] = sizeof(struct underpass_flow),
                [MAP_COUNTERS] = sizeof(struct underpass_counters),
                [MAP_SAVED] = sizeof(struct underpass_saved),
                [MAP_DESTINATIONS] = sizeof(struct underpass_destination),
        };
        ASSERT_TABLE_COMPLETE(value_sizes, _TUNNEL_MAP_MAX);
        struct underpass_loader loader = {};
        uint32_t zero = 0;

        for (TunnelMap i = 0; i < _TUNNEL_MAP_MAX; i++) {
                _cleanup_(freep) char *path = tunnel_pin_path(tunnel, tunnel_map_name(i));
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
        for (TunnelProgram i = 0; i < _TUNNEL_PROGRAM_MAX; i++) {
                _cleanup_(freep) char *path = tunnel_pin_path(tunnel, tunnel_program_name(i));

                tunnel->programs[i] = path ? bpf_obj_get(path) : -ENOMEM;
                if (tunnel->programs[i] < 0)
                        return false;
        }
        return true;
}

/* What an incompatible release left behind: every pin goes, and with the pinned attachments the programs
 * leave the devices. What belongs to no tunnel has a layout of its own and stays. */
static int remove_everything(Tunnel *tunnel) {
        DIR *folder = opendir(tunnel->folder);

        if (!folder)
                return errno == ENOENT ? 0 : -errno;
        for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
                _cleanup_(freep) char *path = tunnel_pin_path(tunnel, entry->d_name);

                if (path && entry->d_name[0] != '.' && !streq(entry->d_name, tunnel_pin_name(PIN_SCTP)))
                        (void) unlink(path);
        }
        closedir(folder);
        return pins_remove(tunnel);
}

int pins_adopt(Tunnel *tunnel) {
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
        /* Another build with the same layouts: its maps stay, and tunnel_attach() replaces the programs, one
         * link after the other. */
        r = load_programs(tunnel);
        if (r < 0)
                return r;
        return pin_all(tunnel);
}
