/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Facts about the world, as plain structs: what the L3 rooms read and what the pure planning needs.
 */

#include <arpa/inet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Network order; IPv4 as ::ffff:a.b.c.d, as everywhere between the rooms. */
typedef struct Address {
        uint32_t word[4];
} Address;

static inline bool address_is_ipv4(const Address *address) {
        const uint8_t *bytes = (const uint8_t *) address->word;
        return address->word[0] == 0 && address->word[1] == 0 && bytes[8] == 0 && bytes[9] == 0 &&
               bytes[10] == 0xff && bytes[11] == 0xff;
}

static inline bool address_equal(const Address *a, const Address *b) {
        return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] &&
               a->word[3] == b->word[3];
}

bool addresses_contain(const Address *addresses, size_t count, const Address *address);

/* The mapped form of an IPv4 address in network order; word[3] of the result is that address again. */
static inline Address address_from_ipv4(uint32_t ipv4) {
        return (Address) { .word = { 0, 0, htonl(0xffff), ipv4 } };
}

/* The address as text, in buffer. */
static inline const char *address_text(const Address *address, char buffer[static INET6_ADDRSTRLEN]) {
        return address_is_ipv4(address) ? inet_ntop(AF_INET, &address->word[3], buffer, INET6_ADDRSTRLEN) :
                                          inet_ntop(AF_INET6, address->word, buffer, INET6_ADDRSTRLEN);
}

/* The address that a text says, IPv4 or IPv6. -EINVAL */
int address_from_text(const char *text, Address *ret);

/* One address of a link, as rtnetlink tells it. */
typedef struct LinkAddress {
        Address address;
        uint32_t flags;       /* IFA_F_* (linux/if_addr.h) */
        uint8_t scope;        /* RT_SCOPE_* */
        uint8_t prefix_length; /* of the IPv4 or IPv6 address, not of the mapped form */
} LinkAddress;

/* True when the address can be an MPTCP endpoint: global scope, usable (not tentative, not deprecated,
 * not temporary), not loopback, link-local, or unique local (fc00::/7) — the rules of NetworkManager. */
bool endpoint_address_suitable(const LinkAddress *address);

/* True for a usable temporary address (RFC 8981). Connections begin from such a one where there is one, and
 * it is no endpoint. */
bool address_is_temporary(const LinkAddress *address);

typedef enum FactsFamily {
        FACTS_IPV4,
        FACTS_IPV6,
        _FACTS_FAMILY_MAX,
} FactsFamily;

typedef struct LinkFacts {
        uint32_t ifindex;
        char name[IF_NAMESIZE];
        uint16_t type;        /* ARPHRD_* */
        uint32_t flags;       /* IFF_* */
        uint32_t mtu;
        uint32_t minimum_mtu; /* IFLA_MIN_MTU, 0 when the kernel does not tell */
        uint32_t maximum_mtu;
        uint32_t upper;       /* the link that it is a port of, such as a bridge; 0: none */
        char kind[16];        /* IFLA_INFO_KIND: "veth", "wireguard", …; "" for hardware */
        const char *type_name; /* "ether", "wwan", "ppp" …: what [Match] Type= compares; static string */
        LinkAddress *addresses;
        size_t addresses_count;
        Address gateways[_FACTS_FAMILY_MAX]; /* by which the link reaches the rest of the world; 0: none */
} LinkFacts;

/* An MPTCP path manager endpoint of this network namespace. */
typedef struct MptcpEndpoint {
        Address address;
        uint8_t id;
        uint32_t flags;       /* MPTCP_PM_ADDR_FLAG_*, see ENDPOINT_* in keys.h */
        uint32_t ifindex;     /* 0: not bound to a link */
        uint16_t port;        /* host order, 0: none */
} MptcpEndpoint;
