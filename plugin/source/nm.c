/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The NetworkManager source: devices, their states, and the questions about them. See nm.h. */

#include "base/message.h"
#include "profile/nm-user.h"
#include "source/bus-peer.h"
#include "source/nm-connection.h"
#include "source/nm-show.h"
#include "source/nm-tunnels.h"
#include "source/nm.h"

#define NM_NAME "org.freedesktop.NetworkManager"
#define NM_PATH "/org/freedesktop/NetworkManager"
#define NM_DEVICE "org.freedesktop.NetworkManager.Device"
#define DBUS_PROPERTIES "org.freedesktop.DBus.Properties"

enum { DOUBT_US = 6 * 1000 * 1000 }; /* longer than NetworkManager takes to quit, which is at most 5 s */

/* NM_DEVICE_STATE_* (NetworkManager's D-Bus API, all versions). */
enum {
        DEVICE_STATE_UNKNOWN = 0,
        DEVICE_STATE_UNMANAGED = 10,
        DEVICE_STATE_DISCONNECTED = 30,
        DEVICE_STATE_PREPARE = 40,
        DEVICE_STATE_ACTIVATED = 100,
        DEVICE_STATE_DEACTIVATING = 110,
};

/* States in which the device is managed and has no connection. */
static bool state_is_down(uint32_t state) {
        return state > DEVICE_STATE_UNMANAGED &&
               (state <= DEVICE_STATE_DISCONNECTED || state > DEVICE_STATE_DEACTIVATING);
}

static bool state_is_up(uint32_t state) {
        return state >= DEVICE_STATE_PREPARE && state <= DEVICE_STATE_ACTIVATED;
}

typedef struct NmDevice {
        BusPeerLink link;
        char *path;           /* object path, once known */
        uint32_t state;       /* NM_DEVICE_STATE_*, as it was asked last; 0: not known */
        bool told_down;       /* the dispatcher script has been told "down", and nothing has come up since */
        bool contradicted;    /* the state said that there is a connection, and then there was none */
        bool outdated;        /* the state has changed since it was asked */
        bool has_connection;
        NmConnection connection;
        char *error;          /* why the latest answer does not count */
        sd_event_source *doubt;
        bool doubt_over;
        BusPeerRetry retry;
        NmShow show;
} NmDevice;

typedef struct SourceNm {
        BusPeer peer;
        /* NetworkManager has not taken up again what was active before it started, or has not said yet that
         * it has: it owns its name before it can answer. */
        bool starting;
        NmTunnels tunnels;
        NmActives actives;
        bool tunnels_missing;  /* nobody told which there are, and it was asked again when it had started */
} SourceNm;

static NmDevice *nm_device_find(Source *source, uint32_t ifindex) {
        return (NmDevice *) bus_peer_find((BusPeer *) source, ifindex);
}

static bool nm_device_may_be_starting(const NmDevice *device) {
        return ((const SourceNm *) device->link.peer)->starting;
}

static void nm_device_end_doubt(NmDevice *device) {
        device->doubt = sd_event_source_disable_unref(device->doubt);
        device->doubt_over = false;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        NmDevice *device = userdata;
        BusPeer *peer = device->link.peer;

        bus_peer_retry_over(&device->retry);
        peer->changed(device->link.ifindex, peer->userdata);
        return 0;
}

/* When NetworkManager has started, all are asked about anyway. */
static void nm_device_retry_later(NmDevice *device) {
        if (!nm_device_may_be_starting(device))
                bus_peer_retry_later(device->link.peer, &device->retry, on_retry, device);
}

static void nm_device_answered(NmDevice *device) {
        device->link.answered = true;
        if (device->state != DEVICE_STATE_UNKNOWN)
                bus_peer_retry_done(&device->retry);
}

/* NetworkManager has said that the device has no connection. */
static void nm_device_set_none(NmDevice *device) {
        nm_device_end_doubt(device);
        nm_connection_done(&device->connection);
        device->has_connection = false;
        nm_device_answered(device);
}

