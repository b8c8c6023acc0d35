/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The tunnel in the kernel: opened and closed, attached to links, its settings, counters and flows read. See
 * tunnel.h. Its twin is fake.c.
 */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/socket.h>

#include "base/message.h"
#include "tunnel/attach.h"
#include "tunnel/devices.h"
#include "tunnel/expedite.h"
#include "tunnel/pins.h"
#include "tunnel/slots.h"
#include "tunnel/state.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* kernel 5.14 */
#endif

static int network_namespace_cookie(uint64_t *ret) {
        _cleanup_(close_fdp) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        uint64_t cookie;
        socklen_t size = sizeof(cookie);

        if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
                return -errno;
        *ret = cookie;
        return 0;
}

static void close_descriptors(Tunnel *tunnel) {
        for (size_t i = 0; i < _TUNNEL_MAP_MAX; i++)
                tunnel->maps[i] = close_fd(tunnel->maps[i]);
        for (size_t i = 0; i < _TUNNEL_PROGRAM_MAX; i++)
                tunnel->programs[i] = close_fd(tunnel->programs[i]);
        tunnel->constants = close_fd(tunnel->constants);
        tunnel->loaded = tunnel->pinned = false;
}

/* After an upgrade tunnel_set_device() replaces the program of the segmentation device, and tunnel_attach()
 * those of the links. */
static int prepare(Tunnel *tunnel) {
        bool tcx = false, netkit = false;
        int r;

        r = attach_point_probe(&tcx, &netkit);
        if (r < 0)
                return r;
        if (tunnel->wanted == ATTACH_POINT_TCX && !tcx)
                return -EOPNOTSUPP;
        tunnel->attach_point = tunnel->wanted != ATTACH_POINT_AUTO ? tunnel->wanted :
                               tcx                                 ? ATTACH_POINT_TCX :
                                                                     ATTACH_POINT_CLSACT;
        r = pins_adopt(tunnel);
        if (r < 0)
                close_descriptors(tunnel);
        return r;
}

int tunnel_refused(const Tunnel *tunnel) {
        return tunnel->refused;
}

int tunnel_retry(Tunnel *tunnel) {
        if (tunnel->refused < 0)
                tunnel->refused = prepare(tunnel);
        return tunnel->refused;
}

int tunnel_open(Tunnel **ret, const char *root, AttachPoint attach_point) {
        _cleanup_(tunnel_freep) Tunnel *tunnel = calloc(1, sizeof(*tunnel));
        int r;

        if (!tunnel)
                return -ENOMEM;
        for (size_t i = 0; i < _TUNNEL_MAP_MAX; i++)
                tunnel->maps[i] = -EBADF;
        for (size_t i = 0; i < _TUNNEL_PROGRAM_MAX; i++)
                tunnel->programs[i] = -EBADF;
        tunnel->constants = -EBADF;
        libbpf_set_print(NULL);
        expedite_recover();

        r = network_namespace_cookie(&tunnel->cookie);
        if (r < 0)
                return r;
        tunnel->root = strdup(root);
        tunnel->folder = string_format("%s/%llu", root, (unsigned long long) tunnel->cookie);
        if (!tunnel->root || !tunnel->folder)
                return -ENOMEM;
        tunnel->wanted = attach_point;
        tunnel->refused = prepare(tunnel);
        if (tunnel->refused == -ENOMEM || tunnel->refused == -EOPNOTSUPP)
                return tunnel->refused;
        *ret = TAKE_PTR(tunnel);
        return 0;
}

Tunnel *tunnel_free(Tunnel *tunnel) {
        if (!tunnel)
                return NULL;
        close_descriptors(tunnel);
        free(tunnel->root);
        free(tunnel->folder);
        free(tunnel->error);
        free(tunnel);
        return NULL;
}

