/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which form the connections of a link have, and why, for "explain". */

#include <glib.h>

/* "off": none may have the bulk form; "unused": none has had it yet; "used": some have. */
const char *bulk_form_state(GVariant *link);

/* Why that is so. Caller frees. */
char *bulk_form_reason(GVariant *link);