/* NetworkManager has said nothing that could be understood. */
static void nm_device_not_told(NmDevice *device) {
        device->state = DEVICE_STATE_UNKNOWN;
        nm_device_retry_later(device);
        if (device->told_down)
                nm_device_set_none(device);
        bus_peer_finish(&device->link);
}

static int on_doubt_over(sd_event_source *source, uint64_t usec, void *userdata) {
        NmDevice *device = userdata;
        BusPeer *peer = device->link.peer;

        device->doubt = sd_event_source_disable_unref(device->doubt);
        device->doubt_over = true;
        peer->changed(device->link.ifindex, peer->userdata);
        return 0;
}

/* NetworkManager does not manage the device. That says nothing while it starts, and not much while it
 * quits: then it gives its devices up, and leaves them as they are. So a connection counts until
 * NetworkManager says the same when it should have quit. */
static void nm_device_given_up(NmDevice *device) {
        if (nm_device_may_be_starting(device))
                return;
        if (!device->has_connection || device->doubt_over)
                nm_device_set_none(device);
        else if (!device->doubt)
                (void) sd_event_add_time_relative(sd_bus_get_event(device->link.peer->bus), &device->doubt,
                                                  CLOCK_MONOTONIC, DOUBT_US, 0, on_doubt_over, device);
}

static int on_device_state(sd_bus_message *reply, void *userdata, sd_bus_error *error);

static int nm_device_ask_state(NmDevice *device) {
        device->outdated = false;
        return bus_peer_call(device->link.peer, &device->link.call, device->path, DBUS_PROPERTIES, "Get",
                             on_device_state, device, "ss", NM_DEVICE, "State");
}

/* "Not active" is an answer. Silence and the errors of the bus are none, and while NetworkManager starts,
 * which takes as long as any link is being activated, "not active" only means "not yet". Then the last
 * answer stands. False: the state is being asked again, because it said that there is a connection. */
static bool nm_device_take_error(NmDevice *device, const sd_bus_error *error) {
        if (nm_device_may_be_starting(device) || strncmp(error->name, NM_NAME ".", sizeof(NM_NAME)) != 0) {
                nm_device_retry_later(device);
                return true;
        }
        device->contradicted = device->has_connection && state_is_up(device->state);
        if (device->contradicted && nm_device_ask_state(device) >= 0)
                return false;
        nm_device_set_none(device);
        return true;
}

static int on_applied_connection(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        _cleanup_(nm_connection_done) NmConnection connection = {};
        NmDevice *device = userdata;
        int r;

        if (device->outdated && nm_device_ask_state(device) >= 0)
                return 0;
        (void) string_replace(&device->error, NULL);
        if (sd_bus_message_is_method_error(reply, NULL)) {
                if (!nm_device_take_error(device, sd_bus_message_get_error(reply)))
                        return 0;
        } else if ((r = nm_connection_read(reply, &connection)) < 0)
                device->error = message_format(N_("Cannot parse NetworkManager's reply about this link "
                                                  "(%s); using the previous one."),
                                               MESSAGE_ERRNO(r));
        else {
                nm_device_end_doubt(device);
                nm_connection_done(&device->connection);
                device->connection = connection;
                connection = (NmConnection) {};
                device->has_connection = true;
                nm_device_answered(device);
        }
        bus_peer_finish(&device->link);
        return 0;
}

/* What the state means. True: the connection is to be asked for. */
static bool nm_device_take_state(NmDevice *device, uint32_t state) {
        const bool up = state_is_up(state), down = state_is_down(state);

        device->state = state;
        if (up)
                device->told_down = false;
        /* While it starts, NetworkManager leads active devices through all the states of inactive ones. */
        if (device->told_down || (up && device->contradicted) ||
            (down && !nm_device_may_be_starting(device))) {
                nm_device_set_none(device);
                return false;
        }
        if (state == DEVICE_STATE_UNMANAGED) {
                nm_device_given_up(device);
                return false;
        }
        /* While the device goes down, NetworkManager's last answer is still right. */
        return !down && !(state == DEVICE_STATE_DEACTIVATING && device->link.answered);
}

