/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See bus-pace.h. */

#include "base/clock.h"
#include "base/hash.h"
#include "service/bus-pace.h"
#include "service/call-pace.h"
#include "service/message-size.h"
#include "source/bus-owner.h"

#define DRIVER_NAME "org.freedesktop.DBus"
#define DRIVER_PATH "/org/freedesktop/DBus"

enum { NAME_LENGTH = 24, WAYS = 8, SETS = BUS_PACE_CALLERS / WAYS };

/* A connection to the bus. */
typedef struct Caller {
        BusPace *pace;
        char name[NAME_LENGTH];   /* empty: a free place */
        uint64_t called_us;       /* the last time */
        uint32_t calls;
        uint32_t kept;            /* calls of it that wait */
        sd_bus_slot *asking;      /* whose it is */
        bool known;
        uid_t user;
} Caller;

/* A call that waits, or one that has waited and is about to be read again. */
typedef struct Kept {
        struct Kept *next;
        sd_bus_message *message;
        Caller *caller;
        size_t size;              /* of its arguments */
} Kept;

typedef struct KeptList {
        Kept *first, **end;
        size_t count;
} KeptList;

struct BusPace {
        sd_event *event;
        const Authority *authority;
        sd_bus *bus;              /* NULL: there is none */
        sd_bus_slot *filter;
        sd_event_source *timer;
        Caller callers[BUS_PACE_CALLERS];
        CallPace users;
        size_t bytes;             /* of the arguments of those that wait */
        KeptList waiting, released; /* both in the order in which they came */
};

static void list_begin(KeptList *list) {
        *list = (KeptList) { .end = &list->first };
}

static void list_append(KeptList *list, Kept *kept) {
        kept->next = NULL;
        *list->end = kept;
        list->end = &kept->next;
        list->count++;
}

/* Takes out what a position of the list points to. */
static Kept *list_take(KeptList *list, Kept **position) {
        Kept *kept = *position;

        *position = kept->next;
        if (!kept->next)
                list->end = position;
        list->count--;
        return kept;
}

static void kept_free(Kept *kept) {
        sd_bus_message_unref(kept->message);
        free(kept);
}

static void list_end(KeptList *list) {
        while (list->first)
                kept_free(list_take(list, &list->first));
}

int bus_pace_new(BusPace **ret, sd_event *event, const Authority *authority) {
        BusPace *pace = calloc(1, sizeof(*pace));

        if (!pace)
                return -ENOMEM;
        pace->event = event;
        pace->authority = authority;
        list_begin(&pace->waiting);
        list_begin(&pace->released);
        *ret = pace;
        return 0;
}

BusPace *bus_pace_free(BusPace *pace) {
        if (!pace)
                return NULL;
        (void) bus_pace_set_bus(pace, NULL);
        free(pace);
        return NULL;
}

bool bus_pace_is_keeping(const BusPace *pace) {
        return pace->waiting.count > 0;
}

/* The caller of this name; a new one takes the place of the one that has been silent for longest. NULL:
 * there is no place, or the name is none of a connection. */
static Caller *find_caller(BusPace *pace, const char *name, uint64_t now_us) {
        const size_t set = hash_bytes(HASH_EMPTY, name, strlen(name)) % SETS;
        Caller *oldest = NULL;

        for (size_t i = set * WAYS; i < (set + 1) * WAYS; i++) {
                Caller *caller = &pace->callers[i];

                if (streq(caller->name, name)) {
                        caller->called_us = now_us;
                        return caller;
                }
                if (caller->kept == 0 && (!oldest || caller->called_us < oldest->called_us))
                        oldest = caller;
        }
        if (!oldest || strlen(name) >= NAME_LENGTH)
                return NULL;
        sd_bus_slot_unref(oldest->asking);
        *oldest = (Caller) { .pace = pace, .called_us = now_us };
        strcpy(oldest->name, name);
        return oldest;
}

static int on_user(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Caller *caller = userdata;
        uint32_t user;

        caller->asking = sd_bus_slot_unref(caller->asking);
        /* Whoever is gone, or cannot be told, counts as nobody: together with all others of that kind. */
        caller->user = (uid_t) -1;
        caller->known = true;
        if (bus_message_is_from(reply, DRIVER_NAME) && !sd_bus_message_is_method_error(reply, NULL) &&
            sd_bus_message_read(reply, "u", &user) >= 0)
                caller->user = user;
        return 0;
}

/* Root has none; others have one once it is known who they are. */
static bool has_pace(const Caller *caller) {
        return caller->known && caller->user != 0;
}

