/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Processes of this host by /proc, as far as this process may look into them: those of its own user with no
 * more capabilities than it has, or all (CAP_SYS_PTRACE).
 */

#include <sys/types.h>

#include "base/util.h"

typedef struct Process {
        pid_t pid;
        char name[16]; /* as `ps` has it; what is not printable ASCII is "?" */
} Process;

/* The first one that has a socket open. inode: of the socket. -ENOENT: none that can be looked into. */
int process_find_socket(uint32_t inode, Process *ret);
