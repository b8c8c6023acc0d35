/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * From facts and a profile to what shall be true of a link, and from there to the steps that make it so.
 *
 * The same input always gives the same plan.
 */

#include "plan/facts.h"
#include "plan/sctp.h"
#include "profile/profile.h"

typedef struct PlanInput {
        const Profile *profile;
        const LinkFacts *facts;
        const MptcpEndpoint *endpoints;   /* of the whole network namespace */
        size_t endpoints_count;
        bool held_off;                    /* the user said "deactivate" */
        bool taken_in;                    /* the route of tunnelled connections has moved to this link */
        uint32_t mtu_before;              /* plan_mtu_before() */
        bool ipv6_enabled;                /* on this link (net.ipv6.conf.IFACE.disable_ipv6 = 0) */
        struct underpass_port_range ephemeral_ports; /* net.ipv4.ip_local_port_range; first 0: unknown */
} PlanInput;

/* The least MTU of a link with IPv6 (RFC 8200, section 5). */
enum { IPV6_MTU_MIN = 1280 };

typedef enum PlanDecision {
        PLAN_OFF,      /* nothing asks for a tunnel, or the user said no */
        PLAN_WAIT,     /* tunnel=auto and no MPTCP endpoint on the link yet */
        PLAN_ATTACH,
        _PLAN_DECISION_MAX,
} PlanDecision;

typedef struct Plan {
        PlanDecision decision;
        char *reason;                     /* one translated sentence: why this decision */
        bool taken_in;                    /* only for connections that are in the tunnel already */
        bool raw_ip;                      /* programs for devices without Ethernet header */
        struct underpass_link link;       /* settings for the programs; slot is 0 here */
        uint32_t mtu;                     /* 0: leave alone */
        uint32_t endpoint_flags;          /* flags of the endpoints below */
        Address endpoints[UNDERPASS_SAVED_ENDPOINTS_MAX]; /* that Underpass has to own on this link */
        size_t endpoints_count;
        char **warnings;                  /* translated sentences */
} Plan;

/* What the service has done to a link so far. */
typedef struct Applied {
        bool attached;
        bool taken_in;                    /* only for connections that were in the tunnel already */
        bool raw_ip;
        struct underpass_link link;       /* as given to the programs, slot included */
        uint32_t mtu_original;            /* 0: MTU not touched */
        uint32_t mtu_set;
        bool mtu_changes;                 /* from another MTU of ours to mtu_set, at this moment */
        uint32_t endpoint_flags;
        Address endpoints[UNDERPASS_SAVED_ENDPOINTS_MAX];
        size_t endpoints_count;
} Applied;

/* The MTU that a link, which has mtu now, gets back when no profile asks for another one; 0: it keeps the
 * one that it has. */
uint32_t plan_mtu_before(const Applied *applied, uint32_t mtu);

/* Whether the programs know packets of such a link, which begin with an Ethernet or with an IP header. */
bool plan_knows_type(const LinkFacts *facts, bool *ret_raw_ip);

/*
 * Computes the plan. 0; -EINVAL when the profile cannot be applied to this link: *ret_error is then a
 * translated sentence (profile->error, a link of a type that carries no IP packets of its own, an MTU below
 * 1280 with IPv6 …) and *ret_plan is untouched; -ENOMEM.
 */
int plan_make(const PlanInput *input, Plan **ret_plan, char **ret_error);
Plan *plan_free(Plan *plan);

/*
 * What the link asks for of SCTP; 0: nothing. That is of the host rather than of the link, so it does not
 * matter whether there is a plan. Where the keys of the profile cannot be read, ports is untouched, unless
 * the link asks for nothing now, since it is down.
 */
void plan_sctp(const PlanInput *input, uint16_t ports[static _SCTP_PORT_MAX]);

/* Whether a link can have programs at all, whatever its profile. */
bool plan_can_attach(const LinkFacts *facts);

/* Whether two plans ask for the same; reasons and warnings do not matter. */
bool plan_equal(const Plan *a, const Plan *b);
DEFINE_CLEANUP(Plan *, plan_free);

/* In the order in which they are done. */
typedef enum PlanStep {
        STEP_REMOVE_ENDPOINTS = 1U << 0,  /* all endpoints of ours */
        STEP_REDUCE_ENDPOINTS = 1U << 1,  /* those of ours that the plan does not want */
        STEP_RESTORE_MTU = 1U << 2,
        STEP_DETACH = 1U << 3,
        STEP_ATTACH = 1U << 4,
        STEP_SETTINGS = 1U << 5,          /* attached already: give the programs their settings again */
        STEP_MTU = 1U << 6,
        STEP_ENDPOINTS = 1U << 7,         /* add the endpoints that are missing */
        STEP_GRACE = 1U << 8,             /* keep endpoints without address for a moment, then look again */
        STEP_REANNOUNCE = 1U << 9,        /* register endpoints again that were there before the tunnel */
        STEP_WATCH_SUBFLOWS = 1U << 10,   /* look in a while whether the endpoints have got their subflows */
        STEP_FORGET = 1U << 11,           /* drop what was learnt of destinations */
        STEP_RECEIVE = 1U << 12,          /* attached already: choose the receive mode again */
} PlanStep;

/* How a link stands now, apart from what has been applied to it. */
typedef struct PlanSituation {
        uint32_t mtu;
        bool up;              /* IFF_UP */
        bool unconfirmed;     /* what is attached is an earlier service's, or its programs have gone */
        bool receive_differs; /* the receive mode in use is not the one that was asked for */
        bool moved;           /* the link has come into another network */
        bool grace_over;      /* endpoints without address have been kept for their moment */
} PlanSituation;

/*
 * The steps from what is applied to what is wanted, all of them; 0: nothing to do. An MTU that others
 * changed is set again.
 *
 * STEP_SETTINGS comes also without any change when the situation is unconfirmed. STEP_RECEIVE comes when
 * receive_differs: what stood in the way may be gone. It attaches nothing anew, for the kernel would tell of
 * that, and lead to the next look. STEP_GRACE stands in the place of STEP_REDUCE_ENDPOINTS when nothing but
 * addresses has gone: systemd-networkd and DHCP clients take an address away and give it back, and a
 * removed endpoint would end its subflows. STEP_REANNOUNCE comes only when new connections begin to
 * use the tunnel, and only when the plan owns no endpoints itself. STEP_FORGET comes with other settings and
 * in another network: what was learnt may not hold any more.
 */
uint32_t plan_diff(const Applied *applied, const Plan *plan, const PlanSituation *situation);
