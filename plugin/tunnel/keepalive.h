/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The program that turns on TCP keepalive for tunnelled sockets, at the root of the cgroup tree. */

#include "tunnel/tunnel.h"

/* Attaches it, pinned, or replaces the one that is there. -ENOENT: no cgroup2 is mounted. */
int keepalive_attach(Tunnel *tunnel);

/* Takes it off. Does nothing when it is not there. */
void keepalive_remove(Tunnel *tunnel);
