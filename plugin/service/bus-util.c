/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus-util.h. */

#include "base/i18n.h"
#include "plan/counters.h"
#include "service/bus-util.h"

int bus_list_begin(sd_bus_message *call, const char *element_type, sd_bus_message **ret) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', element_type);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(reply);
        return 0;
}

int bus_list_send(sd_bus_message *reply) {
        int r = sd_bus_message_close_container(reply);

        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int bus_read_link(Manager *manager, sd_bus_message *message, Link **ret, sd_bus_error *error) {
        const char *name;
        Link *link;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        if (r < 0)
                return r;
        link = manager_link_by_name(manager, name);
        if (!link) {
                _cleanup_(freep) char *excerpt = value_excerpt(name);

                return sd_bus_error_setf(error, BUS_ERROR_NO_SUCH_LINK,
                                         _("There is no interface named \"%s\"."), excerpt ?: "?");
        }
        *ret = link;
        return 0;
}

struct PendingReply {
        sd_bus_message *message;
        uint32_t count;
        size_t waiting;
        bool interrupted; /* the service ends before all is done */
};

PendingReply *pending_reply_new(sd_bus_message *message, uint32_t count) {
        PendingReply *round = calloc(1, sizeof(*round));

        if (!round)
                return NULL;
        /* One more than there are links, so that the answer does not leave while links are being added. */
        *round = (PendingReply) { .message = sd_bus_message_ref(message), .count = count, .waiting = 1 };
        return round;
}

static int answer_interrupted(sd_bus_message *message) {
        return sd_bus_reply_method_errorf(message, BUS_ERROR_FAILED,
                                          _("The service is being stopped; call again."));
}

static void pending_reply_step(PendingReply *round) {
        if (--round->waiting > 0)
                return;
        if (round->interrupted)
                (void) answer_interrupted(round->message);
        else if (streq(sd_bus_message_get_member(round->message), "DeactivateAll"))
                (void) sd_bus_reply_method_return(round->message, "u", round->count);
        else
                (void) sd_bus_reply_method_return(round->message, "");
        sd_bus_message_unref(round->message);
        free(round);
}

static void on_settled(const Link *link, void *userdata) {
        PendingReply *round = userdata;

        round->interrupted = round->interrupted || link->manager->stopping;
        pending_reply_step(round);
}

void pending_reply_add(PendingReply *round, Link *link) {
        if (link_wait(link, on_settled, round) < 0)
                return;
        round->waiting++;
        manager_mark(link->manager, link->ifindex);
}

int pending_reply_start(PendingReply *round) {
        pending_reply_step(round);
        return 1;
}

/* A call that waits for one link. */
typedef struct Waiting {
        sd_bus_message *message;
        bool with_path;
} Waiting;

static int answer_activate(sd_bus_message *message, const Link *link, bool with_path) {
        if (link->manager->stopping)
                return answer_interrupted(message);
        if (link->gone)
                return sd_bus_reply_method_errorf(message, BUS_ERROR_NO_SUCH_LINK,
                                                  _("The interface vanished meanwhile."));
        if (link->state == LINK_FAILED)
                return sd_bus_reply_method_errorf(message, BUS_ERROR_FAILED, "%s", link->last_error ?: "");
        if (link->state == LINK_OFF && !manager_sctp_asked(link))
                return sd_bus_reply_method_errorf(message, BUS_ERROR_NOTHING_TO_DO, "%s",
                                                  link->reason ?: "");
        if (with_path)
                return sd_bus_reply_method_return(message, "o", link->path);
        return sd_bus_reply_method_return(message, "");
}

static void on_activated(const Link *link, void *userdata) {
        Waiting *waiting = userdata;

        (void) answer_activate(waiting->message, link, waiting->with_path);
        sd_bus_message_unref(waiting->message);
        free(waiting);
}

int bus_activate(Link *link, sd_bus_message *message, bool with_path) {
        Waiting *waiting = calloc(1, sizeof(*waiting));

        manager_reset_idle(link->manager);
        if (!waiting)
                return -ENOMEM;
        *waiting = (Waiting) { .message = sd_bus_message_ref(message), .with_path = with_path };
        if (link_wait(link, on_activated, waiting) < 0) {
                sd_bus_message_unref(waiting->message);
                free(waiting);
                return -ENOMEM;
        }
        link->held_off = false;
        manager_mark(link->manager, link->ifindex);
        return 1;
}

int bus_deactivate(Link *link, sd_bus_message *message) {
        PendingReply *round = pending_reply_new(message, 0);

        manager_reset_idle(link->manager);
        if (!round)
                return -ENOMEM;
        link->held_off = true;
        pending_reply_add(round, link);
        return pending_reply_start(round);
}

int bus_append_counters(sd_bus_message *reply, Tunnel *tunnel, uint32_t ifindex) {
        struct underpass_counters counters = {};
        int r;

        (void) tunnel_counters(tunnel, ifindex, &counters);
        r = sd_bus_message_open_container(reply, 'a', "{st}");
        for (int i = 0; r >= 0 && i < UNDERPASS_COUNTER_COUNT; i++)
                r = sd_bus_message_append(reply, "{st}", counter_info((enum underpass_counter) i)->name,
                                          (uint64_t) counters.value[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}
