/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The service without its bus: all links, the sources, the netlink sockets. Everything that happens marks
 * links dirty; one deferred event brings all dirty links in line. The bus reads through getters, asks by
 * verbs, and hears of changes by one callback.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "service/link.h"
#include "source/survey.h"

typedef struct Manager Manager;

typedef struct ManagerOptions {
        AttachPoint attach_point;
        const char *pin_root;
        const char *const *profile_directories;  /* rising precedence, ends in NULL */
        const char *sctp_sysctls;                /* folder of net.sctp.* */
        SegmentKind segment_kind;                /* the only one to use; SEGMENT_AUTO: the best one */
} ManagerOptions;

typedef enum ManagerReport {
        MANAGER_LINK_ADDED,
        MANAGER_LINK_CHANGED,
        MANAGER_LINK_REMOVED,  /* still in the list, and freed when the callback returns */
        MANAGER_BPF_CHANGED,   /* what manager_bpf_error() says, and with it the features; link is NULL */
} ManagerReport;

typedef void (*ManagerReportHandler)(ManagerReport what, Link *link, void *userdata);

int manager_new(Manager **ret, const ManagerOptions *options);
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager *, manager_free);

/* Who hears of links. */
void manager_set_handler(Manager *manager, ManagerReportHandler handler, void *userdata);

/* What the kernel tells of a subflow on a link with a tunnel: MPTCP_SUBFLOW_UP or MPTCP_SUBFLOW_GONE. */
typedef void (*ManagerSubflowHandler)(const Link *link, const MptcpEvent *event, void *userdata);

/* Somebody wants to know of subflows; NULL: nobody does. Events get lost where there are very many. */
void manager_watch_subflows(Manager *manager, ManagerSubflowHandler handler, void *userdata);

/* Adopts what an earlier service left, looks at all links, and tells systemd that the service is ready
 * when that is done. 0 or negative errno. */
int manager_start(Manager *manager);

/* The event loop that all of it runs in; the manager holds a reference. */
sd_event *manager_event(Manager *manager);

/* Hands a connection to the bus to the sources and to SCTP; NULL: the bus is gone. */
int manager_set_bus(Manager *manager, sd_bus *bus);

/* The links in the order in which they were found; index < manager_links_count(). */
size_t manager_links_count(const Manager *manager);
Link *manager_link_at(const Manager *manager, size_t index);

/* NULL: there is none. */
Link *manager_link(const Manager *manager, uint32_t ifindex);
Link *manager_link_by_name(const Manager *manager, const char *name);

/* Looks at all links again soon, and tries again what has just failed. */
void manager_insist_all(Manager *manager);

/* All files with settings as they are now. What is wrong in those that no link has goes to the journal,
 * once. 0 or -ENOMEM. */
int manager_survey(Manager *manager, Survey *ret);

/* Why BPF cannot be used, a message: no link gets a tunnel. "": it can be used. */
const char *manager_bpf_error(const Manager *manager);

/* Somebody insists: tries at once whether BPF can be used now. Otherwise that is tried from time to time. */
void manager_retry_bpf(Manager *manager);

/* What a dispatcher script reports about a link: NetworkManager's action. */
void manager_dispatch(Manager *manager, Link *link, const char *action);

/* Something has been asked for: the service does not leave for another while. */
void manager_reset_idle(Manager *manager);

/* CLOCK_MONOTONIC, microseconds, of the last manager_reset_idle(). */
uint64_t manager_last_work_us(const Manager *manager);

/* Whether a look at a link is due or under way. */
bool manager_is_busy(const Manager *manager);

/* Whether there is a reason to stay: a link with a tunnel or one that waits for it, or a profile that a
 * later link may match. */
bool manager_is_needed(const Manager *manager);

Tunnel *manager_tunnel(const Manager *manager);
const TunnelFeatures *manager_features(const Manager *manager);
bool manager_has_mptcp(const Manager *manager);
const Sources *manager_sources(const Manager *manager);
const Sctp *manager_sctp(const Manager *manager);
const Sockets *manager_sockets(const Manager *manager);
const Segmentation *manager_segmentation(const Manager *manager);
