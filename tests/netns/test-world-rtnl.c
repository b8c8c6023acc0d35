/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Links and addresses: netlink and rtnl against the real kernel.
 * Part of test-world; runs in a network namespace of its own.
 */

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdalign.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/netlink.h"
#include "kernel/rtnl.h"
#include "test-world.h"

enum {
        EVENTS_MAX = 4096,
        WAIT_MS = 5000,
        MANY_ADDRESSES = 600, /* more than one datagram of a dump holds */
};

typedef struct Events {
        size_t count;
        struct {
                RtnlChange change;
                uint32_t ifindex;
        } list[EVENTS_MAX];
} Events;

static void record(RtnlChange change, uint32_t ifindex, void *userdata) {
        Events *events = userdata;

        if (!CHECK(events->count < EVENTS_MAX))
                return;
        events->list[events->count].change = change;
        events->list[events->count++].ifindex = ifindex;
}

static bool has_event(const Events *events, RtnlChange change, uint32_t ifindex) {
        for (size_t i = 0; i < events->count; i++)
                if (events->list[i].change == change && events->list[i].ifindex == ifindex)
                        return true;
        return false;
}

/* Waits until the monitor has told of the change; forgets what came before it was called. */
static bool wait_event(Rtnl *rtnl, Events *events, RtnlChange change, uint32_t ifindex) {
        struct pollfd readable = { .fd = rtnl_monitor_fd(rtnl), .events = POLLIN };

        while (!has_event(events, change, ifindex))
                if (!CHECK(poll(&readable, 1, WAIT_MS) == 1) ||
                    !CHECK_EQUAL(rtnl_process(rtnl, record, events), 0))
                        return false;
        return true;
}

static const LinkAddress *find_address(const LinkFacts *facts, const char *text) {
        Address wanted = world_address(text);

        for (size_t i = 0; i < facts->addresses_count; i++)
                if (address_equal(&facts->addresses[i].address, &wanted))
                        return &facts->addresses[i];
        return NULL;
}

static int refuse(const struct nlmsghdr *message, void *userdata) {
        (*(size_t *) userdata)++;
        errno = ECANCELED;
        return MNL_CB_ERROR;
}

static int count(const struct nlmsghdr *message, void *userdata) {
        (*(size_t *) userdata)++;
        return MNL_CB_OK;
}

static int stop(const struct nlmsghdr *message, void *userdata) {
        (*(size_t *) userdata)++;
        return MNL_CB_STOP;
}

static int dump_links(Netlink *netlink, mnl_cb_t callback, size_t *calls) {
        alignas(struct nlmsghdr) uint8_t buffer[128] = {};
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

        message->nlmsg_type = RTM_GETLINK;
        message->nlmsg_flags = NLM_F_DUMP;
        (void) mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
        *calls = 0;
        return netlink_call(netlink, message, callback, calls);
}

void test_netlink(void) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        alignas(struct nlmsghdr) uint8_t buffer[128] = {};
        struct nlmsghdr *message;
        struct ifinfomsg *link;
        size_t calls;

        if (!world_ip("link add test-a type veth peer name test-b") ||
            !CHECK_EQUAL(netlink_open(&netlink, NETLINK_ROUTE), 0))
                return;

        /* A callback that fails or has enough ends the answers, and the socket serves the next dump. */
        CHECK_EQUAL(dump_links(netlink, refuse, &calls), -ECANCELED);
        CHECK_EQUAL(calls, 1);
        CHECK_EQUAL(dump_links(netlink, stop, &calls), 0);
        CHECK_EQUAL(calls, 1);
        CHECK_EQUAL(dump_links(netlink, NULL, &calls), 0);
        CHECK_EQUAL(dump_links(netlink, count, &calls), 0);
        CHECK(calls >= 3);
        CHECK(streq(netlink_error(netlink), ""));

        message = mnl_nlmsg_put_header(buffer);
        message->nlmsg_type = RTM_SETLINK;
        link = mnl_nlmsg_put_extra_header(message, sizeof(*link));
        link->ifi_index = (int) world_ifindex("test-a");
        mnl_attr_put_u32(message, IFLA_MTU, 70000);
        CHECK_EQUAL(netlink_call(netlink, message, NULL, NULL), -EINVAL);
        /* The kernel's words, "mtu greater than device maximum" at the time of writing. */
        CHECK(strstr(netlink_error(netlink), "mtu"));

        /* The words belong to the last call only. */
        CHECK_EQUAL(dump_links(netlink, NULL, &calls), 0);
        CHECK(streq(netlink_error(netlink), ""));
}

