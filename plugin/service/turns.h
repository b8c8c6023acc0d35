/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Links and the bus take turns. Looks at links come before calls, so that nobody who calls without end keeps
 * the service from its links; but where many links are due, each of which takes tens of milliseconds, calls
 * are served in between.
 */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/util.h"

enum {
        TURNS_LINKS_US = 50 * 1000, /* that looks take before calls are served, … */
        TURNS_BUS_US = 20 * 1000,   /* … and that calls may take then, if there are so many */
};

typedef struct Turns Turns;

/* Takes one look. Returns whether there was one to take. */
typedef bool (*TurnsLook)(void *userdata);

/* 0 or negative errno. */
int turns_new(Turns **ret, sd_event *event, TurnsLook look, void *userdata);
Turns *turns_free(Turns *turns);
DEFINE_CLEANUP(Turns *, turns_free);

/* There are looks to take. */
void turns_due(Turns *turns);
