/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Errors as callers are told them. A D-Bus error is one English sentence; what it is made of is remembered
 * for a while, so that the caller can translate it. Nobody sees what another one was told.
 */

#include <systemd/sd-bus.h>

#include "base/message.h"

enum { TOLD_MAX = 32, TOLD_NAME_LENGTH = 24 };

/* Begins as zeros. */
typedef struct Told {
        struct {
                char caller[TOLD_NAME_LENGTH];  /* its unique name on the bus */
                char *text;                     /* a message; NULL: a free place */
        } entries[TOLD_MAX];
        size_t next;                            /* the oldest one */
} Told;

void told_done(Told *told);

/* Answers a call with an error. 1, as sd-bus wants it of a call that is answered, or negative errno. */
int told_error(Told *told, sd_bus_message *call, const char *name, const char *msgid, ...) _printf_(4, 5);

/* Appends what a caller was told of late to texts, of which there are *count: at most TOLD_MAX more. They
 * stay those of told. */
void told_collect(const Told *told, const char *caller, const char **texts, size_t *count);
