/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The BPF side of the service: programs and maps are loaded, pinned, attached to links and read here.
 * Twins: bpf.c and what it stands on (the kernel), fake.c (memory only, for tests without privileges).
 */

#include "base/util.h"
#include "bpf/abi.h"
#include "plan/probe.h"
#include "segment/segment.h"

typedef struct Tunnel Tunnel;

typedef enum AttachPoint {
        ATTACH_POINT_AUTO,     /* tcx, or clsact where the kernel has no tcx (before 6.6) */
        ATTACH_POINT_TCX,
        ATTACH_POINT_CLSACT,
        _ATTACH_POINT_MAX,
} AttachPoint;

const char *attach_point_name(AttachPoint attach_point);
int attach_point_from_name(const char *name, AttachPoint *ret);

/*
 * Prepares the tunnel of the current network namespace. Adopts what an earlier service left pinned below
 * root ("/sys/fs/bpf/underpass"), of whichever version, and removes what cannot be adopted; tunnel_error()
 * then says what could not be understood. Mounts nothing; programs are loaded only in place of adopted ones
 * of another build. Where BPF cannot be used, the tunnel is open all the same; tunnel_refused() says why.
 * -EOPNOTSUPP: tcx was asked for, and the kernel has none.
 */
int tunnel_open(Tunnel **ret, const char *root, AttachPoint attach_point);

/* Why BPF cannot be used, a negative errno: nothing is attached or adopted then. 0: it can be used. */
int tunnel_refused(const Tunnel *tunnel);

/* Tries again what was refused, and adopts as tunnel_open() does. 0 once BPF can be used, or why not. */
int tunnel_retry(Tunnel *tunnel);

/* Closes descriptors; everything attached stays attached. */
Tunnel *tunnel_free(Tunnel *tunnel);
DEFINE_CLEANUP(Tunnel *, tunnel_free);

/* Which helper devices the packets of a link pass: part of struct underpass_slot. */
typedef struct TunnelPath {
        uint32_t device_ifindex; /* the segmentation device, when they are sent */
        uint32_t gro_ifindex;    /* the receiving end of the GRO pair, when received; 0: not merged */
        bool gro_all;            /* merges all of them, not only bulk */
        bool bulk;               /* takes the bulk form, and sends fast flows in it */
        bool bulk_all;           /* sends slow flows in it, too */
        bool bulk_unsent;        /* sends none in it */
        bool tells;              /* of flows that bulk comes for: tunnel_unmerged_open() */
} TunnelPath;

/*
 * Loads the programs unless they are. Attaches the one that gives merged packets back to their link to the
 * sending end of the GRO pair, where they come out; and the one for keepalive, without which the tunnel
 * works: tunnel_error() then says why it is missing.
 */
int tunnel_set_gro(Tunnel *tunnel, uint32_t ifindex);

/*
 * Attaches the rewriting program to a segmentation device that is up. Two kinds may share the devices of
 * the GRO pair: then links are moved off the old segmentation device before the program comes to the egress
 * of that device, and a program that is no longer needed there is taken off. No packet is lost.
 */
int tunnel_set_device(Tunnel *tunnel, const SegmentationDevice *device);

/* Takes the rewriting program off a segmentation device that no link uses any more. 0 also when it is not
 * there. */
int tunnel_clear_device(Tunnel *tunnel, const SegmentationDevice *device);

/*
 * Attaches the programs to a link (ingress first) with these settings and this path; link->slot is chosen
 * here. On a link that is attached already, settings and path are replaced. Complete or nothing: where it
 * fails, the programs are taken off, and tunnel_link() says so; the record stays if the link was known
 * before, or if something could not be taken off. A failure before anything is touched leaves the programs
 * of before. -ENOSPC: UNDERPASS_LINKS_MAX links are attached.
 */
int tunnel_attach(Tunnel *tunnel, uint32_t ifindex, bool raw_ip, const TunnelPath *path,
                  struct underpass_link *link);

