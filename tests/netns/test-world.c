/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Runs the netlink rooms against the real kernel. Each part gets a network namespace of its own, which ends
 * with the process that made it, so nothing is left behind. Exit status 77 without root.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "test-world.h"

extern char **environ;

enum {
        EXIT_SKIP = 77,
        ARGUMENTS_MAX = 32,
        PART_LIMIT_S = 30,
};

static const struct {
        const char *name;
        void (*run)(void);
        bool needs_ipv6;
} parts[] = {
        { "netlink",                 test_netlink,                 false },
        { "rtnl-monitor",            test_rtnl_monitor,            true  },
        { "rtnl-lost",               test_rtnl_lost,               false },
        { "rtnl-facts",              test_rtnl_facts,              true  },
        { "rtnl-gateways",           test_rtnl_gateways,           true  },
        { "rtnl-many",               test_rtnl_many,               false },
        { "mtu-and-sysctls",         test_mtu_and_sysctls,         false },
        { "mptcp-pm",                test_mptcp_pm,                false },
        { "routes",                  test_routes,                  true  },
        { "routes-lead",             test_routes_lead,             true  },
        { "sock-diag-udp",           test_sock_diag_udp,           true  },
        { "mptcp-events",            test_mptcp_events,            false },
        { "sock-diag-listeners",     test_sock_diag_listeners,     true  },
        { "sock-diag-subflows",      test_sock_diag_subflows,      true  },
        { "sock-diag-tcp",           test_sock_diag_tcp,           true  },
        { "gro-pair",                test_segment_pair,            false },
        { "segment-bridge",          test_segment_bridge,          false },
        { "segment-bridge-forwards", test_segment_bridge_forwards, false },
        { "segment-netkit",          test_segment_netkit,          false },
        { "segment-vlan",            test_segment_vlan,            false },
        { "segment-foreign",         test_segment_foreign,         false },
};

/* Of the process that runs one part. */
static size_t failures;
static bool part_skipped;

bool world_check(bool holds, const char *text, const char *file, int line) {
        if (!holds) {
                fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
                failures++;
        }
        return holds;
}

bool world_check_equal(int64_t got, int64_t wanted, const char *text, const char *file, int line) {
        if (got == wanted)
                return true;

        fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", file, line, text, (long long) got,
                (long long) wanted);
        failures++;
        return false;
}

void world_skip(const char *reason) {
        fprintf(stderr, "skipped: %s\n", reason);
        part_skipped = true;
}

bool world_try_ip(const char *arguments) {
        _cleanup_(freep) char *copy = strdup(arguments);
        char *list[ARGUMENTS_MAX] = { (char *) "ip" }, *position = NULL;
        size_t count = 1;
        int status;
        pid_t pid;

        if (!CHECK(copy))
                return false;
        for (char *word = strtok_r(copy, " ", &position); word; word = strtok_r(NULL, " ", &position)) {
                if (!CHECK(count < ARGUMENTS_MAX - 1))
                        return false;
                list[count++] = word;
        }

        if (posix_spawnp(&pid, "ip", NULL, NULL, list, environ) == 0 && waitpid(pid, &status, 0) == pid &&
            WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return true;

        fprintf(stderr, "command failed: ip %s\n", arguments);
        return false;
}

bool world_ip(const char *arguments) {
        return CHECK(world_try_ip(arguments));
}

uint32_t world_ifindex(const char *name) {
        unsigned index = if_nametoindex(name);

        CHECK(index > 0);
        return index;
}

Address world_address(const char *text) {
        Address address = {};
        struct in_addr ipv4;

        if (inet_pton(AF_INET, text, &ipv4) == 1)
                return address_from_ipv4(ipv4.s_addr);
        CHECK_EQUAL(inet_pton(AF_INET6, text, &address), 1);
        return address;
}

bool world_sysctl(const char *path, const char *value) {
        return CHECK_EQUAL(file_write(path, value), 0);
}

uint32_t world_feature(const char *name, uint32_t command, uint32_t value) {
        struct ethtool_value request = { .cmd = command, .data = value };
        _cleanup_(close_fdp) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq interface = {};

        snprintf(interface.ifr_name, sizeof(interface.ifr_name), "%s", name);
        interface.ifr_data = (char *) &request;
        CHECK_EQUAL(ioctl(fd, SIOCETHTOOL, &interface), 0);
        return request.data;
}

/* The process that runs one part: 0 when all checks held, EXIT_SKIP when the machine forbids namespaces. */
static int run_part(size_t part) {
        alarm(PART_LIMIT_S);
        if (unshare(CLONE_NEWNET) < 0) {
                fprintf(stderr, "%s: no network namespace: %s\n", parts[part].name, strerror(errno));
                return EXIT_SKIP;
        }

        if (parts[part].needs_ipv6 && access("/proc/sys/net/ipv6", F_OK) < 0)
                world_skip("the kernel has no IPv6");
        else if (world_ip("link set lo up"))
                parts[part].run();
        if (failures > 0)
                return EXIT_FAILURE;
        return part_skipped ? EXIT_SKIP : EXIT_SUCCESS;
}

/* By the arguments: the name of a part, or names of those that are left out, each behind a "-". */
static bool is_wanted(int count, char *const arguments[], const char *name) {
        bool without = true;

        for (int i = 1; i < count; i++) {
                if (arguments[i][0] != '-')
                        return streq(arguments[i], name);
                without &= !streq(arguments[i] + 1, name);
        }
        return without;
}

int main(int argc, char *argv[]) {
        size_t failed = 0, skipped = 0, run = 0;

        if (geteuid() != 0) {
                fprintf(stderr, "skipped: only root may make network namespaces\n");
                return EXIT_SKIP;
        }

        for (size_t i = 0; i < ELEMENTS(parts); i++) {
                int status = 0;
                pid_t pid;

                if (!is_wanted(argc, argv, parts[i].name))
                        continue;

                run++;
                fflush(NULL);
                pid = fork();
                if (pid == 0)
                        exit(run_part(i));
                if (pid < 0 || waitpid(pid, &status, 0) != pid) {
                        fprintf(stderr, "%s: cannot be run: %s\n", parts[i].name, strerror(errno));
                        return EXIT_FAILURE;
                }

                if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP)
                        skipped++;
                else if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
                        failed++;
                printf("%s: %s\n", parts[i].name,
                       WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) :
                       WEXITSTATUS(status) == EXIT_SKIP ? "skipped" :
                       WEXITSTATUS(status) == EXIT_SUCCESS ? "passed" : "failed");
        }

        if (failed > 0 || run == 0)
                return EXIT_FAILURE;
        return skipped > 0 ? EXIT_SKIP : EXIT_SUCCESS;
}
