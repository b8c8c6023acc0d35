/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See link.h.  What is changed, and undone, is in apply.c. */

#include <stdio.h>

#include "base/i18n.h"
#include "base/log.h"
#include "kernel/link-tune.h"
#include "kernel/sock-diag.h"
#include "service/manager.h"

enum { RETRY_US = 3 * 1000 * 1000 };

const char *link_state_name(LinkState state) {
        static const char *const names[_LINK_STATE_MAX] = {
                [LINK_OFF] = "off",
                [LINK_WAITING] = "waiting",
                [LINK_ACTIVE] = "active",
                [LINK_FAILED] = "failed",
        };

        return names[state];
}

const char *link_stage_name(LinkStage stage) {
        static const char *const names[_LINK_STAGE_MAX] = {
                [STAGE_NONE] = "",
                [STAGE_FACTS] = "facts",
                [STAGE_PROFILE] = "profile",
                [STAGE_LOAD] = "load",
                [STAGE_SEGMENTATION] = "segmentation",
                [STAGE_ATTACH] = "attach",
                [STAGE_MTU] = "mtu",
                [STAGE_ENDPOINT] = "endpoint",
        };

        return names[stage];
}

const char *link_name(const Link *link) {
        return link->facts ? link->facts->name : "?";
}

int link_new(Link **ret, Manager *manager, uint32_t ifindex) {
        char name[16];
        Link *link = calloc(1, sizeof(*link));
        int r;

        if (!link)
                return -ENOMEM;
        link->manager = manager;
        link->ifindex = ifindex;
        snprintf(name, sizeof(name), "%u", ifindex);
        r = sd_bus_path_encode(BUS_LINK_PREFIX, name, &link->path);
        if (r < 0) {
                free(link);
                return r;
        }
        *ret = link;
        return 0;
}

/* Those who came while a round was under way wait for the next one: the sources may have been asked before
 * what they want to see came true. */
static void wake_waiters(Link *link, bool all) {
        LinkWaiter **position = &link->waiters;

        while (*position) {
                LinkWaiter *waiter = *position;

                if (!all && !waiter->due) {
                        position = &waiter->next;
                        continue;
                }
                *position = waiter->next;
                waiter->settled(link, waiter->userdata);
                free(waiter);
        }
}

Link *link_free(Link *link) {
        if (!link)
                return NULL;
        wake_waiters(link, true);
        sd_event_source_disable_unref(link->retry);
        sd_event_source_disable_unref(link->check);
        sd_event_source_disable_unref(link->spare);
        link_facts_free(link->facts);
        profile_free(link->profile);
        strings_free(link->warnings);
        strings_free(link->announced);
        free(link->reason);
        free(link->last_error);
        free(link->receive_reason);
        free(link->path);
        free(link);
        return NULL;
}

int link_wait(Link *link, LinkSettled settled, void *userdata) {
        LinkWaiter *waiter = calloc(1, sizeof(*waiter)), **last = &link->waiters;

        if (!waiter)
                return -ENOMEM;
        *waiter = (LinkWaiter) { .settled = settled, .userdata = userdata };
        while (*last)
                last = &(*last)->next;
        *last = waiter;
        return 0;
}

void link_interrupt(Link *link) {
        wake_waiters(link, true);
}

void link_adopt(Link *link) {
        Tunnel *tunnel = link->manager->tunnel;
        struct underpass_saved saved = {};

        if (tunnel_saved_get(tunnel, link->ifindex, &saved) < 0)
                return;
        link->adopted = true;
        link->asked_by = saved.flags & UNDERPASS_SAVED_FROM;
        link->applied.raw_ip = saved.flags & UNDERPASS_SAVED_RAW_IP;
        link->applied.mtu_original = saved.mtu_original;
        link->applied.mtu_set = saved.mtu_set;
        link_adopt_endpoints(link, &saved);
        /* A record without attachment is what a service leaves that was killed in between: undone or
         * completed by the next plan. */
        link->applied.attached = tunnel_link(tunnel, link->ifindex, &link->applied.link) == 0;
        log_line(LOG_INFO, NULL, NULL, "Link %u: adopted the tunnel of an earlier service.", link->ifindex);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Link *link = userdata;

        link->retry = sd_event_source_disable_unref(link->retry);
        manager_mark(link->manager, link->ifindex);
        return 0;
}

static void schedule_retry(Link *link) {
        if (link->retried || link->retry)
                return;
        link->retried = true;
        (void) sd_event_add_time_relative(link->manager->event, &link->retry, CLOCK_MONOTONIC, RETRY_US, 0,
                                          on_retry, link);
}

