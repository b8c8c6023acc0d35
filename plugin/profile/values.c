/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Reads and prints values: first what all types share, then one type after the other. Sets are kept in one
 * canonical order, so that equal sets are equal bytes.
 */

#include <arpa/inet.h>
#include <stdio.h>

#include "base/message.h"
#include "base/util.h"
#include "profile/keys.h"

enum {
        VALUE_BYTES_MAX = 8192,         /* as long as NetworkManager lets a value of user.data be */
        VALUE_BYTES_READ = 1024 * 1024, /* more is not read to find a better message */
        EXCERPT_CHARACTERS = 64,
        FORMAT_BYTES = 1024,            /* enough for every value */
        PORT_MAX = 65535,
        MAPPED_BITS = 96,    /* of ::ffff:0:0/96, in which IPv4 lives */
        IPV4_BITS = 32,
        IPV6_BITS = 128,
};

static const char separators[] = ", \t\r\n";
static const char blanks[] = " \t\r\n";

/* A part of a value that was not copied out. */
typedef struct Token {
        const char *text;
        size_t length;
} Token;

char *value_excerpt(const char *text) {
        /* Bytes beyond what can show in the excerpt need no walk. */
        return string_excerpt(text, strnlen(text, EXCERPT_CHARACTERS * 4 + 1), EXCERPT_CHARACTERS);
}

static bool token_next(const char **cursor, Token *ret) {
        *cursor += strspn(*cursor, separators);
        if (**cursor == 0)
                return false;

        *ret = (Token) { *cursor, strcspn(*cursor, separators) };
        *cursor += ret->length;
        return true;
}

static bool token_equal(Token token, const char *word) {
        return strlen(word) == token.length && strncasecmp(token.text, word, token.length) == 0;
}

/* A leading zero is an error, because some programs would read it as octal. */
static bool token_is_octal(Token token) {
        return token.length > 1 && token.text[0] == '0';
}

static int token_decimal(Token token, uint32_t *ret) {
        uint64_t number = 0;

        if (token.length == 0 || token_is_octal(token))
                return -EINVAL;
        for (size_t i = 0; i < token.length; i++) {
                if (token.text[i] < '0' || token.text[i] > '9')
                        return -EINVAL;
                number = MIN_OF(number * 10 + (uint64_t) (token.text[i] - '0'), (uint64_t) UINT32_MAX + 1);
        }
        if (number > UINT32_MAX)
                return -ERANGE;
        *ret = (uint32_t) number;
        return 0;
}

/* Puts a sentence into *ret_error and returns code; -ENOMEM when there is no memory for it. */
static int value_error(char **ret_error, int code, const char *msgid, ...) {
        va_list arguments;

        va_start(arguments, msgid);
        char *error = message_vformat(msgid, arguments);
        va_end(arguments);
        if (!error)
                return -ENOMEM;
        *ret_error = error;
        return code;
}

/* Empty stands for an empty list; a lone comma is rather a value that got lost. */
static int list_check(const char *text, char **ret_error) {
        const char *cursor = text;
        Token token;

        if (token_next(&cursor, &token) || !strchr(text, ','))
                return 0;
        return value_error(ret_error, -EINVAL, N_("a comma without values; leave the value empty for none"));
}

/* The same for a sentence with one %s, which stands for a safe excerpt of the token. */
static int value_error_token(char **ret_error, int code, const char *format, Token token) {
        _cleanup_(freep) char *excerpt = string_excerpt(token.text, token.length, EXCERPT_CHARACTERS);

        return excerpt ? value_error(ret_error, code, format, excerpt) : -ENOMEM;
}

/* A token that should be a number. format: the sentence, as above, for one that is something else. */
static int number_error(char **ret_error, Token number, const char *format, Token token) {
        size_t digits = 0;

        while (digits < number.length && number.text[digits] >= '0' && number.text[digits] <= '9')
                digits++;
        if (digits == number.length && token_is_octal(number))
                return value_error_token(ret_error, -EINVAL,
                                         N_("“%s” begins with a zero, which some programs take for octal; "
                                            "leave the zero out"),
                                         number);
        return value_error_token(ret_error, -EINVAL, format, token);
}

/* Appends to a string in a buffer of size bytes; what does not fit is cut. */
static void value_append(char *buffer, size_t size, const char *format, ...) {
        const size_t used = strlen(buffer);
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(buffer + used, size - used, format, arguments);
        va_end(arguments);
}

