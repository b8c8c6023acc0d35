/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tunnel sockets of the kernel (receive=socket): what is asked of it, on a kernel that exists in this file
 * only. Its end of netlink is here, its release, what loads its modules, and the guard of the programs. May
 * touch: its own name, which it looks up in /proc.
 */

#include "unit.h"

#include <linux/fou.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "kernel/fou.h"
#include "kernel/genl.h"
#include "kernel/process.h"
#include "service/module-load.h"
#include "service/sockets.h"

enum {
        FAMILY = 27,
        LINK = 7,
        ROOM = 256,
        ANSWER_SIZE = 512,
        DATAGRAM = 37,  /* sockets that the kernel tells in one, where memory is scarce */
};

/* A socket, with all that was said of it. */
typedef struct FakeSocket {
        struct underpass_socket_key key;
        uint8_t protocol, type;
        bool ipv4, marked, has_local;
} FakeSocket;

static struct {
        const char *release;
        bool lacks_fou, lacks_ipv6, lacks_diag;
        int broken;         /* what making a socket of IPv4 fails with */
        int stuck;          /* what removing one fails with */
        int mute;           /* what telling all of them fails with */
        bool immortal;      /* removing one is answered well, and it stays */
        uint16_t taken;     /* by another program; 0: none */
        uint32_t bound, user, inode; /* of the socket that it has */
        unsigned unseen;    /* so often it is not there yet when somebody looks */
        unsigned looks;
        FakeSocket sockets[ROOM];
        size_t count;
        struct underpass_socket_key guarded[ROOM];
        size_t guarded_count;
        int unguarded;      /* what guarding one fails with */
        unsigned added, removed;
        unsigned open;      /* descriptors of netlink */
        unsigned warned;
        bool loaded;        /* a module may have been, for the name of the family */
        bool hasty;         /* its grace periods are expedited */
} kernel;

/* Loads the module. */
static struct {
        bool (*is_there)(void *userdata);
        void (*settled)(void *userdata);
        void *userdata;
        bool asked;
} loader;

static int no_netlink, no_loader, no_bus;

int uname(struct utsname *ret) {
        *ret = (struct utsname) {};
        (void) snprintf(ret->release, sizeof(ret->release), "%s", kernel.release);
        return 0;
}

void log_line(int level, const char *interface, const char *stage, const char *format, ...) {
        kernel.warned += level <= LOG_WARNING;
}

int module_load_new(ModuleLoad **ret, sd_event *event, const char *unit, bool (*is_there)(void *userdata),
                    void (*settled)(void *userdata), void *userdata) {
        assert(streq(unit, "modprobe@fou.service"));
        loader.is_there = is_there;
        loader.settled = settled;
        loader.userdata = userdata;
        *ret = (ModuleLoad *) &no_loader;
        return 0;
}

ModuleLoad *module_load_free(ModuleLoad *load) {
        assert(load == (ModuleLoad *) &no_loader);
        memset(&loader, 0, sizeof(loader));
        return NULL;
}

void module_load_ask(ModuleLoad *load, sd_bus *bus) {
        loader.asked = loader.asked || bus == (sd_bus *) &no_bus;
}

bool module_load_is_awaited(const ModuleLoad *load) {
        return loader.asked;
}

int netlink_open(Netlink **ret, int protocol) {
        assert(protocol == NETLINK_GENERIC || protocol == NETLINK_SOCK_DIAG);
        kernel.open++;
        *ret = (Netlink *) &no_netlink;
        return 0;
}

Netlink *netlink_free(Netlink *netlink) {
        if (netlink)
                kernel.open--;
        return NULL;
}

static bool same(const struct underpass_socket_key *a, const struct underpass_socket_key *b) {
        return memcmp(a, b, sizeof(*a)) == 0;
}

static bool is_guarded(const struct underpass_socket_key *key) {
        for (size_t i = 0; i < kernel.guarded_count; i++)
                if (same(&kernel.guarded[i], key))
                        return true;
        return false;
}

static FakeSocket parse(const struct nlmsghdr *message) {
        struct underpass_socket_key key = {};
        FakeSocket told = {};
        const struct nlattr *attribute;

        mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr)) {
                const void *value = mnl_attr_get_payload(attribute);

                switch (mnl_attr_get_type(attribute)) {
                case FOU_ATTR_AF:
                        told.ipv4 = mnl_attr_get_u8(attribute) == AF_INET;
                        break;
                case FOU_ATTR_TYPE:
                        told.type = mnl_attr_get_u8(attribute);
                        break;
                case FOU_ATTR_IPPROTO:
                        told.protocol = mnl_attr_get_u8(attribute);
                        break;
                case FOU_ATTR_REMCSUM_NOPARTIAL:
                        told.marked = true;
                        break;
                case FOU_ATTR_IFINDEX:
                        key.ifindex = mnl_attr_get_u32(attribute);
                        break;
                case FOU_ATTR_PORT:
                        key.flow.local_port = mnl_attr_get_u16(attribute);
                        break;
                case FOU_ATTR_PEER_PORT:
                        key.flow.remote_port = mnl_attr_get_u16(attribute);
                        break;
                case FOU_ATTR_LOCAL_V4:
                        told.has_local = true;
                        memcpy(&key.flow.local[3], value, 4);
                        break;
                case FOU_ATTR_PEER_V4:
                        memcpy(&key.flow.remote[3], value, 4);
                        break;
                case FOU_ATTR_LOCAL_V6:
                        told.has_local = true;
                        memcpy(key.flow.local, value, 16);
                        break;
                case FOU_ATTR_PEER_V6:
                        memcpy(key.flow.remote, value, 16);
                        break;
                default:
                        assert(!"an attribute that fou does not have");
                }
        }
        if (told.ipv4)
                key.flow.local[2] = key.flow.remote[2] = htonl(0xffff);
        told.key = key;
        return told;
}

