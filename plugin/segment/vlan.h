/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What 8021q devices have beyond other segmentation devices: there is one for each link. */

#include "segment/device.h"

/* The names of all that may be ours. Caller frees. */
int vlan_list(Netlink *netlink, char ***ret_names);

/* The link that such a name tells, 0: it is no such name. */
uint32_t vlan_owner(const char *name);
