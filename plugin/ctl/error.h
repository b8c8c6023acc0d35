/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Errors of underpassctl. A function that can fail takes a GError of the domain CTL_ERROR: its code is the
 * exit status of the command, its message is one or more complete sentences, one per line.
 */

#include "ctl/ctl.h"

/* Exit status, as "underpassctl --help" lists it. */
typedef enum CtlExit {
        CTL_OK = 0,
        CTL_FAILED = 1,      /* the operation failed */
        CTL_USAGE = 2,       /* the command line is invalid */
        CTL_UNREACHABLE = 3, /* the service or NetworkManager cannot be reached */
        CTL_NOT_FOUND = 4,   /* no such link or profile, or several profiles of that name */
        CTL_BAD_VALUE = 5,   /* invalid key or value */
        _CTL_EXIT_MAX,
} CtlExit;

#define CTL_ERROR (ctl_error_quark())
GQuark ctl_error_quark(void);

/*
 * Adds one more sentence to *error as a line of its own; the code of the first sentence stays. A line that
 * begins with a blank belongs to the line before it. A newline in what is added shows as \x0a.
 */
void ctl_error_add(GError **error, CtlExit code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Adds that there is no such key, and which key was probably meant. */
void ctl_error_unknown_key(GError **error, const char *name);

/* Adds that there is no such link. */
void ctl_error_unknown_link(GError **error, const char *interface);

/* Adds all sentences of more and frees it. */
void ctl_error_take(GError **error, GError *more);

/*
 * Adds what GDBus reports, as a sentence and an exit code, and frees more. subject is the object of the
 * request (an interface name, a profile), or NULL; service is who was asked ("Underpass", "NetworkManager").
 */
void ctl_error_take_bus(GError **error, GError *more, const char *service, const char *subject);

/* Prints the error to standard error, as text or as {"error": …}; returns its exit code. */
int ctl_error_print(const Ctl *ctl, const GError *error);
