/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What Underpass changes of a link besides its programs (the MTU), and the sysctls it reads.
 */

#include "base/util.h"
#include "bpf/abi.h"

/* Sets the MTU by rtnetlink. -EINVAL when the driver refuses it, -ENODEV when the link is gone. */
int link_tune_set_mtu(uint32_t ifindex, uint32_t mtu);

/* net.ipv6.conf.NAME.disable_ipv6 = 0. False when the kernel has no IPv6. */
int link_tune_ipv6_enabled(const char *name, bool *ret);

/* net.ipv4.ip_local_port_range. */
int link_tune_ephemeral_ports(struct underpass_port_range *ret);

/* net.mptcp.enabled; false when the kernel has no MPTCP. */
int link_tune_mptcp_enabled(bool *ret);
