/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the parts of test-world share: checks that count failures, and commands run in the test's own network
 * namespace.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "plan/facts.h"

/* Counts a failure and says where; evaluates to the condition, so that a test can stop where going on
 * makes no sense. */
#define CHECK(condition) world_check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQUAL(got, wanted) \
        world_check_equal((int64_t) (got), (int64_t) (wanted), #got, __FILE__, __LINE__)

bool world_check(bool holds, const char *text, const char *file, int line);
bool world_check_equal(int64_t got, int64_t wanted, const char *text, const char *file, int line);

/* Runs "ip" with these arguments, separated by spaces. False and a counted failure when it fails. */
bool world_ip(const char *arguments);

/* The same for what a kernel may lack: the caller decides what a failure means. */
bool world_try_ip(const char *arguments);

/* Says that the part could not be tested (all of it, or what the reason names). */
void world_skip(const char *reason);

/* Number of a link that must exist. */
uint32_t world_ifindex(const char *name);

/* The address of a text such as "192.0.2.1" or "2001:db8::1". */
Address world_address(const char *text);

/* Writes a sysctl; false when that failed. */
bool world_sysctl(const char *path, const char *value);

/* Reads or writes a feature of a link by an ethtool command (ETHTOOL_GTSO, ETHTOOL_STSO …); its value. */
uint32_t world_feature(const char *name, uint32_t command, uint32_t value);

/* The parts, each in an empty network namespace whose loopback is up. */
void test_netlink(void);
void test_rtnl_monitor(void);
void test_rtnl_lost(void);
void test_rtnl_facts(void);
void test_rtnl_gateways(void);
void test_rtnl_many(void);
void test_mtu_and_sysctls(void);
void test_mptcp_pm(void);
void test_mptcp_events(void);
void test_routes(void);
void test_routes_lead(void);
void test_sock_diag_udp(void);
void test_sock_diag_listeners(void);
void test_sock_diag_subflows(void);
void test_sock_diag_tcp(void);
void test_segment_pair(void);
void test_segment_bridge(void);
void test_segment_bridge_forwards(void);
void test_segment_netkit(void);
void test_segment_vlan(void);
void test_segment_foreign(void);
