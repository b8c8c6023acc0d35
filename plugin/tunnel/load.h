/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The BPF object that the service carries: its maps are made, and its programs loaded, several at a time.
 */

#include "tunnel/state.h"

/* Hash of the object: tells whether pinned programs are those that this service would load. */
uint64_t load_object_id(void);

/* Few hosts have links without Ethernet header, and the verifier takes long: whether a program is only for
 * those, and so is loaded when there is one. */
bool load_is_for_raw(TunnelProgram program);

/*
 * Makes the maps that the tunnel has not, and loads the programs; raw: those for links without Ethernet
 * header, beside the others, which are loaded. Replaces the descriptors of both. Negative errno, which
 * tunnel_error() explains where the verifier refuses: then programs are as they were, but maps may be there.
 */
int load_programs(Tunnel *tunnel, bool raw);
