/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What tunnel_attach() and tunnel_detach() leave where they fail: each thing that they do to a link fails in
 * turn. The kernel exists in this file only. May touch: nothing.
 */

#include "unit.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tunnel/attach.h"
#include "tunnel/devices.h"
#include "tunnel/expedite.h"
#include "tunnel/pins.h"
#include "tunnel/slots.h"
#include "tunnel/state.h"

enum { LINK = 7, SLOT = 3, ROUNDS_MAX = 20 };

/* What the kernel holds of the link. */
typedef struct Kernel {
        bool programs[_TUNNEL_DIRECTION_MAX];
        bool settings;
        bool clsact;
        bool recorded;
        struct underpass_saved saved;
} Kernel;

static Kernel kernel;
static unsigned changes;  /* that were asked for */
static unsigned fails_at; /* the one that fails, from 1; 0: none */

static bool fails(void) {
        return ++changes == fails_at;
}

/* ---- twins: libbpf. A map has its TunnelMap as descriptor. */

int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags) {
        assert(fd == MAP_LINKS && kernel.programs[DIRECTION_INGRESS] && kernel.programs[DIRECTION_EGRESS]);
        if (fails())
                return -ENOMEM;
        kernel.settings = true;
        return 0;
}

int bpf_map_delete_elem(int fd, const void *key) {
        if (fd == MAP_LINKS)
                kernel.settings = false;
        if (fd == MAP_SAVED) {
                kernel.recorded = false;
                kernel.saved = (struct underpass_saved) {};
        }
        return 0;
}

int bpf_map_lookup_elem(int fd, const void *key, void *value) {
        return fd == MAP_LINKS && kernel.settings ? 0 : -ENOENT;
}

int bpf_map_get_next_key(int fd, const void *key, void *next) {
        return -ENOENT;
}

libbpf_print_fn_t libbpf_set_print(libbpf_print_fn_t print) {
        return NULL;
}

int libbpf_num_possible_cpus(void) {
        return 1;
}

int bpf_obj_pin(int fd, const char *path) {
        return -EPERM;
}

/* ---- twins: tunnel/ */

int pins_adopt(Tunnel *tunnel) {
        return 0;
}

int pins_ensure(Tunnel *tunnel) {
        return fails() ? -EPERM : 0;
}

int pins_ensure_raw(Tunnel *tunnel) {
        return fails() ? -ENOMEM : 0;
}

void pins_drop_raw(Tunnel *tunnel) {
        assert(!kernel.recorded);
}

int pins_remove(Tunnel *tunnel) {
        return 0;
}

void expedite_recover(void) {
}

int slots_choose(Tunnel *tunnel, uint32_t *ret) {
        assert(kernel.saved.slot == 0);
        if (fails())
                return -ENOSPC;
        *ret = SLOT;
        return 0;
}

int slots_rest(Tunnel *tunnel, uint32_t slot) {
        assert(slot == SLOT && !kernel.programs[DIRECTION_INGRESS] && !kernel.programs[DIRECTION_EGRESS]);
        return 0;
}

int tunnel_saved_get(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *ret) {
        if (fails())
                return -ENOMEM;
        if (!kernel.recorded)
                return -ENOENT;
        *ret = kernel.saved;
        return 0;
}

int tunnel_saved_set(Tunnel *tunnel, uint32_t ifindex, const struct underpass_saved *saved) {
        if (fails())
                return -ENOMEM;
        kernel.recorded = true;
        kernel.saved = *saved;
        return 0;
}

int tunnel_saved_links(Tunnel *tunnel, uint32_t **ret_ifindexes, size_t *ret_count) {
        *ret_ifindexes = NULL;
        *ret_count = 0;
        return 0;
}

int devices_fill_slot(Tunnel *tunnel, uint32_t slot, uint32_t ifindex, const TunnelPath *path) {
        return fails() ? -ENOMEM : 0;
}

int tunnel_detach_xdp(Tunnel *tunnel, uint32_t ifindex) {
        return fails() ? -EIO : 0;
}

int attach_point_probe(bool *ret_tcx, bool *ret_netkit) {
        return -EPERM;
}

int attach_point_own_clsact(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *saved) {
        if (fails())
                return -EBUSY;
        saved->flags |= UNDERPASS_SAVED_CLSACT_CREATED;
        kernel.saved = *saved;
        kernel.clsact = true;
        return 0;
}

int attach_point_disown_clsact(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *saved) {
        if (!(saved->flags & UNDERPASS_SAVED_CLSACT_CREATED))
                return 0;
        if (fails())
                return -EIO;
        saved->flags &= ~(uint32_t) UNDERPASS_SAVED_CLSACT_CREATED;
        kernel.saved = *saved;
        kernel.clsact = false;
        return 0;
}

int attach_point_attach(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, TunnelProgram program,
                        const char *pin) {
        if (fails())
                return -ERANGE;
        kernel.programs[direction] = true;
        return 0;
}

int attach_point_detach(const Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, const char *pin) {
        if (fails())
                return -EIO;
        kernel.programs[direction] = false;
        return 0;
}

int attach_point_follow(Tunnel *tunnel, uint32_t ifindex, TunnelProgram program) {
        assert(program == (kernel.saved.flags & UNDERPASS_SAVED_RAW_IP ? PROGRAM_INGRESS_RAW :
                                                                         PROGRAM_INGRESS_ETHERNET));
        return fails() ? -EIO : 0;
}

bool attach_point_attached(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction, const char *pin) {
        return kernel.programs[direction];
}

