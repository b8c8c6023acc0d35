/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Asks polkit whether a caller may do something. Nothing here blocks: polkit may ask a person for a
 * password, and that takes as long as it takes.
 */

#include <systemd/sd-bus.h>

#include "base/util.h"

typedef struct PolkitQuestion PolkitQuestion;

enum {
        POLKIT_ANSWER_US = 10 * 1000 * 1000,         /* for polkit itself, which may have to be started */
        POLKIT_PERSON_US = 2 * 60 * 1000 * 1000,     /* for a person with a password */
};

typedef enum PolkitAnswer {
        POLKIT_ALLOWED,
        POLKIT_REFUSED,
        POLKIT_CHALLENGE,    /* would be allowed with a password, and nobody could be asked for it */
        POLKIT_ABSENT,       /* there is no polkit */
        POLKIT_FAILED,       /* it has not answered, or in a way that cannot be understood */
} PolkitAnswer;

/* detail: what the bus or polkit says about a failure, else NULL. The question may be freed here. */
typedef void (*PolkitAnswered)(PolkitAnswer answer, const char *detail, void *userdata);

/*
 * Whether the owner of a unique name may do an action ("org.underpass1.reload"). The subject is that name:
 * a process id could belong to another process by the time it is looked at. interactive: a person may be
 * asked. The answer comes later, never from within this call. Negative errno.
 */
int polkit_ask(PolkitQuestion **ret, sd_bus *bus, const char *caller, const char *action, bool interactive,
               PolkitAnswered answered, void *userdata);

/* Takes back a question that has no answer yet, so that nobody is asked for a password any more. */
PolkitQuestion *polkit_question_free(PolkitQuestion *question);
DEFINE_CLEANUP(PolkitQuestion *, polkit_question_free);
