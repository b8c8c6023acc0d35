/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See sctp.h. */

#include <net/if.h>
#include <stdio.h>

#include "base/log.h"
#include "kernel/sctp.h"
#include "service/module-load.h"
#include "service/sctp.h"

#define MODULE_UNIT "modprobe@sctp.service"

/* A link, and what it has said. */
typedef struct SctpLink {
        struct SctpLink *next;
        char name[IF_NAMESIZE];
        SctpClaim claim;       /* profile NULL: it has not said anything yet */
        bool certain;
} SctpLink;

struct Sctp {
        sd_bus *bus;
        Tunnel *tunnel;
        const char *folder;
        SctpChanged changed;
        void *userdata;
        SctpLink *links;
        struct underpass_saved_sctp saved;  /* as it is pinned … */
        bool known;                         /* … once that could be read */
        bool adopted;                       /* left by an earlier service; not all links have spoken yet */
        uint32_t holders[_SCTP_PORT_MAX];   /* whose value counts, by interface index; 0: nobody's */
        int errors[_SCTP_PORT_MAX];         /* why it is not in force */
        ModuleLoad *module;
};

Sctp *sctp_free(Sctp *sctp) {
        if (!sctp)
                return NULL;
        module_load_free(sctp->module);
        for (SctpLink *link; (link = sctp->links);) {
                sctp->links = link->next;
                free(link);
        }
        free(sctp);
        return NULL;
}

void sctp_set_bus(Sctp *sctp, sd_bus *bus) {
        sctp->bus = bus;
}

static SctpLink *find_link(const Sctp *sctp, uint32_t ifindex) {
        for (SctpLink *link = sctp->links; link; link = link->next)
                if (link->claim.ifindex == ifindex)
                        return link;
        return NULL;
}

/* What the links have said, as an array. */
static int list_claims(const Sctp *sctp, SctpClaim **ret, size_t *ret_count) {
        SctpClaim *claims;
        size_t count = 0;

        for (const SctpLink *link = sctp->links; link; link = link->next)
                count++;
        claims = calloc(count + 1, sizeof(*claims));
        if (!claims)
                return -ENOMEM;
        count = 0;
        for (const SctpLink *link = sctp->links; link; link = link->next)
                if (link->claim.profile)
                        claims[count++] = link->claim;
        *ret = claims;
        *ret_count = count;
        return 0;
}

/* Whether a link may still say that what an earlier service has set is wanted. */
static bool somebody_is_silent(const Sctp *sctp) {
        for (const SctpLink *link = sctp->links; link; link = link->next)
                if (!link->claim.profile || !link->certain)
                        return true;
        return false;
}

/* Remembers, then sets. What could not be set is given back, so that nothing has changed. */
static int set_port(Sctp *sctp, SctpPort port, uint16_t wanted, uint16_t now) {
        const char *folder = sctp->folder;
        struct underpass_saved_sysctl *saved = &sctp->saved.ports[port], next;
        uint16_t value = sctp_next(saved, wanted, now, &next);
        int r;

        *saved = next;
        r = tunnel_saved_sctp_set(sctp->tunnel, &sctp->saved);
        if (r >= 0 && value != now)
                r = sctp_set(folder, port, value);
        if (r >= 0) {
                if (value != now)
                        log_info("net.sctp.%s is %u now, was %u.", sctp_sysctl(port), value, now);
                return 0;
        }
        (void) sctp_set(folder, port, next.original);
        *saved = (struct underpass_saved_sysctl) {};
        (void) tunnel_saved_sctp_set(sctp->tunnel, &sctp->saved);
        return r;
}

/* Sets what it was, then forgets. */
static int give_back(Sctp *sctp, SctpPort port, uint16_t *now) {
        struct underpass_saved_sysctl *saved = &sctp->saved.ports[port], next;
        uint16_t value = sctp_next(saved, 0, *now, &next);
        int r = 0;

        if (value != *now)
                r = sctp_set(sctp->folder, port, value);
        if (r < 0) {
                log_warning("net.sctp.%s cannot be set to %u, as it was: %s.", sctp_sysctl(port), value,
                            strerror(-r));
                return r;
        }
        if (value != *now)
                log_info("net.sctp.%s is %u again.", sctp_sysctl(port), value);
        *now = value;
        *saved = next;
        return tunnel_saved_sctp_set(sctp->tunnel, &sctp->saved);
}

