/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The network namespace of the tests, see place.h.
 *
 * Room: libc and sockets.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "place.h"

enum {
        /* linux/tcp.h, which cannot be included beside netinet/tcp.h */
        REPAIR_RECEIVE_QUEUE = 1,
        REPAIR_SEND_QUEUE = 2,
        REPAIR_OFF_SILENTLY = -1,
        COOKIE_OPTION = 71, /* SO_NETNS_COOKIE, kernel 5.14 */
        BACKLOG = 16,
};

/* linux/ipv6.h has it too, and cannot be included beside netinet/in.h. */
struct ipv6_request {
        struct in6_addr address;
        uint32_t prefix;
        int ifindex;
};

socklen_t place_address(enum frame_side side, bool ipv6, uint16_t port, struct sockaddr_storage *ret) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *) ret;
        struct sockaddr_in *four = (struct sockaddr_in *) ret;
        uint8_t address[16];

        memset(ret, 0, sizeof(*ret));
        frame_address(side, ipv6, address);
        if (ipv6) {
                six->sin6_family = AF_INET6;
                six->sin6_port = htons(port);
                memcpy(&six->sin6_addr, address, sizeof(address));
                return sizeof(*six);
        }
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        memcpy(&four->sin_addr, address + 12, 4);
        return sizeof(*four);
}

/* Addresses of its own on lo, each with an alias of the old kind: no netlink is needed for that. */
static int add_ipv4(int control, enum frame_side side) {
        struct sockaddr_storage address;
        struct ifreq request = {};

        place_address(side, false, 0, &address);
        snprintf(request.ifr_name, sizeof(request.ifr_name), "lo:%d", (int) side + 1);
        memcpy(&request.ifr_addr, &address, sizeof(request.ifr_addr));
        return ioctl(control, SIOCSIFADDR, &request) < 0 ? -errno : 0;
}

static int add_ipv6(int control, enum frame_side side) {
        struct ipv6_request request = { .prefix = 128, .ifindex = 1 };

        frame_address(side, true, request.address.s6_addr);
        return ioctl(control, SIOCSIFADDR, &request) < 0 ? -errno : 0;
}

static int furnish(void) {
        struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
        int four = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), six, r;

        if (four < 0)
                return -errno;
        r = ioctl(four, SIOCSIFFLAGS, &up) < 0 ? -errno : 0;
        for (enum frame_side side = FRAME_LOCAL; r == 0 && side <= FRAME_REMOTE; side++)
                r = add_ipv4(four, side);
        close(four);
        six = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (six < 0)
                return r; /* a kernel without IPv6 */
        for (enum frame_side side = FRAME_LOCAL; r == 0 && side <= FRAME_REMOTE; side++)
                r = add_ipv6(six, side);
        close(six);
        return r;
}

bool place_has_ipv6(void) {
        int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return false;
        close(fd);
        return true;
}

int place_enter(void) {
        return unshare(CLONE_NEWNET) < 0 ? -errno : furnish();
}

int place_cookie(__u64 *ret) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;
        socklen_t length = sizeof(*ret);

        if (fd < 0)
                return -errno;
        r = getsockopt(fd, SOL_SOCKET, COOKIE_OPTION, ret, &length) < 0 ? -errno : 0;
        close(fd);
        return r;
}

static int bind_to(const struct sockaddr_storage *address, socklen_t length, int type) {
        int fd = socket(address->ss_family, type | SOCK_CLOEXEC, 0), on = 1, r = 0;

        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            bind(fd, (const struct sockaddr *) address, length) < 0)
                r = -errno;
        if (r == 0)
                return fd;
        close(fd);
        return r;
}

static int bound(enum frame_side side, bool ipv6, uint16_t port, int type) {
        struct sockaddr_storage address;
        socklen_t length = place_address(side, ipv6, port, &address);

        return bind_to(&address, length, type);
}

static int listening(int fd) {
        int r;

        if (fd < 0 || listen(fd, BACKLOG) == 0)
                return fd;
        r = -errno;
        close(fd);
        return r;
}

int place_udp(enum frame_side side, bool ipv6, uint16_t port) {
        return bound(side, ipv6, port, SOCK_DGRAM);
}

int place_listen(enum frame_side side, bool ipv6, uint16_t port) {
        return listening(bound(side, ipv6, port, SOCK_STREAM));
}

int place_listen_mapped(enum frame_side side, uint16_t port) {
        struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        struct sockaddr_storage storage = {};

        frame_address(side, false, address.sin6_addr.s6_addr);
        memcpy(&storage, &address, sizeof(address));
        return listening(bind_to(&storage, sizeof(address), SOCK_STREAM));
}

void place_abort(int socket) {
        struct linger linger = { .l_onoff = 1 };

        if (socket < 0)
                return;
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        close(socket);
}

