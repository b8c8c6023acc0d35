/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Endpoints of the path manager, its events and the count of subflows, with real MPTCP connections over
 * loopback.
 * Part of test-world; runs in a network namespace of its own.
 */

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "kernel/mptcp-events.h"
#include "kernel/mptcp-pm.h"
#include "kernel/netstat.h"
#include "kernel/sock-diag.h"
#include "profile/keys.h"
#include "test-world.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262 /* kernel 5.6 */
#endif

enum { WAIT_MS = 5000 };

typedef struct Connection {
        int listening;
        int client;
        int server;
} Connection;

static const MptcpEndpoint *find_endpoint(const MptcpEndpoint *list, size_t count, const Address *address) {
        for (size_t i = 0; i < count; i++)
                if (address_equal(&list[i].address, address))
                        return &list[i];
        return NULL;
}

static void check_endpoint(MptcpPm *pm, const MptcpEndpoint *wanted) {
        _cleanup_(freep) MptcpEndpoint *list = NULL;
        const MptcpEndpoint *found;
        size_t count = 0;

        CHECK_EQUAL(mptcp_pm_dump(pm, &list, &count), 0);
        found = find_endpoint(list, count, &wanted->address);
        if (!CHECK(found))
                return;
        CHECK(found->id != 0);
        CHECK(wanted->id == 0 || wanted->id == found->id);
        CHECK_EQUAL(found->flags, wanted->flags);
        CHECK_EQUAL(found->ifindex, wanted->ifindex);
        CHECK_EQUAL(found->port, wanted->port);
}

static void check_count(MptcpPm *pm, size_t wanted) {
        _cleanup_(freep) MptcpEndpoint *list = NULL;
        size_t count = 0;

        CHECK_EQUAL(mptcp_pm_dump(pm, &list, &count), 0);
        CHECK_EQUAL(count, wanted);
}

static void check_limit(MptcpPm *pm, const char *words, uint32_t wanted) {
        uint32_t limit = wanted + 1;

        CHECK(world_ip(words));
        CHECK_EQUAL(mptcp_pm_subflows_max(pm, &limit), 0);
        CHECK_EQUAL(limit, wanted);
}

/* Opens the path manager; NULL when the kernel has none. */
static MptcpPm *open_pm(void) {
        MptcpPm *pm = NULL;
        int r;

        r = mptcp_pm_open(&pm);
        if (r == -EOPNOTSUPP)
                world_skip("the kernel has no MPTCP path manager");
        else
                CHECK_EQUAL(r, 0);
        return pm;
}

/* A link with two addresses; false when it cannot be made. */
static bool make_link(void) {
        return world_ip("link add test-a type veth peer name test-b") && world_ip("link set test-a up") &&
               world_ip("link set test-b up") && world_ip("address add 192.0.2.1/24 dev test-a") &&
               world_ip("address add 192.0.2.2/24 dev test-a");
}

void test_mptcp_pm(void) {
        MptcpEndpoint ipv4 = {
                .address = world_address("192.0.2.1"), .flags = ENDPOINT_SUBFLOW | ENDPOINT_BACKUP,
        };
        MptcpEndpoint ipv6 = {
                .address = world_address("2001:db8::1"), .id = 200, .flags = ENDPOINT_SUBFLOW,
        };
        MptcpEndpoint with_port = {
                .address = world_address("192.0.2.2"), .flags = ENDPOINT_SIGNAL, .port = 4433,
        };
        _cleanup_(mptcp_pm_freep) MptcpPm *pm = open_pm();
        MptcpEndpoint other;

        if (!pm || !make_link())
                return;
        ipv4.ifindex = ipv6.ifindex = world_ifindex("test-a");

        check_count(pm, 0);
        CHECK_EQUAL(mptcp_pm_remove(pm, &ipv4), -ENOENT);

        CHECK_EQUAL(mptcp_pm_add(pm, &ipv4), 0);
        CHECK_EQUAL(mptcp_pm_add(pm, &ipv4), -EEXIST);
        CHECK_EQUAL(mptcp_pm_add(pm, &ipv6), 0);
        CHECK_EQUAL(mptcp_pm_add(pm, &ipv6), -EEXIST);
        CHECK_EQUAL(mptcp_pm_add(pm, &with_port), 0);
        other = ipv6;
        other.address = world_address("2001:db8::3");
        CHECK_EQUAL(mptcp_pm_add(pm, &other), -EBUSY);
        /* A port that is not signalled is nonsense to the kernel, whatever is in its list. */
        other = with_port;
        other.address = world_address("192.0.2.3");
        other.flags = ENDPOINT_SUBFLOW;
        CHECK_EQUAL(mptcp_pm_add(pm, &other), -EINVAL);
        check_count(pm, 3);
        check_endpoint(pm, &ipv4);
        check_endpoint(pm, &ipv6);
        check_endpoint(pm, &with_port);

        /* Nothing is removed by half: not another address by its id, not an address by a wrong id. */
        other = ipv6;
        other.address = world_address("2001:db8::2");
        CHECK_EQUAL(mptcp_pm_remove(pm, &other), -ENOENT);
        other = ipv6;
        other.id = 201;
        CHECK_EQUAL(mptcp_pm_remove(pm, &other), -ENOENT);
        check_count(pm, 3);

        CHECK_EQUAL(mptcp_pm_remove(pm, &ipv6), 0);
        CHECK_EQUAL(mptcp_pm_remove(pm, &ipv6), -ENOENT);
        check_count(pm, 2);
        /* Without an id: whichever the kernel has chosen. */
        CHECK_EQUAL(mptcp_pm_remove(pm, &ipv4), 0);
        CHECK_EQUAL(mptcp_pm_remove(pm, &with_port), 0);
        check_count(pm, 0);

        CHECK_EQUAL(mptcp_pm_add(pm, &ipv4), 0);
        check_endpoint(pm, &ipv4);
}

