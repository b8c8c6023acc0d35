/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What can be said of addresses by themselves. See facts.h. */

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "base/util.h"
#include "plan/facts.h"

int address_from_text(const char *text, Address *ret) {
        Address address;
        uint32_t ipv4;

        if (inet_pton(AF_INET, text, &ipv4) == 1)
                address = address_from_ipv4(ipv4);
        else if (inet_pton(AF_INET6, text, address.word) != 1)
                return -EINVAL;
        *ret = address;
        return 0;
}

bool addresses_contain(const Address *addresses, size_t count, const Address *address) {
        for (size_t i = 0; i < count; i++)
                if (address_equal(&addresses[i], address))
                        return true;
        return false;
}

bool address_is_temporary(const LinkAddress *address) {
        return !address_is_ipv4(&address->address) && (address->flags & IFA_F_TEMPORARY) &&
               !(address->flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED));
}

bool endpoint_address_suitable(const LinkAddress *address) {
        static const struct {
                uint8_t bytes[2];
                uint8_t masks[2];
                bool ipv4;
        } refused[] = {
                { { 0, 0 },       { 0xff, 0 },    true },  /* "this host" */
                { { 127, 0 },     { 0xff, 0 },    true },  /* loopback */
                { { 169, 254 },   { 0xff, 0xff }, true },  /* link-local */
                { { 224, 0 },     { 0xe0, 0 },    true },  /* multicast and above */
                { { 0, 0 },       { 0xff, 0xff }, false }, /* unspecified, loopback, IPv4-compatible */
                { { 0xfe, 0x80 }, { 0xff, 0xc0 }, false }, /* link-local */
                { { 0xfc, 0 },    { 0xfe, 0 },    false }, /* unique local */
                { { 0xff, 0 },    { 0xff, 0 },    false }, /* multicast */
        };
        const bool ipv4 = address_is_ipv4(&address->address);
        const uint8_t *bytes = (const uint8_t *) &address->address.word[ipv4 ? 3 : 0];
        uint32_t unusable = IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;

        /* The same bit means "secondary" for IPv4, and secondary addresses are as good as others. */
        if (!ipv4)
                unusable |= IFA_F_TEMPORARY;
        if (address->scope != RT_SCOPE_UNIVERSE || (address->flags & unusable))
                return false;

        for (size_t i = 0; i < ELEMENTS(refused); i++)
                if (refused[i].ipv4 == ipv4 && (bytes[0] & refused[i].masks[0]) == refused[i].bytes[0] &&
                    (bytes[1] & refused[i].masks[1]) == refused[i].bytes[1])
                        return false;
        return true;
}
