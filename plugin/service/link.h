/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One link: what is known about it, what is asked of it, what has been done to it. One function,
 * link_reconcile(), brings it in line, whatever the reason was to look at it. Others read it through
 * getters and ask by verbs; it reports upwards by one callback.
 */

#include <systemd/sd-event.h>

#include "kernel/mptcp-events.h"
#include "kernel/mptcp-pm.h"
#include "kernel/rtnl.h"
#include "plan/plan.h"
#include "profile/profile.h"
#include "service/sctp.h"
#include "service/segmentation.h"
#include "service/sockets.h"
#include "service/sources.h"
#include "service/stage.h"
#include "service/strays.h"
#include "tunnel/tunnel.h"

typedef struct Link Link;

typedef enum LinkState {
        LINK_OFF,
        LINK_WAITING,  /* tunnel=auto and no MPTCP endpoint yet */
        LINK_ACTIVE,
        LINK_FAILED,   /* link_last_error() says why; an older attachment may still be in force */
        _LINK_STATE_MAX,
} LinkState;

/* Static string, never NULL. Names are API: property State, JSON. */
const char *link_state_name(LinkState state);

typedef enum LinkReport {
        LINK_REPORT_DIRTY,      /* has to be looked at */
        LINK_REPORT_PUBLISHED,  /* a look has ended: what the getters say may have changed */
        LINK_REPORT_SUBFLOWS,   /* it is time for link_retry_subflows() */
} LinkReport;

/* What a link works with. Outlives it. */
typedef struct LinkContext {
        sd_event *event;
        Rtnl *rtnl;
        MptcpPm *mptcp_pm;      /* NULL: the kernel has no MPTCP */
        Tunnel *tunnel;
        Segmentation *segmentation;
        Sockets *sockets;
        Sctp *sctp;
        Sources *sources;
        void (*report)(Link *link, LinkReport report, void *userdata);
        void *userdata;
} LinkContext;

typedef enum LinkOutcome {
        LINK_SETTLED,      /* looked at; the getters say what came of it */
        LINK_VANISHED,
        LINK_INTERRUPTED,  /* the service ends */
} LinkOutcome;

/* Called once. */
typedef void (*LinkSettled)(Link *link, LinkOutcome outcome, void *userdata);

/* Takes the facts. -ENOMEM: they are still the caller's. */
int link_new(Link **ret, const LinkContext *context, LinkFacts *facts);

/* Whoever waits is answered first. */
Link *link_free(Link *link);

/* Takes over what an earlier service recorded about this link, if anything: it counts as attached as it was
 * found. */
void link_adopt(Link *link);

/* The same for a link that is gone meanwhile: what the kernel keeps of it is removed, such as endpoints. */
void link_bury(const LinkContext *context, uint32_t ifindex);

/* Somebody, or ourselves, has changed filters of the link, or a whole qdisc: our filters have to follow, or
 * there may be room for them now. */
void link_filters_changed(Link *link, bool qdisc);

/* All links are adopted, or have lost their devices: the packets of this one take a way that exists. */
void link_adopt_path(Link *link);

/* Looks again soon: LINK_REPORT_DIRTY, and then somebody calls link_reconcile(). */
void link_mark(Link *link);

/* The same, and what has just failed is tried again: a new try, which has a delayed retry if it fails. */
void link_insist(Link *link);

/* Starts to bring a dirty link in line; finishes at once or when the sources have answered. */
void link_reconcile(Link *link);

/* Calls settled when a look at the link that begins from now on has come to its end, and asks for one.
 * alone: nothing but this link is waited for. -ENOMEM: it is not called. */
int link_settle(Link *link, bool alone, LinkSettled settled, void *userdata);

/* The service ends: answers whoever waits. What sources still answer is ignored from now on. */
void link_interrupt(Link *link);

/* The user, or an activation of the connection, takes back what "deactivate" said; "deactivate" by hand.
 * None of them looks at the link. */
void link_activate(Link *link);
void link_hold_off(Link *link);

/*
 * A tunnelled connection leaves by this link; moved: it was on another one before. A link without tunnel
 * gets programs for the connections that have moved to it, unless it was deactivated by hand or cannot
 * have any.
 */
StrayFate link_take_in(Link *link, bool moved);

/* All connections have been looked at since the last call: programs that only they needed go with the last
 * one. Returns whether such programs are there, or are to come. */
bool link_let_go(Link *link);

/* The helper devices have gone under it: what is attached gets them again, by link_adopt_path() and with all
 * settings in a look at it, whatever has failed before. */
void link_lose_devices(Link *link);

/* Registers MPTCP endpoints again that have no subflow, if there is a connection to join from one of these
 * addresses, those of all other links. When it is time to look again, LINK_REPORT_SUBFLOWS says so. */
void link_retry_subflows(Link *link, const Address *others, size_t others_count);

/* The kernel tells something of a subflow of this link, or of all. */
void link_mptcp_event(Link *link, const MptcpEvent *event);

/* Whether it matters what the kernel tells of MPTCP: the tunnel is there for connections that begin here, or
 * the link has endpoints. */
bool link_builds_subflows(const Link *link);

/* The link does not exist any more: forgets it, its record and its pins. It stays valid for the caller
 * to free. */
void link_gone(Link *link);

uint32_t link_ifindex(const Link *link);
const char *link_name(const Link *link);

/* As of the last look; never NULL. */
const LinkFacts *link_facts(const Link *link);

/* NULL: the sources have not answered yet. */
const Profile *link_profile(const Link *link);

LinkState link_state(const Link *link);
const char *link_reason(const Link *link);      /* why it is in this state: a message, "" without one */
const char *link_last_error(const Link *link);  /* a message, "" without one */
LinkStage link_last_stage(const Link *link);
char **link_warnings(const Link *link);         /* NULL-terminated; NULL: none */

const Applied *link_applied(const Link *link);
bool link_is_attached(const Link *link);
enum underpass_receive link_receive_mode(const Link *link);
const char *link_receive_reason(const Link *link);

/* Whether flows that bulk comes for by this link get tunnel sockets. */
bool link_gives_flows_sockets(const Link *link);

/* ifindex 0: none. */
const SegmentationDevice *link_device(const Link *link);

/* Whether a look is due or under way. */
bool link_is_busy(const Link *link);

/* Whether link_reconcile() has something to begin. */
bool link_is_due(const Link *link);

/* Whether somebody waits for what comes of a look at it alone. */
bool link_is_awaited(const Link *link);

/* Whether its profile asks for a tunnel in some way, held off or not. */
bool link_wants_tunnel(const Link *link);

/* Whether the plan depends on MPTCP endpoints that others register. */
bool link_depends_on_endpoints(const Link *link);
