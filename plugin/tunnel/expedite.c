/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See expedite.h. */

#include "tunnel/expedite.h"
#include "tunnel/state.h"

#define EXPEDITED "/sys/kernel/rcu_expedited"
#define NORMAL    "/sys/kernel/rcu_normal"

#define OFF  "0"
#define OURS "1970168944" /* 0x756e6470, the handle of our filters, too */

enum { SWITCH_LIMIT = 32 };

/* Whether a switch has this value: 1 or 0, or negative errno where it is missing or cannot be read. */
static int has_value(const char *path, const char *value) {
        _cleanup_(freep) char *text = NULL;
        int r = file_read(path, SWITCH_LIMIT, &text, NULL);

        if (r < 0)
                return r;
        text[strcspn(text, "\n")] = 0;
        return streq(text, value);
}

static bool is_ours_to_set(void) {
        return has_value(NORMAL, OFF) > 0 &&
               (has_value(EXPEDITED, OFF) > 0 || has_value(EXPEDITED, OURS) > 0);
}

TunnelHaste tunnel_make_haste(void) {
        return (TunnelHaste) { .begun = is_ours_to_set() && file_write(EXPEDITED, OURS "\n") == 0 };
}

void tunnel_haste_endp(TunnelHaste *haste) {
        /* What cannot be read is most likely as it was left. */
        if (haste->begun && has_value(EXPEDITED, OURS) != 0)
                (void) file_write(EXPEDITED, OFF "\n");
        haste->begun = false;
}

TunnelHaste expedite_begin(const Tunnel *tunnel) {
        const bool wanted = tunnel->loaded && tunnel->attach_point == ATTACH_POINT_TCX;

        return wanted ? tunnel_make_haste() : (TunnelHaste) {};
}

void expedite_recover(void) {
        if (has_value(EXPEDITED, OURS) > 0)
                (void) file_write(EXPEDITED, OFF "\n");
}
