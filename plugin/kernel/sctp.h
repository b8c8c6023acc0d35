/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The sysctls of SCTP over UDP, those of the network namespace of the calling process.
 */

#include "plan/sctp.h"

/* Where they are; another folder serves tests. */
#define SCTP_SYSCTLS "/proc/sys/net/sctp"

/* Reads the port; 0: off. Loads the SCTP module if it is not loaded yet and no sandbox forbids it. -ENOENT:
 * this kernel has no SCTP over UDP, or its module is not loaded. */
int sctp_get(const char *folder, SctpPort port, uint16_t *ret);

/* Sets it. -EADDRINUSE: another program has the UDP port; then the kernel has set 0. */
int sctp_set(const char *folder, SctpPort port, uint16_t number);
