/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The monitor of links and addresses; the snapshot of one link, read by one request each for the link, IPv4
 * and IPv6; and the list of all links.
 */

#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <stdalign.h>
#include <sys/socket.h>

#include "base/netlink-answer.h"
#include "base/netlink.h"
#include "kernel/rtnl.h"

#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823
#endif

enum {
        REQUEST_SIZE = 256,
        NOTIFICATION_SIZE = 32 * 1024,
        MONITOR_BUFFER = 1024 * 1024, /* a burst of a thousand links and addresses fits */
        DUMP_ATTEMPTS = 8,            /* of a dump that changes disturb while it is read */
};

struct Rtnl {
        Netlink *request;
        struct mnl_socket *monitor;
};

typedef struct IndexList {
        uint32_t *indexes;
        size_t count;
        size_t allocated;
} IndexList;

typedef struct AddressDump {
        LinkFacts *facts;
        uint8_t family;
        size_t allocated;
} AddressDump;

Rtnl *rtnl_free(Rtnl *rtnl) {
        if (!rtnl)
                return NULL;

        netlink_free(rtnl->request);
        if (rtnl->monitor)
                mnl_socket_close(rtnl->monitor);
        free(rtnl);
        return NULL;
}

/*
 * Keeps all routes but default ones from the monitor: a router learns a million of them. A notification is
 * one message.
 */
static int ignore_prefixes(int fd) {
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 1, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 2),
                BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_dst_len)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
                BPF_STMT(BPF_RET | BPF_K, 0),
        };
        const struct sock_fprog program = { .len = ELEMENTS(filter), .filter = filter };

        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

int rtnl_open(Rtnl **ret) {
        _cleanup_(rtnl_freep) Rtnl *rtnl = NULL;
        int buffer_size = MONITOR_BUFFER, fd, r;

        rtnl = calloc(1, sizeof(*rtnl));
        if (!rtnl)
                return -ENOMEM;

        r = netlink_open(&rtnl->request, NETLINK_ROUTE);
        if (r < 0)
                return r;

        rtnl->monitor = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (!rtnl->monitor)
                return -errno;

        /* Best effort: what overflows the buffer comes back as RTNL_LOST. The first way needs
         * CAP_NET_ADMIN. */
        fd = mnl_socket_get_fd(rtnl->monitor);
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_size, sizeof(buffer_size)) < 0)
                (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_size, sizeof(buffer_size));

        r = ignore_prefixes(fd);
        if (r < 0)
                return r;
        if (mnl_socket_bind(rtnl->monitor,
                            RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                                    RTMGRP_IPV6_ROUTE | RTMGRP_TC,
                            MNL_SOCKET_AUTOPID) < 0)
                return -errno;

        *ret = TAKE_PTR(rtnl);
        return 0;
}

int rtnl_monitor_fd(Rtnl *rtnl) {
        return mnl_socket_get_fd(rtnl->monitor);
}

/* Events of a wireless driver (scan results and the like) arrive as RTM_NEWLINK, too; nothing of the link
 * has changed. */
static bool is_wireless_event(const struct nlmsghdr *message) {
        const struct nlattr *attribute;

        mnl_attr_for_each(attribute, message, sizeof(struct ifinfomsg))
                if (mnl_attr_get_type(attribute) == IFLA_WIRELESS)
                        return true;
        return false;
}

static uint32_t attribute_u32(const struct nlattr *attribute) {
        return mnl_attr_validate(attribute, MNL_TYPE_U32) < 0 ? 0 : mnl_attr_get_u32(attribute);
}

static void notify_link(const struct nlmsghdr *message, RtnlHandler handler, void *userdata) {
        const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*link) || link->ifi_index <= 0)
                return;

        /* A DELLINK of another family, such as AF_BRIDGE, says that the link left a bridge, not that it
         * is gone. */
        if (message->nlmsg_type == RTM_DELLINK && link->ifi_family == AF_UNSPEC)
                handler(RTNL_LINK_GONE, (uint32_t) link->ifi_index, userdata);
        else if (!is_wireless_event(message))
                handler(RTNL_LINK, (uint32_t) link->ifi_index, userdata);
}

static void notify_address(const struct nlmsghdr *message, RtnlHandler handler, void *userdata) {
        const struct ifaddrmsg *address = mnl_nlmsg_get_payload(message);

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*address) || address->ifa_index == 0)
                return;

        handler(RTNL_ADDRESS, address->ifa_index, userdata);
}

