/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See probe-socket.h. */

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdalign.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/mptcp.h>

#include "kernel/probe-socket.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef SOL_MPTCP
#define SOL_MPTCP 284
#endif
#ifndef IP_RECVFRAGSIZE
#define IP_RECVFRAGSIZE 25 /* linux/in.h, which netinet/in.h excludes */
#endif
#ifndef IPV6_RECVFRAGSIZE
#define IPV6_RECVFRAGSIZE 77 /* linux/in6.h, likewise */
#endif

enum { SYN_RETRIES = 1 };

typedef union SocketAddress {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
} SocketAddress;

static socklen_t to_socket(const Address *address, uint16_t port, SocketAddress *ret) {
        *ret = (SocketAddress) {};
        if (address_is_ipv4(address)) {
                ret->ipv4.sin_family = AF_INET;
                ret->ipv4.sin_port = htons(port);
                ret->ipv4.sin_addr.s_addr = address->word[3];
                return sizeof(ret->ipv4);
        }
        ret->ipv6.sin6_family = AF_INET6;
        ret->ipv6.sin6_port = htons(port);
        memcpy(&ret->ipv6.sin6_addr, address->word, sizeof(address->word));
        return sizeof(ret->ipv6);
}

static Address from_socket(const SocketAddress *from) {
        Address address = {};

        if (from->any.sa_family == AF_INET)
                return address_from_ipv4(from->ipv4.sin_addr.s_addr);
        if (from->any.sa_family == AF_INET6)
                memcpy(address.word, &from->ipv6.sin6_addr, sizeof(address.word));
        return address;
}

static int set_option(int fd, int level, int option, int value) {
        return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* A socket of the target's family on its link. */
static int open_on_link(const ProbeTarget *target, int type, int protocol) {
        const bool ipv4 = address_is_ipv4(&target->remote);
        _cleanup_(close_fdp) int fd = socket(ipv4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                             protocol);

        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, target->link, sizeof(target->link)) < 0)
                return -errno;
        /* Sockets of MPTCP take no such option: who refuses them is then not known. */
        if (ipv4)
                (void) set_option(fd, IPPROTO_IP, IP_RECVERR, 1);
        else
                (void) set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
        return TAKE_FD(fd);
}

/* What it sends goes out as large as it is, or not at all. */
static int forbid_fragments(int fd, const ProbeTarget *target) {
        return address_is_ipv4(&target->remote) ?
                       set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE) :
                       set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
}

static int connect_to(int fd, const ProbeTarget *target, uint16_t port) {
        SocketAddress remote;
        const socklen_t length = to_socket(&target->remote, port, &remote);

        return connect(fd, &remote.any, length) < 0 ? -errno : 0;
}

int probe_socket_udp(const ProbeTarget *target, Address *ret_local) {
        _cleanup_(close_fdp) int fd = open_on_link(target, SOCK_DGRAM, IPPROTO_UDP);
        SocketAddress local = {};
        socklen_t length = sizeof(local);
        int r;

        if (fd < 0)
                return fd;
        (void) set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
        r = forbid_fragments(fd, target);
        if (r >= 0)
                r = connect_to(fd, target, target->port);
        if (r < 0)
                return r;
        if (getsockname(fd, &local.any, &length) < 0)
                return -errno;
        if (ret_local)
                *ret_local = from_socket(&local);
        return TAKE_FD(fd);
}

int probe_socket_connect(const ProbeTarget *target, const Address *local, bool mptcp) {
        _cleanup_(close_fdp) int fd = open_on_link(target, SOCK_STREAM, mptcp ? IPPROTO_MPTCP : IPPROTO_TCP);
        SocketAddress from;
        socklen_t length;
        int r;

        if (fd < 0)
                return fd;
        /* Also keeps the kernel from taking the path for one that drops MPTCP: it counts three SYNs. */
        (void) set_option(fd, IPPROTO_TCP, TCP_SYNCNT, SYN_RETRIES);
        length = to_socket(local, 0, &from);
        if (bind(fd, &from.any, length) < 0)
                return -errno;
        r = connect_to(fd, target, target->port);
        return r < 0 && r != -EINPROGRESS ? r : TAKE_FD(fd);
}