static socklen_t put_address(struct sockaddr_storage *socket_address, const char *text, uint16_t port) {
        struct sockaddr_in *ipv4 = (struct sockaddr_in *) socket_address;
        struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *) socket_address;

        *socket_address = (struct sockaddr_storage) {};
        if (inet_pton(AF_INET, text, &ipv4->sin_addr) == 1) {
                ipv4->sin_family = AF_INET;
                ipv4->sin_port = htons(port);
                return sizeof(*ipv4);
        }
        CHECK_EQUAL(inet_pton(AF_INET6, text, &ipv6->sin6_addr), 1);
        ipv6->sin6_family = AF_INET6;
        ipv6->sin6_port = htons(port);
        return sizeof(*ipv6);
}

static void connection_close(Connection *connection) {
        close_fd(connection->client);
        close_fd(connection->server);
        close_fd(connection->listening);
}

/* Connects from one address of loopback to another, by the protocols given (0: TCP), and sends a byte
 * each way. */
static Connection connection_open(const char *from, int client_protocol, const char *listen_on,
                                  const char *to, uint16_t port, int server_protocol) {
        Connection connection = { -EBADF, -EBADF, -EBADF };
        struct sockaddr_storage address;
        socklen_t length;
        char byte = 'x';
        int on = 1;

        length = put_address(&address, listen_on, port);
        connection.listening = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, server_protocol);
        CHECK_EQUAL(setsockopt(connection.listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
        CHECK_EQUAL(bind(connection.listening, (struct sockaddr *) &address, length), 0);
        CHECK_EQUAL(listen(connection.listening, 8), 0);

        length = put_address(&address, from, 0);
        connection.client = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, client_protocol);
        CHECK_EQUAL(bind(connection.client, (struct sockaddr *) &address, length), 0);
        length = put_address(&address, to, port);
        if (!CHECK_EQUAL(connect(connection.client, (struct sockaddr *) &address, length), 0))
                return connection;
        connection.server = accept4(connection.listening, NULL, NULL, SOCK_CLOEXEC);
        CHECK(connection.server >= 0);

        CHECK_EQUAL(send(connection.client, &byte, 1, 0), 1);
        CHECK_EQUAL(recv(connection.server, &byte, 1, 0), 1);
        CHECK_EQUAL(send(connection.server, &byte, 1, 0), 1);
        CHECK_EQUAL(recv(connection.client, &byte, 1, 0), 1);
        return connection;
}

static void check_listener(bool mptcp, bool wanted, uint16_t port) {
        _cleanup_(freep) uint16_t *ports = NULL;
        size_t count = 0;
        bool found = false;

        CHECK_EQUAL(sock_diag_listeners(mptcp, &ports, &count), 0);
        for (size_t i = 0; i < count; i++)
                found = found || ports[i] == port;
        CHECK_EQUAL(found, wanted);
}