/* Publishes what has come out, in one place for success and failure. Takes reason and error over. */
static void conclude(Link *link, LinkState state, char *reason, LinkStage stage, char *error) {
        bool news =
                state != link->state || (error && (!link->last_error || !streq(error, link->last_error)));

        link->state = state;
        free(link->reason);
        link->reason = reason;
        free(link->last_error);
        link->last_error = error;
        link->last_stage = stage;
        if (error) {
                if (news)
                        log_line(LOG_ERR, link_name(link), link_stage_name(stage), "%s", error);
                if (stage != STAGE_PROFILE)
                        schedule_retry(link);
        } else {
                link->retried = false;
                if (news)
                        log_line(LOG_INFO, link_name(link), NULL, "Now %s: %s", link_state_name(state),
                                 reason ?: "");
        }
        link->asking = 0;
        if (link->profile && link->profile->settings.tunnel == TUNNEL_AUTO && !link->held_off)
                manager_watch_endpoints(link->manager);
        bus_link_changed(link);
        wake_waiters(link, false);
}

/* The sockets and sysctls that only warnings need; failures are no reason not to have a tunnel. */
static void gather(Link *link, PlanInput *input, uint16_t **udp_ports) {
        if (link_tune_ipv6_enabled(link->facts->name, &input->ipv6_enabled) < 0)
                input->ipv6_enabled = true; /* the stricter assumption */
        if (link->profile->settings.tunnel == TUNNEL_NO)
                return;
        (void) link_tune_ephemeral_ports(&input->ephemeral_ports);
        if (sock_diag_udp_ports(udp_ports, &input->udp_ports_count) >= 0)
                input->udp_ports = *udp_ports;
}

static int make_plan(Link *link, Plan **ret_plan, char **ret_error) {
        _cleanup_(freep) MptcpEndpoint *endpoints = NULL;
        _cleanup_(freep) uint16_t *udp_ports = NULL;
        PlanInput input = {
                .profile = link->profile,
                .facts = link->facts,
                .held_off = link->held_off,
        };

        if (link->manager->mptcp_pm &&
            mptcp_pm_dump(link->manager->mptcp_pm, &endpoints, &input.endpoints_count) >= 0)
                input.endpoints = endpoints;
        gather(link, &input, &udp_ports);
        return plan_make(&input, ret_plan, ret_error);
}

/* What comes of SCTP is no more than a warning, so it is brought in line here. */
static void take_warnings(Link *link, Plan *plan) {
        memcpy(link->sctp_ports, plan->sctp_ports, sizeof(link->sctp_ports));
        manager_sctp_update(link->manager, link);
        (void) manager_sctp_warn(link->manager, link, &plan->warnings);
        for (size_t i = 0; i < strings_count(link->profile->warnings); i++)
                (void) strings_add(&plan->warnings, link->profile->warnings[i]);
        if (link->applied.attached && tunnel_programs_before(link->manager->tunnel, link->ifindex) > 0)
                (void) strings_addf(&plan->warnings,
                                    _("A program of others was put in front of the tunnel on %s and may "
                                      "keep packets from it; `underpassctl deactivate %s` and `activate %s` "
                                      "puts the tunnel first."),
                                    link_name(link), link_name(link), link_name(link));
        if (link->applied.attached && link->receive_reason)
                (void) strings_add(&plan->warnings, link->receive_reason);
        for (size_t i = 0; i < strings_count(plan->warnings); i++) {
                bool known = false;

                for (size_t j = 0; !known && j < strings_count(link->warnings); j++)
                        known = streq(plan->warnings[i], link->warnings[j]);
                if (!known)
                        log_line(LOG_WARNING, link_name(link), NULL, "%s", plan->warnings[i]);
        }
        strings_free(link->warnings);
        link->warnings = TAKE_PTR(plan->warnings);
}

static LinkState state_of(const Plan *plan) {
        static const LinkState states[_PLAN_DECISION_MAX] = {
                [PLAN_OFF] = LINK_OFF,
                [PLAN_WAIT] = LINK_WAITING,
                [PLAN_ATTACH] = LINK_ACTIVE,
        };

        return states[plan->decision];
}

static bool kept_as_found(Link *link) {
        if (!link_better_wait(link))
                return false;
        conclude(link, LINK_ACTIVE,
                 string_format(_("Kept as it was found: the network manager has not said yet which profile "
                                 "is active.")),
                 STAGE_NONE, NULL);
        return true;
}