/* The whole value without the blanks around it. */
static Token trimmed(const char *text) {
        text += strspn(text, blanks);
        size_t length = strlen(text);
        while (length > 0 && strchr(blanks, text[length - 1]))
                length--;
        return (Token) { text, length };
}

static const char *const tunnel_words[] = {
        [TUNNEL_NO] = "no",
        [TUNNEL_YES] = "yes",
        [TUNNEL_AUTO] = "auto",
        [TUNNEL_ON_DEMAND] = "on-demand",
};

ASSERT_TABLE_COMPLETE(tunnel_words, _TUNNEL_MODE_MAX);

static const char *const receive_words[] = {
        [UNDERPASS_RECEIVE_AUTO] = "auto",
        [UNDERPASS_RECEIVE_TC] = "tc",
        [UNDERPASS_RECEIVE_GRO] = "gro",
        [UNDERPASS_RECEIVE_XDP] = "xdp",
        [UNDERPASS_RECEIVE_SOCKET] = "socket",
};

ASSERT_TABLE_COMPLETE(receive_words, UNDERPASS_RECEIVE_COUNT);

static const char *const bulk_words[] = {
        [BULK_AUTO] = "auto",
        [BULK_NO] = "no",
        [BULK_YES] = "yes",
};

ASSERT_TABLE_COMPLETE(bulk_words, _BULK_MODE_MAX);

_Static_assert(sizeof(TunnelMode) == sizeof(uint32_t) &&
                       sizeof(enum underpass_receive) == sizeof(uint32_t) &&
                       sizeof(BulkMode) == sizeof(uint32_t),
               "choices are numbers of 32 bits");

/* One word out of several; the field is an enum that numbers them. NULL: there is no such number. */
static const char *choice_word(const Key *key, size_t number) {
        if (key->type == KEY_TUNNEL_MODE)
                return number < ELEMENTS(tunnel_words) ? tunnel_words[number] : NULL;
        if (key->type == KEY_BULK_MODE)
                return number < ELEMENTS(bulk_words) ? bulk_words[number] : NULL;
        return number < ELEMENTS(receive_words) ? receive_words[number] : NULL;
}

static int choice_parse(const Key *key, const char *text, void *field, char **ret_error) {
        Token token = trimmed(text);
        const char *word;

        for (uint32_t i = 0; (word = choice_word(key, i)); i++)
                if (token_equal(token, word)) {
                        memcpy(field, &i, sizeof(i));
                        return 0;
                }
        return value_error_token(ret_error, -EINVAL,
                                 key->type == KEY_TUNNEL_MODE
                                         ? N_("“%s” is neither no, yes, auto nor on-demand")
                                 : key->type == KEY_BULK_MODE ? N_("“%s” is neither auto, no nor yes")
                                         : N_("“%s” is neither auto, tc, gro, xdp nor socket"),
                                 token);
}

static void choice_format(const Key *key, const void *field, char *buffer, size_t size) {
        uint32_t i;

        memcpy(&i, field, sizeof(i));
        value_append(buffer, size, "%s", choice_word(key, i));
}

static int boolean_parse(const Key *key, const char *text, void *field, char **ret_error) {
        static const struct {
                const char *word;
                bool value;
        } words[] = {
                { "yes", true }, { "no", false }, { "true", true }, { "false", false },
                { "on", true },  { "off", false }, { "1", true },   { "0", false },
        };
        Token token = trimmed(text);

        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (token_equal(token, words[i].word)) {
                        *(bool *) field = words[i].value;
                        return 0;
                }
        return value_error_token(ret_error, -EINVAL, N_("“%s” is neither yes nor no"), token);
}

static void boolean_format(const Key *key, const void *field, char *buffer, size_t size) {
        value_append(buffer, size, "%s", *(const bool *) field ? "yes" : "no");
}

static const char *boolean_word(const Key *key, size_t number) {
        return number == 0 ? "yes" : number == 1 ? "no" : NULL;
}

static int number_parse(const Key *key, const char *text, void *field, char **ret_error) {
        Token token = trimmed(text);
        uint32_t number;

        if (key->zero_word && token_equal(token, key->zero_word)) {
                *(uint32_t *) field = 0;
                return 0;
        }

        int r = token_decimal(token, &number);
        if (r == -EINVAL)
                return number_error(ret_error, token, N_("“%s” is not a number"), token);
        /* 0 is another word for "no", but not for "auto". */
        if (r == 0 && number == 0 && key->zero_word && streq(key->zero_word, "no")) {
                *(uint32_t *) field = 0;
                return 0;
        }
        if (r == -ERANGE || number < key->minimum || number > key->maximum) {
                _cleanup_(freep) char *excerpt = string_excerpt(token.text, token.length,
                                                                EXCERPT_CHARACTERS);

                if (!excerpt)
                        return -ENOMEM;
                return value_error(ret_error, -ERANGE, N_("%s is not in %u … %u"), excerpt, key->minimum,
                                   key->maximum);
        }
        *(uint32_t *) field = number;
        return 0;
}

