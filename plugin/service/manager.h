/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The service as a whole: its links, sources, netlink sockets and the bus. Everything that happens marks
 * links dirty; one deferred event brings all dirty links in line.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "kernel/mptcp-pm.h"
#include "kernel/rtnl.h"
#include "kernel/sctp.h"
#include "segment/segment.h"
#include "service/link.h"
#include "source/source.h"
#include "tunnel/tunnel.h"

#define BUS_NAME "org.underpass1"
#define BUS_PATH "/org/underpass1"
#define BUS_LINK_PREFIX "/org/underpass1/link"

typedef enum ManagerSource {
        SOURCE_FILE,             /* rising order of precedence */
        SOURCE_NETWORKD,
        SOURCE_NETWORK_MANAGER,
        _MANAGER_SOURCE_MAX,
} ManagerSource;

typedef struct ManagerOptions {
        AttachPoint attach_point;
        const char *pin_root;
        const char *const *profile_directories;  /* rising precedence, ends in NULL */
        const char *sctp_sysctls; /* folder of net.sctp.* */
        uint64_t idle_us;        /* leave after so long without work; 0: never */
        sd_bus *bus;             /* a connection to serve instead of the system bus; NULL: system bus */
        SegmentKind segment_kind;        /* the only one to use; _SEGMENT_KIND_MAX: the best one */
        bool fake;               /* no device; MTU and endpoints are set for real where privileges allow */
} ManagerOptions;

/* SCTP over UDP: see manager-sctp.c. */
typedef struct ManagerSctp {
        struct underpass_saved_sctp saved;  /* as it is pinned */
        bool adopted;                       /* left by an earlier service; not all links have spoken yet */
        uint32_t holders[_SCTP_PORT_MAX];   /* whose value counts, by interface index; 0: nobody's */
        int errors[_SCTP_PORT_MAX];         /* why it is not in force */
        bool module_asked;                  /* systemd has been asked to load the module */
        sd_event_source *module_event;      /* looks whether it has */
        unsigned module_looks_left;
} ManagerSctp;

struct Manager {
        ManagerOptions options;
        sd_event *event;
        sd_bus *bus;
        sd_event_source *bus_retry, *rtnl_event, *reconcile_event, *idle_event, *poll_event, *exit_event;
        Source *sources[_MANAGER_SOURCE_MAX];
        Rtnl *rtnl;
        MptcpPm *mptcp_pm;       /* NULL: the kernel has no MPTCP */
        Tunnel *tunnel;
        GroPair pair;            /* send_ifindex 0: not there */
        /* Made by this service; ifindex 0: not there. SEGMENT_VLAN: the last one. */
        SegmentationDevice devices[_SEGMENT_KIND_MAX];
        char *segment_refused[_SEGMENT_KIND_MAX]; /* why a kind was passed over, NULL: it was not */
        bool segment_denied[_SEGMENT_KIND_MAX];   /* this kernel does not have it */
        bool segments_swept;         /* no devices of an earlier service are left that no link uses */
        Link *links;
        TunnelFeatures features;
        ManagerSctp sctp;
        bool leaving;            /* has given the name back and ends soon */
        bool stopping;           /* is being freed: no call is carried out any more */
        uint64_t last_work_us;
        uint64_t endpoints_fingerprint; /* of all MPTCP endpoints, when they were last compared */
};

int manager_new(Manager **ret, const ManagerOptions *options);
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager *, manager_free);

/* Adopts, enumerates, serves until idle or told to stop. 0 or negative errno. */
int manager_run(Manager *manager);

Link *manager_link(Manager *manager, uint32_t ifindex);
Link *manager_link_by_name(Manager *manager, const char *name);

/* Looks again at this link soon; a link that is not known yet is created. */
void manager_mark(Manager *manager, uint32_t ifindex);
void manager_mark_all(Manager *manager);

/* manager-clock.c */

/* The timers: endpoints that are polled, the end when there is nothing to do. */
int manager_add_timers(Manager *manager);

/* A link depends on MPTCP endpoints that others make: looks at such links again when those change. */
void manager_watch_endpoints(Manager *manager);

/* Keeps the service from leaving for another while. */
void manager_reset_idle(Manager *manager);

/* manager-segmentation device.c */

/* Finds or makes GRO pair and segmentation device for a link, with their programs attached. 0 or negative
 * errno with a translated sentence. */
int manager_ensure_segment(Manager *manager, uint32_t ifindex, bool raw_ip, SegmentationDevice *ret,
                           LinkStage *ret_stage, char **ret_error);

/* Removes the segmentation devices that no link uses. */
void manager_sweep_segments(Manager *manager);

/* Removes the segmentation device that is this link's own, if it has one. */
void manager_leave_segment(Manager *manager, uint32_t ifindex);

/* True for a device that packets of tunnelled flows pass. */
bool manager_is_helper(const Manager *manager, uint32_t ifindex);

/* The devices are gone. */
void manager_forget_segments(Manager *manager);

/* Removes all of it and the pins when no link is attached any more. */
void manager_release_segment(Manager *manager);

/* manager-sctp.c */

/* Takes over what an earlier service has set. */
void manager_sctp_adopt(Manager *manager);

/* Brings the ports in line with what all links ask for; the other links that this concerns look again. link:
 * the one whose wishes have just been learnt, or NULL. */
void manager_sctp_update(Manager *manager, const Link *link);

/* Adds what is to be said to this link about it. 0 or -ENOMEM. */
int manager_sctp_warn(const Manager *manager, const Link *link, char ***warnings);

/* Whether the value that this link asks for is set; what was there before, too. */
bool manager_sctp_applied(const Manager *manager, const Link *link, SctpPort port, uint16_t *ret_original);

/* Whether the link asks for a port, in force or not. */
bool manager_sctp_asked(const Link *link);

/* Whether something is set that has to be taken back one day. */
bool manager_sctp_busy(const Manager *manager);

/* manager-bus.c */

/* Connects, exports, requests the name. Done again by itself when the bus goes away later. */
int manager_bus_connect(Manager *manager);

/* The bus is not there: tries again until it is. */
void manager_bus_retry(Manager *manager);

/* bus-manager.c, bus-link.c: vtables */
int bus_manager_export(Manager *manager);
int bus_link_export(Manager *manager);

/* Announces a link, its changes, its end. No-ops without a bus. */
void bus_link_announce(Link *link);
void bus_link_changed(Link *link);
void bus_link_withdraw(Link *link);

/* What a bus method says when it fails. */
#define BUS_ERROR_NO_SUCH_LINK "org.underpass1.Error.NoSuchLink"
#define BUS_ERROR_NOTHING_TO_DO "org.underpass1.Error.NothingToDo"
#define BUS_ERROR_FAILED "org.underpass1.Error.Failed"
