/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One request, its answers: the part that all netlink rooms share, on top of libmnl.
 */

#include <libmnl/libmnl.h>

#include "base/util.h"

typedef struct Netlink Netlink;

/* Opens a CLOEXEC socket of a NETLINK_* protocol, extended acknowledgments on. Negative errno. */
int netlink_open(Netlink **ret, int protocol);
Netlink *netlink_free(Netlink *netlink);
DEFINE_CLEANUP(Netlink *, netlink_free);

/*
 * Sends message (sequence number and port are filled in), waits for its end (at most 5 s) and hands each
 * answer that is not NLMSG_ERROR/NLMSG_DONE to callback (NULL: ignored). Returns the kernel's negative
 * errno; -EINTR of an interrupted dump is retried by the caller. netlink_error() then has the kernel's own
 * words.
 */
int netlink_call(Netlink *netlink, struct nlmsghdr *message, mnl_cb_t callback, void *userdata);

/* Extended acknowledgment text of the last failed call, "" when the kernel gave none. */
const char *netlink_error(const Netlink *netlink);