/* Of default routes only: those have no prefix. One that goes by several links is passed over. */
static void notify_route(const struct nlmsghdr *message, RtnlHandler handler, void *userdata) {
        const struct rtmsg *route = mnl_nlmsg_get_payload(message);
        const struct nlattr *attribute;

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*route) || route->rtm_dst_len != 0)
                return;
        mnl_attr_for_each(attribute, message, sizeof(*route))
                if (mnl_attr_get_type(attribute) == RTA_OIF && attribute_u32(attribute) != 0)
                        handler(RTNL_ROUTE, attribute_u32(attribute), userdata);
}

/* What belongs to a block that several links share names no link. */
static void notify_tc(const struct nlmsghdr *message, RtnlChange change, RtnlHandler handler,
                      void *userdata) {
        const struct tcmsg *tc = mnl_nlmsg_get_payload(message);

        if (mnl_nlmsg_get_payload_len(message) >= sizeof(*tc) && tc->tcm_ifindex > 0)
                handler(change, (uint32_t) tc->tcm_ifindex, userdata);
}

void rtnl_notify(const void *datagram, size_t length, RtnlHandler handler, void *userdata) {
        const struct nlmsghdr *message;

        for (size_t offset = 0; (message = netlink_message_at(datagram, length, offset));
             offset += MNL_ALIGN(message->nlmsg_len))
                switch (message->nlmsg_type) {
                case RTM_NEWLINK:
                case RTM_DELLINK:
                        notify_link(message, handler, userdata);
                        break;
                case RTM_NEWADDR:
                case RTM_DELADDR:
                        notify_address(message, handler, userdata);
                        break;
                case RTM_NEWROUTE:
                case RTM_DELROUTE:
                        notify_route(message, handler, userdata);
                        break;
                case RTM_NEWQDISC:
                case RTM_DELQDISC:
                        notify_tc(message, RTNL_QDISC, handler, userdata);
                        break;
                case RTM_NEWTFILTER:
                case RTM_DELTFILTER:
                        notify_tc(message, RTNL_FILTER, handler, userdata);
                        break;
                default:
                        break;
                }
}

int rtnl_process(Rtnl *rtnl, RtnlHandler handler, void *userdata) {
        alignas(struct nlmsghdr) uint8_t datagram[NOTIFICATION_SIZE];
        int fd = mnl_socket_get_fd(rtnl->monitor);

        for (;;) {
                struct sockaddr_nl sender = {};
                socklen_t sender_length = sizeof(sender);
                ssize_t length;

                length = recvfrom(fd, datagram, sizeof(datagram), MSG_DONTWAIT | MSG_TRUNC,
                                  (struct sockaddr *) &sender, &sender_length);
                if (length < 0) {
                        if (errno == EAGAIN)
                                return 0;
                        if (errno == EINTR)
                                continue;
                        if (errno != ENOBUFS)
                                return -errno;
                        handler(RTNL_LOST, 0, userdata);
                        continue;
                }

                /* Only the kernel is port 0. */
                if (sender.nl_pid != 0)
                        continue;
                if ((size_t) length > sizeof(datagram))
                        handler(RTNL_LOST, 0, userdata);
                else
                        rtnl_notify(datagram, (size_t) length, handler, userdata);
        }
}

/* Copies a string attribute, cut to the size of the target. */
static void attribute_text(const struct nlattr *attribute, char *target, size_t size) {
        size_t length = strnlen(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));

        length = MIN_OF(length, size - 1);
        memcpy(target, mnl_attr_get_payload(attribute), length);
        target[length] = '\0';
}

static int read_link(const struct nlmsghdr *message, void *userdata) {
        const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
        const struct nlattr *attribute, *nested;
        LinkFacts *facts = userdata;

        if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(*link))
                return MNL_CB_OK;

        facts->ifindex = (uint32_t) link->ifi_index;
        facts->type = link->ifi_type;
        facts->flags = link->ifi_flags;

        mnl_attr_for_each(attribute, message, sizeof(*link))
                switch (mnl_attr_get_type(attribute)) {
                case IFLA_IFNAME:
                        attribute_text(attribute, facts->name, sizeof(facts->name));
                        break;
                case IFLA_MTU:
                        facts->mtu = attribute_u32(attribute);
                        break;
                case IFLA_MIN_MTU:
                        facts->minimum_mtu = attribute_u32(attribute);
                        break;
                case IFLA_MAX_MTU:
                        facts->maximum_mtu = attribute_u32(attribute);
                        break;
                case IFLA_MASTER:
                        facts->upper = attribute_u32(attribute);
                        break;
                case IFLA_LINKINFO:
                        mnl_attr_for_each_nested(nested, attribute)
                                if (mnl_attr_get_type(nested) == IFLA_INFO_KIND)
                                        attribute_text(nested, facts->kind, sizeof(facts->kind));
                        break;
                default:
                        break;
                }

        return MNL_CB_OK;
}