/* Peers do not matter, nor does a link of its own where the other has none; one address is all of them. */
static bool collide(const FakeSocket *a, const FakeSocket *b) {
        const uint32_t *local_a = a->key.flow.local, *local_b = b->key.flow.local;

        return a->ipv4 == b->ipv4 && a->key.flow.local_port == b->key.flow.local_port &&
               (a->key.ifindex == b->key.ifindex || a->key.ifindex == 0 || b->key.ifindex == 0) &&
               (local_a[3] == 0 || local_b[3] == 0 || memcmp(local_a, local_b, 16) == 0);
}

/* As in the kernel: a socket of a link has to have a local address, and no two have the same port there. */
static int add(const FakeSocket *asked) {
        assert(!kernel.hasty);
        assert(is_guarded(&asked->key));
        if (!asked->has_local)
                return -EINVAL;
        if (!asked->ipv4 && kernel.lacks_ipv6)
                return -EAFNOSUPPORT;
        if (asked->ipv4 && kernel.broken)
                return kernel.broken;
        if (asked->key.flow.local_port == htons(kernel.taken) &&
            (kernel.bound == 0 || kernel.bound == asked->key.ifindex))
                return -EADDRINUSE;
        for (size_t i = 0; i < kernel.count; i++)
                if (collide(&kernel.sockets[i], asked))
                        return -EADDRINUSE;
        assert(kernel.count < ROOM);
        kernel.sockets[kernel.count++] = *asked;
        kernel.added++;
        return 0;
}

/* It waits for a grace period. */
static int take(const FakeSocket *asked) {
        assert(kernel.hasty);
        if (kernel.stuck)
                return kernel.stuck;
        for (size_t i = 0; i < kernel.count; i++)
                if (same(&kernel.sockets[i].key, &asked->key)) {
                        if (!kernel.immortal)
                                kernel.sockets[i] = kernel.sockets[--kernel.count];
                        kernel.removed++;
                        return 0;
                }
        return -EINVAL;
}

static void tell(const FakeSocket *socket, mnl_cb_t callback, void *userdata) {
        _Alignas(struct nlmsghdr) uint8_t buffer[ANSWER_SIZE] = {};
        struct nlmsghdr *message = genl_request(buffer, FAMILY, FOU_CMD_GET, FOU_GENL_VERSION);
        const struct underpass_flow_key *flow = &socket->key.flow;

        mnl_attr_put_u8(message, FOU_ATTR_AF, socket->ipv4 ? AF_INET : AF_INET6);
        mnl_attr_put_u16(message, FOU_ATTR_PORT, flow->local_port);
        mnl_attr_put_u16(message, FOU_ATTR_PEER_PORT, flow->remote_port);
        mnl_attr_put_u8(message, FOU_ATTR_IPPROTO, socket->protocol);
        mnl_attr_put_u8(message, FOU_ATTR_TYPE, socket->type);
        mnl_attr_put_u32(message, FOU_ATTR_IFINDEX, socket->key.ifindex);
        if (socket->marked)
                mnl_attr_put(message, FOU_ATTR_REMCSUM_NOPARTIAL, 0, NULL);
        if (socket->ipv4 && flow->local[3] != 0)
                mnl_attr_put_u32(message, FOU_ATTR_LOCAL_V4, flow->local[3]);
        if (socket->ipv4 && flow->remote[3] != 0)
                mnl_attr_put_u32(message, FOU_ATTR_PEER_V4, flow->remote[3]);
        if (!socket->ipv4 && flow->local[3] != 0)
                mnl_attr_put(message, FOU_ATTR_LOCAL_V6, sizeof(flow->local), flow->local);
        if (!socket->ipv4 && flow->remote[3] != 0)
                mnl_attr_put(message, FOU_ATTR_PEER_V6, sizeof(flow->remote), flow->remote);
        assert(callback(message, userdata) == MNL_CB_OK);
}

static void tell_family(const char *name, uint16_t number, mnl_cb_t callback, void *userdata) {
        _Alignas(struct nlmsghdr) uint8_t buffer[ANSWER_SIZE] = {};
        struct nlmsghdr *message = genl_request(buffer, GENL_ID_CTRL, CTRL_CMD_NEWFAMILY, 1);

        mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, name);
        mnl_attr_put_u16(message, CTRL_ATTR_FAMILY_ID, number);
        assert(callback(message, userdata) == MNL_CB_OK);
}

static int ask_for_family(const struct nlmsghdr *message, mnl_cb_t callback, void *userdata) {
        const bool dump = message->nlmsg_flags & NLM_F_DUMP;

        kernel.loaded = kernel.loaded || !dump;
        if (dump)
                tell_family("nlctrl", GENL_ID_CTRL, callback, userdata);
        if (kernel.lacks_fou)
                return dump ? 0 : -ENOENT;
        tell_family(FOU_GENL_NAME, FAMILY, callback, userdata);
        return 0;
}

