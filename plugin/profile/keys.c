/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The table of keys, how a row is found, and how its value is read and printed. */

#include <assert.h>

#include "base/i18n.h"
#include "base/nearest.h"
#include "base/util.h"
#include "profile/keys.h"

/* In the order of settings.h. Without designators, so that a missing row fails the build. */
static const Key keys[] = {
        {
                .id = KEY_ID_TUNNEL,
                .name = "tunnel",
                .section_name = "Tunnel",
                .type = KEY_TUNNEL_MODE,
                .offset = offsetof(Settings, tunnel),
                .default_text = "no",
                .range_text = N_("no, yes, auto or on-demand"),
                .help = N_("Whether the link gets the tunnel; auto: while it carries an MPTCP endpoint; "
                           "on-demand: only for destinations whose path strips MPTCP options."),
        },
        {
                .id = KEY_ID_REMOTE_PORTS,
                .name = "remote-ports",
                .section_name = "RemotePorts",
                .type = KEY_PORT_SET,
                .offset = offsetof(Settings, remote_ports),
                .default_text = "",
                .range_text = N_("ports 1 … 65535 and ranges FIRST-LAST such as 443,8000-8080, at most "
                                 "32 ranges, or empty for none"),
                .help = N_("Server ports to which this host connects through the tunnel."),
        },
        {
                .id = KEY_ID_LOCAL_PORTS,
                .name = "local-ports",
                .section_name = "LocalPorts",
                .type = KEY_PORT_SET,
                .offset = offsetof(Settings, local_ports),
                .default_text = "",
                .range_text = N_("ports 1 … 65535 and ranges FIRST-LAST such as 443,8000-8080, at most "
                                 "32 ranges, or empty for none"),
                .help = N_("Ports of this host that accept connections both through the tunnel and "
                           "without it."),
        },
        {
                .id = KEY_ID_REMOTE_ADDRESSES,
                .name = "remote-addresses",
                .section_name = "RemoteAddresses",
                .type = KEY_PREFIX_SET,
                .offset = offsetof(Settings, remote_addresses),
                .default_text = "",
                .range_text = N_("IPv4 and IPv6 addresses and prefixes such as "
                                 "192.0.2.0/24,2001:db8::/32, at most 16, or empty for any"),
                .help = N_("Peers for which the tunnel is used."),
        },
        {
                .id = KEY_ID_FWMARK,
                .name = "fwmark",
                .section_name = "FirewallMark",
                .type = KEY_MARK,
                .offset = offsetof(Settings, fwmark),
                .default_text = "",
                .range_text = N_("a mark such as 0x10 or 16, a mark with mask such as 0x10/0xff, or "
                                 "empty for any"),
                .help = N_("Firewall mark that a connection of this host must carry to use the tunnel."),
        },
        {
                .id = KEY_ID_MPTCP_ONLY,
                .name = "mptcp-only",
                .section_name = "MPTCPOnly",
                .type = KEY_BOOLEAN,
                .offset = offsetof(Settings, mptcp_only),
                .default_text = "yes",
                .range_text = N_("yes or no"),
                .help = N_("Whether only connections whose SYN carries an MPTCP option use the tunnel."),
        },
        {
                .id = KEY_ID_MSS,
                .name = "mss",
                .section_name = "MSS",
                .type = KEY_NUMBER,
                .offset = offsetof(Settings, mss),
                .minimum = 536,
                .maximum = 9216,
                .zero_word = "auto",
                .default_text = "auto",
                .range_text = N_("auto or 536 … 9216"),
                .help = N_("Upper limit for the MSS in SYN and SYN-ACK, in bytes; auto: what fits the MTU "
                           "of the link and, once ICMP errors have reported it, the path MTU."),
        },
        {
                .id = KEY_ID_MTU,
                .name = "mtu",
                .section_name = "MTU",
                .type = KEY_NUMBER,
                .offset = offsetof(Settings, mtu),
                .minimum = 576,
                .maximum = 65535,
                .zero_word = "auto",
                .default_text = "auto",
                .range_text = N_("auto or 576 … 65535"),
                .help = N_("MTU of the link while the tunnel is attached, in bytes; auto: unchanged."),
        },
        {
                .id = KEY_ID_MPTCP_ENDPOINT,
                .name = "mptcp-endpoint",
                .section_name = "MPTCPEndpoint",
                .type = KEY_ENDPOINT,
                .offset = offsetof(Settings, mptcp_endpoint),
                .default_text = "none",
                .range_text = N_("none, or a list of subflow, signal, backup and fullmesh without signal "
                                 "and fullmesh together"),
                .help = N_("Flags of the MPTCP endpoints that are registered for the link once the "
                           "tunnel is attached; none: endpoints are left to other programs."),
        },
        {
                .id = KEY_ID_FALLBACK,
                .name = "fallback",
                .section_name = "Fallback",
                .type = KEY_BOOLEAN,
                .offset = offsetof(Settings, fallback),
                .default_text = "yes",
                .range_text = N_("yes or no"),
                .help = N_("Whether connections whose SYN gets no answer over UDP continue as plain TCP; "
                           "no: they never leave the tunnel."),
        },
        {
                .id = KEY_ID_FALLBACK_AFTER,
                .name = "fallback-after",
                .section_name = "FallbackAfter",
                .type = KEY_NUMBER,
                .offset = offsetof(Settings, fallback_after),
                .minimum = 1,
                .maximum = 10,
                .default_text = "2",
                .range_text = N_("1 … 10"),
                .help = N_("How many SYNs without an answer are sent over UDP before the next one is sent "
                           "as plain TCP."),
        },
        {
                .id = KEY_ID_KEEPALIVE,
                .name = "keepalive",
                .section_name = "KeepAlive",
                .type = KEY_NUMBER,
                .offset = offsetof(Settings, keepalive),
                .minimum = 5,
                .maximum = 7200,
                .zero_word = "no",
                .default_text = "25",
                .range_text = N_("no or 5 … 7200"),
                .help = N_("Seconds of silence after which a tunnelled connection sends a keepalive, so "
                           "that NATs do not forget it."),
        },
        {
                .id = KEY_ID_RECEIVE,
                .name = "receive",
                .section_name = "Receive",
                .type = KEY_RECEIVE_MODE,
                .offset = offsetof(Settings, receive),
                .default_text = "auto",
                .range_text = N_("auto, tc, gro, xdp or socket"),
                .help = N_("How received datagrams are converted: tc: individually, with the lowest "
                           "latency; gro: then coalesced by GRO; auto: gro for bulk data, tc for single "
                           "packets; xdp: before the driver's own GRO, where it has native XDP; socket: "
                           "bulk data by the driver's own GRO, with UDP sockets of the kernel: at "
                           "local-ports, which no other program can have then, and for connections to "
                           "remote-ports while bulk data comes."),
        },
        {
                .id = KEY_ID_BULK,
                .name = "bulk",
                .section_name = "Bulk",
                .type = KEY_BULK_MODE,
                .offset = offsetof(Settings, bulk),
                .default_text = "auto",
                .range_text = N_("auto, no or yes"),
                .help = N_("Whether bulk data goes to peers that run Underpass, too, as in a UDP tunnel: "
                           "that takes 28 bytes of each datagram (48 with IPv6), and much less CPU time; "
                           "auto: only on connections faster than 300 Mbit/s."),
        },
        {
                .id = KEY_ID_SCTP_UDP_PORT,
                .name = "sctp-udp-port",
                .section_name = "SCTPUDPPort",
                .type = KEY_NUMBER,
                .offset = offsetof(Settings, sctp_udp_port),
                .minimum = 1,
                .maximum = 65535,
                .zero_word = "no",
                .default_text = "no",
                .range_text = N_("no or 1 … 65535"),
                .help = N_("UDP port on which the host receives SCTP (RFC 6951: 9899) while the link is "
                           "up, with or without the tunnel; all links of a host share it."),
        },
        {
                .id = KEY_ID_SCTP_ENCAP_PORT,
                .name = "sctp-encap-port",
                .section_name = "SCTPEncapPort",
                .type = KEY_NUMBER,
                .offset = offsetof(Settings, sctp_encap_port),
                .minimum = 1,
                .maximum = 65535,
                .zero_word = "no",
                .default_text = "no",
                .range_text = N_("no or 1 … 65535"),
                .help = N_("UDP port of peers to which newly opened SCTP sockets send (RFC 6951: 9899); "
                           "needs sctp-udp-port; all links of a host share it."),
        },
};