/* Another program with CAP_NET_ADMIN may send to the monitor's port; only the kernel is believed. */
static void send_forged_message(Rtnl *rtnl, uint32_t ifindex) {
        struct sockaddr_nl monitor = {};
        socklen_t length = sizeof(monitor);
        struct {
                struct nlmsghdr header;
                struct ifinfomsg link;
        } message = {
                .header = { .nlmsg_len = sizeof(message), .nlmsg_type = RTM_DELLINK },
                .link = { .ifi_index = (int) ifindex },
        };
        _cleanup_(close_fdp) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

        CHECK_EQUAL(getsockname(rtnl_monitor_fd(rtnl), (struct sockaddr *) &monitor, &length), 0);
        monitor.nl_groups = 0;
        CHECK_EQUAL(sendto(fd, &message, sizeof(message), 0, (struct sockaddr *) &monitor, sizeof(monitor)),
                    sizeof(message));
}

/* Of the routes only default ones, and those are a matter of their link. */
static void check_routes(Rtnl *rtnl, uint32_t a, uint32_t b) {
        static Events events;

        world_ip("link set test-a up");
        world_ip("link set test-b up");
        world_ip("address add 192.0.2.1/24 dev test-a");
        events.count = 0;
        world_ip("route add 198.51.100.0/24 via 192.0.2.254");
        world_ip("-6 route add 2001:db8:5::/48 dev test-b");
        world_ip("route add default via 192.0.2.254");
        wait_event(rtnl, &events, RTNL_ROUTE, a);
        CHECK(!has_event(&events, RTNL_ROUTE, b));
        events.count = 0;
        world_ip("-6 route add default via fe80::7 dev test-b");
        wait_event(rtnl, &events, RTNL_ROUTE, b);
        events.count = 0;
        world_ip("route delete default");
        wait_event(rtnl, &events, RTNL_ROUTE, a);
}

void test_rtnl_monitor(void) {
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;
        static Events events;
        uint32_t a, b;

        if (!CHECK_EQUAL(rtnl_open(&rtnl), 0))
                return;

        /* Does not block when nothing is pending. */
        CHECK_EQUAL(rtnl_process(rtnl, record, &events), 0);
        CHECK_EQUAL(events.count, 0);

        if (!world_ip("link add test-a type veth peer name test-b"))
                return;
        a = world_ifindex("test-a");
        b = world_ifindex("test-b");
        wait_event(rtnl, &events, RTNL_LINK, a);
        wait_event(rtnl, &events, RTNL_LINK, b);
        CHECK(!has_event(&events, RTNL_LINK_GONE, a));
        CHECK(!has_event(&events, RTNL_ADDRESS, a));

        events.count = 0;
        world_ip("address add 192.0.2.1/24 dev test-a");
        wait_event(rtnl, &events, RTNL_ADDRESS, a);
        CHECK(!has_event(&events, RTNL_ADDRESS, b));

        events.count = 0;
        world_ip("-6 address add 2001:db8::1/64 dev test-b nodad");
        wait_event(rtnl, &events, RTNL_ADDRESS, b);

        events.count = 0;
        world_ip("address delete 192.0.2.1/24 dev test-a");
        wait_event(rtnl, &events, RTNL_ADDRESS, a);

        check_routes(rtnl, a, b);
        send_forged_message(rtnl, a);
        events.count = 0;
        world_ip("link set test-a mtu 1400");
        wait_event(rtnl, &events, RTNL_LINK, a);
        CHECK(!has_event(&events, RTNL_LINK_GONE, a));

        /* A link that leaves a bridge is not gone. */
        events.count = 0;
        if (world_try_ip("link add test-bridge type bridge")) {
                world_ip("link set test-a master test-bridge");
                world_ip("link set test-a nomaster");
                world_ip("link delete test-bridge");
                world_ip("link set test-b mtu 1400");
                wait_event(rtnl, &events, RTNL_LINK, b);
                CHECK(!has_event(&events, RTNL_LINK_GONE, a));
        }

        events.count = 0;
        world_ip("link delete test-a");
        wait_event(rtnl, &events, RTNL_LINK_GONE, a);
        wait_event(rtnl, &events, RTNL_LINK_GONE, b);
}