static void tell_udp(const struct inet_diag_msg *socket, mnl_cb_t callback, void *userdata) {
        _Alignas(struct nlmsghdr) uint8_t buffer[ANSWER_SIZE] = {};
        struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

        memcpy(mnl_nlmsg_put_extra_header(message, sizeof(*socket)), socket, sizeof(*socket));
        assert(callback(message, userdata) == MNL_CB_OK);
}

/* All UDP sockets of an IP version: those of the kernel are among them, and so are ours. */
static int look_for_udp(const struct nlmsghdr *message, mnl_cb_t callback, void *userdata) {
        const struct inet_diag_req_v2 *request = mnl_nlmsg_get_payload(message);
        const bool ipv4 = request->sdiag_family == AF_INET;

        assert(request->sdiag_protocol == IPPROTO_UDP);
        if (kernel.lacks_diag)
                return -ENOENT;
        for (size_t i = 0; i < kernel.count; i++) {
                const struct underpass_socket_key *key = &kernel.sockets[i].key;

                if (kernel.sockets[i].ipv4 == ipv4)
                        tell_udp(&(struct inet_diag_msg) { .id.idiag_if = key->ifindex,
                                                           .id.idiag_sport = key->flow.local_port },
                                 callback, userdata);
        }
        if (!ipv4)
                return 0;
        if (kernel.taken && kernel.looks >= kernel.unseen)
                tell_udp(&(struct inet_diag_msg) { .id.idiag_if = kernel.bound, .idiag_uid = kernel.user,
                                                   .id.idiag_sport = htons(kernel.taken),
                                                   .idiag_inode = kernel.inode },
                         callback, userdata);
        kernel.looks++;
        return 0;
}

/* As in the kernel: the one that finds no room in a datagram is in none. */
static int tell_all(const struct nlmsghdr *message, mnl_cb_t callback, void *userdata) {
        assert((message->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP && !kernel.hasty);
        for (size_t i = 0; i < kernel.count && !kernel.mute; i++)
                if (i % (DATAGRAM + 1) != DATAGRAM)
                        tell(&kernel.sockets[i], callback, userdata);
        return kernel.mute;
}

int netlink_call(Netlink *netlink, struct nlmsghdr *message, mnl_cb_t callback, void *userdata) {
        const struct genlmsghdr *generic = mnl_nlmsg_get_payload(message);
        FakeSocket asked;

        if (message->nlmsg_type == GENL_ID_CTRL)
                return ask_for_family(message, callback, userdata);
        if (message->nlmsg_type == SOCK_DIAG_BY_FAMILY)
                return look_for_udp(message, callback, userdata);
        assert(message->nlmsg_type == FAMILY && generic->version == FOU_GENL_VERSION);
        if (generic->cmd == FOU_CMD_GET)
                return tell_all(message, callback, userdata);
        asked = parse(message);
        return generic->cmd == FOU_CMD_ADD ? add(&asked) : take(&asked);
}

int tunnel_guard(Tunnel *tunnel, const struct underpass_socket_key *key) {
        assert(kernel.guarded_count < ROOM && !is_guarded(key));
        if (kernel.unguarded)
                return kernel.unguarded;
        kernel.guarded[kernel.guarded_count++] = *key;
        return 0;
}

int tunnel_unguard(Tunnel *tunnel, const struct underpass_socket_key *key) {
        for (size_t i = 0; i < kernel.count; i++)
                assert(!same(&kernel.sockets[i].key, key)); /* the socket goes first */
        for (size_t i = 0; i < kernel.guarded_count; i++)
                if (same(&kernel.guarded[i], key)) {
                        kernel.guarded[i] = kernel.guarded[--kernel.guarded_count];
                        return 0;
                }
        return 0;
}

int tunnel_unguard_all(Tunnel *tunnel) {
        for (size_t i = 0; i < kernel.count; i++)
                assert(!is_guarded(&kernel.sockets[i].key)); /* the same */
        kernel.guarded_count = 0;
        return 0;
}

/* Not nested, and ended whatever the kernel says. */
TunnelHaste tunnel_make_haste(void) {
        assert(!kernel.hasty);
        kernel.hasty = true;
        return (TunnelHaste) { .begun = true };
}

void tunnel_haste_endp(TunnelHaste *haste) {
        assert(kernel.hasty && haste->begun);
        kernel.hasty = false;
}

static void on_changed(void *userdata) {
        (*(unsigned *) userdata)++;
}

static unsigned changes; /* that were reported */

static Sockets *begin(void) {
        Sockets *sockets;

        assert(kernel.open == 0 && !loader.userdata && !kernel.hasty); /* after the test before */
        memset(&kernel, 0, sizeof(kernel));
        kernel.release = "6.12.43-amd64";
        changes = 0;
        assert(sockets_new(&sockets, NULL, NULL, on_changed, &changes) == 0);
        return sockets;
}

/* A socket of each IP version at each of these ports, as it has to be, and nothing else. */
static void assert_sockets(const uint16_t *ports, size_t count) {
        assert(kernel.count == 2 * count && kernel.guarded_count == 2 * count);
        for (size_t i = 0; i < kernel.count; i++) {
                const FakeSocket *each = &kernel.sockets[i];
                bool wanted = false;

                for (size_t k = 0; k < count; k++)
                        wanted = wanted || each->key.flow.local_port == htons(ports[k]);
                assert(wanted && is_guarded(&each->key));
                assert(each->type == FOU_ENCAP_DIRECT && each->marked && each->key.ifindex == LINK);
                assert(each->protocol == (each->ipv4 ? IPPROTO_IPIP : IPPROTO_IPV6));
                assert(each->key.flow.remote_port == 0 && each->key.flow.local[3] == 0);
        }
}

static const struct underpass_link served = {
        .local_ports_count = 2, .local_ports = { { 443, 443 }, { 5000, 5001 } },
};

static void a_link_gets_a_socket_at_each_port(void) {
        const uint16_t ports[] = { 443, 5000, 5001 }, others[] = { 443, 5001 };
        const struct underpass_link changed = {
                .local_ports_count = 2, .local_ports = { { 443, 443 }, { 5001, 5001 } },
        };
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *error = NULL;

        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == 0 && !error);
        assert_sockets(ports, ELEMENTS(ports));
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == 0);
        /* Nothing is missing, so nobody looks whose it is. */
        assert(kernel.added == 6 && kernel.removed == 0 && kernel.looks == 1 && kernel.open == 1);
        assert(sockets_serve(sockets, LINK, "eth1", &changed, &error) == 0);
        assert(kernel.added == 6 && kernel.removed == 2);
        assert_sockets(others, ELEMENTS(others));
        sockets_leave(sockets, LINK + 1);
        assert_sockets(others, ELEMENTS(others));
        sockets_leave(sockets, LINK);
        assert_sockets(NULL, 0);
}

