/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * SCTP over UDP (RFC 6951): the kernel carries it by itself, with two ports for the whole network namespace.
 * Several links can ask for them; here it is decided whose value counts, what has to be written and
 * remembered, and what is said about it.
 */

#include "bpf/abi.h"
#include "profile/profile.h"

typedef enum SctpPort {
        SCTP_PORT_UDP,    /* key sctp-udp-port, net.sctp.udp_port: where this host listens */
        SCTP_PORT_ENCAP,  /* key sctp-encap-port, net.sctp.encap_port: where peers listen */
        _SCTP_PORT_MAX = UNDERPASS_SAVED_SCTP_PORTS,
} SctpPort;

/* What a link asks for. */
typedef struct SctpClaim {
        uint32_t ifindex;
        const char *link;               /* its name */
        const Profile *profile;         /* that says so */
        uint16_t ports[_SCTP_PORT_MAX]; /* 0: nothing */
} SctpClaim;

/* How it stands with one of the ports. */
typedef struct SctpStatus {
        const SctpClaim *holder;        /* whose value counts; NULL: nobody asks */
        uint16_t in_force;              /* the sysctl as it is; 0: off */
        int error;                      /* why the value is not in force; -ENOENT: no SCTP over UDP */
} SctpStatus;

/* The name of a port's sysctl below net.sctp. */
const char *sctp_sysctl(SctpPort port);

/* What the settings ask for; 0: nothing. */
uint16_t sctp_setting(const Settings *settings, SctpPort port);

/* What is said of settings that ask for SCTP over UDP and for no tunnel, to be translated. NULL: they ask
 * for something else, or for nothing. */
const char *sctp_alone(const Settings *settings);

/*
 * The claim that counts: one that agrees with what is set already (0: nothing), so that a link that comes
 * later takes nothing from an earlier one; of several, and where none agrees, the one with the lowest
 * interface index. NULL: nobody asks for this port.
 */
const SctpClaim *sctp_choose(const SctpClaim *claims, size_t count, SctpPort port, uint16_t set);

/*
 * The value that the sysctl is to get, from what is remembered of it, what is wanted (0: nothing any more)
 * and what it is now. *ret_next is what has to be remembered then. What others have set meanwhile is what
 * they want to have back, as with the MTU. A change of what is wanted is two steps: first 0, then the value.
 */
uint16_t sctp_next(const struct underpass_saved_sysctl *saved, uint16_t wanted, uint16_t now,
                   struct underpass_saved_sysctl *ret_next);

/* Adds sentences about what a link does not get, or gets to no avail, to *warnings. 0 or -ENOMEM. */
int sctp_warn(const SctpClaim *claim, const SctpStatus status[static _SCTP_PORT_MAX], char ***warnings);