/* Replaces the path of an attached link. -ENOENT when it is not attached. */
int tunnel_route(Tunnel *tunnel, uint32_t ifindex, const TunnelPath *path);

/*
 * Puts the ingress program behind the filters of others, too, in the qdisc that they are in, as long as
 * there are such: one of them may translate our datagrams from IPv6 (CLAT), which the program in front of
 * them does not know for ours. What that one has converted is left alone behind.
 */
int tunnel_follow(Tunnel *tunnel, uint32_t ifindex);

/* Takes the programs off (egress first) and forgets the link and what it has learnt. 0 also when it was not
 * attached or is gone. Negative errno: something could not be taken off, and the record stays. */
int tunnel_detach(Tunnel *tunnel, uint32_t ifindex);

/* Takes the programs off, and keeps the record and what the link has learnt. Else as tunnel_detach(). */
int tunnel_take_off(Tunnel *tunnel, uint32_t ifindex);

/*
 * Attaches the program that runs before the driver's GRO (native XDP only), in addition to those of
 * tunnel_attach(). -EBUSY: another XDP program is there, and stays. -EOPNOTSUPP: the driver has no native
 * XDP. Others: what the driver says.
 */
int tunnel_attach_xdp(Tunnel *tunnel, uint32_t ifindex);

/* Takes it off, as tunnel_detach() does, too. 0 also when it is not there. */
int tunnel_detach_xdp(Tunnel *tunnel, uint32_t ifindex);

bool tunnel_attached(Tunnel *tunnel, uint32_t ifindex);

/* How many other programs run before ours, the larger number of both directions; each of them can keep
 * packets from ours. 0: none, or not known (clsact). */
unsigned tunnel_programs_before(Tunnel *tunnel, uint32_t ifindex);

/* Unpins everything and removes the folder, once no link is attached any more. This process keeps the loaded
 * programs, so the next tunnel_attach() is quick. */
int tunnel_release(Tunnel *tunnel);

/* The record of a link, which tells the next service what this one did. -ENOENT: there is none. -ENOSPC:
 * there is no room for one more. */
int tunnel_saved_get(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *ret);
int tunnel_saved_set(Tunnel *tunnel, uint32_t ifindex, const struct underpass_saved *saved);

/* All links with a record, ascending. Caller frees. */
int tunnel_saved_links(Tunnel *tunnel, uint32_t **ret_ifindexes, size_t *ret_count);

/* The same for the network namespace as a whole. A record without changed ports is removed. */
int tunnel_saved_sctp_get(Tunnel *tunnel, struct underpass_saved_sctp *ret);
int tunnel_saved_sctp_set(Tunnel *tunnel, const struct underpass_saved_sctp *saved);

/* Settings in force. -ENOENT when the link is not attached. */
int tunnel_link(Tunnel *tunnel, uint32_t ifindex, struct underpass_link *ret);

/* Sums over all CPUs. ifindex 0: what belongs to no link. */
int tunnel_counters(Tunnel *tunnel, uint32_t ifindex, struct underpass_counters *ret);

typedef int (*TunnelFlowHandler)(const struct underpass_flow_key *key, const struct underpass_flow *flow,
                                 void *userdata);

/* Calls handler for each remembered flow; a non-zero return ends the walk and is returned. */
int tunnel_flows(Tunnel *tunnel, TunnelFlowHandler handler, void *userdata);

/* One of them, whose handshake is finished. -ENOENT: there is none. */
int tunnel_flow(Tunnel *tunnel, const struct underpass_flow_key *key, struct underpass_flow *ret);

typedef int (*TunnelDestinationHandler)(const struct underpass_destination_key *key,
                                    const struct underpass_destination *destination, void *userdata);

/* The same for what is remembered about destinations. */
int tunnel_destinations(Tunnel *tunnel, TunnelDestinationHandler handler, void *userdata);

/*
 * Destinations that on-demand links are in doubt about: a server has answered without MPTCP, and it is not
 * known whether the path took the option away. A program tells of each once an hour at most.
 */
