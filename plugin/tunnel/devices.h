/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The helper devices that packets pass, as the programs know them. The functions that the service calls are
 * in tunnel.h.
 */

#include "tunnel/tunnel.h"

/* Fills the slot of a link: where its packets are redirected to. */
int devices_fill_slot(Tunnel *tunnel, uint32_t slot, uint32_t ifindex, const TunnelPath *path);
