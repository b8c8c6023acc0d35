/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the kernel has counted of MPTCP in this network namespace (/proc/net/netstat).
 */

#include <stdint.h>

typedef struct NetstatMptcp {
        uint64_t asked;        /* connections opened with MPTCP (MPCapableSYNTX) */
        uint64_t fallen_back;  /* of these, answered without it (MPCapableFallbackSYNACK) */
} NetstatMptcp;

/* -EOPNOTSUPP: the kernel has no MPTCP. */
int netstat_mptcp(NetstatMptcp *ret);

/* The same from the text of the file, apart so that tests can say what the kernel says. */
int netstat_parse_mptcp(const char *text, NetstatMptcp *ret);
