/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the kernel tells of MPTCP connections and their subflows (group "mptcp_pm_events" of the generic
 * netlink family "mptcp_pm", kernel 5.11 and newer). Needs CAP_NET_ADMIN.
 */

#include "base/util.h"
#include "plan/facts.h"

typedef struct MptcpEvents MptcpEvents;

typedef enum MptcpEventKind {
        MPTCP_CONNECTION_GONE,
        MPTCP_SUBFLOW_UP,   /* established, also the first one of a connection */
        MPTCP_SUBFLOW_GONE, /* also one that was never established; its connection goes on */
        MPTCP_EVENTS_LOST,  /* anything may have happened (ENOBUFS) */
} MptcpEventKind;

typedef struct MptcpEvent {
        MptcpEventKind kind;
        uint32_t token;     /* of the connection, on this host; 0: it is not told */
        uint32_t ifindex;   /* that the subflow is bound to, as those of endpoints are; 0: to none */
        bool refused;       /* MPTCP_SUBFLOW_GONE: somebody answered, but not as a subflow needs it */
        bool has_local;
        Address local;      /* address of the subflow on this host */
        Address remote;     /* and of its peer; zeros when it is not told, as the ports */
        uint16_t local_port;
        uint16_t remote_port;
        uint8_t error;      /* MPTCP_SUBFLOW_GONE: the errno that ended it; 0: none is told */
} MptcpEvent;

typedef void (*MptcpEventHandler)(const MptcpEvent *event, void *userdata);

/* Listens from now on. -EOPNOTSUPP when the kernel tells nothing, -EPERM. */
int mptcp_events_open(MptcpEvents **ret);
MptcpEvents *mptcp_events_free(MptcpEvents *events);
DEFINE_CLEANUP(MptcpEvents *, mptcp_events_free);

/* Descriptor to be polled for reading. */
int mptcp_events_fd(const MptcpEvents *events);

/* Reads what is pending without blocking, but not without end: the descriptor stays readable then. 0 or
 * negative errno. */
int mptcp_events_process(MptcpEvents *events, MptcpEventHandler handler, void *userdata);

/* Tells what one datagram says; its beginning is aligned as struct nlmsghdr is. Apart, so that tests can say
 * what the kernel says. */
void mptcp_events_notify(const void *datagram, size_t length, MptcpEventHandler handler, void *userdata);
