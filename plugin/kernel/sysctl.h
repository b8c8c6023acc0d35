/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The sysctls that explain what a link or the host does. Those of SCTP, which are written too: sctp.h.
 */

#include "base/util.h"
#include "bpf/abi.h"

/* net.ipv6.conf.NAME.disable_ipv6 = 0. False when the kernel has no IPv6. */
int sysctl_ipv6_enabled(const char *name, bool *ret);

/* Sets net.ipv6.conf.NAME.disable_ipv6 to 1. -ENOENT: the link or the kernel has no IPv6. */
int sysctl_disable_ipv6(const char *name);

/* net.ipv4.conf.NAME.rp_filter, or that of all, is 1 and neither is 2: a packet that comes from where
 * another link leads to is dropped. */
int sysctl_strict_source(const char *name, bool *ret);

/* net.ipv4.ip_local_port_range. */
int sysctl_ephemeral_ports(struct underpass_port_range *ret);

/* net.mptcp.pm_type: a program manages the subflows of new connections, not the kernel. */
int sysctl_mptcp_by_program(bool *ret);

/* net.mptcp.enabled; false when the kernel has no MPTCP. */
int sysctl_mptcp_enabled(bool *ret);