int probe_socket_echo(const ProbeTarget *target) {
        const bool ipv4 = address_is_ipv4(&target->remote);
        _cleanup_(close_fdp) int fd = open_on_link(target, SOCK_DGRAM, ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
        int r;

        if (fd < 0)
                return fd;
        r = forbid_fragments(fd, target);
        if (r >= 0)
                r = ipv4 ? set_option(fd, IPPROTO_IP, IP_RECVFRAGSIZE, 1) :
                           set_option(fd, IPPROTO_IPV6, IPV6_RECVFRAGSIZE, 1);
        if (r >= 0)
                r = connect_to(fd, target, 0);
        return r < 0 ? r : TAKE_FD(fd);
}

uint32_t probe_socket_link_mtu(int fd, const char *link) {
        struct ifreq request = {};

        memcpy(request.ifr_name, link, strnlen(link, IF_NAMESIZE - 1));
        return ioctl(fd, SIOCGIFMTU, &request) < 0 || request.ifr_mtu < 0 ? 0 : (uint32_t) request.ifr_mtu;
}

/* Why a connection failed: an ICMP error, if there was one, else a reset of the destination. */
static void explain_failure(int fd, const ProbeTarget *target, int error, ProbeAnswer *answer) {
        ProbeError told;

        answer->outcome = error == ECONNREFUSED || error == ECONNRESET ? PROBE_REFUSED : PROBE_FILTERED;
        if (answer->outcome == PROBE_REFUSED)
                answer->from = target->remote;
        while (probe_socket_error(fd, target, &told))
                if (told.outcome != PROBE_SILENCE) {
                        answer->outcome = told.outcome;
                        answer->from = told.from;
                }
}

bool probe_socket_connected(int fd, const ProbeTarget *target, bool mptcp, ProbeAnswer *answer,
                            ProbeStream *ret_stream) {
        struct mptcp_info mptcp_info = {};
        struct tcp_info info = {};
        socklen_t length = sizeof(int);
        int error = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
                error = errno;
        if (error == ETIMEDOUT) {
                answer->outcome = PROBE_SILENCE;
                return true;
        }
        if (error != 0) {
                explain_failure(fd, target, error, answer);
                return true;
        }
        length = sizeof(info);
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 || info.tcpi_state == TCP_SYN_SENT)
                return false;
        answer->outcome = PROBE_ANSWERED;
        answer->rtt_us = info.tcpi_rtt;
        *ret_stream = (ProbeStream) { .mss = info.tcpi_snd_mss, .resent = info.tcpi_total_retrans };
        length = sizeof(mptcp_info);
        if (mptcp && getsockopt(fd, SOL_MPTCP, MPTCP_INFO, &mptcp_info, &length) == 0 &&
            !(mptcp_info.mptcpi_flags & MPTCP_INFO_FLAG_FALLBACK))
                answer->outcome = PROBE_OPTION;
        return true;
}

int probe_socket_abort(int fd) {
        const struct linger at_once = { .l_onoff = 1 };

        if (fd < 0)
                return -EBADF;
        (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        return close_fd(fd);
}

/* What an error in the queue says. */
static ProbeError read_error(const struct sock_extended_err *error, const Address *from,
                             const Address *remote) {
        const bool ipv4 = error->ee_origin == SO_EE_ORIGIN_ICMP;
        ProbeError told = { .outcome = PROBE_SILENCE };

        if (error->ee_errno == EMSGSIZE) {
                told.mtu = error->ee_info;
                return told;
        }
        if (error->ee_origin != SO_EE_ORIGIN_ICMP && error->ee_origin != SO_EE_ORIGIN_ICMP6)
                return told;
        told.from = *from;
        told.outcome = PROBE_FILTERED;
        if (address_equal(from, remote) &&
            (ipv4 ? error->ee_type == ICMP_DEST_UNREACH && error->ee_code == ICMP_PORT_UNREACH :
                    error->ee_type == ICMPV6_DEST_UNREACH && error->ee_code == ICMPV6_PORT_UNREACH))
                told.outcome = PROBE_REFUSED;
        return told;
}

bool probe_socket_error(int fd, const ProbeTarget *target, ProbeError *ret) {
        alignas(struct cmsghdr) uint8_t control[512];
        uint8_t quote[64];
        struct iovec part = { .iov_base = quote, .iov_len = sizeof(quote) };
        struct msghdr message = {
                .msg_iov = &part,
                .msg_iovlen = 1,
                .msg_control = control,
                .msg_controllen = sizeof(control),
        };

        if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
                return false;
        for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
                struct sock_extended_err error;
                SocketAddress offender = {};
                Address from;

                if (!(each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_RECVERR) &&
                    !(each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_RECVERR))
                        continue;
                memcpy(&error, CMSG_DATA(each), sizeof(error));
                memcpy(&offender, CMSG_DATA(each) + sizeof(error),
                       MIN_OF(sizeof(offender), each->cmsg_len - CMSG_LEN(sizeof(error))));
                from = from_socket(&offender);
                *ret = read_error(&error, &from, &target->remote);
                return true;
        }
        *ret = (ProbeError) { .outcome = PROBE_SILENCE };
        return true;
}

/* Reads what stands beside a datagram. */
static void read_note(const struct cmsghdr *beside, ProbeNote *note) {
        const void *data = CMSG_DATA(beside);
        struct timespec when;
        int largest;

        if (beside->cmsg_level == SOL_SOCKET && beside->cmsg_type == SCM_TIMESTAMPNS) {
                memcpy(&when, data, sizeof(when));
                note->arrived_ns = (uint64_t) when.tv_sec * 1000000000 + (uint64_t) when.tv_nsec;
        } else if ((beside->cmsg_level == IPPROTO_IP && beside->cmsg_type == IP_RECVFRAGSIZE) ||
                   (beside->cmsg_level == IPPROTO_IPV6 && beside->cmsg_type == IPV6_RECVFRAGSIZE)) {
                memcpy(&largest, data, sizeof(largest));
                note->part = largest > 0 ? (uint32_t) largest : 0;
        }
}

ssize_t probe_socket_receive(int fd, uint8_t *buffer, size_t size, ProbeNote *ret_note) {
        alignas(struct cmsghdr) uint8_t control[256];
        struct iovec part = { .iov_base = buffer, .iov_len = size };
        struct msghdr message = {
                .msg_iov = &part,
                .msg_iovlen = 1,
                .msg_control = control,
                .msg_controllen = sizeof(control),
        };
        const ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);

        if (length < 0)
                return -errno;
        *ret_note = (ProbeNote) {};
        for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each))
                read_note(each, ret_note);
        return length;
}
