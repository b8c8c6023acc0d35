/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * All sources of profiles as one: files, systemd-networkd, NetworkManager, in rising order of precedence.
 */

#include <systemd/sd-bus.h>

#include "source/source.h"

typedef struct Sources Sources;

/* directories: of file profiles, in rising order of precedence, ending in NULL. */
int sources_new(Sources **ret, const char *const *directories, SourceChanged changed, void *userdata);

/* Answers every question that is still open. */
Sources *sources_free(Sources *sources);
DEFINE_CLEANUP(Sources *, sources_free);

/* Hands over a connection to the bus; NULL: the bus is gone. What was learnt stays. */
int sources_set_bus(Sources *sources, sd_bus *bus);

/* Asks all sources about a link; done is called once for each of the *ret_count questions, perhaps
 * before this returns. */
void sources_ask(Sources *sources, const LinkFacts *facts, SourceDone done, void *userdata,
                 unsigned *ret_count);

/* What all sources together say, as they answered last. */
int sources_profile(Sources *sources, const LinkFacts *facts, Profile **ret);

/* How the record of a link says whose profile asks for its tunnel: flags of UNDERPASS_SAVED_FROM, or
 * asked_by when nobody's does. */
uint32_t sources_asked_by(const Sources *sources, const Profile *profile, uint32_t asked_by);

/*
 * True when the source that asked an earlier service for a tunnel (asked_by, from its record) has not
 * answered yet and nobody else speaks for the link: what is attached stays as it is.
 */
bool sources_better_wait(const Sources *sources, uint32_t ifindex, const Profile *profile,
                         uint32_t asked_by);

/* Whether a source that can be asked does not know yet whether it has a profile for this link. */
bool sources_uncertain(const Sources *sources, uint32_t ifindex);

/* Whether a link that comes later could find a profile. */
bool sources_standing(const Sources *sources);

/* The link is gone. */
void sources_forget(Sources *sources, uint32_t ifindex);

/* What a dispatcher script reports; see source_nm_dispatched(). */
void sources_dispatched(Sources *sources, uint32_t ifindex, const char *action);

/* True while NetworkManager brings the link up: endpoints that exist now were made a moment ago. */
bool sources_activating(Sources *sources, uint32_t ifindex);

/* True while NetworkManager takes the link down: its profile still counts, but begins nothing. */
bool sources_deactivating(Sources *sources, uint32_t ifindex);

/* The tunnel profile of the link is shown as active in NetworkManager, or not. */
void sources_show(Sources *sources, uint32_t ifindex, bool wanted);

/* See source_nm_take_wish() and source_nm_tunnel_link(). */
bool sources_take_wish(Sources *sources, uint32_t ifindex, bool *ret_off);
const char *sources_tunnel_link(const Sources *sources, const char *uuid);

/* Calls handler for each source with its name and whether it can be asked; a negative return ends the
 * walk and is returned. */
int sources_each(const Sources *sources, int (*handler)(const char *name, bool available, void *userdata),
                 void *userdata);
