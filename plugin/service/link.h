/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One link: what is known about it, what is asked of it, what has been done to it. One function,
 * link_reconcile(), brings it in line, whatever the reason was to look at it.
 */

#include <systemd/sd-event.h>

#include "plan/facts.h"
#include "plan/plan.h"
#include "profile/profile.h"
#include "segment/segment.h"
#include "tunnel/tunnel.h"

typedef struct Manager Manager;
typedef struct Link Link;

typedef enum LinkState {
        LINK_OFF,
        LINK_WAITING,  /* tunnel=auto and no MPTCP endpoint yet */
        LINK_ACTIVE,
        LINK_FAILED,   /* last_error says why; an older attachment may still be in force */
        _LINK_STATE_MAX,
} LinkState;

typedef enum LinkStage {
        STAGE_NONE,
        STAGE_FACTS,
        STAGE_PROFILE,
        STAGE_LOAD,
        STAGE_SEGMENTATION,
        STAGE_ATTACH,
        STAGE_MTU,
        STAGE_ENDPOINT,
        _LINK_STAGE_MAX,
} LinkStage;

const char *link_state_name(LinkState state);
const char *link_stage_name(LinkStage stage);

/* Called once when a link has been settled, is gone, or the service ends (then manager->stopping). */
typedef void (*LinkSettled)(const Link *link, void *userdata);

typedef struct LinkWaiter {
        struct LinkWaiter *next;
        bool due;              /* the round under way was begun after the wish */
        LinkSettled settled;
        void *userdata;
} LinkWaiter;

struct Link {
        struct Link *next;
        Manager *manager;
        uint32_t ifindex;
        char *path;            /* D-Bus object path */
        bool exported;         /* announced on the bus */
        char **announced;      /* what was said there last: bus-link.c */

        LinkFacts *facts;      /* as of the last look; never NULL in the manager's list */
        Profile *profile;
        Applied applied;
        SegmentationDevice device;               /* ifindex 0: not attached, or not known yet */
        enum underpass_receive receive; /* in use, which may be another one than asked for … */
        char *receive_reason; /* … and why; NULL: it is that one */
        bool adopted;          /* found attached at start and not settled since */
        bool held_off;         /* the user said "deactivate" */
        uint32_t asked_by;     /* UNDERPASS_SAVED_FROM_…: whose profile asked for the tunnel, as recorded */
        uint16_t sctp_ports[_SCTP_PORT_MAX]; /* what it asks for, as of its last plan */

        LinkState state;
        char *reason;
        char *last_error;
        LinkStage last_stage;
        char **warnings;

        bool dirty;
        bool gone;             /* answers that still come are ignored */
        unsigned asking;       /* sources that have not answered yet */
        bool retried;          /* the one delayed retry after a failure has been used */
        sd_event_source *retry;
        sd_event_source *check; /* of the subflows, see announce.c */
        unsigned checks_left;
        sd_event_source *spare; /* of endpoints whose addresses have gone, see spare.c */
        bool spared;           /* they have been given their time */
        LinkWaiter *waiters;
};

int link_new(Link **ret, Manager *manager, uint32_t ifindex);
Link *link_free(Link *link);

/* Takes over what an earlier service recorded about this link. */
void link_adopt(Link *link);

/* Starts to bring the link in line; finishes at once or when the sources have answered. */
void link_reconcile(Link *link);

/* Calls settled when a look at the link that begins from now on has come to its end. -ENOMEM: it is not
 * called. */
int link_wait(Link *link, LinkSettled settled, void *userdata);

/* The service ends: calls whoever waits. */
void link_interrupt(Link *link);

/* The link does not exist any more: forgets it, its record and its pins. The Link stays valid for the
 * caller to free. */
void link_gone(Link *link);

/* Link name for messages, also when no facts are known yet. */
const char *link_name(const Link *link);

/* link-profile.c */

/* What all sources together say, as they answered last. */
int link_build_profile(const Link *link, Profile **ret);

/* Records whose profile asks for the tunnel that is attached now, for the next service. */
void link_record_source(Link *link);

/* True when the source that asked an earlier service for this tunnel has not answered yet: what is attached
 * stays as it is. */
bool link_better_wait(const Link *link);

/* apply.c */

/* Does the steps of plan_diff() in order; on failure undoes what this call did, in reverse, and returns
 * negative errno with *ret_stage and *ret_error (translated sentence, caller frees). */
int link_apply(Link *link, const Plan *plan, uint32_t steps, LinkStage *ret_stage, char **ret_error);

/* Takes over the MPTCP endpoints of a record, with the flags that they have in the kernel: to register one
 * anew costs its subflows. */
void link_adopt_endpoints(Link *link, const struct underpass_saved *saved);

/* apply-path.c */

/* The devices that the packets of a link pass with this device, and with the ingress in use. */
TunnelPath link_path(const Link *link, const SegmentationDevice *device);

/* The link redirects to this segmentation device from now on: devices that it was the last to use go. */
void link_take_segment(Link *link, const SegmentationDevice *device);

/* Brings the receiving side of an attached link in line with its settings; what cannot be had is
 * replaced. */
int link_choose_receive(Link *link);

/* Why the receiving side is what it is: a translated sentence. */
const char *link_receive_reason(const Link *link);

/* A link that an earlier service attached, and that is not settled yet, redirects to a segmentation
 * device that exists. */
int link_adopt_path(Link *link, LinkStage *ret_stage, char **ret_error);

/* The programs are off: forgets segmentation device and receiving side. */
void link_leave_path(Link *link);

/* announce.c */

/* STEP_ANNOUNCE: registers endpoints of others anew, once it has been answered that the tunnel is there: the
 * kernel takes its time for it, and nobody has to wait. */
void link_announce_endpoints(Link *link);

/* Looks a few times, in a while, whether the endpoints of the link have got their subflows, and announces
 * those anew that have not; 0 checks: not any more. */
void link_watch_subflows(Link *link, unsigned checks);

/* The steps of a plan without the removal of endpoints whose addresses may come back in a moment; the link
 * is looked at again when that is over. */
uint32_t link_spare_endpoints(Link *link, const Plan *plan, uint32_t steps);

/* Removes the MPTCP endpoints that Underpass added for this link: the kernel keeps them when address or
 * link go. */
void link_remove_endpoints(Link *link);
