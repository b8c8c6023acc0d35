/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * One netlink request and its answers, with a time limit and the kernel's own words about a failure.
 */

#include <poll.h>
#include <stdalign.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/netlink-answer.h"
#include "base/netlink.h"

enum {
        ANSWER_SIZE = 32 * 1024, /* the kernel fills at most this much of a dump per datagram */
        CALL_LIMIT_MS = 5000,
};

struct Netlink {
        struct mnl_socket *socket;
        uint32_t sequence;
        NetlinkAnswer state; /* of the latest call */
        alignas(struct nlmsghdr) uint8_t answer[ANSWER_SIZE];
};

Netlink *netlink_free(Netlink *netlink) {
        if (!netlink)
                return NULL;

        if (netlink->socket)
                mnl_socket_close(netlink->socket);
        free(netlink);
        return NULL;
}

int netlink_open(Netlink **ret, int protocol) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        int on = 1;

        netlink = calloc(1, sizeof(*netlink));
        if (!netlink)
                return -ENOMEM;

        netlink->socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
        if (!netlink->socket)
                return -errno;

        /* Comfort, not need: an older kernel sends shorter explanations and unfiltered dumps, which all
         * callers cope with. */
        (void) mnl_socket_setsockopt(netlink->socket, NETLINK_EXT_ACK, &on, sizeof(on));
        (void) mnl_socket_setsockopt(netlink->socket, NETLINK_CAP_ACK, &on, sizeof(on));
        (void) mnl_socket_setsockopt(netlink->socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on));

        if (mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0)
                return -errno;

        *ret = TAKE_PTR(netlink);
        return 0;
}

const char *netlink_error(const Netlink *netlink) {
        return netlink->state.error;
}

static int64_t now_ms(void) {
        return (int64_t) (clock_monotonic_ns() / 1000000);
}

static int receive_answer(Netlink *netlink, int64_t deadline_ms, size_t *ret_length) {
        struct pollfd readable = { .fd = mnl_socket_get_fd(netlink->socket), .events = POLLIN };

        for (;;) {
                struct sockaddr_nl sender = {};
                socklen_t sender_length = sizeof(sender);
                int64_t left_ms = deadline_ms - now_ms();
                ssize_t length;
                int r;

                r = poll(&readable, 1, left_ms > 0 ? (int) left_ms : 0);
                if (r == 0)
                        return -ETIMEDOUT;
                if (r < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }

                length = recvfrom(readable.fd, netlink->answer, sizeof(netlink->answer),
                                  MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *) &sender, &sender_length);
                if (length < 0) {
                        if (errno == EINTR || errno == EAGAIN)
                                continue;
                        return -errno;
                }

                /* Other programs may send to this port too; only the kernel is port 0. */
                if (sender.nl_pid != 0)
                        continue;
                if ((size_t) length > sizeof(netlink->answer))
                        return -EMSGSIZE;

                *ret_length = (size_t) length;
                return 0;
        }
}

int netlink_call(Netlink *netlink, struct nlmsghdr *message, mnl_cb_t callback, void *userdata) {
        NetlinkAnswer *state = &netlink->state;
        int64_t deadline_ms = now_ms() + CALL_LIMIT_MS;

        /* Number 0 is what notifications carry. */
        if (++netlink->sequence == 0)
                netlink->sequence = 1;
        *state = (NetlinkAnswer) {
                .sequence = netlink->sequence,
                .callback = callback,
                .userdata = userdata,
        };
        message->nlmsg_seq = netlink->sequence;
        message->nlmsg_pid = mnl_socket_get_portid(netlink->socket);
        /* With an acknowledgment asked for, each call ends in NLMSG_ERROR or NLMSG_DONE, so the end is
         * always seen. */
        message->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;

        if (mnl_socket_sendto(netlink->socket, message, message->nlmsg_len) < 0)
                return -errno;

        while (!state->finished) {
                size_t length = 0;
                int r;

                r = receive_answer(netlink, deadline_ms, &length);
                if (r < 0)
                        return r;
                netlink_answer_read(state, netlink->answer, length);
        }

        return netlink_answer_result(state);
}