static void all_or_none(void) {
        const struct underpass_link many = { .local_ports_count = 1, .local_ports = { { 1, 65 } } };
        const struct underpass_link most = { .local_ports_count = 1, .local_ports = { { 1, 64 } } };
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *taken = NULL, *range = NULL;

        kernel.taken = 5001;
        kernel.unseen = UINT32_MAX;
        assert(sockets_serve(sockets, LINK, "eth1", &served, &taken) == -EADDRINUSE);
        assert_contains(taken, "receive=socket on eth1: another program has UDP port 5001, perhaps");
        assert_sockets(NULL, 0);
        kernel.taken = 0;
        assert(sockets_serve(sockets, LINK, "eth1", &served, &taken) == 0);
        assert(sockets_serve(sockets, LINK, "eth1", &many, &range) == -ERANGE);
        assert_contains(range, "local-ports has 65 ports, and at most 64 can have a socket");
        assert_sockets(NULL, 0);
        assert(sockets_serve(sockets, LINK, "eth1", &most, &range) == 0 && kernel.count == 128);
}

/* Two links that serve the same ports: what one of them does is nothing to the other. */
static void each_link_has_its_own(void) {
        const uint16_t ports[] = { 443, 5000, 5001 };
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *error = NULL;

        assert(sockets_serve(sockets, LINK + 1, "eth2", &served, &error) == 0 && kernel.count == 6);
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == 0 && kernel.count == 12);
        assert(sockets_serve(sockets, LINK + 1, "eth2", &served, &error) == 0 && kernel.removed == 0);
        sockets_leave(sockets, LINK + 1);
        assert_sockets(ports, ELEMENTS(ports));
        assert(sockets_serve(sockets, LINK + 1, "eth2", &served, &error) == 0 && kernel.count == 12);
}

static void refuse(Sockets *sockets, const char *part) {
        _cleanup_(freep) char *error = NULL;

        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == -EADDRINUSE);
        assert_contains(error, part);
        assert_contains(error, "; bulk is merged as with auto.");
        assert_sockets(NULL, 0);
}

/* However often the link is looked at, no socket is made at the ports before. */
static void nothing_is_made_in_vain(void) {
        const uint16_t ports[] = { 443, 5000, 5001 };
        const struct underpass_link single = {
                .local_ports_count = 2, .local_ports = { { 443, 443 }, { 5000, 5000 } },
        };
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *error = NULL;

        kernel.user = 33;
        kernel.inode = UINT32_MAX;
        for (size_t i = 0; i < ELEMENTS(ports); i++) {
                kernel.taken = ports[i];
                for (int k = 0; k < 10; k++)
                        refuse(sockets, "a program of user 33 has UDP port");
        }
        kernel.taken = 5000;
        assert(sockets_serve(sockets, LINK, "eth1", &single, &error) == -EADDRINUSE);
        assert(kernel.added == 0 && kernel.removed == 0);
        kernel.taken = 4999;
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == 0 && kernel.added == 6);
}

static void who_has_a_port_is_named(void) {
        _cleanup_(close_fdp) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        _cleanup_(freep) char *error = NULL, *wanted = NULL;
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        struct stat status;

        assert(fd >= 0 && fstat(fd, &status) == 0 && prctl(PR_SET_NAME, "quic") == 0);
        wanted = string_format("another program has UDP port 5001: quic, process %d;", getpid());
        kernel.taken = 5001;
        kernel.user = 33;
        kernel.inode = (uint32_t) status.st_ino;
        refuse(sockets, wanted);
        assert(kernel.added == 0 && kernel.removed == 0);
        /* It comes between the look and the sockets. */
        kernel.unseen = kernel.looks + 1;
        refuse(sockets, wanted);
        assert(kernel.added == 4 && kernel.removed == 4);
        kernel.bound = LINK;
        close(fd);
        fd = -EBADF;
        refuse(sockets, "eth1: a program of user 33 has UDP port 5001, perhaps a server for");
        kernel.inode = 0;
        refuse(sockets, "the kernel itself has UDP port 5001, for another tunnel;");
        kernel.bound = LINK + 1;
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == 0 && kernel.added == 10);
}