static void number_format(const Key *key, const void *field, char *buffer, size_t size) {
        const uint32_t number = *(const uint32_t *) field;

        if (number == 0 && key->zero_word)
                value_append(buffer, size, "%s", key->zero_word);
        else
                value_append(buffer, size, "%u", number);
}

static const char *number_word(const Key *key, size_t number) {
        return number == 0 ? key->zero_word : NULL;
}

/* 0x… or decimal. */
static int mark_number(Token token, uint32_t *ret) {
        uint32_t number = 0;

        if (token.length < 3 || token.text[0] != '0' || (token.text[1] | 0x20) != 'x')
                return token_decimal(token, ret);

        for (size_t i = 2; i < token.length; i++) {
                const char digit = token.text[i], letter = (char) (digit | 0x20);
                uint32_t value;

                if (digit >= '0' && digit <= '9')
                        value = (uint32_t) (digit - '0');
                else if (letter >= 'a' && letter <= 'f')
                        value = (uint32_t) (letter - 'a') + 10;
                else
                        return -EINVAL;
                if (number > UINT32_MAX >> 4)
                        return -ERANGE;
                number = number << 4 | value;
        }
        *ret = number;
        return 0;
}

static int mark_parse(const Key *key, const char *text, void *field, char **ret_error) {
        Token token = trimmed(text);
        Mark mark = { .set = true, .mask = UINT32_MAX };

        if (token.length == 0) {
                *(Mark *) field = (Mark) { 0 };
                return 0;
        }

        const char *slash = memchr(token.text, '/', token.length);
        Token value = { token.text, slash ? (size_t) (slash - token.text) : token.length };
        int r = mark_number(value, &mark.value);
        if (r == 0 && slash)
                r = mark_number((Token) { slash + 1, token.length - value.length - 1 }, &mark.mask);
        if (r == -ERANGE)
                return value_error_token(ret_error, r, N_("“%s” does not fit 32 bits"), token);
        if (r < 0)
                return value_error_token(ret_error, r,
                                         N_("“%s” is not a mark such as 0x10, 16 or 0x10/0xff"), token);
        if (mark.mask == 0)
                return value_error(ret_error, -ERANGE,
                                   N_("mask 0 would match every packet; leave the value empty for that"));
        if ((mark.value & ~mark.mask) != 0)
                return value_error(ret_error, -ERANGE,
                                   N_("mark %#x has bits outside mask %#x, so no packet could match"),
                                   mark.value, mark.mask);
        *(Mark *) field = mark;
        return 0;
}

static void mark_format(const Key *key, const void *field, char *buffer, size_t size) {
        const Mark *mark = field;

        if (!mark->set)
                return;
        value_append(buffer, size, "0x%x", mark->value);
        if (mark->mask != UINT32_MAX)
                value_append(buffer, size, "/0x%x", mark->mask);
}

