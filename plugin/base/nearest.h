/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a misspelt name was probably meant to be.
 */

#include <stddef.h>

enum { NEAREST_LENGTH_MAX = 64 }; /* bytes of a name; a longer one resembles nothing */

/* How many characters are missing, added, wrong or swapped with the next one; case does not count, nor "_"
 * for "-". A large number if one of the names is too long. */
size_t nearest_distance(const char *a, const char *b);

/* Up to this distance the name is misspelt; farther words are other words. 0: nothing is meant by it. */
size_t nearest_limit(const char *name);
