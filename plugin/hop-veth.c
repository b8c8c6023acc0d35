/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The segmentation hop as a veth pair: works on every kernel. What leaves by the sending end is cut into
 * segments and summed on the way, because that end says it can do neither, and arrives on the receiving end
 * packet by packet.
 * Room L3 (world): rtnetlink and the ethtool ioctl; does not log, does not include its siblings.
 */

#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdalign.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "hop.h"
#include "netlink.h"

#define HOP_KIND "veth"
#define HOP_ALIAS "Underpass segmentation hop, made by underpassd: leave it alone"

enum {
        REQUEST_SIZE = 512,
        HOP_MTU = 65535,      /* the largest that veth takes; a super-packet of IPv4 is not larger */
        ADDRESS_MODE_NONE = 1, /* IN6_ADDR_GEN_MODE_NONE */
};

typedef struct HopEnd {
        uint32_t ifindex;    /* 0: no such link */
        uint32_t peer;       /* ifindex of the other end, 0: in another network namespace */
        uint32_t flags;
        uint32_t mtu;
        bool is_veth;
        bool has_alias;
        bool has_ipv6;
        uint8_t address_mode;
} HopEnd;

typedef struct HopFeature {
        const char *name;
        uint32_t get;
        uint32_t set;
        uint32_t value;
} HopFeature;

/* Segmentation and checksums first: while they are on, the kernel may refuse what they depend on. */
static const HopFeature hop_features[] = {
        { HOP_NAME_SEND,    ETHTOOL_GTSO,    ETHTOOL_STSO,    0 }, /* the kernel segments … */
        { HOP_NAME_SEND,    ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM, 0 }, /* … and sums, in front of the program */
        { HOP_NAME_SEND,    ETHTOOL_GSG,     ETHTOOL_SSG,     1 }, /* segments share the payload's pages */
        { HOP_NAME_SEND,    ETHTOOL_GGSO,    ETHTOOL_SGSO,    1 },
        { HOP_NAME_RECEIVE, ETHTOOL_GGRO,    ETHTOOL_SGRO,    0 }, /* or segments would be merged again */
};

bool hop_is_name(const char *name) {
        return streq(name, HOP_NAME_SEND) || streq(name, HOP_NAME_RECEIVE);
}

static struct nlmsghdr *put_request(void *buffer, uint16_t type, uint16_t flags, uint32_t ifindex) {
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct ifinfomsg *link;

        message->nlmsg_type = type;
        message->nlmsg_flags = flags;
        link = mnl_nlmsg_put_extra_header(message, sizeof(*link));
        link->ifi_index = (int) ifindex;
        return message;
}

static bool attribute_is(const struct nlattr *attribute, const char *text) {
        size_t length = strnlen(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));

        return length == strlen(text) && memcmp(mnl_attr_get_payload(attribute), text, length) == 0;
}

static void read_address_mode(const struct nlattr *families, HopEnd *end) {
        const struct nlattr *family, *attribute;

        mnl_attr_for_each_nested(family, families) {
                if (mnl_attr_get_type(family) != AF_INET6)
                        continue;
                mnl_attr_for_each_nested(attribute, family)
                        if (mnl_attr_get_type(attribute) == IFLA_INET6_ADDR_GEN_MODE &&
                            mnl_attr_validate(attribute, MNL_TYPE_U8) >= 0) {
                                end->has_ipv6 = true;
                                end->address_mode = mnl_attr_get_u8(attribute);
                        }
        }
}

static int read_end(const struct nlmsghdr *message, void *userdata) {
        const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
        const struct nlattr *attribute, *nested;
        bool elsewhere = false;
        HopEnd *end = userdata;

        if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(*link))
                return MNL_CB_OK;

        end->ifindex = (uint32_t) link->ifi_index;
        end->flags = link->ifi_flags;
        mnl_attr_for_each(attribute, message, sizeof(*link))
                switch (mnl_attr_get_type(attribute)) {
                case IFLA_MTU:
                        if (mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
                                end->mtu = mnl_attr_get_u32(attribute);
                        break;
                case IFLA_LINK:
                        if (mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
                                end->peer = mnl_attr_get_u32(attribute);
                        break;
                case IFLA_LINK_NETNSID:
                        elsewhere = true;
                        break;
                case IFLA_IFALIAS:
                        end->has_alias = attribute_is(attribute, HOP_ALIAS);
                        break;
                case IFLA_LINKINFO:
                        mnl_attr_for_each_nested(nested, attribute)
                                if (mnl_attr_get_type(nested) == IFLA_INFO_KIND)
                                        end->is_veth = attribute_is(nested, HOP_KIND);
                        break;
                case IFLA_AF_SPEC:
                        read_address_mode(attribute, end);
                        break;
                default:
                        break;
                }

        /* The same number may belong to another link here. */
        if (elsewhere)
                end->peer = 0;
        return MNL_CB_OK;
}

/* Finds a link by name; ifindex 0: none. RTEXT_FILTER_SKIP_STATS would leave out the address mode, too. */
static int find_end(Netlink *netlink, const char *name, HopEnd *ret) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = put_request(buffer, RTM_GETLINK, 0, 0);
        HopEnd end = {};
        int r;

        mnl_attr_put_strz(message, IFLA_IFNAME, name);
        r = netlink_call(netlink, message, read_end, &end);
        if (r < 0 && r != -ENODEV)
                return r;

        *ret = end;
        return 0;
}

