/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which network a link is in, as far as facts and profile tell: a laptop moves between networks on one
 * interface, and what was learnt in one says nothing of the next.
 */

#include "plan/facts.h"
#include "profile/profile.h"

/* What is known of the network that a link is in. All 0: nothing yet. */
typedef struct Network {
        char *profile;        /* UUID of the connection, or the .network file; NULL: not known */
        Address gateways[_FACTS_FAMILY_MAX];
        Address *addresses;   /* of global scope */
        size_t addresses_count;
} Network;

/*
 * Compares with what is known, and learns. 1: it is another network: another profile, another gateway, or
 * none of the addresses that a family had. 0: it is the same, or nothing tells. What is missing now is no
 * difference: links lose addresses and routes for a moment, and get them back. -ENOMEM: nothing was learnt.
 */
int network_follow(Network *network, const LinkFacts *facts, const Profile *profile);

/* Frees what it points to. */
void network_clear(Network *network);