static void a_process_has_any_name(void) {
        _cleanup_(close_fdp) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        Process found = { .pid = 1 };
        struct stat status;

        assert(fd >= 0 && fstat(fd, &status) == 0);
        assert(prctl(PR_SET_NAME, "a\033[31m\nbc\377defgh") == 0);
        assert(process_find_socket((uint32_t) status.st_ino, &found) == 0);
        assert(found.pid == getpid());
        assert_text(found.name, "a?[31m?bc?defgh");
        assert(prctl(PR_SET_NAME, "") == 0);
        assert(process_find_socket((uint32_t) status.st_ino, &found) == 0);
        assert_text(found.name, "?");
        close(fd);
        fd = -EBADF;
        found.pid = 1;
        assert(process_find_socket((uint32_t) status.st_ino, &found) == -ENOENT && found.pid == 1);
}

static void a_kernel_may_lack_things(void) {
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *error = NULL;

        kernel.lacks_fou = true;
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == -EOPNOTSUPP);
        assert_contains(error, "receive=socket on eth1: this kernel has no FOU");
        assert(kernel.loaded && kernel.guarded_count == 0);
        kernel.lacks_fou = false;
        kernel.lacks_ipv6 = true;
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == 0);
        assert(kernel.count == 3 && kernel.guarded_count == 3);
        for (size_t i = 0; i < kernel.count; i++)
                assert(kernel.sockets[i].ipv4);
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == 0 && kernel.looks == 1);
        /* Nobody can be named then, but a port may be free all the same. */
        sockets_leave(sockets, LINK);
        kernel.lacks_diag = true;
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == 0 && kernel.count == 3);
}

static void the_module_may_come_later(void) {
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *error = NULL;

        kernel.lacks_fou = true;
        sockets_set_bus(sockets, (sd_bus *) &no_bus);
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == -EINPROGRESS && loader.asked);
        assert_contains(error, "receive=socket on eth1: the kernel loads its module fou; until then");
        kernel.loaded = false;
        assert(!loader.is_there(loader.userdata));
        kernel.lacks_fou = false;
        assert(loader.is_there(loader.userdata) && loader.is_there(loader.userdata));
        assert(!kernel.loaded && kernel.open == 1 && changes == 0);
        loader.settled(loader.userdata);
        assert(changes == 1);
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == 0 && kernel.count == 6);
}

static void the_kernel_may_refuse(void) {
        _cleanup_(sockets_freep) Sockets *sockets = begin(), *next = NULL;
        _cleanup_(freep) char *error = NULL, *full = NULL;

        kernel.broken = -ENOMEM;
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == -ENOMEM);
        assert_contains(error, "eth1: the kernel makes no tunnel socket at UDP port 443 (Cannot allocate");
        assert_sockets(NULL, 0);
        kernel.broken = 0;
        /* What cannot be guarded is not made, … */
        kernel.unguarded = -E2BIG;
        assert(sockets_serve(sockets, LINK, "eth1", &served, &full) == -E2BIG && kernel.count == 0);
        kernel.unguarded = 0;
        assert(sockets_serve(sockets, LINK, "eth1", &served, &full) == 0);
        /* … what another has removed needs no guard, … */
        kernel.count = 0;
        sockets_leave(sockets, LINK);
        assert(kernel.guarded_count == 0 && kernel.warned == 0);
        /* … and what cannot be removed stays guarded. */
        assert(sockets_serve(sockets, LINK, "eth1", &served, &full) == 0);
        kernel.stuck = -ENOMEM;
        sockets_leave(sockets, LINK);
        assert(kernel.guarded_count == 6 && kernel.warned == 6);
        /* It is still there for who wants it again, and is tried again, without a word. */
        sockets_leave(sockets, LINK + 1);
        assert(kernel.count == 6 && kernel.guarded_count == 6 && kernel.warned == 6);
        assert(sockets_serve(sockets, LINK, "eth1", &served, &full) == 0);
        assert(kernel.count == 6 && kernel.guarded_count == 6);
        assert(sockets_new(&next, NULL, NULL, on_changed, &changes) == 0);
        sockets_sweep_up(next);
        assert(kernel.guarded_count == 6 && kernel.warned == 7);
}

static void a_start_removes_what_is_ours(void) {
        const FakeSocket ours = {
                .key = { .ifindex = LINK, .flow = { .local = { 0, 0, htonl(0xffff) },
                                                    .remote = { 0, 0, htonl(0xffff) },
                                                    .local_port = htons(443) } },
                .ipv4 = true, .protocol = IPPROTO_IPIP, .type = FOU_ENCAP_DIRECT, .marked = true,
        };
        FakeSocket connected = ours, others[] = { ours, ours, ours, ours };
        _cleanup_(sockets_freep) Sockets *sockets = begin();

        connected.key.flow.remote_port = htons(8443);
        connected.key.flow.local[3] = connected.key.flow.remote[3] = htonl(0x0a000001);
        others[0].marked = false;
        others[1].type = FOU_ENCAP_GUE;
        others[2].protocol = IPPROTO_GRE;
        others[3].key.ifindex = 0;
        kernel.sockets[kernel.count++] = ours;
        kernel.sockets[kernel.count++] = connected;
        for (size_t i = 0; i < ELEMENTS(others); i++) {
                others[i].key.flow.local_port = htons((uint16_t) (444 + i));
                kernel.sockets[kernel.count++] = others[i];
        }
        kernel.guarded[kernel.guarded_count++] = ours.key;
        sockets_sweep_up(sockets);
        assert(kernel.removed == 2 && kernel.count == ELEMENTS(others));
        assert(kernel.guarded_count == 0 && !kernel.loaded && kernel.warned == 0);
        for (size_t i = 0; i < kernel.count; i++)
                assert(ntohs(kernel.sockets[i].key.flow.local_port) >= 444);
}

