/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Translation of text that people read. Log lines stay in English.
 */

#include <libintl.h>

#include <config.h> /* of the build: this folder has a config.h, too */

#define _(text) dgettext(GETTEXT_PACKAGE, text)
#define P_(one, many, count) dngettext(GETTEXT_PACKAGE, one, many, count)
#define N_(text) (text)

/* A constant message: see message.h. */
#define M_(text) "\1" text "\3"
