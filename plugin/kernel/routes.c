/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See routes.h. */

#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <sys/socket.h>

#include "base/netlink.h"
#include "kernel/routes.h"

enum {
        REQUEST_SIZE = 256,
        DRAIN_MAX = 4096, /* messages; the rest brings the next wake-up */
};

struct Routes {
        Netlink *request;
        struct mnl_socket *monitor;
};

typedef struct RouteAnswer {
        uint32_t ifindex;
        uint8_t type; /* RTN_* */
} RouteAnswer;

Routes *routes_free(Routes *routes) {
        if (!routes)
                return NULL;

        netlink_free(routes->request);
        if (routes->monitor)
                mnl_socket_close(routes->monitor);
        free(routes);
        return NULL;
}

int routes_open(Routes **ret) {
        static const int groups[] = { RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,
                                      RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP };
        _cleanup_(routes_freep) Routes *routes = calloc(1, sizeof(*routes));
        int r;

        if (!routes)
                return -ENOMEM;

        r = netlink_open(&routes->request, NETLINK_ROUTE);
        if (r < 0)
                return r;

        routes->monitor = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (!routes->monitor || mnl_socket_bind(routes->monitor, 0, MNL_SOCKET_AUTOPID) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTS(groups); i++)
                if (mnl_socket_setsockopt(routes->monitor, NETLINK_ADD_MEMBERSHIP, (void *) &groups[i],
                                          sizeof(groups[i])) < 0)
                        return -errno;

        *ret = TAKE_PTR(routes);
        return 0;
}

int routes_monitor_fd(Routes *routes) {
        return mnl_socket_get_fd(routes->monitor);
}

bool routes_drain(Routes *routes) {
        const int fd = mnl_socket_get_fd(routes->monitor);
        bool changed = false;
        uint8_t byte;

        for (size_t i = 0; i < DRAIN_MAX; i++) {
                if (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
                        changed = true;
                else if (errno != EINTR)
                        break;
        }
        return changed;
}

static int read_route(const struct nlmsghdr *message, void *userdata) {
        const struct rtmsg *route = mnl_nlmsg_get_payload(message);
        const struct nlattr *attribute;
        RouteAnswer *answer = userdata;

        if (message->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(message) < sizeof(*route))
                return MNL_CB_OK;

        answer->type = route->rtm_type;
        mnl_attr_for_each(attribute, message, sizeof(*route))
                if (mnl_attr_get_type(attribute) == RTA_OIF &&
                    mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
                        answer->ifindex = mnl_attr_get_u32(attribute);
        return MNL_CB_OK;
}

static bool is_any(const Address *address) {
        static const Address any;

        return address_equal(address, &any);
}

static void put_address(struct nlmsghdr *message, uint16_t type, const Address *address) {
        if (address_is_ipv4(address))
                mnl_attr_put(message, type, sizeof(address->word[3]), &address->word[3]);
        else
                mnl_attr_put(message, type, sizeof(address->word), address->word);
}

/* flags: RTM_F_*, for IPv4 only. */
static int ask(Routes *routes, const RouteQuery *query, uint32_t flags, RouteAnswer *answer) {
        const bool ipv4 = address_is_ipv4(&query->remote), sourced = !is_any(&query->local);
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct rtmsg *route;

        message->nlmsg_type = RTM_GETROUTE;
        route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
        route->rtm_family = ipv4 ? AF_INET : AF_INET6;
        route->rtm_dst_len = ipv4 ? 32 : 128;
        route->rtm_flags = ipv4 ? flags : 0;
        put_address(message, RTA_DST, &query->remote);
        if (sourced) {
                route->rtm_src_len = route->rtm_dst_len;
                put_address(message, RTA_SRC, &query->local);
        }
        if (query->bound != 0)
                mnl_attr_put_u32(message, RTA_OIF, query->bound);
        if (query->from != 0)
                mnl_attr_put_u32(message, RTA_IIF, query->from);
        else
                mnl_attr_put_u32(message, RTA_UID, query->user);
        if (query->mark != 0)
                mnl_attr_put_u32(message, RTA_MARK, query->mark);
        if (query->remote_port != 0) {
                mnl_attr_put_u8(message, RTA_IP_PROTO, IPPROTO_TCP);
                mnl_attr_put_u16(message, RTA_SPORT, query->local_port);
                mnl_attr_put_u16(message, RTA_DPORT, query->remote_port);
        }
        return netlink_call(routes->request, message, read_route, answer);
}

int routes_find(Routes *routes, const RouteQuery *query, uint32_t *ret_ifindex, bool *ret_here) {
        RouteAnswer answer = {};
        const int r = ask(routes, query, 0, &answer);

        if (r < 0)
                return r;
        if (answer.ifindex == 0)
                return -ENETUNREACH;
        *ret_ifindex = answer.ifindex;
        *ret_here = answer.type == RTN_LOCAL;
        return 0;
}

bool routes_lead(Routes *routes, const RouteQuery *query) {
        RouteAnswer answer = {};

        /* What matches may go by several links, and names none then: of IPv4 only routes by this one do. */
        if (ask(routes, query, RTM_F_FIB_MATCH, &answer) < 0)
                return false;
        return answer.type == RTN_LOCAL ||
               (answer.type == RTN_UNICAST &&
                (address_is_ipv4(&query->remote) || answer.ifindex == query->bound));
}
