/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * MPTCP path manager endpoints by generic netlink (family "mptcp_pm", linux/mptcp.h, kernel 5.6 and newer).
 */

#include "base/util.h"
#include "plan/facts.h"

typedef struct MptcpPm MptcpPm;

/* -EOPNOTSUPP when the kernel has no MPTCP path manager. */
int mptcp_pm_open(MptcpPm **ret);
MptcpPm *mptcp_pm_free(MptcpPm *pm);
DEFINE_CLEANUP(MptcpPm *, mptcp_pm_free);

/* All endpoints of the network namespace. Caller frees the array. */
int mptcp_pm_dump(MptcpPm *pm, MptcpEndpoint **ret, size_t *ret_count);

/* How many additional subflows a connection may have (`ip mptcp limits`). */
int mptcp_pm_subflows_max(MptcpPm *pm, uint32_t *ret);

/* Adds one; id 0 lets the kernel choose. -EEXIST when the address is registered already, -EBUSY when another
 * address has the id. */
int mptcp_pm_add(MptcpPm *pm, const MptcpEndpoint *endpoint);

/* Removes the endpoint with this address, port and id (id 0: any). -ENOENT: there is none. */
int mptcp_pm_remove(MptcpPm *pm, const MptcpEndpoint *endpoint);
