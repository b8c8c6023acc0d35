/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What works, but perhaps not as its author thought.
 */

#include "plan/plan.h"

/* Adds sentences to plan->warnings, and reads nothing else of the plan. 0 or -ENOMEM. */
int plan_warn(const PlanInput *input, Plan *plan);
