/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See nm-tunnels.h. */

#include "source/nm-tunnels.h"
#include "base/message.h"
#include "profile/nm-name.h"

#define SETTINGS_PATH "/org/freedesktop/NetworkManager/Settings"
#define SETTINGS "org.freedesktop.NetworkManager.Settings"
#define SETTINGS_CONNECTION SETTINGS ".Connection"

enum { OTHERS_TOLD = 8 }; /* any user may store profiles without end */

struct NmTunnelCall {
        NmTunnelCall *next;
        NmTunnels *tunnels;
        char *path;
        sd_bus_slot *slot; /* NULL: it was not answered, and will be asked once more */
        bool again; /* it has changed since it was asked for */
};

static void free_tunnel(NmTunnel *tunnel) {
        free(tunnel->path);
        nm_connection_done(&tunnel->profile);
        free(tunnel);
}

/* The one with this path, or the end of the list. */
static NmTunnel **position_of(NmTunnel **list, const char *path) {
        while (*list && !streq((*list)->path, path))
                list = &(*list)->next;
        return list;
}

/* The one that an earlier NetworkManager had by another path. */
static NmTunnel *find_untold(NmTunnel *list, const char *uuid) {
        for (NmTunnel *tunnel = list; tunnel && uuid; tunnel = tunnel->next)
                if (!*tunnel->path && tunnel->profile.uuid && streq(tunnel->profile.uuid, uuid))
                        return tunnel;
        return NULL;
}

static bool drop(NmTunnel **list, const char *path) {
        NmTunnel **position = position_of(list, path), *tunnel = *position;

        if (!tunnel)
                return false;
        *position = tunnel->next;
        free_tunnel(tunnel);
        return true;
}

static NmTunnel *add(NmTunnel **list, const char *path) {
        NmTunnel *tunnel = calloc(1, sizeof(*tunnel));

        if (!tunnel || string_replace(&tunnel->path, path) < 0) {
                free(tunnel);
                return NULL;
        }
        tunnel->next = *list;
        *list = tunnel;
        return tunnel;
}

/* Takes the profile over. Whether the list is another one now. */
static bool put(NmTunnel **list, const char *path, NmConnection *profile) {
        NmTunnel *tunnel = *position_of(list, path) ?: find_untold(*list, profile->uuid);

        if (tunnel && string_replace(&tunnel->path, path) < 0)
                return false;
        if (tunnel && nm_connection_equal(&tunnel->profile, profile))
                return false;
        if (!tunnel)
                tunnel = add(list, path);
        if (!tunnel)
                return false;
        nm_connection_done(&tunnel->profile);
        tunnel->profile = *profile;
        *profile = (NmConnection){};
        return true;
}

static void call_free(NmTunnels *tunnels, NmTunnelCall *call) {
        NmTunnelCall **position = &tunnels->calls;

        while (*position != call)
                position = &(*position)->next;
        *position = call->next;
        sd_bus_slot_unref(call->slot);
        free(call->path);
        free(call);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata);

/* What is not told of when all have been read is no longer there. */
static void finish(NmTunnels *tunnels) {
        bus_peer_retry_done(&tunnels->retry);
        if (tunnels->loaded)
                return;
        while (drop(&tunnels->known, ""))
                continue;
        tunnels->loaded = true;
        if (!tunnels->loading)
                tunnels->changed(tunnels);
}

/* After each answer, and after each one that did not come. */
static void settle(NmTunnels *tunnels) {
        bool missing = !tunnels->listed;

        if (tunnels->listing)
                return;
        for (const NmTunnelCall *call = tunnels->calls; call; call = call->next) {
                if (call->slot)
                        return;
                missing = true;
        }
        if (missing)
                bus_peer_retry_later(tunnels->peer, &tunnels->retry, on_retry, tunnels);
        else
                finish(tunnels);
        if (!tunnels->loading)
                return;
        tunnels->loading = false;
        tunnels->read(tunnels);
}

