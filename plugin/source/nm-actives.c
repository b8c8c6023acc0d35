/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See nm-actives.h. */

#include "source/nm-actives.h"

#define NM_NAME "org.freedesktop.NetworkManager"
#define NM_PATH "/org/freedesktop/NetworkManager"
#define NM_ACTIVE NM_NAME ".Connection.Active"
#define DBUS_PROPERTIES "org.freedesktop.DBus.Properties"

/* NM_ACTIVE_CONNECTION_STATE_* and NM_ACTIVE_CONNECTION_STATE_REASON_* (NetworkManager's D-Bus API). */
enum {
        ACTIVE_STATE_DEACTIVATING = 3,
        REASON_USER_DISCONNECTED = 2,
};

static void forget(NmActive **position) {
        NmActive *active = *position;

        *position = active->next;
        sd_bus_slot_unref(active->call);
        free(active->path);
        free(active->uuid);
        free(active);
}

void nm_actives_done(NmActives *actives) {
        actives->listing = sd_bus_slot_unref(actives->listing);
        bus_peer_retry_done(&actives->retry);
        while (actives->known)
                forget(&actives->known);
        actives->again = false;
        actives->loaded = false;
}

static NmActive **position_of(NmActives *actives, const char *path) {
        NmActive **position = &actives->known;

        while (*position && !streq((*position)->path, path))
                position = &(*position)->next;
        return position;
}

/* After each answer. */
static void settle(NmActives *actives) {
        if (actives->listing || actives->retry.event)
                return;
        for (const NmActive *active = actives->known; active; active = active->next)
                if (active->call)
                        return;
        bus_peer_retry_done(&actives->retry);
        if (actives->loaded)
                return;
        actives->loaded = true;
        actives->ready(actives);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        NmActives *actives = userdata;

        bus_peer_retry_over(&actives->retry);
        nm_actives_refresh(actives);
        return 0;
}

static int on_uuid(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        NmActive *active = userdata;
        NmActives *actives = active->actives;
        const char *uuid = "";

        /* It is asked about again when it is in the next list. */
        if (sd_bus_message_is_method_error(reply, NULL) && !bus_peer_tells_gone(actives->peer, reply)) {
                forget(position_of(actives, active->path));
                bus_peer_retry_later(actives->peer, &actives->retry, on_retry, actives);
                return 0;
        }
        if (!sd_bus_message_is_method_error(reply, NULL))
                (void) sd_bus_message_read(reply, "v", "s", &uuid);
        active->call = sd_bus_slot_unref(active->call);
        if (string_replace(&active->uuid, uuid) >= 0 && *uuid)
                actives->event(actives, uuid, actives->loaded ? NM_ACTIVE_BEGUN : NM_ACTIVE_FOUND);
        settle(actives);
        return 0;
}

static void add(NmActives *actives, const char *path) {
        NmActive *active = calloc(1, sizeof(*active));

        if (!active)
                return;
        *active = (NmActive) { .next = actives->known, .actives = actives, .listed = true };
        actives->known = active;
        if (string_replace(&active->path, path) < 0 ||
            bus_peer_call(actives->peer, &active->call, path, DBUS_PROPERTIES, "Get", on_uuid, active, "ss",
                          NM_ACTIVE, "Uuid") < 0)
                forget(&actives->known);
}

/* Takes a list: what is new is asked about, and what is missing has ended. */
static void take_list(NmActives *actives, sd_bus_message *reply) {
        const char *path;

        for (NmActive *active = actives->known; active; active = active->next)
                active->listed = false;
        if (sd_bus_message_enter_container(reply, SD_BUS_TYPE_VARIANT, "ao") < 0 ||
            sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, "o") < 0)
                return;
        while (sd_bus_message_read(reply, "o", &path) > 0) {
                NmActive *active = *position_of(actives, path);

                if (active)
                        active->listed = true;
                else
                        add(actives, path);
        }
        for (NmActive **position = &actives->known; *position;)
                if ((*position)->listed)
                        position = &(*position)->next;
                else
                        forget(position);
}

static int on_list(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        NmActives *actives = userdata;

        actives->listing = sd_bus_slot_unref(actives->listing);
        if (actives->again) {
                nm_actives_refresh(actives);
                return 0;
        }
        if (sd_bus_message_is_method_error(reply, NULL)) {
                bus_peer_retry_later(actives->peer, &actives->retry, on_retry, actives);
                return 0;
        }
        take_list(actives, reply);
        settle(actives);
        return 0;
}

void nm_actives_refresh(NmActives *actives) {
        actives->again = actives->listing != NULL;
        if (!actives->listing)
                (void) bus_peer_call(actives->peer, &actives->listing, NM_PATH, DBUS_PROPERTIES, "Get",
                                     on_list, actives, "ss", NM_NAME, "ActiveConnections");
}

void nm_actives_on_state(NmActives *actives, sd_bus_message *message) {
        const char *path = sd_bus_message_get_path(message);
        _cleanup_(freep) char *uuid = NULL;
        uint32_t state, reason;
        NmActive **position;

        if (!path || sd_bus_message_read(message, "uu", &state, &reason) < 0 ||
            state < ACTIVE_STATE_DEACTIVATING)
                return;
        position = position_of(actives, path);
        if (!*position || !(*position)->uuid)
                return;
        uuid = TAKE_PTR((*position)->uuid);
        if (string_replace(&(*position)->uuid, "") < 0)
                forget(position);
        if (*uuid)
                actives->event(actives, uuid,
                               reason == REASON_USER_DISCONNECTED ? NM_ACTIVE_ENDED_BY_HAND
                                                                  : NM_ACTIVE_ENDED);
}

const char *nm_actives_path(const NmActives *actives, const char *uuid) {
        for (const NmActive *active = actives->known; active; active = active->next)
                if (active->uuid && streq(active->uuid, uuid))
                        return active->path;
        return NULL;
}
