/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See link.h. What is changed, and undone, is in apply.c. */

#include <stdio.h>

#include "base/message.h"
#include "base/log.h"
#include "kernel/sysctl.h"
#include "plan/network.h"
#include "service/apply.h"
#include "service/endpoints.h"
#include "service/link.h"
#include "service/path.h"
#include "service/record.h"
#include "service/subflow-watch.h"

enum {
        RETRY_US = 3 * 1000 * 1000,
        GRACE_US = 1000 * 1000,        /* that an endpoint gets whose address has gone */
};

/* Somebody who wants to know what comes of a look. */
typedef struct LinkWaiter {
        struct LinkWaiter *next;
        bool due;              /* the look under way was begun after the wish */
        bool alone;            /* waits for no other link */
        LinkSettled settled;
        void *userdata;
} LinkWaiter;

struct Link {
        const LinkContext *context;
        LinkFacts *facts;
        Profile *profile;       /* NULL: no source has answered yet */
        Network network;        /* that the link is in */
        bool moved;             /* it has come into another one, and has not forgotten the last one yet */
        Target target;          /* what apply.c and those below it see; they write what has been applied */
        bool unconfirmed;       /* not ours, without programs or devices, or half undone */
        bool bare;              /* others had taken its programs off when it was looked at last */
        bool held_off;          /* the user said "deactivate" */
        bool strayed;           /* in this look, a tunnelled connection leaves by this link */
        bool turned_away;       /* tunnelled connections were ended that were to leave by it */
        uint16_t sctp_ports[_SCTP_PORT_MAX]; /* what it asks for, as of its last look */

        LinkState state;
        char *reason;
        char *last_error;
        LinkStage last_stage;
        char **warnings;

        bool dirty;
        bool gone;              /* answers that still come are ignored */
        unsigned asking;        /* sources that have not answered yet */
        bool insist;            /* somebody asks for this look: what has just failed is tried again */
        Plan *failed_plan;      /* NULL: the last look has not failed to apply one */
        uint32_t failed_steps;
        bool stuck;             /* the last look has failed to take programs off that do not fit */
        bool retried;           /* the one delayed retry after a failure has been used */
        sd_event_source *retry;
        sd_event_source *grace; /* of endpoints whose addresses have gone */
        bool grace_over;
        SubflowWatch *subflows;
        bool brings_subflows;   /* it had an MPTCP endpoint in the latest look */
        LinkWaiter *waiters;
};

static const char *const state_names[] = {
        [LINK_OFF] = "off",
        [LINK_WAITING] = "waiting",
        [LINK_ACTIVE] = "active",
        [LINK_FAILED] = "failed",
};
ASSERT_TABLE_COMPLETE(state_names, _LINK_STATE_MAX);

const char *link_state_name(LinkState state) {
        return state_names[state];
}

/* A line of the journal about a link; stage as a word, or NULL. */
#define log_link(link, level, stage_name, ...)                                                \
        log_about(level,                                                                      \
                  &(LogAbout) {                                                               \
                          .interface = link_name(link),                                       \
                          .connection = (link)->profile ? (link)->profile->connection_uuid : NULL, \
                          .stage = stage_name,                                                \
                  },                                                                          \
                  __VA_ARGS__)

static void report(Link *link, LinkReport what) {
        link->context->report(link, what, link->context->userdata);
}

static void on_subflows_due(void *userdata) {
        Link *link = userdata;

        if (link->target.applied.attached)
                report(link, LINK_REPORT_SUBFLOWS);
}

/* Takes the facts of a new look. */
static void take_facts(Link *link, LinkFacts *facts) {
        if (link->facts && !(link->facts->flags & IFF_RUNNING) && (facts->flags & IFF_RUNNING))
                subflow_watch_hurry(link->subflows);
        rtnl_facts_free(link->facts);
        link->facts = facts;
        snprintf(link->target.name, sizeof(link->target.name), "%s", facts->name);
        link->target.mtu = facts->mtu;
}

