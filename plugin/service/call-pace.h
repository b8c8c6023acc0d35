/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How many calls of one user are served, whatever they ask for and by however many connections: many at
 * once, and then so many in a second. Programs that read something now and then need fewer.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
        CALL_PACE_PER_SECOND = 200,
        CALL_PACE_AT_ONCE = 1000,
        CALL_PACE_USERS = 64,    /* that are told apart; those beyond share a place with another one */
};

/* Begins as zeros. */
typedef struct CallPace {
        struct {
                uid_t user;
                uint64_t until_us;   /* what it has been served would have lasted until then */
        } users[CALL_PACE_USERS];
} CallPace;

/* Whether one more call of this user may be served now, CLOCK_MONOTONIC; if so, it counts. */
bool call_pace_allows(CallPace *pace, uid_t user, uint64_t now_us);
