/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
#pragma once

/*
 * What the BPF programs and the service agree upon: the layout of every map, the limits and the counters.
 *
 * Compiled by clang for BPF and by gcc or clang
 * for the host, so no pointer, no padding that is not named, no type whose width depends on the machine. Any
 * change of a layout bumps UNDERPASS_ABI_VERSION: the service then loads afresh instead of adopting old
 * pins. Two things outlive that and have versions of their own: flows, and the records of what was changed
 * on the host. Both only ever grow at their ends; what is 0 there says nothing.
 *
 * Byte order: ports inside flow keys and all addresses are in network order, everything else in host order.
 */

#include <linux/types.h>

#define UNDERPASS_ABI_VERSION 18

/* Of struct underpass_flow_key and underpass_flow. A field that is appended does not change it; another
 * meaning, place or key does, and all flows are learnt again then. */
#define UNDERPASS_FLOW_VERSION 1

/* Of struct underpass_saved and underpass_saved_sctp. Each change is another version, and each version keeps
 * its reader: plugin/tunnel/layout.c. */
#define UNDERPASS_RECORD_VERSION 1
#define UNDERPASS_RECORD_SCTP_VERSION 1

enum {
        UNDERPASS_LINKS_MAX = 1024, /* links that can be attached at a time in one network namespace */
        UNDERPASS_FLOWS_MAX = 65536, /* flows remembered; beyond it the least recently used one goes */
        UNDERPASS_HALF_OPEN_MAX = 16384, /* flows whose handshake is not finished */
        UNDERPASS_DESTINATIONS_MAX = 8192, /* destinations whose behaviour is remembered */
        /* Addresses that sockets of this host connect from. Each CPU sets 128 free entries of an LRU hash
         * aside (bpf_lru_list.c, before 6.16), so a large host needs room for many though it has few. */
        UNDERPASS_SOURCES_MAX = 8192,
        UNDERPASS_BLOCKED_SECONDS = 10, /* a destination that UDP does not reach is left in peace, … */
        UNDERPASS_BLOCKED_SECONDS_MAX = 600, /* … twice as long each time, but not longer than this */
        UNDERPASS_UNCERTAIN_SIZE = 65536, /* bytes of the ring "uncertain": a page of every machine */
        UNDERPASS_UNANSWERED_SIZE = 65536, /* bytes of the ring "unanswered", likewise */
        UNDERPASS_UNMERGED_SIZE = 65536, /* bytes of the ring "unmerged", likewise */
        UNDERPASS_FAILURES_APART_MS = 200, /* failures closer together count as one */
        UNDERPASS_PATH_MTU_SECONDS = 600, /* a path MTU told by ICMP limits the MSS, as in the kernel */
        UNDERPASS_LACKING_SECONDS = 3600, /* a server without MPTCP is not watched */
        UNDERPASS_SPOKEN_SECONDS = 86400, /* that a server has MPTCP is remembered */
        UNDERPASS_THROTTLED_SECONDS = 600, /* a limit of UDP on the way is told of for so long */
        UNDERPASS_BULK_WANTED_SECONDS = 3600, /* a flow was fast enough for it */
        UNDERPASS_BULK_GIVEN_UP_SECONDS = 3600, /* the way swallows the bulk form */
        UNDERPASS_STRIPPED_SECONDS = 3600, /* an on-demand link tunnels to where MPTCP got lost */
        UNDERPASS_PORT_RANGES_MAX = 32, /* ranges of one port set */
        UNDERPASS_PREFIXES_MAX = 16, /* prefixes of remote-addresses */
        UNDERPASS_SAVED_ENDPOINTS_MAX = 16,
        UNDERPASS_SEGMENT_VLAN =
                4094, /* VLAN id by which packets come back from an 8021q segmentation device */
        UNDERPASS_GRO_LENGTH = 512, /* datagrams of at least so many bytes are worth merging */
        UNDERPASS_GRO_LINGER_MS = 20, /* so long after it the smaller ones of the flow go the same way */
        UNDERPASS_RESETS_MAX = 100, /* resets a second and link for connections that nobody here knows */
        UNDERPASS_BULK_ARRIVED_MS = 150, /* so long the peer hears that a bulk datagram has arrived */
        UNDERPASS_BULK_RATE = 37500, /* bytes a millisecond (300 Mbit/s): slower flows stay classic */
        UNDERPASS_CUT_LINGER_MS = 20, /* so long after merged ones the single ones go to be cut, too */
        UNDERPASS_BULK_SINGLES = 32, /* datagrams that came one by one make a flow worth a tunnel socket */
        UNDERPASS_BULK_TOLD_APART = 10, /* 1.07 seconds each: between two times that the service is told */
        UNDERPASS_SOCKETS_MAX = 1024, /* tunnel sockets of the kernel in one network namespace */
        UNDERPASS_SOCKET_WORDS = 65536 / 64, /* of the ports of UDP, a bit for each */
        UNDERPASS_MEMORY_MB = 26,      /* what all programs and maps take, … */
        UNDERPASS_MEMORY_CPU_KB = 380, /* … and as much more for each possible CPU; a test measures both */
};

