/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See sockets.h. */

#include <arpa/inet.h>

#include "base/log.h"
#include "base/message.h"
#include "kernel/fou.h"
#include "kernel/process.h"
#include "kernel/sock-diag.h"
#include "service/module-load.h"
#include "service/sockets.h"

#define MODULE_UNIT "modprobe@fou.service"

enum { SWEEPS_MAX = 8 }; /* the second finds what the first was not told, the third finds none */

/* A socket that is there. */
typedef struct Socket {
        struct Socket *next;
        struct underpass_socket_key key;
        bool wanted;    /* in the look under way at its link; else true, unless it is stuck */
        bool stuck;     /* the kernel has refused to remove it */
} Socket;

struct Sockets {
        Tunnel *tunnel;
        sd_bus *bus;
        SocketsChanged changed;
        void *userdata;
        ModuleLoad *module;
        Fou *fou;       /* NULL: nobody has asked for it yet, or the kernel has none */
        Socket *list;
};

static bool module_is_there(void *userdata) {
        Sockets *sockets = userdata;

        return sockets->fou || fou_open(&sockets->fou, false) >= 0;
}

static void on_module_settled(void *userdata) {
        const Sockets *sockets = userdata;

        sockets->changed(sockets->userdata);
}

int sockets_new(Sockets **ret, sd_event *event, Tunnel *tunnel, SocketsChanged changed, void *userdata) {
        _cleanup_(sockets_freep) Sockets *sockets = calloc(1, sizeof(*sockets));
        int r;

        if (!sockets)
                return -ENOMEM;
        *sockets = (Sockets) { .tunnel = tunnel, .changed = changed, .userdata = userdata };
        r = module_load_new(&sockets->module, event, MODULE_UNIT, module_is_there, on_module_settled,
                            sockets);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(sockets);
        return 0;
}

void sockets_set_bus(Sockets *sockets, sd_bus *bus) {
        sockets->bus = bus;
}

Sockets *sockets_free(Sockets *sockets) {
        if (!sockets)
                return NULL;
        for (Socket *each; (each = sockets->list);) {
                sockets->list = each->next;
                free(each);
        }
        module_load_free(sockets->module);
        fou_free(sockets->fou);
        free(sockets);
        return NULL;
}

/* The kernel waits for a grace period each time, and there can be hundreds. */
static int remove_from_kernel(Sockets *sockets, const struct underpass_socket_key *key) {
        _cleanup_(tunnel_haste_endp) TunnelHaste haste = tunnel_make_haste();

        return fou_remove(sockets->fou, key);
}

/* Removes those that one look at the kernel finds. */
static int sweep(Sockets *sockets, size_t *ret_found) {
        _cleanup_(freep) struct underpass_socket_key *keys = NULL;
        size_t count = 0;
        int r;

        r = fou_dump(sockets->fou, &keys, &count);
        for (size_t i = 0; r >= 0 && i < count; i++) {
                r = remove_from_kernel(sockets, &keys[i]);
                if (r == -ENOENT)
                        r = 0; /* the next look tells whether it is gone */
        }
        if (r < 0)
                return r;
        *ret_found = count;
        return 0;
}

/* The kernel may not tell all of them at once, so that there are none is known when it tells of none. */
static int sweep_all(Sockets *sockets, size_t *ret_found) {
        size_t sum = 0;

        for (unsigned i = 0; i < SWEEPS_MAX; i++) {
                size_t found = 0;
                int r = sweep(sockets, &found);

                if (r < 0)
                        return r;
                if (found == 0) {
                        *ret_found = sum;
                        return 0;
                }
                sum += found;
        }
        return -EBUSY;
}

void sockets_sweep_up(Sockets *sockets) {
        size_t count = 0;
        int r;

        /* Nothing is loaded to look for what nobody has made. */
        r = sockets->fou ? 0 : fou_open(&sockets->fou, false);
        if (r >= 0)
                r = sweep_all(sockets, &count);
        /* What may still be there stays guarded. */
        if (r < 0 && r != -EOPNOTSUPP) {
                log_warning("Tunnel sockets of an earlier service cannot be removed: %s.", strerror(-r));
                return;
        }
        if (count > 0)
                log_info("Removed %zu tunnel sockets of an earlier service.", count);
        /* Last: what guards them must not go before them. */
        (void) tunnel_unguard_all(sockets->tunnel);
}

