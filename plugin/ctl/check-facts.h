/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Gathers the facts that plan/check-host.h judges: from the service, from systemd, from NetworkManager and
 * from the kernel. Whoever does not answer is a fact, too, so nothing here fails.
 */

#include "ctl/ctl.h"
#include "ctl/nm-device.h"
#include "plan/check-link.h"

typedef struct CheckFacts CheckFacts;

typedef enum CheckDepth {
        CHECK_DEPTH_QUICK, /* only what costs next to nothing: no sockets, addresses, NetworkManager */
        CHECK_DEPTH_LINKS, /* all that matters for links */
        CHECK_DEPTH_FULL,  /* systemd, too */
} CheckDepth;

/* The facts of the host. manager, links (of GVariant) and destinations are what the service has answered;
 * NULL: it has not, and error says why ("" with an answer). All are only borrowed. */
CheckFacts *check_facts_new(Ctl *ctl, CheckDepth depth, GVariant *manager, GPtrArray *links,
                            GVariant *destinations, const char *error);
void check_facts_free(CheckFacts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CheckFacts, check_facts_free)

/* Adds the lines of the host: last, as what links have said for themselves is not said again. */
void check_facts_host(CheckFacts *facts, CheckLines *lines);

/* Adds the lines of a link that the service has told of; asked: somebody has named it. */
void check_facts_link(CheckFacts *facts, GVariant *link, bool asked, CheckLines *lines);

/* Whether no connection is active on a link that NetworkManager manages, and one with a tunnel could be.
 * That is nothing to tell while others have tunnels. */
bool check_facts_waits(CheckFacts *facts, GVariant *link);

/* Whether a link with a profile of systemd-networkd is down while others have tunnels. */
bool check_facts_is_spare(CheckFacts *facts, GVariant *link);

/* The first thing that is wrong: a sentence and the command that repairs it. NULL: nothing. Caller frees. */
char *check_facts_fault(const CheckLines *lines);

/* Lines for a link that it has not told of, because it does not answer; profile: the only one that is
 * meant, or NULL. */
void check_facts_bare_link(CheckFacts *facts, const char *interface, const NmNamed *profile,
                           CheckLines *lines);
