/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * See apply.h. Each change is recorded before it is made, so that a service which is killed in between
 * leaves nothing that the next one does not know of.
 */

#include <stdio.h>

#include "base/message.h"
#include "kernel/mtu.h"
#include "kernel/sysctl.h"
#include "service/apply.h"
#include "service/endpoints.h"
#include "service/path.h"
#include "service/record.h"

/* How a link stood before a step. */
typedef struct Snapshot {
        Applied applied;
        uint32_t mtu;
        bool recorded;  /* there was a record, or may have been one */
} Snapshot;

static Snapshot take_snapshot(const Target *target) {
        struct underpass_saved saved;

        return (Snapshot) {
                .applied = target->applied,
                .mtu = target->mtu,
                .recorded = tunnel_saved_get(target->tunnel, target->ifindex, &saved) != -ENOENT,
        };
}

/* Why a step failed; what the step leaves open comes from its row. */
typedef struct Failure {
        LinkStage stage;
        char *error;    /* translated sentence; NULL: describe() words it */
} Failure;

/* One row a step: how it is done, how it is undone, and how its failure is worded. Either it is done as
 * a whole or nothing of it. */
typedef struct Step {
        PlanStep step;
        LinkStage stage;
        int (*run)(Target *target, const Plan *plan, Failure *failure);
        int (*undo)(Target *target, const Snapshot *before);
        char *(*describe)(const Target *target, const Plan *plan, int error);
} Step;

static int remove_endpoints(Target *target, const Plan *plan, Failure *failure) {
        return endpoints_remove_others(target, NULL, 0);
}

static int reduce_endpoints(Target *target, const Plan *plan, Failure *failure) {
        return endpoints_remove_others(target, plan->endpoints, plan->endpoints_count);
}

static int add_missing_endpoints(Target *target, const Plan *plan, Failure *failure) {
        return endpoints_add_missing(target, plan->endpoints, plan->endpoints_count, plan->endpoint_flags);
}

static int put_endpoints_back(Target *target, const Snapshot *before) {
        return endpoints_put_back(target, &before->applied);
}

static char *describe_endpoints(const Target *target, const Plan *plan, int error) {
        if (error == -ERANGE)
                return message_format(
                        N_("%s gets no MPTCP endpoint, because the kernel accepts only eight and all are in "
                           "use. Remove one that is not needed with `ip mptcp endpoint delete id ID`."),
                        target->name);
        return message_format(
                N_("MPTCP endpoints cannot be set for %s: %s. Check that net.mptcp.enabled is 1 and "
                   "that there are fewer than eight endpoints (`ip mptcp endpoint`)."),
                target->name, MESSAGE_ERRNO(error));
}

/*
 * Sets the MTU, and what is remembered of it. A change that has to be taken back one day is recorded before
 * it is made; one that has not is forgotten after it is made.
 */
static int change_mtu(Target *target, uint32_t mtu, uint32_t set, uint32_t original) {
        Applied *applied = &target->applied;
        const Applied before = *applied;
        bool changes;
        int r = 0;

        if (original != 0) {
                applied->mtu_set = set;
                applied->mtu_original = original;
                /* Else a kill now would make the MTU that is still there that of somebody else. */
                applied->mtu_changes = before.mtu_original != 0 && target->mtu == before.mtu_set &&
                                       target->mtu != mtu;
                r = record_write(target);
        }
        if (r >= 0 && mtu != target->mtu)
                r = mtu_set(target->ifindex, mtu);
        changes = applied->mtu_changes;
        applied->mtu_changes = false;
        if (r >= 0 && changes)
                (void) record_write(target);
        if (r < 0) {
                applied->mtu_set = before.mtu_set;
                applied->mtu_original = before.mtu_original;
                (void) record_write(target);
                return r;
        }
        /* The kernel drops all that it knows of IPv6 on a link below this MTU. A tunnel has such an MTU only
         * where IPv6 was switched off; without this it would come back switched on. */
        if (target->mtu < IPV6_MTU_MIN && mtu >= IPV6_MTU_MIN && target->mtu == before.mtu_set)
                (void) sysctl_disable_ipv6(target->name);
        target->mtu = mtu;
        if (original == 0) {
                applied->mtu_set = 0;
                applied->mtu_original = 0;
                (void) record_write(target);
        }
        return 0;
}

