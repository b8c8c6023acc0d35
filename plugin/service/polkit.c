/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See polkit.h. */

#include <inttypes.h>
#include <stdio.h>

#include "service/polkit.h"

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

enum { FLAG_INTERACTIVE = 1, CANCELLATION_LENGTH = 32 };

struct PolkitQuestion {
        sd_bus *bus;
        sd_bus_slot *call;                       /* NULL: it has been answered */
        char cancellation[CANCELLATION_LENGTH];  /* names the question when it is taken back */
        PolkitAnswered answered;
        void *userdata;
};

static PolkitAnswer read_answer(sd_bus_message *reply) {
        int authorized, challenge;

        if (sd_bus_message_enter_container(reply, 'r', "bba{ss}") < 0 ||
            sd_bus_message_read(reply, "bb", &authorized, &challenge) < 0)
                return POLKIT_FAILED;
        if (authorized)
                return POLKIT_ALLOWED;
        return challenge ? POLKIT_CHALLENGE : POLKIT_REFUSED;
}

/* Nobody has the name, and the bus has nothing to start. */
static bool means_absent(const sd_bus_error *error) {
        return sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
               sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
}

/* An answer is not asked for: it would only say whether it came too late. */
static void take_back(const PolkitQuestion *question) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;

        if (sd_bus_message_new_method_call(question->bus, &message, POLKIT_NAME, POLKIT_PATH,
                                           POLKIT_INTERFACE, "CancelCheckAuthorization") >= 0 &&
            sd_bus_message_set_auto_start(message, false) >= 0 &&
            sd_bus_message_append(message, "s", question->cancellation) >= 0)
                (void) sd_bus_send(question->bus, message, NULL);
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        PolkitQuestion *question = userdata;
        PolkitAnswer answer;

        question->call = sd_bus_slot_unref(question->call);
        if (error)
                answer = means_absent(error) ? POLKIT_ABSENT : POLKIT_FAILED;
        else
                answer = read_answer(reply);
        /* It may still be asking somebody. */
        if (answer == POLKIT_FAILED)
                take_back(question);
        question->answered(answer, error ? error->message : NULL, question->userdata);
        return 0;
}

static int append_question(const PolkitQuestion *question, sd_bus_message *message, const char *caller,
                           const char *action, bool interactive) {
        int r;

        r = sd_bus_message_append(message, "(sa{sv})s", "system-bus-name", 1, "name", "s", caller, action);
        if (r >= 0)
                r = sd_bus_message_append(message, "a{ss}us", 0, interactive ? FLAG_INTERACTIVE : 0,
                                          question->cancellation);
        return r;
}

int polkit_ask(PolkitQuestion **ret, sd_bus *bus, const char *caller, const char *action, bool interactive,
               PolkitAnswered answered, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        _cleanup_(polkit_question_freep) PolkitQuestion *question = calloc(1, sizeof(*question));
        int r;

        if (!question)
                return -ENOMEM;
        question->bus = sd_bus_ref(bus);
        question->answered = answered;
        question->userdata = userdata;
        /* It has to differ from those of our other open questions, and an address does. */
        snprintf(question->cancellation, sizeof(question->cancellation), "underpass-%" PRIxPTR,
                 (uintptr_t) question);
        r = sd_bus_message_new_method_call(bus, &message, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                                           "CheckAuthorization");
        if (r >= 0)
                r = append_question(question, message, caller, action, interactive);
        if (r >= 0)
                r = sd_bus_call_async(bus, &question->call, message, on_reply, question,
                                      interactive ? POLKIT_PERSON_US : POLKIT_ANSWER_US);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(question);
        return 0;
}

PolkitQuestion *polkit_question_free(PolkitQuestion *question) {
        if (!question)
                return NULL;
        if (question->call)
                take_back(question);
        sd_bus_slot_unref(question->call);
        sd_bus_unref(question->bus);
        free(question);
        return NULL;
}
