/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The groups of tests of the programs. Each runs its tests, prints one line for each and returns how many
 * failed.
 */

#include "bench.h"

/* All that need nothing but packets. */
int programs_packets(struct bench *bench);

int programs_egress(struct bench *bench);
int programs_segment(struct bench *bench);
int programs_ingress(struct bench *bench);
int programs_flows(struct bench *bench);
int programs_measure(struct bench *bench);
int programs_fallback(struct bench *bench);
int programs_demand(struct bench *bench);
int programs_icmp(struct bench *bench);
int programs_quote(struct bench *bench);
int programs_mtu(struct bench *bench);
int programs_path_mtu(struct bench *bench);
int programs_throttle(struct bench *bench);
int programs_plain(struct bench *bench);
int programs_parts(struct bench *bench);
int programs_gro(struct bench *bench);
int programs_links(struct bench *bench);
int programs_vlan(struct bench *bench);
int programs_cut(struct bench *bench);
int programs_bulk(struct bench *bench);
int programs_xdp(struct bench *bench);
int programs_guard(struct bench *bench);
int programs_tell(struct bench *bench);

int programs_loop(struct bench *bench);

/* These need place_enter() first. */
int programs_learn(struct bench *bench);
int programs_inject(struct bench *bench);
int programs_forgotten(struct bench *bench);
int programs_keepalive(struct bench *bench);
