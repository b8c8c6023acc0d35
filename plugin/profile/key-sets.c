/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Values that are sets: ports and address prefixes. Both are kept in one canonical order, so equal sets are
 * equal bytes.
 */

#include <arpa/inet.h>

#include "base/i18n.h"
#include "profile/key-types.h"

enum {
        PORT_MAX = 65535,
        MAPPED_BITS = 96,    /* of ::ffff:0:0/96, in which IPv4 lives */
        IPV4_BITS = 32,
        IPV6_BITS = 128,
};

/* One bit a port: overlapping and neighbouring ranges join by themselves, and a hostile list costs no
 * memory. */
typedef struct PortMap {
        uint64_t words[(PORT_MAX + 1) / 64];
} PortMap;

static void port_map_add(PortMap *map, uint32_t first, uint32_t last) {
        for (uint32_t word = first / 64; word <= last / 64; word++) {
                uint64_t bits = UINT64_MAX;

                if (word == first / 64)
                        bits &= UINT64_MAX << (first % 64);
                if (word == last / 64)
                        bits &= UINT64_MAX >> (63 - last % 64);
                map->words[word] |= bits;
        }
}

static bool port_map_has(const PortMap *map, uint32_t port) {
        return map->words[port / 64] >> (port % 64) & 1;
}

static int port_refuse(char **ret_reason, Token token) {
        return refuse_token(ret_reason, -ERANGE, _("port %s is not in 1 … 65535"), token);
}

static int port_read(Token token, Token whole, uint32_t *ret, char **ret_reason) {
        uint32_t port;
        int r = token_decimal(token, &port);

        if (r == -EINVAL)
                return refuse_token(ret_reason, r,
                                    _("“%s” is neither a port nor a range of ports such as 8000-8080"),
                                    whole);
        if (r == -ERANGE || port == 0 || port > PORT_MAX)
                return port_refuse(ret_reason, token);
        *ret = port;
        return 0;
}

static int port_range_add(PortMap *map, Token token, char **ret_reason) {
        const char *dash = memchr(token.text, '-', token.length);
        Token first = { token.text, dash ? (size_t) (dash - token.text) : token.length }, last = first;
        uint32_t low = 0, high = 0;

        if (dash)
                last = (Token) { dash + 1, token.length - first.length - 1 };

        int r = port_read(first, token, &low, ret_reason);
        if (r < 0)
                return r;
        r = port_read(last, token, &high, ret_reason);
        if (r < 0)
                return r;
        if (low > high)
                return refuse(ret_reason, -EINVAL, _("range %u-%u is reversed; write %u-%u"), low, high,
                              high, low);
        port_map_add(map, low, high);
        return 0;
}

/* Counts all ranges; the first UNDERPASS_PORT_RANGES_MAX go into *set. */
static size_t port_map_ranges(const PortMap *map, PortSet *set, size_t *ret_ports) {
        size_t ranges = 0, ports = 0;

        for (uint32_t port = 1; port <= PORT_MAX; port++) {
                if (map->words[port / 64] == 0) {
                        port |= 63;
                        continue;
                }
                if (!port_map_has(map, port))
                        continue;

                const uint32_t first = port;
                while (port < PORT_MAX && port_map_has(map, port + 1))
                        port++;
                if (ranges < UNDERPASS_PORT_RANGES_MAX) {
                        set->ranges[ranges] = (struct underpass_port_range) { (uint16_t) first,
                                                                              (uint16_t) port };
                        set->count = ranges + 1;
                }
                ranges++;
                ports += port - first + 1;
        }
        *ret_ports = ports;
        return ranges;
}

static int ports_parse(const Key *key, const char *text, void *field, char **ret_reason) {
        PortMap map = { 0 };
        PortSet set = { 0 };
        size_t ports;
        Token token;

        for (const char *cursor = text; token_next(&cursor, &token);) {
                int r = port_range_add(&map, token, ret_reason);
                if (r < 0)
                        return r;
        }

        const size_t ranges = port_map_ranges(&map, &set, &ports);
        if (ranges > UNDERPASS_PORT_RANGES_MAX)
                return refuse(ret_reason, -E2BIG,
                              P_("%zu ports in %zu separate range; at most %d ranges, write neighbouring "
                                 "ports as FIRST-LAST",
                                 "%zu ports in %zu separate ranges; at most %d ranges, write neighbouring "
                                 "ports as FIRST-LAST",
                                 ranges),
                              ports, ranges, UNDERPASS_PORT_RANGES_MAX);
        *(PortSet *) field = set;
        return 0;
}

static void ports_format(const Key *key, const void *field, char *buffer, size_t size) {
        const PortSet *set = field;

        for (size_t i = 0; i < set->count; i++) {
                append(buffer, size, "%s%u", i > 0 ? "," : "", set->ranges[i].first);
                if (set->ranges[i].last != set->ranges[i].first)
                        append(buffer, size, "-%u", set->ranges[i].last);
        }
}