/* The flow by this local port. */
static struct underpass_socket_key flow_at(uint16_t port, bool ipv6) {
        struct underpass_socket_key key = {
                .ifindex = LINK,
                .flow = { .local_port = htons(port), .remote_port = htons(8443) },
        };

        key.flow.local[0] = key.flow.remote[0] = ipv6 ? htonl(0x20010db8) : 0;
        key.flow.local[2] = key.flow.remote[2] = ipv6 ? 0 : htonl(0xffff);
        key.flow.local[3] = htonl(0x0a000001);
        key.flow.remote[3] = htonl(0x0a000002);
        return key;
}

static const struct underpass_link opening = {
        .remote_ports_count = 1, .remote_ports = { { 8443, 8443 } },
};

static void a_flow_gets_a_socket_that_is_connected(void) {
        const struct underpass_socket_key flows[] = { flow_at(50000, false), flow_at(50001, true) };
        struct underpass_link both = served;
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *error = NULL;

        assert(sockets_add_flow(sockets, &flows[0]) == -EOPNOTSUPP);
        assert(sockets_serve(sockets, LINK, "eth1", &opening, &error) == 0 && kernel.count == 0);
        for (size_t i = 0; i < ELEMENTS(flows); i++) {
                assert(sockets_add_flow(sockets, &flows[i]) == 1);
                assert(same(&kernel.sockets[i].key, &flows[i]) && is_guarded(&flows[i]));
                assert(kernel.sockets[i].type == FOU_ENCAP_DIRECT && kernel.sockets[i].marked);
                assert(kernel.sockets[i].protocol == (i == 0 ? IPPROTO_IPIP : IPPROTO_IPV6));
                assert(sockets_add_flow(sockets, &flows[i]) == 0);
        }
        assert(sockets_count_flows(sockets, LINK) == 2 && sockets_count_flows(sockets, LINK + 1) == 0);
        /* They stay when the link is looked at, … */
        assert(sockets_serve(sockets, LINK, "eth1", &opening, &error) == 0 && kernel.count == 2);
        both.remote_ports_count = 1;
        assert(sockets_serve(sockets, LINK, "eth1", &both, &error) == 0 && kernel.count == 8);
        assert(sockets_count_flows(sockets, LINK) == 2 && kernel.removed == 0);
        both.local_ports_count = 1;
        assert(sockets_serve(sockets, LINK, "eth1", &both, &error) == 0 && kernel.count == 4);
        both.local_ports_count = 2;
        assert(sockets_serve(sockets, LINK, "eth1", &both, &error) == 0 && kernel.count == 8);
        /* … and go with what they are for. */
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == 0 && kernel.count == 6);
        assert(sockets_count_flows(sockets, LINK) == 0 && kernel.removed == 6);
        assert(sockets_add_flow(sockets, &flows[0]) == 1);
        sockets_leave(sockets, LINK);
        assert(kernel.count == 0 && kernel.guarded_count == 0);
}

/* The kernel has no room for both at one port, and the one for all peers does it for the flow, too. */
static void a_port_takes_over_from_its_flows(void) {
        const struct underpass_socket_key inside = flow_at(50000, false), inside6 = flow_at(50001, true);
        const struct underpass_socket_key outside = flow_at(50002, false);
        const uint16_t ports[] = { 50000, 50001 };
        struct underpass_socket_key other = inside;
        struct underpass_link both = opening;
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *error = NULL;

        other.ifindex = LINK + 1;
        assert(sockets_serve(sockets, LINK, "eth1", &opening, &error) == 0);
        assert(sockets_add_flow(sockets, &inside) == 1 && sockets_add_flow(sockets, &inside6) == 1);
        assert(sockets_add_flow(sockets, &outside) == 1 && sockets_add_flow(sockets, &other) == 1);
        both.local_ports_count = 1;
        both.local_ports[0] = (struct underpass_port_range) { 50000, 50001 };
        assert(sockets_serve(sockets, LINK, "eth1", &both, &error) == 0 && !error);
        assert(kernel.removed == 2 && kernel.count == 6 && kernel.warned == 0);
        assert(sockets_count_flows(sockets, LINK) == 1 && sockets_count_flows(sockets, LINK + 1) == 1);
        /* Nobody tries to make them beside it. */
        assert(sockets_add_flow(sockets, &inside) == 0 && sockets_add_flow(sockets, &inside6) == 0);
        assert(sockets_add_flow(sockets, &outside) == 0 && kernel.count == 6);
        sockets_leave(sockets, LINK + 1);
        both.remote_ports_count = 0;
        assert(sockets_serve(sockets, LINK, "eth1", &both, &error) == 0);
        assert_sockets(ports, ELEMENTS(ports));
        /* A flow at such a port has one again when that has gone. */
        assert(sockets_serve(sockets, LINK, "eth1", &opening, &error) == 0 && kernel.count == 0);
        assert(sockets_add_flow(sockets, &inside) == 1);
}