static Target target_of(const LinkContext *context, uint32_t ifindex) {
        return (Target) {
                .ifindex = ifindex,
                .tunnel = context->tunnel,
                .mptcp_pm = context->mptcp_pm,
                .segmentation = context->segmentation,
                .sockets = context->sockets,
        };
}

int link_new(Link **ret, const LinkContext *context, LinkFacts *facts) {
        Link *link = calloc(1, sizeof(*link));
        int r;

        if (!link)
                return -ENOMEM;
        link->context = context;
        link->target = target_of(context, facts->ifindex);
        r = subflow_watch_new(&link->subflows, context->event, on_subflows_due, link);
        if (r >= 0)
                r = sctp_await(context->sctp, facts->ifindex);
        if (r < 0) {
                subflow_watch_free(link->subflows);
                free(link);
                return r;
        }
        take_facts(link, facts);
        *ret = link;
        return 0;
}

/* Those who came while a look was under way wait for the next one: the sources may have been asked
 * before what they want to see came true. */
static void wake_waiters(Link *link, bool all, LinkOutcome outcome) {
        LinkWaiter **position = &link->waiters;

        while (*position) {
                LinkWaiter *waiter = *position;

                if (!all && !waiter->due) {
                        position = &waiter->next;
                        continue;
                }
                *position = waiter->next;
                waiter->settled(link, outcome, waiter->userdata);
                free(waiter);
        }
}

Link *link_free(Link *link) {
        if (!link)
                return NULL;
        wake_waiters(link, true, LINK_INTERRUPTED);
        sd_event_source_disable_unref(link->retry);
        subflow_watch_free(link->subflows);
        sd_event_source_disable_unref(link->grace);
        rtnl_facts_free(link->facts);
        network_clear(&link->network);
        profile_free(link->profile);
        strings_free(link->warnings);
        plan_free(link->failed_plan);
        free(link->reason);
        free(link->last_error);
        free(link->target.receive_error);
        free(link);
        return NULL;
}


void link_mark(Link *link) {
        link->dirty = true;
        report(link, LINK_REPORT_DIRTY);
}

/* This look is a new try: if it fails, it has a delayed retry of its own, whatever has failed before. */
static void begin_anew(Link *link) {
        link->insist = true;
        link->retried = false;
        link->retry = sd_event_source_disable_unref(link->retry);
}

void link_insist(Link *link) {
        begin_anew(link);
        link_mark(link);
}

int link_settle(Link *link, bool alone, LinkSettled settled, void *userdata) {
        LinkWaiter *waiter = calloc(1, sizeof(*waiter)), **last = &link->waiters;

        if (!waiter)
                return -ENOMEM;
        *waiter = (LinkWaiter) { .alone = alone, .settled = settled, .userdata = userdata };
        while (*last)
                last = &(*last)->next;
        *last = waiter;
        link_insist(link);
        return 0;
}

void link_interrupt(Link *link) {
        link->gone = true;
        wake_waiters(link, true, LINK_INTERRUPTED);
}

void link_adopt(Link *link) {
        struct underpass_saved saved = {};

        if (record_adopt(&link->target, &saved) < 0)
                return;
        endpoints_adopt(&link->target, &saved);
        (void) segmentation_claim(link->context->segmentation, link->target.ifindex);
        subflow_watch_proven(link->subflows, 0);
        link->unconfirmed = true;
        link->target.asked_by = saved.flags & UNDERPASS_SAVED_FROM;
        link->target.taken_in = saved.flags & UNDERPASS_SAVED_TAKEN_IN;
        log_link(link, LOG_INFO, NULL, "Adopted the tunnel of an earlier service.");
}

void link_bury(const LinkContext *context, uint32_t ifindex) {
        Target target = target_of(context, ifindex);
        struct underpass_saved saved = {};

        if (record_adopt(&target, &saved) >= 0)
                endpoints_adopt(&target, &saved);
        apply_forget(&target, true);
}