/* The link does not take the value; as opposed to failures that may be over at the next try. */
static bool is_refused(int error) {
        return error == -EINVAL || error == -ERANGE;
}

/* The programs come off, whether others come in their place or not. */
static bool programs_go(const Target *target, const Plan *plan) {
        return plan->decision != PLAN_ATTACH ||
               (target->applied.attached && target->applied.raw_ip != plan->raw_ip);
}

/*
 * Gives the MTU back, but only if it still is what we set. A link that does not take it any more, as one on
 * top of another link whose MTU has become smaller, does not keep the programs for that: it stays at the MTU
 * that it has, and a warning says so.
 */
static int restore_mtu(Target *target, const Plan *plan, Failure *failure) {
        const Applied *applied = &target->applied;
        const bool ours = applied->mtu_original != 0 && target->mtu == applied->mtu_set;
        const uint32_t mtu = ours ? applied->mtu_original : target->mtu;
        int r;

        r = change_mtu(target, mtu, 0, 0);
        if (!is_refused(r) || !programs_go(target, plan))
                return r;
        /* Many drivers limit the MTU while an XDP program is there, and ours is about to go anyway. */
        path_leave_xdp(target);
        r = change_mtu(target, mtu, 0, 0);
        if (!is_refused(r))
                return r;
        target->mtu_refused = mtu;
        target->mtu_instead = target->mtu;
        target->mtu_error = r;
        return change_mtu(target, target->mtu, 0, 0);
}

static int set_mtu(Target *target, const Plan *plan, Failure *failure) {
        const Applied *applied = &target->applied;
        /* What others have set since is what they will want to have back. */
        const uint32_t original = target->mtu != applied->mtu_set ? target->mtu : applied->mtu_original;
        int r;

        r = change_mtu(target, plan->mtu, plan->mtu, original);
        if (r >= 0)
                target->mtu_refused = 0;
        return r;
}

static int put_mtu_back(Target *target, const Snapshot *before) {
        const bool xdp = target->applied.attached && target->applied.link.receive == UNDERPASS_RECEIVE_XDP;
        int r;

        r = change_mtu(target, before->mtu, before->applied.mtu_set, before->applied.mtu_original);
        if (r < 0)
                return r;
        target->mtu_refused = 0;
        if (xdp && target->receive != UNDERPASS_RECEIVE_XDP)
                (void) path_choose_receive(target);
        return 0;
}

static char *describe_mtu(const Target *target, const Plan *plan, int error) {
        if (plan->mtu == 0 || plan->decision != PLAN_ATTACH)
                return message_format(N_("The MTU of %s cannot be set back to %u: %s. Set one that the link "
                                         "allows with `ip link set LINK mtu MTU`; it is kept then."),
                                      target->name, target->applied.mtu_original, MESSAGE_ERRNO(error));
        return message_format(N_("The MTU of %s cannot be set to %u: %s. Choose a value that the "
                                 "device allows, or remove underpass.mtu."),
                              target->name, plan->mtu, MESSAGE_ERRNO(error));
}

/* A try that fails early leaves the programs of before alone; a later one takes them off, and leaves the
 * record, which tells what else was changed. */
static void fail_to_attach(Target *target) {
        Applied *applied = &target->applied;

        if (applied->attached && tunnel_link(target->tunnel, target->ifindex, &applied->link) < 0) {
                path_prepare_leave(target);
                applied->attached = false;
        }
        segmentation_give_up(target->segmentation, target->ifindex);
}