/* All sources have answered: plan, compare, apply, publish. */
static void settle(Link *link) {
        _cleanup_(plan_freep) Plan *plan = NULL;
        Profile *profile = NULL;
        char *error = NULL;
        LinkStage stage = STAGE_NONE;
        uint32_t steps;
        int r;

        r = link_build_profile(link, &profile);
        if (r < 0) {
                conclude(link, LINK_FAILED, NULL, STAGE_FACTS,
                         string_format(_("Cannot read the profiles: %s."), strerror(-r)));
                return;
        }
        profile_free(link->profile);
        link->profile = profile;
        /* As with NetworkManager, an activation of the connection ends what "deactivate" said before it. */
        if (profile->network_down)
                link->held_off = false;
        if (kept_as_found(link))
                return;
        r = make_plan(link, &plan, &error);
        if (r < 0) {
                conclude(link, LINK_FAILED,
                         string_format(_("The profile cannot be applied; the link was left as it is.")),
                         STAGE_PROFILE, error ?: string_format("%s", strerror(-r)));
                return;
        }
        /* What an earlier service attached may be of another build, or half done: give it the settings of
         * now, in any case. */
        if (link->applied.attached && plan->decision == PLAN_ATTACH &&
            !tunnel_attached(link->manager->tunnel, link->ifindex))
                link->adopted = true;
        steps = link_spare_endpoints(link, plan, plan_diff(&link->applied, plan, link->facts->mtu));
        /* What stood in the way of the receiving side may be gone. */
        if ((link->adopted || link->receive_reason) && plan->decision == PLAN_ATTACH)
                steps |= STEP_SETTINGS;
        if (link->adopted && plan->decision != PLAN_ATTACH)
                steps |= STEP_DETACH;
        log_line(LOG_DEBUG, link_name(link), NULL, "Plan: %s; steps 0x%x.", plan->reason ?: "", steps);
        r = link_apply(link, plan, steps, &stage, &error);
        take_warnings(link, plan);
        if (r >= 0)
                link->adopted = false;
        if (r >= 0 && plan->decision == PLAN_ATTACH)
                link_record_source(link);
        if (r < 0)
                conclude(link, LINK_FAILED,
                         string_format(_("It could not be done; what had been done was undone.")), stage,
                         error);
        else
                conclude(link, state_of(plan), TAKE_PTR(plan->reason), STAGE_NONE, NULL);
        if (r >= 0 && (steps & STEP_ANNOUNCE))
                link_announce_endpoints(link);
        if (r >= 0 && (steps & (STEP_ANNOUNCE | STEP_ENDPOINTS)))
                link_watch_subflows(link, UINT32_MAX);
}

static void on_answer(void *userdata) {
        Link *link = userdata;

        if (link->gone || --link->asking > 0)
                return;
        settle(link);
        if (link->dirty)
                manager_mark(link->manager, link->ifindex);
}

void link_reconcile(Link *link) {
        LinkFacts *facts = NULL;
        int r;

        if (link->asking > 0)
                return; /* still dirty: looked at again when this round is over */
        link->dirty = false;
        for (LinkWaiter *waiter = link->waiters; waiter; waiter = waiter->next)
                waiter->due = true;
        r = rtnl_link(link->manager->rtnl, link->ifindex, &facts);
        if (r == -ENODEV)
                return; /* the message that tells so is on its way */
        if (r < 0) {
                conclude(link, LINK_FAILED, NULL, STAGE_FACTS,
                         string_format(_("Cannot read the link by netlink: %s."), strerror(-r)));
                return;
        }
        link_facts_free(link->facts);
        link->facts = facts;

        /* One more than there are sources, so that the round does not end while it is being started. */
        link->asking = 1;
        for (size_t i = 0; i < _MANAGER_SOURCE_MAX; i++) {
                Source *source = link->manager->sources[i];

                if (!source->ops->ask)
                        continue;
                link->asking++;
                source->ops->ask(source, link->facts, on_answer, link);
        }
        on_answer(link);
}

void link_gone(Link *link) {
        link->gone = true;
        memset(link->sctp_ports, 0, sizeof(link->sctp_ports));
        link_remove_endpoints(link);
        if (link->applied.attached || link->adopted)
                (void) tunnel_detach(link->manager->tunnel, link->ifindex);
        link_leave_path(link);
        link->applied = (Applied) {};
        for (size_t i = 0; i < _MANAGER_SOURCE_MAX; i++)
                if (link->manager->sources[i]->ops->forget)
                        link->manager->sources[i]->ops->forget(link->manager->sources[i], link->ifindex);
        bus_link_withdraw(link);
}