static int find_pair(Netlink *netlink, HopEnd *ret_send, HopEnd *ret_receive) {
        int r;

        r = find_end(netlink, HOP_NAME_SEND, ret_send);
        return r < 0 ? r : find_end(netlink, HOP_NAME_RECEIVE, ret_receive);
}

static bool is_pair(const HopEnd *send, const HopEnd *receive) {
        return send->ifindex > 0 && receive->ifindex > 0 && send->is_veth && receive->is_veth &&
               send->peer == receive->ifindex && receive->peer == send->ifindex;
}

static int create_pair(Netlink *netlink) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = put_request(buffer, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
        struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
        struct nlattr *information, *data, *peer;

        link->ifi_flags = link->ifi_change = IFF_NOARP;
        mnl_attr_put_strz(message, IFLA_IFNAME, HOP_NAME_SEND);
        mnl_attr_put_u32(message, IFLA_MTU, HOP_MTU);

        information = mnl_attr_nest_start(message, IFLA_LINKINFO);
        mnl_attr_put_strz(message, IFLA_INFO_KIND, HOP_KIND);
        data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
        peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
        link = mnl_nlmsg_put_extra_header(message, sizeof(*link));
        link->ifi_flags = link->ifi_change = IFF_NOARP;
        mnl_attr_put_strz(message, IFLA_IFNAME, HOP_NAME_RECEIVE);
        mnl_attr_put_u32(message, IFLA_MTU, HOP_MTU);
        mnl_attr_nest_end(message, peer);
        mnl_attr_nest_end(message, data);
        mnl_attr_nest_end(message, information);

        return netlink_call(netlink, message, NULL, NULL);
}

static int delete_end(Netlink *netlink, uint32_t ifindex) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        int r;

        r = netlink_call(netlink, put_request(buffer, RTM_DELLINK, 0, ifindex), NULL, NULL);
        return r == -ENODEV ? 0 : r;
}

/* NOARP, MTU and alias, in one request when one of them is not right. */
static int repair_link(Netlink *netlink, const HopEnd *end) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = put_request(buffer, RTM_SETLINK, 0, end->ifindex);
        struct ifinfomsg *link = mnl_nlmsg_get_payload(message);

        if (end->mtu == HOP_MTU && end->has_alias && (end->flags & IFF_NOARP))
                return 0;

        link->ifi_flags = link->ifi_change = IFF_NOARP;
        mnl_attr_put_u32(message, IFLA_MTU, HOP_MTU);
        mnl_attr_put_strz(message, IFLA_IFALIAS, HOP_ALIAS);
        return netlink_call(netlink, message, NULL, NULL);
}

static int repair_address_mode(Netlink *netlink, const HopEnd *end) {
        alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
        struct nlmsghdr *message = put_request(buffer, RTM_SETLINK, 0, end->ifindex);
        struct nlattr *families, *family;
        int r;

        if (end->has_ipv6 && end->address_mode == ADDRESS_MODE_NONE)
                return 0;

        families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
        family = mnl_attr_nest_start(message, AF_INET6);
        mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, ADDRESS_MODE_NONE);
        mnl_attr_nest_end(message, family);
        mnl_attr_nest_end(message, families);

        /* A kernel without IPv6 gives no addresses either. */
        r = netlink_call(netlink, message, NULL, NULL);
        return r == -EAFNOSUPPORT ? 0 : r;
}

