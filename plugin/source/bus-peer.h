/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A service on the bus that manages links: whether it is there, what it was asked about each link, and whom
 * its signals come from. NetworkManager and systemd-networkd are such peers, and differ only in what is
 * asked and in what an answer means.
 *
 * Nothing here blocks or starts the peer: every call is asynchronous and gives up after a second. While the
 * peer is away or silent, its last answers stand. A signal is believed only when it comes from the process
 * that owns the peer's name, and only tells that there is something to ask: see bus-owner.h.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "source/bus-owner.h"
#include "source/source.h"

enum { BUS_PEER_SIGNALS_MAX = 5 };

typedef struct BusPeer BusPeer;

/* The beginning of what a source knows about one link. */
typedef struct BusPeerLink {
        struct BusPeerLink *next;
        BusPeer *peer;
        uint32_t ifindex;
        char name[IF_NAMESIZE];     /* as of the latest question */
        bool answered;              /* the peer has said something about this link */
        sd_bus_slot *call;          /* question under way */
        SourceDone done;            /* somebody waits for the answer */
        void *done_userdata;
} BusPeerLink;

typedef struct BusPeerSignal {
        const char *match;          /* match rule without type= and sender= */
        void (*handle)(BusPeer *peer, sd_bus_message *message);
} BusPeerSignal;

typedef struct BusPeerOps {
        const char *name;           /* well-known name */
        size_t link_size;           /* of a struct that begins with BusPeerLink */
        BusPeerSignal signals[BUS_PEER_SIGNALS_MAX];  /* without a match: unused */

        /* Puts the question about a link; its answer calls bus_peer_finish(). False: there is none to wait
         * for. */
        bool (*ask)(BusPeerLink *link);

        /* Another process owns the name (peer->owner.unique), or nobody does (NULL). True when the source
         * has to ask something first, and then calls bus_peer_ready(). NULL: nothing to do. */
        bool (*owner_changed)(BusPeer *peer);

        /* Frees what comes after BusPeerLink. */
        void (*link_done)(BusPeerLink *link);
} BusPeerOps;

typedef struct BusPeerSubscription {
        BusPeer *peer;
        const BusPeerSignal *signal;
        sd_bus_slot *slot;
} BusPeerSubscription;

/* A question that will be put once more. */
typedef struct BusPeerRetry {
        sd_event_source *event;     /* NULL: it is not due */
        uint64_t delay_us;          /* before the latest one; 0: the latest question was answered */
} BusPeerRetry;

/* The beginning of a source on the bus. */
struct BusPeer {
        Source source;
        const BusPeerOps *ops;
        SourceChanged changed;
        void *userdata;
        sd_bus *bus;                /* NULL: the bus is away */
        BusOwner owner;             /* of the peer's name */
        bool present;               /* it can be asked */
        bool preparing;             /* the source asks something before it can be asked about links */
        sd_bus_slot *presence_call; /* whether its owner can be asked is being asked */
        BusPeerSubscription subscriptions[BUS_PEER_SIGNALS_MAX];
        BusPeerLink *links;
};

/* size: of a struct that begins with BusPeer. 0 or -ENOMEM. */
int bus_peer_new(BusPeer **ret, size_t size, const SourceOps *source_ops, const BusPeerOps *ops,
                 SourceChanged changed, void *userdata);

/* These stand in the SourceOps of a peer. */
bool bus_peer_available(Source *source);
void bus_peer_ask(Source *source, const LinkFacts *facts, SourceDone done, void *userdata);
bool bus_peer_uncertain(Source *source, uint32_t ifindex);
void bus_peer_forget(Source *source, uint32_t ifindex);
int bus_peer_set_bus(Source *source, sd_bus *bus);
void bus_peer_free(Source *source);

/* What is known about a link. bus_peer_find(): NULL when it is nothing; bus_peer_get() adds it then, and
 * returns NULL when out of memory. */
BusPeerLink *bus_peer_find(const BusPeer *peer, uint32_t ifindex);
BusPeerLink *bus_peer_get(BusPeer *peer, uint32_t ifindex);

/* Calls a method of the peer. *slot, NULL or the slot of the call whose answer is being read, is replaced.
 * Negative errno. */
int bus_peer_call(BusPeer *peer, sd_bus_slot **slot, const char *path, const char *interface,
                  const char *member, sd_bus_message_handler_t handler, void *userdata, const char *types,
                  ...);

/* Whether an answer says that the object is not there, or not for us. The other errors of the library and of
 * the bus say nothing about it: the answer was late, or there were too many calls. */
bool bus_peer_tells_gone(const BusPeer *peer, sd_bus_message *reply);

/* Has a question put once more that was not answered: a peer that was too busy to answer in time may have no
 * reason for a signal later. The longer it is silent, the less often. Nothing happens while that is due
 * already. handler: begins with bus_peer_retry_over(). */
void bus_peer_retry_later(const BusPeer *peer, BusPeerRetry *retry, sd_event_time_handler_t handler,
                          void *userdata);

/* It is being asked now. */
void bus_peer_retry_over(BusPeerRetry *retry);

/* There was an answer, or there is nothing to ask any more. */
void bus_peer_retry_done(BusPeerRetry *retry);

/* The peer can be asked: questions that wait are put, and all links are marked, because no signal told what
 * happened before. */
void bus_peer_ready(BusPeer *peer);

/* No question about the link is under way any more: who waits for an answer goes on with what is known. */
void bus_peer_finish(BusPeerLink *link);
