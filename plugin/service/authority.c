/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See authority.h. */

#include <stdio.h>

#include "base/clock.h"
#include "base/i18n.h"
#include "base/log.h"
#include "service/authority.h"
#include "service/bus-reply.h"
#include "service/call-budget.h"
#include "service/callers.h"
#include "service/message-size.h"
#include "service/polkit.h"
#include "source/bus-owner.h"

#define INTERFACES "org.underpass1." /* how ours begin */
#define MANAGER INTERFACES "Manager"
#define LINK INTERFACES "Link"
#define DRIVER_NAME "org.freedesktop.DBus"
#define DRIVER_PATH "/org/freedesktop/DBus"

typedef enum Access {
        ACCESS_ROOT,     /* root; others with an action of polkit, if there is one */
        ACCESS_ANYBODY,
        ACCESS_BUS,      /* the policy of the bus lets root alone send it */
} Access;

typedef struct Rule {
        const char *interface;
        const char *member;
        Access access;
        const char *action;   /* of polkit, data/org.underpass1.policy; NULL: none */
} Rule;

static const Rule rules[] = {
        { MANAGER, "GetLink", ACCESS_ANYBODY },
        { MANAGER, "ListBusyFlows", ACCESS_ANYBODY },
        { MANAGER, "ListCounters", ACCESS_ANYBODY },
        { MANAGER, "ListDestinations", ACCESS_ANYBODY },
        { MANAGER, "ListFiles", ACCESS_ANYBODY },
        { MANAGER, "ListFlows", ACCESS_ANYBODY },
        { MANAGER, "ListLinks", ACCESS_ANYBODY },
        { MANAGER, "ListLiveFlows", ACCESS_ANYBODY },
        { MANAGER, "Subscribe", ACCESS_ANYBODY },
        /* Scripts that do not wait for an answer are gone by the time somebody asks who they were. */
        { MANAGER, "Dispatch", ACCESS_BUS },
        { MANAGER, "Activate", ACCESS_ROOT, "org.underpass1.activate" },
        { MANAGER, "Deactivate", ACCESS_ROOT, "org.underpass1.deactivate" },
        { MANAGER, "DeactivateAll", ACCESS_ROOT, "org.underpass1.deactivate" },
        { MANAGER, "Forget", ACCESS_ROOT, "org.underpass1.forget" },
        { MANAGER, "Probe", ACCESS_ROOT, "org.underpass1.probe" },
        { MANAGER, "Reload", ACCESS_ROOT, "org.underpass1.reload" },
        { LINK, "Activate", ACCESS_ROOT, "org.underpass1.activate" },
        { LINK, "Deactivate", ACCESS_ROOT, "org.underpass1.deactivate" },
};

static const char too_many[] = N_("Too many requests wait for permission; call again in a second.");

static const Rule only_root = { .access = ACCESS_ROOT };

typedef enum Stage {
        STAGE_NEW,
        STAGE_SENDER,    /* whose call this is, is being asked */
        STAGE_POLKIT,
        STAGE_ALLOWED,   /* to be read once more */
} Stage;

/* A call that is being judged. */
typedef struct Call {
        struct Call *next;
        Authority *authority;
        const Rule *rule;
        sd_bus_message *message;
        size_t size;              /* of its arguments */
        Stage stage;
        uid_t user;               /* from STAGE_POLKIT on */
        sd_bus_slot *sender;      /* who it is */
        BusOwner caller;          /* whether it is still there */
        PolkitQuestion *question;
} Call;

struct Authority {
        Told *told;
        sd_bus *bus;              /* NULL: there is none */
        sd_bus_slot *filter;
        Call *calls;
        Callers callers;          /* whose calls need not wait for the bus */
        CallBudget budget;        /* of questions to polkit */
        bool closed;
};