/* Programs and settings; attached already: the settings are replaced. */
static int attach_programs(Target *target, bool raw_ip, const struct underpass_link *link,
                           Failure *failure) {
        struct underpass_link settings = *link;
        SegmentationDevice device = {};
        TunnelPath path;
        int r;

        r = segmentation_ensure(target->segmentation, target->ifindex, raw_ip, &device, &failure->stage,
                                &failure->error);
        if (r < 0)
                return r;
        path = path_by(target, &device);
        r = record_begin(target);
        if (r >= 0)
                r = tunnel_attach(target->tunnel, target->ifindex, raw_ip, &path, &settings);
        if (r < 0) {
                fail_to_attach(target);
                return r;
        }
        target->applied.attached = true;
        target->applied.raw_ip = raw_ip;
        target->applied.link = settings;
        path_take(target, &device);
        (void) path_choose_receive(target);
        return 0;
}

/* Another mode in the place of what is not available is no failure. */
static int choose_receive(Target *target, const Plan *plan, Failure *failure) {
        (void) path_choose_receive(target);
        return 0;
}

static int keep_receive(Target *target, const Snapshot *before) {
        return 0;
}

static int detach_programs(Target *target) {
        int r;

        path_prepare_leave(target);
        r = tunnel_detach(target->tunnel, target->ifindex);
        if (r < 0)
                return r;
        path_leave(target);
        /* With the record goes all that it remembers. */
        target->applied = (Applied) {};
        return 0;
}

/* A first try that failed leaves no record, unless something could not be taken back. What was recorded
 * before the try, by one that lost its programs, is still there, or is about to come back. */
static int take_programs_back(Target *target, bool recorded) {
        Applied *applied = &target->applied;
        int r;

        if (!recorded && applied->mtu_original == 0 && applied->endpoints_count == 0)
                return detach_programs(target);
        path_prepare_leave(target);
        r = tunnel_take_off(target->tunnel, target->ifindex);
        if (r < 0)
                return r;
        path_leave(target);
        applied->attached = false;
        return 0;
}

static int detach(Target *target, const Plan *plan, Failure *failure) {
        return detach_programs(target);
}

/* Attached, with which settings, or not at all. */
static int put_programs_back(Target *target, const Snapshot *before) {
        _cleanup_(freep) char *error = NULL;
        Failure failure = {};
        int r;

        if (!before->applied.attached)
                return target->applied.attached ? take_programs_back(target, before->recorded) : 0;
        r = attach_programs(target, before->applied.raw_ip, &before->applied.link, &failure);
        if (r >= 0)
                target->applied.taken_in = before->applied.taken_in;
        error = failure.error;
        return r;
}

static char *describe_attach(const Target *target, const Plan *plan, int error) {
        if (error == -ENODEV)
                return message_format(N_("%s vanished while the tunnel was being attached."), target->name);
        return message_format(
                N_("The tunnel cannot be attached to %s: %s (%s). `underpassctl status` shows what "
                   "the kernel can do."),
                target->name, MESSAGE_ERRNO(error), tunnel_error(target->tunnel));
}

/* Where the programs of before went with the failure, they come back if that is possible. */
static int attach(Target *target, const Plan *plan, Failure *failure) {
        const Snapshot before = { .applied = target->applied };
        int r;

        r = attach_programs(target, plan->raw_ip, &plan->link, failure);
        if (r >= 0) {
                target->applied.taken_in = plan->taken_in;
                if (plan->mtu == target->mtu) /* now it is wanted */
                        target->mtu_refused = 0;
                return 0;
        }
        if (before.applied.attached && !target->applied.attached) {
                if (!failure->error) /* now: the next try has another reason, or none */
                        failure->error = describe_attach(target, plan, r);
                (void) put_programs_back(target, &before);
        }
        return r;
}

static char *describe_detach(const Target *target, const Plan *plan, int error) {
        return message_format(N_("The tunnel cannot be detached from %s: %s."), target->name,
                              MESSAGE_ERRNO(error));
}

/* In the order in which they are done: endpoints come last and go first, since a subflow that begins
 * without the tunnel stays without it. */
