/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What is good and what is wrong on this host: facts come in as a struct, and one table has a row for each
 * check.
 */

#include "plan/check-lines.h"
#include "plan/facts.h"

/* How systemd sees the service. */
typedef enum CheckUnit {
        CHECK_UNIT_UNKNOWN,   /* no systemd that could be asked */
        CHECK_UNIT_MISSING,   /* no such unit */
        CHECK_UNIT_MASKED,
        CHECK_UNIT_DISABLED,  /* will not start by itself, whether it runs now or not */
        CHECK_UNIT_FAILED,    /* enabled; the last start failed */
        CHECK_UNIT_ENABLED,
        _CHECK_UNIT_MAX,
} CheckUnit;

typedef enum CheckMptcp {
        CHECK_MPTCP_MISSING,  /* the kernel has none */
        CHECK_MPTCP_OFF,
        CHECK_MPTCP_ON,
} CheckMptcp;

typedef struct CheckPorts {
        bool known;
        const uint16_t *ports;  /* ascending, host order */
        size_t count;
} CheckPorts;

/* A file with settings, or what seems to be meant as one. */
typedef struct CheckFile {
        const char *path;
        char *const *complaints;  /* sentences; ends in NULL */
        bool has_links;           /* that it is about: they tell what is wrong */
} CheckFile;

/* A profile of NetworkManager. */
typedef struct CheckProfile {
        const char *id;
        const char *uuid;
        bool unique;     /* no other one has this id */
        bool tunnel;     /* asks for one, or its tunnel profile does */
        const char *on;  /* the device to activate it on, where it could be another; else NULL */
} CheckProfile;

/* `nmcli connection up …`; NULL when out of memory. Caller frees. */
char *check_profile_up_command(const CheckProfile *profile);

/* Facts of the host. Strings are never NULL. */
typedef struct CheckHost {
        CheckUnit unit;
        bool answers;              /* the service does */
        const char *version;       /* of the service; "" when it does not answer */
        const char *unit_error;    /* why it does not answer, or its last words in the journal; "" */
        const char *bpf_error;     /* BpfError of the service */
        const char *attach_point;  /* "" when it is not known */
        const char *kernel;        /* release */
        CheckMptcp mptcp;
        bool subflows_by_program;  /* of new connections: the kernel leaves its endpoints alone */
        bool limits_known;
        uint32_t subflows_max;     /* `ip mptcp limits`: additional subflows of a connection */
        bool temporary;            /* connections by IPv6 begin from addresses that are no endpoints */
        bool endpoints_known;
        const MptcpEndpoint *endpoints;
        size_t endpoints_count;
        uint64_t asked;            /* MPTCP connections that this host has opened since it booted, … */
        uint64_t fallen_back;      /* … and those of them that were answered without MPTCP */
        size_t links_active;       /* with a tunnel */
        size_t links_trying;       /* have one, or it is known why they have none yet */
        size_t links_building;     /* of those with one, for connections that begin here */
        bool sctp_alone;           /* links ask for SCTP over UDP, and no profile for a tunnel */
        CheckProfile asking;       /* wants a tunnel, and is active on no link, while none has a tunnel; id
                                    * NULL: there is no such one; uuid NULL: it is no command's */
        const char *asking_link;   /* that it is for, and that is not there; NULL: none */
        bool about_links;          /* lines about links say why there is no tunnel */
        CheckPorts udp_ports;      /* bound by UDP sockets */
        CheckPorts tcp_listeners;  /* ports at which TCP sockets listen, MPTCP or not */
        CheckPorts mptcp_listeners;
        const CheckFile *files;    /* as the service knows them */
        size_t files_count;
} CheckHost;

/* Adds lines. 0 or -ENOMEM. */
int check_host(const CheckHost *host, CheckLines *lines);
