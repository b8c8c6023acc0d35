/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Records as bytes: those of this service, of older and of newer ones. A record only ever grows at its end,
 * so a newer one is read as far as this service knows it, and what follows is kept when it is written again.
 * Pure: no map, no descriptor.
 */

#include "base/util.h"
#include "bpf/abi.h"

/* A kind of record: where its version stands, and what this service writes. */
typedef struct Layout Layout;

extern const Layout layout_saved;      /* struct underpass_saved */
extern const Layout layout_saved_sctp; /* struct underpass_saved_sctp */

/* Size in bytes of the record that this service writes. */
size_t layout_size(const Layout *layout);

/* Version of a record of size bytes. */
uint32_t layout_version(const Layout *layout, const void *value, size_t size);

/* Reads a record of size bytes into ret, a struct of layout_size() bytes, which then has the version of this
 * service. -EBADMSG: it is shorter than its version tells, so nothing is known of it. */
int layout_read(const Layout *layout, const void *value, size_t size, void *ret);

/* Writes a record over the one in value, of size bytes, not less than layout_size(). What a newer service
 * has appended stays, and with it the newer version. A record that is new is written over zeros. */
void layout_write(const Layout *layout, void *value, size_t size, const void *record);

/* Whether a newer service has noted something that this one does not know. */
bool layout_has_more(const Layout *layout, const void *value, size_t size);
