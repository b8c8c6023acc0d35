/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Client of org.underpass1; data/org.underpass1.xml is the contract. The bus starts the service when it is
 * called. All functions return NULL on failure.
 */

#include "ctl/ctl.h"

#define BUS_READ_TIMEOUT_MS (10 * 1000) /* includes the start of the service */
#define BUS_CHANGE_TIMEOUT_MS (60 * 1000)

/* Connects to the bus, unless that is done. */
bool bus_connect(Ctl *ctl, GError **error);

/* Calls a method of the manager; subject as in ctl_error_take_bus(). arguments may be floating, or NULL. */
GVariant *bus_call(Ctl *ctl, const char *method, GVariant *arguments, const char *reply_type, int timeout_ms,
                   const char *subject, GError **error);

/* All properties (a{sv}) of the manager, and of the link of this interface. */
GVariant *bus_manager(Ctl *ctl, GError **error);
GVariant *bus_link(Ctl *ctl, const char *interface, GError **error);

/* One property of the link object at a path; type: what it has to be. The time is bounded by the caller. */
GVariant *bus_link_property(Ctl *ctl, const char *path, const char *name, const char *type, int timeout_ms);

/* The properties (GVariant a{sv}) of all links, sorted by interface index. */
GPtrArray *bus_links(Ctl *ctl, GError **error);
