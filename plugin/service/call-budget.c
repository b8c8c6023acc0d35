/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See call-budget.h. */

#include <stdio.h>

#include "base/util.h"
#include "service/call-budget.h"

/* What this caller has used; NULL: the table is full of others. */
static uint64_t *used_by(CallBudget *budget, const char *caller) {
        for (size_t i = 0; i < CALL_BUDGET_CALLERS; i++) {
                char *name = budget->callers[i].name;

                if (name[0] == '\0')
                        snprintf(name, CALL_BUDGET_NAME_LENGTH, "%s", caller);
                if (strncmp(name, caller, CALL_BUDGET_NAME_LENGTH - 1) == 0)
                        return &budget->callers[i].used_us;
        }
        return NULL;
}

bool call_budget_allows(CallBudget *budget, const char *caller, uint64_t now_us) {
        const uint64_t *used;

        if (now_us - budget->window_us >= CALL_BUDGET_WINDOW_US)
                *budget = (CallBudget) { .window_us = now_us };
        used = used_by(budget, caller);
        return budget->used_us < CALL_BUDGET_ALL_US && (!used || *used < CALL_BUDGET_CALLER_US);
}

void call_budget_charge(CallBudget *budget, const char *caller, uint64_t took_us) {
        uint64_t *used = used_by(budget, caller);

        budget->used_us += took_us;
        if (used)
                *used += took_us;
}
