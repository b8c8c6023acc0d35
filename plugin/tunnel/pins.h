/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One BPF object per network namespace: its maps and programs are loaded, and pinned in a folder of their
 * own.
 */

#include "tunnel/tunnel.h"

/* Adopts what lies in the folder. 0: adopted or nothing there; what cannot be adopted has been removed. */
int pins_adopt(Tunnel *tunnel);

/* Loads the programs unless they are, and pins everything unless it is: what links with an Ethernet header
 * need. */
int pins_ensure(Tunnel *tunnel);

/* The same, and the programs of links without Ethernet header. 0 or negative errno. */
int pins_ensure_raw(Tunnel *tunnel);

/* There is no such link any more: drops and unpins their programs. */
void pins_drop_raw(Tunnel *tunnel);

/* Unpins maps, programs and the attachments to helper devices, and removes the folder. */
int pins_remove(Tunnel *tunnel);
