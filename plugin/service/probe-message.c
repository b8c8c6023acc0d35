/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See probe-message.h. */

#include "service/probe-message.h"

/* The figures of a report by name. */
static const struct {
        const char *name;
        size_t at;
} figures[] = {
        { "mtu", offsetof(ProbeReport, mtu) },
        { "mtu-there", offsetof(ProbeReport, mtu_there) },
        { "mtu-lost", offsetof(ProbeReport, mtu_lost) },
        { "mtu-back", offsetof(ProbeReport, mtu_back) },
        { "mss", offsetof(ProbeReport, mss) },
        { "packets", offsetof(ProbeReport, packets) },
};

#define SPEAKS "speaks-underpass"

static int append_answer(sd_bus_message *message, ProbeForm form, const ProbeAnswer *answer) {
        static const Address nobody;
        char from[INET6_ADDRSTRLEN];

        return sd_bus_message_append(message, "(ssusu)", probe_form_name(form),
                                     probe_outcome_name(answer->outcome), answer->rtt_us,
                                     address_equal(&answer->from, &nobody) ?
                                             "" : address_text(&answer->from, from),
                                     (uint32_t) answer->error);
}

int probe_message_append(sd_bus_message *message, const ProbeReport *report) {
        int r = sd_bus_message_open_container(message, 'a', "(ssusu)");

        for (ProbeForm form = 0; r >= 0 && form < _PROBE_FORM_MAX; form++)
                r = append_answer(message, form, &report->answers[form]);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "{su}");
        for (size_t i = 0; r >= 0 && i < ELEMENTS(figures); i++) {
                uint32_t value;

                memcpy(&value, (const uint8_t *) report + figures[i].at, sizeof(value));
                r = sd_bus_message_append(message, "{su}", figures[i].name, value);
        }
        if (r >= 0)
                r = sd_bus_message_append(message, "{su}", SPEAKS, (uint32_t) report->speaks);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int read_answers(sd_bus_message *message, ProbeReport *report) {
        int r = sd_bus_message_enter_container(message, 'a', "(ssusu)");

        while (r > 0) {
                const char *form, *outcome, *from;
                uint32_t rtt_us, error;

                r = sd_bus_message_read(message, "(ssusu)", &form, &outcome, &rtt_us, &from, &error);
                for (ProbeForm i = 0; r > 0 && i < _PROBE_FORM_MAX; i++) {
                        ProbeAnswer *answer = &report->answers[i];

                        if (!streq(form, probe_form_name(i)))
                                continue;
                        if (probe_outcome_from_name(outcome, &answer->outcome) < 0 ||
                            (*from && address_from_text(from, &answer->from) < 0))
                                return -EBADMSG;
                        answer->rtt_us = rtt_us;
                        answer->error = (int) error;
                }
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_figures(sd_bus_message *message, ProbeReport *report) {
        int r = sd_bus_message_enter_container(message, 'a', "{su}");

        while (r > 0) {
                const char *name;
                uint32_t value;

                r = sd_bus_message_read(message, "{su}", &name, &value);
                for (size_t i = 0; r > 0 && i < ELEMENTS(figures); i++)
                        if (streq(name, figures[i].name))
                                memcpy((uint8_t *) report + figures[i].at, &value, sizeof(value));
                if (r > 0 && streq(name, SPEAKS))
                        report->speaks = value != 0;
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

int probe_message_read(sd_bus_message *message, ProbeReport *ret) {
        ProbeReport report = {};
        int r = read_answers(message, &report);

        if (r >= 0)
                r = read_figures(message, &report);
        if (r < 0)
                return r;
        *ret = report;
        return 0;
}