void link_adopt_path(Link *link) {
        _cleanup_(freep) char *error = NULL;
        LinkStage stage = STAGE_NONE;

        if (link->target.applied.attached && path_adopt(&link->target, &stage, &error) < 0)
                log_link(link, LOG_ERR, link_stage_name(stage), "%s",
                         error ?: "No segmentation device can be created.");
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Link *link = userdata;

        link->retry = sd_event_source_disable_unref(link->retry);
        log_link(link, LOG_DEBUG, NULL, "Retrying what has failed.");
        link->insist = true;
        link_mark(link);
        return 0;
}

static void schedule_retry(Link *link) {
        if (link->retried || link->retry)
                return;
        link->retried = true;
        (void) sd_event_add_time_relative(link->context->event, &link->retry, CLOCK_MONOTONIC, RETRY_US, 0,
                                          on_retry, link);
}

/* A try that fails makes and removes things itself, so the next one comes in a while. */
void link_filters_changed(Link *link, bool qdisc) {
        if (link->target.applied.attached)
                link_mark(link);
        if (qdisc && link->state == LINK_FAILED && link->last_stage == STAGE_ATTACH) {
                link->retried = false;
                schedule_retry(link);
        }
}

/* The look has come to its end: who shows the link looks at all that the getters say. */
static void finish(Link *link) {
        link->asking = 0;
        report(link, LINK_REPORT_PUBLISHED);
        wake_waiters(link, false, LINK_SETTLED);
}

/* Publishes what has come out, in one place for success and failure. Takes reason and error over. What has
 * failed before is no longer told, and so it is not kept from being tried again. */
static void publish(Link *link, LinkState state, char *reason, LinkStage stage, char *error) {
        bool news =
                state != link->state || (error && (!link->last_error || !streq(error, link->last_error)));

        link->failed_plan = plan_free(link->failed_plan);
        link->stuck = false;
        link->state = state;
        free(link->reason);
        link->reason = reason;
        free(link->last_error);
        link->last_error = error;
        link->last_stage = stage;
        if (error) {
                if (news)
                        log_link(link, LOG_ERR, link_stage_name(stage), "%s", error);
                if (stage != STAGE_PROFILE)
                        schedule_retry(link);
        } else {
                link->retried = false;
                if (news)
                        log_link(link, LOG_INFO, NULL, "Now %s: %s", link_state_name(state),
                                 reason ?: "");
        }
        finish(link);
}

/* The sysctls that only warnings need; failures are no reason not to have a tunnel. */
static void read_inputs(Link *link, PlanInput *input) {
        if (sysctl_ipv6_enabled(link->facts->name, &input->ipv6_enabled) < 0)
                input->ipv6_enabled = true; /* the stricter assumption */
        if (link->profile->settings.tunnel == TUNNEL_NO)
                return;
        (void) sysctl_ephemeral_ports(&input->ephemeral_ports);
}

static int make_plan(Link *link, Plan **ret_plan, char **ret_error) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        PlanInput input = {
                .profile = link->profile,
                .facts = link->facts,
                .held_off = link->held_off,
                .taken_in = link->target.taken_in,
                .mtu_before = plan_mtu_before(&link->target.applied, link->facts->mtu),
        };

        if (link->context->mptcp_pm &&
            mptcp_pm_dump(link->context->mptcp_pm, &endpoints, &input.endpoints_count) >= 0)
                input.endpoints = endpoints;
        plan_sctp(&input, link->sctp_ports);
        link->brings_subflows = endpoints_bring_subflows(&link->target, endpoints, input.endpoints_count);
        read_inputs(link, &input);
        return plan_make(&input, ret_plan, ret_error);
}

/* What the link asks for of SCTP, which is of the host and has nothing to do with the tunnel. */
static void claim_sctp(Link *link, bool certain) {
        SctpClaim claim = {
                .ifindex = link->target.ifindex,
                .link = link_name(link),
                .profile = link->profile,
        };

        memcpy(claim.ports, link->sctp_ports, sizeof(claim.ports));
        (void) sctp_claim(link->context->sctp, &claim, certain);
}

