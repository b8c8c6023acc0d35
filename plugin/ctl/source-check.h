/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the kernel thinks of where packets come from (rp_filter). Needs no rights. */

#include "kernel/routes.h"

/* Whether the kernel drops what comes by the link from this address: it is strict, and although the link
 * leads there, another one has the better route. Only of IPv4. */
bool source_check_drops(Routes *routes, const LinkFacts *facts, const Address *remote);