/* An inclusive range of ports, host order, first <= last, first >= 1. */
struct underpass_port_range {
        __u16 first;
        __u16 last;
};

/* An address prefix, network order; IPv4 as ::ffff:a.b.c.d. Bits outside the mask are 0 in address. */
struct underpass_prefix {
        __u32 address[4];
        __u32 mask[4];
};

enum underpass_link_flag {
        UNDERPASS_LINK_MPTCP_ONLY = 1U << 0,   /* only flows whose SYN has an MPTCP option (kind 30) */
        UNDERPASS_LINK_FWMARK = 1U << 1,       /* of ours only SYNs with (skb->mark & mark_mask) == mark */
        UNDERPASS_LINK_FALLBACK = 1U << 2,     /* plain TCP where UDP gets no answer */
        UNDERPASS_LINK_ON_DEMAND = 1U << 3,    /* tunnel only to where MPTCP options get lost */
        UNDERPASS_LINK_MSS_AUTO = 1U << 4,     /* mss_… come from the MTU: a smaller path MTU lowers them */
        UNDERPASS_LINK_BULK = 1U << 5,         /* for the slot; no program reads it */
        UNDERPASS_LINK_BULK_ALL = 1U << 6,     /* likewise */
};

/* Where datagrams become TCP again. */
enum underpass_receive {
        UNDERPASS_RECEIVE_AUTO, /* bulk is merged, single packets are not */
        UNDERPASS_RECEIVE_TC,   /* one by one, at once: the lowest latency */
        UNDERPASS_RECEIVE_GRO,  /* everything through the GRO pair */
        UNDERPASS_RECEIVE_XDP,  /* in front of the GRO of the driver */
        UNDERPASS_RECEIVE_SOCKET, /* in the GRO of the driver, which knows bulk by a UDP socket */
        UNDERPASS_RECEIVE_COUNT,
};

/*
 * Map "links", hash, key __u32 ifindex: what the profile of a link asks for. Read by SYNs only; one update
 * replaces the whole entry at once, so a SYN sees either the old or the new profile.
 */
struct underpass_link {
        __u32 slot;    /* index into "counters", 1 … UNDERPASS_LINKS_MAX; given by the tunnel room */
        __u32 flags;   /* enum underpass_link_flag */
        __u32 mark;
        __u32 mark_mask;
        __u16 mss_ipv4; /* largest MSS let through in SYN and SYN-ACK of either direction; 0: do not clamp */
        __u16 mss_ipv6;
        __u16 remote_ports_count;
        __u16 local_ports_count;
        __u16 remote_addresses_count; /* 0: any address */
        __u16 fallback_after;         /* SYNs over UDP without answer before a plain one */
        __u16 keepalive;              /* seconds of silence before a socket sends a keepalive; 0: as it is */
        __u16 receive;                /* enum underpass_receive; no program reads it */
        struct underpass_port_range remote_ports[UNDERPASS_PORT_RANGES_MAX];
        struct underpass_port_range local_ports[UNDERPASS_PORT_RANGES_MAX];
        struct underpass_prefix remote_addresses[UNDERPASS_PREFIXES_MAX];
};

enum underpass_slot_flag {
        UNDERPASS_SLOT_GRO_ALL = 1U << 0, /* not only bulk: UNDERPASS_RECEIVE_GRO */
        UNDERPASS_SLOT_RESTS = 1U << 1,   /* of a link that was detached; no program reads it */
        UNDERPASS_SLOT_BULK = 1U << 2,    /* takes the bulk form, and sends fast flows in it */
        UNDERPASS_SLOT_BULK_ALL = 1U << 3, /* sends slow ones in it, too */
        UNDERPASS_SLOT_TELLS = 1U << 4,   /* flows of ours that bulk comes for get tunnel sockets */
        UNDERPASS_SLOT_BULK_UNSENT = 1U << 5, /* only takes it, and sends none */
};