static bool ports_equal(const void *a, const void *b) {
        const PortSet *one = a, *other = b;

        return one->count == other->count &&
               memcmp(one->ranges, other->ranges, one->count * sizeof(one->ranges[0])) == 0;
}

const ValueType value_type_ports = { "a(qq)", sizeof(PortSet), ports_parse, ports_format, ports_equal,
                                      NULL };

const struct underpass_port_range *port_set_overlap(const PortSet *set, uint16_t first, uint16_t last) {
        for (size_t i = 0; i < set->count; i++)
                if (set->ranges[i].first <= last && set->ranges[i].last >= first)
                        return &set->ranges[i];
        return NULL;
}

bool port_set_contains(const PortSet *set, uint16_t port) {
        return port_set_overlap(set, port, port) != NULL;
}

static void mask_make(uint32_t mask[4], unsigned bits) {
        for (unsigned i = 0; i < 4; i++) {
                const unsigned here = bits <= i * 32 ? 0 : MIN_OF(bits - i * 32, 32U);

                mask[i] = here == 0 ? 0 : htonl(UINT32_MAX << (32 - here));
        }
}

static unsigned mask_bits(const uint32_t mask[4]) {
        unsigned bits = 0;

        for (unsigned i = 0; i < 4; i++)
                bits += (unsigned) __builtin_popcount(mask[i]);
        return bits;
}

/* True when the prefix lies inside ::ffff:0:0/96 (address first, then all of it). */
static bool prefix_is_ipv4(const struct underpass_prefix *prefix) {
        return prefix->address[0] == 0 && prefix->address[1] == 0 && prefix->address[2] == htonl(0xffff) &&
               mask_bits(prefix->mask) >= MAPPED_BITS;
}

static bool prefix_covers_ipv4(const struct underpass_prefix *prefix) {
        return mask_bits(prefix->mask) < MAPPED_BITS && prefix->address[0] == 0 && prefix->address[1] == 0 &&
               prefix->address[2] == (prefix->mask[2] & htonl(0xffff));
}

static void prefix_format(const struct underpass_prefix *prefix, char *buffer, size_t size) {
        char address[INET6_ADDRSTRLEN];
        const unsigned bits = mask_bits(prefix->mask);

        if (prefix_is_ipv4(prefix)) {
                (void) inet_ntop(AF_INET, &prefix->address[3], address, sizeof(address));
                append(buffer, size, "%s/%u", address, bits - MAPPED_BITS);
        } else {
                (void) inet_ntop(AF_INET6, prefix->address, address, sizeof(address));
                append(buffer, size, "%s/%u", address, bits);
        }
}

/* Splits ADDRESS[/LENGTH]; -EINVAL when it is none. Bits beyond the length stay in *ret_prefix. */
static int prefix_read(Token token, struct underpass_prefix *ret_prefix) {
        const char *slash = memchr(token.text, '/', token.length);
        const size_t length = slash ? (size_t) (slash - token.text) : token.length;
        struct underpass_prefix prefix = { 0 };
        char address[INET6_ADDRSTRLEN];
        uint32_t bits, most = IPV6_BITS, mapped = 0;

        if (length >= sizeof(address))
                return -EINVAL;
        memcpy(address, token.text, length);
        address[length] = 0;

        if (inet_pton(AF_INET, address, &prefix.address[3]) == 1) {
                prefix.address[2] = htonl(0xffff);
                most = IPV4_BITS;
                mapped = MAPPED_BITS;
        } else if (inet_pton(AF_INET6, address, prefix.address) != 1)
                return -EINVAL;

        bits = most;
        if (slash && token_decimal((Token) { slash + 1, token.length - length - 1 }, &bits) < 0)
                return -EINVAL;
        if (bits > most)
                return -ERANGE;

        mask_make(prefix.mask, mapped + bits);
        *ret_prefix = prefix;
        return 0;
}

static int prefix_parse(Token token, struct underpass_prefix *ret_prefix, char **ret_reason) {
        struct underpass_prefix prefix, clean;
        int r = prefix_read(token, &prefix);

        if (r == -ERANGE)
                return refuse_token(ret_reason, r,
                                    _("“%s” has a prefix length that is not in 0 … 32 (IPv4) or 0 … 128 "
                                      "(IPv6)"),
                                    token);
        if (r < 0)
                return refuse_token(ret_reason, r,
                                    _("“%s” is neither an IPv4 nor an IPv6 address or prefix"), token);

        clean = prefix;
        for (unsigned i = 0; i < 4; i++)
                clean.address[i] &= prefix.mask[i];
        if (memcmp(clean.address, prefix.address, sizeof(clean.address)) != 0) {
                _cleanup_(freep) char *given = string_excerpt(token.text, token.length,
                                                              INET6_ADDRSTRLEN + 4);
                char better[INET6_ADDRSTRLEN + 5] = "";

                if (!given)
                        return -ENOMEM;
                prefix_format(&clean, better, sizeof(better));
                return refuse(ret_reason, -EINVAL, _("%s has bits set beyond its prefix length; write %s"),
                              given, better);
        }
        /* The programs compare IPv4 in mapped form, so such a prefix would silently let all IPv4 in. */
        if (prefix_covers_ipv4(&clean))
                return refuse_token(ret_reason, -EINVAL,
                                    _("%s would take in all of IPv4; write 2000::/3 for the whole IPv6 "
                                      "Internet"),
                                    token);
        *ret_prefix = clean;
        return 0;
}

