/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Presence of a service on the bus, the questions to it, and the signals that are believed. See bus-peer.h.
 */

#include "source/bus-peer.h"

enum {
        CALL_TIMEOUT_US = 1000 * 1000,
        RETRY_FIRST_US = 2 * 1000 * 1000,
        RETRY_LAST_US = 64 * 1000 * 1000,
};

static void on_owner_changed(BusOwner *owner);

int bus_peer_new(BusPeer **ret, size_t size, const SourceOps *source_ops, const BusPeerOps *ops,
                 SourceChanged changed, void *userdata) {
        BusPeer *peer = calloc(1, size);

        if (!peer)
                return -ENOMEM;
        peer->source.ops = source_ops;
        peer->ops = ops;
        peer->owner.changed = on_owner_changed;
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

bool bus_peer_tells_gone(const BusPeer *peer, sd_bus_message *reply) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        const size_t length = strlen(peer->ops->name);

        return error && (sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_OBJECT) ||
                         sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_METHOD) ||
                         (strncmp(error->name, peer->ops->name, length) == 0 && error->name[length] == '.'));
}

void bus_peer_retry_later(const BusPeer *peer, BusPeerRetry *retry, sd_event_time_handler_t handler,
                          void *userdata) {
        if (retry->event || !peer->bus)
                return;
        retry->delay_us = retry->delay_us == 0 ? RETRY_FIRST_US : MIN_OF(2 * retry->delay_us, RETRY_LAST_US);
        (void) sd_event_add_time_relative(sd_bus_get_event(peer->bus), &retry->event, CLOCK_MONOTONIC,
                                          retry->delay_us, 0, handler, userdata);
}

void bus_peer_retry_over(BusPeerRetry *retry) {
        retry->event = sd_event_source_disable_unref(retry->event);
}

void bus_peer_retry_done(BusPeerRetry *retry) {
        bus_peer_retry_over(retry);
        retry->delay_us = 0;
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
        peer->preparing = false;
        peer->present = true;
        serve_waiting(peer);
        peer->changed(0, peer->userdata);
}

static void on_owner_changed(BusOwner *owner) {
        BusPeer *peer = (BusPeer *) ((char *) owner - offsetof(BusPeer, owner));
        peer->presence_call = sd_bus_slot_unref(peer->presence_call);
        peer->present = false;
        peer->preparing = peer->ops->owner_changed && peer->ops->owner_changed(peer);
        if (!owner->unique)
                serve_waiting(peer);
        else if (!peer->preparing)
                bus_peer_ready(peer);
}

static int on_signal(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const BusPeerSubscription *subscription = userdata;

        if (bus_message_is_from(message, subscription->peer->owner.unique))
                subscription->signal->handle(subscription->peer, message);
        return 0;
}

static int peer_subscribe(BusPeer *peer) {
        for (size_t i = 0; i < BUS_PEER_SIGNALS_MAX && peer->ops->signals[i].match; i++) {
                BusPeerSubscription *subscription = &peer->subscriptions[i];
                _cleanup_(freep) char *match = NULL;
                int r;

                subscription->peer = peer;
                subscription->signal = &peer->ops->signals[i];
                match = string_format("type='signal',sender='%s',%s", peer->ops->name,
                                      subscription->signal->match);
                r = match ? sd_bus_add_match_async(peer->bus, &subscription->slot, match, on_signal, NULL,
                                                   subscription)
                          : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return bus_owner_watch(&peer->owner, peer->bus, peer->ops->name);
}

int bus_peer_set_bus(Source *source, sd_bus *bus) {
        BusPeer *peer = (BusPeer *) source;

        for (size_t i = 0; i < BUS_PEER_SIGNALS_MAX; i++)
                peer->subscriptions[i].slot = sd_bus_slot_unref(peer->subscriptions[i].slot);
        bus_owner_stop(&peer->owner);
        peer->presence_call = sd_bus_slot_unref(peer->presence_call);
        for (BusPeerLink *link = peer->links; link; link = link->next)
                bus_peer_finish(link);
        peer->present = false;
        peer->preparing = false;
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
        if (!peer->owner.call && !peer->preparing && !peer->presence_call)
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
