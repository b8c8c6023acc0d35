/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Answers that both D-Bus interfaces give: lists, counters, and those that wait until links have been
 * looked at.
 */

#include <systemd/sd-bus.h>

#include "service/manager.h"

/* What a method says when it fails. */
#define BUS_ERROR_NO_SUCH_LINK "org.underpass1.Error.NoSuchLink"
#define BUS_ERROR_NOTHING_TO_DO "org.underpass1.Error.NothingToDo"
#define BUS_ERROR_FAILED "org.underpass1.Error.Failed"
#define BUS_ERROR_LIMITS_EXCEEDED SD_BUS_ERROR_LIMITS_EXCEEDED

/* The answer to a method that returns one array: opened for its elements, and closed and sent. */
int bus_list_begin(sd_bus_message *call, const char *element_type, sd_bus_message **ret);
int bus_list_send(sd_bus_message *reply);

/* The error for a call that the service does not come to any more, because it is being stopped. */
int bus_reply_interrupted(sd_bus_message *message);

/* An error whose sentence is one that its link has as well. */
int bus_reply_error(sd_bus_message *message, const char *name, const char *text);

/* a{st} with all counters of a link; 0: of no link. */
int bus_append_counters(sd_bus_message *reply, Tunnel *tunnel, uint32_t ifindex);

/* Activate of both interfaces. path: object path that the answer carries, NULL: it carries none. */
int bus_activate(Manager *manager, Link *link, sd_bus_message *message, const char *path);

/* A method call that is answered when all links added to it have been looked at. The answer carries nothing,
 * unless pending_reply_set_answer() says otherwise. */
typedef struct PendingReply PendingReply;

/* NULL when out of memory. */
PendingReply *pending_reply_new(sd_bus_message *message);

/* Answers the call when the time has come. Negative errno: it is not answered. */
typedef int (*PendingAnswer)(Manager *manager, sd_bus_message *message);
void pending_reply_set_answer(PendingReply *reply, PendingAnswer answer, Manager *manager);

/* alone: no other link is added. Without memory it is not waited for. */
void pending_reply_add(PendingReply *reply, Link *link, bool alone);

/* No more links are added; the answer may go out now. */
int pending_reply_start(PendingReply *reply);
