/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See sctp.h. */

#include "base/message.h"
#include "plan/sctp.h"

static const struct {
        KeyId key;
        const char *sysctl;
} ports[_SCTP_PORT_MAX] = {
        [SCTP_PORT_UDP] = { KEY_ID_SCTP_UDP_PORT, "udp_port" },
        [SCTP_PORT_ENCAP] = { KEY_ID_SCTP_ENCAP_PORT, "encap_port" },
};

const char *sctp_sysctl(SctpPort port) {
        return ports[port].sysctl;
}

uint16_t sctp_setting(const Settings *settings, SctpPort port) {
        switch (port) {
        case SCTP_PORT_UDP:
                return (uint16_t) settings->sctp_udp_port;
        case SCTP_PORT_ENCAP:
                return (uint16_t) settings->sctp_encap_port;
        case _SCTP_PORT_MAX:
                break;
        }
        return 0;
}

const char *sctp_alone(const Settings *settings) {
        if (settings->tunnel != TUNNEL_NO)
                return NULL;
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++)
                if (sctp_setting(settings, port) != 0)
                        return N_("The profile asks for SCTP over UDP, and for no tunnel.");
        return NULL;
}

const SctpClaim *sctp_choose(const SctpClaim *claims, size_t count, SctpPort port, uint16_t set) {
        const SctpClaim *chosen = NULL;

        for (size_t i = 0; i < count; i++) {
                const SctpClaim *claim = &claims[i];
                const bool agrees = set != 0 && claim->ports[port] == set;

                if (claim->ports[port] == 0)
                        continue;
                if (!chosen || (agrees && chosen->ports[port] != set) ||
                    (agrees == (set != 0 && chosen->ports[port] == set) &&
                     claim->ifindex < chosen->ifindex))
                        chosen = claim;
        }
        return chosen;
}

uint16_t sctp_next(const struct underpass_saved_sysctl *saved, uint16_t wanted, uint16_t now,
                   struct underpass_saved_sysctl *ret_next) {
        const bool ours = saved->changed && now == saved->set;

        if (wanted == 0) {
                *ret_next = (struct underpass_saved_sysctl) {};
                return ours ? saved->original : now;
        }
        *ret_next = (struct underpass_saved_sysctl) {
                .changed = true,
                .original = ours ? saved->original : now,
                .set = wanted,
        };
        return wanted;
}

static int warn_error(SctpPort port, const char *key, const SctpStatus *status, char ***warnings) {
        if (status->error == -ENOENT)
                return message_add(warnings,
                                   N_("%s: this kernel has no SCTP over UDP (net.sctp.%s does not exist), "
                                      "so the key has no effect; load the module sctp and run "
                                      "`underpassctl reload`, or remove the key from the profile."),
                                   key, sctp_sysctl(port));
        if (status->error == -EADDRINUSE)
                return message_add(warnings,
                                   N_("%s: another program holds this UDP port, so SCTP over UDP is not "
                                      "received; stop that program (`ss -ulnp` shows it), then run "
                                      "`underpassctl reload`, or choose another port on all hosts."),
                                   key);
        return message_add(warnings,
                           N_("%s: net.sctp.%s cannot be set (%s), so the key has no effect; "
                              "`underpassctl reload` tries again."),
                           key, sctp_sysctl(port), MESSAGE_ERRNO(status->error));
}

static int warn_conflict(SctpPort port, const SctpClaim *claim, const char *key, const SctpClaim *holder,
                         char ***warnings) {
        _cleanup_(freep) char *theirs = profile_describe(holder->profile, ports[port].key);

        if (!theirs)
                return -ENOMEM;
        return message_add(warnings,
                           N_("%s on %s has no effect: all links of a host share this port, and %s came "
                              "first with %s; give both links the same value."),
                           key, claim->link, holder->link, theirs);
}

static int warn_deaf(const SctpClaim *claim, const char *key, char ***warnings) {
        const ProfileSource source = claim->profile->origins[KEY_ID_SCTP_ENCAP_PORT].source;
        _cleanup_(freep) char *missing = profile_key_name(key_get(KEY_ID_SCTP_UDP_PORT), source);

        if (!missing)
                return -ENOMEM;
        return message_add(warnings,
                           N_("%s has no effect: the kernel sends SCTP over UDP only while it also listens "
                              "for it; set %s as well (RFC 6951 assigns 9899)."),
                           key, missing);
}

int sctp_warn(const SctpClaim *claim, const SctpStatus status[static _SCTP_PORT_MAX], char ***warnings) {
        for (SctpPort port = 0; port < _SCTP_PORT_MAX; port++) {
                const SctpClaim *holder = status[port].holder;
                int r = 0;

                if (claim->ports[port] == 0 || !holder)
                        continue;

                _cleanup_(freep) char *key = profile_describe(claim->profile, ports[port].key);
                if (!key)
                        return -ENOMEM;
                if (holder->ports[port] != claim->ports[port])
                        r = warn_conflict(port, claim, key, holder, warnings);
                else if (status[port].error < 0)
                        r = warn_error(port, key, &status[port], warnings);
                else if (port == SCTP_PORT_ENCAP && status[SCTP_PORT_UDP].in_force == 0 &&
                         claim->ports[SCTP_PORT_UDP] == 0)
                        r = warn_deaf(claim, key, warnings);
                /* Without SCTP in the kernel, one warning is enough. */
                if (r < 0 || status[port].error == -ENOENT)
                        return r;
        }
        return 0;
}