static int attach_directions(Tunnel *tunnel, uint32_t ifindex, bool raw_ip) {
        const TunnelProgram programs[_TUNNEL_DIRECTION_MAX] = {
                [DIRECTION_INGRESS] = raw_ip ? PROGRAM_INGRESS_RAW : PROGRAM_INGRESS_ETHERNET,
                [DIRECTION_EGRESS] = raw_ip ? PROGRAM_EGRESS_RAW : PROGRAM_EGRESS_ETHERNET,
        };

        for (TunnelDirection direction = 0; direction < _TUNNEL_DIRECTION_MAX; direction++) {
                _cleanup_(freep) char *pin = tunnel_link_pin_path(tunnel, ifindex, direction);
                int r;

                if (!pin)
                        return -ENOMEM;
                r = attach_point_attach(tunnel, ifindex, direction, programs[direction], pin);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Returns the error; unless somebody has explained it, its name has to do. */
static int named(Tunnel *tunnel, int r) {
        if (r < 0 && streq(tunnel_error(tunnel), ""))
                (void) string_replace(&tunnel->error, MESSAGE_ERRNO(r));
        return r;
}

/* With the programs goes the qdisc that was made for them. */
int tunnel_take_off(Tunnel *tunnel, uint32_t ifindex) {
        const TunnelDirection order[] = { DIRECTION_EGRESS, DIRECTION_INGRESS };
        struct underpass_saved saved = {};
        int result, r;

        /* First, for the same reason as last in tunnel_attach(). */
        if (tunnel->loaded)
                (void) bpf_map_delete_elem(tunnel->maps[MAP_LINKS], &ifindex);
        result = tunnel_detach_xdp(tunnel, ifindex);
        for (size_t i = 0; i < ELEMENTS(order); i++) {
                _cleanup_(freep) char *pin = tunnel_link_pin_path(tunnel, ifindex, order[i]);

                if (!pin)
                        return -ENOMEM;
                r = attach_point_detach(tunnel, ifindex, order[i], pin);
                if (r < 0)
                        result = r;
        }
        r = tunnel_saved_get(tunnel, ifindex, &saved);
        if (r == 0)
                r = attach_point_disown_clsact(tunnel, ifindex, &saved);
        return r < 0 && r != -ENOENT ? r : result;
}

/* A record without slot was begun for a link that nothing has been attached to. Links come and go, and each
 * record that stays takes the place of one. */
static void drop_begun(Tunnel *tunnel, uint32_t ifindex) {
        struct underpass_saved saved = {};

        if (tunnel_saved_get(tunnel, ifindex, &saved) == 0 && saved.slot == 0)
                (void) bpf_map_delete_elem(tunnel->maps[MAP_SAVED], &ifindex);
}

int tunnel_attach(Tunnel *tunnel, uint32_t ifindex, bool raw_ip, const TunnelPath *path,
                  struct underpass_link *link) {
        struct underpass_saved saved = {};
        bool known;
        int r;

        tunnel_clear_error(tunnel);
        r = raw_ip ? pins_ensure_raw(tunnel) : pins_ensure(tunnel);
        if (r < 0) {
                drop_begun(tunnel, ifindex);
                return named(tunnel, r);
        }
        r = tunnel_saved_get(tunnel, ifindex, &saved);
        known = r == 0 && saved.slot != 0;
        if (r == -ENOENT || (r == 0 && !known))
                r = slots_choose(tunnel, &saved.slot);
        /* A record that cannot be read is not overwritten: the link may be known. */
        if (r < 0) {
                drop_begun(tunnel, ifindex);
                return named(tunnel, r);
        }
        saved.flags = (saved.flags & ~UNDERPASS_SAVED_RAW_IP) | (raw_ip ? UNDERPASS_SAVED_RAW_IP : 0);
        link->slot = saved.slot;
        r = tunnel_saved_set(tunnel, ifindex, &saved);
        if (r == 0)
                r = devices_fill_slot(tunnel, saved.slot, ifindex, path);
        if (r == 0 && tunnel->attach_point == ATTACH_POINT_CLSACT)
                r = attach_point_own_clsact(tunnel, ifindex, &saved);
        if (r == 0)
                r = attach_directions(tunnel, ifindex, raw_ip);
        /* Last, because without it no flow begins. A SYN that is taken while only one program is there would
         * be answered in the other form. */
        if (r == 0)
                r = bpf_map_update_elem(tunnel->maps[MAP_LINKS], &ifindex, link, BPF_ANY);
        /* An earlier service that used clsact may have left its qdisc. */
        if (r == 0 && tunnel->attach_point == ATTACH_POINT_TCX)
                r = attach_point_disown_clsact(tunnel, ifindex, &saved);
        /* The record of a link that was known may tell of more than the programs: of its MTU, for one. */
        if (r < 0)
                (void) (known ? tunnel_take_off(tunnel, ifindex) : tunnel_detach(tunnel, ifindex));
        return named(tunnel, r);
}

int tunnel_follow(Tunnel *tunnel, uint32_t ifindex) {
        struct underpass_saved saved = {};
        bool raw_ip;
        int r;

        tunnel_clear_error(tunnel);
        r = tunnel_saved_get(tunnel, ifindex, &saved);
        raw_ip = saved.flags & UNDERPASS_SAVED_RAW_IP;
        if (r == 0 && raw_ip)
                r = pins_ensure_raw(tunnel);
        if (r == 0)
                r = attach_point_follow(tunnel, ifindex,
                                        raw_ip ? PROGRAM_INGRESS_RAW : PROGRAM_INGRESS_ETHERNET);
        return named(tunnel, r);
}

/* Whether a link without Ethernet header has a record. */
static bool any_raw(Tunnel *tunnel) {
        _cleanup_(freep) uint32_t *ifindexes = NULL;
        struct underpass_saved saved;
        size_t count = 0;

        if (tunnel_saved_links(tunnel, &ifindexes, &count) < 0)
                return true;
        for (size_t i = 0; i < count; i++) {
                const int r = tunnel_saved_get(tunnel, ifindexes[i], &saved);

                if (r == 0 ? saved.flags & UNDERPASS_SAVED_RAW_IP : r != -ENOENT)
                        return true;
        }
        return false;
}

int tunnel_detach(Tunnel *tunnel, uint32_t ifindex) {
        struct underpass_saved saved = {};
        int r;

        r = tunnel_take_off(tunnel, ifindex);
        /* What could not be taken off keeps the record, or the next service would not know of it. */
        if (r < 0 || !tunnel->loaded)
                return r;
        r = tunnel_saved_get(tunnel, ifindex, &saved);
        if (r < 0 && r != -ENOENT)
                return r;
        /* Last: without it the programs would drop. */
        if (saved.slot != 0)
                (void) slots_rest(tunnel, saved.slot);
        (void) tunnel_forget(tunnel, &(TunnelDestinations) { .ifindex = ifindex });
        (void) bpf_map_delete_elem(tunnel->maps[MAP_SAVED], &ifindex);
        if ((saved.flags & UNDERPASS_SAVED_RAW_IP) && !any_raw(tunnel))
                pins_drop_raw(tunnel);
        return 0;
}

bool tunnel_attached(Tunnel *tunnel, uint32_t ifindex) {
        for (TunnelDirection direction = 0; direction < _TUNNEL_DIRECTION_MAX; direction++) {
                _cleanup_(freep) char *pin = tunnel_link_pin_path(tunnel, ifindex, direction);

                if (!pin || !attach_point_attached(tunnel, ifindex, direction, pin))
                        return false;
        }
        return true;
}

unsigned tunnel_programs_before(Tunnel *tunnel, uint32_t ifindex) {
        unsigned most = 0;

        for (TunnelDirection direction = 0; direction < _TUNNEL_DIRECTION_MAX; direction++) {
                _cleanup_(freep) char *pin = tunnel_link_pin_path(tunnel, ifindex, direction);

                if (pin)
                        most = MAX_OF(most, attach_point_position(tunnel, ifindex, direction, pin));
        }
        return most;
}

int tunnel_release(Tunnel *tunnel) {
        /* Not even a folder, where a service was killed that had made it. */
        return tunnel->pinned ? pins_remove(tunnel) : tunnel_remove_folder(tunnel);
}

int tunnel_link(Tunnel *tunnel, uint32_t ifindex, struct underpass_link *ret) {
        if (!tunnel->loaded)
                return -ENOENT;
        return bpf_map_lookup_elem(tunnel->maps[MAP_LINKS], &ifindex, ret);
}

int tunnel_counters(Tunnel *tunnel, uint32_t ifindex, struct underpass_counters *ret) {
        _cleanup_(freep) struct underpass_counters *values = NULL;
        struct underpass_counters sum = {};
        struct underpass_saved saved = {};
        int cpus = libbpf_num_possible_cpus(), r;

        if (cpus < 0)
                return cpus;
        if (!tunnel->loaded)
                return -ENOENT;
        if (ifindex != 0) {
                r = tunnel_saved_get(tunnel, ifindex, &saved);
                if (r < 0)
                        return r;
        }
        values = calloc((size_t) cpus, sizeof(*values));
        if (!values)
                return -ENOMEM;
        r = bpf_map_lookup_elem(tunnel->maps[MAP_COUNTERS], &saved.slot, values);
        if (r < 0)
                return r;
        for (int cpu = 0; cpu < cpus; cpu++)
                for (size_t i = 0; i < UNDERPASS_COUNTER_COUNT; i++)
                        sum.value[i] += values[cpu].value[i];
        *ret = sum;
        return 0;
}

int tunnel_destinations(Tunnel *tunnel, TunnelDestinationHandler handler, void *userdata) {
        struct underpass_destination_key key = {};
        struct underpass_destination destination;
        int map = tunnel->maps[MAP_DESTINATIONS], r;

        if (!tunnel->loaded)
                return 0;
        r = bpf_map_get_next_key(map, NULL, &key);
        for (size_t i = 0; r == 0 && i < 2 * UNDERPASS_DESTINATIONS_MAX; i++) {
                if (bpf_map_lookup_elem(map, &key, &destination) == 0) {
                        r = handler(&key, &destination, userdata);
                        if (r != 0)
                                return r;
                }
                r = bpf_map_get_next_key(map, &key, &key);
        }
        return 0;
}

/* Addresses of this host go with their link, when that forgets all. */
static void forget_sources(Tunnel *tunnel, uint32_t ifindex) {
        struct underpass_source_key key = {}, next = {};
        const int map = tunnel->maps[MAP_SOURCES];
        struct underpass_source source;
        int r;

        r = bpf_map_get_next_key(map, NULL, &next);
        for (size_t i = 0; r == 0 && i < 2 * UNDERPASS_SOURCES_MAX; i++) {
                key = next;
                r = bpf_map_get_next_key(map, &key, &next);
                if (ifindex == 0 ||
                    (bpf_map_lookup_elem(map, &key, &source) == 0 && source.via == ifindex))
                        (void) bpf_map_delete_elem(map, &key);
        }
}

static bool is_meant(const TunnelDestinations *which, const struct underpass_destination_key *key) {
        return (which->ifindex == 0 || which->ifindex == key->ifindex) &&
               (!which->remote || memcmp(which->remote, key->remote, sizeof(key->remote)) == 0) &&
               (which->remote_port == 0 || which->remote_port == key->remote_port);
}

int tunnel_forget(Tunnel *tunnel, const TunnelDestinations *which) {
        struct underpass_destination_key key = {}, next = {};
        int map = tunnel->maps[MAP_DESTINATIONS], count = 0, r;

        if (!tunnel->loaded)
                return 0;
        r = bpf_map_get_next_key(map, NULL, &next);
        for (size_t i = 0; r == 0 && i < 2 * UNDERPASS_DESTINATIONS_MAX; i++) {
                key = next;
                /* Asked for first: behind a key that is gone, the map begins anew. */
                r = bpf_map_get_next_key(map, &key, &next);
                /* What is known of a server is not of a destination. */
                if (is_meant(which, &key) && bpf_map_delete_elem(map, &key) == 0)
                        count += key.ifindex != 0;
        }
        if (!which->remote && which->remote_port == 0)
                forget_sources(tunnel, which->ifindex);
        return count;
}

AttachPoint tunnel_attach_point(Tunnel *tunnel) {
        return tunnel->attach_point;
}

const char *tunnel_error(Tunnel *tunnel) {
        return tunnel->error ? tunnel->error : "";
}

int tunnel_features(Tunnel *tunnel, TunnelFeatures *ret) {
        TunnelFeatures features = {};
        int r;

        (void) tunnel;
        r = attach_point_probe(&features.tcx, &features.netkit);
        features.bpf = r >= 0;
        features.btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
        *ret = features;
        return 0;
}
