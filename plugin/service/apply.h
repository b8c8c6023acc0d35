/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Does the steps of a plan, and makes everything what it was where a later step fails: complete or nothing.
 */

#include "plan/plan.h"
#include "service/target.h"

/*
 * Does the steps of plan_diff() in their order; those that are not done here (STEP_GRACE, STEP_REANNOUNCE,
 * STEP_WATCH_SUBFLOWS, STEP_FORGET) are passed over. Where one fails, those before it are undone in reverse
 * order, so what was in force before is in force again. Negative errno then, with *ret_stage and a
 * translated sentence in *ret_error (caller frees) that also names what could not be put back;
 * target->applied tells what is in force.
 */
int apply_steps(Target *target, const Plan *plan, uint32_t steps, LinkStage *ret_stage, char **ret_error);

/* Adds a sentence about the MTU that the link had before the tunnel and has not taken back, until it gets
 * another one. 0 or -ENOMEM. */
int apply_add_warnings(const Target *target, char ***warnings);

/* The link is gone: forgets what was done to it, its record and its pins; unconfirmed: an earlier service,
 * or a try that failed, may have left some that target->applied does not tell of. */
void apply_forget(Target *target, bool unconfirmed);