/* Who listens for MPTCP listens for TCP, too. A connection is no listener. */
void test_sock_diag_listeners(void) {
        NetstatMptcp before = {}, after = {};
        Connection plain, mptcp;

        if (!world_ip("link set lo up") || !CHECK_EQUAL(netstat_mptcp(&before), 0))
                return;
        mptcp = connection_open("127.0.0.2", IPPROTO_MPTCP, "127.0.0.1", "127.0.0.1", 1001, IPPROTO_MPTCP);
        plain = connection_open("::1", IPPROTO_MPTCP, "::1", "::1", 1002, 0);
        check_listener(false, true, 1001);
        check_listener(true, true, 1001);
        check_listener(false, true, 1002);
        check_listener(true, false, 1002);
        CHECK_EQUAL(netstat_mptcp(&after), 0);
        CHECK_EQUAL(after.asked - before.asked, 2);
        CHECK_EQUAL(after.fallen_back - before.fallen_back, 1);
        connection_close(&mptcp);
        connection_close(&plain);
        check_listener(false, false, 1001);
        check_listener(true, false, 1001);
}

static size_t subflows(const char *local) {
        Address address = world_address(local);
        size_t count = 0;

        CHECK_EQUAL(sock_diag_mptcp_subflows(&address, &count), 0);
        return count;
}

/* A new subflow joins some milliseconds after the endpoint was added. */
static bool wait_subflows(const char *local, size_t wanted) {
        struct timespec started, now;

        clock_gettime(CLOCK_MONOTONIC, &started);
        do {
                if (subflows(local) == wanted)
                        return true;
                (void) poll(NULL, 0, 5);
                clock_gettime(CLOCK_MONOTONIC, &now);
        } while (now.tv_sec - started.tv_sec < WAIT_MS / 1000);
        return false;
}

static void check_join(MptcpPm *pm) {
        MptcpEndpoint endpoint = {
                .address = world_address("127.0.0.3"),
                .flags = ENDPOINT_SUBFLOW,
                .ifindex = world_ifindex("lo"),
        };
        Connection connection;

        check_limit(pm, "mptcp limits set subflow 0", 0);
        check_limit(pm, "mptcp limits set subflows 2 add_addr_accepted 2", 2);
        connection = connection_open("127.0.0.2", IPPROTO_MPTCP, "127.0.0.1", "127.0.0.1", 1001,
                                     IPPROTO_MPTCP);
        CHECK_EQUAL(subflows("127.0.0.3"), 0);
        CHECK_EQUAL(mptcp_pm_add(pm, &endpoint), 0);
        CHECK(wait_subflows("127.0.0.3", 1));
        CHECK(wait_subflows("127.0.0.1", 2));
        CHECK_EQUAL(mptcp_pm_remove(pm, &endpoint), 0);
        CHECK(wait_subflows("127.0.0.3", 0));
        connection_close(&connection);
}

void test_sock_diag_subflows(void) {
        _cleanup_(mptcp_pm_freep) MptcpPm *pm = open_pm();
        Connection mptcp, ipv6, mapped, plain, fallback;

        if (!pm || !world_sysctl("/proc/sys/net/mptcp/enabled", "1"))
                return;

        CHECK_EQUAL(subflows("127.0.0.1"), 0);
        mptcp = connection_open("127.0.0.2", IPPROTO_MPTCP, "127.0.0.1", "127.0.0.1", 1001, IPPROTO_MPTCP);
        CHECK_EQUAL(subflows("127.0.0.2"), 1);
        CHECK_EQUAL(subflows("127.0.0.1"), 1);
        CHECK_EQUAL(subflows("127.0.0.3"), 0);
        CHECK_EQUAL(subflows("::1"), 0);

        ipv6 = connection_open("::1", IPPROTO_MPTCP, "::1", "::1", 1002, IPPROTO_MPTCP);
        CHECK_EQUAL(subflows("::1"), 2);

        /* An IPv4 connection that was accepted by an IPv6 socket. */
        mapped = connection_open("127.0.0.5", IPPROTO_MPTCP, "::", "127.0.0.6", 1003, IPPROTO_MPTCP);
        CHECK_EQUAL(subflows("127.0.0.5"), 1);
        CHECK_EQUAL(subflows("127.0.0.6"), 1);

        /* Neither TCP, nor MPTCP that fell back to TCP because the server speaks no MPTCP. */
        plain = connection_open("127.0.0.7", 0, "127.0.0.8", "127.0.0.8", 1004, 0);
        fallback = connection_open("127.0.0.9", IPPROTO_MPTCP, "127.0.0.10", "127.0.0.10", 1005, 0);
        CHECK_EQUAL(subflows("127.0.0.7"), 0);
        CHECK_EQUAL(subflows("127.0.0.8"), 0);
        CHECK_EQUAL(subflows("127.0.0.9"), 0);
        CHECK_EQUAL(subflows("127.0.0.10"), 0);

        connection_close(&mptcp);
        connection_close(&ipv6);
        connection_close(&mapped);
        connection_close(&plain);
        connection_close(&fallback);
        CHECK(wait_subflows("127.0.0.2", 0));
        check_join(pm);
}

