/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The one table of keys: what a connection profile can say, under which name in which source, with type,
 * range, default and help. Parsing, printing, validation, D-Bus properties, "underpassctl keys" and the
 * manual page read this table; a new key is one row, one field of Settings and the code that uses it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bpf/abi.h"

/* What the names of our keys begin with in NetworkManager's user.data. */
#define KEY_USER_DATA_PREFIX "underpass."

typedef enum TunnelMode {
        TUNNEL_NO,
        TUNNEL_YES,
        TUNNEL_AUTO,    /* attached while the link carries an MPTCP endpoint */
        TUNNEL_ON_DEMAND, /* attached, but used only to destinations on whose way MPTCP options get lost */
        _TUNNEL_MODE_MAX,
} TunnelMode;

/* Flags of the MPTCP endpoint, with the values of MPTCP_PM_ADDR_FLAG_* (linux/mptcp.h, from 5.6 on). */
enum {
        ENDPOINT_SIGNAL = 1U << 0,
        ENDPOINT_SUBFLOW = 1U << 1,
        ENDPOINT_BACKUP = 1U << 2,
        ENDPOINT_FULLMESH = 1U << 3,
};

typedef struct PortSet {
        size_t count;   /* sorted, not overlapping, not adjacent */
        struct underpass_port_range ranges[UNDERPASS_PORT_RANGES_MAX];
} PortSet;

typedef struct PrefixSet {
        size_t count;
        struct underpass_prefix prefixes[UNDERPASS_PREFIXES_MAX];
} PrefixSet;

typedef struct Mark {
        bool set;
        uint32_t value;
        uint32_t mask;
} Mark;

/* All settings of one link. Every field belongs to exactly one row of the table. */
typedef struct Settings {
        TunnelMode tunnel;
        PortSet remote_ports;
        PortSet local_ports;
        PrefixSet remote_addresses;
        Mark fwmark;
        bool mptcp_only;
        uint32_t mss;             /* 0: auto, from the MTU */
        uint32_t mtu;             /* 0: leave the MTU alone */
        uint32_t mptcp_endpoint;  /* ENDPOINT_*; 0: none, leave endpoints to others */
        bool fallback;            /* plain TCP where UDP gets no answer */
        uint32_t fallback_after;  /* SYNs over UDP without answer */
        uint32_t keepalive;       /* seconds; 0: leave sockets alone */
        enum underpass_receive receive; /* where datagrams become TCP */
        uint32_t sctp_udp_port;   /* 0: leave SCTP alone */
        uint32_t sctp_encap_port; /* 0: leave SCTP alone */
} Settings;

typedef enum KeyType {
        KEY_TUNNEL_MODE,  /* D-Bus "s" */
        KEY_PORT_SET,     /* D-Bus "a(qq)" */
        KEY_PREFIX_SET,   /* D-Bus "as" */
        KEY_MARK,         /* D-Bus "s" */
        KEY_BOOLEAN,      /* D-Bus "b" */
        KEY_NUMBER,       /* D-Bus "u"; 0 stands for the word in Key.zero_word */
        KEY_ENDPOINT,     /* D-Bus "as" */
        KEY_RECEIVE_MODE, /* D-Bus "s" */
        _KEY_TYPE_MAX,
} KeyType;

typedef enum KeyId {
        KEY_ID_TUNNEL,
        KEY_ID_REMOTE_PORTS,
        KEY_ID_LOCAL_PORTS,
        KEY_ID_REMOTE_ADDRESSES,
        KEY_ID_FWMARK,
        KEY_ID_MPTCP_ONLY,
        KEY_ID_MSS,
        KEY_ID_MTU,
        KEY_ID_MPTCP_ENDPOINT,
        KEY_ID_FALLBACK,
        KEY_ID_FALLBACK_AFTER,
        KEY_ID_KEEPALIVE,
        KEY_ID_RECEIVE,
        KEY_ID_SCTP_UDP_PORT,
        KEY_ID_SCTP_ENCAP_PORT,
        _KEY_ID_MAX,
} KeyId;

/* Begins the name of every key in NetworkManager's user.data. */
#define KEY_USER_DATA_PREFIX "underpass."

typedef struct Key {
        KeyId id;
        const char *name;          /* "remote-ports"; with KEY_USER_DATA_PREFIX before it in user.data */
        const char *section_name;  /* "RemotePorts" in files; also the name of the D-Bus property */
        KeyType type;
        size_t offset;             /* of the field in Settings */
        uint32_t minimum;          /* KEY_NUMBER: range of a value that is not the zero word */
        uint32_t maximum;
        const char *zero_word;     /* KEY_NUMBER: "auto", "no" …; NULL: 0 is no value */
        const char *default_text;  /* parsed by key_parse() itself, so it is always valid input */
        const char *range_text;    /* what is allowed, for messages and help (translatable, N_()) */
        const char *help;          /* one sentence that ends in a full stop (translatable) */
} Key;

/* Row number id, always valid for id < _KEY_ID_MAX. */
const Key *key_get(KeyId id);

/* Looks a key up by its name ("remote-ports"), by its name in user.data ("underpass.remote-ports") or by
 * its name in files ("RemotePorts"). NULL when there is none. */
const Key *key_find(const char *name);
const Key *key_find_user_data(const char *name);
const Key *key_find_section(const char *name);

/* The key that was probably meant by an unknown name (edit distance), or NULL. */
const Key *key_suggest(const char *name);

/* D-Bus signature of the key's type, and D-Bus independent tests. */
const char *key_signature(const Key *key);

/*
 * Parses a value into its field of *settings. text must be NUL terminated; it may be anything, also not
 * UTF-8. Returns 0, or -EINVAL (malformed), -ERANGE (out of range), -E2BIG (too many ranges or prefixes),
 * -ENOMEM; the field is untouched then and *ret_reason (never NULL after -EINVAL, -ERANGE, -E2BIG; caller
 * frees) says in one translated sentence what is wrong with the value, e.g. "port 70000 is not in 1 …
 * 65535".
 */
int key_parse(const Key *key, const char *text, Settings *settings, char **ret_reason);

/* The words, as opposed to numbers and addresses, that a value can be made of: 0, 1 … in the order in which
 * they are offered. NULL after the last one. */
const char *key_word(const Key *key, size_t number);

/* Prints the value so that key_parse() reads the same value back. NULL when out of memory. */
char *key_format(const Key *key, const Settings *settings);

/* True when both settings hold the same value for the key. */
bool key_equal(const Key *key, const Settings *a, const Settings *b);

/* All defaults. */
void settings_init(Settings *settings);

/* Port sets. */
bool port_set_contains(const PortSet *set, uint16_t port);
/* First range of a that overlaps first … last, or NULL. */
const struct underpass_port_range *port_set_overlap(const PortSet *set, uint16_t first, uint16_t last);

/* A safe excerpt of a hostile value for messages: at most 64 characters, control and invalid bytes as
 * \xNN. Caller frees. */
char *value_excerpt(const char *text);
