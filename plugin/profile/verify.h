/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Everything that is wrong in a file with settings, not only the first thing.
 */

#include "profile/ini.h"
#include "profile/profile.h"

typedef enum VerifyKind {
        VERIFY_PROFILE,   /* of /etc/underpass: [Match] and [X-Underpass] */
        VERIFY_NETWORK,   /* of systemd-networkd: [X-Underpass] beside other sections */
        VERIFY_PROFILE_PART, /* the same, where other files may add to it: no rules over several keys, and */
        VERIFY_NETWORK_PART, /* of networkd's file only what is ours */
} VerifyKind;

typedef struct Verified {
        IniMatch match;      /* of a profile */
        size_t settings;     /* lines in [X-Underpass] */
        size_t resembling;   /* lines in sections that resemble it */
        char **complaints;   /* messages, "PATH:LINE: …" first */
} Verified;

/* path: as it is shown. 0, or -ENOMEM. That a text is not UTF-8 is told alone; its stray bytes are masked,
 * to see what it is about. */
int verify_text(char *text, size_t length, VerifyKind kind, const char *path, Verified *ret);
void verified_done(Verified *verified);
