/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * One netlink request and its answers, with a time limit and the kernel's own words about a failure.
 */

#include <poll.h>
#include <stdalign.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/netlink.h"

enum {
        ANSWER_SIZE = 32 * 1024, /* the kernel fills at most this much of a dump per datagram */
        CALL_LIMIT_MS = 5000,
        ERROR_SIZE = 256,
};

struct Netlink {
        struct mnl_socket *socket;
        uint32_t sequence;
        char error[ERROR_SIZE];
        alignas(struct nlmsghdr) uint8_t answer[ANSWER_SIZE];
};

typedef struct Call {
        mnl_cb_t callback;    /* NULL once it asked for no more */
        void *userdata;
        int result;
        bool interrupted;
        bool finished;
} Call;

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
        return netlink->error;
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

static void remember_error(Netlink *netlink, const struct nlmsghdr *message, size_t offset) {
        const struct nlattr *attribute;

        if (!(message->nlmsg_flags & NLM_F_ACK_TLVS) || offset > mnl_nlmsg_get_payload_len(message))
                return;

        mnl_attr_for_each(attribute, message, offset)
                if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG)
                        snprintf(netlink->error, sizeof(netlink->error), "%.*s",
                                 (int) mnl_attr_get_payload_len(attribute), mnl_attr_get_str(attribute));
}

/* NLMSG_ERROR: the request was refused, or acknowledged with error 0. */
static void finish_by_error(Netlink *netlink, const struct nlmsghdr *message, Call *call) {
        const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
        size_t offset = sizeof(*error);

        call->finished = true;
        if (mnl_nlmsg_get_payload_len(message) < sizeof(*error)) {
                call->result = -EBADMSG;
                return;
        }
        if (error->error == 0)
                return;

        /* Without the capped form the whole request is repeated before the attributes. */
        if (!(message->nlmsg_flags & NLM_F_CAPPED))
                offset += MNL_ALIGN(mnl_nlmsg_get_payload_len(&error->msg));
        call->result = error->error;
        remember_error(netlink, message, offset);
}

/* NLMSG_DONE: the end of a dump, which can fail half-way. */
static void finish_by_done(Netlink *netlink, const struct nlmsghdr *message, Call *call) {
        const int *error = mnl_nlmsg_get_payload(message);

        call->finished = true;
        if (mnl_nlmsg_get_payload_len(message) < sizeof(*error) || *error >= 0)
                return;

        call->result = *error;
        remember_error(netlink, message, sizeof(*error));
}

static void hand_over(const struct nlmsghdr *message, Call *call) {
        int r;

        if (!call->callback)
                return;

        errno = 0;
        r = call->callback(message, call->userdata);
        if (r > MNL_CB_STOP)
                return;

        /* The rest is still read: the next dump on this socket is refused while one is pending. */
        call->callback = NULL;
        if (r < MNL_CB_STOP)
                call->result = errno > 0 ? -errno : -EBADMSG;
}

static void read_answer(Netlink *netlink, size_t length, Call *call) {
        const struct nlmsghdr *message = (const struct nlmsghdr *) netlink->answer;
        int left = (int) length;

        for (; mnl_nlmsg_ok(message, left) && !call->finished; message = mnl_nlmsg_next(message, &left)) {
                /* Late answers of a call that timed out carry an older number. */
                if (message->nlmsg_seq != netlink->sequence)
                        continue;
                if (message->nlmsg_flags & NLM_F_DUMP_INTR)
                        call->interrupted = true;

                if (message->nlmsg_type == NLMSG_ERROR)
                        finish_by_error(netlink, message, call);
                else if (message->nlmsg_type == NLMSG_DONE)
                        finish_by_done(netlink, message, call);
                else if (message->nlmsg_type >= NLMSG_MIN_TYPE)
                        hand_over(message, call);
        }
}

int netlink_call(Netlink *netlink, struct nlmsghdr *message, mnl_cb_t callback, void *userdata) {
        Call call = { .callback = callback, .userdata = userdata };
        int64_t deadline_ms = now_ms() + CALL_LIMIT_MS;

        netlink->error[0] = '\0';

        /* Number 0 is what notifications carry. */
        if (++netlink->sequence == 0)
                netlink->sequence = 1;
        message->nlmsg_seq = netlink->sequence;
        message->nlmsg_pid = mnl_socket_get_portid(netlink->socket);
        /* With an acknowledgment asked for, each call ends in NLMSG_ERROR or NLMSG_DONE, so the end is
         * always seen. */
        message->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;

        if (mnl_socket_sendto(netlink->socket, message, message->nlmsg_len) < 0)
                return -errno;

        while (!call.finished) {
                size_t length = 0;
                int r;

                r = receive_answer(netlink, deadline_ms, &length);
                if (r < 0)
                        return r;
                read_answer(netlink, length, &call);
        }

        if (call.result == 0 && call.interrupted)
                return -EINTR;
        return call.result;
}