ASSERT_TABLE_COMPLETE(keys, _KEY_ID_MAX);

const Key *key_get(KeyId id) {
        return &keys[id];
}

const Key *key_find(const char *name) {
        for (size_t i = 0; i < ELEMENTS(keys); i++)
                if (streq(keys[i].name, name))
                        return &keys[i];
        return NULL;
}

const Key *key_find_user_data(const char *name) {
        const size_t prefix = strlen(KEY_USER_DATA_PREFIX);

        return strncmp(name, KEY_USER_DATA_PREFIX, prefix) == 0 ? key_find(name + prefix) : NULL;
}

const Key *key_find_section(const char *name) {
        for (size_t i = 0; i < ELEMENTS(keys); i++)
                if (streq(keys[i].section_name, name))
                        return &keys[i];
        return NULL;
}

const Key *key_suggest(const char *name) {
        const size_t prefix = strlen(KEY_USER_DATA_PREFIX);
        const Key *best = NULL;

        if (strncasecmp(name, KEY_USER_DATA_PREFIX, prefix) == 0)
                name += prefix;

        size_t best_distance = nearest_limit(name) + 1;
        for (size_t i = 0; i < ELEMENTS(keys); i++) {
                size_t distance = MIN_OF(nearest_distance(name, keys[i].name),
                                         nearest_distance(name, keys[i].section_name));

                if (distance < best_distance) {
                        best_distance = distance;
                        best = &keys[i];
                }
        }
        return best;
}

bool key_is_list(const Key *key) {
        return value_is_list(key->type);
}

const char *key_signature(const Key *key) {
        return value_signature(key->type);
}

const char *key_word(const Key *key, size_t number) {
        return value_word(key, number);
}

int key_parse(const Key *key, const char *text, Settings *settings, char **ret_error) {
        Settings scratch = *settings;
        int r = value_parse(key, text, (uint8_t *) &scratch + key->offset, ret_error);

        if (r < 0)
                return r;
        memcpy((uint8_t *) settings + key->offset, (const uint8_t *) &scratch + key->offset,
               value_size(key->type));
        return 0;
}

char *key_format(const Key *key, const Settings *settings) {
        return value_format(key, (const uint8_t *) settings + key->offset);
}

void settings_init(Settings *settings) {
        *settings = (Settings) { 0 };

        for (size_t i = 0; i < ELEMENTS(keys); i++) {
                _cleanup_(freep) char *error = NULL;
                int r = key_parse(&keys[i], keys[i].default_text, settings, &error);

                /* Defaults are rows of this file, and a valid value needs no memory. */
                assert(r == 0);
                (void) r;
        }
}
