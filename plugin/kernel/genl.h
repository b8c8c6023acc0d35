/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Generic netlink: the head of a request, and the number of a family.
 */

#include <linux/genetlink.h>

#include "base/netlink.h"

/* Begins a request in the buffer, which is aligned as struct nlmsghdr is. Attributes come behind it. */
struct nlmsghdr *genl_request(void *buffer, uint16_t family, uint8_t command, uint8_t version);

/* The number of a family. The kernel loads a module for a name that it does not know. -EOPNOTSUPP: it has
 * no such family. */
int genl_find_family(Netlink *netlink, const char *name, uint16_t *ret);

/* The same without loading anything. */
int genl_find_loaded_family(Netlink *netlink, const char *name, uint16_t *ret);
