/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The links as D-Bus objects with the interface org.underpass1.Link.
 */

#include "service/manager.h"

#define BUS_LINK_PREFIX "/org/underpass1/link"

typedef struct BusLinks BusLinks;

int bus_links_new(BusLinks **ret, Manager *manager);
BusLinks *bus_links_free(BusLinks *links);
DEFINE_CLEANUP(BusLinks *, bus_links_free);

/* Exports all links on this connection; NULL: the bus is gone. Nobody is told before
 * bus_links_announce(). */
int bus_links_set_bus(BusLinks *links, sd_bus *bus);

/* Tells of all links: there is a bus again. */
void bus_links_announce(BusLinks *links);

/* A link was added, has changed, goes. Whoever listens is told, and of changes only which properties
 * differ. */
int bus_links_add(BusLinks *links, Link *link);
void bus_links_change(BusLinks *links, const Link *link);
void bus_links_remove(BusLinks *links, const Link *link);

/* Object path; NULL when there was no memory for it. */
const char *bus_links_path(const BusLinks *links, const Link *link);
