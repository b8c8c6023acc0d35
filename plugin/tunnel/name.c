/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Names of the hooks: shared by the real tunnel and its twin. */

#include "tunnel/tunnel.h"

static const char *const hook_names[_TUNNEL_HOOK_MAX] = {
        [TUNNEL_HOOK_AUTO] = "auto",
        [TUNNEL_HOOK_TCX] = "tcx",
        [TUNNEL_HOOK_CLSACT] = "clsact",
};

const char *tunnel_hook_name(TunnelHook hook) {
        return hook_names[hook];
}

int tunnel_hook_from_name(const char *name, TunnelHook *ret) {
        for (TunnelHook hook = 0; hook < _TUNNEL_HOOK_MAX; hook++)
                if (streq(name, hook_names[hook])) {
                        *ret = hook;
                        return 0;
                }
        return -EINVAL;
}
