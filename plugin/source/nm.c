/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The NetworkManager source: devices, their states and the questions. What an answer contains is read in
 * source-nm-reply.c.
 */

#include "base/i18n.h"
#include "profile/nm-user.h"
#include "source/nm-device.h"
#include "source/nm.h"

#define NM_NAME "org.freedesktop.NetworkManager"
#define NM_PATH "/org/freedesktop/NetworkManager"
#define NM_DEVICE "org.freedesktop.NetworkManager.Device"

/* NM_DEVICE_STATE_* (NetworkManager's D-Bus API, all versions). */
enum {
        DEVICE_STATE_UNKNOWN = 0,
        DEVICE_STATE_UNMANAGED = 10,
        DEVICE_STATE_DISCONNECTED = 30,
        DEVICE_STATE_PREPARE = 40,
        DEVICE_STATE_ACTIVATED = 100,
        DEVICE_STATE_DEACTIVATING = 110,
};

enum { CALL_TIMEOUT_US = 1000 * 1000 };

typedef struct SourceNm {
        Source source;
        SourceNmChanged changed;
        void *userdata;
        sd_bus *bus;
        sd_bus_slot *state_slot, *owner_slot, *properties_slot;
        sd_bus_slot *presence_call; /* whether NetworkManager is there, and ready, is being asked */
        bool present;   /* NetworkManager is on the bus */
        bool starting;  /* it has not taken up again what was active before it started */
        NmDevice *devices;
} SourceNm;

static int on_applied_connection(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        _cleanup_(nm_connection_done) NmConnection connection = {};
        NmDevice *device = userdata;
        const SourceNm *nm = device->owner;

        if (sd_bus_message_is_method_error(reply, NULL)) {
                /* "Not active" is an answer; silence and the errors of the bus are not, and while
                 * NetworkManager starts, which takes as long as any link is being activated, it only
                 * means "not yet": the last one stands. */
                if (!nm->starting &&
                    strncmp(sd_bus_message_get_error(reply)->name, NM_NAME ".", sizeof(NM_NAME)) == 0) {
                        nm_device_clear(device);
                        device->answered = true;
                }
        } else if (nm_connection_read(reply, &connection) >= 0) {
                nm_device_clear(device);
                device->connection = connection;
                connection = (NmConnection) {};
                device->has_connection = true;
                device->answered = true;
        }
        nm_device_finish(device);
        return 0;
}

static int on_device_path(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        NmDevice *device = userdata;
        SourceNm *nm = device->owner;
        const char *path = NULL;
        sd_bus_slot *slot = NULL;

        if (sd_bus_message_is_method_error(reply, NULL)) {
                if (!nm->starting && sd_bus_message_is_method_error(reply, NM_NAME ".UnknownDevice")) {
                        nm_device_clear(device);
                        device->answered = true;
                }
                nm_device_finish(device);
                return 0;
        }
        if (sd_bus_message_read(reply, "o", &path) < 0 || string_replace(&device->path, path) < 0 ||
            !nm->bus) {
                nm_device_finish(device);
                return 0;
        }
        if (nm_call(nm->bus, &slot, device->path, NM_DEVICE, "GetAppliedConnection", on_applied_connection,
                    device, CALL_TIMEOUT_US, "u", 0) < 0) {
                nm_device_finish(device);
                return 0;
        }
        sd_bus_slot_unref(device->call);
        device->call = slot;
        return 0;
}

/* States in which the device has no connection of its own. */
static bool state_is_down(uint32_t state) {
        return state != DEVICE_STATE_UNKNOWN &&
               (state <= DEVICE_STATE_DISCONNECTED || state > DEVICE_STATE_DEACTIVATING);
}

/* Puts the question for which somebody waits already, or answers it without asking. */
static void device_ask(SourceNm *nm, NmDevice *device) {
        if (!nm->present || !nm->bus) {
                nm_device_finish(device);
                return;
        }
        if (device->held_down || state_is_down(device->state)) {
                nm_device_clear(device);
                device->answered = true;
                nm_device_finish(device);
                return;
        }
        /* Going down, NetworkManager may be waiting for us; what it told us before is still right. */
        if (device->state == DEVICE_STATE_DEACTIVATING && device->answered) {
                nm_device_finish(device);
                return;
        }
        if (nm_call(nm->bus, &device->call, NM_PATH, NM_NAME, "GetDeviceByIpIface", on_device_path, device,
                    CALL_TIMEOUT_US, "s", device->name) < 0)
                nm_device_finish(device);
}