/* Keeps the set sorted and free of duplicates. */
static int prefix_insert(PrefixSet *set, const struct underpass_prefix *prefix) {
        size_t place = 0;

        while (place < set->count && memcmp(&set->prefixes[place], prefix, sizeof(*prefix)) < 0)
                place++;
        if (place < set->count && memcmp(&set->prefixes[place], prefix, sizeof(*prefix)) == 0)
                return 0;
        if (set->count == ELEMENTS(set->prefixes))
                return -E2BIG;

        memmove(&set->prefixes[place + 1], &set->prefixes[place], (set->count - place) * sizeof(*prefix));
        set->prefixes[place] = *prefix;
        set->count++;
        return 0;
}

static int prefixes_parse(const Key *key, const char *text, void *field, char **ret_reason) {
        PrefixSet set = { 0 };
        Token token;

        for (const char *cursor = text; token_next(&cursor, &token);) {
                struct underpass_prefix prefix;

                int r = prefix_parse(token, &prefix, ret_reason);
                if (r < 0)
                        return r;
                if (prefix_insert(&set, &prefix) < 0)
                        return refuse(ret_reason, -E2BIG,
                                      _("more than %d prefixes; join neighbouring networks into shorter "
                                        "prefixes"),
                                      UNDERPASS_PREFIXES_MAX);
        }
        *(PrefixSet *) field = set;
        return 0;
}

static void prefixes_format(const Key *key, const void *field, char *buffer, size_t size) {
        const PrefixSet *set = field;

        for (size_t i = 0; i < set->count; i++) {
                append(buffer, size, "%s", i > 0 ? "," : "");
                prefix_format(&set->prefixes[i], buffer, size);
        }
}

static bool prefixes_equal(const void *a, const void *b) {
        const PrefixSet *one = a, *other = b;

        return one->count == other->count &&
               memcmp(one->prefixes, other->prefixes, one->count * sizeof(one->prefixes[0])) == 0;
}

const ValueType value_type_prefixes = { "as", sizeof(PrefixSet), prefixes_parse, prefixes_format,
                                        prefixes_equal, NULL };

static const struct {
        const char *word;
        uint32_t flag;
} endpoint_words[] = {
        { "subflow", ENDPOINT_SUBFLOW },
        { "signal", ENDPOINT_SIGNAL },
        { "backup", ENDPOINT_BACKUP },
        { "fullmesh", ENDPOINT_FULLMESH },
};

static int endpoint_parse(const Key *key, const char *text, void *field, char **ret_reason) {
        uint32_t flags = 0;
        bool none = false;
        Token token;

        for (const char *cursor = text; token_next(&cursor, &token);) {
                size_t i = 0;

                if (token_equal(token, "none")) {
                        none = true;
                        continue;
                }
                while (i < ELEMENTS(endpoint_words) && !token_equal(token, endpoint_words[i].word))
                        i++;
                if (i == ELEMENTS(endpoint_words))
                        return refuse_token(ret_reason, -EINVAL, _("“%s” is no flag of an MPTCP endpoint"),
                                            token);
                flags |= endpoint_words[i].flag;
        }

        if (none && flags != 0)
                return refuse(ret_reason, -EINVAL, _("none cannot be combined with flags"));
        if ((flags & ENDPOINT_SIGNAL) && (flags & ENDPOINT_FULLMESH))
                return refuse(ret_reason, -EINVAL, _("the kernel refuses signal together with fullmesh"));
        *(uint32_t *) field = flags;
        return 0;
}

static void endpoint_format(const Key *key, const void *field, char *buffer, size_t size) {
        const uint32_t flags = *(const uint32_t *) field;

        for (size_t i = 0; i < ELEMENTS(endpoint_words); i++)
                if (flags & endpoint_words[i].flag)
                        append(buffer, size, "%s%s", *buffer ? "," : "", endpoint_words[i].word);
        if (flags == 0)
                append(buffer, size, "none");
}

static const char *endpoint_word(const Key *key, size_t number) {
        if (number == 0)
                return "none";
        return number <= ELEMENTS(endpoint_words) ? endpoint_words[number - 1].word : NULL;
}

static bool endpoint_equal(const void *a, const void *b) {
        return *(const uint32_t *) a == *(const uint32_t *) b;
}

const ValueType value_type_endpoint = { "as", sizeof(uint32_t), endpoint_parse, endpoint_format,
                                        endpoint_equal, endpoint_word };
