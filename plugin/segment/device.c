/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See device.h. */

#include <linux/if_link.h>
#include <linux/veth.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/message.h"
#include "segment/device.h"

#define DEVICE_ALIAS "Underpass segmentation device, made by underpassd: leave it alone"

enum {
        ADDRESS_MODE_NONE = 1, /* IN6_ADDR_GEN_MODE_NONE */
        DEVICE_GROUP = 0x756e6470,
};

struct nlmsghdr *device_request(void *buffer, uint16_t type, uint16_t flags, uint32_t ifindex) {
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
        struct ifinfomsg *link;

        message->nlmsg_type = type;
        message->nlmsg_flags = flags;
        link = mnl_nlmsg_put_extra_header(message, sizeof(*link));
        link->ifi_index = (int) ifindex;
        return message;
}

void device_mark(struct nlmsghdr *message) {
        mnl_attr_put_u32(message, IFLA_GROUP, DEVICE_GROUP);
}

static bool attribute_is(const struct nlattr *attribute, const char *text) {
        size_t length = strnlen(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));

        return length == strlen(text) && memcmp(mnl_attr_get_payload(attribute), text, length) == 0;
}

static void read_address_mode(const struct nlattr *families, Device *link) {
        const struct nlattr *family, *attribute;

        mnl_attr_for_each_nested(family, families) {
                if (mnl_attr_get_type(family) != AF_INET6)
                        continue;
                mnl_attr_for_each_nested(attribute, family)
                        if (mnl_attr_get_type(attribute) == IFLA_INET6_ADDR_GEN_MODE &&
                            mnl_attr_validate(attribute, MNL_TYPE_U8) >= 0) {
                                link->has_ipv6 = true;
                                link->address_mode = mnl_attr_get_u8(attribute);
                        }
        }
}

/* The data of an 8021q device come behind its kind. */
static void read_kind(const struct nlattr *information, Device *link) {
        const struct nlattr *attribute, *data;

        mnl_attr_for_each_nested(attribute, information) {
                if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
                        snprintf(link->kind, sizeof(link->kind), "%.*s",
                                 (int) mnl_attr_get_payload_len(attribute),
                                 (const char *) mnl_attr_get_payload(attribute));
                if (mnl_attr_get_type(attribute) != IFLA_INFO_DATA || !streq(link->kind, "vlan"))
                        continue;
                mnl_attr_for_each_nested(data, attribute)
                        if (mnl_attr_get_type(data) == IFLA_VLAN_ID &&
                            mnl_attr_validate(data, MNL_TYPE_U16) >= 0)
                                link->vlan = mnl_attr_get_u16(data);
        }
}

static uint32_t read_u32(const struct nlattr *attribute) {
        return mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0 ? mnl_attr_get_u32(attribute) : 0;
}

static int read_device(const struct nlmsghdr *message, void *userdata) {
        const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
        const struct nlattr *attribute;
        bool elsewhere = false;
        Device *link = userdata;

        if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(*header))
                return MNL_CB_OK;

        link->ifindex = (uint32_t) header->ifi_index;
        link->flags = header->ifi_flags;
        mnl_attr_for_each(attribute, message, sizeof(*header))
                switch (mnl_attr_get_type(attribute)) {
                case IFLA_MTU:
                        link->mtu = read_u32(attribute);
                        break;
                case IFLA_LINK:
                        link->other = read_u32(attribute);
                        break;
                case IFLA_MASTER:
                        link->master = read_u32(attribute);
                        break;
                case IFLA_LINK_NETNSID:
                        elsewhere = true;
                        break;
                case IFLA_IFALIAS:
                        link->has_alias = attribute_is(attribute, DEVICE_ALIAS);
                        break;
                case IFLA_GROUP:
                        link->ours |= read_u32(attribute) == DEVICE_GROUP;
                        break;
                case IFLA_LINKINFO:
                        read_kind(attribute, link);
                        break;
                case IFLA_AF_SPEC:
                        read_address_mode(attribute, link);
                        break;
                default:
                        break;
                }

        link->ours |= link->has_alias;
        /* The same number may belong to another device here. */
        if (elsewhere)
                link->other = 0;
        return MNL_CB_OK;
}

/* RTEXT_FILTER_SKIP_STATS would leave out the address mode, too. */
int device_find(Netlink *netlink, const char *name, Device *ret) {
        DEVICE_REQUEST(buffer);
        struct nlmsghdr *message = device_request(buffer, RTM_GETLINK, 0, 0);
        Device link = {};
        int r;

        mnl_attr_put_strz(message, IFLA_IFNAME, name);
        r = netlink_call(netlink, message, read_device, &link);
        if (r < 0 && r != -ENODEV)
                return r;

        *ret = link;
        return 0;
}

int device_find_made(Netlink *netlink, const char *name, Device *ret) {
        DEVICE_REQUEST(buffer);
        struct nlmsghdr *message = device_request(buffer, RTM_DELLINK, 0, 0);
        int r;

        r = device_find(netlink, name, ret);
        if (r >= 0)
                return 0;
        mnl_attr_put_strz(message, IFLA_IFNAME, name);
        (void) netlink_call(netlink, message, NULL, NULL);
        return r;
}

int device_delete(Netlink *netlink, uint32_t ifindex) {
        DEVICE_REQUEST(buffer);
        int r;

        r = netlink_call(netlink, device_request(buffer, RTM_DELLINK, 0, ifindex), NULL, NULL);
        return r == -ENODEV ? 0 : r;
}