static void nm_ask(Source *source, const LinkFacts *facts, SourceDone done, void *userdata) {
        SourceNm *nm = (SourceNm *) source;
        NmDevice *device = nm_device_get(&nm->devices, nm, facts->ifindex);

        if (!device || device->done) {
                done(userdata);
                return;
        }
        memcpy(device->name, facts->name, sizeof(device->name));
        device->done = done;
        device->done_userdata = userdata;
        /* Whether NetworkManager is there at all is being asked right now: the answer puts the question. */
        if (!nm->presence_call)
                device_ask(nm, device);
}

static bool has_keys(const NmConnection *connection) {
        for (size_t i = 0; i < strings_count(connection->keys); i++)
                if (nm_user_is_ours(connection->keys[i]))
                        return true;
        return false;
}

static int nm_identify(Source *source, const LinkFacts *facts, Profile *profile) {
        const NmDevice *device = nm_device_find(((SourceNm *) source)->devices, facts->ifindex);

        if (!device || !device->has_connection)
                return 0;
        /* NetworkManager also has connections for devices that it only watches. */
        if (profile->network_section && !has_keys(&device->connection))
                return 0;
        profile->connection_mptcp_flags = device->connection.mptcp_flags;
        profile->connection_mtu = device->connection.mtu;
        if (string_replace(&profile->connection_id, device->connection.id) < 0 ||
            string_replace(&profile->connection_uuid, device->connection.uuid) < 0)
                return -ENOMEM;
        return 0;
}

static int nm_apply(Source *source, const LinkFacts *facts, Profile *profile) {
        const NmDevice *device = nm_device_find(((SourceNm *) source)->devices, facts->ifindex);
        _cleanup_(freep) char *where = NULL;
        const NmConnection *connection;

        if (!device || !device->has_connection)
                return 0;
        connection = &device->connection;
        where = string_format("%s (%s)", connection->id ?: "?", connection->uuid ?: "?");
        if (!where)
                return -ENOMEM;
        for (size_t i = 0; i < strings_count(connection->keys); i++) {
                int r = nm_user_add(profile, connection->keys[i], connection->values[i], where);

                if (r < 0)
                        return r;
        }
        return 0;
}

static bool nm_available(Source *source) {
        return ((SourceNm *) source)->present;
}

static bool nm_uncertain(Source *source, uint32_t ifindex) {
        SourceNm *nm = (SourceNm *) source;
        const NmDevice *device = nm_device_find(nm->devices, ifindex);

        return !device || !device->answered;
}

static void nm_forget(Source *source, uint32_t ifindex) {
        SourceNm *nm = (SourceNm *) source;

        for (NmDevice **link = &nm->devices; *link; link = &(*link)->next)
                if ((*link)->ifindex == ifindex) {
                        NmDevice *device = *link;

                        *link = device->next;
                        nm_device_free(device);
                        return;
                }
}

static int on_state_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        SourceNm *nm = userdata;
        const char *path = sd_bus_message_get_path(message);
        uint32_t state, before, reason;

        if (sd_bus_message_read(message, "uuu", &state, &before, &reason) < 0 || !path)
                return 0;
        for (NmDevice *device = nm->devices; device; device = device->next)
                if (device->path && streq(device->path, path)) {
                        /* NetworkManager lets go of its devices when it quits, and leaves them as they
                         * are. Who takes a single one out of its hands hears of it by the hook and by the
                         * addresses that go. */
                        if (state == DEVICE_STATE_UNMANAGED) {
                                device->state = DEVICE_STATE_UNKNOWN;
                                return 0;
                        }
                        /* While it starts, NetworkManager leads active devices through all the states of
                         * the dead. */
                        device->state = nm->starting && state_is_down(state) ? DEVICE_STATE_UNKNOWN : state;
                        if (state >= DEVICE_STATE_PREPARE && state <= DEVICE_STATE_ACTIVATED)
                                device->held_down = false;
                        nm->changed(device->ifindex, nm->userdata);
                        return 0;
                }
        nm->changed(0, nm->userdata); /* a device that was not asked about yet */
        return 0;
}

/* Those who asked while nobody knew whether there is somebody to ask. */
static void ask_waiting(SourceNm *nm) {
        for (NmDevice *device = nm->devices; device; device = device->next)
                if (device->done && !device->call)
                        device_ask(nm, device);
}

static void set_present(SourceNm *nm, bool present, bool starting) {
        bool same = nm->present && present;

        nm->present = present;
        nm->starting = starting;
        /* States are told by signals only, and what happened meanwhile was not heard; and a new
         * NetworkManager counts its devices anew. The last profiles stand until asked anew. */
        for (NmDevice *device = same ? NULL : nm->devices; device; device = device->next) {
                device->state = DEVICE_STATE_UNKNOWN;
                (void) string_replace(&device->path, NULL);
        }
        ask_waiting(nm);
        if (present)
                nm->changed(0, nm->userdata);
}

