/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Where packets leave, and single TCP connections: routes and sock-diag against the real kernel.
 * Part of test-world; runs in a network namespace of its own.
 */

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel/routes.h"
#include "kernel/sock-diag.h"
#include "test-world.h"

enum {
        WAIT_MS = 5000,
        QUIET_MS = 100,
        MARK = 77,
};

/* Two links, each with a default route, the first one better; the second in a table of its own, too. */
static bool make_links(void) {
        return world_ip("link add test-a type veth peer name peer-a") &&
               world_ip("link add test-b type veth peer name peer-b") && world_ip("link set peer-a up") &&
               world_ip("link set peer-b up") && world_ip("link set test-a up") &&
               world_ip("link set test-b up") && world_ip("address add 192.0.2.1/24 dev test-a") &&
               world_ip("address add 198.51.100.1/24 dev test-b") &&
               world_ip("route add default via 192.0.2.9 dev test-a metric 1") &&
               world_ip("route add default via 198.51.100.9 dev test-b metric 2") &&
               world_ip("route add default via 198.51.100.9 dev test-b table 7") &&
               world_ip("-6 address add 2001:db8:a::1/64 dev test-a nodad") &&
               world_ip("-6 address add 2001:db8:b::1/64 dev test-b nodad") &&
               world_ip("-6 route add 2001:db8:f::/48 dev test-a metric 1") &&
               world_ip("-6 route add 2001:db8:f::/48 dev test-b metric 2");
}

static void check_way(Routes *routes, const RouteQuery *query, const char *link) {
        uint32_t ifindex = 0;
        bool here = true;

        if (CHECK_EQUAL(routes_find(routes, query, &ifindex, &here), 0))
                CHECK_EQUAL(ifindex, world_ifindex(link));
        CHECK(!here);
}

static bool is_told(Routes *routes, int timeout) {
        struct pollfd readable = { .fd = routes_monitor_fd(routes), .events = POLLIN };
        const bool told = poll(&readable, 1, timeout) == 1;

        routes_drain(routes);
        return told;
}

void test_routes(void) {
        RouteQuery query = {
                .local = world_address("192.0.2.1"),
                .remote = world_address("203.0.113.5"),
                .local_port = htons(40000),
                .remote_port = htons(443),
        };
        _cleanup_(routes_freep) Routes *routes = NULL;
        uint32_t ifindex = 0;
        bool here = false;

        if (!make_links() || !CHECK_EQUAL(routes_open(&routes), 0))
                return;
        CHECK(!is_told(routes, QUIET_MS));
        check_way(routes, &query, "test-a");
        query.bound = world_ifindex("test-b");
        check_way(routes, &query, "test-b");
        query.bound = 0;

        /* Rules of all kinds, each as soon as it is told of. */
        CHECK(world_ip("rule add ipproto tcp dport 443 lookup 7") && is_told(routes, WAIT_MS));
        check_way(routes, &query, "test-b");
        query.remote_port = htons(444);
        check_way(routes, &query, "test-a");
        CHECK(world_ip("rule add fwmark 77 lookup 7") && is_told(routes, WAIT_MS));
        query.mark = MARK;
        check_way(routes, &query, "test-b");
        query.mark = 0;
        CHECK(world_ip("route add 203.0.113.5/32 via 198.51.100.9 dev test-b") && is_told(routes, WAIT_MS));
        check_way(routes, &query, "test-b");
        CHECK(world_ip("route replace unreachable 203.0.113.5/32") && is_told(routes, WAIT_MS));
        CHECK(routes_find(routes, &query, &ifindex, &here) < 0);

        /* A packet of another host, which this one forwards, and one whose source nobody has. */
        CHECK(world_sysctl("/proc/sys/net/ipv4/ip_forward", "1"));
        query = (RouteQuery) { .local = world_address("198.51.100.77"),
                               .remote = world_address("203.0.113.8") };
        CHECK(routes_find(routes, &query, &ifindex, &here) < 0);
        query.from = world_ifindex("test-b");
        check_way(routes, &query, "test-a");

        query = (RouteQuery) { .remote = world_address("198.51.100.1") };
        CHECK_EQUAL(routes_find(routes, &query, &ifindex, &here), 0);
        CHECK(here);

        query = (RouteQuery) { .local = world_address("2001:db8:b::1"),
                               .remote = world_address("2001:db8:f::2"),
                               .local_port = htons(1),
                               .remote_port = htons(2) };
        check_way(routes, &query, "test-a");
        CHECK(world_ip("-6 route del 2001:db8:f::/48 dev test-a") && is_told(routes, WAIT_MS));
        check_way(routes, &query, "test-b");
}

/* Whether a route leads there by the link, for a socket that is bound to it. local: NULL: any address. */
static bool leads(Routes *routes, const char *link, const char *local, const char *remote) {
        const RouteQuery query = {
                .local = local ? world_address(local) : (Address) {},
                .remote = world_address(remote),
                .bound = world_ifindex(link),
                .remote_port = htons(443),
        };

        return routes_lead(routes, &query);
}

