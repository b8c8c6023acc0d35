/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * SCTP over UDP as the service sees it: two sysctls of the network namespace, set with the first link that
 * asks for them, given back with the last. What fails here is a warning of the links that ask, and never
 * stands in the way of a tunnel.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "plan/sctp.h"
#include "tunnel/tunnel.h"

typedef struct Sctp Sctp;

/* What becomes of a port has changed: the link shall look again, for its warnings depend on it. */
typedef void (*SctpChanged)(uint32_t ifindex, void *userdata);

/* folder: of net.sctp.*. The tunnel room keeps what was changed. */
int sctp_new(Sctp **ret, sd_event *event, Tunnel *tunnel, const char *folder, SctpChanged changed,
             void *userdata);
Sctp *sctp_free(Sctp *sctp);
DEFINE_CLEANUP(Sctp *, sctp_free);

/* The bus by which systemd is asked to load the module; NULL: there is none. */
void sctp_set_bus(Sctp *sctp, sd_bus *bus);

/* Takes over what an earlier service has set: it stays until every link has said what it asks for. What it
 * has remembered of that may be unreadable; then no port is touched, and each update tries again. */
void sctp_adopt(Sctp *sctp);

/* A link exists, or is being asked again: until sctp_claim() it may still want what is set. -ENOMEM. */
int sctp_await(Sctp *sctp, uint32_t ifindex);

/* What a link asks for. claim is copied; its profile has to stay until the next sctp_claim(), sctp_drop() or
 * sctp_free(). certain: no source of profiles can still change that. Brings the ports in line; the
 * other links that this concerns are told. -ENOMEM. */
int sctp_claim(Sctp *sctp, const SctpClaim *claim, bool certain);

/* The link is gone. Brings the ports in line. */
void sctp_drop(Sctp *sctp, uint32_t ifindex);

/* All links that exist at the start are known. */
void sctp_update(Sctp *sctp);

/* Adds what is to be said to this link about it. 0 or -ENOMEM. */
int sctp_add_warnings(const Sctp *sctp, uint32_t ifindex, char ***warnings);

/* Whether the value that this link asks for is set; what it is and what was there before, too. */
bool sctp_applied(const Sctp *sctp, uint32_t ifindex, SctpPort port, uint16_t *ret_value,
                  uint16_t *ret_original);

/* Whether the link asks for a port, in force or not. */
bool sctp_is_asked(const Sctp *sctp, uint32_t ifindex);

/* Whether something is set that has to be taken back one day, or may have to be set. */
bool sctp_is_busy(const Sctp *sctp);