/* What a profile says; profile is empty when it is none of ours. */
static void take(NmTunnels *tunnels, const char *path, NmConnection *profile) {
        const bool ours = profile->vpn_service && streq(profile->vpn_service, NM_TUNNEL_SERVICE);
        const bool news = ours ? put(&tunnels->known, path, profile) : drop(&tunnels->known, path);

        if (news && !tunnels->loading)
                tunnels->changed(tunnels);
}

/* *ret stays empty when there is no such profile. Negative errno: nobody has said what it says. */
static int read_settings(const NmTunnels *tunnels, sd_bus_message *reply, NmConnection *ret) {
        if (!sd_bus_message_is_method_error(reply, NULL))
                return nm_connection_read(reply, ret);
        return bus_peer_tells_gone(tunnels->peer, reply) ? 0 : -EAGAIN;
}

static int on_settings(sd_bus_message *reply, void *userdata, sd_bus_error *error);

static void call_settings(NmTunnelCall *call) {
        call->again = false;
        if (bus_peer_call(call->tunnels->peer, &call->slot, call->path, SETTINGS_CONNECTION, "GetSettings",
                          on_settings, call, "") < 0)
                call->slot = sd_bus_slot_unref(call->slot);
}

static int on_settings(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        _cleanup_(nm_connection_done) NmConnection profile = {};
        NmTunnelCall *call = userdata;
        NmTunnels *tunnels = call->tunnels;

        if (call->again)
                call_settings(call);
        else if (read_settings(tunnels, reply, &profile) < 0)
                call->slot = sd_bus_slot_unref(call->slot);
        else {
                take(tunnels, call->path, &profile);
                call_free(tunnels, call);
        }
        settle(tunnels);
        return 0;
}

static void ask(NmTunnels *tunnels, const char *path) {
        NmTunnelCall *call = tunnels->calls;

        while (call && !streq(call->path, path))
                call = call->next;
        if (call && call->slot) {
                call->again = true;
                return;
        }
        if (!call) {
                call = calloc(1, sizeof(*call));
                if (!call || string_replace(&call->path, path) < 0) {
                        free(call);
                        return;
                }
                call->next = tunnels->calls;
                call->tunnels = tunnels;
                tunnels->calls = call;
        }
        call_settings(call);
}

static int on_list(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        NmTunnels *tunnels = userdata;
        const char *path;
        int r = -EAGAIN;

        tunnels->listing = sd_bus_slot_unref(tunnels->listing);
        if (!sd_bus_message_is_method_error(reply, NULL))
                r = sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, "o");
        while (r >= 0 && (r = sd_bus_message_read(reply, "o", &path)) > 0)
                ask(tunnels, path);
        tunnels->listed = r >= 0;
        settle(tunnels);
        return 0;
}

static int call_list(NmTunnels *tunnels) {
        return bus_peer_call(tunnels->peer, &tunnels->listing, SETTINGS_PATH, SETTINGS, "ListConnections",
                             on_list, tunnels, "");
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        NmTunnels *tunnels = userdata;

        bus_peer_retry_over(&tunnels->retry);
        if (!tunnels->listed && !tunnels->listing)
                (void) call_list(tunnels);
        for (NmTunnelCall *call = tunnels->calls; call; call = call->next)
                if (!call->slot)
                        call_settings(call);
        settle(tunnels);
        return 0;
}

bool nm_tunnels_load(NmTunnels *tunnels) {
        nm_tunnels_stop(tunnels);
        tunnels->loading = call_list(tunnels) >= 0;
        settle(tunnels);
        return tunnels->loading;
}

void nm_tunnels_stop(NmTunnels *tunnels) {
        tunnels->listing = sd_bus_slot_unref(tunnels->listing);
        bus_peer_retry_done(&tunnels->retry);
        while (tunnels->calls)
                call_free(tunnels, tunnels->calls);
        for (NmTunnel *tunnel = tunnels->known; tunnel; tunnel = tunnel->next)
                *tunnel->path = '\0';
        tunnels->loading = false;
        tunnels->listed = false;
        tunnels->loaded = false;
}

