/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Owners of well-known names. See bus-owner.h. */

#include "source/bus-owner.h"

#define DRIVER_NAME "org.freedesktop.DBus"
#define DRIVER_PATH "/org/freedesktop/DBus"

bool bus_message_is_from(sd_bus_message *message, const char *sender) {
        const char *actual = sd_bus_message_get_sender(message);

        return actual && sender && streq(actual, sender);
}

/* NULL: nobody owns the name. */
static void owner_set(BusOwner *owner, const char *unique) {
        owner->call = sd_bus_slot_unref(owner->call);
        free(owner->unique);
        owner->unique = unique ? strdup(unique) : NULL;
        if (owner->changed)
                owner->changed(owner);
}

static int on_owner(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const char *unique = NULL;

        if (sd_bus_message_is_method_error(reply, NULL) || sd_bus_message_read(reply, "s", &unique) < 0)
                unique = NULL;
        owner_set(userdata, unique);
        return 0;
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *name, *before, *after;

        if (bus_message_is_from(message, DRIVER_NAME) &&
            sd_bus_message_read(message, "sss", &name, &before, &after) >= 0)
                owner_set(userdata, after[0] != '\0' ? after : NULL);
        return 0;
}

int bus_owner_watch(BusOwner *owner, sd_bus *bus, const char *name) {
        _cleanup_(freep) char *match = string_format(
                "type='signal',sender='" DRIVER_NAME "',path='" DRIVER_PATH "',interface='" DRIVER_NAME "',"
                "member='NameOwnerChanged',arg0='%s'",
                name);
        int r;

        if (!match)
                return -ENOMEM;
        r = sd_bus_add_match_async(bus, &owner->slot, match, on_owner_changed, NULL, owner);
        if (r < 0)
                return r;
        /* Without a time limit of our own: on a host that is busy booting the answer may take seconds, and
         * nobody would tell us later that the name was owned already. */
        return sd_bus_call_method_async(bus, &owner->call, DRIVER_NAME, DRIVER_PATH, DRIVER_NAME,
                                        "GetNameOwner", on_owner, owner, "s", name);
}

void bus_owner_stop(BusOwner *owner) {
        owner->slot = sd_bus_slot_unref(owner->slot);
        owner->call = sd_bus_slot_unref(owner->call);
        free(TAKE_PTR(owner->unique));
}