static int on_device_state(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        NmDevice *device = userdata;
        uint32_t state;

        if (sd_bus_message_is_method_error(reply, NULL) ||
            sd_bus_message_read(reply, "v", "u", &state) < 0) {
                state = DEVICE_STATE_UNKNOWN;
                nm_device_retry_later(device);
        }
        if (!nm_device_take_state(device, state) ||
            bus_peer_call(device->link.peer, &device->link.call, device->path, NM_DEVICE,
                          "GetAppliedConnection", on_applied_connection, device, "u", 0) < 0)
                bus_peer_finish(&device->link);
        return 0;
}

static int on_device_path(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        NmDevice *device = userdata;
        const char *path = NULL;

        if (sd_bus_message_is_method_error(reply, NM_NAME ".UnknownDevice")) {
                (void) nm_device_take_state(device, DEVICE_STATE_UNMANAGED);
                bus_peer_finish(&device->link);
        } else if (sd_bus_message_is_method_error(reply, NULL) ||
                   sd_bus_message_read(reply, "o", &path) < 0 || string_replace(&device->path, path) < 0 ||
                   nm_device_ask_state(device) < 0)
                nm_device_not_told(device);
        return 0;
}

static bool nm_device_ask(BusPeerLink *link) {
        NmDevice *device = (NmDevice *) link;

        device->contradicted = false;
        return bus_peer_call(link->peer, &link->call, NM_PATH, NM_NAME, "GetDeviceByIpIface", on_device_path,
                             device, "s", link->name) >= 0;
}

static void nm_device_done(BusPeerLink *link) {
        NmDevice *device = (NmDevice *) link;

        nm_device_end_doubt(device);
        bus_peer_retry_done(&device->retry);
        nm_show_done(&device->show);
        nm_connection_done(&device->connection);
        free(device->path);
        free(device->error);
}

static const NmTunnel *nm_device_tunnel(const NmDevice *device, const char *interface) {
        const SourceNm *nm = (const SourceNm *) device->link.peer;

        return device->has_connection ? nm_tunnels_find(&nm->tunnels, interface, &device->connection) : NULL;
}

static int nm_identify(Source *source, const LinkFacts *facts, Profile *profile) {
        const NmDevice *device = nm_device_find(source, facts->ifindex);

        if (!device || !device->has_connection)
                return 0;
        /* NetworkManager also has connections for devices that it only watches. */
        if (profile->network_section && !nm_connection_has_keys(&device->connection) &&
            !nm_device_tunnel(device, facts->name))
                return 0;
        profile->connection_mptcp_flags = device->connection.mptcp_flags;
        profile->connection_mtu = device->connection.mtu;
        if (string_replace(&profile->connection_id, device->connection.id) < 0 ||
            string_replace(&profile->connection_uuid, device->connection.uuid) < 0)
                return -ENOMEM;
        return 0;
}

/* Whoever had it activated. */
static bool is_shown(const NmDevice *device, const NmTunnel *tunnel) {
        const SourceNm *nm = (const SourceNm *) device->link.peer;

        return tunnel->profile.uuid && nm_actives_path(&nm->actives, tunnel->profile.uuid);
}

static int nm_apply(Source *source, const LinkFacts *facts, Profile *profile) {
        const NmDevice *device = nm_device_find(source, facts->ifindex);
        const NmTunnels *tunnels = &((const SourceNm *) source)->tunnels;
        _cleanup_(freep) char *where = NULL;
        const NmConnection *connection;
        const NmTunnel *tunnel;
        size_t count;
        int r;

        if (device && device->error && strings_add(&profile->warnings, device->error) < 0)
                return -ENOMEM;
        if (!device || !device->has_connection)
                return 0;
        connection = &device->connection;
        tunnel = nm_device_tunnel(device, facts->name);
        r = nm_tunnels_apply(tunnels, tunnel, facts->name, connection, profile);
        if (r >= 0 && tunnel && device->show.error && !is_shown(device, tunnel))
                r = strings_add(&profile->warnings, device->show.error);
        if (r < 0 || tunnel)
                return r;
        where = string_format("%s (%s)", connection->id ?: "?", connection->uuid ?: "?");
        if (!where)
                return -ENOMEM;
        if (connection->pairs_lost)
                r = profile_too_many_keys(profile, NM_CONNECTION_LIST_MAX, NM_CONNECTION_LIST_BYTES, where);
        count = strings_count(connection->keys);
        for (size_t i = 0; r >= 0 && i < count; i++)
                r = nm_user_add(profile, connection->keys[i], connection->values[i], where);
        return r;
}

