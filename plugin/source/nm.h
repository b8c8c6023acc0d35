/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * NetworkManager as a source: what the applied connection of a device says, and the signals that tell when
 * to ask again.
 *
 * NetworkManager waits for its dispatcher scripts, and these wait for the service, so nothing here ever
 * waits for NetworkManager.
 */

#include "source/source.h"

/*
 * What a dispatcher script reports. After "down" only a device that is being activated again has a profile;
 * everything that comes up takes that back. Never calls NetworkManager.
 */
void source_nm_dispatched(Source *source, uint32_t ifindex, const char *action);

/* True while the device is being activated: endpoints that exist now have been made a moment ago. */
bool source_nm_activating(Source *source, uint32_t ifindex);

/* Shows the tunnel profile of an active device in NetworkManager as active, or as inactive, whatever it
 * takes. */
void source_nm_show(Source *source, uint32_t ifindex, bool wanted);

/* Whether somebody has activated or deactivated the tunnel profile of the device by hand since this was
 * asked last. */
bool source_nm_take_wish(Source *source, uint32_t ifindex, bool *ret_off);

/* The link that a tunnel profile names: link= or its interface, "" when it names none. NULL: there is no
 * tunnel profile with this UUID. */
const char *source_nm_tunnel_link(Source *source, const char *uuid);

/* True while the device is being taken down: what its profile asked for may already be half undone. */
bool source_nm_deactivating(Source *source, uint32_t ifindex);
