/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which properties of an object have changed: read from the properties themselves, so that no property can
 * be forgotten.
 */

#include <systemd/sd-bus.h>

typedef struct BusFingerprints BusFingerprints;

/* For the properties of this vtable that announce their changes; it has to stay as long as the
 * fingerprints. */
int bus_fingerprints_new(BusFingerprints **ret, const sd_bus_vtable *vtable);
BusFingerprints *bus_fingerprints_free(BusFingerprints *fingerprints);

/*
 * Compares what the getters say now with what they said the last time, and gives the names of those
 * properties that differ, as a NULL-terminated array that belongs to the fingerprints and holds until the
 * next call. Empty: none.
 */
int bus_fingerprints_compare(BusFingerprints *fingerprints, sd_bus *bus, const char *path,
                             const char *interface, void *userdata, char ***ret_names);
