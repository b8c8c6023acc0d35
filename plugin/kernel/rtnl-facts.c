/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The snapshot of one link and its addresses, read by one request each for the link, IPv4 and IPv6.
 */

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <stdalign.h>
#include <sys/socket.h>

#include "kernel/rtnl-facts.h"
#include "kernel/rtnl.h"

enum {
        REQUEST_SIZE = 256,
        DUMP_ATTEMPTS = 8, /* of a dump that changes disturb while it is read */
};

typedef struct AddressDump {
        LinkFacts *facts;
        uint8_t family;
        size_t allocated;
} AddressDump;

static uint32_t attribute_u32(const struct nlattr *attribute) {
        return mnl_attr_validate(attribute, MNL_TYPE_U32) < 0 ? 0 : mnl_attr_get_u32(attribute);
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

        if (facts->addresses_count == dump->allocated) {
                size_t more = dump->allocated > 0 ? dump->allocated * 2 : 8;
                LinkAddress *larger;

                larger = reallocarray(facts->addresses, more, sizeof(*larger));
                if (!larger)
                        return NULL;
                facts->addresses = larger;
                dump->allocated = more;
        }
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

const char *link_type_name(const LinkFacts *facts) {
        static const struct {
                uint16_t type;
                const char *kind; /* NULL: any */
                const char *name;
        } types[] = {
                { ARPHRD_ETHER,    NULL,        "ether"     },
                { ARPHRD_LOOPBACK, NULL,        "loopback"  },
                { ARPHRD_PPP,      NULL,        "ppp"       },
                { ARPHRD_RAWIP,    NULL,        "wwan"      },
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

LinkFacts *link_facts_free(LinkFacts *facts) {
        if (!facts)
                return NULL;

        free(facts->addresses);
        free(facts);
        return NULL;
}

int rtnl_read_link(Netlink *request, uint32_t ifindex, LinkFacts **ret) {
        _cleanup_(link_facts_freep) LinkFacts *facts = NULL;
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

        r = netlink_call(request, message, read_link, facts);
        if (r < 0)
                return r;
        if (facts->ifindex != ifindex)
                return -EBADMSG;
        facts->type_name = link_type_name(facts);

        dump.facts = facts;
        r = dump_addresses(request, AF_INET, &dump);
        if (r < 0)
                return r;
        r = dump_addresses(request, AF_INET6, &dump);
        if (r < 0)
                return r;

        facts->type_name = link_type_name(facts);
        *ret = TAKE_PTR(facts);
        return 0;
}