void nm_tunnels_done(NmTunnels *tunnels) {
        nm_tunnels_stop(tunnels);
        while (drop(&tunnels->known, ""))
                continue;
}

void nm_tunnels_on_updated(NmTunnels *tunnels, sd_bus_message *message) {
        const char *path = sd_bus_message_get_path(message);

        if (path)
                ask(tunnels, path);
        settle(tunnels);
}

void nm_tunnels_on_settings(NmTunnels *tunnels, sd_bus_message *message) {
        const bool removed = sd_bus_message_is_signal(message, SETTINGS, "ConnectionRemoved");
        const char *path;

        if (!removed && !sd_bus_message_is_signal(message, SETTINGS, "NewConnection"))
                return;
        if (sd_bus_message_read(message, "o", &path) < 0)
                return;
        if (!removed)
                ask(tunnels, path);
        else if (drop(&tunnels->known, path) && !tunnels->loading)
                tunnels->changed(tunnels);
        settle(tunnels);
}

/* A profile of one user must not decide about a link that others use as well. */
static bool may_decide(const NmConnection *tunnel, const NmConnection *base) {
        if (tunnel->users_lost)
                return false;
        return !tunnel->users || (!base->users_lost && strings_equal(tunnel->users, base->users));
}

static NmTunnelMatch match(const NmTunnel *tunnel, const char *interface, const NmConnection *base) {
        return nm_tunnel_match(
                tunnel->profile.vpn_link, tunnel->profile.interface_name,
                &(NmTunnelBase){ .interface = interface, .id = base->id, .uuid = base->uuid });
}

static bool is_better(const NmTunnel *tunnel, NmTunnelMatch exactness, const NmTunnel *best,
                      NmTunnelMatch best_exactness) {
        if (exactness != best_exactness)
                return exactness > best_exactness;
        return strcmp(tunnel->profile.uuid ?: "", best->profile.uuid ?: "") < 0;
}

const NmTunnel *nm_tunnels_find(const NmTunnels *tunnels, const char *interface, const NmConnection *base) {
        NmTunnelMatch best_exactness = NM_TUNNEL_OTHER;
        const NmTunnel *best = NULL;

        for (const NmTunnel *tunnel = tunnels->known; tunnel; tunnel = tunnel->next) {
                NmTunnelMatch exactness;

                if (!may_decide(&tunnel->profile, base))
                        continue;
                exactness = match(tunnel, interface, base);
                if (exactness == NM_TUNNEL_OTHER)
                        continue;
                if (!best || is_better(tunnel, exactness, best, best_exactness)) {
                        best = tunnel;
                        best_exactness = exactness;
                }
        }
        return best;
}

/* Strings of NetworkManager's may be long, and anything. */
static char *shown(const char *text) {
        return value_excerpt(text ?: "?");
}

/* The same as words of a command. */
static char *shown_words(const char *uuid) {
        _cleanup_(freep) char *text = shown(uuid);

        return text ? nm_name_words(NULL, text) : NULL;
}

/* A profile of one user that names the base has no effect on it. */
static int warn_private(const NmTunnel *tunnel, const char *interface, char ***warnings) {
        _cleanup_(freep) char *id = shown(tunnel->profile.id), *words = shown_words(tunnel->profile.uuid);

        if (!id || !words)
                return -ENOMEM;
        return message_add(warnings,
                           N_("The tunnel profile “%s” has no effect on %s, because it belongs to one user "
                              "and the link does not. Run `nmcli connection modify %s "
                              "connection.permissions \"\"`."),
                           id, interface, words);
}

static int warn_rival(const NmTunnel *tunnel, const NmTunnel *used, const char *interface,
                      char ***warnings) {
        _cleanup_(freep) char *other = shown(tunnel->profile.id), *id = shown(used->profile.id);

        if (!other || !id)
                return -ENOMEM;
        return message_add(warnings,
                           N_("The tunnel profiles “%s” and “%s” are both for %s; “%s” is used. Delete one, "
                              "or set link= in it to another link."),
                           id, other, interface, id);
}