static bool may_be_served(BusPace *pace, Caller *caller, uint64_t now_us) {
        if (caller->calls < BUS_PACE_FREE)
                return true;
        if (!caller->known && !caller->asking &&
            sd_bus_call_method_async(pace->bus, &caller->asking, DRIVER_NAME, DRIVER_PATH, DRIVER_NAME,
                                     "GetConnectionUnixUser", on_user, caller, "s", caller->name) < 0)
                return true;
        return caller->known && (caller->user == 0 || call_pace_allows(&pace->users, caller->user, now_us));
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        BusPace *pace = userdata;
        const uint64_t now_us = clock_monotonic_ns() / 1000;

        for (Kept **position = &pace->waiting.first; *position;) {
                Caller *caller = (*position)->caller;
                Kept *kept;

                if (!may_be_served(pace, caller, now_us)) {
                        position = &(*position)->next;
                        continue;
                }
                kept = list_take(&pace->waiting, position);
                caller->kept--;
                pace->bytes -= kept->size;
                if (sd_bus_enqueue_for_read(pace->bus, kept->message) < 0)
                        kept_free(kept);
                else
                        list_append(&pace->released, kept);
        }
        if (pace->waiting.count == 0)
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        (void) sd_event_source_set_time_relative(source, BUS_PACE_TICK_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int start_timer(BusPace *pace) {
        int r;

        if (!pace->timer)
                return sd_event_add_time_relative(pace->event, &pace->timer, CLOCK_MONOTONIC,
                                                  BUS_PACE_TICK_US, 0, on_tick, pace);
        r = sd_event_source_set_time_relative(pace->timer, BUS_PACE_TICK_US);
        return r < 0 ? r : sd_event_source_set_enabled(pace->timer, SD_EVENT_ONESHOT);
}

/* How many calls of this user wait. */
static size_t kept_of(const BusPace *pace, const Caller *of) {
        size_t count = 0;

        for (size_t i = 0; i < BUS_PACE_CALLERS; i++)
                if (pace->callers[i].kept > 0 && pace->callers[i].known && pace->callers[i].user == of->user)
                        count += pace->callers[i].kept;
        return count;
}

/* Whether a call may wait, and what its arguments take. */
static bool has_room(const BusPace *pace, const Caller *caller, sd_bus_message *message, size_t *ret_size) {
        size_t size = 0;

        if (pace->waiting.count >= BUS_PACE_KEPT_MAX ||
            message_size_add(message, BUS_PACE_BYTES_MAX, &size) < 0 ||
            sd_bus_message_rewind(message, true) < 0 || pace->bytes + size > BUS_PACE_BYTES_MAX)
                return false;
        *ret_size = size;
        return !has_pace(caller) ||
               (size <= BUS_PACE_KEPT_BYTES && kept_of(pace, caller) < BUS_PACE_KEPT_USER_MAX);
}

/* 0: it is served now; 1: it waits, or is dropped. Only who is known to have a pace, and has thousands of
 * calls that wait, finds one dropped. */
static int keep(BusPace *pace, Caller *caller, sd_bus_message *message) {
        Kept *kept;
        size_t size = 0;

        if (!has_room(pace, caller, message, &size))
                return has_pace(caller);
        if (pace->waiting.count == 0 && start_timer(pace) < 0)
                return 0;
        kept = calloc(1, sizeof(*kept));
        if (!kept)
                return 0;
        *kept = (Kept) { .message = sd_bus_message_ref(message), .caller = caller, .size = size };
        pace->bytes += size;
        caller->kept++;
        list_append(&pace->waiting, kept);
        return 1;
}

/* Whether this one has waited; it is taken from the list. */
static bool take_released(BusPace *pace, const sd_bus_message *message) {
        for (Kept **position = &pace->released.first; *position; position = &(*position)->next)
                if ((*position)->message == message) {
                        kept_free(list_take(&pace->released, position));
                        return true;
                }
        return false;
}

/* Sees every message before anybody else. 0: it goes on. */
static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *sender = sd_bus_message_get_sender(message);
        const uint64_t now_us = clock_monotonic_ns() / 1000;
        BusPace *pace = userdata;
        Caller *caller;

        if (!sender || !sd_bus_message_is_method_call(message, NULL, NULL) || take_released(pace, message) ||
            authority_has_allowed(pace->authority, message))
                return 0;
        caller = find_caller(pace, sender, now_us);
        if (!caller)
                return 0;
        /* In the order in which they were sent. */
        if (caller->kept == 0 && may_be_served(pace, caller, now_us)) {
                if (caller->calls < BUS_PACE_FREE)
                        caller->calls++;
                return 0;
        }
        return keep(pace, caller, message);
}

int bus_pace_set_bus(BusPace *pace, sd_bus *bus) {
        pace->filter = sd_bus_slot_unref(pace->filter);
        pace->timer = sd_event_source_disable_unref(pace->timer);
        list_end(&pace->waiting);
        list_end(&pace->released);
        pace->bytes = 0;
        for (size_t i = 0; i < BUS_PACE_CALLERS; i++) {
                sd_bus_slot_unref(pace->callers[i].asking);
                pace->callers[i] = (Caller) {};
        }
        pace->bus = bus;
        return bus ? sd_bus_add_filter(bus, &pace->filter, on_message, pace) : 0;
}
