/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Who may call what. One table in authority.c has every method: anybody may read, root may do everything
 * without being asked for more, and others may do what polkit allows them. What is not in the table is for
 * root.
 *
 * A call that has to be judged is kept until it is known who has sent it and what polkit says, and is then
 * read once more, as if it had come in only now. So its handler finds links as they are by then. The bus
 * goes on meanwhile. What can be kept is bounded, for each user and for all of them.
 */

#include <systemd/sd-bus.h>

#include "base/util.h"
#include "service/told.h"

enum {
        AUTHORITY_CALLS_MAX = 1024,            /* whose sender is being found out */
        AUTHORITY_BYTES_MAX = 4 * 1024 * 1024, /* of their arguments */
        AUTHORITY_QUESTIONS_MAX = 64,          /* that polkit is asked at a time */
        AUTHORITY_QUESTIONS_USER_MAX = 8,      /* of them for one user */
        AUTHORITY_QUESTION_US = 5000,          /* what one counts in the budget of calls: 40 a second */
        AUTHORITY_ARGUMENTS_MAX = 4096,        /* bytes of the arguments of a call that waits for it */
};

typedef struct Authority Authority;

/* 0 or -ENOMEM. */
int authority_new(Authority **ret, Told *told);

/* Calls that are being judged get an error. */
Authority *authority_free(Authority *authority);
DEFINE_CLEANUP(Authority *, authority_free);

/* Judges all calls that come in by this connection; set it before any object is there. NULL: the bus is
 * gone, and with it all who have called. Negative errno. */
int authority_set_bus(Authority *authority, sd_bus *bus);

/* Whether this call has been judged before, and is about to be read once more. */
bool authority_has_allowed(const Authority *authority, const sd_bus_message *message);

/* Whether a call is being judged. */
bool authority_is_asking(const Authority *authority);

/* Whether the bus is being asked who has made a call, which takes a moment. */
bool authority_is_identifying(const Authority *authority);

/* The service leaves: polkit is asked no more, so that nobody has to be waited for. */
void authority_close(Authority *authority);