/*
 * Map "slots", array, index slot (see struct underpass_link): what every packet of a link needs, as one
 * look-up into an array. An entry without ifindex is no link.
 */
struct underpass_slot {
        __u32 ifindex;       /* the link */
        __u32 device_ifindex; /* device that its tunnelled packets are redirected to; 0: they are dropped */
        __u32 gro_ifindex; /* device that what it received is redirected to for GRO; 0: none, not merged */
        __u32 flags;         /* enum underpass_slot_flag */
        __u32 resets_second; /* CLOCK_MONOTONIC, seconds */
        __u32 resets;        /* sent in that second for connections that this host does not know */
        __u32 answered;      /* 1: the SYN that was last accepted was answered by a link with programs */
};

/* Map "loader", array of one: who loaded the programs. */
struct underpass_loader {
        __u32 abi_version; /* UNDERPASS_ABI_VERSION of the loader; no program reads it */
        __u32 flow_version; /* UNDERPASS_FLOW_VERSION of the loader; likewise */
        __u64 object_id;   /* hash of the object: a service with another one replaces the programs */
        __u64 namespace_cookie; /* the keepalive program sees sockets of all network namespaces */
        __u32 tick_us;     /* between two timer interrupts, in which the kernel counts its timeouts */
        __u32 reserved;
};

/* Key of the maps "flows" and "half_open": the flow as this host sees it, whichever way the packet goes. */
struct underpass_flow_key {
        __u32 local[4];        /* network order; IPv4 as ::ffff:a.b.c.d */
        __u32 remote[4];
        __u16 local_port;      /* network order */
        __u16 remote_port;
};

enum underpass_flow_state {
        UNDERPASS_FLOW_HALF_OPEN = 1,    /* SYN seen, not answered yet; lives in "half_open" */
        UNDERPASS_FLOW_TUNNELLED = 2, /* handshake done over UDP; lives in "flows" */
        UNDERPASS_FLOW_WATCHED = 3,   /* plain SYN whose answer will tell something; in "half_open" */
        UNDERPASS_FLOW_CLAIMED = 4,   /* forgotten handshake, if our next packet says so; in "half_open" */
};

enum underpass_flow_flag {
        UNDERPASS_FLOW_OPENED_HERE = 1U << 0, /* our side sent the SYN */
        UNDERPASS_FLOW_ANSWERED = 1U << 1,    /* our SYN-ACK has left, so "expected" is known (responder) */
        UNDERPASS_FLOW_PLAIN_SYN = 1U << 2,   /* plain_sequence is there: an answer to it ends the flow */
        UNDERPASS_FLOW_REFUSED = 1U << 3,     /* ICMP says that UDP does not get there */
        UNDERPASS_FLOW_JOIN = 1U << 4,        /* the SYN was one of MP_JOIN: an additional subflow */
        UNDERPASS_FLOW_DOUBTFUL = 1U << 5,    /* that it fails says nothing of the way to the destination */
        /* SYNs in the other form got no answer: watched, after some over UDP; half-open, after plain ones */
        UNDERPASS_FLOW_FALLEN_BACK = 1U << 6,
        UNDERPASS_FLOW_REFUSED_THERE = 1U << 7, /* refused, and by the destination itself */
};

/* How a connection ends: FIN and RST of TCP's flags byte, those of our side and those of the peer. */
enum underpass_flow_end {
        UNDERPASS_FLOW_OUR_FIN = 1U << 0,
        UNDERPASS_FLOW_OUR_RST = 1U << 2,
        UNDERPASS_FLOW_PEER_FIN = 1U << 4,
        UNDERPASS_FLOW_PEER_RST = 1U << 6,
};

enum underpass_bulk_flag {
        UNDERPASS_BULK_TAKEN = 1U << 0,  /* the peer takes the bulk form */
        UNDERPASS_BULK_PROVEN = 1U << 1, /* it has arrived there once */
        UNDERPASS_BULK_GIVEN_UP = 1U << 2, /* the way swallows it: classic for good */
        UNDERPASS_BULK_FAST = 1U << 3,   /* the flow is fast enough for it */
        UNDERPASS_BULK_UNHEARD = 1U << 4, /* some was sent, and nothing has been heard of its arrival yet */
        UNDERPASS_BULK_NARROW = 1U << 5, /* its segments have no room for the outer headers (IPv6) */
};