/* The place in the list of a socket, or its end. */
static Socket **find(Sockets *sockets, const struct underpass_socket_key *key) {
        Socket **position = &sockets->list;

        while (*position && memcmp(&(*position)->key, key, sizeof(*key)) != 0)
                position = &(*position)->next;
        return position;
}

/* Returns the place of the next one. What the kernel does not remove stays guarded, and known: who wants it
 * again has it, and each look tries again to remove it. */
static Socket **remove_at(Sockets *sockets, Socket **position) {
        Socket *gone = *position;
        int r;

        r = remove_from_kernel(sockets, &gone->key);
        if (r < 0 && r != -ENOENT) {
                if (!gone->stuck)
                        log_warning("A tunnel socket cannot be removed from UDP port %u: %s.",
                                    ntohs(gone->key.flow.local_port), strerror(-r));
                gone->stuck = true;
                return &gone->next;
        }
        (void) tunnel_unguard(sockets->tunnel, &gone->key);
        *position = gone->next;
        free(gone);
        return position;
}

/* Makes one unless it is there. Guarded first, so that no stranger ever finds it open. */
static int ensure(Sockets *sockets, const struct underpass_socket_key *key) {
        Socket **position = find(sockets, key), *made;
        int r;

        if (*position) {
                (*position)->wanted = true;
                return 0;
        }
        made = calloc(1, sizeof(*made));
        if (!made)
                return -ENOMEM;
        r = tunnel_guard(sockets->tunnel, key);
        if (r >= 0) {
                r = fou_add(sockets->fou, key);
                if (r < 0)
                        (void) tunnel_unguard(sockets->tunnel, key);
        }
        if (r < 0) {
                free(made);
                return r;
        }
        *made = (Socket) { .key = *key, .wanted = true };
        *position = made;
        return 0;
}

/* The socket of a port, for all peers. */
static struct underpass_socket_key key_of_port(uint32_t ifindex, uint16_t port, bool ipv6) {
        struct underpass_socket_key key = { .ifindex = ifindex, .flow.local_port = htons(port) };

        if (!ipv6)
                key.flow.local[2] = key.flow.remote[2] = htonl(0xffff);
        return key;
}

/* Without IPv6 in the kernel there is nothing that the socket would be for. */
static int ensure_port(Sockets *sockets, uint32_t ifindex, uint16_t port) {
        const struct underpass_socket_key ipv4 = key_of_port(ifindex, port, false);
        const struct underpass_socket_key ipv6 = key_of_port(ifindex, port, true);
        int r;

        r = ensure(sockets, &ipv6);
        return r < 0 && r != -EAFNOSUPPORT ? r : ensure(sockets, &ipv4);
}

static size_t count_ports(const struct underpass_link *link) {
        size_t count = 0;

        for (size_t i = 0; i < link->local_ports_count; i++)
                count += (size_t) link->local_ports[i].last - link->local_ports[i].first + 1;
        return count;
}

/* Whose a port is that cannot be had. */
typedef struct Holder {
        uint16_t port;
        bool known;
        UdpSocket socket;
} Holder;

/* Whether the socket of a port is there. Without IPv6 in the kernel there is only this one. */
static bool is_ours(Sockets *sockets, uint32_t ifindex, uint16_t port) {
        const struct underpass_socket_key key = key_of_port(ifindex, port, false);

        return *find(sockets, &key) != NULL;
}

static bool is_among(uint16_t port, const struct underpass_link *link) {
        for (size_t i = 0; i < link->local_ports_count; i++)
                if (port >= link->local_ports[i].first && port <= link->local_ports[i].last)
                        return true;
        return false;
}