static int on_startup_property(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        SourceNm *nm = userdata;
        int starting = false;

        nm->presence_call = sd_bus_slot_unref(nm->presence_call);
        if (sd_bus_message_is_method_error(reply, NULL) ||
            sd_bus_message_read(reply, "v", "b", &starting) < 0)
                set_present(nm, !sd_bus_message_is_method_error(reply, SD_BUS_ERROR_NAME_HAS_NO_OWNER) &&
                                !sd_bus_message_is_method_error(reply, SD_BUS_ERROR_SERVICE_UNKNOWN), false);
        else
                set_present(nm, true, starting);
        return 0;
}

/* One question tells both: the property of a service that is not there is an error. */
static int ask_presence(SourceNm *nm) {
        nm->presence_call = sd_bus_slot_unref(nm->presence_call);
        return nm_call(nm->bus, &nm->presence_call, NM_PATH, "org.freedesktop.DBus.Properties", "Get",
                       on_startup_property, nm, CALL_TIMEOUT_US, "ss", NM_NAME, "Startup");
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *name, *before, *after;
        SourceNm *nm = userdata;

        if (sd_bus_message_read(message, "sss", &name, &before, &after) < 0)
                return 0;
        if (after[0] == '\0' || ask_presence(nm) < 0) {
                nm->presence_call = sd_bus_slot_unref(nm->presence_call);
                set_present(nm, false, false);
        }
        return 0;
}

/* Of the manager's properties only the end of "Startup" matters, and asking for it is simpler than
 * reading the dictionary. */
static int on_properties_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        SourceNm *nm = userdata;

        if (nm->starting && !nm->presence_call)
                (void) ask_presence(nm);
        return 0;
}

int source_nm_set_bus(Source *source, sd_bus *bus) {
        SourceNm *nm = (SourceNm *) source;
        int r;

        nm->state_slot = sd_bus_slot_unref(nm->state_slot);
        nm->owner_slot = sd_bus_slot_unref(nm->owner_slot);
        nm->properties_slot = sd_bus_slot_unref(nm->properties_slot);
        nm->presence_call = sd_bus_slot_unref(nm->presence_call);
        for (NmDevice *device = nm->devices; device; device = device->next)
                nm_device_finish(device);
        nm->bus = sd_bus_unref(nm->bus);
        nm->present = false;
        if (!bus)
                return 0;
        nm->bus = sd_bus_ref(bus);
        r = sd_bus_match_signal_async(bus, &nm->state_slot, NM_NAME, NULL, NM_DEVICE, "StateChanged",
                                      on_state_changed, NULL, nm);
        if (r < 0)
                return r;
        r = sd_bus_add_match_async(
                bus, &nm->owner_slot,
                "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" NM_NAME "'",
                on_owner_changed, NULL, nm);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(bus, &nm->properties_slot, NM_NAME, NM_PATH,
                                      "org.freedesktop.DBus.Properties", "PropertiesChanged",
                                      on_properties_changed, NULL, nm);
        return r < 0 ? r : ask_presence(nm);
}

void source_nm_dispatched(Source *source, uint32_t ifindex, const char *action) {
        SourceNm *nm = (SourceNm *) source;
        NmDevice *device = nm_device_get(&nm->devices, nm, ifindex);
        bool coming_up;

        if (!device)
                return;
        coming_up = device->state >= DEVICE_STATE_PREPARE && device->state <= DEVICE_STATE_ACTIVATED;
        if (streq(action, "down"))
                device->held_down = !coming_up;
        else if (!streq(action, "pre-down"))
                device->held_down = false;
        if (streq(action, "pre-up") && !coming_up)
                device->state = DEVICE_STATE_UNKNOWN;
}

bool source_nm_activating(Source *source, uint32_t ifindex) {
        const NmDevice *device = nm_device_find(((SourceNm *) source)->devices, ifindex);

        return device && device->state >= DEVICE_STATE_PREPARE && device->state < DEVICE_STATE_ACTIVATED;
}

static void nm_free(Source *source) {
        SourceNm *nm = (SourceNm *) source;

        (void) source_nm_set_bus(source, NULL);
        while (nm->devices)
                nm_forget(source, nm->devices->ifindex);
        free(nm);
}

int source_nm_new(Source **ret, SourceNmChanged changed, void *userdata) {
        static const SourceOps ops = {
                .source = PROFILE_SOURCE_NETWORK_MANAGER,
                .available = nm_available,
                .ask = nm_ask,
                .identify = nm_identify,
                .apply = nm_apply,
                .uncertain = nm_uncertain,
                .forget = nm_forget,
                .free = nm_free,
        };
        SourceNm *nm = calloc(1, sizeof(*nm));

        if (!nm)
                return -ENOMEM;
        nm->source.ops = &ops;
        nm->changed = changed;
        nm->userdata = userdata;
        *ret = &nm->source;
        return 0;
}
