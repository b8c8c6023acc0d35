/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Bounds what calls cost that everybody may make: together they get at most two fifths of the service's
 * time, and one caller half of that. Who asks for more is turned down at once, which costs next to nothing,
 * so that the calls of others and the links are served.
 */

#include <stdbool.h>
#include <stdint.h>

enum {
        CALL_BUDGET_WINDOW_US = 1000 * 1000,
        CALL_BUDGET_ALL_US = 400 * 1000,     /* of each window */
        CALL_BUDGET_CALLER_US = 200 * 1000,
        CALL_BUDGET_CALLERS = 16,            /* who is known in a window; the others share what is left */
        CALL_BUDGET_NAME_LENGTH = 24,
};

typedef struct CallBudget {
        uint64_t window_us;                  /* when this one began, CLOCK_MONOTONIC */
        uint64_t used_us;
        struct {
                char name[CALL_BUDGET_NAME_LENGTH];
                uint64_t used_us;
        } callers[CALL_BUDGET_CALLERS];
} CallBudget;

/* Whether a call of this caller (its unique name on the bus) may be served now. */
bool call_budget_allows(CallBudget *budget, const char *caller, uint64_t now_us);

/* It has been served, and took so long. */
void call_budget_charge(CallBudget *budget, const char *caller, uint64_t took_us);
