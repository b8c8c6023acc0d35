/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See call-pace.h. */

#include <stddef.h>

#include "base/util.h"
#include "service/call-pace.h"

enum { SECOND_US = 1000 * 1000, CALL_US = SECOND_US / CALL_PACE_PER_SECOND };

/* The place of a user; one that has nothing to be remembered becomes its own. */
static size_t place_of(const CallPace *pace, uid_t user, uint64_t now_us) {
        size_t place = user % CALL_PACE_USERS;

        for (size_t i = 0; i < CALL_PACE_USERS; i++)
                if (pace->users[i].until_us > now_us) {
                        if (pace->users[i].user == user)
                                return i;
                } else {
                        place = i;
                }
        return place;
}

bool call_pace_allows(CallPace *pace, uid_t user, uint64_t now_us) {
        const size_t place = place_of(pace, user, now_us);
        const uint64_t from_us = MAX_OF(pace->users[place].until_us, now_us);

        if (from_us - now_us + CALL_US > (uint64_t) CALL_PACE_AT_ONCE * CALL_US)
                return false;
        pace->users[place].user = user;
        pace->users[place].until_us = from_us + CALL_US;
        return true;
}
