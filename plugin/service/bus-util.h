/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What both D-Bus interfaces need: reading a link argument, answering when links have been settled,
 * counters.
 */

#include "service/manager.h"

static inline void message_unrefp(sd_bus_message **message) {
        sd_bus_message_unref(*message);
}

/* The answer to a method that returns one array: opened for its elements, and closed and sent. */
int bus_list_begin(sd_bus_message *call, const char *element_type, sd_bus_message **ret);
int bus_list_send(sd_bus_message *reply);

/* Reads an interface name and finds its link; sets a D-Bus error otherwise. */
int bus_read_link(Manager *manager, sd_bus_message *message, Link **ret, sd_bus_error *error);

/* Activate and Deactivate of both interfaces; with_path: the answer carries the link's object path. */
int bus_activate(Link *link, sd_bus_message *message, bool with_path);
int bus_deactivate(Link *link, sd_bus_message *message);

/* a{st} with all counters of a link; 0: of no link. */
int bus_append_counters(sd_bus_message *reply, Tunnel *tunnel, uint32_t ifindex);

/*
 * A method call that is answered when all links added to it have been settled. The answer carries count as
 * "u" when the method returns that, else nothing.
 */
typedef struct PendingReply PendingReply;

PendingReply *pending_reply_new(sd_bus_message *message, uint32_t count);
void pending_reply_add(PendingReply *round, Link *link);
/* No more links are added; the answer may go out now. */
int pending_reply_start(PendingReply *round);
