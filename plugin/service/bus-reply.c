/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus-reply.h. */

#include "base/message.h"
#include "plan/counters.h"
#include "service/bus-reply.h"

int bus_list_begin(sd_bus_message *call, const char *element_type, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
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

int bus_reply_interrupted(sd_bus_message *message) {
        return sd_bus_reply_method_errorf(message, BUS_ERROR_FAILED,
                                          N_("The service is being stopped; call again."));
}

struct PendingReply {
        sd_bus_message *message;
        size_t waiting;
        bool interrupted; /* the service ends before all is done */
        PendingAnswer answer; /* NULL: the usual one */
        Manager *manager; /* for answer */
};

PendingReply *pending_reply_new(sd_bus_message *message) {
        PendingReply *reply = calloc(1, sizeof(*reply));

        if (!reply)
                return NULL;
        /* One more than there are links, so that the answer does not leave while links are being added. */
        *reply = (PendingReply) { .message = sd_bus_message_ref(message), .waiting = 1 };
        return reply;
}

void pending_reply_set_answer(PendingReply *reply, PendingAnswer answer, Manager *manager) {
        reply->answer = answer;
        reply->manager = manager;
}

/* All is done. */
static void send_answer(const PendingReply *reply) {
        const int r = reply->answer(reply->manager, reply->message);

        if (r < 0)
                (void) sd_bus_reply_method_errno(reply->message, r, NULL);
}

static void pending_reply_step(PendingReply *reply) {
        if (--reply->waiting > 0)
                return;
        if (reply->interrupted)
                (void) bus_reply_interrupted(reply->message);
        else if (reply->answer)
                send_answer(reply);
        else
                (void) sd_bus_reply_method_return(reply->message, "");
        sd_bus_message_unref(reply->message);
        free(reply);
}

static void on_settled(Link *link, LinkOutcome outcome, void *userdata) {
        PendingReply *reply = userdata;

        reply->interrupted = reply->interrupted || outcome == LINK_INTERRUPTED;
        pending_reply_step(reply);
}

void pending_reply_add(PendingReply *reply, Link *link, bool alone) {
        if (link_settle(link, alone, on_settled, reply) >= 0)
                reply->waiting++;
}

int pending_reply_start(PendingReply *reply) {
        pending_reply_step(reply);
        return 1;
}

int bus_reply_error(sd_bus_message *message, const char *name, const char *text) {
        _cleanup_(freep) char *english = message_english(text);

        return english ? sd_bus_reply_method_errorf(message, name, "%s", english) : -ENOMEM;
}

/* A call of Activate, which waits for one link. */
typedef struct Activation {
        Manager *manager;
        sd_bus_message *message;
        char *path;
} Activation;

static Activation *activation_free(Activation *activation) {
        sd_bus_message_unref(activation->message);
        free(activation->path);
        free(activation);
        return NULL;
}
DEFINE_CLEANUP(Activation *, activation_free);

static int answer_activate(const Activation *activation, const Link *link, LinkOutcome outcome) {
        sd_bus_message *message = activation->message;

        if (outcome == LINK_INTERRUPTED)
                return bus_reply_interrupted(message);
        if (outcome == LINK_VANISHED)
                return sd_bus_reply_method_errorf(message, BUS_ERROR_NO_SUCH_LINK,
                                                  N_("The interface vanished meanwhile."));
        if (link_state(link) == LINK_FAILED)
                return bus_reply_error(message, BUS_ERROR_FAILED, link_last_error(link));
        if (link_state(link) == LINK_OFF &&
            !sctp_is_asked(manager_sctp(activation->manager), link_ifindex(link)))
                return bus_reply_error(message, BUS_ERROR_NOTHING_TO_DO, link_reason(link));
        if (activation->path)
                return sd_bus_reply_method_return(message, "o", activation->path);
        return sd_bus_reply_method_return(message, "");
}

static void on_activated(Link *link, LinkOutcome outcome, void *userdata) {
        _cleanup_(activation_freep) Activation *activation = userdata;

        (void) answer_activate(activation, link, outcome);
}

int bus_activate(Manager *manager, Link *link, sd_bus_message *message, const char *path) {
        _cleanup_(activation_freep) Activation *activation = calloc(1, sizeof(*activation));
        int r;

        manager_reset_idle(manager);
        if (!activation)
                return -ENOMEM;
        *activation = (Activation) { .manager = manager, .message = sd_bus_message_ref(message) };
        r = string_replace(&activation->path, path);
        if (r < 0)
                return r;
        r = link_settle(link, true, on_activated, activation);
        if (r < 0)
                return r;
        TAKE_PTR(activation); /* the link has it now */
        link_activate(link);
        return 1;
}
