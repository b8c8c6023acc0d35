/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the keys of a profile set: one field for each key, and the types of the fields. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

/* What leaves in the bulk form, to peers that take it (bpf/bulk.h). */
typedef enum BulkMode {
        BULK_AUTO, /* fast flows */
        BULK_NO,
        BULK_YES,
        _BULK_MODE_MAX,
} BulkMode;

typedef enum TunnelMode {
        TUNNEL_NO,
        TUNNEL_YES,
        TUNNEL_AUTO,      /* attached while the link carries an MPTCP endpoint */
        TUNNEL_ON_DEMAND, /* attached, but used only for destinations whose path strips MPTCP options */
        _TUNNEL_MODE_MAX,
} TunnelMode;

/* Flags of the MPTCP endpoint, with the values of MPTCP_PM_ADDR_FLAG_* (linux/mptcp.h, from 5.6 on). */
enum {
        ENDPOINT_SIGNAL = 1U << 0,
        ENDPOINT_SUBFLOW = 1U << 1,
        ENDPOINT_BACKUP = 1U << 2,
        ENDPOINT_FULLMESH = 1U << 3,
};

/* What the MTU has beyond the MSS: headers without options. */
enum {
        IPV4_AND_TCP_BYTES = 40,
        IPV6_AND_TCP_BYTES = 60,
};

typedef struct PortSet {
        size_t count;   /* sorted, not overlapping, not adjacent */
        struct underpass_port_range ranges[UNDERPASS_PORT_RANGES_MAX];
} PortSet;

typedef struct PrefixSet {
        size_t count;   /* sorted, without duplicates */
        struct underpass_prefix prefixes[UNDERPASS_PREFIXES_MAX];
} PrefixSet;

typedef struct Mark {
        bool set;
        uint32_t value;
        uint32_t mask;
} Mark;

/* One line for each key: KEY_ID_…, type and name of the field. The table in keys.c has the rest. */
#define SETTINGS_FIELDS(FIELD)                                                                              \
        FIELD(TUNNEL, TunnelMode, tunnel)                                                                   \
        FIELD(REMOTE_PORTS, PortSet, remote_ports)                                                          \
        FIELD(LOCAL_PORTS, PortSet, local_ports)                                                            \
        FIELD(REMOTE_ADDRESSES, PrefixSet, remote_addresses)                                                \
        FIELD(FWMARK, Mark, fwmark)                                                                         \
        FIELD(MPTCP_ONLY, bool, mptcp_only)                                                                 \
        FIELD(MSS, uint32_t, mss)                       /* bytes; 0: auto, from the MTU */                  \
        FIELD(MTU, uint32_t, mtu)                       /* bytes; 0: leave the MTU alone */                 \
        FIELD(MPTCP_ENDPOINT, uint32_t, mptcp_endpoint) /* ENDPOINT_*; 0: leave endpoints to others */      \
        FIELD(FALLBACK, bool, fallback)                 /* to plain TCP where UDP gets no answer */         \
        FIELD(FALLBACK_AFTER, uint32_t, fallback_after) /* SYNs over UDP without an answer */               \
        FIELD(KEEPALIVE, uint32_t, keepalive)           /* seconds; 0: leave sockets alone */               \
        FIELD(RECEIVE, enum underpass_receive, receive) /* where datagrams become TCP */                    \
        FIELD(BULK, BulkMode, bulk)                     /* what is sent in the bulk form */              \
        FIELD(SCTP_UDP_PORT, uint32_t, sctp_udp_port)   /* 0: leave SCTP alone */                           \
        FIELD(SCTP_ENCAP_PORT, uint32_t, sctp_encap_port) /* 0: leave SCTP alone */

#define SETTINGS_STRUCT_FIELD(id, type, field) type field;
#define SETTINGS_KEY_ID(id, type, field) KEY_ID_##id,

/* All settings of one link. */
typedef struct Settings {
        SETTINGS_FIELDS(SETTINGS_STRUCT_FIELD)
} Settings;

typedef enum KeyId {
        SETTINGS_FIELDS(SETTINGS_KEY_ID)
        _KEY_ID_MAX,
} KeyId;

/* The first range of a set that overlaps first … last, or NULL. */
static inline const struct underpass_port_range *port_set_overlap(const PortSet *set, uint16_t first,
                                                                   uint16_t last) {
        for (size_t i = 0; i < set->count; i++)
                if (set->ranges[i].first <= last && set->ranges[i].last >= first)
                        return &set->ranges[i];
        return NULL;
}

static inline bool port_set_contains(const PortSet *set, uint16_t port) {
        return port_set_overlap(set, port, port) != NULL;
}

/* address: as in struct underpass_prefix. */
static inline bool prefix_set_contains(const PrefixSet *set, const uint32_t address[4]) {
        for (size_t i = 0; i < set->count; i++) {
                const struct underpass_prefix *prefix = &set->prefixes[i];
                uint32_t different = 0;

                for (size_t word = 0; word < 4; word++)
                        different |= (address[word] & prefix->mask[word]) ^ prefix->address[word];
                if (different == 0)
                        return true;
        }
        return false;
}

/* Whether the tunnel is for connections of this host to there, as far as ports and addresses say; so decide
 * the programs (flow_matches() in bpf/flow.h). */
static inline bool settings_cover(const Settings *settings, const uint32_t address[4], uint16_t port) {
        return port_set_contains(&settings->remote_ports, port) &&
               (settings->remote_addresses.count == 0 ||
                prefix_set_contains(&settings->remote_addresses, address));
}