/* Brings one port in line. */
static int bring_in_line(Sctp *sctp, SctpPort port, uint16_t wanted) {
        const struct underpass_saved_sysctl *saved = &sctp->saved.ports[port];
        uint16_t now = 0;
        int r;

        if (wanted == 0 && !saved->changed)
                return 0;
        r = sctp_get(sctp->folder, port, &now);
        if (r == -ENOENT && saved->changed) {
                /* The module was removed, and its values with it. */
                sctp->saved.ports[port] = (struct underpass_saved_sysctl) {};
                (void) tunnel_saved_sctp_set(sctp->tunnel, &sctp->saved);
        }
        if (r < 0)
                return wanted == 0 && r == -ENOENT ? 0 : r;
        if (saved->changed && saved->set != wanted)
                r = give_back(sctp, port, &now);
        if (r < 0 || wanted == 0 || (saved->changed && saved->set == wanted && now == wanted))
                return r;
        return set_port(sctp, port, wanted, now);
}

/* The warnings of those who ask for the port depend on what has just become of it. */
static void tell_links(Sctp *sctp, uint32_t except, SctpPort port) {
        for (SctpLink *link = sctp->links, *next; link; link = next) {
                next = link->next;
                if (link->claim.ifindex != except && link->claim.ports[port] != 0)
                        sctp->changed(link->claim.ifindex, sctp->userdata);
        }
}

static bool module_is_there(void *userdata) {
        const Sctp *sctp = userdata;
        uint16_t now;

        return sctp_get(sctp->folder, SCTP_PORT_UDP, &now) >= 0;
}

static void on_module_settled(void *userdata) {
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++)
                tell_links(userdata, 0, port);
}

int sctp_new(Sctp **ret, sd_event *event, Tunnel *tunnel, const char *folder, SctpChanged changed,
             void *userdata) {
        _cleanup_(sctp_freep) Sctp *sctp = calloc(1, sizeof(*sctp));
        int r;

        if (!sctp)
                return -ENOMEM;
        *sctp = (Sctp) {
                .tunnel = tunnel,
                .folder = folder,
                .changed = changed,
                .userdata = userdata,
        };
        r = module_load_new(&sctp->module, event, MODULE_UNIT, module_is_there, on_module_settled, sctp);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(sctp);
        return 0;
}

/* Until it is known, nothing is set: what is there now may be ours, and only the record has the value of
 * before. */
static int ensure_record(Sctp *sctp) {
        int r;

        if (sctp->known)
                return 0;
        r = tunnel_saved_sctp_get(sctp->tunnel, &sctp->saved);
        if (r < 0)
                return r;
        sctp->known = true;
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++)
                sctp->adopted = sctp->adopted || sctp->saved.ports[port].changed;
        if (sctp->adopted)
                log_info("Adopted net.sctp of an earlier service.");
        return 0;
}

/* speaker: the link whose wishes have just been learnt, which looks by itself; 0: none. */
static void update(Sctp *sctp, uint32_t speaker) {
        const int unknown = ensure_record(sctp);
        _cleanup_(freep) SctpClaim *claims = NULL;
        size_t count = 0;

        if (list_claims(sctp, &claims, &count) < 0)
                return;
        sctp->adopted = sctp->adopted && somebody_is_silent(sctp);
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++) {
                const struct underpass_saved_sysctl *saved = &sctp->saved.ports[port];
                const SctpClaim *holder = sctp_choose(claims, count, port, saved->changed ? saved->set : 0);
                const uint16_t wanted = holder ? holder->ports[port] : 0;
                const uint32_t ifindex = holder ? holder->ifindex : 0;
                int error;

                if (sctp->adopted && saved->changed && wanted != saved->set)
                        continue;
                error = unknown < 0 && wanted != 0 ? unknown : bring_in_line(sctp, port, wanted);
                if (error == -ENOENT)
                        module_load_ask(sctp->module, sctp->bus);
                if (ifindex == sctp->holders[port] && error == sctp->errors[port])
                        continue;
                sctp->holders[port] = ifindex;
                sctp->errors[port] = error;
                tell_links(sctp, speaker, port);
        }
}