static int feature_call(int fd, const HopFeature *feature, uint32_t command, uint32_t *value) {
        struct ethtool_value request = { .cmd = command, .data = *value };
        struct ifreq interface = {};

        snprintf(interface.ifr_name, sizeof(interface.ifr_name), "%s", feature->name);
        interface.ifr_data = (char *) &request;
        if (ioctl(fd, SIOCETHTOOL, &interface) < 0)
                return -errno;

        *value = request.data;
        return 0;
}

static int repair_features(void) {
        _cleanup_(close_fdp) int fd = -EBADF;

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;

        for (size_t i = 0; i < ELEMENTS(hop_features); i++) {
                const HopFeature *feature = &hop_features[i];
                uint32_t now = 0, wanted = feature->value;
                int r;

                r = feature_call(fd, feature, feature->get, &now);
                if (r < 0)
                        return r;
                if (!now == !wanted)
                        continue;

                r = feature_call(fd, feature, feature->set, &wanted);
                /* The kernel may take the request and still keep the feature, when another one demands
                 * it. */
                if (r >= 0)
                        r = feature_call(fd, feature, feature->get, &now);
                if (r < 0)
                        return r;
                if (!now != !feature->value)
                        return -EOPNOTSUPP;
        }
        return 0;
}

/* Clears the way for a new pair: what is left of ours goes, what is not ours stays and is an error. */
static int remove_remains(Netlink *netlink, const HopEnd *send, const HopEnd *receive) {
        const HopEnd *ends[] = { send, receive };

        for (size_t i = 0; i < ELEMENTS(ends); i++)
                if (ends[i]->ifindex > 0 && !(ends[i]->is_veth && ends[i]->has_alias))
                        return -EEXIST;

        for (size_t i = 0; i < ELEMENTS(ends); i++) {
                int r;

                if (ends[i]->ifindex == 0)
                        continue;
                r = delete_end(netlink, ends[i]->ifindex);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int repair_pair(Netlink *netlink, const HopEnd *send, const HopEnd *receive) {
        const HopEnd *ends[] = { send, receive };

        for (size_t i = 0; i < ELEMENTS(ends); i++) {
                int r;

                /* In this order: below an MTU of 1280 a link has no IPv6 whose mode could be set. */
                r = repair_link(netlink, ends[i]);
                if (r < 0)
                        return r;
                r = repair_address_mode(netlink, ends[i]);
                if (r < 0)
                        return r;
        }
        return repair_features();
}

int hop_ensure(Hop *ret) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        HopEnd send, receive;
        bool created = false;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r < 0)
                return r;
        r = find_pair(netlink, &send, &receive);
        if (r < 0)
                return r;

        if (!is_pair(&send, &receive)) {
                r = remove_remains(netlink, &send, &receive);
                if (r < 0)
                        return r;
                r = create_pair(netlink);
                if (r < 0)
                        return r;
                r = find_pair(netlink, &send, &receive);
                if (r < 0)
                        return r;
                if (!is_pair(&send, &receive))
                        return -ENODEV;
                created = true;
        }

        r = repair_pair(netlink, &send, &receive);
        if (r < 0) {
                if (created)
                        (void) delete_end(netlink, send.ifindex);
                return r;
        }

        *ret = (Hop) { .send_ifindex = send.ifindex, .receive_ifindex = receive.ifindex };
        return 0;
}

int hop_up(const Hop *hop) {
        const uint32_t ends[] = { hop->receive_ifindex, hop->send_ifindex };
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r < 0)
                return r;

        for (size_t i = 0; i < ELEMENTS(ends); i++) {
                alignas(struct nlmsghdr) uint8_t buffer[REQUEST_SIZE] = {};
                struct nlmsghdr *message = put_request(buffer, RTM_SETLINK, 0, ends[i]);
                struct ifinfomsg *link = mnl_nlmsg_get_payload(message);

                link->ifi_flags = link->ifi_change = IFF_UP;
                r = netlink_call(netlink, message, NULL, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

int hop_remove(void) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        HopEnd send, receive;
        int r;

        r = netlink_open(&netlink, NETLINK_ROUTE);
        if (r < 0)
                return r;
        r = find_pair(netlink, &send, &receive);
        if (r < 0)
                return r;

        /* One end takes the other along. An end that lost its peer's name is ours only when it says so. */
        if (is_pair(&send, &receive) || (send.is_veth && send.has_alias)) {
                r = delete_end(netlink, send.ifindex);
                if (r < 0)
                        return r;
        }
        if (receive.is_veth && receive.has_alias)
                return delete_end(netlink, receive.ifindex);
        return 0;
}
