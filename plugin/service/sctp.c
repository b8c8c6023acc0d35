/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * SCTP over UDP as the service sees it: two sysctls of the network namespace, set with the first link that
 * asks for them, given back with the last. Trouble with them is a warning of the links that ask, and never
 * stands in the way of a tunnel.
 */

#include "base/log.h"
#include "service/manager.h"

#define MODULE_UNIT "modprobe@sctp.service"

enum {
        MODULE_LOOK_US = 200 * 1000,
        MODULE_LOOKS = 25,
};

static int list_claims(const Manager *manager, SctpClaim **ret, size_t *ret_count) {
        SctpClaim *claims;
        size_t count = 0;

        for (const Link *link = manager->links; link; link = link->next)
                count++;
        claims = calloc(count + 1, sizeof(*claims));
        if (!claims)
                return -ENOMEM;
        count = 0;
        for (const Link *link = manager->links; link; link = link->next) {
                if (!link->profile || link->gone)
                        continue;
                claims[count] = (SctpClaim) {
                        .ifindex = link->ifindex,
                        .link = link_name(link),
                        .profile = link->profile,
                };
                memcpy(claims[count++].ports, link->sctp_ports, sizeof(link->sctp_ports));
        }
        *ret = claims;
        *ret_count = count;
        return 0;
}

/* Whether a link may still say that what an earlier service has set is wanted. */
static bool somebody_is_silent(const Manager *manager) {
        for (const Link *link = manager->links; link; link = link->next) {
                if (!link->profile || link->adopted || link->asking > 0)
                        return true;
                for (size_t i = 0; i < _MANAGER_SOURCE_MAX; i++) {
                        Source *source = manager->sources[i];

                        if (source->ops->uncertain && source->ops->available(source) &&
                            source->ops->uncertain(source, link->ifindex))
                                return true;
                }
        }
        return false;
}

/* Remembers, then sets. What could not be set is given back, so that nothing has changed. */
static int set(Manager *manager, SctpPort port, uint16_t wanted, uint16_t now) {
        const char *folder = manager->options.sctp_sysctls;
        struct underpass_saved_sysctl *saved = &manager->sctp.saved.ports[port], next;
        uint16_t value = sctp_next(saved, wanted, now, &next);
        int r;

        *saved = next;
        r = tunnel_saved_sctp_set(manager->tunnel, &manager->sctp.saved);
        if (r >= 0 && value != now)
                r = sctp_set(folder, port, value);
        if (r >= 0) {
                if (value != now)
                        log_info("net.sctp.%s is %u now, was %u.", sctp_sysctl(port), value, now);
                return 0;
        }
        (void) sctp_set(folder, port, next.original);
        *saved = (struct underpass_saved_sysctl) {};
        (void) tunnel_saved_sctp_set(manager->tunnel, &manager->sctp.saved);
        return r;
}

/* Sets what it was, then forgets. */
static int give_back(Manager *manager, SctpPort port, uint16_t *now) {
        struct underpass_saved_sysctl *saved = &manager->sctp.saved.ports[port], next;
        uint16_t value = sctp_next(saved, 0, *now, &next);
        int r = 0;

        if (value != *now)
                r = sctp_set(manager->options.sctp_sysctls, port, value);
        if (r < 0) {
                log_warning("net.sctp.%s cannot be set to %u, as it was: %s.", sctp_sysctl(port), value,
                            strerror(-r));
                return r;
        }
        if (value != *now)
                log_info("net.sctp.%s is %u again.", sctp_sysctl(port), value);
        *now = value;
        *saved = next;
        return tunnel_saved_sctp_set(manager->tunnel, &manager->sctp.saved);
}

/* Brings one port in line. */
static int bring(Manager *manager, SctpPort port, uint16_t wanted) {
        const struct underpass_saved_sysctl *saved = &manager->sctp.saved.ports[port];
        uint16_t now = 0;
        int r;

        if (wanted == 0 && !saved->changed)
                return 0;
        r = sctp_get(manager->options.sctp_sysctls, port, &now);
        if (r == -ENOENT && saved->changed) {
                /* The module was removed, and its values with it. */
                manager->sctp.saved.ports[port] = (struct underpass_saved_sysctl) {};
                (void) tunnel_saved_sctp_set(manager->tunnel, &manager->sctp.saved);
        }
        if (r < 0)
                return wanted == 0 && r == -ENOENT ? 0 : r;
        if (saved->changed && saved->set != wanted)
                r = give_back(manager, port, &now);
        if (r < 0 || wanted == 0 || (saved->changed && saved->set == wanted && now == wanted))
                return r;
        return set(manager, port, wanted, now);
}

/* The warnings of whoever asks for the port depend on what has just become of it. */
static void mark_others(Manager *manager, const Link *except, SctpPort port) {
        for (Link *link = manager->links; link; link = link->next)
                if (link != except && !link->gone && link->sctp_ports[port] != 0)
                        manager_mark(manager, link->ifindex);
}