unsigned attach_point_position(Tunnel *tunnel, uint32_t ifindex, TunnelDirection direction,
                               const char *pin) {
        return 0;
}

/* ---- */

static void tunnel_begin(Tunnel *tunnel, AttachPoint attach_point) {
        *tunnel = (Tunnel) { .folder = (char *) "/folder", .attach_point = attach_point, .loaded = true };
        for (TunnelMap map = 0; map < _TUNNEL_MAP_MAX; map++)
                tunnel->maps[map] = (int) map;
}

static void tunnel_end(Tunnel *tunnel) {
        tunnel_clear_error(tunnel);
}

/* The nth change fails; 0: none. */
static int attach(Tunnel *tunnel, bool raw_ip, unsigned n) {
        const TunnelPath path = {};
        struct underpass_link link = {};
        int r;

        changes = 0;
        fails_at = n;
        r = tunnel_attach(tunnel, LINK, raw_ip, &path, &link);
        assert(r < 0 ? !streq(tunnel_error(tunnel), "") : link.slot == SLOT);
        return r;
}

static int detach(Tunnel *tunnel, unsigned n) {
        changes = 0;
        fails_at = n;
        return tunnel_detach(tunnel, LINK);
}

static int follow(Tunnel *tunnel, unsigned n) {
        changes = 0;
        fails_at = n;
        return tunnel_follow(tunnel, LINK);
}

/* As service/ does before tunnel_attach(): one begun, without slot. */
static void begin_record(void) {
        kernel = (Kernel) { .recorded = true };
}

static bool any_program(void) {
        return kernel.programs[DIRECTION_INGRESS] || kernel.programs[DIRECTION_EGRESS];
}

static void assert_nothing_is_left(void) {
        const Kernel nothing = {};

        assert(!any_program() && !kernel.settings && !kernel.clsact && !kernel.recorded);
        assert(memcmp(&kernel.saved, &nothing.saved, sizeof(kernel.saved)) == 0);
}

/* Calls for both attach points and kinds of links. */
static void each_way(void (*run)(Tunnel *tunnel, bool raw_ip)) {
        const AttachPoint points[] = { ATTACH_POINT_TCX, ATTACH_POINT_CLSACT };

        for (size_t i = 0; i < 2 * ELEMENTS(points); i++) {
                _cleanup_(tunnel_end) Tunnel tunnel;

                tunnel_begin(&tunnel, points[i / 2]);
                begin_record();
                run(&tunnel, i % 2 == 1);
        }
}

static void fail_first(Tunnel *tunnel, bool raw_ip) {
        unsigned n = 1;

        for (; attach(tunnel, raw_ip, n) < 0; n++) {
                assert(n < ROUNDS_MAX);
                assert_nothing_is_left();
                begin_record();
        }
        assert(n > 6 && kernel.settings && kernel.saved.slot == SLOT);
}

/* Nor a record: each that is left takes the place of a link. */
static void a_first_try_that_fails_leaves_nothing(void) {
        each_way(fail_first);
}

static void fail_again(Tunnel *tunnel, bool raw_ip) {
        unsigned n = 1;

        assert(attach(tunnel, raw_ip, 0) == 0);
        kernel.saved.mtu_original = 1500;
        for (; attach(tunnel, raw_ip, n) < 0; n++) {
                assert(n < ROUNDS_MAX);
                assert(kernel.recorded && kernel.saved.slot == SLOT && kernel.saved.mtu_original == 1500);
                /* Programs that could not be loaded, or a record that could not be read, leave those of
                 * before. */
                const bool untouched = n <= 2;

                assert(kernel.settings == untouched && any_program() == untouched);
                assert(kernel.clsact == (untouched && tunnel->attach_point == ATTACH_POINT_CLSACT));
                assert(attach(tunnel, raw_ip, 0) == 0 && kernel.settings);
                assert(kernel.saved.mtu_original == 1500);
        }
        assert(n > 5);
}

static void a_link_that_was_known_keeps_its_record(void) {
        each_way(fail_again);
}

static void fail_to_detach(Tunnel *tunnel, bool raw_ip) {
        unsigned n = 1;

        assert(attach(tunnel, raw_ip, 0) == 0);
        for (; detach(tunnel, n) < 0; n++) {
                assert(n < ROUNDS_MAX);
                assert(kernel.recorded && kernel.saved.slot == SLOT && !kernel.settings);
                assert(attach(tunnel, raw_ip, 0) == 0);
        }
        assert(n > 3);
        assert_nothing_is_left();
}

static void what_could_not_be_taken_off_is_recorded(void) {
        each_way(fail_to_detach);
}

static void fail_to_follow(Tunnel *tunnel, bool raw_ip) {
        unsigned n = 1;

        assert(attach(tunnel, raw_ip, 0) == 0);
        for (; follow(tunnel, n) < 0; n++) {
                assert(n < ROUNDS_MAX);
                assert(!streq(tunnel_error(tunnel), ""));
                assert(any_program() && kernel.settings && kernel.saved.slot == SLOT);
        }
        assert(n == (raw_ip ? 4 : 3) && streq(tunnel_error(tunnel), ""));
}

static void each_failure_has_a_reason(void) {
        each_way(fail_to_follow);
}

int main(void) {
        static const Test tests[] = {
                { "a first try that fails leaves nothing", a_first_try_that_fails_leaves_nothing },
                { "a link that was known keeps its record", a_link_that_was_known_keeps_its_record },
                { "what could not be taken off is recorded", what_could_not_be_taken_off_is_recorded },
                { "each failure has a reason", each_failure_has_a_reason },
        };

        return run_tests(tests, ELEMENTS(tests));
}