static SctpLink *ensure_link(Sctp *sctp, uint32_t ifindex) {
        SctpLink *link = find_link(sctp, ifindex);

        if (link)
                return link;
        link = calloc(1, sizeof(*link));
        if (!link)
                return NULL;
        link->claim.ifindex = ifindex;
        link->next = sctp->links;
        sctp->links = link;
        return link;
}

int sctp_await(Sctp *sctp, uint32_t ifindex) {
        SctpLink *link = ensure_link(sctp, ifindex);

        if (!link)
                return -ENOMEM;
        link->certain = false;
        return 0;
}

int sctp_claim(Sctp *sctp, const SctpClaim *claim, bool certain) {
        SctpLink *link = ensure_link(sctp, claim->ifindex);

        if (!link)
                return -ENOMEM;
        snprintf(link->name, sizeof(link->name), "%s", claim->link);
        link->claim = *claim;
        link->claim.link = link->name;
        link->certain = certain;
        update(sctp, claim->ifindex);
        return 0;
}

void sctp_drop(Sctp *sctp, uint32_t ifindex) {
        for (SctpLink **position = &sctp->links; *position; position = &(*position)->next) {
                SctpLink *link = *position;

                if (link->claim.ifindex != ifindex)
                        continue;
                *position = link->next;
                free(link);
                update(sctp, 0);
                return;
        }
}

void sctp_update(Sctp *sctp) {
        update(sctp, 0);
}

int sctp_add_warnings(const Sctp *sctp, uint32_t ifindex, char ***warnings) {
        const SctpLink *link = find_link(sctp, ifindex);
        _cleanup_(freep) SctpClaim *claims = NULL;
        SctpStatus status[_SCTP_PORT_MAX] = {};
        size_t count = 0;
        int r;

        if (!link || !link->claim.profile)
                return 0;
        r = list_claims(sctp, &claims, &count);
        if (r < 0)
                return r;
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++) {
                status[port].error = sctp->errors[port];
                for (size_t i = 0; i < count; i++)
                        if (claims[i].ifindex == sctp->holders[port])
                                status[port].holder = &claims[i];
                if (status[port].holder)
                        (void) sctp_get(sctp->folder, port, &status[port].in_force);
        }
        /* Somebody else may have set the listening port. */
        if (!status[SCTP_PORT_UDP].holder && status[SCTP_PORT_ENCAP].holder)
                (void) sctp_get(sctp->folder, SCTP_PORT_UDP, &status[SCTP_PORT_UDP].in_force);
        return sctp_warn(&link->claim, status, warnings);
}

bool sctp_applied(const Sctp *sctp, uint32_t ifindex, SctpPort port, uint16_t *ret_value,
                  uint16_t *ret_original) {
        const struct underpass_saved_sysctl *saved = &sctp->saved.ports[port];
        const SctpLink *link = find_link(sctp, ifindex);

        if (!link || link->claim.ports[port] == 0 || !saved->changed ||
            saved->set != link->claim.ports[port])
                return false;
        *ret_value = saved->set;
        *ret_original = saved->original;
        return true;
}

bool sctp_is_asked(const Sctp *sctp, uint32_t ifindex) {
        const SctpLink *link = find_link(sctp, ifindex);

        for (SctpPort port = 0; link && port < _SCTP_PORT_MAX; port++)
                if (link->claim.ports[port] != 0)
                        return true;
        return false;
}

bool sctp_is_busy(const Sctp *sctp) {
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++)
                if (sctp->saved.ports[port].changed)
                        return true;
        for (const SctpLink *link = sctp->links; link; link = link->next)
                for (SctpPort port = 0; link->claim.profile && port < _SCTP_PORT_MAX; port++)
                        if (sctp_setting(&link->claim.profile->settings, port) != 0)
                                return true;
        return false;
}

void sctp_adopt(Sctp *sctp) {
        int r = ensure_record(sctp);

        if (r < 0)
                log_warning("What was remembered of net.sctp cannot be read: %s.", strerror(-r));
}
