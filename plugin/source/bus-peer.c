/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Presence of a service on the bus, the questions to it, and the signals that are believed. See bus-peer.h.
 */

#include "source/bus-peer.h"

#define DRIVER_NAME "org.freedesktop.DBus"
#define DRIVER_PATH "/org/freedesktop/DBus"

enum { CALL_TIMEOUT_US = 1000 * 1000 };

int bus_peer_new(BusPeer **ret, size_t size, const SourceOps *source_ops, const BusPeerOps *ops,
                 SourceChanged changed, void *userdata) {
        BusPeer *peer = calloc(1, size);

        if (!peer)
                return -ENOMEM;
        peer->source.ops = source_ops;
        peer->ops = ops;
        peer->changed = changed;
        peer->userdata = userdata;
        *ret = peer;
        return 0;
}

int bus_peer_call(BusPeer *peer, sd_bus_slot **slot, const char *path, const char *interface,
                  const char *member, sd_bus_message_handler_t handler, void *userdata, const char *types,
                  ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        sd_bus_slot *fresh = NULL;
        va_list arguments;
        int r;

        if (!peer->bus)
                return -ENOTCONN;
        r = sd_bus_message_new_method_call(peer->bus, &message, peer->ops->name, path, interface, member);
        if (r < 0)
                return r;
        r = sd_bus_message_set_auto_start(message, false);
        if (r < 0)
                return r;
        va_start(arguments, types);
        r = sd_bus_message_appendv(message, types, arguments);
        va_end(arguments);
        if (r < 0)
                return r;
        r = sd_bus_call_async(peer->bus, &fresh, message, handler, userdata, CALL_TIMEOUT_US);
        if (r < 0)
                return r;
        sd_bus_slot_unref(*slot);
        *slot = fresh;
        return 0;
}

BusPeerLink *bus_peer_find(const BusPeer *peer, uint32_t ifindex) {
        for (BusPeerLink *link = peer->links; link; link = link->next)
                if (link->ifindex == ifindex)
                        return link;
        return NULL;
}

BusPeerLink *bus_peer_get(BusPeer *peer, uint32_t ifindex) {
        BusPeerLink *link = bus_peer_find(peer, ifindex);

        if (link)
                return link;
        link = calloc(1, peer->ops->link_size);
        if (!link)
                return NULL;
        *link = (BusPeerLink) { .next = peer->links, .peer = peer, .ifindex = ifindex };
        peer->links = link;
        return link;
}

void bus_peer_finish(BusPeerLink *link) {
        SourceDone done = link->done;

        link->call = sd_bus_slot_unref(link->call);
        link->done = NULL;
        if (done)
                done(link->done_userdata);
}

static void link_ask(BusPeerLink *link) {
        if (!link->peer->present || !link->peer->ops->ask(link))
                bus_peer_finish(link);
}

/* Serves those who asked while nobody knew whether there is somebody to ask and, when there is nobody any
 * more, those whom nobody will answer. */
static void serve_waiting(BusPeer *peer) {
        for (BusPeerLink *link = peer->links, *next; link; link = next) {
                next = link->next;
                if (link->done && (!link->call || !peer->present))
                        link_ask(link);
        }
}

void bus_peer_ready(BusPeer *peer) {
        peer->presence_call = sd_bus_slot_unref(peer->presence_call);
        peer->present = true;
        serve_waiting(peer);
        peer->changed(0, peer->userdata);
}

/* NULL: nobody owns the name. */
static void peer_set_owner(BusPeer *peer, const char *owner) {
        bool asks_first;

        peer->presence_call = sd_bus_slot_unref(peer->presence_call);
        peer->present = false;
        free(peer->owner);
        peer->owner = owner ? strdup(owner) : NULL;
        asks_first = peer->ops->owner_changed && peer->ops->owner_changed(peer);
        if (!peer->owner)
                serve_waiting(peer);
        else if (!asks_first)
                bus_peer_ready(peer);
}

static bool message_is_from(sd_bus_message *message, const char *sender) {
        const char *actual = sd_bus_message_get_sender(message);

        return actual && sender && streq(actual, sender);
}

static int on_owner(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const char *owner = NULL;

        if (sd_bus_message_is_method_error(reply, NULL) || sd_bus_message_read(reply, "s", &owner) < 0)
                owner = NULL;
        peer_set_owner(userdata, owner);
        return 0;
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *name, *before, *after;

        if (message_is_from(message, DRIVER_NAME) &&
            sd_bus_message_read(message, "sss", &name, &before, &after) >= 0)
                peer_set_owner(userdata, after[0] != '\0' ? after : NULL);
        return 0;
}