typedef struct TunnelDoubts TunnelDoubts;
typedef void (*TunnelDoubtHandler)(const struct underpass_destination_key *key, void *userdata);

/* Listens from now on, to what was told while nobody did, too. -ENOENT: no programs are loaded yet. */
int tunnel_doubts_open(Tunnel *tunnel, TunnelDoubts **ret, TunnelDoubtHandler handler, void *userdata);

/*
 * The same for flows that have been accepted, and whose answers may leave by a link without programs.
 * Whoever sends SYNs decides how many there are; what finds no room is not told.
 */
typedef void (*TunnelToldHandler)(const struct underpass_flow_key *key, void *userdata);
int tunnel_unanswered_open(Tunnel *tunnel, TunnelDoubts **ret, TunnelToldHandler handler, void *userdata);

/* The same for flows of this host that bulk comes for, one by one, on links that tell (struct TunnelPath).
 * Each is told every 10 seconds at most. */
int tunnel_unmerged_open(Tunnel *tunnel, TunnelDoubts **ret, TunnelToldHandler handler, void *userdata);

TunnelDoubts *tunnel_doubts_free(TunnelDoubts *doubts);
DEFINE_CLEANUP(TunnelDoubts *, tunnel_doubts_free);

/* Descriptor to be polled for reading. */
int tunnel_doubts_fd(const TunnelDoubts *doubts);

/* Calls the handler for each that is pending. */
void tunnel_doubts_read(TunnelDoubts *doubts);

/* Remembers what a probe has found about the way to a destination: probe_teach(). -ENOENT: no programs are
 * loaded. */
int tunnel_teach(Tunnel *tunnel, const struct underpass_destination_key *key, const ProbeReport *report);

/* Which destinations are meant: all of them, but for what is set. */
typedef struct TunnelDestinations {
        uint32_t ifindex;       /* of one link; 0: of all */
        const uint32_t *remote; /* at one address, four words as in the key; NULL: at any */
        uint16_t remote_port;   /* network order; 0: any */
} TunnelDestinations;

/* Forgets what is remembered about destinations; how many of them there were. Negative errno. */
int tunnel_forget(Tunnel *tunnel, const TunnelDestinations *which);

/*
 * A tunnel socket of the kernel is about to be made: the programs at its link drop what is of no flow of
 * ours and would reach it. -ENOENT: no programs are loaded; -ENOSPC: there are UNDERPASS_SOCKETS_MAX.
 */
int tunnel_guard(Tunnel *tunnel, const struct underpass_socket_key *key);

/* It is gone. 0 also when it was not guarded. */
int tunnel_unguard(Tunnel *tunnel, const struct underpass_socket_key *key);

/* All are gone. */
int tunnel_unguard_all(Tunnel *tunnel);

/*
 * Short waits of the kernel for a tunnel socket that is removed, until tunnel_haste_endp(): expedited grace
 * periods, on the whole host. Where the host does not allow it, the waits are long; nothing else changes.
 * Not to be nested, nor around other functions of this room: the inner one would end both. The end leaves
 * the switch alone if somebody else has set it meanwhile.
 */
typedef struct TunnelHaste {
        bool begun; /* false: nothing to undo */
} TunnelHaste;
TunnelHaste tunnel_make_haste(void);
void tunnel_haste_endp(TunnelHaste *haste);

/* The attach point in use. */
AttachPoint tunnel_attach_point(Tunnel *tunnel);

/* Why the last call failed, or "": a message of ours with the last lines of the verifier's log. */
const char *tunnel_error(Tunnel *tunnel);

/* What the kernel can do: each is probed once. */
typedef struct TunnelFeatures {
        bool bpf;     /* programs load with the capabilities at hand */
        bool tcx;
        bool netkit;
        bool btf;     /* /sys/kernel/btf/vmlinux */
} TunnelFeatures;
int tunnel_features(Tunnel *tunnel, TunnelFeatures *ret);
