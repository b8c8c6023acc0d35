/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus-deactivate.h. */

#include "base/message.h"
#include "service/bus-deactivate.h"

/* A call that waits for its links. */
typedef struct Deactivation {
        sd_bus_message *message;
        Told *told;          /* NULL: a call for one link */
        size_t waiting;
        uint32_t attached;   /* links with a tunnel when the call came … */
        uint32_t kept;       /* … and those that still have one */
        uint32_t failed;     /* links with something left of their tunnel */
        char *name, *error;  /* of the first of these; NULL without memory */
        bool interrupted;    /* the service ends before all is done */
} Deactivation;

static Deactivation *deactivation_free(Deactivation *deactivation) {
        sd_bus_message_unref(deactivation->message);
        free(deactivation->name);
        free(deactivation->error);
        free(deactivation);
        return NULL;
}
DEFINE_CLEANUP(Deactivation *, deactivation_free);

static Deactivation *deactivation_new(Told *told, sd_bus_message *message) {
        Deactivation *deactivation = calloc(1, sizeof(*deactivation));

        if (!deactivation)
                return NULL;
        /* One more than there are links, so that the answer does not leave while links are being added. */
        *deactivation = (Deactivation) {
                .message = sd_bus_message_ref(message),
                .told = told,
                .waiting = 1,
        };
        return deactivation;
}

static int answer(const Deactivation *deactivation) {
        const uint32_t gone = deactivation->attached - MIN_OF(deactivation->kept, deactivation->attached);
        sd_bus_message *message = deactivation->message;

        if (deactivation->interrupted)
                return bus_reply_interrupted(message);
        if (deactivation->failed > 0 && !deactivation->told)
                return bus_reply_error(message, BUS_ERROR_FAILED, deactivation->error ?: "");
        if (deactivation->failed > 0)
                return told_error(deactivation->told, message, BUS_ERROR_FAILED,
                                  N_("Tunnels that were detached: %u; links on which that failed: %u, the "
                                     "first of them %s: %s"),
                                  gone, deactivation->failed, deactivation->name ?: "?",
                                  deactivation->error ?: "?");
        if (deactivation->told)
                return sd_bus_reply_method_return(message, "u", gone);
        return sd_bus_reply_method_return(message, "");
}

/* The last one frees it. */
static void step(Deactivation *finished) {
        _cleanup_(deactivation_freep) Deactivation *deactivation = NULL;
        int r;

        if (--finished->waiting > 0)
                return;
        deactivation = finished;
        r = answer(deactivation);
        if (r < 0)
                (void) sd_bus_reply_method_errno(deactivation->message, r, NULL);
}

/* A link that has its tunnel without having failed was activated again meanwhile. One without anything of a
 * tunnel is off, whatever has failed before. */
static bool has_failed(const Link *link) {
        const Applied *applied = link_applied(link);

        return link_state(link) == LINK_FAILED &&
               (applied->attached || applied->mtu_original != 0 || applied->endpoints_count > 0);
}

static void on_settled(Link *link, LinkOutcome outcome, void *userdata) {
        Deactivation *deactivation = userdata;

        if (outcome == LINK_INTERRUPTED)
                deactivation->interrupted = true;
        if (outcome == LINK_SETTLED) {
                deactivation->kept += link_is_attached(link);
                if (has_failed(link) && deactivation->failed++ == 0) {
                        deactivation->name = strdup(link_name(link));
                        deactivation->error = strdup(link_last_error(link));
                }
        }
        step(deactivation);
}

/* Without memory the link is not waited for. */
static void add(Deactivation *deactivation, Link *link, bool alone) {
        deactivation->attached += link_is_attached(link);
        link_hold_off(link);
        if (link_settle(link, alone, on_settled, deactivation) >= 0)
                deactivation->waiting++;
}

int bus_deactivate(Manager *manager, Link *link, sd_bus_message *message) {
        Deactivation *deactivation = deactivation_new(NULL, message);

        manager_reset_idle(manager);
        if (!deactivation)
                return -ENOMEM;
        add(deactivation, link, true);
        step(deactivation);
        return 1;
}

int bus_deactivate_all(Manager *manager, Told *told, sd_bus_message *message) {
        Deactivation *deactivation = deactivation_new(told, message);

        manager_reset_idle(manager);
        if (!deactivation)
                return -ENOMEM;
        for (size_t i = 0; i < manager_links_count(manager); i++) {
                Link *link = manager_link_at(manager, i);

                if (link_is_attached(link) || link_wants_tunnel(link) ||
                    sctp_is_asked(manager_sctp(manager), link_ifindex(link)))
                        add(deactivation, link, false);
        }
        step(deactivation);
        return 1;
}