/* Value of "flows" and "half_open", both LRU hashes. The counters are not atomic: they may miss a packet,
 * never a flow. */
struct underpass_flow {
        __u64 opened_ns;     /* CLOCK_MONOTONIC */
        __u64 seen_ns;       /* last packet, either way */
        __u64 sent;          /* packets handed over for sending; a super-packet counts once, see more_sent */
        __u64 received;
        __u64 merged_ns;     /* the last datagram that was merged, 0: none */
        __u32 ifindex;       /* link that our side sent by last, or got the SYN by; see flow.h */
        __u32 slot;          /* of that link */
        __u32 expected;      /* host order: the least acknowledgment that the peer's next packet has */
        __u8 state;          /* enum underpass_flow_state */
        __u8 flags;          /* enum underpass_flow_flag */
        __u8 syns;           /* SYNs of ours so far */
        __u8 errors;         /* ICMP errors believed in the second of errors_second; upper half: told */
        __u32 sequence;      /* network order: of our last packet, for ICMP errors that quote too little */
        __u32 next;          /* host order: of the first byte that our side has not sent yet */
        __u32 errors_second; /* CLOCK_MONOTONIC, seconds */
        __u32 plain_sequence; /* host order: of the plain SYN that the peer sent last */
        __u32 stalled_sequence; /* host order: of the segment that was sent again last */
        __u32 stalled_ms;       /* CLOCK_MONOTONIC, milliseconds: when */
        __u32 stalled_received; /* lower half of "received" then */
        __u8 stalls;            /* how often it was sent again without an acknowledgment */
        __u8 bad_seconds;       /* in a row, in which much was sent again */
        __u16 resent_second;    /* CLOCK_MONOTONIC, 1.07 seconds each: the last with something sent again */
        __u64 cut_ns;        /* the last merged datagram that was cut again, 0: none */
        __u32 resent_bytes;  /* in resent_second */
        __u32 resent_next;   /* "next" when it began */
        __u32 refused_ms;       /* CLOCK_MONOTONIC, milliseconds: since when the peer refuses; 0: not */
        __u32 refused_received; /* lower half of "received" then */
        __u64 more_sent;     /* segments that super-packets were cut into, without the first one of each */
        /* How much data there was is the distance between numbers of TCP, which begin anew every 4 GiB. Host
         * order. */
        __u32 begin;         /* of the first byte of our side; "next" is behind the last one */
        __u32 peer_begin;    /* of the first byte of the peer; 0: not known yet */
        __u32 acknowledged;  /* behind the last byte of the peer that our side has acknowledged */
        __u16 begun_anew;    /* how often "next" has passed 0 */
        __u16 peer_begun_anew; /* how often "acknowledged" has */
        __u8 ends;           /* enum underpass_flow_end */
        __u8 socket;         /* 1: a socket of this host; 0: none was seen, it may be forwarded */
        __u16 bulk_whole;    /* CLOCK_MONOTONIC, 16 ms each: bulk came merged, or uncut; 0: never */
        __u16 reserved[2];
        __u8 bulk;              /* enum underpass_bulk_flag */
        __u8 bulk_probes;       /* sent so far */
        __u8 bulk_losses;       /* in a row: something was sent again, and no bulk was heard to arrive */
        __u8 bulk_windows;      /* in a row, in which the flow was fast */
        __u32 bulk_probed_ms;   /* CLOCK_MONOTONIC, milliseconds: the last probe, or the last loss */
        __u32 bulk_arrived_ms;  /* likewise: the peer's last datagram in the bulk form; 0: none */
        __u32 bulk_window_ms;   /* likewise: when the present window began */
        __u32 bulk_window_acknowledged; /* "expected" then */
        __u8 bulk_setbacks;     /* how often bulk got lost twice in a row */
        __u8 bulk_single;       /* datagrams of bulk that came one by one since the service was told, … */
        __u16 bulk_told;        /* … which was then; CLOCK_MONOTONIC, 1.07 seconds each; 0: never */
};

