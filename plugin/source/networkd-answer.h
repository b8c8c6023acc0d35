/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What networkd answers when it is asked about a link. */

#include <stdbool.h>
#include <stdint.h>

typedef enum NetworkdClaim {
        NETWORKD_UNDECIDED,   /* it has not come to this link yet, or is looking at it again */
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
 * Reads an answer; text is what came over the bus. 0; -EBADMSG when it is not such an answer, or about
 * another link, -EFBIG when it is too long to be read in a moment, -ENOMEM.
 */
int networkd_answer_parse(const char *text, uint32_t ifindex, NetworkdAnswer *ret);