/* Other tunnel profiles that name the same base, the first few. used: NULL when none has an effect. */
static int warn_others(const NmTunnels *tunnels, const NmTunnel *used, const char *interface,
                       const NmConnection *base, char ***warnings) {
        const NmTunnelMatch best = used ? match(used, interface, base) : NM_TUNNEL_OTHER;
        const size_t most = strings_count(*warnings) + OTHERS_TOLD;
        int r = 0;

        for (const NmTunnel *tunnel = tunnels->known; r >= 0 && tunnel && strings_count(*warnings) < most;
             tunnel = tunnel->next) {
                const NmTunnelMatch exactness = match(tunnel, interface, base);

                if (tunnel == used || exactness == NM_TUNNEL_OTHER)
                        continue;
                if (!may_decide(&tunnel->profile, base))
                        r = warn_private(tunnel, interface, warnings);
                /* One profile for many links and another one for one of them are no conflict. */
                else if (exactness == best || exactness != NM_TUNNEL_GLOB)
                        r = warn_rival(tunnel, used, interface, warnings);
        }
        return r;
}

static int warn_base(const NmTunnel *tunnel, const NmConnection *base, char ***warnings) {
        _cleanup_(freep) char *id = shown(tunnel->profile.id), *base_id = shown(base->id);
        _cleanup_(freep) char *uuid = shown(tunnel->profile.uuid), *base_words = shown_words(base->uuid);
        _cleanup_(freep) char *word = uuid ? string_shell_word(uuid) : NULL;
        int r = 0;

        if (!id || !base_id || !word || !base_words)
                return -ENOMEM;
        if (nm_connection_has_keys(base))
                r = message_add(warnings,
                                N_("The keys in user.data of “%s” have no effect, because the tunnel "
                                   "profile “%s” is for the same link."),
                                base_id, id);
        if (r >= 0 && tunnel->profile.uuid && strings_contain(base->secondaries, tunnel->profile.uuid))
                r = message_add(warnings,
                                N_("“%s” names the tunnel profile “%s” in connection.secondaries, "
                                   "so NetworkManager takes the link down if the tunnel profile fails or is "
                                   "deleted. Run `nmcli connection modify %s -connection.secondaries %s`; "
                                   "underpassd activates it anyway."),
                                base_id, id, base_words, word);
        if (r >= 0 && tunnel->profile.addressed)
                r = message_add(warnings,
                                N_("The tunnel profile “%s” has addresses, routes or name servers, which "
                                   "NetworkManager adds to the link; remove them from its ipv4 and ipv6 "
                                   "settings."),
                                id);
        return r;
}

int nm_tunnels_apply(const NmTunnels *tunnels, const NmTunnel *tunnel, const char *interface,
                     const NmConnection *base, Profile *profile) {
        _cleanup_(freep) char *where = NULL;
        size_t count;
        int r;

        r = warn_others(tunnels, tunnel, interface, base, &profile->warnings);
        if (r < 0 || !tunnel)
                return r;
        r = warn_base(tunnel, base, &profile->warnings);
        where = string_format("%s (%s)", tunnel->profile.id ?: "?", tunnel->profile.uuid ?: "?");
        if (r < 0 || !where || string_replace(&profile->tunnel_id, tunnel->profile.id ?: "?") < 0 ||
            string_replace(&profile->tunnel_uuid, tunnel->profile.uuid ?: "") < 0)
                return -ENOMEM;
        if (tunnel->profile.pairs_lost)
                r = profile_too_many_keys(profile, NM_CONNECTION_LIST_MAX, NM_CONNECTION_LIST_BYTES, where);
        count = strings_count(tunnel->profile.vpn_keys);
        for (size_t i = 0; r >= 0 && i < count; i++)
                r = nm_tunnel_add(profile, tunnel->profile.vpn_keys[i], tunnel->profile.vpn_values[i],
                                  where);
        return r;
}
