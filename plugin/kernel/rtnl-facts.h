/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The reading half of rtnl, on a request socket that rtnl owns. Others use rtnl.h.
 */

#include "base/netlink.h"
#include "plan/facts.h"

/* Facts of one link, addresses included. -ENODEV when it is gone. Freed by link_facts_free(). */
int rtnl_read_link(Netlink *request, uint32_t ifindex, LinkFacts **ret);