/* Warnings that depend on what has been done. */
static void add_warnings(const Link *link, char ***warnings) {
        const bool attached = link->target.applied.attached;
        _cleanup_(freep) char *operand = string_shell_operand(link_name(link));

        (void) sctp_add_warnings(link->context->sctp, link->target.ifindex, warnings);
        (void) apply_add_warnings(&link->target, warnings);
        for (size_t i = 0; i < strings_count(link->profile->warnings); i++)
                (void) strings_add(warnings, link->profile->warnings[i]);
        if (attached && tunnel_programs_before(link->context->tunnel, link->target.ifindex) > 0)
                (void) message_add(
                        warnings,
                        N_("Another program runs before the tunnel on %s and may keep packets from "
                           "it; `underpassctl deactivate %s` and `underpassctl activate %s` put the "
                           "tunnel first."),
                        link_name(link), operand ?: "LINK", operand ?: "LINK");
        if (attached && link->target.receive_error)
                (void) strings_add(warnings, link->target.receive_error);
        if (link->turned_away)
                (void) message_add(warnings,
                                   N_("Tunnelled connections whose route had moved to %s were ended, "
                                      "because it has no tunnel and can have none now."),
                                   link_name(link));
}

/* What counts whether the plan can be applied or not: what the link asks for of SCTP, and all warnings.
 * planned: its profile says what it asks for. Takes the warnings of the plan over; new ones are logged. */
static void publish_warnings(Link *link, bool planned, char **warnings) {
        const bool uncertain = sources_uncertain(link->context->sources, link->target.ifindex);

        claim_sctp(link, !uncertain && (planned || !link->unconfirmed));
        add_warnings(link, &warnings);
        for (size_t i = 0; i < strings_count(warnings); i++)
                if (!strings_contain(link->warnings, warnings[i]))
                        log_link(link, LOG_WARNING, NULL, "%s", warnings[i]);
        strings_free(link->warnings);
        link->warnings = warnings;
}

static LinkState state_of(const Plan *plan) {
        static const LinkState states[_PLAN_DECISION_MAX] = {
                [PLAN_OFF] = LINK_OFF,
                [PLAN_WAIT] = LINK_WAITING,
                [PLAN_ATTACH] = LINK_ACTIVE,
        };

        return states[plan->decision];
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata) {
        Link *link = userdata;

        link->grace = sd_event_source_disable_unref(link->grace);
        link->grace_over = true;
        link_mark(link);
        return 0;
}

/* STEP_GRACE. A grace that has begun goes on; one that is not needed any more ends. */
static void keep_grace(Link *link, bool needed) {
        link->grace_over = false;
        if (!needed)
                link->grace = sd_event_source_disable_unref(link->grace);
        else if (!link->grace)
                (void) sd_event_add_time_relative(link->context->event, &link->grace, CLOCK_MONOTONIC,
                                                  GRACE_US, 0, on_grace_over, link);
}

void link_retry_subflows(Link *link, const Address *others, size_t others_count) {
        const bool missed = subflow_watch_misses(link->subflows);

        subflow_watch_looked(link->subflows,
                             endpoints_retry_subflows(&link->target, others, others_count, missed));
}

void link_mptcp_event(Link *link, const MptcpEvent *event) {
        if (!link->target.applied.attached)
                return;
        switch (event->kind) {
        case MPTCP_CONNECTION_GONE:
                subflow_watch_freed(link->subflows, event->token);
                return;
        case MPTCP_SUBFLOW_UP:
                subflow_watch_proven(link->subflows, event->token);
                return;
        case MPTCP_SUBFLOW_GONE:
        case MPTCP_EVENTS_LOST:
                subflow_watch_lost(link->subflows, event->token, event->refused);
                return;
        }
}