int place_open(bool ipv6, uint16_t from, uint16_t to, void (*prepare)(int socket), int *ret_socket) {
        struct sockaddr_storage address;
        socklen_t length = place_address(FRAME_REMOTE, ipv6, to, &address);
        int fd = bound(FRAME_LOCAL, ipv6, from, SOCK_STREAM);

        if (fd < 0)
                return fd;
        if (prepare)
                prepare(fd);
        *ret_socket = fd;
        return connect(fd, (struct sockaddr *) &address, length) < 0 ? -errno : 0;
}

int place_connect(bool ipv6, uint16_t from, uint16_t to, void (*prepare)(int socket), int *ret_socket) {
        int fd = -EBADF, r;

        r = place_open(ipv6, from, to, prepare, &fd);
        if (r < 0) {
                place_abort(fd);
                return r;
        }
        *ret_socket = fd;
        return 0;
}

/* Nothing that arrives gets to the socket, and nobody hears of that. */
static int deafen(int fd) {
        struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
        const struct sock_fprog program = { .len = 1, .filter = &nothing };

        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/* Waits on a packet socket for the SYN-ACK of a port, by which the numbers of both sides are known. */
static int read_syn_ack(int tap, bool ipv6, uint16_t port, struct place_handshake *ret) {
        const size_t header = ipv6 ? 40 : 20, protocol = ipv6 ? 6 : 9;
        uint8_t packet[2048];
        ssize_t length;

        for (;;) {
                length = recv(tap, packet, sizeof(packet), 0);
                if (length < 0)
                        return -errno;
                if ((size_t) length < header + FRAME_HEADER_LENGTH || packet[0] >> 4 != (ipv6 ? 6 : 4) ||
                    packet[protocol] != FRAME_TCP || frame_get16(packet + header) != port ||
                    packet[header + 13] != (FRAME_SYN | FRAME_ACK))
                        continue;
                ret->server_number = frame_get32(packet + header + 4);
                ret->client_number = frame_get32(packet + header + 8) - 1;
                return 0;
        }
}

static int begin(int client, int tap, bool ipv6, uint16_t to, struct place_handshake *ret) {
        const struct timeval patience = { .tv_sec = 5 };
        struct sockaddr_storage address;
        socklen_t length = place_address(FRAME_REMOTE, ipv6, to, &address);
        int r = deafen(client);

        if (r < 0)
                return r;
        if (setsockopt(tap, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
            fcntl(client, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        if (connect(client, (struct sockaddr *) &address, length) < 0 && errno != EINPROGRESS)
                return -errno;
        return read_syn_ack(tap, ipv6, to, ret);
}

int place_begin(bool ipv6, uint16_t from, uint16_t to, struct place_handshake *ret) {
        struct place_handshake handshake = { .client = bound(FRAME_LOCAL, ipv6, from, SOCK_STREAM) };
        int tap, r;

        if (handshake.client < 0)
                return handshake.client;
        tap = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
        if (tap < 0)
                r = -errno;
        else {
                r = begin(handshake.client, tap, ipv6, to, &handshake);
                close(tap);
        }
        if (r < 0)
                place_abort(handshake.client);
        else
                *ret = handshake;
        return r;
}

static int write_number(const char *path, int number) {
        FILE *file = fopen(path, "we");
        int r = 0;

        if (!file)
                return -errno;
        if (fprintf(file, "%d\n", number) < 0)
                r = -EIO;
        return fclose(file) == 0 ? r : -errno;
}

int place_set_cookies(int mode) {
        return write_number("/proc/sys/net/ipv4/tcp_syncookies", mode);
}

/* All that is not at lo itself. */
static int route_by_lo(bool on) {
        char name[] = "lo";
        struct rtentry route = { .rt_flags = RTF_UP, .rt_dev = name };
        int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

        if (control < 0)
                return -errno;
        route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
        r = ioctl(control, on ? SIOCADDRT : SIOCDELRT, &route) < 0 ? -errno : 0;
        close(control);
        return r;
}

int place_set_forwarding(bool on) {
        int r = write_number("/proc/sys/net/ipv4/conf/lo/forwarding", on);

        if (r == 0 && place_has_ipv6())
                r = write_number("/proc/sys/net/ipv6/conf/lo/forwarding", on);
        return r < 0 ? r : route_by_lo(on);
}

static int read_queue(int fd, int queue, uint32_t *ret) {
        socklen_t length = sizeof(*ret);

        if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) < 0 ||
            getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, ret, &length) < 0)
                return -errno;
        return 0;
}

int place_numbers(int socket, uint32_t *ret_expected, uint32_t *ret_next) {
        uint32_t expected = 0, next = 0;
        int on = 1, off = REPAIR_OFF_SILENTLY, r;

        if (setsockopt(socket, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0)
                return -errno;
        r = read_queue(socket, REPAIR_RECEIVE_QUEUE, &expected);
        if (r == 0)
                r = read_queue(socket, REPAIR_SEND_QUEUE, &next);
        if (setsockopt(socket, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)) < 0 && r == 0)
                r = -errno;
        if (r < 0)
                return r;
        *ret_expected = expected;
        *ret_next = next;
        return 0;
}
