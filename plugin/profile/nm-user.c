/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What NetworkManager's user.data and connection.mptcp-flags mean, without asking NetworkManager.
 */

#include <stdio.h>

#include "profile/nm-user.h"

/* Since NetworkManager 1.56; only shown. */
enum {
        NM_MPTCP_LAMINAR = 0x100,
};

bool nm_user_is_ours(const char *key) {
        return strncmp(key, KEY_USER_DATA_PREFIX, strlen(KEY_USER_DATA_PREFIX)) == 0;
}

int nm_user_add(Profile *profile, const char *key, const char *value, const char *where) {
        const ProfileSource source = PROFILE_SOURCE_NETWORK_MANAGER;

        if (!nm_user_is_ours(key))
                return 0;

        const Key *row = key_find_user_data(key);
        return row ? profile_set(profile, row, value, source, where)
                   : profile_unknown_key(profile, key, source, where);
}

bool nm_mptcp_flags_active(uint32_t flags, bool sysctl_enabled) {
        if (flags & NM_MPTCP_DISABLED)
                return false;
        return sysctl_enabled || (flags & NM_MPTCP_ALSO_WITHOUT_SYSCTL);
}

char *nm_mptcp_flags_format(uint32_t flags) {
        static const struct {
                uint32_t flag;
                const char *name;
        } names[] = {
                { NM_MPTCP_DISABLED, "disabled" },
                { NM_MPTCP_ENABLED, "enabled" },
                { NM_MPTCP_ALSO_WITHOUT_SYSCTL, "also-without-sysctl" },
                { NM_MPTCP_ALSO_WITHOUT_DEFAULT_ROUTE, "also-without-default-route" },
                { NM_MPTCP_SIGNAL, "signal" },
                { NM_MPTCP_SUBFLOW, "subflow" },
                { NM_MPTCP_BACKUP, "backup" },
                { NM_MPTCP_FULLMESH, "fullmesh" },
                { NM_MPTCP_LAMINAR, "laminar" },
        };
        char text[160] = "";
        size_t used = 0;

        if (flags == 0)
                return strdup("default");

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (flags & names[i].flag) {
                        used += (size_t) snprintf(text + used, sizeof(text) - used, "%s%s",
                                                  used > 0 ? ", " : "", names[i].name);
                        flags &= ~names[i].flag;
                }
        if (flags != 0)
                (void) snprintf(text + used, sizeof(text) - used, "%s%#x", used > 0 ? ", " : "", flags);
        return strdup(text);
}