/* What plan_diff() needs to know of the link as it is. */
static uint32_t find_steps(Link *link, const Plan *plan) {
        const Target *target = &link->target;
        PlanSituation situation = {
                .mtu = target->mtu,
                .up = link->facts->flags & IFF_UP,
                .receive_differs = target->receive_error != NULL,
                .moved = link->moved,
                .grace_over = link->grace_over,
        };

        /* Programs that others took off are attached again, with all settings. Each loss is news, also where
         * a tunnel of before is in force because this plan has failed: it may have been unconfirmed already,
         * so the steps need not tell. */
        if (target->applied.attached && !tunnel_attached(target->tunnel, target->ifindex)) {
                if (!link->bare)
                        begin_anew(link);
                link->bare = link->unconfirmed = true;
        } else
                link->bare = false;
        situation.unconfirmed = link->unconfirmed;
        return plan_diff(&target->applied, plan, &situation);
}

/*
 * What was done and undone sends events, which lead to the next look. It would fail just so, and so on for
 * ever: without somebody who insists, the same steps of the same plan are not tried again, except once in
 * each network. What is to be forgotten depends on that alone.
 */
static bool has_just_failed(Link *link, const Plan *plan, uint32_t steps) {
        const bool insist = link->insist;

        link->insist = false;
        if (link->failed_plan && !insist && !link->moved &&
            ((steps ^ link->failed_steps) & ~(uint32_t) STEP_FORGET) == 0 &&
            plan_equal(plan, link->failed_plan))
                return true;
        link->failed_plan = plan_free(link->failed_plan);
        return false;
}

/* STEP_FORGET, and whatever has become of the other steps if the link has moved. */
static void forget(Link *link) {
        int count;

        link->moved = false;
        count = tunnel_forget(link->context->tunnel,
                              &(TunnelDestinations) { .ifindex = link->target.ifindex });
        log_link(link, LOG_INFO, NULL,
                 "Another network or other settings; destinations forgotten: %d.", count);
}

/* Applies a plan, and publishes what came of it. */
static void carry_out(Link *link, Plan **plan_in) {
        _cleanup_(plan_freep) Plan *plan = TAKE_PTR(*plan_in);
        const uint32_t steps = find_steps(link, plan), asked_by = link->target.asked_by;
        struct underpass_saved saved = {};
        LinkStage stage = STAGE_NONE;
        char *error = NULL;
        int r;

        log_link(link, LOG_DEBUG, NULL, "Plan: %s; steps 0x%x.", plan->reason ?: "", steps);
        keep_grace(link, steps & STEP_GRACE);
        if (has_just_failed(link, plan, steps)) {
                publish_warnings(link, true, TAKE_PTR(plan->warnings));
                finish(link);
                return;
        }
        if (plan->decision == PLAN_ATTACH)
                link->target.asked_by = sources_asked_by(link->context->sources, link->profile, asked_by);
        /* A tunnel of its own carries what moves here, too. */
        if (plan->decision == PLAN_ATTACH && !plan->taken_in)
                link->target.taken_in = false;
        r = apply_steps(&link->target, plan, steps, &stage, &error);
        link->facts->mtu = link->target.mtu;
        if (r >= 0)
                link->unconfirmed = false;
        publish_warnings(link, true, TAKE_PTR(plan->warnings));
        if (r < 0) {
                /* What has failed may have left a record, or more: a first try that could not be undone, or
                 * programs of before that went with it. */
                if (!link->target.applied.attached &&
                    tunnel_saved_get(link->context->tunnel, link->target.ifindex, &saved) != -ENOENT)
                        link->unconfirmed = true;
                link->target.asked_by = asked_by;
                publish(link, LINK_FAILED,
                        strdup(M_("Applying the profile failed; changes were rolled back.")), stage,
                        error);
                link->failed_plan = TAKE_PTR(plan);
                link->failed_steps = steps;
                return;
        }
        if (steps & STEP_FORGET)
                forget(link);
        if (plan->decision == PLAN_ATTACH)
                (void) record_write_reason(&link->target);
        if (link->target.applied.attached && tunnel_follow(link->context->tunnel, link->target.ifindex) < 0)
                log_link(link, LOG_WARNING, link_stage_name(STAGE_ATTACH), "%s",
                         tunnel_error(link->context->tunnel));
        publish(link, state_of(plan), TAKE_PTR(plan->reason), STAGE_NONE, NULL);
        if (steps & STEP_REANNOUNCE)
                endpoints_reannounce(&link->target,
                                     sources_activating(link->context->sources, link->target.ifindex));
        if ((steps & STEP_WATCH_SUBFLOWS) && link->context->mptcp_pm)
                subflow_watch_begin(link->subflows);
}

