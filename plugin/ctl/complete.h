/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a shell may offer for the word under the cursor. The scripts for bash, zsh and fish ask the command
 * itself, so they know no verb and no key.
 *
 * Each line is a candidate, a tab and a description, which may be empty. A line that begins with a tab asks
 * the shell for what it completes best: "files" or "hosts".
 */

#include "ctl/ctl.h"

/* A candidate, if the word so far fits. */
void complete_offer(const char *word, const char *candidate, const char *description);

/*
 * Candidates for an argument of a verb. usage: its arguments as --help shows them, in English, such as
 * "[SELECTOR] PROFILE KEY=VALUE...". before: the arguments before the word, without options. False when
 * usage has a word there that is unknown here.
 */
bool complete_argument(Ctl *ctl, const char *usage, char **before, const char *word);
