/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See nm-show.h. */

#include "base/message.h"
#include "source/nm-show.h"

#define NM_NAME "org.freedesktop.NetworkManager"
#define NM_PATH "/org/freedesktop/NetworkManager"
#define NM_DEVICE NM_NAME ".Device"
#define DBUS_PROPERTIES "org.freedesktop.DBus.Properties"
#define NO_OBJECT "/"

enum { AGAIN_MAX = 3 };

void nm_show_done(NmShow *show) {
        show->call = sd_bus_slot_unref(show->call);
        free(show->base);
        free(show->tunnel);
        free(show->error);
        *show = (NmShow) { .link = show->link };
}

/* What is not answered in time is done all the same. */
static bool is_late(sd_bus_message *reply) {
        return sd_bus_message_is_method_error(reply, SD_BUS_ERROR_NO_REPLY);
}

static int on_activated(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        NmShow *show = userdata;
        BusPeer *peer = show->link->peer;
        _cleanup_(freep) char *excerpt = NULL;

        show->call = sd_bus_slot_unref(show->call);
        if (!sd_bus_message_is_method_error(reply, NULL))
                return 0;
        show->asked = is_late(reply);
        excerpt = value_excerpt(sd_bus_message_get_error(reply)->message ?: "?");
        show->error = message_format(N_("NetworkManager cannot show the tunnel profile as active, which "
                                        "does no harm to the tunnel: %s"),
                                     excerpt ?: "?");
        peer->changed(show->link->ifindex, peer->userdata);
        return 0;
}

/* One try for each activation of the base, and a few more when the activation does not last. */
static int on_base(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        NmShow *show = userdata;
        const char *base = NO_OBJECT;

        if (!sd_bus_message_is_method_error(reply, NULL))
                (void) sd_bus_message_read(reply, "v", "o", &base);
        if (streq(base, NO_OBJECT) || (show->base && streq(show->base, base) && !show->again)) {
                show->call = sd_bus_slot_unref(show->call);
                return 0;
        }
        if (!show->base || !streq(show->base, base))
                show->ended = 0;
        show->again = false;
        free(TAKE_PTR(show->error));
        if (string_replace(&show->base, base) < 0 ||
            bus_peer_call(show->link->peer, &show->call, NM_PATH, NM_NAME, "ActivateConnection",
                          on_activated, show, "ooo", show->tunnel, NO_OBJECT, show->base) < 0)
                show->call = sd_bus_slot_unref(show->call);
        else
                show->asked = true;
        return 0;
}

void nm_show_begin(NmShow *show, const NmActives *actives, const NmTunnel *tunnel, const char *device) {
        const char *uuid = tunnel->profile.uuid;

        if (uuid && nm_actives_path(actives, uuid)) {
                free(TAKE_PTR(show->error));
                return;
        }
        if (show->call || !actives->loaded || tunnel->profile.no_autoconnect || !uuid || !*tunnel->path ||
            string_replace(&show->tunnel, tunnel->path) < 0)
                return;
        (void) bus_peer_call(show->link->peer, &show->call, device, DBUS_PROPERTIES, "Get", on_base, show,
                             "ss", NM_DEVICE, "ActiveConnection");
}

static int on_deactivated(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        NmShow *show = userdata;

        if (sd_bus_message_is_method_error(reply, NULL) && !is_late(reply))
                show->ending = false;
        show->call = sd_bus_slot_unref(show->call);
        return 0;
}

void nm_show_end(NmShow *show, const NmActives *actives, const NmTunnel *tunnel) {
        const char *uuid = tunnel ? tunnel->profile.uuid : NULL;
        const char *path = uuid ? nm_actives_path(actives, uuid) : NULL;

        free(TAKE_PTR(show->base));
        free(TAKE_PTR(show->error));
        if (path && bus_peer_call(show->link->peer, &show->call, NM_PATH, NM_NAME, "DeactivateConnection",
                                  on_deactivated, show, "o", path) >= 0)
                show->ending = true;
}

bool nm_show_is_ours(const NmShow *show, NmActiveEvent event) {
        return event == NM_ACTIVE_BEGUN ? show->asked : event == NM_ACTIVE_ENDED_BY_HAND && show->ending;
}

bool nm_show_event(NmShow *show, NmActiveEvent event, bool ours) {
        switch (event) {
        case NM_ACTIVE_FOUND:
                return false;
        case NM_ACTIVE_BEGUN:
                free(TAKE_PTR(show->error));
                show->wish = ours ? NM_WISH_NONE : NM_WISH_ON;
                show->asked = show->ending = false;
                return true;
        case NM_ACTIVE_ENDED_BY_HAND:
                if (!ours)
                        show->wish = NM_WISH_OFF;
                show->ending = false;
                return true;
        case NM_ACTIVE_ENDED:
                show->ending = false;
                show->again = show->ended++ < AGAIN_MAX;
                return show->again;
        }
        return false;
}