/* What an earlier service attached stays until the one who asked for it has spoken. */
static bool better_wait(const Link *link) {
        return link->target.applied.attached && link->unconfirmed && !link->held_off &&
               !link->target.taken_in &&
               sources_better_wait(link->context->sources, link->target.ifindex, link->profile,
                                   link->target.asked_by);
}

static bool has_misfits(const Link *link) {
        const Applied *applied = &link->target.applied;
        bool raw_ip;

        return applied->attached && !(plan_knows_type(link->facts, &raw_ip) && raw_ip == applied->raw_ip);
}

/*
 * The type of a link can change under its tunnel. Programs for the one kind of packets read and write others
 * at the wrong places, so they go even where no plan can be made. -EALREADY: that has just failed, and would
 * again; it sends events as a plan does.
 */
static int take_off_misfits(Link *link, LinkStage *ret_stage, char **ret_error) {
        const PlanSituation situation = { .mtu = link->target.mtu };
        const Plan off = { .decision = PLAN_OFF };
        int r;

        if (link->stuck && !link->insist)
                return -EALREADY;
        link->insist = false;
        r = apply_steps(&link->target, &off, plan_diff(&link->target.applied, &off, &situation), ret_stage,
                        ret_error);
        link->facts->mtu = link->target.mtu;
        return r;
}

/*
 * Where no plan is made, what is in force stays in force: programs that others took off come back with the
 * settings that they had. Each loss is one try, unless somebody insists; the plan that comes one day has
 * steps for what is still missing. -EALREADY: they are missing since an earlier try; other errors are those
 * of this one.
 */
static int restore_programs(Link *link, LinkStage *ret_stage, char **ret_error) {
        Target *target = &link->target;
        const Plan before = {
                .decision = PLAN_ATTACH,
                .raw_ip = target->applied.raw_ip,
                .taken_in = target->applied.taken_in,
                .link = target->applied.link,
        };
        const bool lost = target->applied.attached && !tunnel_attached(target->tunnel, target->ifindex);
        const bool tried = link->bare && !link->insist;
        int r;

        link->bare = lost;
        if (!lost || tried)
                return lost ? -EALREADY : 0;
        link->insist = false;
        r = apply_steps(target, &before, STEP_ATTACH, ret_stage, ret_error);
        if (r >= 0) {
                log_link(link, LOG_INFO, NULL, "Attached again what others had taken off.");
                return 0;
        }
        /* What is left of them is a record. */
        if (!target->applied.attached)
                link->unconfirmed = true;
        return r;
}

/* The same where the state has another reason to tell. */
static void restore_silently(Link *link) {
        _cleanup_(freep) char *error = NULL;
        LinkStage stage = STAGE_NONE;

        if (restore_programs(link, &stage, &error) < 0 && error)
                log_link(link, LOG_ERR, link_stage_name(stage), "%s", error);
}

/* There is no plan. Takes the error over. */
static void reject(Link *link, char *error) {
        const bool misfits = has_misfits(link);
        LinkStage stage = STAGE_PROFILE;
        char *stuck_error = NULL;
        const int r = misfits ? take_off_misfits(link, &stage, &stuck_error) : 0;

        if (!misfits)
                restore_silently(link);
        publish_warnings(link, false, NULL);
        if (r < 0)
                free(error);
        if (r == -EALREADY) {
                finish(link);
                return;
        }
        if (r < 0) {
                publish(link, LINK_FAILED,
                        strdup(M_("The type of the link has changed, and the profile cannot be applied; "
                                  "the tunnel could not be detached.")),
                        stage, stuck_error);
                link->stuck = true;
                return;
        }
        publish(link, LINK_FAILED,
                strdup(misfits ? M_("The type of the link has changed, and the profile cannot be applied; "
                                    "the tunnel was detached.")
                               : M_("The profile cannot be applied; the link was left as it is.")),
                stage, error);
}