static Call *call_free(Call *call) {
        polkit_question_free(call->question);
        bus_owner_stop(&call->caller);
        sd_bus_slot_unref(call->sender);
        sd_bus_message_unref(call->message);
        free(call);
        return NULL;
}
DEFINE_CLEANUP(Call *, call_free);

static void call_end(Call *call) {
        for (Call **position = &call->authority->calls; *position; position = &(*position)->next)
                if (*position == call) {
                        *position = call->next;
                        break;
                }
        call_free(call);
}

/* sentence: a msgid without arguments. */
static void call_refuse(Call *call, const char *name, const char *sentence) {
        (void) sd_bus_reply_method_errorf(call->message, name, "%s", sentence);
        call_end(call);
}

static void refuse_busy(Call *call) {
        call_refuse(call, SD_BUS_ERROR_LIMITS_EXCEEDED, too_many);
}

static size_t questions(const Authority *authority, const uid_t *user) {
        size_t count = 0;

        for (const Call *call = authority->calls; call; call = call->next)
                count += call->stage == STAGE_POLKIT && (!user || call->user == *user);
        return count;
}

static bool is_from(const Call *call, const char *sender) {
        return streq(sd_bus_message_get_sender(call->message), sender);
}

/* Calls are kept until their sender is known, a moment. The fewer places are left, the fewer one sender
 * gets, so that there is always one for the first call of another. */
static bool has_room(const Authority *authority, const char *sender, size_t size) {
        size_t count = 0, own = 0;

        for (const Call *call = authority->calls; call; call = call->next)
                if (call->stage == STAGE_SENDER) {
                        count++;
                        own += is_from(call, sender);
                        size += call->size;
                }
        return count < AUTHORITY_CALLS_MAX && own <= (AUTHORITY_CALLS_MAX - count) / 4 &&
               size <= AUTHORITY_BYTES_MAX;
}

/* A user may also have asked too often: each question keeps polkit and the bus busy. */
static bool may_ask(Authority *authority, const Call *call) {
        const uint64_t now_us = clock_monotonic_ns() / 1000;
        char user[CALL_BUDGET_NAME_LENGTH];

        snprintf(user, sizeof(user), "%u", (unsigned) call->user);
        if (authority->closed || call->size > AUTHORITY_ARGUMENTS_MAX ||
            questions(authority, NULL) >= AUTHORITY_QUESTIONS_MAX ||
            questions(authority, &call->user) >= AUTHORITY_QUESTIONS_USER_MAX ||
            !call_budget_allows(&authority->budget, user, now_us))
                return false;
        call_budget_charge(&authority->budget, user, AUTHORITY_QUESTION_US);
        return true;
}

static void call_allow(Call *call) {
        polkit_question_free(TAKE_PTR(call->question));
        bus_owner_stop(&call->caller);
        call->stage = STAGE_ALLOWED;
        if (sd_bus_message_rewind(call->message, true) < 0 ||
            sd_bus_enqueue_for_read(call->authority->bus, call->message) < 0)
                call_refuse(call, BUS_ERROR_FAILED, strerror(ENOMEM));
}

static void on_answer(PolkitAnswer answer, const char *detail, void *userdata) {
        Call *call = userdata;

        switch (answer) {
        case POLKIT_ALLOWED:
                log_info("%s: polkit allows it to user %u.", sd_bus_message_get_member(call->message),
                         (unsigned) call->user);
                call_allow(call);
                return;
        case POLKIT_CHALLENGE:
                call_refuse(call, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                            N_("a password is needed, and there is nobody to ask for it"));
                return;
        case POLKIT_ABSENT:
                call_refuse(call, SD_BUS_ERROR_ACCESS_DENIED,
                            N_("only root may do that: polkit, which could allow it to others, is not "
                              "installed"));
                return;
        case POLKIT_FAILED:
                (void) told_error(call->authority->told, call->message, SD_BUS_ERROR_ACCESS_DENIED,
                                  N_("only root may do that: polkit gives no answer: %s"),
                                  detail ?: MESSAGE_ERRNO(EBADMSG));
                call_end(call);
                return;
        case POLKIT_REFUSED:
                call_refuse(call, SD_BUS_ERROR_ACCESS_DENIED,
                            N_("polkit does not allow this user to do that"));
                return;
        }
}

