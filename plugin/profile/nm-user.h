/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * NetworkManager's user.data and mptcp-flags, as far as they are pure data.
 */

#include "profile/profile.h"

/* NM_MPTCP_FLAGS_* (libnm 1.40 and newer). */
enum {
        NM_MPTCP_DISABLED = 0x1,
        NM_MPTCP_ENABLED = 0x2,
        NM_MPTCP_ALSO_WITHOUT_SYSCTL = 0x4,
        NM_MPTCP_ALSO_WITHOUT_DEFAULT_ROUTE = 0x8,
        NM_MPTCP_SIGNAL = 0x10,
        NM_MPTCP_SUBFLOW = 0x20,
        NM_MPTCP_BACKUP = 0x40,
        NM_MPTCP_FULLMESH = 0x80,
};

/* Whether a key of user.data is meant for Underpass. */
bool nm_user_is_ours(const char *key);

/* One pair of user.data; 0 or -ENOMEM. Other programs' keys are ignored. where: "LTE (uuid)". */
int nm_user_add(Profile *profile, const char *key, const char *value, const char *where);

/* Whether NetworkManager registers endpoints with these flags of a profile, net.mptcp.enabled being
 * sysctl_enabled. */
bool nm_mptcp_flags_active(uint32_t flags, bool sysctl_enabled);

/* "enabled, subflow"; "default" for 0. Caller frees. */
char *nm_mptcp_flags_format(uint32_t flags);