/*
 * Key of the map "sockets", hash, value __u32 without a meaning: a UDP socket of the kernel that the service
 * has made so that the GRO of the driver merges bulk. An address of 0 (IPv4: ::ffff:0.0.0.0) and a remote
 * port of 0 stand for any. It is there before the socket is, and goes after it.
 *
 * Map "socket_ports", array of __u64: a bit for each local port of such a socket; and behind the last word
 * one that is not 0 while there is a socket.
 */
struct underpass_socket_key {
        struct underpass_flow_key flow;
        __u32 ifindex;       /* the link that the socket is bound to */
};

/*
 * Key and value of map "destinations", LRU hash: what is known about the way to a destination. What is so by
 * whichever link, it has with ifindex 0. Times are CLOCK_MONOTONIC, 0: never.
 */
struct underpass_destination_key {
        __u32 ifindex;
        __u32 remote[4];     /* network order; IPv4 mapped */
        __u16 remote_port;   /* network order */
        __u16 reserved;
};

/* Why UDP does not reach a destination. */
enum underpass_block_reason {
        UNDERPASS_BLOCK_SILENCE,  /* no answer */
        UNDERPASS_BLOCK_REFUSED,  /* ICMP of the destination itself: nothing listens at that port */
        UNDERPASS_BLOCK_FILTERED, /* any other ICMP refusal: a firewall */
        UNDERPASS_BLOCK_REASON_COUNT,
};

/* What is remembered of one reason. */
struct underpass_block {
        __u64 failed_ns;         /* a connection has failed over UDP, but not as plain TCP; 0: none */
        __u32 until;             /* CLOCK_MONOTONIC, seconds: until then no SYN is tried over UDP */
        __u16 failed_port;       /* local port of that connection, network order */
        __u16 pause;             /* seconds that it has been blocked for last; 0: it has not */
};

struct underpass_destination {
        struct underpass_block blocks[UNDERPASS_BLOCK_REASON_COUNT];
        __u64 stripped_until_ns; /* until then an on-demand link tunnels */
        __u64 mtu_until_ns;      /* until then mtu is believed */
        __u32 mtu;               /* path MTU, bytes */
        __u16 stripped_join;     /* 1: options that got lost were MP_JOIN, others may pass */
        __u16 swallowed_port;    /* their local port, network order */
        __u64 lacking_until_ns;  /* until then an on-demand link takes it that the server has no MPTCP */
        __u64 spoken_until_ns;   /* of ifindex 0: until then the server is known to have MPTCP */
        __u64 swallowed_ns;      /* plain SYNs with MPTCP options got no answer, one over UDP did; 0: none */
        __u64 throttled_until_ns; /* until then: much of what goes there over UDP gets lost */
        __u32 rtt_us;            /* longest round trip of late; 0: not known */
        __u32 opened;            /* seconds: the last handshake over UDP that was completed */
        __u32 bulk_given_up;     /* of a host, port 0: seconds; until then flows to it stay classic */
        __u32 bulk_wanted;       /* likewise: until then MSS over IPv6 leaves room for the bulk form */
};

/*
 * Key and value of map "sources", LRU hash: addresses that sockets of this host connect from. Users can bind
 * theirs to any (IPV6_FREEBIND), so these have a map of their own and push out no destination.
 */
struct underpass_source_key {
        __u32 local[4];      /* network order; IPv4 mapped */
};

struct underpass_source {
        __u32 via;           /* the link that it sends by */
        __u32 rtt_us;        /* longest round trip of late; 0: not known */
};

/*
 * Map "counters", per-CPU array, index slot (see struct underpass_link), value
 * __u64[UNDERPASS_COUNTER_COUNT]. Slot 0 takes what belongs to no link. Names and explanations:
 * plugin/counters.c.
 */
