/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What an earlier service left pinned, of this version, an older or a newer one: which of its maps can be
 * used on, and what is carried over from the others. Until the new programs are attached, the old ones go on
 * with the old maps.
 */

#include "tunnel/state.h"

typedef struct CarryMap {
        int fd;              /* -EBADF: not pinned */
        uint32_t type, key_size, value_size, entries;
        bool kept;           /* used on: the descriptor is the tunnel's, too */
} CarryMap;

typedef struct Carry {
        CarryMap maps[_TUNNEL_MAP_MAX];
        struct underpass_loader loader; /* zeros: not known */
} Carry;

/* Opens the maps that are pinned. */
void carry_begin(Carry *carry, const Tunnel *tunnel);

/* Closes them. */
void carry_end(Carry *carry);

/* Whether there are records, and they can be read as far as this service knows them. */
bool carry_is_readable(const Carry *carry);

/* Hands the maps that can be used on to the tunnel. 0 or negative errno. */
int carry_keep(Carry *carry, Tunnel *tunnel);

/* Whether these are all. */
bool carry_is_whole(const Carry *carry);

/*
 * Once the tunnel is loaded: brings records of older versions up to date, and carries over what the new
 * programs must know of each link and flow before they take over. What was not understood is told by
 * tunnel_error(). 0 or negative errno.
 */
int carry_over(const Carry *carry, Tunnel *tunnel);

/* Calls handler for each link with a record, whether it can be read or not. Returns how many there are. */
size_t carry_links(const Carry *carry, void (*handler)(Tunnel *tunnel, uint32_t ifindex), Tunnel *tunnel);
