/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What every verb of underpassctl is given: the options of the command line and the connection to the bus.
 */

#include <gio/gio.h>
#include <stdbool.h>

/* gboolean because GOption writes to it. */
typedef struct Ctl {
        gboolean json;
        gboolean no_legend;
        gboolean version;
        gboolean all;
        gboolean names;
        gboolean values;
        gboolean reapply;
        gboolean verbose;
        int patience_ms;      /* for an answer of the service to what only reads; 0: the usual */
        char *output;         /* file to write to; NULL: standard output */
        char *rate;           /* what to measure: "" or a path; NULL: nothing */
        double watch;         /* seconds between two looks; 0: only one */
        bool color;           /* standard output is a terminal that shows colours */
        GDBusConnection *bus; /* NULL until a call needs it */
        GPtrArray *profiles;  /* of NetworkManager; NULL until they are asked for */
} Ctl;