static int on_module_look(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *manager = userdata;
        uint16_t now;

        if (sctp_get(manager->options.sctp_sysctls, SCTP_PORT_UDP, &now) >= 0) {
                for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++)
                        mark_others(manager, NULL, port);
                return 0;
        }
        if (--manager->sctp.module_looks_left == 0)
                return 0;
        (void) sd_event_source_set_time_relative(source, MODULE_LOOK_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_module_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Manager *manager = userdata;

        if (sd_bus_message_is_method_error(reply, NULL) || manager->sctp.module_event)
                return 0;
        manager->sctp.module_looks_left = MODULE_LOOKS;
        (void) sd_event_add_time_relative(manager->event, &manager->sctp.module_event, CLOCK_MONOTONIC,
                                          MODULE_LOOK_US, 0, on_module_look, manager);
        return 0;
}

/* Nobody has needed SCTP since the host was started, and our sandbox keeps us from having it loaded: once,
 * systemd is asked to. */
static void ask_for_module(Manager *manager) {
        if (manager->sctp.module_asked || !manager->bus)
                return;
        manager->sctp.module_asked = true;
        (void) sd_bus_call_method_async(manager->bus, NULL, "org.freedesktop.systemd1",
                                        "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                        "StartUnit", on_module_answer, manager, "ss", MODULE_UNIT, "fail");
}

void manager_sctp_update(Manager *manager, const Link *link) {
        _cleanup_(freep) SctpClaim *claims = NULL;
        ManagerSctp *sctp = &manager->sctp;
        size_t count = 0;

        if (manager->stopping || list_claims(manager, &claims, &count) < 0)
                return;
        sctp->adopted = sctp->adopted && somebody_is_silent(manager);
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++) {
                const struct underpass_saved_sysctl *saved = &sctp->saved.ports[port];
                const SctpClaim *holder =
                        sctp_choose(claims, count, port, saved->changed ? saved->set : 0);
                const uint16_t wanted = holder ? holder->ports[port] : 0;
                const uint32_t ifindex = holder ? holder->ifindex : 0;
                int error;

                if (sctp->adopted && saved->changed && wanted != saved->set)
                        continue;
                error = bring(manager, port, wanted);
                if (error == -ENOENT)
                        ask_for_module(manager);
                if (ifindex == sctp->holders[port] && error == sctp->errors[port])
                        continue;
                sctp->holders[port] = ifindex;
                sctp->errors[port] = error;
                mark_others(manager, link, port);
        }
}

int manager_sctp_warn(const Manager *manager, const Link *link, char ***warnings) {
        _cleanup_(freep) SctpClaim *claims = NULL;
        SctpStatus status[_SCTP_PORT_MAX] = {};
        size_t count = 0;
        int r;

        r = list_claims(manager, &claims, &count);
        if (r < 0)
                return r;
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++) {
                status[port].error = manager->sctp.errors[port];
                for (size_t i = 0; i < count; i++)
                        if (claims[i].ifindex == manager->sctp.holders[port])
                                status[port].holder = &claims[i];
                if (status[port].holder)
                        (void) sctp_get(manager->options.sctp_sysctls, port, &status[port].in_force);
        }
        /* Somebody else may have set the listening port. */
        if (!status[SCTP_PORT_UDP].holder && status[SCTP_PORT_ENCAP].holder)
                (void) sctp_get(manager->options.sctp_sysctls, SCTP_PORT_UDP,
                                &status[SCTP_PORT_UDP].in_force);
        for (size_t i = 0; i < count; i++)
                if (claims[i].ifindex == link->ifindex)
                        return sctp_warn(&claims[i], status, warnings);
        return 0;
}

bool manager_sctp_applied(const Manager *manager, const Link *link, SctpPort port, uint16_t *ret_original) {
        const struct underpass_saved_sysctl *saved = &manager->sctp.saved.ports[port];

        if (link->sctp_ports[port] == 0 || !saved->changed || saved->set != link->sctp_ports[port])
                return false;
        *ret_original = saved->original;
        return true;
}

bool manager_sctp_asked(const Link *link) {
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++)
                if (link->sctp_ports[port] != 0)
                        return true;
        return false;
}

bool manager_sctp_busy(const Manager *manager) {
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++)
                if (manager->sctp.saved.ports[port].changed)
                        return true;
        for (const Link *link = manager->links; link; link = link->next)
                for (SctpPort port = 0; link->profile && port < _SCTP_PORT_MAX; port++)
                        if (sctp_setting(&link->profile->settings, port) != 0)
                                return true;
        return false;
}

void manager_sctp_adopt(Manager *manager) {
        int r = tunnel_saved_sctp_get(manager->tunnel, &manager->sctp.saved);

        if (r < 0)
                log_warning("What was remembered of net.sctp cannot be read: %s.", strerror(-r));
        manager->sctp.adopted = manager_sctp_busy(manager);
        if (manager->sctp.adopted)
                log_info("Adopted net.sctp of an earlier service.");
}
