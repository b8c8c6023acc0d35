/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The groups of tests that need nothing but packets, see programs.h.
 */

#include "programs.h"

int programs_packets(struct bench *bench) {
        int failed = programs_egress(bench);

        failed += programs_segment(bench);
        failed += programs_ingress(bench);
        failed += programs_flows(bench);
        failed += programs_measure(bench);
        failed += programs_fallback(bench);
        failed += programs_demand(bench);
        failed += programs_icmp(bench);
        failed += programs_quote(bench);
        failed += programs_mtu(bench);
        failed += programs_path_mtu(bench);
        failed += programs_throttle(bench);
        failed += programs_plain(bench);
        failed += programs_parts(bench);
        failed += programs_gro(bench);
        failed += programs_links(bench);
        failed += programs_vlan(bench);
        failed += programs_cut(bench);
        failed += programs_bulk(bench);
        failed += programs_xdp(bench);
        failed += programs_guard(bench);
        failed += programs_tell(bench);
        return failed + programs_loop(bench);
}