void test_routes_lead(void) {
        _cleanup_(routes_freep) Routes *routes = NULL;

        if (!make_links() || !CHECK_EQUAL(routes_open(&routes), 0))
                return;
        /* By gateways, a better one elsewhere or not, and without one. */
        CHECK(leads(routes, "test-a", NULL, "203.0.113.5"));
        CHECK(leads(routes, "test-b", NULL, "203.0.113.5"));
        CHECK(world_ip("route del default via 198.51.100.9 dev test-b"));
        CHECK(leads(routes, "test-a", NULL, "203.0.113.5"));
        CHECK(!leads(routes, "test-b", NULL, "203.0.113.5"));
        CHECK(world_ip("route add default dev test-b metric 7"));
        CHECK(leads(routes, "test-b", NULL, "203.0.113.5"));
        CHECK(world_ip("route del default dev test-b"));
        /* Neighbours, and addresses of this host. */
        CHECK(leads(routes, "test-b", NULL, "198.51.100.7"));
        CHECK(leads(routes, "test-b", NULL, "198.51.100.1"));
        CHECK(leads(routes, "test-b", NULL, "2001:db8:b::7"));
        CHECK(leads(routes, "test-b", NULL, "2001:db8:b::1"));
        /* For the address of the link only, by a table of its own. */
        CHECK(world_ip("rule add from 198.51.100.1 lookup 7"));
        CHECK(!leads(routes, "test-b", NULL, "203.0.113.5"));
        CHECK(leads(routes, "test-b", "198.51.100.1", "203.0.113.5"));
        CHECK(world_ip("-6 route del 2001:db8:f::/48 dev test-b"));
        CHECK(world_ip("-6 rule add from 2001:db8:b::1 lookup 7"));
        CHECK(leads(routes, "test-a", NULL, "2001:db8:f::1"));
        CHECK(!leads(routes, "test-b", NULL, "2001:db8:f::1"));
        CHECK(!leads(routes, "test-b", "2001:db8:b::1", "2001:db8:f::1"));
        CHECK(world_ip("-6 route add default dev test-b table 7"));
        CHECK(leads(routes, "test-b", "2001:db8:b::1", "2001:db8:f::1"));
        /* By several links, and nowhere. */
        CHECK(world_ip("route add 203.0.113.0/24 nexthop via 192.0.2.9 nexthop via 198.51.100.9"));
        CHECK(leads(routes, "test-a", NULL, "203.0.113.5"));
        CHECK(leads(routes, "test-b", NULL, "203.0.113.5"));
        CHECK(world_ip("route add unreachable 203.0.113.5/32"));
        CHECK(!leads(routes, "test-a", NULL, "203.0.113.5"));
}

/* A connection over loopback, from a socket of this family; with a device if it is not NULL. */
static bool open_connection(bool mapped, const char *device, int sockets[3], TcpConnection *ret) {
        struct sockaddr_in server = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        struct sockaddr_in client;
        struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
        socklen_t length = sizeof(server), client_length = sizeof(client);
        const int on = 1;

        sockets[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockets[1] = socket(mapped ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (!CHECK_EQUAL(setsockopt(sockets[0], SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0) ||
            !CHECK_EQUAL(bind(sockets[0], (struct sockaddr *) &server, sizeof(server)), 0) ||
            !CHECK_EQUAL(listen(sockets[0], 1), 0) ||
            !CHECK_EQUAL(getsockname(sockets[0], (struct sockaddr *) &server, &length), 0))
                return false;
        if (device && !CHECK_EQUAL(setsockopt(sockets[1], SOL_SOCKET, SO_BINDTODEVICE, device,
                                              (socklen_t) strlen(device)), 0))
                return false;
        six.sin6_port = server.sin_port;
        if (!CHECK_EQUAL(inet_pton(AF_INET6, "::ffff:127.0.0.1", &six.sin6_addr), 1) ||
            !CHECK_EQUAL(connect(sockets[1], mapped ? (struct sockaddr *) &six : (struct sockaddr *) &server,
                                 mapped ? sizeof(six) : sizeof(server)), 0))
                return false;
        sockets[2] = accept(sockets[0], (struct sockaddr *) &client, &client_length);
        if (!CHECK(sockets[2] >= 0))
                return false;
        *ret = (TcpConnection) {
                .local = world_address("127.0.0.1"),
                .remote = world_address("127.0.0.1"),
                .local_port = client.sin_port,
                .remote_port = server.sin_port,
        };
        return true;
}

static void check_connection(Netlink *netlink, bool mapped, const char *device) {
        int sockets[3] = { -1, -1, -1 };
        TcpConnection connection, other;
        const int mark = MARK;
        char byte;

        if (open_connection(mapped, device, sockets, &connection)) {
                CHECK_EQUAL(setsockopt(sockets[1], SOL_SOCKET, SO_MARK, &mark, sizeof(mark)), 0);
                other = connection;
                other.local_port = htons((uint16_t) (ntohs(other.local_port) ^ 1));
                CHECK_EQUAL(sock_diag_find_tcp(netlink, &other), -ENOENT);
                connection.bound = device ? world_ifindex(device) : 0;
                CHECK_EQUAL(sock_diag_find_tcp(netlink, &connection), 0);
                CHECK_EQUAL(connection.mark, MARK);
                CHECK_EQUAL(connection.bound, device ? world_ifindex(device) : 0);
                if (CHECK_EQUAL(sock_diag_end_tcp(netlink, &connection), 0)) {
                        CHECK(recv(sockets[1], &byte, 1, 0) < 0 && errno == ECONNABORTED);
                        CHECK(recv(sockets[2], &byte, 1, 0) < 0 && errno == ECONNRESET);
                        CHECK_EQUAL(sock_diag_find_tcp(netlink, &connection), -ENOENT);
                }
        }
        for (size_t i = 0; i < ELEMENTS(sockets); i++)
                close_fd(sockets[i]);
}

void test_sock_diag_tcp(void) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;

        if (!CHECK_EQUAL(netlink_open(&netlink, NETLINK_SOCK_DIAG), 0))
                return;
        check_connection(netlink, false, NULL);
        check_connection(netlink, true, NULL);
        check_connection(netlink, false, "lo");
        check_connection(netlink, true, "lo");
}