/* It is too early for a plan. */
static void leave_unchanged(Link *link) {
        _cleanup_(freep) char *error = NULL;
        LinkStage stage = STAGE_NONE;
        int r;

        if (link->profile->unread) {
                restore_silently(link);
                publish(link, LINK_FAILED,
                        strdup(M_("The profile cannot be read; the link was left as it is.")),
                        STAGE_PROFILE, strdup(link->profile->unread));
                return;
        }
        r = restore_programs(link, &stage, &error);
        if (r == -EALREADY && link->state == LINK_FAILED)
                finish(link); /* it has been told */
        else if (r < 0)
                publish(link, LINK_FAILED,
                        strdup(M_("Others took the programs off the link, and they cannot come back.")),
                        stage, TAKE_PTR(error));
        else
                publish(link, LINK_ACTIVE,
                        strdup(M_("Left unchanged until the network manager reports the active "
                                  "profile.")),
                        STAGE_NONE, NULL);
}

/* All sources have answered: plan, compare, apply, publish. */
static void settle(Link *link) {
        _cleanup_(plan_freep) Plan *plan = NULL;
        Profile *profile = NULL;
        char *error = NULL;
        int r;

        r = sources_profile(link->context->sources, link->facts, &profile);
        if (r < 0) {
                publish(link, LINK_FAILED, NULL, STAGE_FACTS,
                        message_format(N_("Cannot read the profiles: %s."), MESSAGE_ERRNO(r)));
                return;
        }
        profile_free(link->profile);
        link->profile = profile;
        if (network_follow(&link->network, link->facts, profile) > 0)
                link->moved = true;
        claim_sctp(link, false); /* what it asks for follows */
        /* As with NetworkManager, an activation of the connection ends what "deactivate" said before it. */
        if (profile->network_down)
                link->held_off = false;
        if (better_wait(link)) {
                leave_unchanged(link);
                return;
        }
        /* What NetworkManager has undone of the profile already, such as the ban of IPv6, is no reason to
         * begin something that goes in a moment. */
        if (!link->target.applied.attached &&
            sources_deactivating(link->context->sources, link->target.ifindex)) {
                wake_waiters(link, false, LINK_SETTLED);
                return;
        }
        r = make_plan(link, &plan, &error);
        if (r < 0) {
                reject(link, error ?: strdup(MESSAGE_ERRNO(r)));
                return;
        }
        carry_out(link, &plan);
}

static void on_answer(void *userdata) {
        Link *link = userdata;

        if (link->gone || --link->asking > 0)
                return;
        (void) sources_take_wish(link->context->sources, link->target.ifindex, &link->held_off);
        settle(link);
        /* A tunnel that is in force although its plan has failed, or could not be made, has moved, too; so
         * has one that has lost its programs, while its record is there. */
        if (link->moved && (link->target.applied.attached || link->unconfirmed))
                forget(link);
        link->moved = false;
        sources_show(link->context->sources, link->target.ifindex, !link->held_off);
        if (link->dirty)
                link_mark(link);
}

void link_reconcile(Link *link) {
        LinkFacts *facts = NULL;
        int r;

        if (!link_is_due(link))
                return;
        link->dirty = false;
        for (LinkWaiter *waiter = link->waiters; waiter; waiter = waiter->next)
                waiter->due = true;
        r = rtnl_link(link->context->rtnl, link->target.ifindex, &facts);
        if (r == -ENODEV)
                return; /* the message that tells so is on its way */
        if (r < 0) {
                publish(link, LINK_FAILED, NULL, STAGE_FACTS,
                        message_format(N_("Cannot read the link by netlink: %s."), MESSAGE_ERRNO(r)));
                return;
        }
        take_facts(link, facts);
        (void) sctp_await(link->context->sctp, link->target.ifindex);
        sources_ask(link->context->sources, link->facts, on_answer, link, &link->asking);
}