/* Also called while the caller is there. */
static void on_caller(BusOwner *owner) {
        Call *call = (Call *) ((char *) owner - offsetof(Call, caller));

        if (!owner->unique)
                call_end(call);
}

static void ask_polkit(Call *call) {
        Authority *authority = call->authority;
        const char *caller = sd_bus_message_get_sender(call->message);
        int r;

        if (!may_ask(authority, call)) {
                refuse_busy(call);
                return;
        }
        call->stage = STAGE_POLKIT;
        call->caller.changed = on_caller;
        r = bus_owner_watch(&call->caller, authority->bus, caller);
        if (r >= 0)
                r = polkit_ask(&call->question, authority->bus, caller, call->rule->action,
                               sd_bus_message_get_allow_interactive_authorization(call->message) > 0,
                               on_answer, call);
        if (r < 0)
                call_refuse(call, BUS_ERROR_FAILED, strerror(-r));
}

static void call_judge(Call *call, uid_t user) {
        call->user = user;
        if (user == 0)
                call_allow(call);
        else if (call->rule->action)
                ask_polkit(call);
        else
                call_refuse(call, SD_BUS_ERROR_ACCESS_DENIED, N_("only root may do that"));
}

static int on_sender(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Call *call = userdata;
        uint32_t user;

        call->sender = sd_bus_slot_unref(call->sender);
        if (!bus_message_is_from(reply, DRIVER_NAME) || sd_bus_message_is_method_error(reply, NULL) ||
            sd_bus_message_read(reply, "u", &user) < 0) {
                /* Nobody is there any more, or the bus does not say who it is. */
                call_refuse(call, SD_BUS_ERROR_ACCESS_DENIED, N_("the bus does not tell who has called"));
                return 0;
        }
        callers_add(&call->authority->callers, sd_bus_message_get_sender(call->message), user);
        call_judge(call, user);
        return 0;
}

/* Adds a call to those that are being judged. */
static int call_new(Call **ret, Authority *authority, sd_bus_message *message, const Rule *rule) {
        _cleanup_(call_freep) Call *call = calloc(1, sizeof(*call));
        Call **last = &authority->calls;
        int r;

        if (!call)
                return -ENOMEM;
        *call = (Call) { .authority = authority, .rule = rule, .message = sd_bus_message_ref(message) };
        r = message_size_add(message, AUTHORITY_BYTES_MAX, &call->size);
        if (r < 0)
                return r;
        while (*last)
                last = &(*last)->next;
        *ret = *last = TAKE_PTR(call);
        return 0;
}

/* Never answers the call. */
static int ask_sender(Authority *authority, sd_bus_message *message, const char *sender, const Rule *rule) {
        Call *call = NULL;
        int r;

        r = call_new(&call, authority, message, rule);
        if (r < 0)
                return r;
        r = has_room(authority, sender, call->size) ? 0 : -ENOBUFS;
        if (r >= 0)
                r = sd_bus_call_method_async(authority->bus, &call->sender, DRIVER_NAME, DRIVER_PATH,
                                             DRIVER_NAME, "GetConnectionUnixUser", on_sender, call, "s",
                                             sender);
        if (r < 0)
                call_end(call);
        else
                call->stage = STAGE_SENDER;
        return r;
}

static const Rule *find_rule(const char *interface, const char *member) {
        for (size_t i = 0; i < ELEMENTS(rules); i++)
                if (streq(rules[i].interface, interface) && streq(rules[i].member, member))
                        return &rules[i];
        return &only_root;
}

