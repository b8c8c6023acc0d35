/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See expedite.h. */

#include <bpf/bpf.h>

#include "tunnel/expedite.h"
#include "tunnel/state.h"

#define EXPEDITED "/sys/kernel/rcu_expedited"
#define NORMAL    "/sys/kernel/rcu_normal"

enum { SWITCH_LIMIT = 8 };

/* Whether a switch is there, and is 0. */
static bool is_off(const char *path) {
        _cleanup_(freep) char *text = NULL;

        return file_read(path, SWITCH_LIMIT, &text, NULL) == 0 && strtol(text, NULL, 10) == 0;
}

Expedite expedite_begin(const Tunnel *tunnel) {
        _cleanup_(freep) char *mark = NULL;

        if (!tunnel->loaded || tunnel->attach_point != ATTACH_POINT_TCX || !is_off(NORMAL) ||
            !is_off(EXPEDITED))
                return (Expedite) {};
        mark = tunnel_pin_path(tunnel, tunnel_pin_name(PIN_EXPEDITED));
        /* Any object will do: its name is what counts. */
        if (!mark || bpf_obj_pin(tunnel->maps[MAP_LOADER], mark) < 0)
                return (Expedite) {};
        if (file_write(EXPEDITED, "1") < 0) {
                (void) unlink(mark);
                return (Expedite) {};
        }
        return (Expedite) { .mark = TAKE_PTR(mark) };
}

void expedite_endp(Expedite *expedite) {
        if (!expedite->mark)
                return;
        /* If this fails, the next service has another try. */
        if (file_write(EXPEDITED, "0") == 0)
                (void) unlink(expedite->mark);
        free(TAKE_PTR(expedite->mark));
}

void expedite_recover(const Tunnel *tunnel) {
        _cleanup_(freep) char *mark = tunnel_pin_path(tunnel, tunnel_pin_name(PIN_EXPEDITED));

        if (mark && access(mark, F_OK) == 0 && file_write(EXPEDITED, "0") == 0)
                (void) unlink(mark);
}
