/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A link as those see it who change it: what they work with, and what they have done so far. It is all that
 * apply.c and the modules below it know of a link.
 */

#include "kernel/mptcp-pm.h"
#include "plan/plan.h"
#include "service/segmentation.h"
#include "service/sockets.h"
#include "tunnel/tunnel.h"

typedef struct Target {
        /* Given by link.c. */
        uint32_t ifindex;
        char name[IF_NAMESIZE];
        Tunnel *tunnel;
        MptcpPm *mptcp_pm;            /* NULL: the kernel has no MPTCP */
        Segmentation *segmentation;
        Sockets *sockets;
        uint32_t asked_by;            /* UNDERPASS_SAVED_FROM_…: whose profile asks for the tunnel */
        bool taken_in;                /* attached for flows whose route has moved here, or about to be */

        /* What has been applied: written by apply.c, the endpoints in it by endpoints.c. */
        Applied applied;
        uint32_t mtu;                 /* of the link now; link.c reads it anew at each look */

        /* What the link had before the tunnel and has not taken back: written by apply.c. */
        uint32_t mtu_refused;         /* 0: nothing */
        uint32_t mtu_instead;         /* that it has kept … */
        int mtu_error;                /* … and why: negative errno */

        /* The way of its packets: written by path.c. */
        SegmentationDevice device;    /* ifindex 0: not attached, or not known yet */
        enum underpass_receive receive; /* in use, which may be another one than was asked for … */
        char *receive_error;          /* … and why; NULL: it is that one */
} Target;