static Call *find_allowed(const Authority *authority, const sd_bus_message *message) {
        for (Call *call = authority->calls; call; call = call->next)
                if (call->message == message && call->stage == STAGE_ALLOWED)
                        return call;
        return NULL;
}

bool authority_has_allowed(const Authority *authority, const sd_bus_message *message) {
        return find_allowed(authority, message);
}

/* Whether the call was judged before. */
static bool take_allowed(Authority *authority, const sd_bus_message *message) {
        Call *call = find_allowed(authority, message);

        if (call)
                call_end(call);
        return call;
}

static bool has_calls(const Authority *authority, const char *sender) {
        for (const Call *call = authority->calls; call; call = call->next)
                if (is_from(call, sender))
                        return true;
        return false;
}

/* 0: it may go on at once; positive: it is being judged, or has been refused. */
static int judge(Authority *authority, sd_bus_message *message, const Rule *rule) {
        const char *sender = sd_bus_message_get_sender(message);
        Call *call = NULL;
        uid_t user;
        int r;

        if (!sender)
                return -EACCES;
        if (!callers_find(&authority->callers, sender, &user))
                r = ask_sender(authority, message, sender, rule);
        else if (user != 0) {
                r = call_new(&call, authority, message, rule);
                if (r >= 0)
                        call_judge(call, user);
        } else if (has_calls(authority, sender)) /* in the order in which they were sent */
                r = ask_sender(authority, message, sender, rule);
        else
                return 0;
        return r < 0 ? r : 1;
}

/* Sees every message before any object does. 0: the message goes on to its object. */
static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *interface = sd_bus_message_get_interface(message);
        const char *member = sd_bus_message_get_member(message);
        Authority *authority = userdata;
        const Rule *rule;
        int r;

        if (!sd_bus_message_is_method_call(message, NULL, NULL) || !member ||
            (interface && strncmp(interface, INTERFACES, strlen(INTERFACES)) != 0))
                return 0;
        /* A call need not name an interface. sd-bus finds no method for it, which is not relied on. */
        rule = interface ? find_rule(interface, member) : &only_root;
        if (rule->access != ACCESS_ROOT || take_allowed(authority, message))
                return 0;
        r = judge(authority, message, rule);
        if (r == 0)
                return 0;
        /* A caller that wants no answer gets none, and for sd-bus that is a success. */
        if (r == -ENOBUFS)
                (void) sd_bus_reply_method_errorf(message, SD_BUS_ERROR_LIMITS_EXCEEDED, "%s", too_many);
        else if (r < 0)
                (void) sd_bus_reply_method_errno(message, r, NULL);
        return 1;
}

int authority_new(Authority **ret, Told *told) {
        Authority *authority = calloc(1, sizeof(*authority));

        if (!authority)
                return -ENOMEM;
        authority->told = told;
        *ret = authority;
        return 0;
}

Authority *authority_free(Authority *authority) {
        if (!authority)
                return NULL;
        while (authority->calls) {
                (void) bus_reply_interrupted(authority->calls->message);
                call_end(authority->calls);
        }
        (void) authority_set_bus(authority, NULL);
        free(authority);
        return NULL;
}

int authority_set_bus(Authority *authority, sd_bus *bus) {
        while (authority->calls)
                call_end(authority->calls);
        authority->filter = sd_bus_slot_unref(authority->filter);
        authority->bus = sd_bus_unref(authority->bus);
        authority->callers = (Callers) {};
        if (!bus)
                return 0;
        authority->bus = sd_bus_ref(bus);
        return sd_bus_add_filter(bus, &authority->filter, on_message, authority);
}

bool authority_is_asking(const Authority *authority) {
        return authority->calls;
}

bool authority_is_identifying(const Authority *authority) {
        for (const Call *call = authority->calls; call; call = call->next)
                if (call->stage == STAGE_SENDER)
                        return true;
        return false;
}

void authority_close(Authority *authority) {
        authority->closed = true;
}