static bool read_address_bytes(const struct nlattr *attribute, uint8_t family, Address *ret) {
        uint32_t ipv4;

        if (family == AF_INET && mnl_attr_get_payload_len(attribute) == sizeof(ipv4)) {
                memcpy(&ipv4, mnl_attr_get_payload(attribute), sizeof(ipv4));
                *ret = address_from_ipv4(ipv4);
                return true;
        }
        if (family == AF_INET6 && mnl_attr_get_payload_len(attribute) == sizeof(ret->word)) {
                memcpy(ret->word, mnl_attr_get_payload(attribute), sizeof(ret->word));
                return true;
        }
        return false;
}

/* Room for one more address, or NULL when out of memory. */
static LinkAddress *add_address(AddressDump *dump) {
        LinkFacts *facts = dump->facts;

        if (ROOM_FOR_ONE(facts->addresses, facts->addresses_count, dump->allocated) < 0)
                return NULL;
        return &facts->addresses[facts->addresses_count++];
}

static int read_address(const struct nlmsghdr *message, void *userdata) {
        const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
        const struct nlattr *attribute;
        AddressDump *dump = userdata;
        LinkAddress address = {}, *added;
        bool has_local = false, has_address = false;

        if (message->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(message) < sizeof(*header))
                return MNL_CB_OK;
        /* Without IPv6 in the kernel, or without strict checking, all families and links are answered. */
        if (header->ifa_family != dump->family || header->ifa_index != dump->facts->ifindex)
                return MNL_CB_OK;

        address.flags = header->ifa_flags;
        address.scope = header->ifa_scope;
        address.prefix_length = header->ifa_prefixlen;

        mnl_attr_for_each(attribute, message, sizeof(*header))
                switch (mnl_attr_get_type(attribute)) {
                case IFA_LOCAL: /* of the two our own; IFA_ADDRESS is then the peer */
                        has_local |= read_address_bytes(attribute, header->ifa_family, &address.address);
                        break;
                case IFA_ADDRESS:
                        if (!has_local)
                                has_address |= read_address_bytes(attribute, header->ifa_family,
                                                                  &address.address);
                        break;
                case IFA_FLAGS:
                        address.flags = attribute_u32(attribute);
                        break;
                default:
                        break;
                }

        if (!has_local && !has_address)
                return MNL_CB_OK;

        added = add_address(dump);
        if (!added) {
                errno = ENOMEM;
                return MNL_CB_ERROR;
        }
        *added = address;
        return MNL_CB_OK;
}

static int dump_addresses(Netlink *request, uint8_t family, AddressDump *dump) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        size_t before = dump->facts->addresses_count;
        int r = -EINTR;

        dump->family = family;
        for (size_t attempt = 0; attempt < DUMP_ATTEMPTS && r == -EINTR; attempt++) {
                struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
                struct ifaddrmsg *address;

                message->nlmsg_type = RTM_GETADDR;
                message->nlmsg_flags = NLM_F_DUMP;
                address = mnl_nlmsg_put_extra_header(message, sizeof(*address));
                address->ifa_family = family;
                address->ifa_index = dump->facts->ifindex;

                dump->facts->addresses_count = before;
                r = netlink_call(request, message, read_address, dump);
        }
        return r;
}

static int read_gateway(const struct nlmsghdr *message, void *userdata) {
        const struct rtmsg *route = mnl_nlmsg_get_payload(message);
        const struct nlattr *attribute;

        if (message->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(message) < sizeof(*route))
                return MNL_CB_OK;
        mnl_attr_for_each(attribute, message, sizeof(*route))
                if (mnl_attr_get_type(attribute) == RTA_GATEWAY)
                        (void) read_address_bytes(attribute, route->rtm_family, userdata);
        return MNL_CB_OK;
}

/* Asks by which gateway the link would send to a place that is far away whichever network it is in: no
 * one has these addresses. There need be no gateway. */
static void find_gateway(Netlink *request, LinkFacts *facts, FactsFamily which) {
        const uint8_t family = which == FACTS_IPV4 ? AF_INET : AF_INET6;
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        const uint8_t far[_FACTS_FAMILY_MAX][16] = { { 192, 88, 99, 1 }, { 0x20, [15] = 1 } };
        const uint8_t bytes = family == AF_INET ? 4 : 16;
        struct rtmsg *route;

        message->nlmsg_type = RTM_GETROUTE;
        route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
        route->rtm_family = family;
        route->rtm_dst_len = bytes * 8;
        mnl_attr_put(message, RTA_DST, bytes, far[which]);
        mnl_attr_put_u32(message, RTA_OIF, facts->ifindex);
        (void) netlink_call(request, message, read_gateway, &facts->gateways[which]);
}