enum { EVENTS_PORT = 1001 };

typedef struct EventsSeen {
        size_t count[MPTCP_EVENTS_LOST + 1];
        size_t bound[MPTCP_EVENTS_LOST + 1]; /* of a subflow of the client that is bound to a link */
        MptcpEvent last;                     /* of those */
} EventsSeen;

static void see_event(const MptcpEvent *event, void *userdata) {
        EventsSeen *seen = userdata;

        seen->count[event->kind]++;
        if (event->ifindex == 0 || event->remote_port != EVENTS_PORT)
                return;
        seen->bound[event->kind]++;
        seen->last = *event;
}

/* Waits until one of the counters of seen is what is wanted, or more. */
static bool wait_events(MptcpEvents *events, EventsSeen *seen, const size_t *counter, size_t wanted) {
        struct pollfd readable = { .fd = mptcp_events_fd(events), .events = POLLIN };

        while (*counter < wanted)
                if (!CHECK(poll(&readable, 1, WAIT_MS) == 1) ||
                    !CHECK_EQUAL(mptcp_events_process(events, see_event, seen), 0))
                        return false;
        return true;
}

void test_mptcp_events(void) {
        MptcpEndpoint endpoint = {
                .address = world_address("127.0.0.3"),
                .flags = ENDPOINT_SUBFLOW,
                .ifindex = world_ifindex("lo"),
        };
        _cleanup_(mptcp_pm_freep) MptcpPm *pm = open_pm();
        _cleanup_(mptcp_events_freep) MptcpEvents *events = NULL;
        EventsSeen seen = {};
        Connection connection;
        Address remote;

        if (!pm || !world_sysctl("/proc/sys/net/mptcp/enabled", "1") ||
            !world_ip("mptcp limits set subflows 2 add_addr_accepted 2") ||
            !CHECK_EQUAL(mptcp_events_open(&events), 0))
                return;
        CHECK_EQUAL(mptcp_events_process(events, see_event, &seen), 0);

        /* Both ends of the connection are in this namespace, and each tells of itself. */
        connection = connection_open("127.0.0.2", IPPROTO_MPTCP, "127.0.0.1", "127.0.0.1", EVENTS_PORT,
                                     IPPROTO_MPTCP);
        CHECK(wait_events(events, &seen, &seen.count[MPTCP_SUBFLOW_UP], 2));
        CHECK_EQUAL(seen.bound[MPTCP_SUBFLOW_UP], 0);

        /* The server may build one as well, which the client refuses. */
        CHECK_EQUAL(mptcp_pm_add(pm, &endpoint), 0);
        CHECK(wait_events(events, &seen, &seen.bound[MPTCP_SUBFLOW_UP], 1));
        CHECK(seen.last.has_local && address_equal(&seen.last.local, &endpoint.address));
        CHECK_EQUAL(seen.last.ifindex, endpoint.ifindex);
        CHECK(seen.last.token != 0);
        remote = world_address("127.0.0.1");
        CHECK(address_equal(&seen.last.remote, &remote));
        CHECK(seen.last.local_port >= 1024 && seen.last.error == 0);
        CHECK(wait_subflows("127.0.0.3", 1));

        CHECK_EQUAL(mptcp_pm_remove(pm, &endpoint), 0);
        CHECK(wait_events(events, &seen, &seen.bound[MPTCP_SUBFLOW_GONE], 1));
        CHECK(seen.last.token != 0);
        CHECK(wait_subflows("127.0.0.3", 0));
        CHECK_EQUAL(seen.count[MPTCP_CONNECTION_GONE], 0);

        connection_close(&connection);
        CHECK(wait_events(events, &seen, &seen.count[MPTCP_CONNECTION_GONE], 2));
        CHECK_EQUAL(seen.count[MPTCP_EVENTS_LOST], 0);
}