/* By a service that could not remove them itself. */
static void a_start_removes_those_of_flows(void) {
        const uint16_t count = SOCKETS_FLOWS_MAX;
        _cleanup_(sockets_freep) Sockets *sockets = begin(), *next = NULL;
        _cleanup_(freep) char *error = NULL;

        assert(sockets_serve(sockets, LINK, "eth1", &opening, &error) == 0);
        for (uint16_t i = 0; i < count; i++) {
                const struct underpass_socket_key key = flow_at((uint16_t) (50000 + i), i % 2);

                assert(sockets_add_flow(sockets, &key) == 1);
        }
        assert(sockets_new(&next, NULL, NULL, on_changed, &changes) == 0);
        sockets_sweep_up(next);
        assert(kernel.count == 0 && kernel.removed == count);
        assert(kernel.guarded_count == 0 && kernel.warned == 0);
}

/* The most that a link has, more than the kernel tells at once: none is overlooked and loses its guard. */
static void a_start_removes_all_there_are(void) {
        const struct underpass_link most = {
                .local_ports_count = 1, .local_ports = { { 1, SOCKETS_PORTS_MAX } },
                .remote_ports_count = 1, .remote_ports = { { 8443, 8443 } },
        };
        const unsigned count = 2 * SOCKETS_PORTS_MAX + SOCKETS_FLOWS_MAX;
        _cleanup_(sockets_freep) Sockets *sockets = begin(), *next = NULL;
        _cleanup_(freep) char *error = NULL;

        assert(sockets_serve(sockets, LINK, "eth1", &most, &error) == 0);
        for (uint16_t i = 0; i < SOCKETS_FLOWS_MAX; i++) {
                const struct underpass_socket_key key = flow_at((uint16_t) (50000 + i), i % 2);

                assert(sockets_add_flow(sockets, &key) == 1);
        }
        assert(kernel.count == count && kernel.guarded_count == count);
        assert(sockets_new(&next, NULL, NULL, on_changed, &changes) == 0);
        sockets_sweep_up(next);
        assert(kernel.count == 0 && kernel.removed == count);
        assert(kernel.guarded_count == 0 && kernel.warned == 0);
}

/* What may still be there stays guarded. */
static void a_start_may_not_see_all(void) {
        _cleanup_(sockets_freep) Sockets *sockets = begin(), *next = NULL;
        _cleanup_(freep) char *error = NULL;

        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == 0 && kernel.count == 6);
        assert(sockets_new(&next, NULL, NULL, on_changed, &changes) == 0);
        kernel.mute = -ENOMEM;
        sockets_sweep_up(next);
        assert(kernel.count == 6 && kernel.guarded_count == 6 && kernel.warned == 1);
        /* A kernel that tells them without end is not asked without end. */
        kernel.mute = 0;
        kernel.immortal = true;
        sockets_sweep_up(next);
        assert(kernel.count == 6 && kernel.guarded_count == 6 && kernel.warned == 2);
        kernel.immortal = false;
        sockets_sweep_up(next);
        assert(kernel.count == 0 && kernel.guarded_count == 0 && kernel.warned == 2);
}

static void a_link_has_sockets_for_so_many_flows(void) {
        const struct underpass_socket_key first = flow_at(50000, false), beyond = flow_at(60000, false);
        struct underpass_socket_key elsewhere = beyond;
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *error = NULL;

        assert(sockets_serve(sockets, LINK, "eth1", &opening, &error) == 0);
        for (uint16_t i = 0; i < SOCKETS_FLOWS_MAX; i++) {
                const struct underpass_socket_key key = flow_at((uint16_t) (50000 + i), false);

                assert(sockets_add_flow(sockets, &key) == 1);
        }
        assert(sockets_add_flow(sockets, &beyond) == -EBUSY);
        assert(sockets_add_flow(sockets, &first) == 0);
        assert(kernel.count == SOCKETS_FLOWS_MAX && kernel.guarded_count == SOCKETS_FLOWS_MAX);
        elsewhere.ifindex = LINK + 1;
        assert(sockets_add_flow(sockets, &elsewhere) == 1);
}

static void a_port_of_another_program_stays_with_it(void) {
        const struct underpass_socket_key flow = flow_at(50000, false);
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *error = NULL;

        kernel.taken = 50000;
        assert(sockets_serve(sockets, LINK, "eth1", &opening, &error) == 0);
        assert(sockets_add_flow(sockets, &flow) == -EADDRINUSE);
        assert(kernel.guarded_count == 0 && sockets_count_flows(sockets, LINK) == 0);
}

static bool is_even(const struct underpass_socket_key *key, void *userdata) {
        assert(userdata == &kernel && key->flow.remote_port != 0);
        return ntohs(key->flow.local_port) % 2 == 0;
}