/* What the signal tells may be history by now, so it is not even read: the state is asked, again if that is
 * being done already. */
static void on_state_changed(BusPeer *peer, sd_bus_message *message) {
        const char *path = sd_bus_message_get_path(message);

        for (BusPeerLink *link = peer->links; link && path; link = link->next) {
                NmDevice *device = (NmDevice *) link;

                if (device->path && streq(device->path, path)) {
                        device->outdated = true;
                        peer->changed(link->ifindex, peer->userdata);
                        return;
                }
        }
        peer->changed(0, peer->userdata); /* a device that was not asked about yet */
}

static bool ask_startup(BusPeer *peer);

static int on_startup_property(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        SourceNm *nm = userdata;
        int starting = false;

        nm->starting = sd_bus_message_is_method_error(reply, NULL) ||
                       sd_bus_message_read(reply, "v", "b", &starting) < 0 || starting;
        /* It owned its name before it could say which profiles it has. */
        if (!nm->starting && !nm->tunnels.listed && !nm->tunnels_missing) {
                nm->tunnels_missing = true;
                if (nm_tunnels_load(&nm->tunnels))
                        return 0;
        }
        bus_peer_ready(&nm->peer);
        return 0;
}

static bool ask_startup(BusPeer *peer) {
        return bus_peer_call(peer, &peer->presence_call, NM_PATH, DBUS_PROPERTIES, "Get",
                             on_startup_property, peer, "ss", NM_NAME, "Startup") >= 0;
}

static void on_tunnels_read(NmTunnels *tunnels) {
        if (!ask_startup(tunnels->peer))
                bus_peer_ready(tunnels->peer);
}

static void on_tunnels_changed(NmTunnels *tunnels) {
        tunnels->peer->changed(0, tunnels->peer->userdata);
}

static void on_settings_signal(BusPeer *peer, sd_bus_message *message) {
        nm_tunnels_on_settings(&((SourceNm *) peer)->tunnels, message);
}

static void on_profile_updated(BusPeer *peer, sd_bus_message *message) {
        nm_tunnels_on_updated(&((SourceNm *) peer)->tunnels, message);
}

/* What happened meanwhile was not heard, and a new NetworkManager gives its devices new paths. The last
 * profiles stand until it is asked again. */
static bool nm_owner_changed(BusPeer *peer) {
        SourceNm *nm = (SourceNm *) peer;

        for (BusPeerLink *link = peer->links; link; link = link->next) {
                NmDevice *device = (NmDevice *) link;

                device->state = DEVICE_STATE_UNKNOWN;
                nm_device_end_doubt(device);
                bus_peer_retry_done(&device->retry);
                nm_show_done(&device->show);
                (void) string_replace(&device->path, NULL);
        }
        nm->starting = true;
        nm->tunnels_missing = false;
        nm_tunnels_stop(&nm->tunnels);
        nm_actives_done(&nm->actives);
        return peer->owner.unique && nm_tunnels_load(&nm->tunnels);
}

/* Of the manager's properties only the end of "Startup" and "ActiveConnections" matter, and asking for
 * them is simpler than reading the dictionary. */
static void on_properties_changed(BusPeer *peer, sd_bus_message *message) {
        SourceNm *nm = (SourceNm *) peer;

        if (nm->starting && !peer->presence_call)
                (void) ask_startup(peer);
        if (nm->tunnels.known)
                nm_actives_refresh(&nm->actives);
}

