/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What works, but perhaps not as its author thought. Included by plan.c and plan-warnings.c only.
 */

#include "plan/plan.h"

/* Adds sentences to plan->warnings; the plan is complete but for them. 0 or -ENOMEM. */
int plan_warn(const PlanInput *input, Plan *plan);
