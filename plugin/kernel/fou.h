/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * UDP sockets of the kernel that take packets in tunnels (FOU: generic netlink family "fou", linux/fou.h,
 * module fou). The GRO of drivers merges what comes to them, and that is all that they are here for.
 *
 * They are of the kind that is there for one protocol behind UDP, IP in the version of the socket, which is
 * the bulk form. With GUE, the other kind, a sender would choose the protocol.
 *
 * Ours are known by a mark, since nobody else has a reason for it: the flag FOU_ATTR_REMCSUM_NOPARTIAL,
 * which has no meaning for this kind, on a socket that is bound to a link. The kernel keeps and tells it.
 */

#include "base/util.h"
#include "bpf/abi.h"

typedef struct Fou Fou;

/* load: the kernel may load its module for it. -EOPNOTSUPP: it has none. */
int fou_open(Fou **ret, bool load);
Fou *fou_free(Fou *fou);
DEFINE_CLEANUP(Fou *, fou_free);

/*
 * Whether this kernel is one for such sockets. 0: it is. -ENOSYS: its GRO does not find sockets that are
 * bound to a link, as before 6.6. -ENOTRECOVERABLE: it can crash when a socket goes while packets come for
 * it (CVE-2024-46763 and CVE-2024-46865, repaired in 6.6.52, 6.10.11 and 6.11), or its release says nothing.
 */
int fou_check_kernel(void);

/* The same for a release as uname(2) has it. */
int fou_check_release(const char *release);

/* Makes a socket. -EADDRINUSE: another one has the port; -EAFNOSUPPORT: the kernel lacks the IP version. */
int fou_add(Fou *fou, const struct underpass_socket_key *key);

/* Removes one. -ENOENT: there is none. */
int fou_remove(Fou *fou, const struct underpass_socket_key *key);

/*
 * Ours in this network namespace. Caller frees the array. Some may be missing: the kernel leaves one out
 * each time that its answer goes on in another datagram, after about 320 sockets, or 37 where memory is
 * scarce.
 */
int fou_dump(Fou *fou, struct underpass_socket_key **ret, size_t *ret_count);