/* One bit per port: overlapping and neighbouring ranges join by themselves, and a hostile list costs no
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

static int port_error(char **ret_error, Token token) {
        return value_error_token(ret_error, -ERANGE, N_("port %s is not in 1 … 65535"), token);
}

static int port_read(Token token, Token whole, uint32_t *ret, char **ret_error) {
        uint32_t port;
        int r = token_decimal(token, &port);

        if (r == -EINVAL)
                return number_error(ret_error, token,
                                    N_("“%s” is neither a port nor a range of ports such as 8000-8080"),
                                    whole);
        if (r == -ERANGE || port == 0 || port > PORT_MAX)
                return port_error(ret_error, token);
        *ret = port;
        return 0;
}

static int port_range_add(PortMap *map, Token token, char **ret_error) {
        const char *dash = memchr(token.text, '-', token.length);
        Token first = { token.text, dash ? (size_t) (dash - token.text) : token.length }, last = first;
        uint32_t low = 0, high = 0;

        if (dash)
                last = (Token) { dash + 1, token.length - first.length - 1 };

        int r = port_read(first, token, &low, ret_error);
        if (r < 0)
                return r;
        r = port_read(last, token, &high, ret_error);
        if (r < 0)
                return r;
        if (low > high)
                return value_error(ret_error, -EINVAL, N_("range %u-%u is reversed; write %u-%u"), low, high,
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

static int ports_parse(const Key *key, const char *text, void *field, char **ret_error) {
        PortMap map = { 0 };
        PortSet set = { 0 };
        size_t ports;
        Token token;

        for (const char *cursor = text; token_next(&cursor, &token);) {
                int r = port_range_add(&map, token, ret_error);
                if (r < 0)
                        return r;
        }

        const size_t ranges = port_map_ranges(&map, &set, &ports);
        if (ranges > UNDERPASS_PORT_RANGES_MAX)
                return value_error(ret_error, -E2BIG,
                                   N_("%zu ports in %zu separate ranges; at most %d ranges, write "
                                      "neighbouring ports as FIRST-LAST"),
                                   ports, ranges, UNDERPASS_PORT_RANGES_MAX);
        *(PortSet *) field = set;
        return 0;
}

static void ports_format(const Key *key, const void *field, char *buffer, size_t size) {
        const PortSet *set = field;

        for (size_t i = 0; i < set->count; i++) {
                value_append(buffer, size, "%s%u", i > 0 ? "," : "", set->ranges[i].first);
                if (set->ranges[i].last != set->ranges[i].first)
                        value_append(buffer, size, "-%u", set->ranges[i].last);
        }
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
                value_append(buffer, size, "%s/%u", address, bits - MAPPED_BITS);
        } else {
                (void) inet_ntop(AF_INET6, prefix->address, address, sizeof(address));
                value_append(buffer, size, "%s/%u", address, bits);
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

static bool prefix_is_multicast(const struct underpass_prefix *prefix) {
        if (prefix_is_ipv4(prefix))
                return (ntohl(prefix->address[3]) & 0xf0000000) == 0xe0000000 &&
                       mask_bits(prefix->mask) >= MAPPED_BITS + 4;
        return (ntohl(prefix->address[0]) & 0xff000000) == 0xff000000 && mask_bits(prefix->mask) >= 8;
}

static int prefix_parse(Token token, struct underpass_prefix *ret_prefix, char **ret_error) {
        struct underpass_prefix prefix, clean;
        int r = prefix_read(token, &prefix);

        if (r == -ERANGE)
                return value_error_token(ret_error, r,
                                         N_("“%s” has a prefix length that is not in 0 … 32 (IPv4) or 0 … "
                                            "128 (IPv6)"),
                                         token);
        if (r < 0)
                return value_error_token(ret_error, r,
                                         N_("“%s” is neither an IPv4 nor an IPv6 address or prefix"), token);

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
                return value_error(ret_error, -EINVAL,
                                   N_("%s has bits set beyond its prefix length; write %s"), given, better);
        }
        /* The programs compare IPv4 in mapped form, so this prefix would silently include all of IPv4. */
        if (prefix_covers_ipv4(&clean))
                return value_error_token(ret_error, -EINVAL,
                                         N_("%s would take in all of IPv4; write 2000::/3 for the whole "
                                            "IPv6 Internet"),
                                         token);
        if (prefix_is_multicast(&clean))
                return value_error_token(ret_error, -EINVAL,
                                         N_("%s is a multicast address, to which no connection goes"),
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

static int prefixes_parse(const Key *key, const char *text, void *field, char **ret_error) {
        PrefixSet set = { 0 };
        Token token;

        for (const char *cursor = text; token_next(&cursor, &token);) {
                struct underpass_prefix prefix;

                int r = prefix_parse(token, &prefix, ret_error);
                if (r < 0)
                        return r;
                if (prefix_insert(&set, &prefix) < 0)
                        return value_error(ret_error, -E2BIG,
                                           N_("more than %d prefixes; join neighbouring networks into "
                                              "shorter prefixes"),
                                           UNDERPASS_PREFIXES_MAX);
        }
        *(PrefixSet *) field = set;
        return 0;
}

static void prefixes_format(const Key *key, const void *field, char *buffer, size_t size) {
        const PrefixSet *set = field;

        for (size_t i = 0; i < set->count; i++) {
                value_append(buffer, size, "%s", i > 0 ? "," : "");
                prefix_format(&set->prefixes[i], buffer, size);
        }
}

static const struct {
        const char *word;
        uint32_t flag;
} endpoint_words[] = {
        { "subflow", ENDPOINT_SUBFLOW },
        { "signal", ENDPOINT_SIGNAL },
        { "backup", ENDPOINT_BACKUP },
        { "fullmesh", ENDPOINT_FULLMESH },
};

static int endpoint_parse(const Key *key, const char *text, void *field, char **ret_error) {
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
                        return value_error_token(ret_error, -EINVAL,
                                                 N_("“%s” is not a flag of an MPTCP endpoint"), token);
                flags |= endpoint_words[i].flag;
        }

        if (none && flags != 0)
                return value_error(ret_error, -EINVAL, N_("none cannot be combined with flags"));
        if ((flags & ENDPOINT_SIGNAL) && (flags & ENDPOINT_FULLMESH))
                return value_error(ret_error, -EINVAL,
                                   N_("the kernel refuses signal together with fullmesh"));
        *(uint32_t *) field = flags;
        return 0;
}

