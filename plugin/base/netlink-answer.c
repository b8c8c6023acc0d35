/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Answers of netlink. See netlink-answer.h. */

#include <stdio.h>

#include "base/netlink-answer.h"

enum { ERRNO_MAX = 4095 }; /* of the kernel */

/* Callers take what is positive for success, and negate what is negative. */
static int checked_error(int error) {
        return error <= 0 && error >= -ERRNO_MAX ? error : -EBADMSG;
}

static void remember_error(NetlinkAnswer *answer, const struct nlmsghdr *message, size_t offset) {
        const struct nlattr *attribute;

        if (!(message->nlmsg_flags & NLM_F_ACK_TLVS) || offset > mnl_nlmsg_get_payload_len(message))
                return;

        mnl_attr_for_each(attribute, message, offset)
                if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG)
                        snprintf(answer->error, sizeof(answer->error), "%.*s",
                                 (int) mnl_attr_get_payload_len(attribute), mnl_attr_get_str(attribute));
}

/* NLMSG_ERROR: the request was refused, or acknowledged with error 0. */
static void finish_by_error(NetlinkAnswer *answer, const struct nlmsghdr *message) {
        const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
        size_t offset = sizeof(*error);

        answer->finished = true;
        if (mnl_nlmsg_get_payload_len(message) < sizeof(*error)) {
                answer->result = -EBADMSG;
                return;
        }
        if (error->error == 0)
                return;

        /* Without the capped form the whole request is repeated before the attributes. */
        if (!(message->nlmsg_flags & NLM_F_CAPPED) && error->msg.nlmsg_len > sizeof(error->msg))
                offset += MNL_ALIGN(error->msg.nlmsg_len - sizeof(error->msg));
        answer->result = checked_error(error->error);
        remember_error(answer, message, offset);
}

/* NLMSG_DONE: the end of a dump, which can fail half-way. */
static void finish_by_done(NetlinkAnswer *answer, const struct nlmsghdr *message) {
        const int *error = mnl_nlmsg_get_payload(message);

        answer->finished = true;
        if (mnl_nlmsg_get_payload_len(message) < sizeof(*error) || *error >= 0)
                return;

        answer->result = checked_error(*error);
        remember_error(answer, message, sizeof(*error));
}

static void hand_over(NetlinkAnswer *answer, const struct nlmsghdr *message) {
        int r;

        if (!answer->callback)
                return;

        errno = 0;
        r = answer->callback(message, answer->userdata);
        if (r > MNL_CB_STOP)
                return;

        /* The rest is still read: the next dump on this socket is refused while one is pending. */
        answer->callback = NULL;
        if (r < MNL_CB_STOP)
                answer->result = errno > 0 ? -errno : -EBADMSG;
}

const struct nlmsghdr *netlink_message_at(const void *datagram, size_t length, size_t offset) {
        const struct nlmsghdr *message = (const void *) ((const uint8_t *) datagram + offset);

        if (offset > length || length - offset < sizeof(*message) || message->nlmsg_len < sizeof(*message) ||
            message->nlmsg_len > length - offset)
                return NULL;
        return message;
}

void netlink_answer_read(NetlinkAnswer *answer, const void *datagram, size_t length) {
        const struct nlmsghdr *message;

        for (size_t offset = 0; !answer->finished; offset += MNL_ALIGN(message->nlmsg_len)) {
                message = netlink_message_at(datagram, length, offset);
                if (!message)
                        return;
                /* Late answers of a call that timed out carry an older number. */
                if (message->nlmsg_seq != answer->sequence)
                        continue;
                if (message->nlmsg_flags & NLM_F_DUMP_INTR)
                        answer->interrupted = true;

                if (message->nlmsg_type == NLMSG_ERROR)
                        finish_by_error(answer, message);
                else if (message->nlmsg_type == NLMSG_DONE)
                        finish_by_done(answer, message);
                else if (message->nlmsg_type >= NLMSG_MIN_TYPE)
                        hand_over(answer, message);
        }
}

int netlink_answer_result(const NetlinkAnswer *answer) {
        return answer->result == 0 && answer->interrupted ? -EINTR : answer->result;
}
