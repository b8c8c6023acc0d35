/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Strays: tunnelled connections whose route leads to another link than the one they were on. Where that
 * link has no tunnel, their packets would leave in another form than the peer expects, which a firewall
 * or a NAT on the way eats. So whenever routes change, the kernel is asked where the packets of each
 * connection leave, and the owner of the links says what becomes of them. Connections of this host are
 * known by their socket, those that it forwards by their packets. Connections that are only about to begin
 * need no change of routes for this: a server may answer by another link than it is asked on. The programs
 * tell of such.
 */

#include <systemd/sd-event.h>

#include "tunnel/tunnel.h"

typedef struct Strays Strays;

typedef enum StrayFate {
        STRAY_CARRIED,  /* nothing has to be done */
        STRAY_AWAITED,  /* the link is about to get programs: look again soon */
        STRAY_ENDS,     /* the link cannot have them: the connection is ended as a reset would */
} StrayFate;

/* A connection leaves by this link; moved: it was on another one when it last sent. */
typedef StrayFate (*StrayHandler)(uint32_t ifindex, bool moved, void *userdata);

/* All connections have been looked at since the last call, which takes several looks if there are thousands,
 * and routes have not changed meanwhile. Returns whether a link carries strays: a look is taken now and
 * then, because nobody tells when a connection ends. */
typedef bool (*StraysLooked)(void *userdata);

/* Watches routes from now on. */
int strays_new(Strays **ret, sd_event *event, Tunnel *tunnel, StrayHandler handler, StraysLooked looked,
               void *userdata);
Strays *strays_free(Strays *strays);
DEFINE_CLEANUP(Strays *, strays_free);

/* Hears from now on which connections have been accepted and not been answered. Call it again: nothing
 * happens before programs are loaded, or the second time. */
void strays_listen(Strays *strays);

/* Links or addresses have changed, and routes with them: looks soon. Many changes are one look. */
void strays_look(Strays *strays);
