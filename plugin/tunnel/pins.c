/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Loading and pinning: one object per network namespace, its maps and programs pinned in a folder of their
 * own, so that the tunnel outlives the service and the next one adopts it.
 */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <time.h>

#include "base/message.h"
#include "tunnel/attach.h"
#include "tunnel/carry.h"
#include "tunnel/keepalive.h"
#include "tunnel/load.h"
#include "tunnel/pins.h"
#include "tunnel/state.h"

static void close_all(Tunnel *tunnel) {
        for (TunnelMap i = 0; i < _TUNNEL_MAP_MAX; i++)
                tunnel->maps[i] = close_fd(tunnel->maps[i]);
        for (TunnelProgram i = 0; i < _TUNNEL_PROGRAM_MAX; i++)
                tunnel->programs[i] = close_fd(tunnel->programs[i]);
        tunnel->constants = close_fd(tunnel->constants);
        tunnel->loaded = false;
}

/* The coarse clocks of the kernel go by its timer interrupts. 0: not known. */
static uint32_t tick_us(void) {
        struct timespec tick;

        return clock_getres(CLOCK_MONOTONIC_COARSE, &tick) < 0 ? 0 : (uint32_t) (tick.tv_nsec / 1000);
}

/* Last of all pins: what a service leaves that is killed before is not taken for this one's. */
static int pin_loader(const Tunnel *tunnel) {
        const struct underpass_loader loader = {
                .abi_version = UNDERPASS_ABI_VERSION,
                .flow_version = UNDERPASS_FLOW_VERSION,
                .object_id = load_object_id(),
                .namespace_cookie = tunnel->cookie,
                .tick_us = tick_us(),
        };
        const uint32_t zero = 0;
        int r;

        r = bpf_map_update_elem(tunnel->maps[MAP_LOADER], &zero, &loader, BPF_ANY);
        return r < 0 ? r : tunnel_pin_again(tunnel, tunnel_map_name(MAP_LOADER), tunnel->maps[MAP_LOADER]);
}

static int unpin(const Tunnel *tunnel, const char *name) {
        _cleanup_(freep) char *path = tunnel_pin_path(tunnel, name);

        if (!path)
                return -ENOMEM;
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* A program that is not loaded may be pinned by an earlier service, whose others are replaced. */
static int pin_program(const Tunnel *tunnel, TunnelProgram program) {
        const char *name = tunnel_program_name(program);

        return tunnel->programs[program] < 0 ? unpin(tunnel, name) :
                                               tunnel_pin_again(tunnel, name, tunnel->programs[program]);
}

/* 0, or the error of a pin, which it explains. */
static int explain_pin(Tunnel *tunnel, int r) {
        if (r < 0)
                tunnel_set_error(tunnel,
                                 N_("cannot pin below %s: %s; is a bpf file system mounted there?"),
                                 tunnel->root, MESSAGE_ERRNO(r));
        return r;
}

static int pin_all(Tunnel *tunnel) {
        int r;

        r = tunnel_make_folder(tunnel);
        for (TunnelMap i = 0; r == 0 && i < _TUNNEL_MAP_MAX; i++)
                if (i != MAP_LOADER)
                        r = tunnel_pin_again(tunnel, tunnel_map_name(i), tunnel->maps[i]);
        for (TunnelProgram i = 0; r == 0 && i < _TUNNEL_PROGRAM_MAX; i++)
                r = pin_program(tunnel, i);
        if (r == 0)
                r = tunnel_pin_again(tunnel, tunnel_pin_name(PIN_CONSTANTS), tunnel->constants);
        if (r == 0)
                r = pin_loader(tunnel);
        if (r < 0)
                return explain_pin(tunnel, r);
        tunnel->pinned = true;
        return 0;
}

int pins_ensure(Tunnel *tunnel) {
        int r;

        if (tunnel->refused < 0)
                return tunnel->refused;
        if (!tunnel->loaded) {
                r = load_programs(tunnel, false);
                if (r < 0) {
                        close_all(tunnel);
                        return r;
                }
        }
        if (tunnel->pinned)
                return 0;
        r = pin_all(tunnel);
        if (r < 0)
                (void) pins_remove(tunnel);
        return r;
}

void pins_drop_raw(Tunnel *tunnel) {
        for (TunnelProgram i = 0; i < _TUNNEL_PROGRAM_MAX; i++)
                if (load_is_for_raw(i)) {
                        (void) unpin(tunnel, tunnel_program_name(i));
                        tunnel->programs[i] = close_fd(tunnel->programs[i]);
                }
}

int pins_ensure_raw(Tunnel *tunnel) {
        int r;

        r = pins_ensure(tunnel);
        if (r < 0 ||
            (tunnel->programs[PROGRAM_EGRESS_RAW] >= 0 && tunnel->programs[PROGRAM_INGRESS_RAW] >= 0))
                return r;
        r = load_programs(tunnel, true);
        if (r < 0)
                return r;
        r = pin_program(tunnel, PROGRAM_EGRESS_RAW);
        if (r == 0)
                r = pin_program(tunnel, PROGRAM_INGRESS_RAW);
        if (r < 0)
                pins_drop_raw(tunnel); /* or the next try would take them for pinned */
        return explain_pin(tunnel, r);
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
        if (r == 0)
                r = unpin(tunnel, tunnel_pin_name(PIN_CONSTANTS));
        if (r < 0)
                return r;
        tunnel->pinned = false;
        /* Stays while there is something to remember that belongs to no tunnel. */
        return tunnel_remove_folder(tunnel);
}

static bool adopt_programs(Tunnel *tunnel, const Carry *carry) {
        _cleanup_(freep) char *constants = tunnel_pin_path(tunnel, tunnel_pin_name(PIN_CONSTANTS));

        if (carry->loader.object_id != load_object_id())
                return false;
        tunnel->constants = constants ? bpf_obj_get(constants) : -ENOMEM;
        if (tunnel->constants < 0)
                return false;
        for (TunnelProgram i = 0; i < _TUNNEL_PROGRAM_MAX; i++) {
                _cleanup_(freep) char *path = tunnel_pin_path(tunnel, tunnel_program_name(i));

                tunnel->programs[i] = path ? bpf_obj_get(path) : -ENOMEM;
                if (tunnel->programs[i] < 0 && !load_is_for_raw(i))
                        return false;
        }
        tunnel->pinned = true;
        tunnel->loaded = true;
        return true;
}

/* Whether this service knows a pin by its name. What belongs to no tunnel is known, too, and stays. */
static bool is_known(const char *name) {
        static const char *const suffixes[] = { "-ingress", "-egress", "-xdp" };
        const char *rest = name + strspn(name, "0123456789");

        for (size_t i = 0; rest != name && i < ELEMENTS(suffixes); i++)
                if (streq(rest, suffixes[i]))
                        return true;
        for (TunnelMap i = 0; i < _TUNNEL_MAP_MAX; i++)
                if (streq(name, tunnel_map_name(i)))
                        return true;
        for (TunnelProgram i = 0; i < _TUNNEL_PROGRAM_MAX; i++)
                if (streq(name, tunnel_program_name(i)))
                        return true;
        for (TunnelPin i = 0; i < _TUNNEL_PIN_MAX; i++)
                if (streq(name, tunnel_pin_name(i)))
                        return true;
        return false;
}

static bool is_sctp(const char *name) {
        return streq(name, tunnel_pin_name(PIN_SCTP));
}

/* Removes the pins that stays() does not name. An attachment is taken off at once: when only the last
 * reference goes, the kernel does so some time later. */
static int remove_pins(const Tunnel *tunnel, bool (*stays)(const char *name)) {
        DIR *folder = opendir(tunnel->folder);

        if (!folder)
                return errno == ENOENT ? 0 : -errno;
        for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
                _cleanup_(freep) char *path = tunnel_pin_path(tunnel, entry->d_name);
                _cleanup_(close_fdp) int fd = -EBADF;

                if (!path || entry->d_name[0] == '.' || stays(entry->d_name))
                        continue;
                fd = bpf_obj_get(path);
                if (fd >= 0)
                        (void) bpf_link_detach(fd); /* fails for maps and programs */
                (void) unlink(path);
        }
        closedir(folder);
        return 0;
}