static void on_active_state(BusPeer *peer, sd_bus_message *message) {
        nm_actives_on_state(&((SourceNm *) peer)->actives, message);
}

/* The device that comes next and whose tunnel profile this is. position: NULL before the first one. */
static NmDevice *next_of_tunnel(const BusPeer *peer, NmDevice *position, const char *uuid) {
        for (BusPeerLink *link = position ? position->link.next : peer->links; link; link = link->next) {
                NmDevice *device = (NmDevice *) link;
                const NmTunnel *tunnel = nm_device_tunnel(device, link->name);

                if (tunnel && tunnel->profile.uuid && streq(tunnel->profile.uuid, uuid))
                        return device;
        }
        return NULL;
}

/* NetworkManager activates a profile once, for all devices that it is for. */
static void on_active_event(NmActives *actives, const char *uuid, NmActiveEvent event) {
        BusPeer *peer = actives->peer;
        bool ours = false;

        for (NmDevice *device = NULL; (device = next_of_tunnel(peer, device, uuid));)
                ours |= nm_show_is_ours(&device->show, event);
        for (NmDevice *device = NULL; (device = next_of_tunnel(peer, device, uuid));)
                if (nm_show_event(&device->show, event, ours))
                        peer->changed(device->link.ifindex, peer->userdata);
}

static void on_actives_ready(NmActives *actives) {
        actives->peer->changed(0, actives->peer->userdata);
}

/* Whether another device of the same tunnel profile is having it activated: NetworkManager does it once. */
static bool is_asked_for(const NmDevice *device, const NmTunnel *tunnel) {
        for (BusPeerLink *link = device->link.peer->links; link; link = link->next) {
                const NmShow *show = &((const NmDevice *) link)->show;

                if (link != &device->link && show->tunnel && streq(show->tunnel, tunnel->path) &&
                    (show->call || show->asked))
                        return true;
        }
        return false;
}

static bool is_wanted_elsewhere(const NmDevice *device, const NmTunnel *tunnel) {
        const char *uuid = tunnel->profile.uuid;

        for (NmDevice *other = NULL; uuid && (other = next_of_tunnel(device->link.peer, other, uuid));)
                if (other != device && other->state == DEVICE_STATE_ACTIVATED && other->show.wanted)
                        return true;
        return false;
}

void source_nm_show(Source *source, uint32_t ifindex, bool wanted) {
        SourceNm *nm = (SourceNm *) source;
        NmDevice *device = nm_device_find(source, ifindex);
        const NmTunnel *tunnel = device ? nm_device_tunnel(device, device->link.name) : NULL;

        if (device)
                device->show.wanted = wanted;
        if (!device || !nm->peer.present || nm->starting || device->state != DEVICE_STATE_ACTIVATED)
                return;
        device->show.link = &device->link;
        if (tunnel && !nm->actives.loaded)
                nm_actives_refresh(&nm->actives);
        if (wanted && tunnel && device->path) {
                if (!is_asked_for(device, tunnel))
                        nm_show_begin(&device->show, &nm->actives, tunnel, device->path);
        } else
                nm_show_end(&device->show, &nm->actives,
                            tunnel && is_wanted_elsewhere(device, tunnel) ? NULL : tunnel);
}

bool source_nm_take_wish(Source *source, uint32_t ifindex, bool *ret_off) {
        NmDevice *device = nm_device_find(source, ifindex);

        if (!device || device->show.wish == NM_WISH_NONE)
                return false;
        *ret_off = device->show.wish == NM_WISH_OFF;
        device->show.wish = NM_WISH_NONE;
        return true;
}

const char *source_nm_tunnel_link(Source *source, const char *uuid) {
        const NmTunnels *tunnels = &((const SourceNm *) source)->tunnels;

        for (const NmTunnel *tunnel = tunnels->known; tunnel; tunnel = tunnel->next)
                if (tunnel->profile.uuid && streq(tunnel->profile.uuid, uuid))
                        return tunnel->profile.vpn_link ?: tunnel->profile.interface_name ?: "";
        return NULL;
}