enum underpass_counter {
        UNDERPASS_COUNTER_SENT, /* segments that left as UDP */
        UNDERPASS_COUNTER_RECEIVED, /* datagrams turned into TCP */
        UNDERPASS_COUNTER_FLOWS_OPENED, /* SYNs of ours in the tunnel (retransmissions count) */
        UNDERPASS_COUNTER_FLOWS_ACCEPTED, /* SYNs that came in UDP and were taken */
        UNDERPASS_COUNTER_FLOWS_ESTABLISHED, /* handshakes completed over UDP */
        UNDERPASS_COUNTER_MSS_CLAMPED, /* SYN and SYN-ACK whose MSS was lowered */
        UNDERPASS_COUNTER_URGENT_CLEARED, /* segments that lost URG and the urgent pointer */
        UNDERPASS_COUNTER_PASS_NOT_MPTCP, /* SYN in UDP without MPTCP option, left alone */
        UNDERPASS_COUNTER_PASS_PORT, /* SYN in UDP to a port not in local-ports, left alone */
        UNDERPASS_COUNTER_PASS_ZERO_CHECKSUM, /* half-open flow: no UDP checksum, left alone */
        UNDERPASS_COUNTER_PASS_LENGTH, /* half-open flow: contradicting lengths, left alone */
        UNDERPASS_COUNTER_CUT, /* merged datagrams of a flow that were cut again */
        UNDERPASS_COUNTER_PASS_FRAGMENT, /* outgoing TCP fragment: has no UDP form, left alone */
        UNDERPASS_COUNTER_PASS_SIGNED, /* SYN with TCP-AO or TCP-MD5 (RFC 5925, 2385), left alone */
        UNDERPASS_COUNTER_FALLBACK_SILENCE, /* flows plain for want of an answer over UDP */
        UNDERPASS_COUNTER_FALLBACK_REFUSED, /* flows that went on as plain TCP because ICMP refused UDP */
        UNDERPASS_COUNTER_PLAIN_BLOCKED, /* SYNs sent as plain TCP because UDP was blocked a while ago */
        UNDERPASS_COUNTER_PLAIN_ON_DEMAND, /* SYNs plain because nothing has stripped MPTCP so far */
        UNDERPASS_COUNTER_STRIPPED, /* answers to plain SYNs that had lost the MPTCP option */
        UNDERPASS_COUNTER_RELEARNT, /* forgotten flows learnt again from a datagram of the peer */
        UNDERPASS_COUNTER_ICMP_CONVERTED, /* ICMP errors turned into errors about TCP */
        UNDERPASS_COUNTER_ICMP_SHORT, /* of these: quote too short, number taken from the flow */
        UNDERPASS_COUNTER_DROP_ICMP, /* ICMP refusals of a SYN that the fallback deals with */
        UNDERPASS_COUNTER_DROP_NO_DEVICE, /* no segmentation device */
        UNDERPASS_COUNTER_DROP_FOREIGN, /* packet at the segmentation device that no program sent there */
        UNDERPASS_COUNTER_DROP_UNSEGMENTED, /* super-packet that the segmentation device did not segment */
        UNDERPASS_COUNTER_DROP_HEADER, /* header that could not be read or written */
        UNDERPASS_COUNTER_DROP_UNPROVEN, /* ICMP errors about a flow that quote nothing it has in flight */
        UNDERPASS_COUNTER_DROP_FRAGMENT, /* first fragments of datagrams of a flow; the peer is told */
        UNDERPASS_COUNTER_BLACK_HOLE, /* segments lost for their size: our side is told to send less */
        UNDERPASS_COUNTER_DROP_MALFORMED, /* datagram of an established flow that cannot become TCP */
        UNDERPASS_COUNTER_LACKING, /* answers to plain SYNs by servers that have no MPTCP */
        UNDERPASS_COUNTER_DROP_INJECTED, /* datagrams that UDP sockets of this host send into a flow */
        UNDERPASS_COUNTER_THROTTLED, /* flows that lost much for seconds on end */
        UNDERPASS_COUNTER_ICMP_QUOTED, /* ICMP errors of this side that quote the UDP form now */
        UNDERPASS_COUNTER_ICMP_RESETS, /* ICMP refusals of an established flow, resets for our side now */
        UNDERPASS_COUNTER_RESETS_SENT, /* segments of connections that this host does not know, answered */
        UNDERPASS_COUNTER_PASS_FORGOTTEN, /* likewise, not answered: too many in a second */
        UNDERPASS_COUNTER_PLAIN_NOT_MPTCP, /* SYN of ours that matches, plain for want of an MPTCP option */
        UNDERPASS_COUNTER_SERVER_NOT_MPTCP, /* SYN-ACKs over UDP without MPTCP option, where SYNs have one */
        UNDERPASS_COUNTER_BULK_SENT, /* of "sent": datagrams in the bulk form */
        UNDERPASS_COUNTER_BULK_RECEIVED, /* of "received": likewise */
        UNDERPASS_COUNTER_BULK_UNSUMMED, /* of "bulk-sent": without UDP checksum (IPv4 only) */
        UNDERPASS_COUNTER_BULK_PROBES, /* acknowledgments sent in the bulk form, to see whether it arrives */
        UNDERPASS_COUNTER_BULK_GIVEN_UP, /* flows that went back to the classic form */
        UNDERPASS_COUNTER_DROP_STRANGER, /* UDP to a tunnel socket of the kernel that is of no flow */
        UNDERPASS_COUNTER_COUNT,
};

