/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Remembers which user a connection to the bus belongs to, so that the bus is asked once for each and not
 * for each call. The unique name of a connection is never given to another one by the same bus.
 */

#include <sys/types.h>

#include "base/util.h"

enum { CALLERS_MAX = 1024, CALLERS_NAME_LENGTH = 24 };

/* Begins as zeros, and is made zeros when the bus is another one. */
typedef struct Callers {
        struct {
                char name[CALLERS_NAME_LENGTH];   /* empty: nobody */
                uid_t user;
        } entries[CALLERS_MAX];
} Callers;

/* Whether the user is known. */
bool callers_find(const Callers *callers, const char *name, uid_t *ret);

/* May forget another caller for it. */
void callers_add(Callers *callers, const char *name, uid_t user);