void source_nm_dispatched(Source *source, uint32_t ifindex, const char *action) {
        NmDevice *device = (NmDevice *) bus_peer_get((BusPeer *) source, ifindex);

        if (device && !streq(action, "pre-down"))
                device->told_down = streq(action, "down");
}

bool source_nm_activating(Source *source, uint32_t ifindex) {
        const NmDevice *device = nm_device_find(source, ifindex);

        return device && device->state >= DEVICE_STATE_PREPARE && device->state < DEVICE_STATE_ACTIVATED;
}

bool source_nm_deactivating(Source *source, uint32_t ifindex) {
        const NmDevice *device = nm_device_find(source, ifindex);

        return device && device->state == DEVICE_STATE_DEACTIVATING;
}

/* A link that comes later may be the base of a tunnel profile, and so is one whose profile is edited. */
static bool nm_standing(Source *source) {
        const SourceNm *nm = (const SourceNm *) source;

        return nm->tunnels.known || (nm->peer.present && !nm->tunnels.loaded);
}

/* A tunnel profile that is not known yet may be for any link. */
static bool nm_uncertain(Source *source, uint32_t ifindex) {
        return bus_peer_uncertain(source, ifindex) || !((const SourceNm *) source)->tunnels.loaded;
}

static int nm_set_bus(Source *source, sd_bus *bus) {
        SourceNm *nm = (SourceNm *) source;

        nm_tunnels_stop(&nm->tunnels);
        nm_actives_done(&nm->actives);
        for (BusPeerLink *link = nm->peer.links; link; link = link->next)
                nm_show_done(&((NmDevice *) link)->show);
        return bus_peer_set_bus(source, bus);
}

static void nm_free(Source *source) {
        nm_tunnels_done(&((SourceNm *) source)->tunnels);
        nm_actives_done(&((SourceNm *) source)->actives);
        bus_peer_free(source);
}

int source_nm_new(Source **ret, SourceChanged changed, void *userdata) {
        static const SourceOps source_ops = {
                .source = PROFILE_SOURCE_NETWORK_MANAGER,
                .available = bus_peer_available,
                .ask = bus_peer_ask,
                .identify = nm_identify,
                .apply = nm_apply,
                .uncertain = nm_uncertain,
                .forget = bus_peer_forget,
                .standing = nm_standing,
                .set_bus = nm_set_bus,
                .free = nm_free,
        };
        static const BusPeerOps ops = {
                .name = NM_NAME,
                .link_size = sizeof(NmDevice),
                .signals = {
                        { "interface='" NM_DEVICE "',member='StateChanged'", on_state_changed },
                        { "path='" NM_PATH "',interface='" DBUS_PROPERTIES "',"
                          "member='PropertiesChanged'",
                          on_properties_changed },
                        { "path='" NM_PATH "/Settings',interface='" NM_NAME ".Settings'",
                          on_settings_signal },
                        { "interface='" NM_NAME ".Settings.Connection',member='Updated'",
                          on_profile_updated },
                        { "interface='" NM_NAME ".Connection.Active',member='StateChanged'",
                          on_active_state },
                },
                .ask = nm_device_ask,
                .owner_changed = nm_owner_changed,
                .link_done = nm_device_done,
        };
        BusPeer *peer = NULL;
        int r;

        r = bus_peer_new(&peer, sizeof(SourceNm), &source_ops, &ops, changed, userdata);
        if (r < 0)
                return r;
        ((SourceNm *) peer)->tunnels = (NmTunnels) {
                .peer = peer,
                .read = on_tunnels_read,
                .changed = on_tunnels_changed,
        };
        ((SourceNm *) peer)->actives = (NmActives) {
                .peer = peer,
                .event = on_active_event,
                .ready = on_actives_ready,
        };
        *ret = &peer->source;
        return 0;
}