void link_activate(Link *link) {
        link->held_off = false;
}

void link_hold_off(Link *link) {
        link->held_off = true;
}

/* While a look at it is due, nobody knows whether it can have programs. */
StrayFate link_take_in(Link *link, bool moved) {
        link->strayed = true;
        if (link->target.applied.attached) {
                link->turned_away = false;
                return STRAY_CARRIED;
        }
        if (!moved)
                return STRAY_CARRIED;
        if (link_is_busy(link))
                return STRAY_AWAITED;
        if (!link->target.taken_in && !link->held_off && plan_can_attach(link->facts)) {
                link->target.taken_in = true;
                link_mark(link);
                return STRAY_AWAITED;
        }
        if (link->target.taken_in || !link->turned_away)
                link_mark(link);
        link->target.taken_in = false;
        link->turned_away = true;
        return STRAY_ENDS;
}

bool link_let_go(Link *link) {
        if (link->target.taken_in && !link->strayed && !link_is_busy(link)) {
                link->target.taken_in = false;
                link_mark(link);
        }
        link->strayed = false;
        return link->target.taken_in;
}

void link_lose_devices(Link *link) {
        if (!link->target.applied.attached)
                return;
        path_lose(&link->target);
        link->unconfirmed = true;
        link_insist(link);
}

void link_gone(Link *link) {
        link->gone = true;
        memset(link->sctp_ports, 0, sizeof(link->sctp_ports));
        sctp_drop(link->context->sctp, link->target.ifindex);
        apply_forget(&link->target, link->unconfirmed);
        sources_forget(link->context->sources, link->target.ifindex);
        wake_waiters(link, true, LINK_VANISHED);
}

uint32_t link_ifindex(const Link *link) {
        return link->target.ifindex;
}

const char *link_name(const Link *link) {
        return link->facts->name;
}

const LinkFacts *link_facts(const Link *link) {
        return link->facts;
}

const Profile *link_profile(const Link *link) {
        return link->profile;
}

LinkState link_state(const Link *link) {
        return link->state;
}

const char *link_reason(const Link *link) {
        return link->reason ?: "";
}

const char *link_last_error(const Link *link) {
        return link->last_error ?: "";
}

LinkStage link_last_stage(const Link *link) {
        return link->last_stage;
}

char **link_warnings(const Link *link) {
        return link->warnings;
}

const Applied *link_applied(const Link *link) {
        return &link->target.applied;
}

bool link_is_attached(const Link *link) {
        return link->target.applied.attached;
}

enum underpass_receive link_receive_mode(const Link *link) {
        return link->target.receive;
}

const char *link_receive_reason(const Link *link) {
        return path_receive_reason(&link->target);
}

bool link_gives_flows_sockets(const Link *link) {
        return link_is_attached(link) && path_gives_flows_sockets(&link->target);
}

const SegmentationDevice *link_device(const Link *link) {
        return &link->target.device;
}

bool link_is_busy(const Link *link) {
        return link->dirty || link->asking > 0;
}

/* A look that is under way is followed by another one. */
bool link_is_due(const Link *link) {
        return link->dirty && link->asking == 0;
}

bool link_is_awaited(const Link *link) {
        for (const LinkWaiter *waiter = link->waiters; waiter; waiter = waiter->next)
                if (waiter->alone)
                        return true;
        return false;
}

bool link_wants_tunnel(const Link *link) {
        return link->profile && link->profile->settings.tunnel != TUNNEL_NO;
}

bool link_builds_subflows(const Link *link) {
        const Applied *applied = &link->target.applied;

        return applied->attached && (applied->link.remote_ports_count > 0 || applied->endpoints_count > 0 ||
                                     link->brings_subflows);
}

bool link_depends_on_endpoints(const Link *link) {
        return link->profile && link->profile->settings.tunnel == TUNNEL_AUTO && !link->held_off;
}