/* In the order of tunnel_detach(). */
static void take_off(Tunnel *tunnel, uint32_t ifindex) {
        static const TunnelDirection order[] = { DIRECTION_EGRESS, DIRECTION_INGRESS };

        for (size_t i = 0; i < ELEMENTS(order); i++) {
                _cleanup_(freep) char *pin = tunnel_link_pin_path(tunnel, ifindex, order[i]);

                if (pin)
                        (void) attach_point_detach(tunnel, ifindex, order[i], pin);
        }
}

/* No service writes records that this one cannot read; but if there are some, the programs go, and a person
 * is told what stays. */
static int remove_everything(Tunnel *tunnel, const Carry *carry) {
        size_t count = carry_links(carry, take_off, tunnel);
        int r;

        r = remove_pins(tunnel, is_sctp);
        if (r == 0)
                r = pins_remove(tunnel);
        if (count > 0)
                tunnel_set_error(tunnel,
                                 N_("%zu links had the tunnel of a release (ABI version %u) whose records "
                                    "cannot be read; the tunnel was detached, but MTU, MPTCP endpoints and "
                                    "clsact qdiscs stay as they are: take these links down and up, and "
                                    "remove the rest by `ip mptcp endpoint delete` and `tc qdisc del dev "
                                    "LINK clsact`"),
                                 count, carry->loader.abi_version);
        return r;
}

int pins_adopt(Tunnel *tunnel) {
        _cleanup_(carry_end) Carry carry;
        int r;

        carry_begin(&carry, tunnel);
        if (access(tunnel->folder, F_OK) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!carry_is_readable(&carry))
                return remove_everything(tunnel, &carry);
        r = carry_keep(&carry, tunnel);
        if (r < 0)
                return r;
        /* Another build or another version: maps with the same layout stay, and tunnel_attach() replaces the
         * programs, one link after the other. */
        if (!carry_is_whole(&carry) || !adopt_programs(tunnel, &carry))
                r = load_programs(tunnel, false);
        if (r >= 0)
                r = carry_over(&carry, tunnel);
        if (r >= 0 && !tunnel->pinned)
                r = pin_all(tunnel);
        return r < 0 ? r : remove_pins(tunnel, is_known);
}