static const Step steps_table[] = {
        { STEP_REMOVE_ENDPOINTS, STAGE_ENDPOINT, remove_endpoints, put_endpoints_back, describe_endpoints },
        { STEP_REDUCE_ENDPOINTS, STAGE_ENDPOINT, reduce_endpoints, put_endpoints_back, describe_endpoints },
        { STEP_RESTORE_MTU, STAGE_MTU, restore_mtu, put_mtu_back, describe_mtu },
        { STEP_DETACH, STAGE_ATTACH, detach, put_programs_back, describe_detach },
        { STEP_ATTACH, STAGE_ATTACH, attach, put_programs_back, describe_attach },
        { STEP_SETTINGS, STAGE_ATTACH, attach, put_programs_back, describe_attach },
        { STEP_RECEIVE, STAGE_ATTACH, choose_receive, keep_receive, describe_attach },
        { STEP_MTU, STAGE_MTU, set_mtu, put_mtu_back, describe_mtu },
        { STEP_ENDPOINTS, STAGE_ENDPOINT, add_missing_endpoints, put_endpoints_back, describe_endpoints },
};

/* Adds "; WHAT could not be put back" for each thing that is not what it was. */
static char *name_what_differs(const Target *target, const Snapshot *before, char *error) {
        const Applied *now = &target->applied, *then = &before->applied;
        const struct {
                bool differs;
                const char *what;
        } things[] = {
                { now->attached != then->attached, M_("the tunnel") },
                { target->mtu != before->mtu, M_("the MTU") },
                { now->endpoints_count != then->endpoints_count ||
                          (then->endpoints_count > 0 && now->endpoint_flags != then->endpoint_flags),
                  M_("MPTCP endpoints") },
        };

        for (size_t i = 0; error && i < ELEMENTS(things); i++)
                if (things[i].differs) {
                        char *longer = message_format(N_("%s Could not be put back: %s."), error,
                                                      things[i].what);

                        free(error);
                        error = longer;
                }
        return error;
}

/* Undoes steps in reverse order. A step that cannot be undone keeps none of the others. */
static void roll_back(Target *target, const Snapshot *snapshots, uint32_t done) {
        for (size_t i = ELEMENTS(steps_table); i-- > 0;)
                if (done & steps_table[i].step)
                        (void) steps_table[i].undo(target, &snapshots[i]);
}

int apply_steps(Target *target, const Plan *plan, uint32_t steps, LinkStage *ret_stage, char **ret_error) {
        const Snapshot before = take_snapshot(target);
        Snapshot snapshots[ELEMENTS(steps_table)];
        uint32_t done = 0;

        for (size_t i = 0; i < ELEMENTS(steps_table); i++) {
                const Step *step = &steps_table[i];
                Failure failure = { .stage = step->stage };
                int r;

                if (!(steps & step->step))
                        continue;
                snapshots[i] = take_snapshot(target);
                r = step->run(target, plan, &failure);
                if (r >= 0) {
                        done |= step->step;
                        continue;
                }
                if (!failure.error)
                        failure.error = step->describe(target, plan, r);
                roll_back(target, snapshots, done);
                *ret_stage = failure.stage;
                *ret_error = name_what_differs(target, &before, failure.error);
                return r;
        }
        return 0;
}

int apply_add_warnings(const Target *target, char ***warnings) {
        _cleanup_(freep) char *word = string_shell_word(target->name);

        /* Another MTU has been set since, by whoever may. */
        if (target->mtu_refused == 0 || target->mtu != target->mtu_instead)
                return 0;
        return message_add(warnings,
                           N_("The MTU of %s stays %u: before the tunnel it was %u, which the link does "
                              "not take now (%s). Set the one that it shall have with `ip link set dev %s "
                              "mtu MTU`."),
                           target->name, target->mtu_instead, target->mtu_refused,
                           MESSAGE_ERRNO(target->mtu_error), word ?: "LINK");
}

void apply_forget(Target *target, bool unconfirmed) {
        endpoints_remove_all(target);
        path_prepare_leave(target);
        if (target->applied.attached || unconfirmed)
                (void) tunnel_detach(target->tunnel, target->ifindex);
        path_leave(target);
        target->applied = (Applied) {};
}
