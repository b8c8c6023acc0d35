/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The sysctls of SCTP over UDP. They belong to the network namespace of whoever reads or writes them.
 */

#include "plan/sctp.h"

/* Where they are; another folder serves tests. */
#define SCTP_SYSCTLS "/proc/sys/net/sctp"

/* What the port is now; 0: off. SCTP may be a module that nobody has needed yet: then it is loaded, unless a
 * sandbox forbids it. -ENOENT: this kernel has no SCTP over UDP, or its module has not been loaded. */
int sctp_get(const char *folder, SctpPort port, uint16_t *ret);

/* Sets it. -EADDRINUSE: another program holds the UDP port; the kernel has switched it off then. */
int sctp_set(const char *folder, SctpPort port, uint16_t number);