static int repair_flags(Netlink *netlink, const Device *link, uint32_t mtu) {
        DEVICE_REQUEST(buffer);
        struct nlmsghdr *message = device_request(buffer, RTM_SETLINK, 0, link->ifindex);
        struct ifinfomsg *header = mnl_nlmsg_get_payload(message);

        if ((mtu == 0 || link->mtu == mtu) && link->has_alias && (link->flags & IFF_NOARP))
                return 0;

        header->ifi_flags = header->ifi_change = IFF_NOARP;
        if (mtu != 0)
                mnl_attr_put_u32(message, IFLA_MTU, mtu);
        mnl_attr_put_strz(message, IFLA_IFALIAS, DEVICE_ALIAS);
        return netlink_call(netlink, message, NULL, NULL);
}

static int repair_address_mode(Netlink *netlink, const Device *link) {
        DEVICE_REQUEST(buffer);
        struct nlmsghdr *message = device_request(buffer, RTM_SETLINK, 0, link->ifindex);
        struct nlattr *families, *family;
        int r;

        if (link->has_ipv6 && link->address_mode == ADDRESS_MODE_NONE)
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

/* In this order: below an MTU of 1280 a link has no IPv6 whose mode could be set. */
int device_repair(Netlink *netlink, const Device *link, uint32_t mtu) {
        int r;

        r = repair_flags(netlink, link, mtu);
        return r < 0 ? r : repair_address_mode(netlink, link);
}

int device_up(Netlink *netlink, uint32_t ifindex) {
        DEVICE_REQUEST(buffer);
        struct nlmsghdr *message = device_request(buffer, RTM_SETLINK, 0, ifindex);
        struct ifinfomsg *link = mnl_nlmsg_get_payload(message);

        link->ifi_flags = link->ifi_change = IFF_UP;
        return netlink_call(netlink, message, NULL, NULL);
}

static bool is_pair(const Device ends[2], const char *kind) {
        return ends[0].ifindex > 0 && ends[1].ifindex > 0 && streq(ends[0].kind, kind) &&
               streq(ends[1].kind, kind) && ends[0].other == ends[1].ifindex &&
               ends[1].other == ends[0].ifindex;
}

static int find_pair(Netlink *netlink, const char *const names[2], Device ends[2]) {
        int r;

        r = device_find(netlink, names[0], &ends[0]);
        return r < 0 ? r : device_find(netlink, names[1], &ends[1]);
}

static void put_end(struct nlmsghdr *message, struct ifinfomsg *header, const char *name) {
        header->ifi_flags = header->ifi_change = IFF_NOARP;
        mnl_attr_put_strz(message, IFLA_IFNAME, name);
        mnl_attr_put_u32(message, IFLA_MTU, DEVICE_MTU);
        device_mark(message);
}

static int create_pair(Netlink *netlink, const char *kind, const char *const names[2]) {
        DEVICE_REQUEST(buffer);
        struct nlmsghdr *message = device_request(buffer, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
        struct nlattr *information, *data, *peer;

        put_end(message, mnl_nlmsg_get_payload(message), names[0]);
        information = mnl_attr_nest_start(message, IFLA_LINKINFO);
        mnl_attr_put_strz(message, IFLA_INFO_KIND, kind);
        data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
        peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
        put_end(message, mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg)), names[1]);
        mnl_attr_nest_end(message, peer);
        mnl_attr_nest_end(message, data);
        mnl_attr_nest_end(message, information);

        return netlink_call(netlink, message, NULL, NULL);
}

/* Clears the way for a new pair: what is left of ours goes, what is not ours stays and is an error. */
static int remove_remains(Netlink *netlink, const char *kind, const Device ends[2]) {
        for (size_t i = 0; i < 2; i++)
                if (ends[i].ifindex > 0 && !(streq(ends[i].kind, kind) && ends[i].ours))
                        return -EEXIST;

        for (size_t i = 0; i < 2; i++) {
                int r = ends[i].ifindex > 0 ? device_delete(netlink, ends[i].ifindex) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

int device_ensure_pair(Netlink *netlink, const char *kind, const char *const names[2], Device ret[2],
                         bool *ret_created) {
        Device ends[2];
        bool created = false;
        int r;

        r = find_pair(netlink, names, ends);
        if (r < 0)
                return r;
        if (!is_pair(ends, kind)) {
                r = remove_remains(netlink, kind, ends);
                if (r >= 0)
                        r = create_pair(netlink, kind, names);
                for (size_t i = 0; r >= 0 && i < 2; i++)
                        r = device_find_made(netlink, names[i], &ends[i]);
                if (r < 0)
                        return r;
                if (!is_pair(ends, kind))
                        return -ENODEV;
                created = true;
        }

        for (size_t i = 0; i < 2; i++) {
                r = device_repair(netlink, &ends[i], DEVICE_MTU);
                if (r < 0) {
                        if (created)
                                (void) device_delete(netlink, ends[0].ifindex);
                        return r;
                }
        }
        memcpy(ret, ends, sizeof(ends));
        *ret_created = created;
        return 0;
}

int device_remove_pair(Netlink *netlink, const char *kind, const char *const names[2]) {
        Device ends[2];
        int r;

        r = find_pair(netlink, names, ends);
        if (r < 0)
                return r;

        /* One end takes the other along. An end that lost its peer's name is ours only when it says so. */
        if (is_pair(ends, kind) || (streq(ends[0].kind, kind) && ends[0].ours)) {
                r = device_delete(netlink, ends[0].ifindex);
                if (r < 0)
                        return r;
        }
        if (streq(ends[1].kind, kind) && ends[1].ours)
                return device_delete(netlink, ends[1].ifindex);
        return 0;
}

char *device_reason(const Netlink *netlink, int error) {
        const char *words = netlink_error(netlink);

        return strdup(*words ? words : MESSAGE_ERRNO(error));
}
