/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What is remembered of a link in the kernel, so that a service which is killed leaves nothing behind that
 * the next one does not know of. Programs attach with a record (tunnel room); what else is changed is
 * written into it before the change is made.
 */

#include "service/target.h"

/* Reads what an earlier service recorded into target->applied, without the endpoints, which are left to
 * endpoints_adopt(). -ENOENT: there is no record. */
int record_adopt(Target *target, struct underpass_saved *ret);

/* Writes target->applied into the record. -ENOENT: the link is not attached. */
int record_write(const Target *target);

/* Begins the record of a link that has none, with why it gets a tunnel (target->asked_by and taken_in). It
 * is there before anything is attached, so that the next service knows whom to wait for. Negative errno. */
int record_begin(const Target *target);

/* Records it anew. Negative errno. */
int record_write_reason(const Target *target);
