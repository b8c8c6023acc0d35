/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The MTU, the sysctls, and the UDP ports of sock-diag, against the real kernel.
 * Part of test-world; runs in a network namespace of its own.
 */

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/mtu.h"
#include "kernel/process.h"
#include "kernel/rtnl.h"
#include "kernel/sock-diag.h"
#include "kernel/sysctl.h"
#include "test-world.h"

static void check_mtu(Rtnl *rtnl, uint32_t ifindex, uint32_t wanted) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;

        if (CHECK_EQUAL(rtnl_link(rtnl, ifindex, &facts), 0))
                CHECK_EQUAL(facts->mtu, wanted);
}

static void check_ipv6(const char *name, bool wanted) {
        bool enabled = !wanted;

        CHECK_EQUAL(sysctl_ipv6_enabled(name, &enabled), 0);
        CHECK_EQUAL(enabled, wanted);
}

static void check_sysctls(void) {
        struct underpass_port_range range = {};
        bool enabled;

        world_sysctl("/proc/sys/net/ipv4/ip_local_port_range", "20000 30000");
        CHECK_EQUAL(sysctl_ephemeral_ports(&range), 0);
        CHECK_EQUAL(range.first, 20000);
        CHECK_EQUAL(range.last, 30000);

        if (access("/proc/sys/net/mptcp/enabled", F_OK) < 0) {
                enabled = true;
                CHECK_EQUAL(sysctl_mptcp_enabled(&enabled), 0);
                CHECK_EQUAL(enabled, false);
                return;
        }
        world_sysctl("/proc/sys/net/mptcp/enabled", "0");
        CHECK_EQUAL(sysctl_mptcp_enabled(&enabled), 0);
        CHECK_EQUAL(enabled, false);
        world_sysctl("/proc/sys/net/mptcp/enabled", "1");
        CHECK_EQUAL(sysctl_mptcp_enabled(&enabled), 0);
        CHECK_EQUAL(enabled, true);
}

void test_mtu_and_sysctls(void) {
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;
        uint32_t ifindex;

        if (!world_ip("link add test-a type veth peer name test-b") || !CHECK_EQUAL(rtnl_open(&rtnl), 0))
                return;
        ifindex = world_ifindex("test-a");

        CHECK_EQUAL(mtu_set(ifindex, 1400), 0);
        check_mtu(rtnl, ifindex, 1400);
        /* Less and more than the driver takes. */
        CHECK_EQUAL(mtu_set(ifindex, 67), -EINVAL);
        CHECK_EQUAL(mtu_set(ifindex, 65536), -EINVAL);
        CHECK_EQUAL(mtu_set(ifindex, UINT32_MAX), -EINVAL);
        check_mtu(rtnl, ifindex, 1400);
        CHECK_EQUAL(mtu_set(0, 1400), -ENODEV);
        CHECK_EQUAL(mtu_set(ifindex + 1000, 1400), -ENODEV);
        CHECK_EQUAL(mtu_set(UINT32_MAX, 1400), -ENODEV);

        check_sysctls();
        check_ipv6("no-such-link", false);
        if (access("/proc/sys/net/ipv6/conf", F_OK) < 0) {
                world_skip("IPv6 sysctls: the kernel has no IPv6");
                return;
        }
        check_ipv6("test-a", true);
        world_sysctl("/proc/sys/net/ipv6/conf/test-a/disable_ipv6", "1");
        check_ipv6("test-a", false);
        check_ipv6("test-b", true);
        /* Below 1280 the kernel takes IPv6 off the link altogether. */
        CHECK_EQUAL(mtu_set(world_ifindex("test-b"), 1279), 0);
        check_ipv6("test-b", false);
}

/* Binds a UDP socket; returns it, and its port in host order when it was to be chosen by the kernel. */
static int bind_udp(const char *address, uint16_t port, uint16_t *ret_port) {
        struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(port) };
        struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        bool is_ipv4 = inet_pton(AF_INET, address, &ipv4.sin_addr) == 1;
        struct sockaddr *local = is_ipv4 ? (struct sockaddr *) &ipv4 : (struct sockaddr *) &ipv6;
        socklen_t length = is_ipv4 ? sizeof(ipv4) : sizeof(ipv6);
        int fd, on = 1;

        fd = socket(local->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (!CHECK(fd >= 0))
                return fd;
        if (!is_ipv4) {
                CHECK_EQUAL(inet_pton(AF_INET6, address, &ipv6.sin6_addr), 1);
                CHECK_EQUAL(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
        }
        CHECK_EQUAL(bind(fd, local, length), 0);
        CHECK_EQUAL(getsockname(fd, local, &length), 0);
        *ret_port = ntohs(is_ipv4 ? ipv4.sin_port : ipv6.sin6_port);
        return fd;
}

static void check_ports(const uint16_t *wanted, size_t wanted_count) {
        _cleanup_(freep) uint16_t *ports = NULL;
        size_t count = 0;

        if (!CHECK_EQUAL(sock_diag_udp_ports(&ports, &count), 0) || !CHECK_EQUAL(count, wanted_count))
                return;
        for (size_t i = 0; i < count; i++)
                CHECK_EQUAL(ports[i], wanted[i]);
}

/* How many sockets have a port, and that one of them is this one, which this process has. */
static void check_sockets(uint16_t port, size_t wanted, int fd) {
        _cleanup_(freep) UdpSocket *all = NULL;
        size_t count = 0, found = 0;
        bool ours = false;
        Process process = {};
        struct stat status = {};

        CHECK_EQUAL(fstat(fd, &status), 0);
        if (!CHECK_EQUAL(sock_diag_udp_sockets(&all, &count), 0))
                return;
        for (size_t i = 0; i < count; i++) {
                if (all[i].port != port)
                        continue;
                found++;
                ours |= all[i].inode == status.st_ino && all[i].user == geteuid() && all[i].bound == 0;
        }
        CHECK_EQUAL(found, wanted);
        CHECK(ours);
        CHECK_EQUAL(process_find_socket((uint32_t) status.st_ino, &process), 0);
        CHECK_EQUAL(process.pid, getpid());
}

void test_sock_diag_udp(void) {
        static const uint16_t wanted[] = { 443, 8443, 20001, 65535 };
        _cleanup_(close_fdp) int a = -EBADF, b = -EBADF, c = -EBADF, d = -EBADF, e = -EBADF;
        struct sockaddr_in6 peer = {
                .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = IN6ADDR_LOOPBACK_INIT,
        };
        _cleanup_(close_fdp) int unbound = -EBADF;
        uint16_t port;

        /* In a new network namespace nobody has bound anything. */
        check_ports(NULL, 0);

        world_sysctl("/proc/sys/net/ipv4/ip_local_port_range", "20001 20001");
        a = bind_udp("127.0.0.1", 65535, &port);
        b = bind_udp("0.0.0.0", 443, &port);
        c = bind_udp("::1", 443, &port); /* the same port in both families */
        d = bind_udp("::", 8443, &port);
        e = bind_udp("::1", 0, &port);   /* a connected socket with a port of the kernel's choice */
        CHECK_EQUAL(port, 20001);
        CHECK_EQUAL(connect(e, (struct sockaddr *) &peer, sizeof(peer)), 0);
        unbound = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        check_ports(wanted, ELEMENTS(wanted));
        check_sockets(443, 2, b);
        check_sockets(20001, 1, e);

        d = close_fd(d);
        a = close_fd(a);
        check_ports((const uint16_t[]) { 443, 20001 }, 2);
}