void test_rtnl_lost(void) {
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;
        static Events events;
        int small = 1;

        if (!world_ip("link add test-a type veth peer name test-b") || !CHECK_EQUAL(rtnl_open(&rtnl), 0))
                return;

        /* The kernel raises it to its minimum, which a few notifications fill. */
        CHECK_EQUAL(setsockopt(rtnl_monitor_fd(rtnl), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
        for (int i = 0; i < 16; i++) {
                world_ip("link set test-a mtu 1400");
                world_ip("link set test-a mtu 1500");
        }
        wait_event(rtnl, &events, RTNL_LOST, 0);

        /* Works on afterwards. */
        CHECK_EQUAL(rtnl_process(rtnl, record, &events), 0);
        events.count = 0;
        world_ip("link set test-a mtu 1300");
        wait_event(rtnl, &events, RTNL_LINK, world_ifindex("test-a"));
}

static void check_address(const LinkFacts *facts, const char *text, uint8_t prefix_length, uint8_t scope) {
        const LinkAddress *address = find_address(facts, text);

        if (!address) {
                world_check(false, text, __FILE__, __LINE__);
                return;
        }
        CHECK_EQUAL(address->prefix_length, prefix_length);
        CHECK_EQUAL(address->scope, scope);
}

static void check_type(uint16_t type, const char *kind, const char *wanted) {
        LinkFacts facts = { .type = type };

        snprintf(facts.kind, sizeof(facts.kind), "%s", kind);
        if (!streq(rtnl_type_name(&facts), wanted))
                world_check(false, wanted, __FILE__, __LINE__);
}

static void check_types(Rtnl *rtnl) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;

        check_type(ARPHRD_ETHER, "", "ether");
        check_type(ARPHRD_ETHER, "tun", "ether");
        check_type(ARPHRD_PPP, "ppp", "ppp");
        check_type(ARPHRD_RAWIP, "", "wwan");
        check_type(ARPHRD_NONE, "wwan", "wwan");
        check_type(ARPHRD_NONE, "wireguard", "wireguard");
        check_type(ARPHRD_TUNNEL, "ipip", "ipip");
        check_type(ARPHRD_TUNNEL, "vti", "vti");
        check_type(ARPHRD_TUNNEL6, "ip6tnl", "ip6tnl");
        check_type(ARPHRD_TUNNEL6, "vti6", "vti6");
        check_type(ARPHRD_SIT, "sit", "sit");
        check_type(ARPHRD_IPGRE, "gre", "gre");
        check_type(823, "ip6gre", "ip6gre");
        check_type(ARPHRD_INFINIBAND, "ipoib", "other");
        check_type(ARPHRD_NONE, "amt", "other");

        if (!world_try_ip("tuntap add dev test-tun mode tun") ||
            !CHECK_EQUAL(rtnl_link(rtnl, world_ifindex("test-tun"), &facts), 0))
                return;
        CHECK(streq(facts->kind, "tun"));
        CHECK(streq(facts->type_name, "tun"));
}

void test_rtnl_facts(void) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL, *loopback = NULL;
        LinkFacts untouched, *gone = &untouched;
        const LinkAddress *address;
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;
        uint32_t ifindex;

        if (!world_ip("link add test-a type veth peer name test-b") || !CHECK_EQUAL(rtnl_open(&rtnl), 0))
                return;
        ifindex = world_ifindex("test-a");
        world_ip("link set test-a mtu 1400 up");
        world_ip("address add 192.0.2.1/24 dev test-a");
        world_ip("address add 198.51.100.1 peer 198.51.100.2/32 dev test-a");
        world_ip("-6 address add 2001:db8::1/64 dev test-a nodad noprefixroute");
        world_ip("-6 address add 2001:db8:1::1 peer 2001:db8:1::2/128 dev test-a nodad");
        world_ip("-6 address add fe80::1234/64 dev test-a nodad");
        world_ip("address add 203.0.113.1/24 dev test-b");

        if (!CHECK_EQUAL(rtnl_link(rtnl, ifindex, &facts), 0))
                return;
        CHECK_EQUAL(facts->ifindex, ifindex);
        CHECK(streq(facts->name, "test-a"));
        CHECK(streq(facts->kind, "veth"));
        CHECK(streq(facts->type_name, "ether"));
        CHECK_EQUAL(facts->type, ARPHRD_ETHER);
        CHECK_EQUAL(facts->mtu, 1400);
        CHECK_EQUAL(facts->minimum_mtu, 68);
        CHECK_EQUAL(facts->maximum_mtu, 65535);
        CHECK(facts->flags & IFF_UP);

        check_address(facts, "192.0.2.1", 24, RT_SCOPE_UNIVERSE);
        check_address(facts, "198.51.100.1", 32, RT_SCOPE_UNIVERSE);
        check_address(facts, "2001:db8::1", 64, RT_SCOPE_UNIVERSE);
        check_address(facts, "2001:db8:1::1", 128, RT_SCOPE_UNIVERSE);
        check_address(facts, "fe80::1234", 64, RT_SCOPE_LINK);
        /* Neither peers nor addresses of other links. */
        CHECK(!find_address(facts, "198.51.100.2"));
        CHECK(!find_address(facts, "2001:db8:1::2"));
        CHECK(!find_address(facts, "203.0.113.1"));
        /* A flag that does not fit the 8 bits of the message's header. */
        address = find_address(facts, "2001:db8::1");
        CHECK(address && (address->flags & IFA_F_NOPREFIXROUTE));

        if (CHECK_EQUAL(rtnl_link(rtnl, world_ifindex("lo"), &loopback), 0)) {
                CHECK(streq(loopback->type_name, "loopback"));
                CHECK(streq(loopback->kind, ""));
                check_address(loopback, "127.0.0.1", 8, RT_SCOPE_HOST);
                check_address(loopback, "::1", 128, RT_SCOPE_HOST);
        }

        check_types(rtnl);
        world_ip("link delete test-a");
        CHECK_EQUAL(rtnl_link(rtnl, ifindex, &gone), -ENODEV);
        CHECK_EQUAL(rtnl_link(rtnl, 0, &gone), -ENODEV);
        CHECK(gone == &untouched);
}