static void endpoint_format(const Key *key, const void *field, char *buffer, size_t size) {
        const uint32_t flags = *(const uint32_t *) field;

        for (size_t i = 0; i < ELEMENTS(endpoint_words); i++)
                if (flags & endpoint_words[i].flag)
                        value_append(buffer, size, "%s%s", *buffer ? "," : "", endpoint_words[i].word);
        if (flags == 0)
                value_append(buffer, size, "none");
}

static const char *endpoint_word(const Key *key, size_t number) {
        if (number == 0)
                return "none";
        return number <= ELEMENTS(endpoint_words) ? endpoint_words[number - 1].word : NULL;
}


/* How values of one type are read and printed. */
typedef struct ValueType {
        bool list;              /* of words between commas or blanks */
        const char *signature;  /* of D-Bus */
        size_t size;            /* of the field */
        int (*parse)(const Key *key, const char *text, void *field, char **ret_error);
        void (*format)(const Key *key, const void *field, char *buffer, size_t size);
        const char *(*word)(const Key *key, size_t number);  /* NULL: no words at all */
} ValueType;

static const ValueType value_types[] = {
        [KEY_TUNNEL_MODE] = { false, "s", sizeof(uint32_t), choice_parse, choice_format, choice_word },
        [KEY_PORT_SET] = { true, "a(qq)", sizeof(PortSet), ports_parse, ports_format, NULL },
        [KEY_PREFIX_SET] = { true, "as", sizeof(PrefixSet), prefixes_parse, prefixes_format, NULL },
        [KEY_MARK] = { false, "s", sizeof(Mark), mark_parse, mark_format, NULL },
        [KEY_BOOLEAN] = { false, "b", sizeof(bool), boolean_parse, boolean_format, boolean_word },
        [KEY_NUMBER] = { false, "u", sizeof(uint32_t), number_parse, number_format, number_word },
        [KEY_ENDPOINT] = { true, "as", sizeof(uint32_t), endpoint_parse, endpoint_format, endpoint_word },
        [KEY_RECEIVE_MODE] = { false, "s", sizeof(uint32_t), choice_parse, choice_format, choice_word },
        [KEY_BULK_MODE] = { false, "s", sizeof(uint32_t), choice_parse, choice_format, choice_word },
};

ASSERT_TABLE_COMPLETE(value_types, _KEY_TYPE_MAX);

const char *value_signature(KeyType type) {
        return value_types[type].signature;
}

size_t value_size(KeyType type) {
        return value_types[type].size;
}

bool value_is_list(KeyType type) {
        return value_types[type].list;
}

const char *value_word(const Key *key, size_t number) {
        const ValueType *type = &value_types[key->type];

        return type->word ? type->word(key, number) : NULL;
}

int value_parse(const Key *key, const char *text, void *field, char **ret_error) {
        const size_t length = strnlen(text, VALUE_BYTES_READ + 1);

        if (length > VALUE_BYTES_READ)
                return value_error(ret_error, -E2BIG, N_("the value is longer than %d bytes"),
                                   VALUE_BYTES_MAX);
        if (!utf8_valid(text, length))
                return value_error(ret_error, -EINVAL, N_("the value is not UTF-8 text"));

        int r = value_is_list(key->type) ? list_check(text, ret_error) : 0;
        if (r == 0)
                r = value_types[key->type].parse(key, text, field, ret_error);
        if (r < 0)
                return r;
        /* Only now, because "too many ports" tells more than "too long". */
        if (length > VALUE_BYTES_MAX)
                return value_error(ret_error, -E2BIG,
                                   N_("the value is %zu bytes long; at most %d bytes are allowed"), length,
                                   VALUE_BYTES_MAX);
        return 0;
}

char *value_format(const Key *key, const void *field) {
        char buffer[FORMAT_BYTES] = "";

        value_types[key->type].format(key, field, buffer, sizeof(buffer));
        return strdup(buffer);
}
