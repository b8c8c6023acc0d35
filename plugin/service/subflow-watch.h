/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * When to look whether the MPTCP endpoints of a link have their subflows. The kernel tries an endpoint only
 * once for each connection: a subflow that did not come up, or that ended because its path was away, is not
 * built again unless somebody registers the endpoint again. So does a peer with one that is announced to it.
 *
 * After an activation there are a few looks. Where subflows are known to come up, one that ends is followed
 * by looks until none is missing, in pauses that grow with the time that the path is away. Otherwise nothing
 * is looked at until the kernel tells something.
 */

#include <systemd/sd-event.h>

#include "base/util.h"

typedef struct SubflowWatch SubflowWatch;

typedef enum SubflowLook {
        SUBFLOWS_COMPLETE,
        SUBFLOWS_IN_USE,   /* one may be missing, but the endpoint carries others, which would end */
        SUBFLOWS_RETRIED,  /* one was missing, and its endpoint has been registered again */
} SubflowLook;

/* due: it is time to look; subflow_watch_looked() has to follow, perhaps later. */
int subflow_watch_new(SubflowWatch **ret, sd_event *event, void (*due)(void *userdata), void *userdata);
SubflowWatch *subflow_watch_free(SubflowWatch *watch);

/* Endpoints have just been registered. */
void subflow_watch_begin(SubflowWatch *watch);

/* Subflows are known to come up by this link; the latest was one of this connection. connection: its token,
 * here as below; 0: it is not known. */
void subflow_watch_proven(SubflowWatch *watch, uint32_t connection);

/* A subflow of the link has ended, and its connection goes on. refused: because somebody answered so.
 * Attempts that fail are told in the same way. */
void subflow_watch_lost(SubflowWatch *watch, uint32_t connection, bool refused);

/* A connection has ended, so an endpoint may not be in use any more. */
void subflow_watch_freed(SubflowWatch *watch, uint32_t connection);

/* Whether there is a connection that has lost a subflow of this link and has not got it back. */
bool subflow_watch_misses(const SubflowWatch *watch);

/* The link can send again: who waits in a long pause looks soon. */
void subflow_watch_hurry(SubflowWatch *watch);

void subflow_watch_looked(SubflowWatch *watch, SubflowLook look);