/* Looks for another socket at a port of the link that is not ours yet. */
static bool find_holder(Sockets *sockets, uint32_t ifindex, const struct underpass_link *link,
                        Holder *ret) {
        _cleanup_(freep) UdpSocket *all = NULL;
        size_t count = 0;

        if (sock_diag_udp_sockets(&all, &count) < 0)
                return false; /* the kernel says it when it makes the sockets */
        for (size_t i = 0; i < count; i++) {
                const uint16_t port = all[i].port;

                if (!is_among(port, link) || (all[i].bound != 0 && all[i].bound != ifindex) ||
                    is_ours(sockets, ifindex, port))
                        continue;
                *ret = (Holder) { .port = port, .known = true, .socket = all[i] };
                return true;
        }
        return false;
}

static bool are_ours(Sockets *sockets, uint32_t ifindex, const struct underpass_link *link) {
        for (size_t i = 0; i < link->local_ports_count; i++)
                for (uint32_t port = link->local_ports[i].first; port <= link->local_ports[i].last; port++)
                        if (!is_ours(sockets, ifindex, (uint16_t) port))
                                return false;
        return true;
}

/* All of them. Looks whether each can be had before it makes any: this is tried again and again. */
static int ensure_ports(Sockets *sockets, uint32_t ifindex, const struct underpass_link *link,
                        Holder *ret_holder) {
        if (!are_ours(sockets, ifindex, link) && find_holder(sockets, ifindex, link, ret_holder))
                return -EADDRINUSE;
        for (size_t i = 0; i < link->local_ports_count; i++)
                for (uint32_t port = link->local_ports[i].first; port <= link->local_ports[i].last; port++) {
                        int r = ensure_port(sockets, ifindex, (uint16_t) port);

                        if (r >= 0)
                                continue;
                        /* Somebody was faster. */
                        if (r != -EADDRINUSE || !find_holder(sockets, ifindex, link, ret_holder))
                                *ret_holder = (Holder) { .port = (uint16_t) port };
                        return r;
                }
        return 0;
}

static bool is_of_flow(const Socket *each) {
        return each->key.flow.remote_port != 0;
}

/* At one port of a link the kernel has no room for sockets of flows beside the one for all peers, which does
 * it for these flows, too. */
static void make_room(Sockets *sockets, uint32_t ifindex, const struct underpass_link *link) {
        for (Socket **position = &sockets->list; *position;) {
                const Socket *each = *position;

                if (each->key.ifindex == ifindex && is_of_flow(each) &&
                    is_among(ntohs(each->key.flow.local_port), link))
                        position = remove_at(sockets, position);
                else
                        position = &(*position)->next;
        }
}

static void remove_unwanted(Sockets *sockets) {
        for (Socket **position = &sockets->list; *position;)
                position = (*position)->wanted ? &(*position)->next : remove_at(sockets, position);
}

/* Those of flows, or none: those of ports are wanted once they have been looked at. */
static void want(Sockets *sockets, uint32_t ifindex, bool flows) {
        for (Socket *each = sockets->list; each; each = each->next)
                if (each->key.ifindex == ifindex)
                        each->wanted = flows && is_of_flow(each);
}

/* The kernel may get its module at any time, so it is asked each time. */
static int open_kernel(Sockets *sockets) {
        int r;

        r = fou_check_kernel();
        if (r < 0)
                return r;
        r = sockets->fou ? 0 : fou_open(&sockets->fou, true);
        if (r != -EOPNOTSUPP)
                return r;
        module_load_ask(sockets->module, sockets->bus);
        return module_load_is_awaited(sockets->module) ? -EINPROGRESS : r;
}

/* Processes of others are hidden from the service by its sandbox; then there is only their user. */
static char *describe_holder(const char *name, const Holder *holder) {
        Process process;

        if (holder->known && holder->socket.inode == 0)
                return message_format(N_("receive=socket on %s: the kernel itself has UDP port %u, for "
                                         "another tunnel; bulk is merged as with auto."),
                                      name, holder->port);
        if (holder->known && process_find_socket(holder->socket.inode, &process) >= 0)
                return message_format(N_("receive=socket on %s: another program has UDP port %u: %s, "
                                         "process %d; bulk is merged as with auto."),
                                      name, holder->port, process.name, (int) process.pid);
        if (holder->known)
                return message_format(N_("receive=socket on %s: a program of user %u has UDP port %u, "
                                         "perhaps a server for HTTP/3 (`ss -lunp sport = %u` shows it); "
                                         "bulk is merged as with auto."),
                                      name, holder->socket.user, holder->port, holder->port);
        return message_format(N_("receive=socket on %s: another program has UDP port %u, perhaps a "
                                 "server for HTTP/3 (`ss -lunp sport = %u` shows it); bulk is "
                                 "merged as with auto."),
                              name, holder->port, holder->port);
}

