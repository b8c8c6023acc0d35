/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What networkd says about a link, and what stands in the files that it names.
 */

#include "profile/profile.h"

typedef enum NetworkdClaim {
        NETWORKD_UNDECIDED,   /* it has not come to this link yet, or looks at it anew right now */
        NETWORKD_UNMANAGED,
        NETWORKD_MANAGED,
} NetworkdClaim;

/* As much of the answer to DescribeLink() as is needed. */
typedef struct NetworkdAnswer {
        NetworkdClaim claim;
        char *network_file;   /* set when managed */
        char **dropins;
        bool dropins_told;    /* systemd 252 does not tell them */
} NetworkdAnswer;

void networkd_answer_done(NetworkdAnswer *answer);

/*
 * Reads an answer; text is what came over the bus. 0; -EBADMSG when it is no such answer or about another
 * link, -EFBIG when it is too long to be read in a moment, -ENOMEM.
 */
int networkd_answer_parse(const char *text, uint32_t ifindex, NetworkdAnswer *ret);

/* What the sections [X-Underpass] say, in rising order of precedence. */
typedef struct NetworkdSections {
        char **keys;
        char **values;
        char **origins;       /* "/etc/systemd/network/10-lte.network:12" */
        char **warnings;
        char *error;          /* the first file that cannot be taken at all */
} NetworkdSections;

void networkd_sections_done(NetworkdSections *sections);

/* Folders with .network files in falling order of precedence, ending in NULL. */
extern const char *const networkd_folders[];

/*
 * The drop-ins of a .network file by systemd's rule: NAME.network.d/?*.conf in every folder, the first
 * folder that has a name decides about it (an empty file or a link to /dev/null there masks it), sorted by
 * name.
 * 0 or -ENOMEM.
 */
int networkd_dropins(const char *const *folders, const char *network_file, char ***ret);

/* Reads the sections of the files that the answer names, or implies. 0 or -ENOMEM. */
int networkd_sections_read(const char *const *folders, const NetworkdAnswer *answer, NetworkdSections *ret);

/* Adds them to a profile, and the defaults that fit networkd. 0 or -ENOMEM. */
int networkd_sections_apply(const NetworkdSections *sections, Profile *profile);

/* Whether any .network file or drop-in has such a section. */
bool networkd_any_section(const char *const *folders);
