/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The MTU of a link. It is read with the other facts of the link: rtnl.h.
 */

#include <stdint.h>

/* Sets the MTU by rtnetlink. -EINVAL, -ERANGE: the link does not take it. -ENODEV: the link is gone. */
int mtu_set(uint32_t ifindex, uint32_t mtu);