static char *describe(const char *name, const Holder *holder, int error) {
        if (error == -EINPROGRESS)
                return message_format(N_("receive=socket on %s: the kernel loads its module fou; "
                                         "until then bulk is merged as with auto."),
                                      name);
        if (error == -ENOSYS)
                return message_format(N_("receive=socket on %s: GRO of this kernel does not find sockets "
                                         "that are bound to a link, kernel 6.6 does; bulk is merged as with "
                                         "auto."),
                                      name);
        if (error == -ENOTRECOVERABLE)
                return message_format(N_("receive=socket on %s: this kernel may crash when a tunnel socket "
                                         "goes (CVE-2024-46763); 6.6 from 6.6.52 on, 6.10 from 6.10.11 on, "
                                         "6.11 and newer do not; bulk is merged as with auto."),
                                      name);
        if (error == -EOPNOTSUPP)
                return message_format(N_("receive=socket on %s: this kernel has no FOU (CONFIG_NET_FOU, "
                                         "module fou); bulk is merged as with auto."),
                                      name);
        if (error == -EADDRINUSE)
                return describe_holder(name, holder);
        return message_format(N_("receive=socket on %s: the kernel makes no tunnel socket at UDP port %u "
                                 "(%s); bulk is merged as with auto."),
                              name, holder->port, MESSAGE_ERRNO(error));
}

int sockets_serve(Sockets *sockets, uint32_t ifindex, const char *name, const struct underpass_link *link,
                  char **ret_error) {
        const size_t count = count_ports(link);
        Holder holder = {};
        char *error;
        int r;

        want(sockets, ifindex, link->remote_ports_count > 0);
        r = count > SOCKETS_PORTS_MAX ? -ERANGE : open_kernel(sockets);
        if (r >= 0) {
                make_room(sockets, ifindex, link);
                r = ensure_ports(sockets, ifindex, link, &holder);
        }
        if (r < 0)
                want(sockets, ifindex, false);
        remove_unwanted(sockets);
        if (r >= 0)
                return 0;
        error = r == -ERANGE ?
                        message_format(N_("receive=socket on %s: local-ports has %zu ports, and at most %d "
                                          "can have a socket; bulk is merged as with auto."),
                                       name, count, SOCKETS_PORTS_MAX) :
                        describe(name, &holder, r);
        *ret_error = error;
        return r;
}

void sockets_leave(Sockets *sockets, uint32_t ifindex) {
        want(sockets, ifindex, false);
        remove_unwanted(sockets);
}

int sockets_add_flow(Sockets *sockets, const struct underpass_socket_key *key) {
        int r;

        if (*find(sockets, key) || is_ours(sockets, key->ifindex, ntohs(key->flow.local_port)))
                return 0;
        if (!sockets->fou)
                return -EOPNOTSUPP;
        if (sockets_count_flows(sockets, key->ifindex) >= SOCKETS_FLOWS_MAX)
                return -EBUSY;
        r = ensure(sockets, key);
        return r < 0 ? r : 1;
}

size_t sockets_sift_flows(Sockets *sockets, SocketsFlowTest is_needed, void *userdata, size_t *gone) {
        const size_t limit = *gone;
        size_t left = 0;

        *gone = 0;
        for (Socket **position = &sockets->list; *position;) {
                const bool flow = is_of_flow(*position);

                if (flow && *gone < limit && !is_needed(&(*position)->key, userdata) &&
                    remove_at(sockets, position) == position) {
                        (*gone)++;
                        continue;
                }
                left += flow;
                position = &(*position)->next;
        }
        return left;
}

size_t sockets_count_flows(const Sockets *sockets, uint32_t ifindex) {
        size_t count = 0;

        for (const Socket *each = sockets->list; each; each = each->next)
                count += each->key.ifindex == ifindex && is_of_flow(each);
        return count;
}
