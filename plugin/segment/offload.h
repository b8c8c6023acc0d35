/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Offloads of a helper device: what the kernel does in software in front of it, and what not. Outside of the
 * room nobody includes it.
 */

#include "base/util.h"

/* An offload that has to be on or off. */
typedef struct Offload {
        uint32_t get;
        uint32_t set;
        uint32_t value;
        bool optional;       /* what the device cannot do is no failure */
} Offload;

/* Sets offloads in the order of the table; what is right is not touched. -EOPNOTSUPP: the device took it and
 * yet does otherwise. */
int offload_set(const char *name, const Offload *offloads, size_t count);

/* Switches off what lets the device take merged datagrams as they are: the kernel then cuts them in front of
 * it. What this kernel does not know is no failure. -EOPNOTSUPP: as above. */
int offload_cut_datagrams(const char *name);