static bool has_gateway(Rtnl *rtnl, const char *name, FactsFamily family, const char *text) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;
        Address wanted = text ? world_address(text) : (Address) {};

        return CHECK_EQUAL(rtnl_link(rtnl, world_ifindex(name), &facts), 0) &&
               address_equal(&facts->gateways[family], &wanted);
}

void test_rtnl_gateways(void) {
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;

        if (!world_ip("link add test-a type veth peer name test-b") || !CHECK_EQUAL(rtnl_open(&rtnl), 0))
                return;
        world_ip("address add 192.0.2.1/24 dev test-a");
        CHECK(has_gateway(rtnl, "test-a", FACTS_IPV4, NULL)); /* it is down */
        world_ip("link set test-a up");
        world_ip("link set test-b up");
        CHECK(has_gateway(rtnl, "test-a", FACTS_IPV4, NULL));
        world_ip("route add default via 192.0.2.254 metric 200");
        CHECK(has_gateway(rtnl, "test-a", FACTS_IPV4, "192.0.2.254"));
        world_ip("route add default via 192.0.2.253 metric 100");
        CHECK(has_gateway(rtnl, "test-a", FACTS_IPV4, "192.0.2.253"));
        /* The other link has none, and one of its own where the first is preferred. */
        CHECK(has_gateway(rtnl, "test-b", FACTS_IPV4, NULL));
        world_ip("address add 198.51.100.1/24 dev test-b");
        world_ip("route add default via 198.51.100.254 metric 300");
        CHECK(has_gateway(rtnl, "test-b", FACTS_IPV4, "198.51.100.254"));

        CHECK(has_gateway(rtnl, "test-a", FACTS_IPV6, NULL));
        world_ip("-6 route add default via fe80::7 dev test-a");
        CHECK(has_gateway(rtnl, "test-a", FACTS_IPV6, "fe80::7"));
        CHECK(has_gateway(rtnl, "test-b", FACTS_IPV6, NULL));
        world_ip("route add default dev test-b metric 50"); /* as point-to-point links have it */
        CHECK(has_gateway(rtnl, "test-b", FACTS_IPV4, NULL));
}

/* Adds the addresses in one run of "ip", by a batch file in memory. */
static bool add_many_addresses(void) {
        _cleanup_(close_fdp) int fd = memfd_create("batch", 0);
        char arguments[64];

        for (int i = 0; i < MANY_ADDRESSES; i++)
                if (!CHECK(dprintf(fd, "address add 10.%d.%d.1/24 dev test-a\n", i / 256, i % 256) > 0))
                        return false;
        snprintf(arguments, sizeof(arguments), "-batch /proc/%d/fd/%d", (int) getpid(), fd);
        return world_ip(arguments);
}

void test_rtnl_many(void) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;
        _cleanup_(freep) uint32_t *ifindexes = NULL;
        size_t links = 0, found = 0;
        uint32_t wanted[3];

        if (!world_ip("link add test-a type veth peer name test-b") || !add_many_addresses() ||
            !CHECK_EQUAL(rtnl_open(&rtnl), 0))
                return;

        if (CHECK_EQUAL(rtnl_link(rtnl, world_ifindex("test-a"), &facts), 0)) {
                CHECK_EQUAL(facts->addresses_count, MANY_ADDRESSES);
                CHECK(find_address(facts, "10.0.0.1"));
                CHECK(find_address(facts, "10.2.87.1"));
        }

        if (!CHECK_EQUAL(rtnl_links(rtnl, &ifindexes, &links), 0))
                return;
        wanted[0] = world_ifindex("lo");
        wanted[1] = world_ifindex("test-a");
        wanted[2] = world_ifindex("test-b");
        for (size_t i = 0; i < links; i++) {
                CHECK(i == 0 || ifindexes[i - 1] < ifindexes[i]);
                for (size_t j = 0; j < ELEMENTS(wanted); j++)
                        found += ifindexes[i] == wanted[j];
        }
        CHECK_EQUAL(found, ELEMENTS(wanted));
}
