/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See module-load.h. */

#include "service/module-load.h"

enum {
        LOOK_US = 200 * 1000,
        LOOKS = 25,
        AGAIN_US = 60 * 1000 * 1000, /* links look again as soon as they hear of a failure */
};

struct ModuleLoad {
        sd_event *event;
        const char *unit;
        bool (*is_there)(void *userdata);
        void (*settled)(void *userdata);
        void *userdata;
        sd_bus_slot *answer;        /* that is awaited */
        sd_event_source *look;      /* looks whether the module has come */
        unsigned looks_left;
        bool asked;
        uint64_t again_us;          /* not before, when systemd could not */
};

int module_load_new(ModuleLoad **ret, sd_event *event, const char *unit, bool (*is_there)(void *userdata),
                    void (*settled)(void *userdata), void *userdata) {
        ModuleLoad *load = calloc(1, sizeof(*load));

        if (!load)
                return -ENOMEM;
        *load = (ModuleLoad) {
                .event = event,
                .unit = unit,
                .is_there = is_there,
                .settled = settled,
                .userdata = userdata,
        };
        *ret = load;
        return 0;
}

ModuleLoad *module_load_free(ModuleLoad *load) {
        if (!load)
                return NULL;
        sd_bus_slot_unref(load->answer);
        sd_event_source_disable_unref(load->look);
        free(load);
        return NULL;
}

static uint64_t now_us(const ModuleLoad *load) {
        uint64_t now = 0;

        (void) sd_event_now(load->event, CLOCK_MONOTONIC, &now);
        return now;
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
        ModuleLoad *load = userdata;

        load->looks_left = load->is_there(load->userdata) ? 0 : load->looks_left - 1;
        if (load->looks_left == 0) {
                load->settled(load->userdata);
                return 0;
        }
        (void) sd_event_source_set_time_relative(source, LOOK_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        ModuleLoad *load = userdata;

        load->answer = sd_bus_slot_unref(load->answer);
        load->asked = !sd_bus_message_is_method_error(reply, NULL);
        load->again_us = now_us(load) + AGAIN_US;
        if (load->asked &&
            sd_event_add_time_relative(load->event, &load->look, CLOCK_MONOTONIC, LOOK_US, 0, on_look,
                                       load) >= 0)
                load->looks_left = LOOKS;
        else
                load->settled(load->userdata);
        return 0;
}

void module_load_ask(ModuleLoad *load, sd_bus *bus) {
        if (load->asked || !bus || now_us(load) < load->again_us)
                return;
        load->asked = sd_bus_call_method_async(bus, &load->answer, "org.freedesktop.systemd1",
                                               "/org/freedesktop/systemd1",
                                               "org.freedesktop.systemd1.Manager", "StartUnit", on_answer,
                                               load, "ss", load->unit, "fail") >= 0;
}

bool module_load_is_awaited(const ModuleLoad *load) {
        return load->answer || load->looks_left > 0;
}
