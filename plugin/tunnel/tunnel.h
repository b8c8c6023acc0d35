/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The BPF side of the service: programs and maps are loaded, pinned, attached to links and read here.
 * Twins: tunnel-bpf.c (the kernel), tunnel-fake.c (memory only, for tests without privileges).
 */

#include "base/util.h"
#include "bpf/abi.h"
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
 * Prepares the tunnel of the current network namespace: mounts nothing, loads nothing yet, but adopts what
 * an earlier service left pinned below root ("/sys/fs/bpf/underpass") and removes what cannot be adopted.
 * -ENOENT: no bpffs there.
 */
int tunnel_open(Tunnel **ret, const char *root, AttachPoint attach_point);

/* Closes descriptors; everything attached stays attached. */
Tunnel *tunnel_free(Tunnel *tunnel);
DEFINE_CLEANUP(Tunnel *, tunnel_free);

/* Which devices the packets of a link pass: part of struct underpass_slot. */
typedef struct TunnelPath {
        uint32_t device_ifindex;
        uint32_t gro_ifindex;   /* 0: what was received is not merged */
        bool gro_all;           /* not only bulk */
} TunnelPath;

/* Loads the programs unless they are, and attaches the one that gives merged packets back to their link to
 * the end of the GRO pair where they come out. */
int tunnel_set_gro(Tunnel *tunnel, uint32_t ifindex);

/*
 * Attaches the rewriting program to a segmentation device whose devices are up. Takes care that no packet
 * is lost where a segmentation device of another place used the same devices: links that redirect to the
 * device which now has the program in its way out are sent to the new segmentation device before that, and
 * one that has it there no more is relieved of it.
 */
int tunnel_set_device(Tunnel *tunnel, const SegmentationDevice *device);

/* Takes the rewriting program off a segmentation device that no link uses any more. 0 also when it is
 * not there. */
int tunnel_clear_device(Tunnel *tunnel, const SegmentationDevice *device);

/*
 * Attaches the programs to a link (ingress first) with these settings and on this path; link->slot is chosen
 * here. Attached already: only settings and path are replaced. Complete or nothing. -ENOSPC:
 * UNDERPASS_LINKS_MAX links are attached.
 */
int tunnel_attach(Tunnel *tunnel, uint32_t ifindex, bool raw_ip, const TunnelPath *path,
                  struct underpass_link *link);

/* Sends the packets of an attached link another path. -ENOENT when it is not attached. */
int tunnel_route(Tunnel *tunnel, uint32_t ifindex, const TunnelPath *path);

/* Takes the programs off (egress first) and forgets the link. 0 also when it was not attached or is gone. */
int tunnel_detach(Tunnel *tunnel, uint32_t ifindex);

/*
 * The program in front of the driver's GRO, beside those of tunnel_attach(); native XDP only. -EBUSY:
 * another XDP program is there, which stays; -EOPNOTSUPP: the driver has no native XDP; others: what the
 * driver says.
 */
int tunnel_attach_xdp(Tunnel *tunnel, uint32_t ifindex);

/* Takes it off; tunnel_detach() does so, too. 0 also when it is not there. */
int tunnel_detach_xdp(Tunnel *tunnel, uint32_t ifindex);

bool tunnel_attached(Tunnel *tunnel, uint32_t ifindex);

/* How many programs of others run before ours, the larger number of both directions; each of them can keep
 * packets from ours. 0: none, or it cannot be told (clsact). */
unsigned tunnel_programs_before(Tunnel *tunnel, uint32_t ifindex);

/* No link is attached any more: unpins everything and removes the folder. The loaded programs stay at
 * hand in this process, so the next tunnel_attach() is quick. */
int tunnel_release(Tunnel *tunnel);

/* What was written about a link for the case that the service is killed. -ENOENT when there is nothing. */
int tunnel_saved_get(Tunnel *tunnel, uint32_t ifindex, struct underpass_saved *ret);
int tunnel_saved_set(Tunnel *tunnel, uint32_t ifindex, const struct underpass_saved *saved);

/* All links with a record, ascending. Caller frees. */
int tunnel_saved_links(Tunnel *tunnel, uint32_t **ret_ifindexes, size_t *ret_count);

/* The same about the network namespace as a whole. What has nothing in it any more is forgotten. */
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

typedef int (*TunnelDestinationHandler)(const struct underpass_destination_key *key,
                                    const struct underpass_destination *destination, void *userdata);

/* The same for what is remembered about destinations. */
int tunnel_destinations(Tunnel *tunnel, TunnelDestinationHandler handler, void *userdata);

/* Hook in use, and what the last failed call complained about ("" when nothing): libbpf's or the
 * verifier's last words. */
AttachPoint tunnel_attach_point(Tunnel *tunnel);
const char *tunnel_error(Tunnel *tunnel);

/* What the kernel can do: each is probed once. */
typedef struct TunnelFeatures {
        bool bpf;     /* programs load with the capabilities at hand */
        bool tcx;
        bool netkit;
        bool btf;     /* /sys/kernel/btf/vmlinux */
} TunnelFeatures;
int tunnel_features(Tunnel *tunnel, TunnelFeatures *ret);