struct underpass_counters {
        __u64 value[UNDERPASS_COUNTER_COUNT];
};

enum underpass_saved_flag {
        UNDERPASS_SAVED_CLSACT_CREATED = 1U << 0, /* the clsact qdisc is ours, take it off again */
        UNDERPASS_SAVED_RAW_IP = 1U << 1,         /* programs for devices without Ethernet header */
        UNDERPASS_SAVED_FROM_FILE = 1U << 2,      /* a profile of this source asked for the tunnel, … */
        UNDERPASS_SAVED_FROM_NETWORKD = 1U << 3,  /* … without any of these: one of NetworkManager */
        UNDERPASS_SAVED_TAKEN_IN = 1U << 4,       /* attached for flows whose route has moved there */
        UNDERPASS_SAVED_MTU_CHANGES = 1U << 5,    /* from one MTU of ours to another, or just has */
        UNDERPASS_SAVED_FROM = UNDERPASS_SAVED_FROM_FILE | UNDERPASS_SAVED_FROM_NETWORKD,
};

/*
 * Map "saved", hash, key __u32 ifindex: what the service must know to undo its work after it was killed. No
 * program reads it; it lives among the maps because it must live exactly as long as the attachment. Written
 * before the change it tells of, so a kill in between leaves a record of a change that did not happen, never
 * the reverse.
 */
struct underpass_saved {
        __u32 slot;
        __u32 flags;           /* enum underpass_saved_flag */
        __u32 mtu_original;    /* 0: MTU not touched */
        __u32 mtu_set;
        __u32 endpoints_count;
        __u32 endpoints[UNDERPASS_SAVED_ENDPOINTS_MAX][4]; /* MPTCP endpoints that were added */
        __u32 version;         /* UNDERPASS_RECORD_VERSION; stays here, new fields come behind it */
};

enum { UNDERPASS_SAVED_SCTP_PORTS = 2 };

/* A sysctl that was changed. */
struct underpass_saved_sysctl {
        __u16 changed;         /* 0: not touched */
        __u16 original;
        __u16 set;
        __u16 reserved;
};

/*
 * Array of one element, pinned as "sctp" beside the other maps while net.sctp.udp_port or
 * net.sctp.encap_port is not what it was: the same promise for what belongs to no link. Like a sysctl, it
 * lives until the host is started anew. No program reads it.
 */
struct underpass_saved_sctp {
        struct underpass_saved_sysctl ports[UNDERPASS_SAVED_SCTP_PORTS];
        __u32 version;         /* UNDERPASS_RECORD_SCTP_VERSION; stays here, as in struct underpass_saved */
        __u32 reserved;
};

_Static_assert(sizeof(struct underpass_saved_sctp) == 8 + 8 * UNDERPASS_SAVED_SCTP_PORTS, "layout");
_Static_assert(sizeof(struct underpass_port_range) == 4, "layout");
_Static_assert(sizeof(struct underpass_prefix) == 32, "layout");
_Static_assert(sizeof(struct underpass_link) ==
                       32 + 2 * 4 * UNDERPASS_PORT_RANGES_MAX + 32 * UNDERPASS_PREFIXES_MAX, "layout");
_Static_assert(sizeof(struct underpass_flow_key) == 36, "layout");
_Static_assert(sizeof(struct underpass_socket_key) == 40, "layout");
_Static_assert(sizeof(struct underpass_destination_key) == 24, "layout");
_Static_assert(sizeof(struct underpass_flow) == 168, "layout");
_Static_assert(sizeof(struct underpass_block) == 16, "layout");
_Static_assert(sizeof(struct underpass_destination) == 120, "layout");
_Static_assert(sizeof(struct underpass_source_key) == 16, "layout");
_Static_assert(sizeof(struct underpass_source) == 8, "layout");
_Static_assert(sizeof(struct underpass_saved) == 24 + 16 * UNDERPASS_SAVED_ENDPOINTS_MAX, "layout");
