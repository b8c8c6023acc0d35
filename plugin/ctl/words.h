/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Single words of the service, such as states, for people. Programs get them as they are.
 */

/* The word in the user's language; the word itself when it is unknown. */
const char *words_translate(const char *word);