static void flows_end(void) {
        struct underpass_link both = served;
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *error = NULL;
        size_t gone = 3;

        both.remote_ports_count = 1;
        assert(sockets_serve(sockets, LINK, "eth1", &both, &error) == 0);
        for (uint16_t i = 0; i < 10; i++) {
                const struct underpass_socket_key key = flow_at((uint16_t) (50000 + i), i < 5);

                assert(sockets_add_flow(sockets, &key) == 1);
        }
        assert(sockets_sift_flows(sockets, is_even, &kernel, &gone) == 7 && gone == 3);
        assert(sockets_sift_flows(sockets, is_even, &kernel, &gone) == 5 && gone == 2);
        assert(sockets_sift_flows(sockets, is_even, &kernel, &gone) == 5 && gone == 0);
        assert(kernel.count == 11 && kernel.guarded_count == 11 && kernel.removed == 5);
}

/* Those that the kernel does not remove are left, and keep nobody from going. */
static void flows_that_cannot_go(void) {
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *error = NULL;
        size_t gone = 8;

        assert(sockets_serve(sockets, LINK, "eth1", &opening, &error) == 0);
        for (uint16_t i = 0; i < 4; i++) {
                const struct underpass_socket_key key = flow_at((uint16_t) (50000 + i), false);

                assert(sockets_add_flow(sockets, &key) == 1);
        }
        kernel.stuck = -ENOMEM;
        assert(sockets_sift_flows(sockets, is_even, &kernel, &gone) == 4 && gone == 0);
        assert(kernel.guarded_count == 4 && kernel.warned == 2);
        kernel.stuck = 0;
        gone = 8;
        assert(sockets_sift_flows(sockets, is_even, &kernel, &gone) == 2 && gone == 2);
        assert(kernel.guarded_count == 2 && kernel.warned == 2);
}

static void some_kernels_are_not_sound(void) {
        static const struct {
                const char *release;
                int expected;
        } cases[] = {
                { "5.15.0-91-generic", -ENOSYS },
                { "6.1.0-28-amd64", -ENOSYS },
                { "6.5.13", -ENOSYS },
                { "6.6.0", -ENOTRECOVERABLE },
                { "6.6", -ENOTRECOVERABLE },
                { "6.6.51-1-lts", -ENOTRECOVERABLE },
                { "6.6.52", 0 },
                { "6.6.119-1-lts", 0 },
                { "6.8.0-45-generic", -ENOTRECOVERABLE },
                { "6.8.99", -ENOTRECOVERABLE },
                { "6.10.10-arch1-1", -ENOTRECOVERABLE },
                { "6.10.11-amd64", 0 },
                { "6.11", 0 },
                { "6.12.117+deb13-cloud-amd64", 0 },
                { "6.18.0-rc1", 0 },
                { "7.0.0", 0 },
                { "", -ENOTRECOVERABLE },
                { "penguin", -ENOTRECOVERABLE },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert(fou_check_release(cases[i].release) == cases[i].expected);
}

static void such_a_kernel_gets_no_socket(void) {
        _cleanup_(sockets_freep) Sockets *sockets = begin();
        _cleanup_(freep) char *error = NULL, *other = NULL;

        kernel.release = "6.8.0-45-generic";
        assert(sockets_serve(sockets, LINK, "eth1", &served, &error) == -ENOTRECOVERABLE);
        assert_contains(error, "receive=socket on eth1: this kernel may crash");
        kernel.release = "6.1.0-28-amd64";
        assert(sockets_serve(sockets, LINK, "eth1", &served, &other) == -ENOSYS);
        assert_contains(other, "kernel 6.6 does");
        assert(!kernel.loaded && kernel.count == 0 && kernel.guarded_count == 0);
}

static void a_start_loads_nothing(void) {
        _cleanup_(sockets_freep) Sockets *sockets = begin();

        kernel.lacks_fou = true;
        kernel.guarded[kernel.guarded_count++] = flow_at(50000, false); /* the module has gone since */
        sockets_sweep_up(sockets);
        assert(!kernel.loaded && kernel.removed == 0 && kernel.guarded_count == 0 && kernel.warned == 0);
}

int main(void) {
        static const Test tests[] = {
                { "a link gets a socket at each port", a_link_gets_a_socket_at_each_port },
                { "all or none", all_or_none },
                { "each link has its own", each_link_has_its_own },
                { "nothing is made in vain", nothing_is_made_in_vain },
                { "who has a port is named", who_has_a_port_is_named },
                { "a process has any name", a_process_has_any_name },
                { "a kernel may lack things", a_kernel_may_lack_things },
                { "the module may come later", the_module_may_come_later },
                { "the kernel may refuse", the_kernel_may_refuse },
                { "a start removes what is ours", a_start_removes_what_is_ours },
                { "a start removes those of flows", a_start_removes_those_of_flows },
                { "a start removes all there are", a_start_removes_all_there_are },
                { "a start may not see all", a_start_may_not_see_all },
                { "a flow gets a socket that is connected", a_flow_gets_a_socket_that_is_connected },
                { "a port takes over from its flows", a_port_takes_over_from_its_flows },
                { "a link has sockets for so many flows", a_link_has_sockets_for_so_many_flows },
                { "a port of another program stays with it", a_port_of_another_program_stays_with_it },
                { "flows end", flows_end },
                { "flows that cannot go", flows_that_cannot_go },
                { "some kernels are not sound", some_kernels_are_not_sound },
                { "such a kernel gets no socket", such_a_kernel_gets_no_socket },
                { "a start loads nothing", a_start_loads_nothing },
        };

        return run_tests(tests, ELEMENTS(tests));
}