const char *rtnl_type_name(const LinkFacts *facts) {
        static const struct {
                uint16_t type;
                const char *kind; /* NULL: any */
                const char *name;
        } types[] = {
                { ARPHRD_ETHER,    NULL,        "ether"     },
                { ARPHRD_LOOPBACK, NULL,        "loopback"  },
                { ARPHRD_PPP,      NULL,        "ppp"       },
                { ARPHRD_RAWIP,    NULL,        "wwan"      },
                { ARPHRD_TUNNEL,   "vti",       "vti"       },
                { ARPHRD_TUNNEL,   NULL,        "ipip"      },
                { ARPHRD_TUNNEL6,  "vti6",      "vti6"      },
                { ARPHRD_TUNNEL6,  NULL,        "ip6tnl"    }, /* DS-Lite, too */
                { ARPHRD_SIT,      NULL,        "sit"       },
                { ARPHRD_IPGRE,    NULL,        "gre"       },
                { ARPHRD_IP6GRE,   NULL,        "ip6gre"    },
                { ARPHRD_NONE,     "tun",       "tun"       },
                { ARPHRD_NONE,     "wireguard", "wireguard" },
                { ARPHRD_NONE,     "wwan",      "wwan"      },
                { ARPHRD_NONE,     "",          "wwan"      }, /* no link header: qmi_wwan */
        };

        for (size_t i = 0; i < ELEMENTS(types); i++)
                if (types[i].type == facts->type && (!types[i].kind || streq(types[i].kind, facts->kind)))
                        return types[i].name;
        return "other";
}

LinkFacts *rtnl_facts_free(LinkFacts *facts) {
        if (!facts)
                return NULL;

        free(facts->addresses);
        free(facts);
        return NULL;
}

int rtnl_link(Rtnl *rtnl, uint32_t ifindex, LinkFacts **ret) {
        _cleanup_(rtnl_facts_freep) LinkFacts *facts = NULL;
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        AddressDump dump = {};
        struct ifinfomsg *link;
        int r;

        /* The kernel calls a request for no link at all invalid. */
        if (ifindex == 0 || ifindex > INT32_MAX)
                return -ENODEV;

        facts = calloc(1, sizeof(*facts));
        if (!facts)
                return -ENOMEM;

        message->nlmsg_type = RTM_GETLINK;
        link = mnl_nlmsg_put_extra_header(message, sizeof(*link));
        link->ifi_index = (int) ifindex;
        mnl_attr_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);

        r = netlink_call(rtnl->request, message, read_link, facts);
        if (r < 0)
                return r;
        if (facts->ifindex != ifindex)
                return -EBADMSG;
        facts->type_name = rtnl_type_name(facts);

        dump.facts = facts;
        r = dump_addresses(rtnl->request, AF_INET, &dump);
        if (r < 0)
                return r;
        r = dump_addresses(rtnl->request, AF_INET6, &dump);
        if (r < 0)
                return r;
        for (FactsFamily family = 0; family < _FACTS_FAMILY_MAX; family++)
                find_gateway(rtnl->request, facts, family);

        *ret = TAKE_PTR(facts);
        return 0;
}

static int read_index(const struct nlmsghdr *message, void *userdata) {
        const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
        IndexList *list = userdata;

        if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(*link) ||
            link->ifi_index <= 0)
                return MNL_CB_OK;

        if (ROOM_FOR_ONE(list->indexes, list->count, list->allocated) < 0) {
                errno = ENOMEM;
                return MNL_CB_ERROR;
        }
        list->indexes[list->count++] = (uint32_t) link->ifi_index;
        return MNL_CB_OK;
}

static int compare_indexes(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

        return (x > y) - (x < y);
}

int rtnl_links(Rtnl *rtnl, uint32_t **ret_ifindexes, size_t *ret_count) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        IndexList list = {};
        int r = -EINTR;

        for (size_t attempt = 0; attempt < DUMP_ATTEMPTS && r == -EINTR; attempt++) {
                struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

                message->nlmsg_type = RTM_GETLINK;
                message->nlmsg_flags = NLM_F_DUMP;
                (void) mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
                mnl_attr_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);

                list.count = 0;
                r = netlink_call(rtnl->request, message, read_index, &list);
        }
        if (r < 0) {
                free(list.indexes);
                return r;
        }

        if (list.count > 0)
                qsort(list.indexes, list.count, sizeof(*list.indexes), compare_indexes);
        *ret_ifindexes = list.indexes;
        *ret_count = list.count;
        return 0;
}