static int on_signal(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const BusPeerSubscription *subscription = userdata;

        if (message_is_from(message, subscription->peer->owner))
                subscription->signal->handle(subscription->peer, message);
        return 0;
}

static int peer_add_match(BusPeer *peer, sd_bus_slot **ret_slot, const char *sender, const char *rest,
                          sd_bus_message_handler_t handler, void *userdata) {
        _cleanup_(freep) char *match = string_format("type='signal',sender='%s',%s", sender, rest);

        return match ? sd_bus_add_match_async(peer->bus, ret_slot, match, handler, NULL, userdata) : -ENOMEM;
}

static int peer_subscribe(BusPeer *peer) {
        _cleanup_(freep) char *owner_match =
                string_format("path='" DRIVER_PATH "',interface='" DRIVER_NAME "',"
                              "member='NameOwnerChanged',arg0='%s'",
                              peer->ops->name);
        int r = owner_match ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < BUS_PEER_SIGNALS_MAX && peer->ops->signals[i].match; i++) {
                BusPeerSubscription *subscription = &peer->subscriptions[i];

                subscription->peer = peer;
                subscription->signal = &peer->ops->signals[i];
                r = peer_add_match(peer, &subscription->slot, peer->ops->name, subscription->signal->match,
                                   on_signal, subscription);
        }
        if (r >= 0)
                r = peer_add_match(peer, &peer->owner_slot, DRIVER_NAME, owner_match, on_owner_changed,
                                   peer);
        if (r < 0)
                return r;
        /* Without a time limit of our own: on a host that is busy booting the answer may take seconds, and
         * nobody would tell us later that the peer was there already. */
        return sd_bus_call_method_async(peer->bus, &peer->presence_call, DRIVER_NAME, DRIVER_PATH,
                                        DRIVER_NAME, "GetNameOwner", on_owner, peer, "s", peer->ops->name);
}

int bus_peer_set_bus(Source *source, sd_bus *bus) {
        BusPeer *peer = (BusPeer *) source;

        for (size_t i = 0; i < BUS_PEER_SIGNALS_MAX; i++)
                peer->subscriptions[i].slot = sd_bus_slot_unref(peer->subscriptions[i].slot);
        peer->owner_slot = sd_bus_slot_unref(peer->owner_slot);
        peer->presence_call = sd_bus_slot_unref(peer->presence_call);
        for (BusPeerLink *link = peer->links; link; link = link->next)
                bus_peer_finish(link);
        (void) string_replace(&peer->owner, NULL);
        peer->present = false;
        peer->bus = sd_bus_unref(peer->bus);
        if (!bus)
                return 0;
        peer->bus = sd_bus_ref(bus);
        return peer_subscribe(peer);
}

bool bus_peer_available(Source *source) {
        return ((BusPeer *) source)->present;
}

void bus_peer_ask(Source *source, const LinkFacts *facts, SourceDone done, void *userdata) {
        BusPeer *peer = (BusPeer *) source;
        BusPeerLink *link = bus_peer_get(peer, facts->ifindex);

        if (!link || link->done) {
                done(userdata);
                return;
        }
        memcpy(link->name, facts->name, sizeof(link->name));
        link->done = done;
        link->done_userdata = userdata;
        /* While it is being asked whether the peer is there, its links wait for that answer. */
        if (!peer->presence_call)
                link_ask(link);
}

bool bus_peer_uncertain(Source *source, uint32_t ifindex) {
        const BusPeerLink *link = bus_peer_find((BusPeer *) source, ifindex);

        return !link || !link->answered;
}

void bus_peer_forget(Source *source, uint32_t ifindex) {
        BusPeer *peer = (BusPeer *) source;

        for (BusPeerLink **position = &peer->links; *position; position = &(*position)->next)
                if ((*position)->ifindex == ifindex) {
                        BusPeerLink *link = *position;

                        *position = link->next;
                        bus_peer_finish(link);
                        peer->ops->link_done(link);
                        free(link);
                        return;
                }
}

void bus_peer_free(Source *source) {
        BusPeer *peer = (BusPeer *) source;

        (void) bus_peer_set_bus(source, NULL);
        while (peer->links)
                bus_peer_forget(source, peer->links->ifindex);
        free(peer);
}
