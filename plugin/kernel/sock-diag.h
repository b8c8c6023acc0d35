/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Questions about sockets of this network namespace by NETLINK_SOCK_DIAG (linux/inet_diag.h).
 */

#include "base/util.h"
#include "plan/facts.h"

/* Local ports of all bound UDP sockets, IPv4 and IPv6, ascending, each once, host order. Caller frees. */
int sock_diag_udp_ports(uint16_t **ret_ports, size_t *ret_count);

/* Number of established TCP sockets with this local address that are MPTCP subflows. */
int sock_diag_mptcp_subflows(const Address *local, size_t *ret_count);
