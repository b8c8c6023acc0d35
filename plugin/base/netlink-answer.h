/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the kernel answers to one netlink request, datagram by datagram. Pure, so that tests can say what the
 * kernel says.
 */

#include <libmnl/libmnl.h>

#include "base/util.h"

enum { NETLINK_ERROR_SIZE = 256 };

typedef struct NetlinkAnswer {
        uint32_t sequence;    /* of the request; messages with another one are skipped */
        mnl_cb_t callback;    /* gets each message that is no NLMSG_ERROR or NLMSG_DONE; NULL: nobody does */
        void *userdata;

        bool finished;        /* NLMSG_ERROR or NLMSG_DONE has been seen */
        bool interrupted;     /* things changed while they were dumped */
        int result;           /* 0 or negative errno, so far */
        char error[NETLINK_ERROR_SIZE]; /* the kernel's own words, or "" */
} NetlinkAnswer;

/*
 * The message that begins at this offset, a multiple of 4, of a datagram; NULL when no whole one does. The
 * next one begins behind MNL_ALIGN(nlmsg_len). mnl_nlmsg_ok() takes a length of 2 GiB or more for a
 * negative number and lets it pass, so it is not used.
 */
const struct nlmsghdr *netlink_message_at(const void *datagram, size_t length, size_t offset);

/* Reads one datagram. Its beginning must be aligned as struct nlmsghdr is. */
void netlink_answer_read(NetlinkAnswer *answer, const void *datagram, size_t length);

/* The result once it is finished: 0 or negative errno, -EINTR for an interrupted dump. */
int netlink_answer_result(const NetlinkAnswer *answer);
